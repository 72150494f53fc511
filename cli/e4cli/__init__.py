# SPDX-License-Identifier: Apache-2.0
"""The ``e4`` command."""
