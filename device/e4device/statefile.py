# SPDX-License-Identifier: Apache-2.0
"""The file in which a device keeps its state: in clear (`e4core.state`), under a passphrase (`e4device.sealed`), or e4go's.

Only one process at a time may use a state, or both would accept the same message. So whoever writes holds a lock on ``NAME.lock``
beside the file, which stays there, for the state itself is replaced by each save; while a device is at work, it says whether that
is synchronised. ``.NAME.new`` is the next state while it is written; what a crash left of it is removed by the next who takes the
lock, and never read.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from e4core import e4go, files, transition
from e4core.errors import Conflict, InvalidInput, StorageError
from e4core.formats import AnyState, check_keys, dump, faded, load
from e4core.jsonform import parse_json
from e4core.keys import Secret
from e4core.plugins import load_suite
from e4core.state import FORMAT, State
from e4core.suite import Suite
from e4device.in_token import opened
from e4device.passphrase import RECOMMENDED, Cost
from e4device.sealed import Sealed, SealingKey, is_sealed

SuiteLoader = Callable[[str], Suite]
_SYNCHRONISED = b"synchronised\n"
_E4GO = {e4go.SYMMETRIC: "sk", e4go.PUBLIC: "pk"}
"""``keyType`` of e4go -> its suite here."""


class StateFile:
    """One state file. Reading needs no lock; `create` and `save` work inside ``with``, which takes it.

    Attributes: path: of the file itself, symbolic links resolved.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        passphrase: Secret | None = None,
        *,
        cost: Cost = RECOMMENDED,
        suites: SuiteLoader = load_suite,
    ) -> None:
        """Nothing is read or made yet.

        Args: passphrase: the state is, or will be, sealed under it; None: in clear.  cost: of a new key from the passphrase; a
        file that exists names its own.
        """
        self.path = Path(os.path.realpath(path))
        self._passphrase = passphrase
        self._cost = cost
        self._suites = suites
        self._key: SealingKey | None = None
        self._lock: files.Lock | None = None

    def __enter__(self) -> Self:
        """Take the lock. Raises: Conflict (``in_use``): another process has it. StorageError."""
        in_use = f"another process uses this state ({self._lock_path} is locked); stop it first"
        self._lock = files.Lock.take(self._lock_path, in_use)
        files.discard(self._new)
        self._say(b"")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        lock, self._lock = self._lock, None
        if lock:
            lock.release()

    def create(self, state: AnyState) -> None:
        """Write a state file where there is none. Raises: Conflict (``exists``). StorageError."""
        self._require_lock()
        files.create(self.path, self._pack(state), new=self._new)

    def save(self, state: AnyState) -> None:
        """Replace the state; when this returns, it survives a power cut. Raises: StorageError."""
        self._require_lock()
        files.replace(self.path, self._pack(state), new=self._new)

    def load(self, now: float) -> AnyState:
        """The state, with all its keys checked, and in Format 1 without previous topic keys whose grace is over at ``now``.

        A state that e4go saved is taken over as of ``now``: e4go remembers no replays, so nothing sent before is accepted. The
        next `save` puts our own format in its place. With a passphrase nothing but a sealed state is accepted, since whoever can
        write the file could put any other there.

        Raises: StorageError: missing, or open to others. InvalidInput (``bad_state``, ``bad_key`` ...); (``passphrase_missing``).
        AuthenticationFailed: wrong passphrase or damaged file. PluginError: the suite is not installed. KmsError: of the token that
        the state names.
        """
        data = files.read(self.path)
        body = parse_json(data)
        if is_sealed(body):
            data = self._open(Sealed.parse(data, body))
            body = parse_json(data)
        elif self._passphrase is not None:
            raise InvalidInput(
                f"{self.path} is not sealed under a passphrase; use it without one", kind="passphrase_not_needed"
            )
        if "format" not in body and "Key" in body:
            return _adopted(data, now, self._suites)
        return faded(self._own(data, body), now)

    def is_sealed(self) -> bool:
        """Whether the state is under a passphrase. Raises: StorageError; InvalidInput (``bad_state``)."""
        return is_sealed(parse_json(files.read(self.path)))

    def mark_synchronised(self) -> None:
        """The device that holds the lock is synchronised: for those who ask `is_synchronised`. Raises: StorageError."""
        self._require_lock()
        self._say(_SYNCHRONISED)

    def is_synchronised(self) -> bool:
        """Whether a device that is at work with this state has had an answer of the C2 since its start."""
        try:
            if files.read(self._lock_path) == _SYNCHRONISED:
                files.Lock.take(self._lock_path, "").release()  # what a crash left says nothing
        except Conflict:
            return True
        except StorageError:
            pass
        return False

    def export_e4go(self, path: str | os.PathLike[str], now: float) -> None:
        """Write the state as e4go's file, in clear, to ``path``, where there is none yet. What was received is forgotten.

        Raises: as `load`; Conflict (``exists``); InvalidInput: e4go has no such suite.
        """
        state = self.load(now)
        if not isinstance(state, State) or state.suite not in _E4GO.values():
            raise InvalidInput(f"e4go has no suite {state.suite}, only {', '.join(_E4GO.values())}", kind="bad_state")
        files.create(Path(path), e4go.dump(self._suites(state.suite), state))

    @property
    def _new(self) -> Path:
        return self.path.with_name(f".{self.path.name}.new")

    @property
    def _lock_path(self) -> Path:
        return self.path.with_name(f"{self.path.name}.lock")

    def _say(self, text: bytes) -> None:
        assert self._lock
        try:
            os.ftruncate(self._lock.fd, 0)
            os.pwrite(self._lock.fd, text, 0)
        except OSError as error:
            raise StorageError(f"{self._lock_path} cannot be written: {error.strerror}") from error

    def _own(self, data: bytes, body: dict[str, Any]) -> AnyState:
        if body.get("format") != FORMAT:
            raise InvalidInput(f"{self.path} is no state of a device", kind="bad_state")
        state = load(data)
        with opened(self._suites(state.suite), state.private) as suite:
            check_keys(suite, state)
        return state

    def _pack(self, state: AnyState) -> bytes:
        if self._passphrase is None:
            return dump(state)
        self._key = self._key or SealingKey.fresh(self._passphrase, self._cost)
        return self._key.seal(dump(state))

    def _open(self, sealed: Sealed) -> bytes:
        if self._passphrase is None:
            raise InvalidInput(f"{self.path} is sealed; give its passphrase", kind="passphrase_missing")
        key = self._key
        if key is None or key.header != sealed.header:
            key = SealingKey(self._passphrase, sealed.header)
        plaintext = key.open(sealed)
        self._key = key
        return plaintext

    def _require_lock(self) -> None:
        if self._lock is None or not self._lock.is_ours:
            raise StorageError(f"{self.path} is not locked by this process; use the StateFile inside `with`")


def import_e4go(path: str | os.PathLike[str], now: float, suites: SuiteLoader = load_suite) -> State:
    """The state in a file of e4go, as of ``now``. Raises: StorageError; InvalidInput."""
    return _adopted(files.read(Path(path)), now, suites)


def _adopted(data: bytes, now: float, suites: SuiteLoader) -> State:
    state = e4go.load(data, lambda key_type: suites(_E4GO[key_type]))
    # The floors: whatever e4go has accepted or obeyed was sent before now, and may be sent again. A C2 dates its commands back, so
    # that the first seconds of these are lost; it sends them again. sent: nor must we repeat what e4go sent in this very second.
    return transition.faded(replace(state, floor=int(now), command_floor=int(now), sent=int(now)), now)
