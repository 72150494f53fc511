# SPDX-License-Identifier: Apache-2.0
"""Who may do what: permissions, the roles that have them, and the names that they reach. Pure values, no database."""
