# SPDX-License-Identifier: Apache-2.0
"""Calls of AWS KMS by boto3, each over by its deadline, come what may.

botocore knows no deadline: its timeouts are for single steps of single attempts, and finding credentials or the address of a host
has others or none. So each call runs in a thread of its own, which is left alone if the deadline passes.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping
from functools import cache
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.loaders import Loader, create_loader

from e4core.errors import InvalidInput, KmsDenied, KmsError, KmsUnavailable
from e4kms.awskms.address import Address, is_private
from e4kms.awskms.failures import translated

_MOST_CALLS = 16
"""At once, those included that were left alone: a host that never answers must not cost a thread for each question."""
_ATTEMPTS = 3


class Connection:
    """To AWS KMS in one region, made when first used, and made again in a child process. For any thread."""

    __slots__ = ("_address", "_attempts", "_local")

    def __init__(self, address: Address, attempts: int = _ATTEMPTS) -> None:
        """Args: attempts: 1 for calls that must not be made twice when the answer to the first is lost."""
        self._address = address
        self._attempts = attempts
        self._local: _Local | None = _Local(address, attempts)

    def call(self, operation: str, **parameters: object) -> Mapping[str, Any]:
        """The answer of ``operation``, as boto3 spells it. Raises: KmsError; InvalidInput: the region or the endpoint."""
        deadline = time.monotonic() + self._address.timeout_s
        local = self._here()
        call = _Call(local, operation, parameters)
        if not call.started(self._address.timeout_s):
            raise KmsUnavailable(f"{self._address}: too many calls wait for AWS KMS; try again later")
        call.join(max(0.0, deadline - time.monotonic()))
        if call.is_alive():
            raise KmsUnavailable(
                f"{self._address}: AWS KMS did not answer within {self._address.timeout_s:g} s; try again later, "
                "or check network, region and endpoint"
            )
        if call.error:
            error = translated(call.error, self._address)
            if isinstance(error, KmsDenied):
                local.forget()
            raise error
        return call.answer

    def close(self) -> None:
        local, self._local = self._local, None
        if local:
            local.close()

    def _here(self) -> _Local:
        local = self._local
        if local is None:
            raise KmsError("the KMS is closed; open it again")
        if local.owner != os.getpid():
            # sockets and locks are the parent's; of two threads that come here at once, each may use its own
            local = self._local = _Local(self._address, self._attempts)
        return local


class _Local:
    """What one process has: boto3's client, which is for any thread, while the session that makes it is not."""

    def __init__(self, address: Address, attempts: int) -> None:
        self.owner = os.getpid()
        self.slots = threading.BoundedSemaphore(_MOST_CALLS)
        self._address = address
        self._attempts = attempts
        self._lock = threading.Lock()
        self._client: Any = None

    def client(self) -> Any:
        with self._lock:
            client = self._client
            if client is None:
                client = self._client = _client(self._address, self._attempts)
            return client

    def forget(self) -> None:
        """Read the credentials anew for the next call, as boto3 keeps those of files and variables for ever."""
        # without the lock, which finding credentials may hold for longer than a deadline
        self._client = None

    def close(self) -> None:
        client, self._client = self._client, None
        # in a child, the connections still belong to the parent
        if client is not None and self.owner == os.getpid():
            client.close()


class _Call(threading.Thread):
    """One call; the thread ends with the process if it never gets its answer."""

    def __init__(self, local: _Local, operation: str, parameters: Mapping[str, object]) -> None:
        super().__init__(name="e4 awskms", daemon=True)
        self.answer: Mapping[str, Any] = {}
        self.error: Exception | None = None
        self._local = local
        self._operation = operation
        self._parameters = parameters

    def started(self, timeout_s: float) -> bool:
        """Start it as soon as there is room; False if there was none in time."""
        if not self._local.slots.acquire(timeout=timeout_s):
            return False
        try:
            self.start()
        except RuntimeError:  # no more threads for this process
            self._local.slots.release()
            return False
        return True

    def run(self) -> None:
        try:
            self.answer = getattr(self._local.client(), self._operation)(**self._parameters)
        except Exception as error:  # handed over to who waits, whatever it is
            self.error = error
        finally:
            self._local.slots.release()


def _client(address: Address, attempts: int) -> Any:
    _hush()
    step_s = address.timeout_s / _ATTEMPTS
    config = Config(
        connect_timeout=step_s,
        read_timeout=step_s if attempts > 1 else address.timeout_s,
        max_pool_connections=_MOST_CALLS,
        retries={"mode": "standard", "total_max_attempts": attempts},
    )
    session = botocore.session.Session(profile=address.profile or None)
    session.register_component("data_loader", _models(session.get_config_variable("data_path")))
    client = session.create_client(
        "kms", region_name=address.region or None, endpoint_url=address.endpoint or None, config=config
    )
    _hush()
    # asked of the client, since the environment can name an endpoint too
    if not (address.plain_http or is_private(client.meta.endpoint_url)):
        raise InvalidInput(
            f"{address}: the endpoint of AWS KMS must begin with https, for root secrets are sent there", kind="bad_uri"
        )
    return client


@cache
def _models(places: str | None) -> Loader:
    """What botocore knows of AWS's services, which would else be read and parsed for each client: most of what one costs."""
    return create_loader(places)


class _NoTalk(logging.Filter):
    """Drops what botocore tells of our calls below a warning: requests and answers, root secrets in them."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= logging.WARNING or not isinstance(threading.current_thread(), _Call)


_NO_TALK = _NoTalk()


def _hush() -> None:
    """A filter sees only what its own logger is told, so each of botocore's gets it, however it is configured; once."""
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if name.startswith("botocore.") and isinstance(logger, logging.Logger):
            logger.addFilter(_NO_TALK)
