# SPDX-License-Identifier: Apache-2.0
"""Fuzzing of every parser of bytes from outside (``docs/guides/fuzz.md``)."""
