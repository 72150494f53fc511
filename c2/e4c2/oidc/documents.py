# SPDX-License-Identifier: Apache-2.0
"""JSON documents of an issuer, read over HTTPS: bounded in size and time, no redirects, no proxies."""

from __future__ import annotations

import asyncio
import json
import ssl
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from e4core.errors import InvalidInput, IssuerUnavailable

WITHIN_S = 5.0
"""For one document."""
DOCUMENT_MAX = 512 * 1024
"""Longest document, in bytes."""


def check_url(url: str) -> str:
    """Raises: InvalidInput (``bad_url``): not https, or http to another machine."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host, parts = "", urlsplit("")
    if not host or parts.username is not None or parts.fragment or not (url.isascii() and url.isprintable()):
        raise InvalidInput("the URL of an issuer is as https://issuer.example/path", kind="bad_url")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
        raise InvalidInput("the URL of an issuer is https: else others could answer in its place", kind="bad_url")
    return url


async def read(url: str, tls: ssl.SSLContext) -> dict[str, Any]:
    """Raises: IssuerUnavailable: no such document, or none that is one."""
    import httpx2  # it takes long, and most C2 have no issuer

    try:
        async with (
            asyncio.timeout(WITHIN_S),
            httpx2.AsyncClient(verify=tls, trust_env=False, timeout=WITHIN_S) as http,
            http.stream("GET", url, headers={"Accept-Encoding": "identity"}) as answer,
        ):
            if answer.status_code != HTTPStatus.OK:
                raise IssuerUnavailable(f"{url} answers {answer.status_code}")
            body = bytearray()
            async for part in answer.aiter_raw():
                body += part
                if len(body) > DOCUMENT_MAX:
                    raise IssuerUnavailable(f"{url} has more than {DOCUMENT_MAX} bytes")
        found = json.loads(body)
    except TimeoutError:
        raise IssuerUnavailable(f"{url} did not answer within {WITHIN_S:g} s") from None
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        raise IssuerUnavailable(f"{url} cannot be read: {error}") from error
    except (ValueError, RecursionError) as error:
        raise IssuerUnavailable(f"{url} is no JSON") from error
    if not isinstance(found, dict):
        raise IssuerUnavailable(f"{url} is no JSON object")
    return found


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
