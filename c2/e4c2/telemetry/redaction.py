# SPDX-License-Identifier: Apache-2.0
"""The last line of defence of the log: what looks like a secret is not written, whoever logs it.

Nothing here logs secrets; but a library may quote a URI, and a broken program anything.
"""

from __future__ import annotations

import re
from itertools import pairwise

REDACTED = "[redacted]"

_RULES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE | re.DOTALL), REDACTED if kept is None else kept + REDACTED)
    for pattern, kept in (
        (r"-----BEGIN [A-Z0-9 ]{1,40}-----.*?(?:-----END [A-Z0-9 ]{1,40}-----|\Z)", None),
        (r"\be4_[\w-]{8,}", "e4_"),
        (r"((?:proxy-)?authorization['\"]?\s*[:=,]\s*(?:b?['\"])?)(?:\w+ +)?[^\s'\",)]+", r"\1"),
        (r"\b(bearer|basic) +[\w.~+/=-]{6,}", r"\1 "),
        (
            r"((?:\b|[_-])(?:password|passwd|passphrase|pin|pin-value|secret|api[_-]?key)['\"]?[=:] ?(?:b?['\"])?)[^\s&;,'\")]+",
            r"\1",
        ),
        (r"(://[^\s/@:]*:)[^\s/@]+(?=@)", r"\1"),
        (r"\b(?:[0-9a-f]{2}){20,}\b", None),
    )
)
"""What is redacted, and what of it is kept. Ids have 32 hexadecimal digits and stay; keys have more."""
_RUN = re.compile(r"[A-Za-z0-9+/_-]{40,}={0,2}")
_MIXED = 0.36
_SIGNS_MAX = 0.2


def redact(text: str) -> str:
    """``text`` without what looks like a token, a password, a PIN or a key of 20 bytes or more."""
    for pattern, instead in _RULES:
        text = pattern.sub(instead, text)
    return _RUN.sub(lambda found: REDACTED if _is_mixed(found[0].rstrip("=")) else found[0], text)


def _is_mixed(run: str) -> bool:
    """Whether small letters, capitals and digits alternate as in base64, in six of ten places; in a path it is one or two."""
    kinds = [(c.islower(), c.isupper()) for c in run if c.isalnum()]
    changes = sum(a != b for a, b in pairwise(kinds))
    return changes > _MIXED * len(run) and len(run) - len(kinds) <= _SIGNS_MAX * len(run)
