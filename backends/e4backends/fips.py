# SPDX-License-Identifier: Apache-2.0
"""The suites ``fips-sk`` and ``fips-pk``: primitives that FIPS 140-3 approves, and no others (`format2.md` section 1).

Whether a validated module computes them is another matter: see `e4backends.modules`.
"""

from __future__ import annotations

from dataclasses import replace

from e4backends.p256 import Ecdh, Ecdsa
from e4backends.pairs import TokenPairedIdentity, suite_of
from e4backends.pyca import Gcm, Sha3
from e4backends.sk import symmetric_suite

_AEAD, _SHA3_256 = Gcm(), Sha3()
_PAIRS = TokenPairedIdentity(Ecdsa(), Ecdh())

SUITE_SK = replace(symmetric_suite("fips-sk", "fips-sk", _AEAD), hash=_SHA3_256, approved=True)
SUITE_PK = replace(suite_of("fips-pk", "fips-pk", _AEAD, _PAIRS, sha3_256=_SHA3_256), approved=True)
