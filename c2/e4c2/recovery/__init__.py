# SPDX-License-Identifier: Apache-2.0
"""Backups, what becomes of a C2 that was made from one, and what tells in time that something is amiss."""
