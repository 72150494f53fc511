# SPDX-License-Identifier: Apache-2.0
"""Whether the broker lets in who shows nothing: ``e4 doctor`` tries it, on a topic that no device has."""

from __future__ import annotations

import asyncio
import secrets
import ssl
from contextlib import suppress
from urllib.parse import urlencode, urlsplit

from e4c2 import app
from e4c2.recovery.findings import Verdict, failure, ok, unknown, warning
from e4core.errors import E4Error, TransportError
from e4core.plugins import load_transport
from e4transports.address import BrokerAddress

TRY_S = 3.0
_TOPIC = "e4/doctor-{}/try"


async def stranger(broker: str) -> Verdict:
    """As one who has no user, password or certificate: connect, subscribe, publish to oneself. Args: broker: URI."""
    if not broker.startswith(("mqtt:", "mqtts:", app.EMBEDDED)):
        return unknown("the broker speaks no MQTT")
    try:
        address = _address(broker)
    except E4Error as error:
        return failure(str(error), "mend the setting broker")
    if trouble := await _trouble(address):
        return trouble
    topic = _TOPIC.format(secrets.token_hex(8))
    try:
        return await _try(_uri(address), topic)
    except TransportError:
        return ok("it refuses who shows no credentials")


async def _try(uri: str, topic: str) -> Verdict:
    async with load_transport(uri, "") as transport:
        let_in = "it lets in who shows no credentials"
        try:
            async with asyncio.timeout(TRY_S):
                await transport.subscribe(topic)
                await transport.publish(topic, b"e4 doctor", 1)
                async for _ in transport:
                    return failure(
                        f"{let_in}, to publish and subscribe below e4/ (tried at {topic})",
                        "let it ask for credentials, and let each device use its own topics alone: docs/guides/operate.md",
                    )
        except (TransportError, TimeoutError):
            pass
        return warning(f"{let_in}, but nothing came back on {topic}", "let it ask for credentials")


def _address(broker: str) -> BrokerAddress:
    if broker.startswith(app.EMBEDDED):
        parts = urlsplit(broker)
        return BrokerAddress.parse(f"mqtt://{parts.netloc}?version=3.1.1&qos=1")
    return BrokerAddress.parse(broker)


def _uri(address: BrokerAddress) -> str:
    """The same place, without whatever shows who asks."""
    host = f"[{address.host}]" if ":" in address.host else address.host
    options = {"version": address.version, "qos": str(min(address.max_qos, 1)), "timeout": str(TRY_S)}
    options |= {"ca": str(address.ca)} if address.ca else {}
    return f"{'mqtts' if address.tls else 'mqtt'}://{host}:{address.port}?{urlencode(options)}"


async def _trouble(address: BrokerAddress) -> Verdict | None:
    """Why it cannot be tried from here: a connection that fails for another reason than credentials is no refusal."""
    try:
        tls = ssl.create_default_context(cafile=address.ca) if address.tls else None
        async with asyncio.timeout(TRY_S):
            _, writer = await asyncio.open_connection(address.host, address.port, ssl=tls)
    except ssl.SSLError as error:
        return unknown(f"the certificate of {address} cannot be verified here: {error.reason}", "trust its CA here")
    except (OSError, TimeoutError):
        return unknown(f"nobody answers at {address}", "start it, and ask again")
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return None
