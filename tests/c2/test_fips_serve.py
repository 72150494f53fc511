# SPDX-License-Identifier: Apache-2.0
"""``e4 serve`` with ``require_fips``, on a real FIPS provider and with its keys in SoftHSM, which is on that provider too.

One thing is feigned: the kernel's flag, for machines that run tests have another kernel. Who opens that file is given another one.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.backends.fips_here import environment
from tests.c2.served import PATIENCE_S, created, operation
from tests.c2.test_app_command import Process
from tests.cli.command import PROGRAM, refused
from tests.servers import tool

KERNEL = """
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
int open64(const char *path, int flags, ...) {
    va_list mode;
    va_start(mode, flags);
    if (!strcmp(path, "/proc/sys/crypto/fips_enabled"))
        path = getenv("FEIGNED");
    return syscall(SYS_openat, AT_FDCWD, path, flags, va_arg(mode, int));
}
int open(const char *path, int flags, ...) __attribute__((alias("open64")));
"""
NOT_APPROVED, NO_PLUGIN = 3, 12
MODULE = "/usr/lib/softhsm/libsofthsm2.so"
PIN = "soft-hsm-pin-4711"
MAKE_KEK = """
import sys
from contextlib import closing
from e4core.plugins import load_kms
with closing(load_kms(sys.argv[1])) as kms:
    kms.create_key()
"""
DEVICE = """
import sys
from e4cli.main import app
state, broker = sys.argv[1:]
app(["clients", "create", "lamp", "--generate", "--state", state, "--output", "json"], standalone_mode=False)
print(flush=True)
both = ["--subscribe", "hall", "--publish", "hall"]
work = ["device", "run", "--state", state, "--broker", broker, "--hello-delay", "0", *both, "--output", "json"]
app(work, standalone_mode=False)
"""
STARTS = """
import json, os, sys
import e4c2.app, e4c2.settings  # each start is a fork of this, which has imported everything
from e4cli.main import main
for name, settings in json.loads(sys.argv[1]).items():
    if child := os.fork():
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        continue
    os.environ.update(settings)
    os.dup2(os.open(name, os.O_CREAT | os.O_WRONLY), 2)
    sys.argv[1:] = ["serve"]
    main()
