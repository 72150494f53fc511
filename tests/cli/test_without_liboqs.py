# SPDX-License-Identifier: Apache-2.0
"""A C2 that computes with liboqs, and a device and an operator without, as the guide *Suites against quantum computers* has it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.backends import oqs_here
from tests.c2.served import serving, settings_in
from tests.cli.c2_server import C2
from tests.cli.command import PATIENCE_S, environment, running
from tests.cli.test_c2_cli import wait_until_all_is_confirmed
from tests.docs.desk import GUIDES


def test_a_device_without_liboqs_joins_a_c2_that_has_it_as_the_guide_says(tmp_path: Path) -> None:
    oqs_here.need_liboqs()
    section = (GUIDES / "post-quantum.md").read_text().partition("## liboqs in the C2 alone")[2].partition("\n## ")[0]
    make_key, register, make_state = re.findall(r"^```sh\n(.*?)^```$", section, re.M | re.S)
    make_state, _, run = make_state.partition("e4 device run ")
    settings = settings_in(tmp_path, suite="pq", broker="embedded://127.0.0.1:0")
    with serving(settings) as served:
        c2 = C2(served, tmp_path)
        without = {**c2.env, "OQS_INSTALL_PATH": str(tmp_path / "nowhere"), "E4_DATA": str(settings.data)}
        path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
        subprocess.run(
            ["bash", "-e", "-c", make_key + register + make_state],
            env=environment({**without, "PATH": path}),
            cwd=tmp_path,
            timeout=4 * PATIENCE_S,
            check=True,
        )
        c2.ok("topics", "create", "t")
        c2.ok("topics", "join", "t", "lamp")
        state = tmp_path / run.split()[1]
        with running("device", "run", "--hello-delay", "0", "--state", state, env=without) as lamp:
            lamp.event("connected")
            wait_until_all_is_confirmed(c2)
