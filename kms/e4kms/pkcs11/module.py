# SPDX-License-Identifier: Apache-2.0
"""The PKCS#11 modules of this process. Each is loaded once, and one thread of ours makes all calls into it.

That is what python-pkcs11 promises a module by ``C_Initialize(NULL)``; it lets go of the interpreter lock during a call, so more
threads than one crash some modules. It also gives each call a deadline: who waits can give up, though the call itself cannot be
stopped. A module, its sessions and its logins belong to the whole process, hence the one table here.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

import pkcs11

from e4core.errors import E4Error, KmsDenied, KmsError, KmsUnavailable
from e4core.keys import Secret
from e4kms.pkcs11.address import TokenAddress
from e4kms.pkcs11.again import begin_again
from e4kms.pkcs11.pins import remember_refused, require_not_refused
from e4kms.pkcs11.refusals import is_wrong_pin

T = TypeVar("T")

_FORK_WAIT_S = 1.0
"""How long a fork waits for a call that is under way; the child of a fork amid a call may find the module locked forever."""


@dataclass(slots=True)
class Link:
    """A session in which the user is logged in, and what was found in it. To be used in jobs, until one of its calls fails."""

    token: pkcs11.Token
    session: pkcs11.Session
    generation: int
    keys: dict[object, Any] = field(default_factory=dict)

    def renew(self) -> None:
        """Another session: after an error one may be stuck in the middle of an operation."""
        with suppress(pkcs11.PKCS11Error):
            self.session.close()
        self.keys.clear()
        self.session = self.token.open()


@dataclass(slots=True)
class _Login:
    """A login holds for all sessions of the process, until the session that made it is closed."""

    anchor: pkcs11.Session
    users: int = 0


class Module:
    """A loaded module. All but `call` is to be used in jobs."""

    def __init__(self, path: Path, *, inherited: bool) -> None:
        self.generation = 0
        self._path = path
        self._inherited = inherited
        self._lib: Any = None
        self._logins: dict[int, _Login] = {}
        self._jobs: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()
        self._idle = threading.Lock()
        threading.Thread(target=self._serve, name=f"pkcs11 {path.name}", daemon=True).start()

    def call(self, job: Callable[[Module], T], timeout_s: float) -> T:
        """What ``job`` returns or raises. Raises: KmsUnavailable: not done within ``timeout_s``."""
        future: Future[T] = Future()
        self._jobs.put((future, lambda: job(self)))
        try:
            return future.result(timeout_s)
        except TimeoutError:
            future.cancel()
        raise KmsUnavailable(
            f"the PKCS#11 module {self._path} has not answered within {timeout_s:g} s; "
            "look at the token and its service; if it is only slow, name a longer timeout in the URI"
        )

    def link(self, wanted: TokenAddress, pin: Callable[[], Secret]) -> Link:
        """Raises: KmsDenied: only one attempt at the PIN is left; KmsError; pkcs11.PKCS11Error: for a PIN refused before, too."""
        token = self._token(wanted)
        login = self._logins.get(token.slot.slot_id) or self._log_in(token, wanted, pin())
        link = Link(token, token.open(), self.generation)
        login.users += 1
        return link

    def is_current(self, link: Link) -> bool:
        return link.generation == self.generation

    def release(self, link: Link) -> None:
        """Close its session, and log out if it was the last."""
        if not self.is_current(link):
            return
        slot = link.token.slot.slot_id
        with suppress(pkcs11.PKCS11Error):
            link.session.close()
        login = self._logins[slot]
        login.users -= 1
        if not login.users:
            del self._logins[slot]
            with suppress(pkcs11.PKCS11Error):
                login.anchor.close()

    def restart(self) -> None:
        """Finalize and initialize: some tokens are seen again only then, and all sessions, logins and keys found are void."""
        self.generation += 1
        self._logins.clear()
        begin_again(self._loaded())

    def pause(self) -> bool:
        return self._idle.acquire(timeout=_FORK_WAIT_S)

    def resume(self) -> None:
        self._idle.release()

    def about(self, token: pkcs11.Token) -> dict[str, str]:
        """What the module says of itself and of ``token``: CK_INFO and CK_TOKEN_INFO of PKCS#11 2.40, section 3."""
        lib = self._loaded()
        return {
            "module": f"{lib.manufacturer_id} {lib.library_description} {_dotted(lib.library_version)}",
            "token": f"{token.manufacturer_id} {token.model}, firmware {_dotted(token.firmware_version)}",
        }

    def _loaded(self) -> Any:
        if self._lib is None:
            try:
                lib = pkcs11.lib(str(self._path))
            except pkcs11.PKCS11Error as error:
                if type(error) is not pkcs11.PKCS11Error:
                    raise  # it is one, and says that it cannot begin: its service or its files may only be away
                raise KmsError(
                    f"{self._path} is no PKCS#11 module that can be used here ({error}); mend the URI"
                ) from None
            if self._inherited:
                # PKCS#11 2.40, section 5.4: a child has to initialize for itself
                begin_again(lib)
            self._lib = lib
        return self._lib

    def _token(self, wanted: TokenAddress) -> pkcs11.Token:
        found = [token for token in self._tokens() if wanted.fits(token)]
        if not found:
            raise pkcs11.NoSuchToken
        if len(found) > 1:
            raise KmsError(f"{wanted} is not the only one; say more in the URI, as its serial")
        return found[0]

    def _tokens(self) -> list[pkcs11.Token]:
        tokens = []
        for slot in self._loaded().get_slots(token_present=True):
            with suppress(pkcs11.TokenNotPresent, pkcs11.TokenNotRecognised):
                tokens.append(slot.get_token())
        return tokens

    def _log_in(self, token: pkcs11.Token, wanted: TokenAddress, pin: Secret) -> _Login:
        if token.flags & pkcs11.TokenFlag.USER_PIN_LOCKED:
            raise pkcs11.PinLocked
        if token.flags & pkcs11.TokenFlag.USER_PIN_FINAL_TRY:
            raise KmsDenied(f"{wanted} would lock at one more wrong PIN; log in once with the tools of its vendor")
        require_not_refused(self._path, token, pin)
        try:
            anchor = token.open(user_pin=pin.decode())
        except pkcs11.UserAlreadyLoggedIn:  # by somebody else in this process
            anchor = token.open()
        except pkcs11.PKCS11Error as error:
            if is_wrong_pin(error):
                remember_refused(self._path, token, pin, error)
            raise
        login = self._logins[token.slot.slot_id] = _Login(anchor)
        return login

    def _serve(self) -> None:
        while True:
            future, job = self._jobs.get()
            if future.set_running_or_notify_cancel():
                with self._idle:
                    try:
                        future.set_result(job())
                    except BaseException as error:  # the border: whatever it is belongs to who waits
                        future.set_exception(_alone(error))
            del future, job  # else the last secret stays here until the next call


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))


def _alone(error: BaseException) -> BaseException:
    """What hangs on one of our errors may call the module when it is deleted, so that has to happen in this thread."""
    if isinstance(error, E4Error):
        error.__context__ = None
        return error.with_traceback(None)
    return error


_modules: dict[Path, Module] = {}
_inherited: set[Path] = set()
_table = threading.Lock()
_paused: list[Module] = []


def module_at(path: Path) -> Module:
    """The module of this process in that file; nothing is loaded before its first job."""
    real = path.resolve()
    with _table:
        if real not in _modules:
            _modules[real] = Module(real, inherited=real in _inherited)
        return _modules[real]


def _before_fork() -> None:
    _table.acquire()
    _paused.extend(module for module in _modules.values() if module.pause())


def _after_fork() -> None:
    for module in _paused:
        module.resume()
    _paused.clear()
    _table.release()


def _after_fork_in_child() -> None:
    _inherited.update(_modules)
    _modules.clear()
    _after_fork()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child)
