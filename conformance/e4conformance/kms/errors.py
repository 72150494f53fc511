# SPDX-License-Identifier: Apache-2.0
"""Whatever goes wrong is the error by which the caller knows what to do: wait, mend a setting, or raise an alarm."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial

from e4conformance.kms.refused import refused
from e4conformance.kms.subject import KMS, PROTOCOL, Happens, KmsSubject
from e4conformance.requirement import require
from e4core.errors import E4Error, InvalidInput, KeyNotFound, KmsDenied, KmsError, KmsUnavailable
from e4core.kms import Kms, Rewraps, Wrapped

_FACTORY, _UNWRAP = f"{PROTOCOL}KmsFactory", f"{PROTOCOL}Kms.unwrap"
_ERRORS = "e4core.errors"


@KMS.must(
    "E4-KERR-001",
    "A URI that cannot be right is InvalidInput",
    source=_FACTORY,
    advice="parse the URI once, in the factory, and raise InvalidInput with a sentence that says what is wrong",
)
def malformed_uris_are_invalid(subject: KmsSubject) -> None:
    scheme = subject.uri.partition(":")[0]
    for rest in ("", "\0", "//[::1", "//\0/", "?"):
        refused(f"the URI {scheme}:{rest!r}", _opening(subject, f"{scheme}:{rest}"), InvalidInput)


@KMS.should(
    "E4-KERR-002",
    "An option that the driver does not know is InvalidInput",
    source=_FACTORY,
    advice="refuse what you do not know: an option that was mistyped is one that was not set",
)
def unknown_options_are_invalid(subject: KmsSubject) -> None:
    uri = f"{subject.uri}{'&' if '?' in subject.uri else '?'}e4-no-such-option=1"
    refused("a URI with an unknown option", _opening(subject, uri), InvalidInput)


@KMS.must(
    "E4-KERR-003",
    "No URI makes the driver raise anything but an E4Error",
    source=_ERRORS,
    advice="translate the errors of libraries and of the system in one place of the driver",
)
def uris_raise_only_typed_errors(subject: KmsSubject) -> None:
    random, uri = subject.sample().random, subject.uri
    start = uri.index(":") + 1
    for _ in range(40):
        place = random.randrange(start, len(uri) + 1)
        text = random.choice(["", "%", "%ff", "\n", "\0", "é", "?", "#", "[", "&", "=", ";", "\ud800"])
        with suppress(E4Error):
            _opening(subject, uri[:place] + text + (uri[place:] if text else ""))()


def _opening(subject: KmsSubject, uri: str) -> Callable[[], object]:
    return lambda: closing(subject.load(uri)).__exit__()


@KMS.must(
    "E4-KERR-010",
    "While the back end cannot be reached everything is KmsUnavailable, and afterwards the same handle works again",
    source=_ERRORS + ": KmsUnavailable",
    advice="translate refused connections, timeouts and a missing token to KmsUnavailable; connect again when used again",
    needs="outage",
)
def outages_are_unavailability(subject: KmsSubject) -> None:
    _during(subject, subject.hook(subject.hooks.unreachable, "unreachable"), KmsUnavailable)


@KMS.must(
    "E4-KERR-011",
    "A key that does not exist is KeyNotFound",
    source=_ERRORS + ": KeyNotFound",
    advice="tell a missing key from a missing back end: waiting does not help here",
    needs="missing-key",
)
def missing_keys_are_not_found(subject: KmsSubject) -> None:
    _during(subject, subject.hook(subject.hooks.key_gone, "key_gone"), KeyNotFound)


@KMS.must(
    "E4-KERR-012",
    "A key that is disabled is KeyNotFound",
    source=_ERRORS + ": KeyNotFound",
    advice="raise KeyNotFound, with kind 'kms_key_disabled' and a sentence on how to enable it",
    needs="disabled-key",
)
def disabled_keys_are_not_found(subject: KmsSubject) -> None:
    _during(subject, subject.hook(subject.hooks.key_disabled, "key_disabled"), KeyNotFound)


@KMS.must(
    "E4-KERR-013",
    "What the back end does not allow is KmsDenied",
    source=_ERRORS + ": KmsDenied",
    advice="raise KmsDenied and do not try again by yourself: somebody has to mend a policy or a credential",
    needs="permissions",
)
def refusals_are_denials(subject: KmsSubject) -> None:
    _during(subject, subject.hook(subject.hooks.denied, "denied"), KmsDenied)


def _during(subject: KmsSubject, happens: Happens, kind: type[KmsError]) -> None:
    """While it ``happens`` who opens the driver gets ``kind`` for all uses; who had opened it gets it too, or what is right."""
    sample = subject.sample()
    secret, context = sample.secret(), sample.context()
    wrapped = subject.kms.wrap(secret, context)
    made: list[Wrapped] = []

    def use(kms: Kms) -> None:
        require(kms.unwrap(wrapped, context) == secret, "another secret came back")

    def wrap(kms: Kms) -> None:
        made.append(kms.wrap(secret, context))

    def rewrap(kms: Kms) -> None:
        assert isinstance(kms, Rewraps)
        made.append(kms.rewrap(wrapped, context))

    uses: dict[str, Callable[[Kms], None]] = {"unwrapping": use, "wrapping": wrap}
    if isinstance(subject.kms, Rewraps):
        uses["rewrapping"] = rewrap
    with happens():
        for name, act in uses.items():
            # a wrong passphrase is another key, and shows by what it does not open
            if act is not wrap or kind is not KmsDenied:
                refused(f"{name}, by a handle that is opened meanwhile", partial(_anew, subject, act), kind)
            with suppress(kind):
                act(subject.kms)
    for each in (wrapped, *made):
        require(subject.kms.unwrap(each, context) == secret, "another secret came back afterwards")


def _anew(subject: KmsSubject, use: Callable[[Kms], None]) -> None:
    with subject.opened() as kms:
        use(kms)


@KMS.must(
    "E4-KERR-020",
    "Wrong credentials are KmsDenied, at the first use and at each later one",
    source=_ERRORS + ": KmsDenied",
    advice="raise KmsDenied for a wrong PIN, token or passphrase; never KmsUnavailable, for which callers try again",
    needs="credentials",
)
def wrong_credentials_are_denied(subject: KmsSubject) -> None:
    with _wrong_credentials(subject) as attempts:
        for attempt in attempts:
            refused("unwrapping with wrong credentials", attempt, KmsDenied)


@KMS.must(
    "E4-KERR-021",
    "Wrong credentials are sent to the back end once, however often the driver is used",
    source="PKCS #11 v3.1 section 5.6.8 (CKR_PIN_LOCKED); " + _ERRORS + ": KmsDenied",
    advice="remember a refused PIN, and refuse by yourself from then on: an HSM locks after a few wrong ones",
    needs="tries",
)
def wrong_credentials_are_tried_once(subject: KmsSubject) -> None:
    tries = subject.hook(subject.hooks.tries, "tries")
    with _wrong_credentials(subject) as attempts:
        before = tries()
        for attempt in attempts:
            with suppress(E4Error):
                attempt()
        counted = tries() - before
    require(counted <= 1, f"the back end counted {counted} attempts with the same wrong credentials")


@contextmanager
def _wrong_credentials(subject: KmsSubject) -> Iterator[list[Callable[[], object]]]:
    """Two handles, each of which asks three times."""
    uri_of = subject.hook(subject.hooks.wrong_credentials_uri, "wrong_credentials_uri")
    sample = subject.sample()
    context = sample.context()
    wrapped = subject.kms.wrap(sample.secret(), context)

    def thrice() -> None:
        with subject.opened(uri) as kms:
            for _ in range(2):
                with suppress(KmsDenied):
                    kms.unwrap(wrapped, context)
            kms.unwrap(wrapped, context)

    with subject.alone():
        uri = uri_of()
        yield [thrice, thrice]
