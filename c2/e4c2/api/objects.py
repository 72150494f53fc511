# SPDX-License-Identifier: Apache-2.0
"""What a request is about: named before anything is done, found and admitted in the transaction in which it is done.

What somebody may not see is answered as if it was not there; what they see and may not touch is forbidden. The fields of all are as
the request gives them: ids, and names of what is to be made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import partial
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar

import sqlalchemy as sa

from e4c2 import clients, commands, dead_letters, endings, identities, tokens, topics
from e4c2.access.grants import Grant, Role
from e4c2.access.principal import FORBIDDEN, Access, Principal, PrincipalKind
from e4c2.audit.records import DONE
from e4c2.enrolment import tokens as enrolments
from e4c2.rows import Realm
from e4core.errors import Denied, E4Error, NotFound

P = ParamSpec("P")
T = TypeVar("T")
Found = TypeVar("Found", covariant=True)


class Objects(Protocol[Found]):
    def found(self, db: sa.Connection, realm: Realm, access: Access, /) -> Found:
        """What the use case takes them as. Raises: NotFound: one is not there, or not seen. Denied: not over one that is seen."""


@dataclass(frozen=True, slots=True)
class Client:
    """One client; a use case takes its name."""

    client: str

    def found(self, db: sa.Connection, _realm: Realm, access: Access, /) -> str:
        name = clients.name_of(db, self.client, access.clients)
        access.require([name])
        return name


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic; a use case takes its name."""

    topic: str

    def found(self, db: sa.Connection, _realm: Realm, access: Access, /) -> str:
        name = topics.name_of(db, self.topic, access.topics)
        access.require(topics=[name])
        return name


@dataclass(frozen=True, slots=True)
class Members:
    """One topic and some clients; a use case takes its name and theirs. Over both by one grant each."""

    topic: str
    clients: Sequence[str]

    def found(self, db: sa.Connection, _realm: Realm, access: Access, /) -> tuple[str, list[str]]:
        topic = topics.name_of(db, self.topic, access.topics)
        names = clients.names_of(db, self.clients, access.clients)
        access.require(names, [topic])
        return topic, names


@dataclass(frozen=True, slots=True)
class Peers:
    """A client, and one whose public key it is to hold or to forget; a use case takes their names."""

    holder: str
    peer: str

    def found(self, db: sa.Connection, _realm: Realm, access: Access, /) -> tuple[str, str]:
        holder = clients.name_of(db, self.holder, access.clients)
        peer = clients.name_of(db, self.peer, access.clients)
        access.require([holder, peer])
        return holder, peer


@dataclass(frozen=True, slots=True)
class NewClient:
    """A client that is to be, by its name, which a use case takes; and by an id, if it is to have one whatever its name."""

    client_name: str
    client: str | None = None

    def found(self, _db: sa.Connection, _realm: Realm, access: Access, /) -> str:
        access.require([self.client_name])
        if self.client is not None:
            access.require_whole()  # that the id is taken would tell of a client that may not be seen
        return self.client_name


@dataclass(frozen=True, slots=True)
class NewTopic:
    """A topic that is to be, by its name, which a use case takes."""

    topic_name: str

    def found(self, _db: sa.Connection, _realm: Realm, access: Access, /) -> str:
        access.require(topics=[self.topic_name])
        return self.topic_name


@dataclass(frozen=True, slots=True)
class Each(Generic[Found]):
    """Many objects; a use case takes of each what it takes of one, or why it is refused."""

    each: Sequence[Objects[Found]]

    def found(self, db: sa.Connection, realm: Realm, access: Access, /) -> list[Found | E4Error]:
        return [_tried(partial(one.found, db, realm, access)) for one in self.each]

    def one_by_one(self) -> list[tuple[str, ...]]:
        return [named(one) for one in self.each]


@dataclass(frozen=True, slots=True)
class EachClient:
    """Many clients; a use case takes of each its name, or why it is refused."""

    clients: Sequence[str]

    def found(self, db: sa.Connection, _realm: Realm, access: Access, /) -> list[str | E4Error]:
        return _each(db, self.clients, access, ())

    def one_by_one(self) -> list[tuple[str, ...]]:
        return [named(Client(each)) for each in self.clients]


@dataclass(frozen=True, slots=True)
class EachMember:
    """A topic and many clients; a use case takes its name, and of each of them its name, or why it is refused."""

    topic: str
    clients: Sequence[str]

    def found(self, db: sa.Connection, _realm: Realm, access: Access, /) -> tuple[str, list[str | E4Error]]:
        topic = topics.name_of(db, self.topic, access.topics)
        access.require(topics=[topic])
        return topic, _each(db, self.clients, access, [topic])

    def one_by_one(self) -> list[tuple[str, ...]]:
        return [named(Members(self.topic, [each])) for each in self.clients]


