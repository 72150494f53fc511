# SPDX-License-Identifier: Apache-2.0
"""The suite ``fast-sk``: fewer rounds than the standards, computed by the C extension `_fast` (sources: ``backends/fast``)."""
