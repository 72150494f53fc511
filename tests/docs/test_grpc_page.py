# SPDX-License-Identifier: Apache-2.0
"""What the page on gRPC tells a Python programmer to type does what it says."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

from tests.c2.served import serving, settings_in
from tests.docs.session import ROOT

PAGE = (ROOT / "docs" / "reference" / "grpc-api.md").read_text()


def test_the_client_of_the_page_is_made_and_works(tmp_path: Path) -> None:
    (program,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.S | re.M)
    (printed,) = re.findall(r"\A```\n\n```\n(.*?)^```$", PAGE.partition(program)[2], re.S | re.M)
    (protoc,) = re.findall(r"^python (-m grpc_tools\.protoc (?:.*\\\n)*.*)$", PAGE, re.M)
    (tmp_path / "e4" / "v1").mkdir(parents=True)
    (tmp_path / "e4" / "v1" / "e4.proto").write_bytes((ROOT / "c2" / "e4c2" / "grpc" / "e4.proto").read_bytes())
    python = shlex.quote(sys.executable)
    shell = f'python() {{ {python} "$@"; }}; python {protoc}'
    subprocess.run(["/bin/bash", "-ec", shell], cwd=tmp_path, check=True)
    with serving(settings_in(tmp_path, grpc_port=0)) as c2:
        program = program.replace("127.0.0.1:8885", str(c2.started.grpc)).replace("e4-data", "data")
        done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
        assert done.stdout == printed
        assert [topic["name"] for topic in c2.http.get("/v1/topics").json()["items"]] == ["plant/1"]
