# SPDX-License-Identifier: Apache-2.0
"""The suites of this project, and their parts by library: `pyca` (cryptography) and `sodium` (PyNaCl)."""