@dataclass(frozen=True, slots=True)
class Operation:
    """A change of before; seen with what it was about. A use case takes its id as it is stored.

    One that was about some who are not named is seen by whoever knows its id: who removed clients follows that to its end, though
    they are gone and not all who stay are seen. The id is 16 random bytes, told to them, and to who sees a command or event of the
    change; and what it tells are numbers, as the answer to them did.
    """

    operation: str

    def found(self, db: sa.Connection, _realm: Realm, access: Access, /) -> bytes:
        identity = commands.parse_id(self.operation)
        about = commands.require(db, identity)
        if not _SEES.get(about["kind"], _sees_all)(access, about["subject"]):
            raise NotFound(commands.NO_OPERATION)
        return identity


@dataclass(frozen=True, slots=True)
class Command:
    """A command by its number, which a use case takes; seen with the client that it is to."""

    command: int

    def found(self, db: sa.Connection, _realm: Realm, access: Access, /) -> int:
        name = dead_letters.client_name(db, self.command)
        if not access.clients.match(name):
            raise NotFound(dead_letters.there_is_none(self.command))
        access.require([name])
        return self.command


@dataclass(frozen=True, slots=True)
class Token:
    """One token, by its id, which a use case takes; seen with the permission over all that the token is over."""

    token: str

    def found(self, db: sa.Connection, realm: Realm, access: Access, /) -> str:
        if not access.reaches(tokens.show(db, realm, self.token).grants):
            raise NotFound(tokens.there_is_none(self.token))
        return self.token


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token that is to be, with grants that its maker has; a use case takes both."""

    token_name: str
    grants: tuple[Grant, ...]

    def found(self, _db: sa.Connection, _realm: Realm, access: Access, /) -> tuple[str, tuple[Grant, ...]]:
        access.require_all_of(self.grants)
        return self.token_name, self.grants


@dataclass(frozen=True, slots=True)
class Identity:
    """One identity, by its id, which a use case takes; seen with the permission over all that it is over."""

    identity: str

    def found(self, db: sa.Connection, realm: Realm, access: Access, /) -> str:
        if not access.reaches(identities.show(db, realm, self.identity).grants):
            raise NotFound(identities.there_is_none(self.identity))
        return self.identity


@dataclass(frozen=True, slots=True)
class NewIdentity:
    """An identity that is to be, with grants that its maker has; a use case takes its name and them."""

    identity_name: str
    grants: tuple[Grant, ...]

    def found(self, _db: sa.Connection, _realm: Realm, access: Access, /) -> tuple[str, tuple[Grant, ...]]:
        access.require_all_of(self.grants)
        return self.identity_name, self.grants


@dataclass(frozen=True, slots=True)
class NewEnrolment:
    """An enrolment token that is to be; a use case takes its clients (a pattern) and topics. Whoever may enrol may let join."""

    enrolment_name: str
    clients: str
    topics: tuple[str, ...]

    def found(self, _db: sa.Connection, _realm: Realm, access: Access, /) -> tuple[str, tuple[str, ...]]:
        if not access.reaches((Grant(Role.ENROLLER, (self.clients,), self.topics),)):
            raise Denied(f"this needs the permission {access.permission} over all that it is for", kind=FORBIDDEN)
        return self.clients, self.topics


@dataclass(frozen=True, slots=True)
class Enrolment:
    """One enrolment token, by its id, which a use case takes; seen with the permission over all that it is over."""

    enrolment: str

    def found(self, db: sa.Connection, realm: Realm, access: Access, /) -> str:
        if not access.reaches(enrolments.show(db, realm, self.enrolment).reach):
            raise NotFound(enrolments.there_is_none(self.enrolment))
        return self.enrolment


@dataclass(frozen=True, slots=True)
class OwnEnrolment:
    """The enrolment token that is shown, by its id, which a use case takes."""

    def found(self, _db: sa.Connection, _realm: Realm, access: Access, /) -> str:
        if access.principal.kind is not PrincipalKind.ENROLMENT:
            raise Denied("this needs an enrolment token", kind=FORBIDDEN)
        return access.principal.id


@dataclass(frozen=True, slots=True)
class Approval:
    """One approval; a use case takes its id and who asks, and finds it only for who may see it."""

    approval: str

    def found(self, _db: sa.Connection, _realm: Realm, access: Access, /) -> tuple[str, Principal]:
        return self.approval, access.principal


@dataclass(frozen=True, slots=True)
class Seen:
    """Whatever of a list may be seen; a use case takes the access, and tells of nothing else."""

    def found(self, _db: sa.Connection, _realm: Realm, access: Access, /) -> Access:
        return access


@dataclass(frozen=True, slots=True)
class SeenOf(Generic[Found]):
    """Whatever may be seen of a list that belongs to an object; a use case takes what it takes of that, and the access."""

    of: Objects[Found]

    def found(self, db: sa.Connection, realm: Realm, access: Access, /) -> tuple[Found, Access]:
        return self.of.found(db, realm, access), access


@dataclass(frozen=True, slots=True)
class Whole:
    """The whole fleet: the permission is needed over all clients and topics. For a use case without objects: `no_object`."""

    def found(self, _db: sa.Connection, _realm: Realm, access: Access, /) -> None:
        access.require_whole()


SEEN, WHOLE, OWN_ENROLMENT = Seen(), Whole(), OwnEnrolment()


def no_object(
    use_case: Callable[Concatenate[sa.Connection, Realm, P], T],
) -> Callable[Concatenate[sa.Connection, Realm, object, P], T]:
    """A use case that takes nothing of what was found."""

    def run(db: sa.Connection, realm: Realm, _found: object, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return use_case(db, realm, *args, **kwargs)

    return run


def _each(db: sa.Connection, ids: Sequence[str], access: Access, topics: Sequence[str]) -> list[str | E4Error]:
    names = clients.seen_names(db, ids, access.clients)

    def one(identity: str) -> str:
        if identity not in names:
            raise NotFound(f"there is no client with the id {identity!r}")
        access.require([names[identity]], topics)
        return names[identity]

    return [_tried(partial(one, each)) for each in ids]


def _tried(find: Callable[[], T]) -> T | E4Error:
    try:
        return find()
    except E4Error as error:
        return error


def named(objects: object) -> tuple[str, ...]:
    """What a request is about, as the audit log has it: ``KIND:ID`` or ``KIND_name:NAME``, as the fields are called."""
    return tuple(text for each in fields(objects) for text in _told(each.name, getattr(objects, each.name)))  # type: ignore[arg-type]


def outcomes(objects: object, result: object) -> dict[str, tuple[str, ...]]:
    """What a request has come to, each outcome with what has it: of many objects some may be refused.

    Args: result: of the use case; of one that takes many the ``results``, in their order.
    """
    match objects, result:
        case ((Each() | EachClient() | EachMember()), {"results": results}):
            return _grouped(zip(results, objects.one_by_one(), strict=True))
    return {DONE: named(objects)}


def _grouped(results: Iterable[tuple[Mapping[str, Any], tuple[str, ...]]]) -> dict[str, tuple[str, ...]]:
    grouped: dict[str, dict[str, None]] = {}
    for result, names in results:
        outcome = result["problem"]["kind"] if result["problem"] else DONE
        grouped.setdefault(outcome, {}).update(dict.fromkeys(names))
    return {outcome: tuple(about) for outcome, about in grouped.items()}


def made(objects: object, identity: str) -> str:
    """The same of what a request has made. Args: objects: what is to be made, by its name."""
    kind = next((each.name for each in fields(objects)), "id")  # type: ignore[arg-type]
    return f"{kind.removesuffix('_name')}:{identity}"


def _told(name: str, value: object) -> Iterable[str]:
    match value:
        case str():
            return [f"{name}:{value}"]
        case list() | tuple():
            return [text for each in value for text in _told(name.removesuffix("s"), each)]
    return named(value) if is_dataclass(value) and not isinstance(value, Grant) else []


def _sees_all(access: Access, _subject: str) -> bool:
    return access.sees_all


def _sees_client(access: Access, subject: str) -> bool:
    return access.clients.match(subject)


def _sees_topic(access: Access, subject: str) -> bool:
    return access.topics.match(subject)


def _sees_peers(access: Access, subject: str) -> bool:
    # a name may hold the arrow too: then it is split elsewhere, and every part must still be seen
    return all(map(access.clients.match, subject.split(commands.ARROW)))


_SEES: dict[str, Callable[[Access, str], bool]] = {
    **dict.fromkeys(endings.ABOUT_TOPIC, _sees_topic),
    **dict.fromkeys(endings.ABOUT_CLIENT, _sees_client),
    **dict.fromkeys(("link", "unlink"), _sees_peers),
    **dict.fromkeys(endings.ABOUT_SOME, lambda _access, _subject: True),
}
"""Kind of an operation -> whether its subject is seen; of one that is not named here, only by who sees everything."""
