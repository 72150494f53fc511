# SPDX-License-Identifier: Apache-2.0
"""Nothing secret is shown: not by a repr, not in the log at its finest, not by an error."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache

from e4conformance.kms.subject import KMS, KmsSubject, spoiled
from e4conformance.requirement import NotExercised, Unmet
from e4conformance.spellings import leaks, numbered, said
from e4core.keys import Secret
from e4core.kms import HasShares, Kms, Rewraps, Wrapped

_SOURCE = "NIST SP 800-57 part 1 section 6.2.2; e4core.keys: Secret"


@KMS.must(
    "E4-KSEC-001",
    "No repr, str or format of a handle, a wrap or an opened secret shows the secret or a credential",
    source=_SOURCE,
    advice="keep secrets in e4core.keys.Secret, and write a __repr__ that names the key and nothing else",
)
def reprs_show_nothing(subject: KmsSubject) -> None:
    _nothing_shown(subject, "repr")


@KMS.must(
    "E4-KSEC-002",
    "Neither the log at DEBUG nor what is printed shows the secret or a credential",
    source=_SOURCE,
    advice="do not log requests, answers or arguments; set the loggers of libraries that do to WARNING",
)
def logs_show_nothing(subject: KmsSubject) -> None:
    _nothing_shown(subject, "log")


@KMS.must(
    "E4-KSEC-003",
    "No error with its causes and its traceback shows the secret or a credential, whatever went wrong",
    source=_SOURCE,
    advice="write what was tried and under which key; raise from None where the error of a library quotes its input",
)
def errors_show_nothing(subject: KmsSubject) -> None:
    _nothing_shown(subject, "error")


@KMS.must(
    "E4-KSEC-004",
    "The credentials of the URI are known to these checks",
    source=_SOURCE,
    advice="name them in the hook 'secrets'",
    needs="secrets",
)
def credentials_are_known(subject: KmsSubject) -> None:
    if not subject.credentials:
        raise NotExercised(
            "the URI names no private file or variable; the hook secrets is missing: PIN, token, passphrase, key"
        )


def _nothing_shown(subject: KmsSubject, place: str) -> None:
    """Raises: Unmet: something secret stands in a ``place`` of this kind."""
    life = _lived(subject)
    places = {name: text for name, text in life.places.items() if name.startswith(place)}
    secrets = {"the secret": bytes(life.secret), **numbered("credential", subject.credentials)}
    if found := leaks(places, secrets):
        raise Unmet("; ".join(found))


@lru_cache(maxsize=1)
def _lived(subject: KmsSubject) -> _Life:
    sample = subject.sample("life")
    life = _Life(sample.secret(), sample.context())
    with said() as text, subject.alone():
        life.live(subject)
    life.places["log"] = text.getvalue()
    return life


@dataclass
class _Life:
    """What is said and shown from opening a driver to its end, faults included, by place."""

    secret: Secret
    context: bytes
    places: dict[str, str] = field(default_factory=dict)

    def live(self, subject: KmsSubject) -> None:
        with subject.opened() as kms:
            wrapped = kms.wrap(self.secret, self.context)
            shown = {"handle": kms, "wrap": wrapped, "secret": kms.unwrap(wrapped, self.context)}
            self.places |= {f"repr of the {name}": f"{value!r} {value!s} {value:}" for name, value in shown.items()}
            broken = replace(wrapped, blob=spoiled(wrapped.blob, 8 * len(wrapped.blob) - 1))
            self._fails("a changed wrap", lambda: kms.unwrap(broken, self.context))
            self._fails("another context", lambda: kms.unwrap(wrapped, b"another"))
            self._fails("another key", lambda: kms.unwrap(replace(wrapped, key_id="00" * 16), self.context))
            self._fails("a secret that is far too long", lambda: kms.wrap(Secret(self.secret * 4000), self.context))
            self._others(kms, wrapped)
            self._fails("check", kms.check)
        self.places["repr of a closed handle"] = f"{kms!r} {kms!s} {kms}"
        self._fails("a closed handle", lambda: kms.wrap(self.secret, self.context))
        self._faults(subject, wrapped)

    def _others(self, kms: Kms, wrapped: Wrapped) -> None:
        if isinstance(kms, Rewraps):
            self._fails("rewrapping", lambda: kms.rewrap(kms.rewrap(wrapped, self.context), b"another"))
        if isinstance(kms, HasShares):
            self._fails("checking shares", lambda: kms.check_shares(wrapped, b"another"))

    def _faults(self, subject: KmsSubject, wrapped: Wrapped) -> None:
        def use(uri: str = "") -> None:
            with subject.opened(uri) as kms:
                kms.unwrap(wrapped, self.context)

        hooks = subject.hooks
        for name in ("unreachable", "key_gone", "key_disabled", "denied"):
            if happens := getattr(hooks, name):
                with happens():
                    self._fails(name, use)
        if wrong := hooks.wrong_credentials_uri:
            self._fails("wrong credentials", lambda: use(wrong()))

    def _fails(self, how: str, act: Callable[[], object]) -> None:
        """What it says if it fails; whether it may is another requirement."""
        try:
            act()
        except Exception as error:
            told = "".join(traceback.format_exception(error))
            self.places[f"error of {how}"] = f"{told} {getattr(error, '__dict__', '')}"
