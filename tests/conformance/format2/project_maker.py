# SPDX-License-Identifier: Apache-2.0
"""The project's own code computes the bytes of the vectors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

from e4core.container import lp
from e4core.keys import Secret
from e4core.plugins import load_suite
from e4core.sending2 import message_key_info, nonces, signature_label
from e4core.suite import Suite
from tests.conformance.format2.sizes import Sizes


class ProjectMaker:
    """`tests.conformance.format2.maker.Maker`."""

    def __init__(self, suite_of: Callable[[str], Suite] = load_suite) -> None:
        self._suite_of = suite_of
        self._own = cache(lambda name, private: suite_of(name).device.load(Secret(private)))
        self._c2 = cache(lambda name, private: suite_of(name).c2.load(private))

    def public(self, sizes: Sizes, private: bytes) -> bytes:
        return self._suite_of(sizes.wire_name).device.public(self._own(sizes.wire_name, private))

    def message(
        self, sizes: Sizes, key: bytes, topic: bytes, header: bytes, payload: bytes, private: bytes, wire_name: str
    ) -> bytes:
        suite = replace(self._suite_of(sizes.wire_name), wire_name=wire_name)
        info = message_key_info(suite, topic, int.from_bytes(header[1:5], "little"), header[13:37])
        nonce = nonces(suite.aead)
        sequence = int.from_bytes(header[37:41], "little")
        sealing = suite.aead.key(suite.kdf(key, info, suite.aead.key_len))
        data = header + sealing.seal(b"" if nonce is None else nonce(sequence), payload, header)
        if suite.signature is None:
            return data
        signer = suite.signature.signer(self._own(sizes.wire_name, private))
        return data + signer.sign(signature_label(suite, topic) + data)

    def command(
        self, sizes: Sizes, client: bytes, c2: bytes, device: bytes, header: bytes, plain: bytes, wire_name: str
    ) -> bytes:
        suite = self._suite_of(sizes.wire_name)
        channel = suite.control.at_c2(self._c2(sizes.wire_name, c2), device)
        return header + channel.seal(lp(b"E4.2 command") + lp(wire_name.encode()) + client, header, plain)

    def report(
        self, sizes: Sizes, client: bytes, device: bytes, c2: bytes, header: bytes, plain: bytes, wire_name: str
    ) -> bytes:
        suite = self._suite_of(sizes.wire_name)
        channel = suite.control.at_device(self._own(sizes.wire_name, device), c2)
        return header + channel.seal(lp(b"E4.2 report") + lp(wire_name.encode()) + client, header, plain)
