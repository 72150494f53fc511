# SPDX-License-Identifier: Apache-2.0
"""An HTTP answer that is an error, as a status of gRPC: the same sentence, and its kind in `google.rpc.ErrorInfo`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from e4c2.api.status import GRPC

DOMAIN = "e4"
DETAILS = "grpc-status-details-bin"

_CODES = {code.name: code for code in grpc.StatusCode}


class Failure(Exception):
    """Ends a call. ``trailers`` go with it."""

    def __init__(self, code: grpc.StatusCode, text: str, trailers: tuple[tuple[str, str | bytes], ...]) -> None:
        super().__init__(text)
        self.code, self.text, self.trailers = code, text, trailers


def of_answer(status: int, headers: Mapping[str, str], body: bytes) -> Failure:
    """Of an answer that is a problem."""
    told = json.loads(body)
    code = _CODES[GRPC[HTTPStatus(status)]]
    more = {"approval": told["approval"]} if "approval" in told else {}
    details = [ErrorInfo(reason=told["kind"], domain=DOMAIN, metadata={"status": str(status), **more})]
    if "retry-after" in headers:
        details.append(RetryInfo(retry_delay=Duration(seconds=int(headers["retry-after"]))))
    whole = Status(code=code.value[0], message=told["detail"], details=map(_any, details))
    return Failure(code, told["detail"], ((DETAILS, whole.SerializeToString()),))


def _any(detail: ErrorInfo | RetryInfo) -> Any:
    packed = Any()
    packed.Pack(detail)
    return packed
