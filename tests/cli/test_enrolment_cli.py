# SPDX-License-Identifier: Apache-2.0
"""Devices enrol themselves at a C2 that is at work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from e4cli import exits
from e4core.errors import AuthenticationFailed, Conflict, Denied
from tests.cli.c2_server import C2
from tests.cli.devices import loaded
from tests.cli.test_c2_cli import topic

CODE = exits.code_of


def token(c2: C2, name: str, *options: str) -> tuple[dict[str, Any], Path]:
    file = c2.folder / f"{name}.token"
    made = c2.answer("enrolment", "create", name, "--clients", f"{name}/*", "--out", str(file), *options)
    return made, file


def enrol(c2: C2, name: str, file: Path) -> Any:
    return c2.run("device", "enrol", name, "--token-file", file, "--state", f"{name.replace('/', '-')}.state")


def test_a_device_enrols_itself_and_is_a_member(c2: C2) -> None:
    of = topic(c2)
    made, file = token(c2, "hall", "--topic", of)
    assert made["uses"] == 1
    assert "token" not in made
    done = enrol(c2, "hall/1", file)
    assert done.code == 0, done.stderr
    shown = c2.answer("clients", "show", "hall/1")
    state = loaded(c2.folder / "hall-1.state")
    assert shown["id"] == state.client_id.hex()
    assert [each["name"] for each in c2.answer("topics", "members", of)] == ["hall/1"]
    assert c2.answer("enrolment", "show", made["id"])["uses"] == 0
    text = file.read_text().strip()
    assert all(text not in each for each in c2.told)
    # as after a crash that lost the answer
    again = enrol(c2, "hall/1", file)
    assert again.code == 0, again.stderr
    assert loaded(c2.folder / "hall-1.state") == state
    refused = enrol(c2, "hall/2", file)
    assert refused.code == CODE(Denied())
    assert not (c2.folder / "hall-2.state").exists()


def test_an_interrupted_try_goes_on_with_the_key_that_it_made(c2: C2) -> None:
    _, file = token(c2, "wing")
    state = c2.folder / "wing-1.state"
    broken = c2.run("device", "enrol", "wing/1", "--token-file", file, "--state", state, "--url", "http://127.0.0.1:9")
    assert broken.code != 0
    assert enrol(c2, "wing/1", file).code == 0
    other = c2.run("device", "enrol", "wing/2", "--token-file", file, "--state", state)
    assert other.code == CODE(Conflict())


def test_revoked_and_unknown_tokens_are_refused_alike(c2: C2) -> None:
    made, file = token(c2, "gate")
    c2.ok("enrolment", "revoke", made["id"])
    revoked = enrol(c2, "gate/1", file)
    file.write_text("e4e_" + "A" * 43 + "\n")
    unknown = enrol(c2, "gate/1", file)
    assert (revoked.code, revoked.stderr) == (unknown.code, unknown.stderr)
    assert revoked.code == CODE(Denied())


def test_an_enrolment_token_opens_nothing_else(c2: C2) -> None:
    _, file = token(c2, "door")
    with c2.served.stranger(file.read_text().strip()) as http:
        paths = json.loads(c2.served.http.get("/v1/openapi.json").content)["paths"]
        for path, methods in paths.items():
            for method in methods:
                if path in ("/v1/enrol", "/v1/health", "/v1/ready", "/livez", "/readyz", "/v1/livez", "/v1/readyz"):
                    continue
                answer = http.request(method.upper(), path.replace("{", "").replace("}", ""), json={})
                assert answer.status_code in (401, 403, 404, 422), (method, path, answer.text)
        assert http.get("/v1/clients").status_code == 403
    assert c2.served.http.get("/v1/enrol").status_code == 403


@pytest.mark.parametrize("body", [{"proof": "AAAA"}, {"proof": "!"}, {"proof": ""}])
def test_a_proof_that_is_none_registers_nobody(c2: C2, body: dict[str, str]) -> None:
    _, file = token(c2, "yard")
    with c2.served.stranger(file.read_text().strip()) as http:
        asked = {"name": "yard/1", "key": "A" * 43 + "=", "c2_key": 0, **body}
        assert http.post("/v1/enrol", json=asked).status_code == 422
    file.unlink()
    assert CODE(AuthenticationFailed()) != 0
    assert c2.run("clients", "show", "yard/1").code != 0
