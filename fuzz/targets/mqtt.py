# SPDX-License-Identifier: Apache-2.0
"""What MQTT brings: the URIs of brokers, and the names and filters of topics."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from e4c2.api.own import public_uri
from e4core.errors import InvalidInput
from e4core.keys import check_client_name, check_topic_name
from e4transports.address import BrokerAddress
from e4transports.topics import check_filter, check_topic, matches
from fuzz.target import Target, accepted, always, must, text


def _uri(data: bytes) -> None:
    uri = text(data)
    address = accepted(lambda: BrokerAddress.parse(uri), InvalidInput)
    if address is None:
        return
    must(0 < address.port < 65536, "a port out of range")
    must(address.host.isprintable(), "a host at which a resolver raises more than OSError")
    must("\0" not in address.user, "a user name that MQTT does not have")
    address.host.encode("idna")
    for path in (address.password_file, address.ca, address.cert, address.key):
        must(path is None or "\0" not in str(path), "a path that no system has")
    public_uri(uri)


def _topic(data: bytes) -> None:
    first, _, second = text(data).partition("\n")
    for check in (check_topic_name, check_client_name):
        name = accepted(partial(check, first), InvalidInput)
        must(name in (None, first), "a name that was accepted is another one")
    if _is(check_topic, first):
        must(_is(check_filter, first) and matches(first, first), "a topic is not covered by itself")
        must(matches("#", first) is not first.startswith("$"), "a topic is not covered by #")
    else:
        must(accepted(lambda: check_topic_name(first), InvalidInput) is None, "a topic for messages, but not for MQTT")
    if _is(check_filter, first) and _is(check_topic, second):
        matches(first, second)


def _is(check: Callable[[str], None], topic: str) -> bool:
    return accepted(lambda: (check(topic), True), InvalidInput) is not None  # type: ignore[func-returns-value]


_URIS = (
    b"mqtt://127.0.0.1",
    b"mqtts://user@broker.example:8883?ca=/ca.pem&cert=/c.pem&key=/k.pem&version=5&qos=1",
    b"mqtt://e4@[::1]:1883/?password-file=/run/secret&keepalive=30&timeout=2.5&version=3.1.1",
    "mqtt://bröker.example".encode(),
)
_OPTIONS = tuple(
    f"{name}=".encode() for name in ["version", "qos", "password-file", "ca", "cert", "key", "keepalive", "timeout"]
)

TARGETS = {
    "mqtt-uri": Target(
        always(_uri), lambda: _URIS, (*_OPTIONS, b"mqtt://", b"mqtts://", b"%00", b"@", b"[", b"]", b"?", b"&", b"nan")
    ),
    "topic": Target(
        always(_topic),
        lambda: (b"a/b\na/b", b"a/+/c\na/b/c", b"a/#\na", b"#\n$SYS/a", b"+\nx", b"/\n/", b"e4/00\ne4/00"),
        (b"/", b"+", b"#", b"$", b"\0", b"\n", b"\xed\xa0\x80"),
    ),
}
