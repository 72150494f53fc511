# SPDX-License-Identifier: Apache-2.0
"""What holds for every suite: the conformance kit, for the suites that pyproject.toml names."""

from e4conformance.testing.suite import *
