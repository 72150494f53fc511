# SPDX-License-Identifier: Apache-2.0
"""Examples of guides that need a fleet are typed where there is one, each line of each ``sh`` block; of others it is said why not.

A page that shows a whole session has ``console`` blocks, which `test_sessions` plays.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.docs.session import ROOT, Session, Step
from tests.servers import free_port, tool

BLOCK = re.compile(r"^ *```sh\n(.*?)^ *```$", re.S | re.M)
DOCS = ROOT / "docs"
PAGES = {
    str(page.relative_to(DOCS)): page.read_text() for page in sorted(DOCS.rglob("*.md")) if "_build" not in page.parts
}
BLOCKS = {(name, block) for name, text in PAGES.items() for block in BLOCK.findall(text)}

NOT_TYPED: Mapping[str, str] = {
    "openssl version -m": "shows the OpenSSL of a machine in FIPS mode",
    "pip install --no-binary cryptography": "builds a library from its sources",
    'python -c "from e4backends.modules': "needs a FIPS provider; tests/backends has one",
    "E4_FIPS_PROVIDER=": "runs these tests with a provider of the reader's",
    "make liboqs": "builds a library from its sources",
    "e4 keygen --suite pq-pyca": "needs a cryptography with post-quantum primitives",
    "e4 clients create lamp --key lamp.pub": "as before",
    "e4 device init lamp --suite pq-pyca": "as before",
    "e4 conformance port ": "needs a port in another language; tests/examples has one",
    "e4 -v conformance port ./port": "as before",
    "sed -n 's/^e4: > //p'": "as before",
    "make fuzz": "takes minutes; tests/fuzz runs the targets",
    "pip install grpcio-tools": "test_grpc_page does what it does",
    "printf 'authorization: Bearer": "needs grpcurl",
    "e4 --show-completion >": "writes into the home of the reader; tests/cli/test_completion does it elsewhere",
}
"""How a block begins -> why nobody types it."""


@dataclass(frozen=True)
class World:
    """Where blocks of a page are typed: those that begin with ``only``, and that no world before this one has.

    ``first`` is typed before it all, ``before`` before a line that begins so. ``instead``: what only a reader has, and what
    that is here.
    """

    first: str
    only: str = ""
    before: Mapping[str, str] = field(default_factory=dict)
    instead: Mapping[str, str] = field(default_factory=dict)


FIELD = "python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])'"
AS_LINES = """python3 -c 'import json, sys; print(*map(json.dumps, json.load(sys.stdin)), sep="\\n")'"""
KEY = f"$(e4 audit key -o json | {FIELD} public_key)"
AUDIT = """
e4 serve
e4 topics create plant
until e4 audit checkpoints | grep -q number; do sleep 0.2; done
"""

WORLDS: list[tuple[str, World]] = [
    (
        "guides/rotate-safely.md",
        World(
            """
        E4_SUITE=fast-sk e4 serve
        e4 topics create plant/temperature
        for name in pump-7 old-1 old-2 old-3 old-4; do e4 clients create $name --generate; done
        e4 topics join plant/temperature pump-7 old-1 old-2 old-3 old-4
        """
        ),
    ),
    (
        "guides/enrol-devices.md",
        World(
            """
        E4_SUITE=pk e4 serve
        e4 topics create plant1/state
        e4 topics create plant1/alarm
        """,
            before={
                "e4 clients create --qr": """
                e4 device qr plant1/press --state press.state | tail -n 1 > scan.txt
                e4 clients remove plant1/press
                """,
                "e4 clients import fleet.csv --dry-run": "e4 clients remove plant1/press",
            },
            instead={"--url https://c2.example --ca ca.pem": "--url http://127.0.0.1:8884"},
        ),
    ),
    (
        "guides/operate.md",
        World(
            """
        E4_PROTECT=true E4_UNPROTECT=true e4 serve
        e4 topics create plant-1/door
        """,
            only="echo -n",
        ),
    ),
    (
        "guides/operate.md",
        World(
            """
        E4_SUITE=pk E4_OIDC_ISSUER=https://login.example/realms/plant E4_OIDC_AUDIENCE=e4 e4 serve
        e4 clients create lamp --generate
        e4 clients create switch --generate
        """,
            instead={"8c1f...": "8c1f4d2a", "3f:9a:...": "3f:9a" + 30 * ":00"},
        ),
    ),
    (
        "guides/audit.md",
        World(
            AUDIT,
            before={"e4 audit verify --public-key": "until test -s checkpoints.jsonl; do sleep 0.1; done"},
            instead={
                "token/4f…": "token/4f00",
                "ed25519:…": KEY,
                "mqtts://broker.example:8883": "$(cat e4-data/broker-uri)",
                " --config /etc/e4/e4.toml": "",
                "--before 2027-01-01": "--before $(date -d tomorrow +%F) --yes",
            },
        ),
    ),
    (
        "guides/backup-and-restore.md",
        World(
            f"""
        export E4_PORT=0 E4_BROKER=memory:backup
        command e4 serve > lost.log & lost=$!; until test -s lost.log; do sleep 0.1; done; url=$(grep -o 'http://[^,]*' lost.log)
        command e4 topics create plant --url $url
        until command e4 audit checkpoints --url $url | grep -q number; do sleep 0.2; done
        command e4 audit checkpoints --url $url -o json | {AS_LINES} > checkpoints.jsonl
        """,
            before={
                "e4 backup restore": "kill -TERM $lost; wait $lost",
                "e4 serve": "export E4_DATABASE=$PWD/restored.sqlite",
            },
            instead={
                "/backup/e4-2026-11-22": "e4-2026-11-22",
                "postgresql://e4@db.example/e4new": "restored.sqlite",
                "1f0c...": f"$(e4 recovery show -o json | {FIELD} backup)",
            },
        ),
    ),
]


def lines_of(block: str) -> Iterator[str]:
    """Its commands, those over several lines as one."""
    for line in re.sub(r"\\\n", " ", block).splitlines():
        if line.strip():
            yield line.strip()


def blocks_of(page: str, world: World) -> list[str]:
    """Those of a page that are typed in this world."""
    worlds = [each for name, each in WORLDS if name == page]
    free = [block for block in BLOCK.findall(PAGES[page]) if not why_not(block)]
    return [
        block for block in free if next((each for each in worlds if block.strip().startswith(each.only)), None) is world
    ]


def typed(world: World, blocks: Iterable[str]) -> Iterator[str]:
    yield from lines_of(world.first)
    for line in (line for block in blocks for line in lines_of(block)):
        for beginning, more in world.before.items():
            if line.startswith(beginning):
                yield from lines_of(more)
        here = line
        for shown, instead in world.instead.items():
            here = here.replace(shown, instead)
        yield here


def why_not(block: str) -> str | None:
    return next((why for beginning, why in NOT_TYPED.items() if block.strip().startswith(beginning)), None)


def test_every_block_is_typed_or_it_is_said_why_not() -> None:
    done = {(name, block) for name, world in WORLDS for block in blocks_of(name, world)}
    assert sorted((name, block) for name, block in BLOCKS - done if not why_not(block)) == []
    assert [each for each in NOT_TYPED if not any(block.strip().startswith(each) for _, block in BLOCKS)] == []


@pytest.mark.parametrize(("name", "world"), WORLDS, ids=lambda each: each if isinstance(each, str) else "")
def test_what_a_guide_says_to_type_works(name: str, world: World, tmp_path: Path) -> None:
    tool("bash", "bash")
    blocks = blocks_of(name, world)
    assert blocks
    for shown in (*world.before, *world.instead):
        assert any(shown in block for block in blocks), f"{shown} is not on the page any more"
    with Session(tmp_path, free_port(), free_port()) as session:
        for text in re.findall(r"^```text\n(name,key,topics\n.*?)^```$", PAGES[name], re.S | re.M):
            (tmp_path / "here" / "fleet.csv").write_text(text)
            (tmp_path / "here" / "fleet.csv").chmod(0o600)
        for line in typed(world, blocks):
            session.run(Step(line))
        session.end()
