# SPDX-License-Identifier: Apache-2.0
"""Implementations of a device in any language and on any hardware, proven over the port protocol.

`PORTS` is the book of requirements, `subject` the port that a command, a TCP address or a serial line leads to.
"""

# ruff: noqa: I001  # requirements are checked in the order in which their modules are read
from e4conformance.ports import protocol
from e4conformance.ports import receiving, edges, sending, obeying, rekeying, reporting
from e4conformance.ports import told
from e4conformance.ports.book import PORTS
from e4conformance.ports.subject import PortSubject, of, subject

__all__ = [
    "PORTS",
    "PortSubject",
    "edges",
    "obeying",
    "of",
    "protocol",
    "receiving",
    "rekeying",
    "reporting",
    "sending",
    "subject",
    "told",
]
