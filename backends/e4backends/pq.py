# SPDX-License-Identifier: Apache-2.0
"""The suite ``pq``: ML-KEM-768 and ML-DSA-65 by liboqs. ``pq-pyca`` is the same by `cryptography`, and the two interoperate."""

from __future__ import annotations

from e4backends import oqs
from e4backends.pairs import paired_suite
from e4backends.pyca import Siv

SUITE = paired_suite("pq", "pq", Siv(), oqs.ml_dsa_65(), oqs.ml_kem_768())
