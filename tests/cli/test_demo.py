# SPDX-License-Identifier: Apache-2.0
"""``e4 demo`` runs by itself, shows what it found, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from e4cli.demo.events import Claim, Sight
from e4cli.demo.screen import Pictures
from tests.cli.command import environment, program
from tests.forks import script
from tests.servers import Mosquitto, free_port
from tests.suites import EVERY, installed

PATIENCE_S = 120.0
SAID = "boiler room: 71.3 degrees"


def run(*options: str, folder: Path, **env: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [script() / "e4", "demo", *options],
        capture_output=True,
        check=False,
        cwd=folder,
        env=environment({"TMPDIR": str(folder), **env}),
        timeout=PATIENCE_S,
    )


def test_every_claim_is_shown_and_holds_and_nothing_is_left_behind(tmp_path: Path) -> None:
    # what a user has set for a C2 of their own must neither be used nor touched, save for its suite
    own = {
        "E4_DATA": str(tmp_path / "own"),
        "E4_KMS": "none:",
        "E4_TOKEN": "none",
        "E4_URL": "none",
    }
    done = run(folder=tmp_path, **own)
    text = done.stdout.decode()
    assert (done.returncode, done.stderr) == (0, b"")
    assert "Suite sk" in text
    assert "Suite pk" in text
    assert "✓ an old message, sent again, is refused as a replay" in text
    assert "✗" not in text
    assert f"All {text.count('✓')} claims hold." in text
    assert "\x1b" not in text
    assert list(tmp_path.iterdir()) == []


def test_scripts_get_each_claim_and_what_both_sides_saw(tmp_path: Path, mosquitto: Mosquitto) -> None:
    done = run("--suite", "pk", "--broker", mosquitto.uri, "--output", "json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    held = [event["held"] for event in events if event["event"] == "claim"]
    assert events[-1] == {"event": "end", "claims": len(held), "failed": 0}
    assert held == [True] * len(held)
    assert {event.get("suite") for event in events[:-1]} == {"pk"}
    first = next(event for event in events if event["event"] == "sight")
    assert first["said"] == SAID
    assert first["read"] == {"heater": SAID, "gateway": SAID, "panel": SAID, "visitor": "nothing"}
    assert SAID.encode() not in bytes.fromhex(first["seen"])


@pytest.mark.parametrize("suite", EVERY[2:])
def test_every_claim_holds_with_every_suite(tmp_path: Path, suite: str) -> None:
    installed(suite)
    done = run("--suite", suite, folder=tmp_path, OQS_INSTALL_PATH=os.environ.get("OQS_INSTALL_PATH", ""))
    text = done.stdout.decode()
    assert (done.returncode, done.stderr) == (0, b""), text
    assert f"Suite {suite}" in text
    assert f"All {text.count('✓')} claims hold." in text
    assert list(tmp_path.iterdir()) == []


def test_a_broker_that_is_not_there_is_17(tmp_path: Path) -> None:
    done = run("--suite", "sk", "--broker", f"mqtt://127.0.0.1:{free_port()}?timeout=1", folder=tmp_path)
    assert done.returncode == 17, done.stderr
    assert done.stderr.startswith(b"e4: ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("how", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 1)])
def test_a_demo_that_is_stopped_is_no_success_and_leaves_nothing_behind(
    tmp_path: Path, how: signal.Signals, code: int
) -> None:
    with subprocess.Popen(
        [*program(), "demo", "--output", "json"],
        stdout=subprocess.PIPE,
        env=environment({"TMPDIR": str(tmp_path)}),
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["event"] == "act"
        process.send_signal(how)
        process.stdout.read()
        assert process.wait(PATIENCE_S) == code
    assert list(tmp_path.iterdir()) == []


def test_where_no_tick_can_be_written_a_word_stands_for_it(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    script = """
from e4cli.demo.events import Claim, Sight
from e4cli.demo.screen import Pictures
screen = Pictures()
screen.show(Claim("one", True))
screen.show(Claim("two", False))
screen.show(Sight("a", "said", "t", bytes(100), {"b": "caf\\u00e9"}))
screen.end(2, 1)
"""
    subprocess.run([sys.executable, "-c", script], check=True, env=environment({"PYTHONIOENCODING": "ascii"}))
    text = capfdbinary.readouterr().out.decode("ascii")
    assert "ok one\n" in text
    assert "FAILED two\n" in text
    assert "100 bytes" in text
    assert "1 of 2 claims do not hold" in text


def test_pictures_show_both_sides(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    screen = Pictures()
    screen.begin("sk")
    screen.show(Claim("it holds", True))
    screen.show(Sight("a", "said", "t", b"\xab" * 20, {"b": "said", "c": "nothing"}))
    text = capfdbinary.readouterr().out.decode()
    assert "ab ab ab" in text
    assert "c: nothing" in text
