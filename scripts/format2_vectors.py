# SPDX-License-Identifier: Apache-2.0
"""Writes the vectors of Format 2: ``python -m scripts.format2_vectors``, in the root of the repository.

The project's own code seals; what must come of each step is written by hand in ``tests/conformance/format2``, from
``docs/reference/format2.md``. Nothing is random but what KEMs and signatures draw, and an entry in which nothing else would
change stays as it is: who has tested a port against it need not do so again.
"""

from __future__ import annotations

import json

from tests.conformance.format2.file import TARGET, kept, text, vectors
from tests.conformance.format2.project_maker import ProjectMaker
from tests.conformance.format2.sizes import SIZES, VERIFIED
from tests.conformance.suites2 import suite_of

if __name__ == "__main__":
    made = vectors(ProjectMaker(suite_of), (*SIZES, *VERIFIED))
    TARGET.write_text(text(kept(json.loads(TARGET.read_text()), made)))
