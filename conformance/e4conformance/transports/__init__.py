# SPDX-License-Identifier: Apache-2.0
"""Requirements of a transport (`e4core.transport`): `TRANSPORTS` on a `subject`, with the `TransportHooks` of its broker."""

# importing a family enters its requirements, in this order
from e4conformance.transports import delivery, topics, links, life  # noqa: F401, I001
from e4conformance.transports.subject import TRANSPORTS, TransportHooks, TransportSubject, subject

__all__ = ["TRANSPORTS", "TransportHooks", "TransportSubject", "subject"]
