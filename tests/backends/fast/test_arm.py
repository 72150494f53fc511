# SPDX-License-Identifier: Apache-2.0
"""The C core on 64-bit ARM: compiled here, run by QEMU. Which bytes come, and which path is taken; nothing of its time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers import tool

from .build import Probe, build, run, run_program
from .lines import checks, of_libraries, of_the_reference, of_this_cpu, of_wycheproof_openssl_and_nist

COMPILER = "aarch64-linux-gnu-gcc"
LIBRARIES = "/usr/aarch64-linux-gnu"
TOOLCHAIN = ("-DCMAKE_SYSTEM_NAME=Linux", "-DCMAKE_SYSTEM_PROCESSOR=aarch64", f"-DCMAKE_C_COMPILER={COMPILER}")
NO_AES = Path(__file__).parent / "no_aes.c"


@dataclass(frozen=True)
class Cpu:
    """An emulated CPU, and the programs for it."""

    paths: tuple[str, ...]
    programs: Path
    emulator: tuple[str, ...]

    def check(self, program: str, *arguments: str, options: Sequence[str] = ()) -> str:
        """What ``program`` says when all its checks hold."""
        done = run_program(self.programs, program, *arguments, emulator=(*self.emulator, *options))
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="session")
def with_aes(builds: Path) -> Cpu:
    tool(COMPILER, "gcc-aarch64-linux-gnu libc6-dev-arm64-cross")
    qemu = tool("qemu-aarch64", "qemu-user")
    programs = build(builds, targets=("check", "check_full"), toolchain=TOOLCHAIN)
    return Cpu(("armv8", "bitsliced"), programs, (qemu, "-L", LIBRARIES, "-cpu", "max"))


@pytest.fixture(scope="session")
def without_aes(with_aes: Cpu, tmp_path_factory: pytest.TempPathFactory) -> Cpu:
    library = tmp_path_factory.mktemp("no-aes") / "no_aes.so"
    run(COMPILER, "-shared", "-fPIC", "-o", str(library), str(NO_AES))
    return Cpu(("bitsliced",), with_aes.programs, (*with_aes.emulator, "-E", f"LD_PRELOAD={library}"))


@pytest.fixture(params=["with_aes", "without_aes"])
def cpu(request: pytest.FixtureRequest) -> Cpu:
    found: Cpu = request.getfixturevalue(request.param)
    return found


def test_all_paths_agree_at_every_alignment(with_aes: Cpu) -> None:
    said = with_aes.check("check")
    assert "best path armv8:" in said
    assert int(said.split()[-3]) > 20_000


def test_with_all_rounds_the_vectors_of_others_hold(cpu: Cpu, tmp_path: Path) -> None:
    _hold(cpu, "check_full", [*of_wycheproof_openssl_and_nist(), *of_libraries()], tmp_path)


def test_with_ten_rounds_the_bytes_are_those_of_this_cpu(cpu: Cpu, probe: Probe, tmp_path: Path) -> None:
    _hold(cpu, "check", [*of_this_cpu(probe), *of_the_reference()], tmp_path)


def _hold(cpu: Cpu, program: str, lines: Sequence[str], folder: Path) -> None:
    vectors = folder / "vectors"
    vectors.write_text("\n".join(lines))
    said = cpu.check(program, str(vectors))
    assert said.endswith(f"best path {cpu.paths[0]}: {checks(lines, paths=len(cpu.paths))} checks hold\n")


def test_aes_instructions_are_met_only_on_a_cpu_that_has_them(cpu: Cpu, tmp_path: Path) -> None:
    """QEMU writes down each instruction that it comes to: a CPU without AES would end the program at the first one."""
    vectors, log = tmp_path / "vectors", tmp_path / "log"
    vectors.write_text("\n".join(of_the_reference()))
    cpu.check("check", str(vectors), options=("-d", "in_asm", "-D", str(log)))
    code = log.read_text()
    assert "eor" in code
    assert ("aese" in code) == ("armv8" in cpu.paths)
