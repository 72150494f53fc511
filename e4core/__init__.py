# SPDX-License-Identifier: Apache-2.0
"""The E4 protocol: bytes in, bytes out; no I/O, no clock, no global state.

Import from the modules: `e4core.client` (what a device does), `e4core.plugins` (suites, KMS and transports by name),
`e4core.errors`. Importing this package loads nothing. `e4core.files` and `e4core.inbox` are no part of the protocol: the rooms
above share them.
"""
