# SPDX-License-Identifier: Apache-2.0
"""What ``e4 doctor`` looks at without a database: settings, files, certificates, disk, libraries."""

from __future__ import annotations

import shutil
import sqlite3
import ssl
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509

from e4backends.modules import Modules
from e4c2 import app, approved
from e4c2.recovery.findings import Verdict, failure, ok, unknown, warning
from e4c2.settings import Settings
from e4c2.telemetry.instruments import Instruments
from e4c2.telemetry.metrics import Metrics
from e4core.errors import E4Error, InvalidInput
from e4core.plugins import load_suite
from e4core.uri import is_loopback

DAY_S = 24 * 3600
EXPIRES_SOON_S = 30 * DAY_S
ROOM_WARNING, ROOM_FAILURE = 2**30, 2**27
"""Bytes left on a disk."""
_OPEN_TO_OTHERS = 0o077
_OLD_SQLITE = (3, 35, 0)
"""Before this it knows no RETURNING, and its WAL mode has known errors."""

Look = Callable[[Settings, float], Verdict]


def kek_place(settings: Settings, _now: float) -> Verdict:
    place = settings.place
    files = [path for path in app.kek_files(settings) if path.exists()]
    if not files:
        return ok("no KEK lies in a file")
    if not isinstance(place, Path) or not place.exists():
        return ok("the KEK file is not beside the database")
    if any(path.resolve().parent == place.resolve().parent for path in files):
        return warning(
            f"the KEK {files[0]} lies beside the database: whoever copies the folder has both",
            "move it to a KMS or a token: e4 kms migrate --to URI",
        )
    if any(path.stat().st_dev == place.stat().st_dev for path in files):
        return warning(
            f"the KEK {files[0]} is on the same filesystem as the database: one disk image holds both",
            "move it to a KMS, a token or another disk: e4 kms migrate --to URI",
        )
    return ok("the KEK file is on another filesystem than the database")


def passphrase_kms(settings: Settings, _now: float) -> Verdict:
    named = [uri for uri in settings.kms if uri.startswith("passphrase:")]
    if named:
        return warning(
            "a passphrase wraps the keys of the database, and can be guessed offline by whoever has a copy",
            "make it long and random, or move to a KMS: e4 kms migrate --to URI",
        )
    return ok("no passphrase wraps the keys")


def kms_answers(settings: Settings, _now: float) -> Verdict:
    failing = [f"{uri} ({why})" for uri, why in _failing_kmses(settings)]
    if failing:
        return failure(f"does not answer: {', '.join(failing)}", "mend it: without any KMS the C2 does not start")
    return ok(f"{len(settings.kms)} in the settings, and all answer")


def private_files(settings: Settings, _now: float) -> Verdict:
    place = settings.place
    seen = [settings.data, *settings.data.glob("*"), *([place] if isinstance(place, Path) else [])]
    seen += [path for path in (settings.tls_key, *app.kek_files(settings)) if path]
    exposed = [path for path in seen if path.exists() and path.stat().st_mode & _OPEN_TO_OTHERS]
    if exposed:
        return failure(
            f"open to other users of this machine: {', '.join(map(str, exposed))}",
            "chmod go= on each, and change what it holds if they may have read it",
        )
    return ok("nobody else on this machine can read them")


def admin_token_file(settings: Settings, _now: float) -> Verdict:
    if settings.admin_token_file.exists():
        return warning(
            f"{settings.admin_token_file} still holds an admin token",
            "keep it elsewhere and remove the file; make one for each person: e4 token create",
        )
    return ok("no token lies in the data folder")


def api_address(settings: Settings, _now: float) -> Verdict:
    if settings.host.is_loopback:
        return ok("the API listens on this machine alone")
    return warning(
        f"the API listens at {settings.host}, which others reach", "let only those through who need it, by a firewall"
    )


def certificate(settings: Settings, now: float) -> Verdict:
    file = settings.tls_certificate
    if file is None:
        return ok("the API has no certificate, and listens on this machine alone")
    try:
        ends = x509.load_pem_x509_certificate(file.read_bytes()).not_valid_after_utc
    except (OSError, ValueError) as error:
        return failure(f"{file} cannot be read: {error}", "name a PEM file in tls_certificate")
    left = ends.timestamp() - now
    if left <= 0:
        return failure(f"{file} has expired on {ends:%Y-%m-%d}", "renew it")
    if left < EXPIRES_SOON_S:
        return warning(f"{file} expires on {ends:%Y-%m-%d}", "renew it")
    return ok(f"valid until {ends:%Y-%m-%d}")


def broker_tls(settings: Settings, _now: float) -> Verdict:
    parts = urlsplit(settings.broker)
    host = parts.hostname or ""
    if parts.scheme == "memory" or (host and is_loopback(host)):
        return ok("the broker is on this machine")
    if parts.scheme == "mqtts":
        return ok("TLS")
    return failure(
        f"the way to the broker at {host} is not encrypted: others see and change who talks to whom, and its password",
        "use mqtts:// in the setting broker",
    )


def disk_space(settings: Settings, _now: float) -> Verdict:
    place = settings.place
    folders = {settings.data, *([place.parent] if isinstance(place, Path) else [])}
    usages = [(shutil.disk_usage(folder).free, folder) for folder in folders if folder.exists()]
    if not usages:
        return unknown(f"{settings.data} does not exist", "start the C2 once: e4 serve")
    free, folder = min(usages)
    text = f"{free / 2**30:.1f} GiB free for {folder}"
    if free < ROOM_FAILURE:
        return failure(text, "make room: a C2 whose disk is full changes nothing any more")
    return warning(text, "make room") if free < ROOM_WARNING else ok(text)


def fips(settings: Settings, _now: float) -> Verdict:
    if not settings.require_fips:
        return ok("not asked for (require_fips)")
    try:
        approved.require(load_suite(settings.suite), settings.kms, settings.c2_key, Modules.of_this_process())
    except InvalidInput as error:
        return failure(str(error), "see docs/guides/fips.md")
    return ok("everything in use is approved")


def libraries(_settings: Settings, _now: float) -> Verdict:
    troubles = list(_troubles())
    return warning("; ".join(troubles), "update them") if troubles else ok("none with known trouble")


def clock(_settings: Settings, now: float) -> Verdict:
    if datetime.fromtimestamp(now, UTC).year < 2026:
        return failure("the clock is years behind", "set it, and keep it by NTP")
    return ok(f"{datetime.fromtimestamp(now, UTC):%Y-%m-%d %H:%M:%SZ}")


LOOKS: dict[str, Look] = {
    "kek beside database": kek_place,
    "passphrase": passphrase_kms,
    "kms": kms_answers,
    "files": private_files,
    "admin token file": admin_token_file,
    "api address": api_address,
    "certificate": certificate,
    "broker tls": broker_tls,
    "disk": disk_space,
    "fips": fips,
    "libraries": libraries,
    "clock": clock,
}


def _failing_kmses(settings: Settings) -> Iterator[tuple[str, str]]:
    stack = AsyncExitStack()
    for uri, kms in app.open_kmses(stack, settings, Instruments(Metrics(app.RELEASE))).items():
        try:
            kms.check()
        except E4Error as error:
            yield uri, str(error)
        finally:
            kms.close()


def _troubles() -> Iterator[str]:
    if sqlite3.sqlite_version_info < _OLD_SQLITE:
        yield f"SQLite {sqlite3.sqlite_version} is older than 3.35"
    if ssl.OPENSSL_VERSION_INFO < (3, 0):
        yield f"{ssl.OPENSSL_VERSION} is mended by nobody any more"
