# SPDX-License-Identifier: Apache-2.0
"""Access to one token: opened when used, opened again when the token was gone, but never again with a PIN that was refused."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import pkcs11

from e4core.errors import KmsDenied, KmsError, KmsUnavailable
from e4kms.pkcs11.address import Address
from e4kms.pkcs11.module import Link, Module, module_at
from e4kms.pkcs11.refusals import concerns_pin, is_final, refusal

T = TypeVar("T")

_CLOSE_WAIT_S = 2.0
_RESTARTS_AFTER_S = (0.0, 0.05, 0.2)
"""SoftHSM, for one, does not see its token while another process writes to it, as each login does."""


class Access:
    """What a KMS or an identity does on its token. May be used from any thread, and in a forked child."""

    __slots__ = ("_address", "_held", "_is_closed", "_refused")

    def __init__(self, address: Address) -> None:
        self._address = address
        self._held: tuple[Module, Link] | None = None
        self._refused: KmsDenied | None = None
        self._is_closed = False

    def run(self, job: Callable[[Link], T]) -> T:
        """What ``job`` returns. It is done again after whatever a restart of the module may mend.

        Raises: KmsDenied: also for each later call once the PIN was refused; KmsError; what ``job`` raises.
        """
        # the token may answer at any time after the deadline; only those who wait are told
        return module_at(self._address.module).call(lambda module: self._attempt(module, job), self._address.timeout_s)

    def about(self) -> dict[str, str]:
        """Of which versions module and token are. Raises: as `run`."""
        return self.run(lambda link: module_at(self._address.module).about(link.token))

    def close(self) -> None:
        self._is_closed = True
        # also if nothing is held: a job that nobody waits for any more may be about to
        with suppress(KmsUnavailable):
            module_at(self._address.module).call(self._release, min(self._address.timeout_s, _CLOSE_WAIT_S))

    def _attempt(self, module: Module, job: Callable[[Link], T]) -> T:
        if self._is_closed:
            raise KmsError(f"{self._address} is closed; open it again")
        for restart_after_s in (None, *_RESTARTS_AFTER_S):
            try:
                if restart_after_s is not None:
                    time.sleep(restart_after_s)
                    module.restart()
                return job(self._link(module))
            except pkcs11.PKCS11Error as error:
                failure = refusal(error, self._address)
                if is_final(error) or (restart_after_s is not None and isinstance(error, pkcs11.NoSuchKey)):
                    break
        raise failure

    def _link(self, module: Module) -> Link:
        if self._refused:
            raise KmsDenied(str(self._refused), kind=self._refused.kind)
        if self._held and self._held[0] is module and module.is_current(self._held[1]):
            return self._held[1]
        try:
            link = module.link(self._address.token, self._address.pin.read)
        except pkcs11.PKCS11Error as error:
            if not concerns_pin(error):
                raise
            self._refused = KmsDenied(str(refused := refusal(error, self._address.token)), kind=refused.kind)
            raise self._refused from None
        self._held = (module, link)
        return link

    def _release(self, module: Module) -> None:
        if self._held and self._held[0] is module:
            module.release(self._held[1])
        self._held = None
