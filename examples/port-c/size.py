# SPDX-License-Identifier: Apache-2.0
"""What the port costs on a device: code, RAM and the deepest stack, as a table.

The code is what the linker kept, by its map. The stack is added up along the worst path of calls: frames of the library as the
compiler tells them (-fcallgraph-info=su), those of wolfCrypt, which comes compiled, as its instructions move the stack pointer.
What the platform does in its callbacks is not in it, nor what memcpy and the like take.

Usage: size.py FOLDER, in which `make size` has built.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ENTRIES = ("provision", "start", "close", "protect", "unprotect", "command", "hello", "digest")
"""Functions of e4.h that a device calls."""
_STEPS = ("check_length", "check_known", "check_supported", "check_keys", "apply", "synchronise")
INDIRECT = {
    "e4_sha3_each": ("e4_crypto.c:next_listed", "e4_report.c:next_record"),
    "e4_command2.c:each_entry": tuple(f"e4_command2.c:{step}" for step in _STEPS),
    "e4_protect": ("e4_protect1", "e4_protect2"),
    "e4_unprotect": ("e4_unprotect1", "e4_unprotect2"),
    "e4_command": ("e4_command1", "e4_command2"),
    "e4_hello": ("e4_hello1", "e4_hello2"),
    **dict.fromkeys(("e4_take_back", "e4_save", "e4_start", "e4_provision", "e4_close", "e4_random"), ()),
}
"""Where a call through a pointer may lead; nowhere: only to the platform."""
PORT = ("port.o", "board.o", "json.o", "lines.o")
LOADED = re.compile(r"\.(text|rodata|data)")

_NODE = re.compile(r'^node: \{ title: "([^"]+)" label: "[^"]*\\n(\d+) bytes \((\w+)\)', re.M)
_EDGE = re.compile(r'^edge: \{ sourcename: "([^"]+)" targetname: "([^"]+)"', re.M)
_SECTION = re.compile(r"^ (\.[\w.]+)\s+0x([0-9a-f]+)\s+0x([0-9a-f]+) (\S+)$", re.M)
_FUNCTION = re.compile(r"^[0-9a-f]+ <([^>]+)>:\n((?:.+\n)*)", re.M)
_CALL = re.compile(r"\t(?:call|jmp) +[0-9a-f]+ <([^>+]+)>")


@dataclass
class Function:
    """``frame``: bytes of stack, the return address included."""

    frame: int = 0
    calls: set[str] = field(default_factory=set)


def sections(link_map: str) -> Iterable[tuple[str, str, int]]:
    """Section, file and size in bytes of all that was linked and has a place in memory."""
    placed = link_map[link_map.index("Linker script and memory map") :]
    # long names of sections stand in a line of their own
    for name, address, size, file in _SECTION.findall(re.sub(r"^( \.[\w.]+)\n\s+(?=0x)", r"\1 ", placed, flags=re.M)):
        if int(address, 16):
            yield name, file, int(size, 16)


def part_of(file: str) -> str:
    """Whose a file that was linked is."""
    if "libwolfssl" in file:
        return "wolfCrypt"
    name = Path(file).name
    return "library" if name.startswith("e4_") else "port" if name in PORT else "system"


def own_functions(folder: Path) -> dict[str, Function]:
    """Of the library, by the call graphs that the compiler wrote; static ones as ``file.c:name``."""
    functions: dict[str, Function] = defaultdict(Function)
    for graph in sorted(folder.glob("e4_*.ci")):
        text = graph.read_text()
        for title, size, kind in _NODE.findall(text):
            if kind != "static":
                raise SystemExit(f"{title} has a frame whose size depends on its input")
            functions[_name(title)].frame = int(size)
        for source, target in _EDGE.findall(text):
            caller = _name(source)
            functions[caller].calls.update(_indirect(caller) if target == "__indirect_call" else (_name(target),))
    return dict(functions)


def _name(title: str) -> str:
    return Path(title).name.partition(".part")[0].partition(".constprop")[0].partition(".isra")[0]


def _indirect(caller: str) -> tuple[str, ...]:
    if caller not in INDIRECT:
        raise SystemExit(f"{caller} calls through a pointer; say in INDIRECT where that leads")
    return INDIRECT[caller]


def linked_functions(program: Path) -> dict[str, Function]:
    """Of all that was linked, by its instructions (x86-64)."""
    text = _told(["objdump", "--disassemble", "--no-show-raw-insn", str(program)])
    return {name: Function(_frame(body), set(_CALL.findall(body)) - {name}) for name, body in _FUNCTION.findall(text)}


def _told(command: list[str], asked: str = "") -> str:
    ended = subprocess.run(command, input=asked, capture_output=True, text=True, check=True)  # noqa: S603  # of the build itself
    return ended.stdout


def _frame(body: str) -> int:
    """Deepest that the stack pointer goes; a jump never goes deeper than what stands before it."""
    depth = deepest = 8
    for line in body.splitlines():
        if re.search(r"\tpush ", line):
            depth += 8
        elif found := re.search(r"\tsub +\$0x([0-9a-f]+),%rsp", line):
            depth += int(found[1], 16)
        elif found := re.search(r"\tand +\$0xf+([0-9a-f]{2}),%rsp", line):
            depth += 0x100 - int(found[1], 16) - 1
        elif re.search(r"\tret", line):
            depth = deepest
        elif re.search(r"\tpop ", line):
            depth -= 8
        elif found := re.search(r"\tadd +\$0x([0-9a-f]+),%rsp", line):
            depth -= int(found[1], 16)
        deepest = max(deepest, depth)
    return deepest


def deepest(name: str, functions: Mapping[str, Function], above: tuple[str, ...] = ()) -> tuple[int, tuple[str, ...]]:
    """Bytes of stack that a call of ``name`` takes at most, and along which path."""
    function = functions.get(name)
    if function is None or name in above:
        return 0, ()
    ways = [deepest(each, functions, (*above, name)) for each in sorted(function.calls)]
    below, path = max(ways, default=(0, ()))
    return function.frame + below, (name, *path)


def main(folder: Path) -> None:
    size: dict[tuple[str, str], int] = defaultdict(int)
    for section, file, length in sections((folder / "map").read_text()):
        kind = "code" if LOADED.match(section) else "RAM" if section.startswith(".bss") else ""
        size[part_of(file), kind] += length
    own, linked = own_functions(folder), linked_functions(folder / "e4-port")
    ends = {name: function for name, function in linked.items() if name not in own}
    stack, path = max(deepest(f"e4_{entry}", {**ends, **own}) for entry in ENTRIES)
    crypto = sum(ends[name].frame for name in path if name in ends)
    about = _told([str(folder / "e4-port")], '{"id":1,"do":"about"}\n')
    sizes = dict(re.findall(r'"(state|kept|remembered)":(\d+)', about))
    rows = [
        ("code of the library (`e4_*.c`)", size["library", "code"]),
        ("code of wolfCrypt, as it is linked", size["wolfCrypt", "code"]),
        ("code of the port protocol (`port.c` and the rest)", size["port", "code"]),
        ("RAM: the state, `sizeof(e4_device)`", int(sizes["state"])),
        ("RAM: static variables of the library", size["library", "RAM"]),
        ("RAM: static variables of wolfCrypt", size["wolfCrypt", "RAM"]),
        ("RAM: stack, at most", stack),
        ("of it the library's frames", stack - crypto),
        ("of it wolfCrypt's frames", crypto),
        ("flash: what is kept, and remembered at a stop", int(sizes["kept"]) + int(sizes["remembered"])),
    ]
    print("| what | bytes |\n|---|---|")
    for what, number in rows:
        print(f"| {what} | {number:,} |")
    print(f"\nDeepest: {' > '.join(path)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
