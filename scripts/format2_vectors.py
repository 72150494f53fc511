# SPDX-License-Identifier: Apache-2.0
"""Writes the vectors of Format 2: ``python -m scripts.format2_vectors``, in the root of the repository.

The project's own code seals; what must come of each step is written by hand in ``tests/conformance/format2``, from
``docs/reference/format2.md``. Nothing is random but what KEMs and signatures draw: in symmetric suites the file is the same each
time, in the others a new one verifies and opens as the old one does.
"""

from __future__ import annotations

from tests.conformance.format2.file import TARGET, text
from tests.conformance.format2.project_maker import ProjectMaker
from tests.conformance.suites2 import suite_of

if __name__ == "__main__":
    TARGET.write_text(text(ProjectMaker(suite_of)))
