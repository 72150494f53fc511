# SPDX-License-Identifier: Apache-2.0
"""``shamir:`` URIs: a threshold, and the URIs of other KMSes, percent-encoded."""

from __future__ import annotations

import re
from typing import NoReturn
from urllib.parse import unquote

from e4core.errors import InvalidInput

MOST_SHARES = 16
MOST_LEN = 1024

_SHARE = r"share=(?:[!-~](?<![#%&])|%[0-9A-Fa-f]{2})+"
_URI = re.compile(rf"shamir:([1-9][0-9]?)\?({_SHARE}(?:&{_SHARE})*)")


def parse(uri: str) -> tuple[int, list[str]]:
    """The threshold, and the URIs of the KMSes in their order. Raises: InvalidInput (``bad_uri``), without what it was given."""
    found = _URI.fullmatch(uri)
    if found is None or len(uri) > MOST_LEN:
        _refuse(f"is shamir:2?share=URI&share=URI, each URI percent-encoded, {MOST_LEN} characters at most")
    try:
        uris = [unquote(option.removeprefix("share="), errors="strict") for option in found[2].split("&")]
    except UnicodeDecodeError:
        _refuse("is UTF-8, percent-encoded")
    threshold = int(found[1])
    if not 2 <= threshold <= len(uris) <= MOST_SHARES:
        _refuse(f"names a threshold of 2 at least, as many shares at least, and {MOST_SHARES} at most")
    if len(set(uris)) < len(uris) or any(each.lower().startswith("shamir:") for each in uris):
        _refuse("names another KMS for each share, none of them with a shamir URI")
    return threshold, uris


def _refuse(why: str) -> NoReturn:
    raise InvalidInput(f"a shamir URI {why}", kind="bad_uri") from None
