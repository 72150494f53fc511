# SPDX-License-Identifier: Apache-2.0
"""The suite ``pq-slh``: signatures that rest on a hash function alone. SLH-DSA-SHAKE-256f and ML-KEM-1024, both by liboqs."""

from __future__ import annotations

from e4backends import oqs
from e4backends.pairs import paired_suite
from e4backends.pyca import Siv

SUITE = paired_suite("pq-slh", "pq-slh", Siv(), oqs.slh_dsa(), oqs.ml_kem_1024())
