"""Whether a program can be started at all, told before a fence or a wrapper would hide why not."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from orchestration.errors import HarnessError

_ELF = b"\x7fELF"
_RUNS_TOO = {0x3E: 0x03}
"""Machines of ELF files: x86-64 runs programs for i386 as well."""


def check_program(argv: Sequence[str], cwd: str | os.PathLike[str], env: Mapping[str, str]) -> None:
    """Raise HarnessError where `argv[0]` is not there, no program, or none for this machine."""
    program = os.fspath(argv[0])
    place = os.path.join(cwd, program) if os.sep in program else program
    found = shutil.which(place, path=env.get("PATH", os.defpath))
    if found is None:
        absent = not os.path.exists(place) or os.sep not in program
        raise cannot_start(argv, cwd, "No such file or directory" if absent else "Not executable")
    problem = _problem(Path(found))
    if problem:
        raise cannot_start(argv, cwd, problem)


def _problem(program: Path) -> str:
    """Why the kernel would refuse a program; "" where it would not, or cannot be asked."""
    try:
        with program.open("rb") as file:
            head = file.read(256)
    except OSError:
        return ""
    if head.startswith(b"#!"):
        words = head[2:].split(b"\n")[0].split()
        interpreter = os.fsdecode(words[0]) if words else ""
        if interpreter.startswith("/") and not os.path.exists(interpreter):
            return f"its first line names {interpreter}, which is not there"
    machine, ours = _machine(head), _machine_here()
    if machine and ours and machine not in (ours, _RUNS_TOO.get(ours)) and not _emulated():
        return f"it is made for another kind of processor (ELF machine {machine}, here {ours})"
    return ""


def _machine(head: bytes) -> int:
    """The machine that an ELF file is for; 0 of any other file."""
    if not head.startswith(_ELF) or len(head) < 20:
        return 0
    return int.from_bytes(head[18:20], "little" if head[5] == 1 else "big")


@cache
def _machine_here() -> int:
    try:
        with open(sys.executable, "rb") as file:
            return _machine(file.read(20))
    except OSError:
        return 0


def _emulated() -> bool:
    """Whether the kernel hands programs of other machines to an emulator."""
    return any(Path("/proc/sys/fs/binfmt_misc").glob("qemu-*"))


def cannot_start(
    argv: Sequence[str], cwd: str | os.PathLike[str], problem: str | None
) -> HarnessError:
    """The error of a program that cannot be started, and why."""
    return HarnessError(
        f"cannot start {argv[0]}: {problem}",
        where=cwd,
        got=" ".join(map(str, argv))[:300],
        fix=f"check that {argv[0]} is installed and on PATH",
    )
