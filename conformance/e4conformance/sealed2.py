# SPDX-License-Identifier: Apache-2.0
"""Checks of single messages and commands of Format 2, with all that went into them (`format2.md` sections 1 to 3)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from e4conformance.vectorfile import Big, Check, Entry, Facets, VectorFile, named, payload, unhex, value
from e4core import report
from e4core.control2 import open_command, seal_command
from e4core.errors import E4Error, PluginError
from e4core.keys import ClientId, Secret
from e4core.sending2 import OwnSession, message_key_info, nonces, signature_label
from e4core.suite import Suite

_HEADER_LEN, _TAG_LEN = 41, 16


def _checks(
    file: VectorFile,
    section: list[Entry],
    expected: Callable[[Entry], Facets],
    observe: Callable[[Suite, Entry], Facets],
) -> Iterator[Check]:
    for name, entry in named(section):
        try:
            suite = file.suite_of(entry)
        except PluginError as error:
            yield Check(name, {}, None, missing=str(error))
        else:
            yield Check(name, expected(entry), partial(observe, suite, entry))


def sessions(file: VectorFile, section: list[Entry]) -> Iterator[Check]:
    return _checks(file, section, lambda entry: {"session": entry["session"]}, _session)


def _session(suite: Suite, entry: Entry) -> Facets:
    own = OwnSession(suite, unhex(entry, "sender"), unhex(entry, "random"), entry["clock"], entry["start"])
    return {"session": own.who[16:].hex()}


def topic_hashes(file: VectorFile, section: list[Entry]) -> Iterator[Check]:
    return _checks(file, section, lambda entry: {"hash": entry["hash"]}, _topic_hash)


def _topic_hash(suite: Suite, entry: Entry) -> Facets:
    return {"hash": suite.derive_topic(unhex(entry, "topic_utf8_hex").decode()).hex()}


def sealed_messages(file: VectorFile, section: list[Entry]) -> Iterator[Check]:
    """Without signature byte for byte; with one, that it verifies, and byte for byte what stands before it."""
    return _checks(file, section, _message_due, _message)


def _message_due(entry: Entry) -> Facets:
    names = "key_info", "nonce", "associated_data"
    return {"protected": value(entry, "protected"), **{name: entry[name] for name in names}}


def _message(suite: Suite, entry: Entry) -> Facets:
    who, topic = unhex(entry, "sender") + unhex(entry, "session"), suite.derive_topic(entry["topic"])
    clock = entry["epoch"].to_bytes(4, "little") + entry["timestamp"].to_bytes(8, "little")
    header = b"\x02" + clock + who + entry["sequence"].to_bytes(4, "little")
    info, made = message_key_info(suite, topic, entry["epoch"], who), nonces(suite.aead)
    nonce = b"" if made is None else made(entry["sequence"])
    key = suite.aead.key(suite.kdf(unhex(entry, "topic_key"), info, suite.aead.key_len))
    data = header + key.seal(nonce, payload(entry), header)
    facets = {"key_info": info.hex(), "nonce": nonce.hex(), "associated_data": header.hex()}
    return {**facets, "protected": data + _signature(suite, entry, topic, data)}


def _signature(suite: Suite, entry: Entry, topic: bytes, data: bytes) -> bytes:
    """That of the vector, which verifies over ``data``."""
    protected = value(entry, "protected")
    if suite.signature is None or isinstance(protected, Big):
        return b""
    signature = protected[len(data) :]
    suite.signature.verifier(unhex(entry, "sender_public")).verify(signature_label(suite, topic) + data, signature)
    return signature


def sealed_commands(file: VectorFile, section: list[Entry]) -> Iterator[Check]:
    """Without KEM byte for byte; with one, that the device opens it."""
    return _checks(file, section, _command_due, _command)


def _command_due(entry: Entry) -> Facets:
    return {"plain": entry["plain"], "protected": entry["protected"]}


def _command(suite: Suite, entry: Entry) -> Facets:
    client, c2 = ClientId(unhex(entry, "client_id")), suite.c2.load(unhex(entry, "c2_private"))
    device = suite.device.load(Secret(unhex(entry, "private")))
    protected, plain = unhex(entry, "protected"), unhex(entry, "plain")
    opened = open_command(suite, suite.control.at_device(device, suite.c2.public(c2)), client, protected)
    if suite.signature is not None:
        return {"plain": opened.hex(), "protected": entry["protected"]}
    at_c2 = suite.control.at_c2(c2, suite.device.public(device))
    made = seal_command(suite, at_c2, client, entry["sequence"], plain, unhex(entry, "salt"))
    return {"plain": opened.hex(), "protected": made.hex()}


def reports(file: VectorFile, section: list[Entry]) -> Iterator[Check]:
    """What the C2 reads in them, or why it refuses them."""
    return _checks(file, section, _report_due, _report)


def _report_due(entry: Entry) -> Facets:
    given = ("name", "suite", "client_id", "c2_private", "device_public", "protected")
    return {name: entry[name] for name in entry if name not in given}


def _report(suite: Suite, entry: Entry) -> Facets:
    client, c2 = ClientId(unhex(entry, "client_id")), suite.c2.load(unhex(entry, "c2_private"))
    channel = suite.control.at_c2(c2, unhex(entry, "device_public"))
    try:
        content = report.open_report(suite, channel, client, unhex(entry, "protected"))
    except E4Error as error:
        return {"result": "error", "kind": error.kind}
    common: dict[str, object] = {"result": "ok", "last": content.last_sequence, "digest": content.digest.hex()}
    if isinstance(content, report.Ack):
        subject = int.from_bytes(content.subject, "little")
        outcome = content.outcome.name.lower()
        return {**common, "report": "ack", "subject": subject, "outcome": outcome, "error": content.refusal}
    return {**common, "report": type(content).__name__.lower(), "nonce": content.nonce.hex()}
