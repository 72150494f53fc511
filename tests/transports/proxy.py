# SPDX-License-Identifier: Apache-2.0
"""The proxy of the conformance kit, which here can also put bytes into a link that the broker never sent."""

from __future__ import annotations

from e4conformance.transports import proxy


class Proxy(proxy.Proxy):
    def inject(self, data: bytes) -> None:
        """Write ``data`` to every client, as if the broker had."""
        for writer in self._to_client:
            writer.write(data)
