# SPDX-License-Identifier: Apache-2.0
"""All tests of a KMS driver: ``from e4conformance.testing.kms import *``, and ``e4_kms`` in the settings of pytest."""

from e4conformance.testing.requirements import all_of, e4_subject

__all__ = ["e4_subject", "test_kms"]

test_kms = all_of("kms")
