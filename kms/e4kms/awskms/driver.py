# SPDX-License-Identifier: Apache-2.0
"""A KMS (`e4core.kms.Kms`) of one key of AWS KMS."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from e4core.errors import Conflict, E4Error, KeyNotFound, KmsError, KmsUnavailable, Tampered
from e4core.keys import Secret
from e4core.kms import Wrapped
from e4kms.awskms.address import Address, is_key_arn
from e4kms.awskms.calls import Connection
from e4kms.awskms.failures import UNSUPPORTED, OtherKey

MECHANISM = "awskms-symmetric-default"
CONTEXT_NAME = "e4-context"
"""Name of the one pair in the encryption context; CloudTrail shows it, and policies can ask for it (kms:EncryptionContext)."""

_MAX_BLOB_LEN = 6144
_PROBE_LEN = 32
_PROBED = b"e4 probe"


def open_kms(uri: str) -> AwsKms:
    """The KMS at ``awskms:///KEY?...`` (`e4kms.awskms.address`); nothing is asked yet. Raises: InvalidInput (``bad_uri``)."""
    return AwsKms(Address.parse(uri))


class AwsKms:
    """``Wrapped.blob`` is the ciphertext blob of AWS's Encrypt, ``key_id`` the ARN of the key that made it.

    The context is bound natively, as the encryption context: the value "hex:" and the context in hex. Each call names a key of the
    URI, which AWS KMS holds the wrap to: the one that it names now, whatever its material, or one of its former ones. For who can
    write to the database can wrap under other keys of the account, and must not so choose our root secrets.
    """

    __slots__ = ("_address", "_connection")

    def __init__(self, address: Address) -> None:
        self._address = address
        self._connection = Connection(address)

    def wrap(self, secret: Secret, context: bytes, /) -> Wrapped:
        answer = self._connection.call(
            "encrypt", KeyId=self._address.key, Plaintext=secret, EncryptionContext=_bound(context)
        )
        return self._wrapped(answer)

    def unwrap(self, wrapped: Wrapped, context: bytes, /) -> Secret:
        bound = _bound(context)
        answer = self._opened("decrypt", wrapped, "KeyId", CiphertextBlob=wrapped.blob, EncryptionContext=bound)
        return Secret(self._part(answer, "Plaintext", bytes))

    def rewrap(self, wrapped: Wrapped, context: bytes, /) -> Wrapped:
        """The same secret under the newest material of the key that the URI names now; it never leaves AWS KMS.

        Raises: as `unwrap`.
        """
        bound = _bound(context)
        answer = self._opened(
            "re_encrypt",
            wrapped,
            "SourceKeyId",
            CiphertextBlob=wrapped.blob,
            SourceEncryptionContext=bound,
            DestinationKeyId=self._address.key,
            DestinationEncryptionContext=bound,
        )
        return self._wrapped(answer)

    def create_key(self) -> None:
        """Make a symmetric key, and the alias that the URI names it by.

        Raises: Conflict (``exists``): the alias. KmsError (``kms_unsupported``): the URI names no alias, and AWS chooses key ids.
        """
        alias = self._address.alias
        if not alias:
            raise KmsError(
                f"{self._address}: AWS chooses the ids of keys; to make one, name it awskms:///alias/NAME",
                kind=UNSUPPORTED,
            )
        self._require_absent(alias)
        with closing(Connection(self._address, attempts=1)) as once:
            answer = once.call("create_key", Description="Wraps the keys of an E4 C2 database")
            key_id = self._part(self._part(answer, "KeyMetadata", dict), "KeyId", str)
            try:
                once.call("create_alias", AliasName=alias, TargetKeyId=key_id)
            except E4Error as error:
                raise type(error)(
                    f"{error}; but the key {key_id} was made: delete it, or give it the alias", kind=error.kind
                ) from None

    def check(self) -> None:
        probe = _probe()
        if self.unwrap(self.wrap(probe, _PROBED), _PROBED) != probe:
            raise KmsError(f"{self._address}: the key does not give back what it wrapped; do not use this service")

    def close(self) -> None:
        self._connection.close()

    def _require_absent(self, alias: str) -> None:
        try:
            self._connection.call("describe_key", KeyId=alias)
        except KeyNotFound:
            return
        raise Conflict(f"{self._address}: the alias exists already; use the key that it names", kind="exists")

    def _opened(self, operation: str, wrapped: Wrapped, names_key: str, **parameters: object) -> Mapping[str, Any]:
        """The answer of what opens a wrap. Args: names_key: the parameter for its key, by which the answer tells that too."""
        made_by = wrapped.key_id
        if not is_key_arn(made_by) or wrapped.mechanism != MECHANISM or not 1 <= len(wrapped.blob) <= _MAX_BLOB_LEN:
            raise Tampered(f"{self._address}: this is no wrap of AWS KMS; restore it from a backup")
        asked = made_by if made_by in self._address.former else self._address.key
        try:
            answer = self._connection.call(operation, **{names_key: asked}, **parameters)
        except OtherKey:
            # an alias or a key id is no ARN, but whatever it wraps tells that
            if made_by in (asked, now := self.wrap(_probe(), _PROBED).key_id):
                raise self._changed() from None
            raise KeyNotFound(
                f"{self._address}: wrapped under {made_by}, and the URI names {now} now; if you know the other as its former "
                f"key, add former={made_by} to the URI, else restore the wrap from a backup"
            ) from None
        if self._part(answer, names_key, str) != made_by:
            raise self._changed()
        return answer

    def _wrapped(self, answer: Mapping[str, Any]) -> Wrapped:
        arn = self._part(answer, "KeyId", str)
        if not is_key_arn(arn):
            raise self._no_answer()
        return Wrapped(arn, MECHANISM, self._part(answer, "CiphertextBlob", bytes))

    def _part(self, answer: Mapping[str, Any], name: str, kind: type[Any]) -> Any:
        part = answer.get(name)
        if not isinstance(part, kind) or not part:
            raise self._no_answer()
        return part

    def _changed(self) -> Tampered:
        return Tampered(f"{self._address}: a wrap names a key that did not make it; restore it from a backup")

    def _no_answer(self) -> KmsUnavailable:
        return KmsUnavailable(f"{self._address}: what answers there does not speak as AWS KMS does; check the endpoint")


def _probe() -> Secret:
    return Secret(os.urandom(_PROBE_LEN))


def _bound(context: bytes) -> dict[str, str]:
    # never empty, and readable for who writes a policy
    return {CONTEXT_NAME: f"hex:{context.hex()}"}
