# SPDX-License-Identifier: Apache-2.0
"""All tests of a port: ``from e4conformance.testing.port import *``, and ``e4_port`` in the settings of pytest."""

from e4conformance.testing.requirements import all_of, e4_subject

__all__ = ["e4_subject", "test_port"]

test_port = all_of("port")
