# SPDX-License-Identifier: Apache-2.0
"""What an operator may choose: read once, from ``e4.toml`` and the environment, then passed on as a value."""

from __future__ import annotations

import os
import tomllib
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    BeforeValidator,
    Field,
    IPvAnyAddress,
    IPvAnyNetwork,
    PlainValidator,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from e4c2.departures import WAITS_AT_MOST_S
from e4c2.oidc.documents import check_url
from e4c2.rows import EXPIRES_S
from e4c2.store.address import Address
from e4c2.telemetry.logs import LogFormat, LogLevel
from e4c2.telemetry.tracing import check_collector
from e4core.errors import InvalidInput, StorageError
from e4core.keys import check_topic_name
from e4core.message import GRACE_S

FILE = Path("e4.toml")
CONFIG_VARIABLE = "E4_CONFIG"


def _listed(value: object) -> object:
    return tuple(value.split()) if isinstance(value, str) else value


_PLACE = {"anyOf": [{"type": "string", "format": "path"}, {"type": "string"}, {"type": "null"}]}


def place_of(text: str) -> Path | Address:
    """Path of an SQLite database, or address of one at a server. Raises: InvalidInput (``bad_uri``)."""
    return Address.parse(text) if "://" in text else Path(text)


def _database(value: object) -> object:
    try:
        return place_of(value) if isinstance(value, str) else value
    except InvalidInput as error:
        raise ValueError(str(error)) from error


