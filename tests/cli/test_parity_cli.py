# SPDX-License-Identifier: Apache-2.0
"""What the HTTP API can do, the command ``e4`` can: every operation that is described is asked by a command, as described."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from e4c2.audit.records import beginning
from e4c2.audit.signing import PublicKey
from e4core.plugins import load_suite
from scripts import reference
from tests.cli.command import e4, running
from tests.cli.described import OPERATIONS, Described, least

NO_COMMAND: Mapping[str, str] = {
    "GET /v1/health": "a probe, which says less than GET /v1/ready",
}
"""Operations without a command, and why."""

COMMANDS: Mapping[str, str] = {
    "GET /v1/self": "whoami",
    "GET /v1/c2": "c2 show",
    "GET /v1/c2/laggards": "c2 laggards",
    "GET /v1/key-changes": "clients key-changes",
    "POST /v1/c2/key": "c2 new-key --reason routine",
    "POST /v1/c2/key/finish": "c2 finish",
    "POST /v1/c2/key/abort": "c2 abort",
    "GET /v1/ready": "c2 ready",
    "GET /v1/c2/health": "c2 health",
    "GET /v1/approvals": "approvals list",
    "GET /v1/approvals/{approval}": f"approvals show {'0' * 32}",
    "POST /v1/approvals/{approval}/approve": f"approvals approve {'0' * 32}",
    "POST /v1/approvals/{approval}/refuse": f"approvals refuse {'0' * 32}",
    "GET /v1/audit": "audit list --principal token/x --action topics_rotate --since 2027-01-01",
    "GET /v1/audit/log": "audit key",
    "GET /v1/audit/checkpoints": "audit checkpoints",
    "GET /v1/audit/verification": "audit verify",
    "POST /v1/audit/prune": "audit prune --before 2027-01-01 --yes",
    "POST /v1/clients/batch": "clients import fleet.csv",
    "POST /v1/clients/batch/remove": "clients remove pump valve",
    "POST /v1/clients": "clients create pump --key key",
    "GET /v1/clients": "clients list",
    "GET /v1/clients/{client}": "clients show pump",
    "DELETE /v1/clients/{client}": "clients remove pump --wait-s 5",
    "GET /v1/clients/{client}/topics": "clients topics pump",
    "GET /v1/clients/{client}/holdings": "clients holdings pump",
    "POST /v1/clients/{client}/key": "clients new-key pump --reason compromised",
    "POST /v1/clients/{client}/key/confirm": "clients confirm-key pump",
    "POST /v1/clients/{client}/key/cancel": "clients cancel-key pump",
    "POST /v1/clients/{client}/c2-key/confirm": "clients confirm-c2-key pump",
    "POST /v1/clients/{client}/enrol": "clients enrol pump --key key",
    "POST /v1/clients/{client}/reset": "clients reset pump",
    "GET /v1/recovery": "recovery show",
    "POST /v1/recovery/compare": "recovery show --witnessed checkpoints.jsonl",
    "POST /v1/recovery/confirm": f"recovery confirm {'0' * 32} --yes",
    "GET /v1/clients/{client}/links": "links list pump",
    "POST /v1/clients/{client}/links": "links send pump valve",
    "DELETE /v1/clients/{client}/links": "links reset pump",
    "DELETE /v1/clients/{client}/links/{peer}": "links remove pump valve",
    "POST /v1/topics/batch": "clients import fleet.csv --create-topics",
    "POST /v1/topics/{topic}/members/batch": "clients import fleet.csv",
    "POST /v1/topics": "topics create plant",
    "GET /v1/topics": "topics list",
    "GET /v1/topics/{topic}": "topics show plant",
    "PATCH /v1/topics/{topic}": "topics aim plant --within 60",
    "DELETE /v1/topics/{topic}": "topics remove plant",
    "POST /v1/topics/{topic}/rotate": "topics rotate plant",
    "POST /v1/topics/{topic}/protect": "topics protect plant --in key",
    "POST /v1/topics/{topic}/unprotect": "topics unprotect plant --in key",
    "GET /v1/topics/{topic}/members": "topics members plant",
    "POST /v1/topics/{topic}/members": "topics join plant pump",
    "GET /v1/topics/{topic}/laggards": "topics laggards plant",
    "GET /v1/topics/{topic}/evicted": "topics evicted plant",
    "GET /v1/topics/{topic}/changes": "topics history plant",
    "POST /v1/topics/{topic}/evict": "topics leave plant pump --wait-s 5",
    "POST /v1/topics/{topic}/plans": "plans begin plant --quorum 0.9 --by-hand",
    "GET /v1/topics/{topic}/plans": "plans list plant",
    "GET /v1/topics/{topic}/plans/{plan}": "plans show plant",
    "POST /v1/topics/{topic}/plans/{plan}/activate": "plans activate plant --force",
    "POST /v1/topics/{topic}/plans/{plan}/abort": "plans abort plant",
    "GET /v1/commands": "commands list --client pump --state sent",
    "POST /v1/commands/{command}/retry": "commands retry 7",
    "GET /v1/operations/{operation}": f"commands show {'0' * 32}",
    "GET /v1/events": "events --after 5 --kind topic.rotated --kind topic.created",
    "GET /v1/events/stream": "events --follow --kind topic.rotated",
    "POST /v1/webhooks": "webhook create siem https://siem.example --kind topic.rotated --out secret",
    "GET /v1/webhooks": "webhook list",
    "GET /v1/webhooks/{webhook}": "webhook show siem",
    "PATCH /v1/webhooks/{webhook}": "webhook change siem https://siem.example --all-kinds",
    "DELETE /v1/webhooks/{webhook}": "webhook remove siem",
    "POST /v1/webhooks/{webhook}/resume": "webhook resume siem",
    "POST /v1/webhooks/{webhook}/test": "webhook test siem",
    "POST /v1/tokens": "token create ci --role viewer --days 1 --out token",
    "GET /v1/tokens": "token list",
    "GET /v1/tokens/{token}": f"token show {'0' * 32}",
    "DELETE /v1/tokens/{token}": f"token revoke {'0' * 32}",
    "POST /v1/identities": "identity create ops --san dns:ops.example --role viewer --clients 'pump*'",
    "GET /v1/identities": "identity list",
    "GET /v1/identities/{identity}": f"identity show {'0' * 32}",
    "DELETE /v1/identities/{identity}": f"identity remove {'0' * 32}",
    "POST /v1/enrolments": "enrolment create line1 --clients 'pump*' --topic plant --uses 2 --expires 1h --out token",
    "GET /v1/enrolments": "enrolment list",
    "GET /v1/enrolments/{enrolment}": f"enrolment show {'0' * 32}",
    "DELETE /v1/enrolments/{enrolment}": f"enrolment revoke {'0' * 32}",
    "GET /v1/enrol": "device enrol pump --token-file enrolment --state state",
    "POST /v1/enrol": "device enrol pump --token-file enrolment --state state",
    "GET /v1/kms": "kms status",
    "GET /v1/kms/providers": "kms status",
    "POST /v1/kms/deks/{purpose}/{version}/rotate": "kms rotate --no-wait",
    "POST /v1/kms/deks/{purpose}/{version}/wraps": "kms add-wrap file:new --first",
    "POST /v1/kms/deks/{purpose}/{version}/wraps/remove": "kms remove-wrap file:old",
    "POST /v1/kms/deks/{purpose}/{version}/wraps/rewrap": "kms rewrap file:old",
    "POST /v1/kms/deks/{purpose}/{version}/wraps/check": "kms verify",
    "POST /v1/kms/deks/{purpose}/{version}/retire": "kms retire --purpose lookup --version 1 --yes",
    "GET /v1/kms/rows": "kms verify",
}
"""Each operation, and a command that asks it."""

SUITE = load_suite("sk")
DATABASE = bytes(16)
BEGINNING = beginning(DATABASE).hex()
ED25519 = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
"""A public key, of RFC 8032, section 7.1."""


def page(schema: str, /, **fields: Any) -> dict[str, Any]:
    return {"items": [{**least({"$ref": f"#/components/schemas/{schema}"}), **fields}]}


def result(name: str) -> dict[str, Any]:
    item = least({"$ref": f"#/components/schemas/{name}"})
    return {"results": [{"status": 201, "problem": None, "item": item}]}


DEK = {"purpose": "records", "version": 1, "state": "active"}
WRAPS = [{"uri": uri, "key_id": "x", "mechanism": "x"} for uri in ("file:old", "file:other")]
KMSES = [{"uri": uri, "failure": None} for uri in ("file:old", "file:other", "file:new")]
NAMED = {"suite": SUITE.name, "wire_name": SUITE.wire_name}
MORE: Mapping[str, Mapping[str, Any]] = {
    "GET /v1/c2": {**NAMED, "symmetric": True, "c2_keys": []},
    "GET /v1/enrol": NAMED,
    "POST /v1/clients/batch": result("Client"),
    "POST /v1/clients/batch/remove": {"operation": least({"$ref": "#/components/schemas/Operation"})},
    "POST /v1/topics/batch": result("Topic"),
    "GET /v1/audit": {"items": []},
    "GET /v1/audit/checkpoints": {"items": []},
    "GET /v1/audit/log": {
        "public_key": str(PublicKey(DATABASE, "ed25519", bytes.fromhex(ED25519))),
        "base": 0,
        "base_hash": BEGINNING,
        "last": 0,
        "last_hash": BEGINNING,
    },
    "GET /v1/webhooks": page("Webhook", name="siem"),
    "POST /v1/webhooks/{webhook}/test": {"status": 204},
    "GET /v1/kms": {"deks": [{**DEK, "wraps": WRAPS}], "behind": dict.fromkeys(("records", "authority"), 0)},
    "GET /v1/kms/providers": {"items": KMSES},
    "GET /v1/operations/{operation}": {"counts": {}},
}
"""What answers need beside the least, for the command to go on."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    key = os.urandom(32)
    files = {
        "key": key,
        "enrolment": b"e4e_x\n",
        "checkpoints.jsonl": b'{"number": 1, "hash": "", "time": 1, "database": "", "signature": ""}\n',
        "fleet.csv": b"name,key,topics\npump,MDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMTE=,plant\n",
    }
    for name, data in files.items():
        (tmp_path / name).touch(0o600)
        (tmp_path / name).write_bytes(data)
    return tmp_path


