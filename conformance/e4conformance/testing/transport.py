# SPDX-License-Identifier: Apache-2.0
"""All tests of a transport: ``from e4conformance.testing.transport import *``, and ``e4_transport`` in the settings of pytest."""

from e4conformance.testing.requirements import all_of, e4_subject

__all__ = ["e4_subject", "test_transport"]

test_transport = all_of("transport")