class Settings(BaseSettings):
    """Settings of a C2; each is a key of ``e4.toml`` and, with more weight, a variable ``E4_<NAME>``.

    No secret is one: a URI names the file or variable that holds it. Relative paths begin in the working directory.
    """

    model_config = SettingsConfigDict(
        env_prefix="E4_", env_ignore_empty=True, extra="forbid", frozen=True, use_attribute_docstrings=True
    )

    suite: str = "sk"
    """Cryptography of the fleet, one of ``e4 suites``; fixed for a database by its first start."""

    data: Path = Path("e4-data")
    """Directory of the C2, made with mode 0700 if it is missing; for one server alone."""

    database: Annotated[Address | Path | None, PlainValidator(_database), WithJsonSchema(_PLACE)] = None
    """Path of an SQLite database, or URI of one at a server that any number of C2 share: ``postgresql://USER@HOST[:PORT]/NAME`` or
    ``mariadb://...``, with the options ``password-file=PATH`` and ``ca=PATH``; without it ``c2.sqlite`` in ``data``.

    To another host the connection is encrypted, and the server's certificate is checked.
    """

    kms: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)] = Field(
        default=("file:kek.json",), min_length=1
    )
    """URIs of the KMSes that wrap the database's keys; any one opens them, the first that answers. One, or a list; in the
    variable separated by blanks.

    A relative ``file:`` begins in ``data``, and is made with a new database.
    """

    c2_key: str | None = None
    """URI of the C2's own key pairs in a token, ``{version}`` in the name: ``pkcs11:...;object=e4-c2-{version}?...``.

    Pairs that are made from now on are made there, and never leave it. Without it the database holds them, sealed.
    """

    require_fips: bool = False
    """Do not start unless everything in use is approved by FIPS 140-3, and computed in OpenSSL's FIPS provider or a token."""

    keys_held_s: float = Field(default=3600, ge=10, allow_inf_nan=False)
    """Seconds for which the database's keys are held without a KMS that opens them; then the C2 waits for one. They are opened
    anew after half of this."""

    keys_used: int = Field(default=2**32, ge=1000)
    """Uses after which they are opened anew, at the latest."""

    grace_s: int = Field(default=GRACE_S, ge=0, le=30 * 24 * 3600)
    """Seconds for which what was protected under a former key, of a topic or a sender, is still read after a routine change.

    In ``sk`` and ``pk`` devices keep to 3600, and nothing else is accepted.
    """

    evictions_wait_s: float = Field(default=0, ge=0, le=WAITS_AT_MOST_S, allow_inf_nan=False)
    """Seconds for which a topic that somebody was evicted from waits for others to be, before it is re-keyed once for all of them.
    Until then they can read on."""

    revoke_within_s: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Seconds within which every member is to have the new key of a topic after an eviction, for topics that say nothing else."""
    commands_expire_s: float = Field(default=EXPIRES_S, ge=60, allow_inf_nan=False)
    """Seconds after which the C2 expects no answer any more to a command that it has sent, and calls it expired. A device that was
    away is brought to the present when it says hello, whatever has expired meanwhile. New keys of devices and of the C2 do not
    expire: such a change ends when the device or somebody confirms it, or when it is given up."""

    events_kept_s: int = Field(default=7 * 24 * 3600, ge=3600, le=366 * 24 * 3600)
    """Seconds for which events are kept, for those who follow them later."""

    broker: str = "embedded://127.0.0.1:1883"
    """URI of the broker. ``embedded://ADDRESS:PORT[?password-file=PATH]`` runs one inside this process; port 0 takes a free one.

    The password of the embedded one is made, in ``broker-password`` in ``data``, if no file is named; it has no TLS.
    """

    audit_topic: str = "e4-audit"
    """Topic at which signed checkpoints of the audit log are published, retained, for whoever witnesses them."""

    audit_checkpoint_s: float = Field(default=60, ge=1, allow_inf_nan=False)
    """Seconds between two checkpoints, while there are new records; sooner after 1000 of them."""

    host: IPvAnyAddress = IPv4Address("127.0.0.1")
    """IP address at which the API listens; any but a loopback address needs TLS."""

    port: int = Field(default=8884, ge=0, le=65535)
    """TCP port of the API; 0 takes a free one."""

    requests_per_s: float = Field(default=500, gt=0, allow_inf_nan=False)
    """Requests a second that one token, or whoever else is known, may send to one C2 process; ten seconds' worth at once."""

    failures_per_min: float = Field(default=30, ge=1, allow_inf_nan=False)
    """Wrong credentials a minute that are looked at from one address (of IPv6: from one /64); then who is not known from there has
    to wait."""

    trusted_proxies: Annotated[tuple[IPvAnyNetwork, ...], NoDecode, BeforeValidator(_listed)] = ()
    """Addresses or networks of balancers that pass requests on, whose ``X-Forwarded-For`` is believed: then the address that it
    tells is what is limited, and on record. One, or a list; in the variable separated by blanks."""

    four_eyes: bool = False
    """Whether what destroys is done only when another principal has approved it: new keys of the C2, forced ends, compromised keys,
    changes of the database's keys, mass removals, removed topics, confirmed restores, pruning, unprotected messages, and tokens of
    those who could approve.
    """

    four_eyes_above: int = Field(default=10, ge=0)
    """Clients that one request may remove or evict without approval, where ``four_eyes`` is set."""

    protect: bool = False
    """Whether the C2 protects messages of topics for those who have the permission, in suites without signatures."""

    unprotect: bool = False
    """Whether the C2 unprotects messages of topics for those who have the permission, and so lets them read what devices send."""

    grpc_port: int | None = Field(default=None, ge=0, le=65535)
    """TCP port of the gRPC API, at the same address and with the same certificate; 0 takes a free one. Without it there is none."""

    tls_certificate: Path | None = None
    """PEM file with the certificate chain of the API; with it the API speaks TLS only."""

    tls_key: Path | None = None
    """PEM file with the private key that belongs to ``tls_certificate``."""

    metrics_port: int | None = Field(default=None, ge=0, le=65535)
    """TCP port of 127.0.0.1 at which ``/metrics``, ``/livez`` and ``/readyz`` are answered without a token, to whoever is on this
    machine; 0 takes a free one. Without it the API alone answers them, ``/metrics`` to who has a token.
    """
    tls_client_ca: Path | None = None
    """PEM file with the CA of client certificates: who shows one that an identity names needs no token. Without it
    none is asked for."""

    grpc_client_certificates: bool = False
    """Whether the gRPC API requires a certificate of ``tls_client_ca`` of everybody, who may show a token too; else it takes
    none. It cannot ask for one without requiring it."""

    oidc_issuer: str | None = None
    """URL of the issuer of OpenID Connect whose tokens are taken, as it is in them; https, or on this machine."""

    oidc_audience: str | None = None
    """What is in the audience (``aud``) of tokens that are for this C2."""

    oidc_groups: str = "groups"
    """Claim of such a token that has the groups of somebody."""

    oidc_ca: Path | None = None
    """PEM file with the CA of the issuer's own certificate; without it those of the system are trusted."""

    log_format: LogFormat = LogFormat.TEXT
    """How the log is written to stderr: as text for people, or as a JSON object a line for programs."""

    log_level: LogLevel = LogLevel.WARNING
    """What is logged: this and what is graver. ``info`` has a line for each request."""

    traces_to: str | None = None
    """URL at which a collector of OpenTelemetry takes traces by OTLP over HTTP, as ``http://127.0.0.1:4318/v1/traces``; it needs
    the extra ``otel``. Without it none are made. The variables ``OTEL_*`` say the rest."""

    @property
    def place(self) -> Path | Address:
        """Where the database is."""
        return self.database or self.data / "c2.sqlite"

    @property
    def replica_file(self) -> Path:
        return self.data / "replica"

    @property
    def admin_token_file(self) -> Path:
        return self.data / "admin-token"

    @property
    def broker_password_file(self) -> Path:
        """Of the embedded broker."""
        return self.data / "broker-password"

    @property
    def broker_uri_file(self) -> Path:
        """Where devices on this machine find the embedded broker; it names the file of its password."""
        return self.data / "broker-uri"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment above the file, and nothing else."""
        return env_settings, init_settings

    @model_validator(mode="after")
    def _paths_can_be_used(self) -> Self:
        for name in type(self).model_fields:
            if isinstance(value := getattr(self, name), Path) and "\0" in str(value):
                raise ValueError(f"{name} is no path, as it has a NUL in it; name another file")
        return self

    @model_validator(mode="after")
    def _checkpoints_are_on_a_topic_of_their_own(self) -> Self:
        try:
            check_topic_name(self.audit_topic)
        except InvalidInput as error:
            raise ValueError(f"audit_topic: {error}") from error
        if self.audit_topic.startswith("e4/"):
            raise ValueError("audit_topic begins with e4/, where commands and reports are; choose another one")
        return self

    @model_validator(mode="after")
    def _not_everybody_is_a_balancer(self) -> Self:
        for network in self.trusted_proxies:
            if network.prefixlen == 0:
                raise ValueError(
                    f"trusted_proxies has {network}, which is everybody, who could then say to come from anywhere;"
                    " name the balancers alone"
                )
        return self

    @model_validator(mode="after")
    def _others_can_vouch(self) -> Self:
        if self.tls_client_ca and self.tls_certificate is None:
            raise ValueError("tls_client_ca needs TLS; set tls_certificate and tls_key too")
        if self.grpc_client_certificates and self.tls_client_ca is None:
            raise ValueError("grpc_client_certificates needs the CA that they are of; set tls_client_ca")
        if (self.oidc_issuer is None) is not (self.oidc_audience is None):
            raise ValueError("oidc_issuer and oidc_audience go together; give both or none")
        try:
            check_url(self.oidc_issuer or "https://none")
        except InvalidInput as error:
            raise ValueError(f"oidc_issuer: {error}") from error
        return self

    @model_validator(mode="after")
    def _traces_are_taken(self) -> Self:
        if self.traces_to is not None:
            try:
                check_collector(self.traces_to)
            except InvalidInput as error:
                raise ValueError(f"traces_to: {error}") from error
        return self

    @model_validator(mode="after")
    def _tokens_travel_encrypted(self) -> Self:
        if (self.tls_certificate is None) is not (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key go together; give both or none")
        if not self.host.is_loopback and self.tls_certificate is None:
            raise ValueError(
                f"at {self.host} others could read the tokens on their way; set tls_certificate and tls_key, or listen at 127.0.0.1"
            )
        return self


def load(config: Path | None = None) -> Settings:
    """Settings from ``config``, else from the file that ``E4_CONFIG`` names, else from ``e4.toml`` if there is one.

    Raises: InvalidInput: names the file or variable and what is wrong with it. StorageError: the file cannot be read.
    """
    named = config or (Path(os.environ[CONFIG_VARIABLE]) if os.environ.get(CONFIG_VARIABLE) else None)
    file = named or FILE
    values = _read(file) if named or file.exists() else {}
    unknown = sorted(values.keys() - Settings.model_fields.keys())
    if unknown:
        known = ", ".join(Settings.model_fields)
        raise InvalidInput(f"{file}: {unknown[0]!r} is no setting; settings are: {known}", kind="bad_setting")
    try:
        return Settings(**values)
    except ValidationError as error:
        # from None: the chained error would show the values
        raise InvalidInput(_sentence(error, file), kind="bad_setting") from None


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise StorageError(f"{file} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{file} is no TOML: {error}", kind="bad_setting") from error


def _sentence(error: ValidationError, file: Path) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    text = first["msg"].removeprefix("Value error, ")
    if not first["loc"]:
        return text
    name = str(first["loc"][0])
    variable = f"E4_{name.upper()}"
    where = variable if os.environ.get(variable) else f"{file}: {name}"
    return f"{where}: {text[:1].lower()}{text[1:]}"