"""
REFUSED = {
    "passphrase": ({"E4_KMS": "passphrase:env:PHRASE"}, "a KMS of passphrase: "),
    "one of two": ({"E4_KMS": "{kek} shamir:2?share=file:a&share=file:b"}, "a KMS of shamir: "),
    "C2 key": ({"E4_C2_KEY": "acme:key-{{version}}"}, "a C2 key of acme: "),
    "kernel": ({"FEIGNED": "/dev/null"}, "the kernel, which random numbers come from, is not in FIPS mode"),
}
"""Settings, and what is said against them, which is all that is said."""
NOT_THERE = ("sk", "pq-hybrid")
"""Suites that may not even load, as a provider has no AES-SIV, and perhaps no ML-KEM."""


@dataclass(frozen=True)
class Site:
    """Environments: ``provider`` for whoever computes on the provider, ``c2`` for a C2 that may start."""

    provider: dict[str, str]
    c2: dict[str, str]
    kek: str


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.mktemp("fips")
    provider = {**environment(folder), "SOFTHSM2_CONF": str(folder / "softhsm2.conf")}
    (folder / "tokens").mkdir()
    (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder}/tokens\nlog.level = ERROR\n")
    (folder / "pin").touch(0o600)
    (folder / "pin").write_text(PIN)
    kek = f"pkcs11:token=fips;object=kek?module-path={MODULE}&pin-source=file:{folder}/pin"
    init = [
        tool("softhsm2-util", "softhsm2"),
        "--init-token",
        "--free",
        "--label",
        "fips",
        "--so-pin",
        PIN,
        "--pin",
        PIN,
    ]
    for command in (init, [sys.executable, "-c", MAKE_KEK, kek]):
        subprocess.run(
            command, env={**os.environ, **provider}, check=True, stdout=subprocess.DEVNULL, timeout=PATIENCE_S
        )
    (folder / "fips_enabled").write_text("1\n")
    feigned = {"LD_PRELOAD": str(feigned_kernel(folder)), "FEIGNED": str(folder / "fips_enabled")}
    own = {
        "E4_REQUIRE_FIPS": "true",
        "E4_SUITE": "fips-pk",
        "E4_KMS": kek,
        "E4_C2_KEY": kek.replace("object=kek", "object=c2-{version}"),
    }
    return Site(provider, {**provider, **feigned, **own}, kek)


def feigned_kernel(folder: Path) -> Path:
    """A library to be loaded before all others."""
    source, library = folder / "kernel.c", folder / "kernel.so"
    source.write_text(KERNEL)
    subprocess.run([tool("cc", "gcc"), "-shared", "-fPIC", "-o", str(library), str(source)], check=True, timeout=60)
    return library


def test_it_enrols_a_device_commands_it_and_sees_it_confirmed(site: Site, tmp_path: Path) -> None:
    c2 = Process(tmp_path, **site.c2)
    try:
        confirmed(c2, site, tmp_path)
    finally:
        ended = c2.end(signal.SIGTERM)
    assert ended[::2] == (0, "")


def confirmed(c2: Process, site: Site, folder: Path) -> None:
    """A device on the same provider gets a key, sends and reads a message under it, and the C2 knows of the key."""
    topic = created(c2.http.post("/v1/topics", json={"name": "hall"}))["id"]
    with subprocess.Popen(
        [sys.executable, "-c", DEVICE, str(folder / "lamp.state"), c2.listening["broker"]],
        env={
            **os.environ,
            **site.provider,
            "E4_URL": c2.listening["url"],
            "E4_TOKEN_FILE": str(folder / c2.listening["admin_token_file"]),
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as device:
        assert device.stdin
        assert device.stdout
        try:
            lamp = json.loads("".join(iter(device.stdout.readline, "\n")))
            sent = operation(c2.http.post(f"/v1/topics/{topic}/members", json={"clients": [lamp["id"]]}))
            device.stdin.write("21.5\n")
            device.stdin.flush()
            assert [json.loads(device.stdout.readline())["event"] for _ in range(2)] == ["connected", "message"]
            counts, deadline = sent["counts"], time.monotonic() + PATIENCE_S
            while counts != {"confirmed": 1} and time.monotonic() < deadline:
                time.sleep(0.02)
                counts = c2.http.get(f"/v1/operations/{sent['id']}").json()["counts"]
        finally:
            device.kill()
    assert counts == {"confirmed": 1}


def test_the_doctor_finds_that_all_is_approved(site: Site, tmp_path: Path) -> None:
    done = subprocess.run(
        [*PROGRAM, "doctor", "--output", "json"],
        env={**os.environ, **site.c2},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    (found,) = (each for each in json.loads(done.stdout) if each["check"] == "fips")
    assert (found["level"], found["found"]) == ("ok", "everything in use is approved")


def test_it_does_not_start_with_anything_that_is_not_approved(site: Site, tmp_path: Path) -> None:
    settings = {
        name: {key: value.format(kek=site.kek) for key, value in wrong.items()} for name, (wrong, _) in REFUSED.items()
    }
    for suite in NOT_THERE:
        settings[suite] = {"E4_SUITE": suite}
    done = subprocess.run(
        [sys.executable, "-c", STARTS, json.dumps(settings)],
        env={**os.environ, **site.c2},
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    statuses = dict(zip(settings, map(int, done.stdout.split()), strict=True))
    assert {statuses[name] for name in REFUSED} == {NOT_APPROVED}
    for suite in NOT_THERE:
        assert statuses[suite] in (NOT_APPROVED, NO_PLUGIN)
        said = (tmp_path / suite).read_text()
        assert suite in said
        assert said.count("\n") == 1
    for name, (_, says) in REFUSED.items():
        said, advice = (tmp_path / name).read_text().removeprefix("e4: require_fips is set, but ").rsplit("; ", 1)
        assert said.startswith(says)
        assert ";" not in said
        assert advice == "see docs/guides/fips.md, or leave require_fips out\n"
    assert not (tmp_path / "e4-data").exists()


def test_it_does_not_start_on_the_default_provider(site: Site, tmp_path: Path) -> None:
    own = {name: value for name, value in site.c2.items() if name not in site.provider}
    said = refused(NOT_APPROVED, "serve", env={**own, "E4_DATA": str(tmp_path / "data")})
    for library in ("the library cryptography does not run", "Python's ssl and hashlib do not run"):
        assert f"{library} on the FIPS provider of OpenSSL" in said
    assert "kernel" not in said
    assert not (tmp_path / "data").exists()
