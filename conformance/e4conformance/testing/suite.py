# SPDX-License-Identifier: Apache-2.0
"""All tests of a suite: ``from e4conformance.testing.suite import *``, and ``e4_suite`` in the settings of pytest."""

from e4conformance.testing.requirements import all_of, e4_subject

__all__ = ["e4_subject", "test_suite"]

test_suite = all_of("suite")
