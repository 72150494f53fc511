# SPDX-License-Identifier: Apache-2.0
"""Mutation testing of the conformance kit's requirements of suites: ``python -m scripts.mutate [SECONDS [SEED]]``.

A sample of small changes to the checks is made in memory, one at a time: a call left out, a comparison turned round, a loop that
does nothing, a truth value changed. With each the negative controls of the tests must still fail the requirement that names them,
and what is right must still conform (requirements of the changed module alone); if so, the change has survived, and is printed:
either a control is missing, or the change means nothing. Each is tried in a fork, so the tree is not touched.
"""

from __future__ import annotations

import ast
import copy
import importlib.machinery
import importlib.util
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from types import CodeType, ModuleType
from typing import NamedTuple, NoReturn

from tests.conformance.suites.broken import BROKEN, CONTROLS, DIFFERENT, PAIRED, TOY

ROOT = Path(__file__).parents[1]
PACKAGE = "e4conformance.suites"
FOLDER = ROOT / "conformance" / "e4conformance" / "suites"
CHECKS = (
    "aead",
    "aead_answers",
    "aead_use",
    "channels",
    "commands",
    "entities",
    "hashing",
    "messages",
    "probing",
    "secrecy",
    "signatures",
)
LONGEST_S = 120
TURNED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.Lt: ast.GtE,
    ast.GtE: ast.Lt,
    ast.Gt: ast.LtE,
    ast.LtE: ast.Gt,
}


class Mutant(NamedTuple):
    module: str
    place: int
    """Of the node, as `ast.walk` counts."""
    line: int
    what: str


def mutants(module: str) -> Iterator[Mutant]:
    """Every change that can be made to a module; texts and the head of a requirement are left alone."""
    tree = ast.parse((FOLDER / f"{module}.py").read_text())
    spared = {id(inner) for node in ast.walk(tree) for inner in _spared(node)}
    for place, node in enumerate(ast.walk(tree)):
        if id(node) not in spared and (what := _change(copy.deepcopy(node))):
            yield Mutant(module, place, node.lineno, what)  # type: ignore[attr-defined]


def _spared(node: ast.AST) -> Iterator[ast.AST]:
    outside = node.decorator_list if isinstance(node, ast.FunctionDef) else []
    for each in (*outside, *([node] if isinstance(node, ast.JoinedStr) else [])):
        yield from ast.walk(each)


def _change(node: ast.AST) -> str:
    """Change ``node`` itself; gives what was done, or nothing."""
    match node:
        case ast.Expr(value=ast.Call(func=func)):
            node.value = ast.Constant(None)
            return f"without the call of {ast.unparse(func)}"
        case ast.For(iter=iterated):
            node.iter = ast.Tuple([], ast.Load())
            return f"no round over {ast.unparse(iterated)[:60]}"
        case ast.Compare(ops=[op]) if type(op) in TURNED:
            text = ast.unparse(node)
            node.ops = [TURNED[type(op)]()]
            return f"{text[:60]} turned round"
        case ast.BoolOp(op=op):
            node.op = ast.Or() if isinstance(op, ast.And) else ast.And()
            return f"{type(op).__name__} is the other"
        case ast.Constant(value=bool() as value):
            node.value = not value
            return f"{value} is {not value}"
    return ""


class _Changed(importlib.machinery.SourceFileLoader):
    """Loads one module with its change."""

    mutant: Mutant

    def get_code(self, _fullname: str) -> CodeType:
        tree = ast.parse((FOLDER / f"{self.mutant.module}.py").read_text())
        _change(next(node for place, node in enumerate(ast.walk(tree)) if place == self.mutant.place))
        return compile(ast.fix_missing_locations(tree), self.path, "exec")


class _Finder:
    def __init__(self, mutant: Mutant) -> None:
        self._mutant, self._name = mutant, f"{PACKAGE}.{mutant.module}"

    def find_spec(self, name: str, _path: object, _target: ModuleType | None = None) -> object:
        if name != self._name:
            return None
        path = str(FOLDER / f"{self._mutant.module}.py")
        loader = _Changed(name, path)
        loader.mutant = self._mutant
        return importlib.util.spec_from_file_location(name, path, loader=loader)


def survives(mutant: Mutant) -> bool:
    """Whether the controls see no difference; asked in a child."""
    child = os.fork()
    if not child:
        _answer(mutant)
    begun = time.monotonic()
    while time.monotonic() - begun < LONGEST_S:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def _answer(mutant: Mutant) -> NoReturn:
    code = 1
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        sys.meta_path.insert(0, _Finder(mutant))  # type: ignore[arg-type]
        code = 0 if controls_hold(mutant.module) else 1
    finally:
        os._exit(code)


def controls_hold(module: str) -> bool:
    """Whether every broken suite fails as it should, and every right one conforms, so far as a module has a part in it."""
    from e4backends import fips, pk, sk
    from e4conformance.kit import Verdict, conforms, run
    from e4conformance.suites import SUITES, SuiteSubject
    from e4conformance.suites.subject import THIN
    from e4core.suite import Suite

    own = {each.id for each in SUITES if each.check.__module__ == f"{PACKAGE}.{module}"} or {each.id for each in SUITES}

    def fails(suite: Suite, number: str, others: tuple[Suite, ...] = ()) -> bool:
        (outcome,) = run(SuiteSubject(suite, 1, others), SUITES, only={number})
        return outcome.verdict is Verdict.FAILED

    controls: list[tuple[Suite, tuple[Suite, ...], str]] = [(BROKEN[name][0], (), number) for name, number in CONTROLS]
    controls += [(suite, (other,), number) for suite, other, number in DIFFERENT.values()]
    right = (TOY, PAIRED, sk.SUITE, pk.SUITE, fips.SUITE_SK, fips.SUITE_PK)
    return all(fails(suite, number, others) for suite, others, number in controls if number in own) and all(
        conforms(run(SuiteSubject(suite, 1, effort=THIN), SUITES, only=own)) for suite in right
    )


def main(arguments: Sequence[str]) -> int:
    """Exit status: 1 if the controls do not hold without any change, else 0: survivors are for people to look at."""
    seconds, seed = (*map(int, arguments), *(300, 1)[len(arguments) :])
    everything = [mutant for module in CHECKS for mutant in mutants(module)]
    if not survives(Mutant("none", 0, 0, "")):
        print("the controls do not hold without any change; run the tests first")
        return 1
    begun, tried, survived = time.monotonic(), 0, 0
    for mutant in Random(seed).sample(everything, len(everything)):  # noqa: S311  # no secrets
        if time.monotonic() - begun > seconds:
            break
        tried += 1
        if survives(mutant):
            survived += 1
            print(f"survived: {mutant.module}.py, line {mutant.line}: {mutant.what}", flush=True)
    print(f"{tried} of {len(everything)} mutants tried, {tried - survived} killed, {survived} survived")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
