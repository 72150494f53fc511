# SPDX-License-Identifier: Apache-2.0
"""``e4 backup`` and ``e4 doctor`` as an operator types them, and a restore that is killed."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

from tests.c2.served import serving, settings_in
from tests.cli.command import PATIENCE_S, answer, e4, ok, refused


def test_a_database_is_backed_up_lost_and_restored(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    env = {"E4_DATA": str(settings.data), "E4_BROKER": settings.broker, "E4_PORT": "0"}
    file = tmp_path / "backup"
    with serving(settings) as c2:
        c2.topic("t")
        made = answer("backup", "create", file, env=env)
        assert (made["topic"], made["client"], made["suite"]) == (1, 0, "sk")
        assert "exists already" in refused(9, "backup", "create", file, env=env)
        assert "stop it first" in refused(9, "backup", "restore", file, env=env)
        (told,) = c2.http.get("/v1/audit", params={"action": "backup_made"}).json()["items"]
        assert told["objects"] == [f"backup:{made['id']}"]
        c2.topic("u")
        assert c2.http.get("/v1/audit/verification").status_code == 200
    assert answer("backup", "show", file, env=env)["id"] == made["id"]
    assert answer("backup", "verify", file, env=env)["verified_rows"] > 0
    assert "not empty" in refused(9, "backup", "restore", file, env=env)
    (tmp_path / "cut").write_bytes(file.read_bytes()[:-1])
    assert "cut short" in refused(16, "backup", "verify", tmp_path / "cut", env=env)
    assert "no backup" in refused(3, "backup", "show", settings.data / "kek.json", env=env)
    new = tmp_path / "new.sqlite"
    done = e4("backup", "restore", file, "--database", new, "--output", "json", env=env)
    assert done.returncode == 0, done.stderr
    assert b"e4_" not in done.stdout  # nobody looks: it is in its file alone
    told = e4("doctor", "--output", "json", env={**env, "E4_DATABASE": str(new)})
    assert told.returncode == 1
    assert b"was restored from a backup" in told.stdout
    assert told.stderr.splitlines()[-1].endswith(b"checks fail; the table says what to do")


def test_a_restore_that_is_killed_can_only_be_restored_again(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    file, new = tmp_path / "backup", tmp_path / "new.sqlite"
    env = {"E4_DATA": str(settings.data), "E4_BROKER": settings.broker, "E4_PORT": "0"}
    with serving(settings) as c2:
        c2.topic("t")
        ok("backup", "create", file, env=env)
    kek = (settings.data / "kek.json").as_uri()
    killed = subprocess.run([sys.executable, "-c", DYING, str(file), str(new), kek], check=False, timeout=PATIENCE_S)
    assert killed.returncode == -signal.SIGKILL
    env["E4_DATABASE"] = str(new)
    assert "do it again" in refused(18, "serve", env=env)
    assert "do it again" in refused(18, "backup", "create", tmp_path / "other", env=env)
    ok("backup", "restore", file, env=env)
    assert sqlite3.connect(new).execute("SELECT state FROM recovery").fetchone() == ("paused",)


DYING = """
import os, signal, sys, time
from pathlib import Path
from e4c2.recovery.backups import Keys, restore
from e4core.plugins import load_suite
from e4kms.file import open_kms

_, file, new, kek = sys.argv
keys = Keys(load_suite("sk"), {"file:kek.json": open_kms(kek)}, time.time)
restore(Path(file), Path(new), keys, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
"""
