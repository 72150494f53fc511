# SPDX-License-Identifier: Apache-2.0
"""Which key of AWS KMS is meant, parsed once from the URI; secrets never stand in it, and no error repeats what it refuses."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from e4core.uri import Option, is_loopback, options, refuse, seconds

_MAX_TIMEOUT_S = 300

_URI = re.compile(r"[!-~]+")
_ALIAS = r"alias/[A-Za-z0-9/_-]{1,250}"
_KEY_ID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|mrk-[0-9a-f]{32}"
_HOME = r"arn:aws[a-z-]*:kms:(?P<region>[a-z0-9-]+):[0-9]{12}"
_ARN = re.compile(rf"{_HOME}:({_ALIAS}|key/({_KEY_ID}))")
_KEY_ARN = re.compile(rf"{_HOME}:key/({_KEY_ID})")
_KEY = re.compile(rf"(?P<alias>{_ALIAS})|{_KEY_ID}")
_REGION = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_PROFILE = re.compile(r"[\w.@+ /-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Address:
    """``awskms:///KEY?option=value&...``, where KEY is ``alias/NAME``, the id of a key, or the ARN of either.

    Options: ``former`` (ARNs of keys that may open too, with commas between them), ``region`` (else that of the ARN, else where
    boto3 finds one), ``profile`` (of AWS's configuration files, else as boto3 chooses), ``endpoint`` (URL, instead of AWS's own),
    ``timeout`` (seconds for a whole call), ``danger-plain-http=yes`` (root secrets and credentials may cross a network in the
    clear).

    Attributes: alias: ``alias/NAME``, if that is how the key is named.
    """

    key: str
    alias: str = ""
    former: tuple[str, ...] = ()
    region: str = ""
    profile: str = ""
    endpoint: str = ""
    timeout_s: float = 5.0
    plain_http: bool = False

    def __str__(self) -> str:
        return f"awskms:///{self.key}"

    @classmethod
    def parse(cls, uri: str) -> Address:
        """Raises: InvalidInput (``bad_uri``)."""
        # urlsplit would drop tabs and line ends in silence
        if not _URI.fullmatch(uri) or not uri.startswith("awskms:///") or "#" in uri:
            refuse("an awskms URI has the form awskms:///alias/NAME?option=value, in visible ASCII characters")
        path, _, query = uri.removeprefix("awskms:///").partition("?")
        given = options("an awskms URI", query, _OPTIONS, _MISPLACED)
        arn, key = _ARN.fullmatch(path), _KEY.fullmatch(path)
        if arn:
            if given.setdefault("region", arn["region"]) != arn["region"]:
                refuse("the region of this awskms URI is not the one of its ARN; leave the option out")
            return cls(path, **given)
        if not key:
            refuse("an awskms URI names a key by alias/NAME, by the id of the key, or by the ARN of either")
        return cls(path, alias=key["alias"] or "", **given)


def is_key_arn(text: str) -> bool:
    """Whether it names a key itself, and so always the same one."""
    return bool(_KEY_ARN.fullmatch(text))


def is_private(url: str) -> bool:
    """Whether nobody else can hear what is sent there: TLS, or this very machine."""
    parts = urlsplit(url)
    return parts.scheme == "https" or is_loopback(parts.hostname or "")


def _like(form: re.Pattern[str]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if not form.fullmatch(text):
            raise ValueError
        return text

    return parse


def _endpoint(text: str) -> str:
    parts = urlsplit(text)
    if not _URI.fullmatch(text) or parts.scheme not in ("https", "http") or not _is_bare(parts):
        raise ValueError
    return text


def _is_bare(parts: SplitResult) -> bool:
    # asking for the port raises ValueError if it is none
    return bool(parts.hostname and parts.port != 0) and "@" not in parts.netloc and not (parts.query or parts.fragment)


def _key_arns(text: str) -> tuple[str, ...]:
    arns = tuple(text.split(","))
    if not all(map(is_key_arn, arns)):
        raise ValueError
    return arns


_OPTIONS: dict[str, Option] = {
    "former": ("former", _key_arns, "one or more ARNs of keys, not of aliases, with commas between them"),
    "region": ("region", _like(_REGION), "the name of a region: eu-west-1"),
    "profile": (
        "profile",
        _like(_PROFILE),
        "the name of a profile: letters, digits and _ . @ + - / or blank, at most 64",
    ),
    "endpoint": ("endpoint", _endpoint, "a URL without user, password and query: https://host[:port]"),
    "timeout": ("timeout_s", seconds(_MAX_TIMEOUT_S), f"a number of seconds above 0, at most {_MAX_TIMEOUT_S}"),
    "danger-plain-http": ("plain_http", {"yes": True}.__getitem__, "yes, or left out"),
}
_MISPLACED = dict.fromkeys(
    ("access-key-id", "secret-access-key", "session-token", "aws_access_key_id", "aws_secret_access_key"),
    "credentials come from where boto3 looks for them",
)
