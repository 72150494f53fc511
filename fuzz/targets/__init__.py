# SPDX-License-Identifier: Apache-2.0
"""The targets, by what they examine."""
