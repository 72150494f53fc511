# SPDX-License-Identifier: Apache-2.0
"""The KMS of a C2 goes away until its keys are held no longer: nobody can be known then, and everybody is told which KMS fails."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from e4c2 import locksmith
from e4kms import file as kek_file
from e4kms.pkcs11 import Pkcs11Kms
from tests.c2.served import PATIENCE_S, problem, serving, settings_in
from tests.cli.c2_server import C2
from tests.kms.pkcs11.tokens import Token

FAILS = "; of the KMSes in the C2's settings these fail: number 2, pkcs11 (kms_unavailable)"


@pytest.mark.parametrize("token", ["softhsm"], indirect=True)
def test_which_kms_fails_and_how_is_told_without_its_name(
    token: Token, kms: Pkcs11Kms, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locksmith, "LOOK_EVERY_S", 0.01)
    kek_file.create(other := tmp_path / "other.json")
    uri = token.uri(key)
    with serving(settings_in(tmp_path, kms=uri)):
        pass
    with (
        serving(settings_in(tmp_path, keys_used=1000, kms=(other.as_uri(), uri))) as served,
        served.stranger() as any_one,
    ):
        token.lose()
        try:
            deadline = time.monotonic() + PATIENCE_S
            told = ""
            while not told.endswith(FAILS):  # each look at the rows is a few uses of the keys
                assert time.monotonic() < deadline, told
                answer = served.http.get("/v1/kms/rows")
                told = "" if answer.is_success else problem(answer, 503, "kms_unavailable")["detail"]
            assert C2(served, tmp_path).refused(14, "kms", "status") == f"the C2 failed: {told}"
            assert problem(any_one.get("/v1/ready"), 503, "kms_unavailable")["detail"].endswith(FAILS)
        finally:
            token.restore()
            kms.check()  # or else the module does not see it again
