# SPDX-License-Identifier: Apache-2.0
"""What a request shows to be let in: a token in its head, or else the certificate of its connection."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeGuard

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtensionOID
from starlette.types import Scope

from e4c2.access import marks
from e4c2.access.marks import PrincipalKind, Shown
from e4c2.principals import Credentials
from e4c2.tokens import NEEDED
from e4core.errors import Denied

if TYPE_CHECKING:
    from e4c2.oidc.issuer import Issuer

_SANS: dict[type[x509.GeneralName], str] = {
    x509.DNSName: "dns",
    x509.UniformResourceIdentifier: "uri",
    x509.RFC822Name: "email",
}
_JWT_DOTS = 2


@dataclass(frozen=True, slots=True)
class Given:
    """``bearer`` None: the request has no such header at all. ``certificate``: PEM, verified by the server; empty: none."""

    bearer: str | None = field(repr=False)
    certificate: str

    @classmethod
    def of(cls, scope: Scope) -> Given:
        """A token counts before a certificate, right or wrong; two are none."""
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        scheme, _, text = given[0].decode("latin-1").partition(" ") if len(given) == 1 else ("", "", "")
        chain = scope.get("extensions", {}).get("tls", {}).get("client_cert_chain", ())
        bearer = text.strip() if scheme.lower() == "bearer" else ""
        return cls(bearer if given else None, "" if given else next(iter(chain), ""))

    @property
    def text(self) -> str:
        """Whatever of it could be wrong; empty: nothing was shown."""
        return self.bearer or self.certificate

    def is_signed(self, issuer: Issuer | None) -> bool:
        """Whether it is nothing that somebody could guess: a certificate, or what has the form of a token of the issuer."""
        return bool(self.certificate) or self._is_of(issuer)

    async def proved(self, issuer: Issuer | None, now: float) -> Credentials:
        """Once all is verified that the database does not know.

        Raises: Denied (``unauthenticated``): of what is wrong, and of nothing at all. IssuerUnavailable.
        """
        if self.certificate:
            return Credentials("", of_certificate(self.certificate))
        if not self.bearer:
            raise Denied(NEEDED, kind="unauthenticated")
        if self._is_of(issuer):
            return Credentials("", await issuer.verify(self.bearer, now))
        return Credentials(self.bearer)

    def _is_of(self, issuer: Issuer | None) -> TypeGuard[Issuer]:
        return issuer is not None and (self.bearer or "").count(".") == _JWT_DOTS


def of_certificate(pem: str) -> Shown:
    """Whom a verified certificate names. Raises: Denied: it cannot be read."""
    try:
        certificate = x509.load_pem_x509_certificate(pem.encode())
        names = [each.value for each in certificate.extensions if each.oid == ExtensionOID.SUBJECT_ALTERNATIVE_NAME]
    except ValueError as error:
        raise Denied("this certificate cannot be read; show another one", kind="unauthenticated") from error
    found = [name for each in names if isinstance(each, x509.SubjectAlternativeName) for name in each]
    digest = marks.fingerprint(certificate.fingerprint(hashes.SHA256()))
    sans = [marks.san(_SANS[type(name)], str(name.value)) for name in found if type(name) in _SANS]
    until = certificate.not_valid_after_utc.timestamp()
    return Shown(PrincipalKind.CERTIFICATE, "", digest.value, (digest, *sans), until)