def test_every_operation_has_a_command_or_a_reason_to_have_none() -> None:
    assert sorted({*COMMANDS, *NO_COMMAND}) == sorted(OPERATIONS)
    assert not set(COMMANDS) & set(NO_COMMAND)


def test_every_command_that_asks_a_c2_is_named() -> None:
    """So that none is forgotten when operations are."""
    asking = {name for name, of in reference.commands() if "profile" in {each.name for each in of.params}}
    named = {name for line in COMMANDS.values() for name in asking if line.startswith(f"{name} ") or line == name}
    assert asking - named == OF_OTHERS


OF_OTHERS = {"doctor", "login", "logout", "clients export", "audit export", "kms migrate"}
"""Commands that ask what others ask too, or nothing."""


@pytest.mark.parametrize("operation", COMMANDS)
def test_a_command_asks_its_operation_as_it_is_described(operation: str, folder: Path) -> None:
    c2 = Described(MORE)
    with c2.serving() as url:
        env = {"E4_URL": url, "E4_TOKEN": "e4_x"}
        words = shlex.split(COMMANDS[operation])
        if "--follow" in words:
            with running(*words, env=env) as process:
                assert process.line()
        else:
            done = e4(*words, "--output", "json", env=env, cwd=folder)
            assert done.returncode == 0, done.stderr.decode()
    assert c2.wrong == []
    assert operation in c2.asked
