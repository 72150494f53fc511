# SPDX-License-Identifier: Apache-2.0
"""Requirements of suites: `SUITES` is the book, `subject` what it is asked of. Each module adds those of one part."""

from e4conformance.suites import aead as aead
from e4conformance.suites import aead_answers as aead_answers
from e4conformance.suites import aead_use as aead_use
from e4conformance.suites import channels as channels
from e4conformance.suites import commands as commands
from e4conformance.suites import entities as entities
from e4conformance.suites import hashing as hashing
from e4conformance.suites import messages as messages
from e4conformance.suites import secrecy as secrecy
from e4conformance.suites import signatures as signatures
from e4conformance.suites import vectors as vectors
from e4conformance.suites.subject import SUITES as SUITES
from e4conformance.suites.subject import SuiteSubject as SuiteSubject
from e4conformance.suites.subject import of as of
from e4conformance.suites.subject import subject as subject
