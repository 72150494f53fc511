# SPDX-License-Identifier: Apache-2.0
"""What KMS drivers read: URIs, the file of a key encryption key, and wraps as a database holds them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from e4core.errors import InvalidInput, KmsError
from e4core.keys import Secret
from e4core.kms import Kms, Wrapped
from e4kms import file, passphrase, shamir, shamir_uri
from e4kms.awskms.address import Address as AwsAddress
from e4kms.pkcs11.address import Address as TokenKeyAddress
from e4kms.vault.address import Address as VaultAddress
from fuzz.target import Check, Target, accepted, always, must, text

_CONTEXT = b"context"
_SECRET = Secret(b"secret of thirty-two bytes......")
_KEK = b"""{"format": "e4-kek", "version": 1, "key_id": "00112233445566778899aabbccddeeff",
"algorithm": "aes-256-gcm-siv", "key": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="}"""

_PARSERS: dict[str, Callable[[str], object]] = {
    "file": file.path_of,
    "passphrase": passphrase.open_kms,
    "shamir": shamir_uri.parse,
    "awskms": AwsAddress.parse,
    "vault": VaultAddress.parse,
    "pkcs11": TokenKeyAddress.parse,
}


def _uri(data: bytes) -> None:
    uri = text(data)
    for parse in _PARSERS.values():
        address = accepted(partial(parse, uri), InvalidInput, KmsError)
        if isinstance(address, Path):
            must("\0" not in str(address), "a path that no system has")
        must(address is None or bool(str(address)), "an address says nothing")
    accepted(lambda: passphrase.Cost.parse(uri), InvalidInput)


@contextmanager
def _kek_file() -> Iterator[Check]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "kek.json"
        path.touch(0o600)

        def check(data: bytes) -> None:
            path.write_bytes(data)
            kms = accepted(lambda: file.open_kms(f"file:{path}"), KmsError)
            if kms is not None:
                kms.check()
                must(kms.unwrap(kms.wrap(_SECRET, _CONTEXT), _CONTEXT) == _SECRET, "a wrap does not open")
                kms.close()

        yield check


@contextmanager
def _wraps() -> Iterator[Check]:
    """Wraps of which key id, mechanism and blob are each a line, the blob all that follows."""
    with _kmses() as kmses:

        def check(data: bytes) -> None:
            key_id, mechanism, blob = [*data.split(b"\n", 2), b"", b""][:3]
            for kms, own in kmses:
                for wrapped in (
                    Wrapped(text(key_id), text(mechanism), blob),
                    Wrapped(own.key_id, own.mechanism, blob),
                    Wrapped(own.key_id, own.mechanism, data),
                ):
                    found = accepted(partial(kms.unwrap, wrapped, _CONTEXT), KmsError)
                    must(found in (None, _SECRET), "a wrap opens to another secret")

        yield check


@contextmanager
def _kmses() -> Iterator[list[tuple[Kms, Wrapped]]]:
    """Drivers that need no server, each with a wrap."""
    with TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}.json" for number in range(3)]
        for path in paths:
            path.write_bytes(_KEK)
            path.chmod(0o600)
        shares = "&".join(f"share=file:{path}" for path in paths)
        secret = Path(folder) / "passphrase"
        secret.write_bytes(b"a passphrase that is long")
        secret.chmod(0o600)
        kmses: list[Kms] = [
            file.open_kms(f"file:{paths[0]}"),
            shamir.open_kms(f"shamir:2?{shares}"),
            passphrase.open_kms(f"passphrase://{secret}"),
        ]
        yield [(kms, kms.wrap(_SECRET, _CONTEXT)) for kms in kmses]
        for kms in kmses:
            kms.close()


def _wrap_seeds() -> Iterable[bytes]:
    with _kmses() as kmses:
        for _, own in kmses:
            yield b"\n".join([own.key_id.encode(), own.mechanism.encode(), own.blob])


_URIS = (
    b"file:///var/lib/e4/kek.json",
    b"file:kek%20file.json",
    b"passphrase:///run/secrets/none",
    b"passphrase:env:E4_NONE",
    b"shamir:2?share=file:a&share=file%3Ab&share=file:c",
    b"awskms:///alias/e4?region=eu-west-1&profile=x&endpoint=http://127.0.0.1:1&timeout=2&danger-plain-http=yes",
    b"awskms:///arn:aws:kms:eu-west-1:111122223333:key/12345678-1234-1234-1234-123456789012",
    b"vault+https://vault.example:8200/transit/keys/e4?auth=approle&role-id=a&secret-id-file=/f&namespace=team&ca=/ca",
    b"vault+http://[::1]/a/b/keys/e4?auth=kubernetes&role=x&timeout=1",
    b"pkcs11:token=e4;object=kek?module-path=/usr/lib/softhsm2.so&pin-source=file:/pin&former=00ff,01&timeout=3",
    b"pkcs11:slot-id=7;id=%01%02;type=secret-key?module-path=/m.so&pin-source=env:PIN",
    b"argon2id(m=65536,t=3,p=4)+aes-256-gcm-siv",
)
_WORDS = (
    b"%00",
    b"%ff",
    b"%2F",
    b"&",
    b"?",
    b"#",
    b"[",
    b"]",
    b"..",
    b"share=",
    b"former=",
    b"timeout=nan",
    b"\xc2\xa0",
)
TARGETS = {
    "kms-uri": Target(always(_uri), lambda: _URIS, _WORDS),
    "kek-file": Target(
        _kek_file, lambda: (_KEK,), (b"null", b"1e999", b"[[[[", b'"\\ud800"', b'"\xc3\xa9"', b"\xff\xfe")
    ),
    "wrap": Target(_wraps, _wrap_seeds, (b"\n", b"\0\0\0", b"\xff\xff\xff\xff")),
}
