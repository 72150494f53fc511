# SPDX-License-Identifier: Apache-2.0
"""The library of the port in C where its hardware fails: what could not be saved has not happened, and is done when asked again."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections import Counter
from collections.abc import Callable

import pytest

from e4conformance.ports.client import Port, Refusal
from e4conformance.ports.device import PortDevice
from e4conformance.ports.links import opener
from e4core import command, command2
from e4core.control2 import seal_command
from e4core.keys import ClientId, FullTopicHash, TopicHash, TopicKey
from e4core.plugins import load_suite
from tests.examples.port_c import SOURCES, built

DEVICE = ClientId(bytes(range(16)))
PRIVATE, KEY = bytes(range(1, 33)), TopicKey(bytes(range(33, 65)))
NOW = 1_700_000_000
OK, STORAGE, FAILED = b"ok", b"storage", b"failed"
STATE = 65_536
"""More bytes than any state has."""
SK, FIPS_SK = load_suite("sk"), load_suite("fips-sk")


class Bytes(ctypes.Structure):
    _fields_ = [("data", ctypes.c_char_p), ("length", ctypes.c_size_t)]

    @classmethod
    def of(cls, data: bytes) -> Bytes:
        return cls(data, len(data))


RANDOM = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
STORE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t)


class Platform(ctypes.Structure):
    _fields_ = [("context", ctypes.c_void_p), ("random", RANDOM), ("save", STORE), ("load", STORE)]


class Identity(ctypes.Structure):
    _fields_ = [("suite", ctypes.c_int), ("id", ctypes.c_uint8 * 16), ("key", ctypes.c_uint8 * 32)]


class Settings(ctypes.Structure):
    _fields_ = [("skew", ctypes.c_uint64), ("clock_trusted", ctypes.c_int)]


class Hardware:
    """One device, whose storage and generator fail when told to."""

    def __init__(self, library: ctypes.CDLL, suite: int) -> None:
        self._library = library
        library.e4_kind.restype = ctypes.c_char_p
        self._state = (ctypes.c_uint64 * (STATE // 8))()
        self.flash: dict[int, bytes] = {}
        self.is_broken = False
        self._platform = Platform(None, RANDOM(self._random), STORE(self._save), STORE(self._load))
        self._settings = Settings(30_000_000, 1)
        identity = Identity(suite, (ctypes.c_uint8 * 16)(*DEVICE), (ctypes.c_uint8 * 32)(*PRIVATE))
        assert self._call("provision", ctypes.byref(self._platform), ctypes.byref(identity), self._settings) == OK

    def protect(self) -> bytes:
        out, length = ctypes.create_string_buffer(200), ctypes.c_size_t()
        return self._call("protect", Bytes.of(b"a"), Bytes.of(b"x"), *self._now, out, ctypes.byref(length))

    def unprotect(self, data: bytes) -> bytes:
        payload, message = ctypes.create_string_buffer(2048), ctypes.create_string_buffer(256)
        kind = self._call("unprotect", Bytes.of(b"a"), Bytes.of(data), *self._now, payload, message)
        assert (payload.raw[:1] == b"x") == (kind == OK), "nothing is given of what is refused"
        return kind

    def command(self, data: bytes) -> bytes:
        return self._call(
            "command", Bytes.of(data), *self._now, ctypes.create_string_buffer(2048), ctypes.create_string_buffer(256)
        )

    def hello(self) -> bytes:
        return self._call("hello", *self._now, ctypes.create_string_buffer(128), ctypes.byref(ctypes.c_size_t()))

    def start(self) -> bytes:
        return self._call("start", ctypes.byref(self._platform), self._settings)

    def close(self) -> bytes:
        return self._call("close")

    def digest(self) -> bytes:
        digest = ctypes.create_string_buffer(16)
        assert self._call("digest", digest) == OK
        return digest.raw

    _now = (ctypes.c_uint64(NOW * 1_000_000),)

    def _call(self, name: str, *arguments: object) -> bytes:
        kind: bytes = self._library.e4_kind(getattr(self._library, f"e4_{name}")(self._state, *arguments))
        return kind

    def _random(self, _context: int, out: int, length: int) -> int:
        ctypes.memmove(out, os.urandom(length), length)
        return int(self.is_broken)

    def _save(self, _context: int, part: int, data: int, length: int) -> int:
        if not self.is_broken:
            self.flash[part] = ctypes.string_at(data, length)
        return int(self.is_broken)

    def _load(self, _context: int, part: int, data: int, length: int) -> int:
        assert len(self.flash[part]) == length <= STATE
        ctypes.memmove(data, self.flash[part], length)
        return 0


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    built(tmp_path_factory.getbasetemp(), "all")  # looks for the tools
    path = tmp_path_factory.mktemp("library") / "libe4.so"
    files = sorted(map(str, SOURCES.glob("e4_*.c")))
    subprocess.run(["cc", "-std=c99", "-O1", "-shared", "-fPIC", *files, "-o", path, "-lwolfssl"], check=True)
    return ctypes.CDLL(str(path))


def order(suite: int) -> bytes:
    """Gives the key of the topic ``a``."""
    if suite:
        channel = FIPS_SK.control.at_c2(FIPS_SK.c2.load(b""), PRIVATE)
        topic = FullTopicHash(FIPS_SK.derive_topic("a"))
        plain = command2.encode([command2.SetTopicKey(topic, 1, KEY)], NOW)
        return seal_command(FIPS_SK, channel, DEVICE, 1, plain, bytes(16))
    header = NOW.to_bytes(8, "little")
    set_key = command.SetTopicKey(KEY, TopicHash(SK.derive_id("a")))
    return header + SK.control.at_c2(SK.c2.load(b""), PRIVATE).command_key.seal(b"", command.encode(set_key), header)


def message(suite: int) -> bytes:
    """From another member, with the payload ``x``."""
    if not suite:
        header = NOW.to_bytes(8, "little")
        return header + SK.aead.key(KEY).seal(b"", b"x", header)
    return message2("a", NOW)


def message2(topic: str, sent: int) -> bytes:
    """As `message`; of the same session, and with the same sequence, on each topic."""
    who = b"sender".ljust(16) + b"session."
    header = b"\x02" + (1).to_bytes(4, "little") + sent.to_bytes(8, "little") + who + bytes(4)
    info = b"\x10E4.2 message key\x07fips-sk" + FIPS_SK.derive_topic(topic) + header[1:5] + who
    return header + FIPS_SK.aead.key(FIPS_SK.kdf(KEY, info, 32)).seal(bytes(12), b"x", header)


@pytest.mark.parametrize("suite", [0, 1], ids=["sk", "fips-sk"])
def test_what_cannot_be_saved_has_not_happened(library: ctypes.CDLL, suite: int) -> None:
    device = Hardware(library, suite)
    steps: list[tuple[Callable[[], bytes], bytes]] = [
        (lambda: device.command(order(suite)), STORAGE),
        (lambda: device.unprotect(message(suite)), STORAGE),
        (device.protect, FAILED if suite else STORAGE),
        (device.hello, FAILED),
        (device.close, STORAGE),
        (device.start, STORAGE),
    ]
    for act, failure in steps:
        before, held = dict(device.flash), device.digest()
        device.is_broken = True
        assert act() == failure
        assert (device.flash, device.digest()) == (before, held)
        device.is_broken = False
        assert act() == OK
    assert device.unprotect(message(suite)) == b"replayed"
    assert device.protect() == OK


def test_topics_that_come_and_go_let_nothing_in_twice(tmp_path_factory: pytest.TempPathFactory) -> None:
    port = Port(opener(str(built(tmp_path_factory.getbasetemp(), "asan") / "e4-port-asan")))
    device = PortDevice(port, "fips-sk", DEVICE, PRIVATE, b"")
    channel = FIPS_SK.control.at_c2(FIPS_SK.c2.load(b""), PRIVATE)
    topics = {name: FullTopicHash(FIPS_SK.derive_topic(name)) for name in "abcdefg"}
    recorded = {name: message2(name, NOW + number) for number, name in enumerate(topics)}
    ended = Counter[str]()
    for turn in range(60):
        # more topics than there are places: those that were removed are pushed out, and come again with the same epoch
        names = ["abcdefg"[(turn * 3 + i) % 7] for i in range(3)]
        entries: list[command2.Command2] = [command2.ResetTopics()]
        entries += [command2.SetTopicKey(topics[name], 1, KEY) for name in names]
        data = seal_command(FIPS_SK, channel, DEVICE, turn + 1, command2.encode(entries, NOW), bytes(16))
        assert device.command(data, NOW + 10).outcome == "applied"
        for name in names:
            try:
                ended[f"{name} {device.unprotect(recorded[name], name, NOW + 10).payload.decode()}"] += 1
            except Refusal as error:
                ended[error.kind] += 1
    port.close()
    accepted = {name: count for name, count in ended.items() if name.endswith(" x")}
    assert len(accepted) > 2 and set(accepted.values()) == {1}
    assert set(ended) - set(accepted) == {"replayed", "timestamp_old"}
