# SPDX-License-Identifier: Apache-2.0
"""Threads, processes and forks: each in a child process, so that a driver that crashes there fails a check and not the run."""

from __future__ import annotations

from e4conformance.kms.children import ended
from e4conformance.kms.subject import KMS, PROTOCOL, KmsSubject
from e4conformance.requirement import require

_SOURCE = f"{PROTOCOL}Kms ('may be called from any thread')"
_FORK = "POSIX.1-2017 fork(); PKCS #11 v3.1 section 5.4 (C_Initialize in a child)"
_PROCESSES = 2


@KMS.must(
    "E4-KCON-001",
    "Eight threads share one handle: each gets its own secrets back",
    source=_SOURCE,
    advice="guard what a call keeps in the handle by a lock, or keep nothing there",
)
def threads_share_a_handle(subject: KmsSubject) -> None:
    _done_by_child(subject, "threads")


@KMS.must(
    "E4-KCON-002",
    "Threads open, use and close handles of their own at the same time",
    source=_SOURCE,
    advice="guard what handles share: module, session, login, cache",
)
def threads_have_handles(subject: KmsSubject) -> None:
    _done_by_child(subject, "handles")


@KMS.must(
    "E4-KCON-003",
    "Processes use it at the same time, and open what another one wrapped",
    source=f"{PROTOCOL}Kms.unwrap",
    advice="keep nothing in a process that unwrapping needs, and survive that another one uses the same token or file",
)
def processes_use_it_together(subject: KmsSubject) -> None:
    sample = subject.sample()
    secret, context = sample.secret(), sample.context()
    wrapped = subject.kms.wrap(secret, context)
    processes = [subject.children.start(["process"], secret, context, wrapped) for _ in range(_PROCESSES)]
    faults = [ended(process, ["process"])["process"] for process in processes]
    require(not any(faults), "; ".join(filter(None, faults)))


@KMS.must(
    "E4-KCON-004",
    "After a fork parent and child both go on, also amid the calls of threads",
    source=_FORK,
    advice="notice a new process id: begin anew in the child, with connections, sessions and locks of its own",
)
def forks_are_survived(subject: KmsSubject) -> None:
    _done_by_child(subject, "fork")


@KMS.must(
    "E4-KCON-005",
    "A child that closes the handle leaves its parent a working one, and the other way round",
    source=_FORK,
    advice="end no session or connection in close that another process opened",
)
def forks_part(subject: KmsSubject) -> None:
    _done_by_child(subject, "parting")


def _done_by_child(subject: KmsSubject, role: str) -> None:
    sample = subject.sample("children")
    secret, context = sample.secret(), sample.context()
    fault = subject.children.fault(role, secret, context, subject.kms.wrap(secret, context))
    require(not fault, fault)
