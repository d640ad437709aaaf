"""Rooms: outsiders import a room's face only, and no two rooms import each other.

A room is a folder with an `__init__`; its face is what `__init__.pyi` (or `__init__.py`) names.
Inside its own folder a module imports its siblings directly.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
HOUSES = {"ptycho": ROOT / "ptycho", "orchestration": ROOT / "scripts/orchestration"}


class Found(NamedTuple):
    """`name` (or a module, where it is "") imported from `source`, by `module` at `where`."""

    module: str
    where: str
    source: str
    name: str


def folder_of(module: str) -> Path:
    """The folder or, without its suffix, the file of a module."""
    house, *rest = module.split(".")
    return HOUSES[house].joinpath(*rest)


def is_room(module: str) -> bool:
    return (folder_of(module) / "__init__.py").is_file()


def is_module(module: str) -> bool:
    return is_room(module) or folder_of(module).with_suffix(".py").is_file()


@cache
def face(room: str) -> frozenset[str]:
    """The names that a room shows."""
    place = folder_of(room)
    stub = place / "__init__.pyi"
    tree = ast.parse((stub if stub.is_file() else place / "__init__.py").read_text("utf-8"))
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names.add(node.value)  # `__all__`, or a table of lazily loaded names
    return frozenset(names)


def imports_of(path: Path, module: str) -> Iterator[Found]:
    """Every import of one of the houses in a file, those inside functions included."""
    package = module if path.stem == "__init__" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        where = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] in HOUSES:
                    yield Found(module, where, alias.name, "")
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join(above) if node.level else ""
            source = ".".join(part for part in (base, node.module or "") if part)
            if source.split(".")[0] in HOUSES:
                yield from (Found(module, where, source, alias.name) for alias in node.names)


def modules(house: str) -> Iterator[tuple[Path, str]]:
    folder = HOUSES[house]
    for path in sorted(folder.rglob("*.py")):
        parts = [house, *path.relative_to(folder).with_suffix("").parts]
        yield path, ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def fault(found: Found) -> str:
    """What is wrong with an import, "" when nothing is."""
    full = f"{found.source}.{found.name}" if found.name else found.source
    place = full if is_module(full) else found.source
    if is_room(found.source) and found.name:
        inside = f"{found.module}.".startswith(f"{found.source}.")
        if inside or is_room(full) or found.source in HOUSES or found.name in face(found.source):
            return ""
        return f"{found.where}: {found.name} is no part of the face of {found.source}"
    parent = place.rpartition(".")[0]
    if is_room(place) or parent in HOUSES or f"{found.module}.".startswith(f"{parent}."):
        return ""
    return f"{found.where}: {place} is inside the room {parent}; import the room's face"


@pytest.mark.parametrize("house", HOUSES)
def test_outsiders_import_a_rooms_face_only(house: str) -> None:
    every = [found for path, module in modules(house) for found in imports_of(path, module)]
    assert len(every) > 300
    assert [text for text in map(fault, every) if text] == []


def test_an_import_past_the_face_is_seen() -> None:
    by = "orchestration.engine.loop"
    past = Found(by, "x.py:1", "orchestration.log.store", "EventLog")
    assert fault(past) == (
        "x.py:1: orchestration.log.store is inside the room orchestration.log; "
        "import the room's face"
    )
    hidden = Found(by, "x.py:2", "orchestration.log", "fsync_directory")
    assert "no part of the face" in fault(hidden)
    assert fault(Found(by, "x.py:3", "orchestration.log", "EventLog")) == ""
    assert fault(Found("orchestration.log.inbox", "x.py:4", *past[2:])) == ""


def only_for_types(path: Path) -> set[int]:
    """The lines of a file that no program runs: below `if TYPE_CHECKING:`."""
    return {
        line
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }


@pytest.mark.parametrize("house", HOUSES)
def test_no_two_rooms_reach_each_other(house: str) -> None:
    """Right below the package; imports for annotations alone do not count."""
    known = {"ptycho.result -> ptycho.data"}  # goes with the module for a reconstruction's file
    reach: dict[str, set[str]] = {}
    for path, module in modules(house):
        room = ".".join(module.split(".")[:2])
        skipped = only_for_types(path)
        for found in imports_of(path, module):
            full = f"{found.source}.{found.name}"
            there = ".".join((full if is_module(full) else found.source).split(".")[:2])
            line = int(found.where.rpartition(":")[2])
            if line in skipped or f"{room} -> {there}" in known:
                continue
            if house not in (room, there) and there != room:
                reach.setdefault(room, set()).add(there)
    for middle in list(reach):
        for targets in reach.values():
            targets |= reach[middle] if middle in targets else set()
    assert sorted(room for room, targets in reach.items() if room in targets) == []
