# SPDX-License-Identifier: Apache-2.0
"""The suite ``pq-falcon``: small signatures. Falcon-512, padded, and ML-KEM-512, both by liboqs."""

from __future__ import annotations

from e4backends import oqs
from e4backends.pairs import paired_suite
from e4backends.pyca import Siv

SUITE = paired_suite("pq-falcon", "pq-falcon", Siv(), oqs.falcon_512(), oqs.ml_kem_512())
