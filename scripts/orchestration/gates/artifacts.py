"""What a turn left as evidence: every file of its report with size, hash and producer."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FILE_CAP_BYTES = 20 << 20
TOTAL_CAP_BYTES = 100 << 20
FILES_CAP = 2000
INVENTORY = "artifact_inventory.txt"
FOLDERS = ("green", "red", "cli", "analysis")
"""What a report is sorted into."""


@dataclass(frozen=True)
class Entry:
    """One file: path below the report folder, size in bytes, SHA-256, and who made it."""

    path: str
    bytes: int
    sha256: str
    producer: str


@dataclass(frozen=True)
class Inventory:
    """All entries, sorted by path, and a line for everything that was left out or over a cap."""

    entries: tuple[Entry, ...]
    problems: tuple[str, ...]


def inventory(
    folder: Path,
    *,
    producers: Mapping[str, str] | None = None,
    file_cap_bytes: int = FILE_CAP_BYTES,
    total_cap_bytes: int = TOTAL_CAP_BYTES,
) -> Inventory:
    """List the regular files below `folder`; symbolic links and special files are never followed.

    `producers` maps a path or its first folder to who made it ("harness", "agent", a command);
    unnamed ones are "agent". Files over a cap appear in `problems`, not in `entries`.
    """
    names = producers or {}
    entries: list[Entry] = []
    problems: list[str] = []
    total = 0
    for path in _files(folder, problems):
        name = path.relative_to(folder).as_posix()
        if name == f"analysis/{INVENTORY}":
            continue
        size = path.stat().st_size
        if size > file_cap_bytes:
            problems.append(f"{name}: {size} bytes, over the cap of {file_cap_bytes} a file")
        elif total + size > total_cap_bytes:
            problems.append(f"{name}: would bring the report over {total_cap_bytes} bytes")
        elif len(entries) >= FILES_CAP:
            problems.append(f"{name}: more than {FILES_CAP} files")
        else:
            total += size
            producer = names.get(name) or names.get(name.split("/", 1)[0]) or "agent"
            entries.append(Entry(name, size, _sha256(path), producer))
    return Inventory(tuple(entries), tuple(problems))


def _files(folder: Path, problems: list[str]) -> list[Path]:
    found = []
    for root, folders, files in os.walk(folder, followlinks=False):
        folders[:] = sorted(name for name in folders if name != ".git")
        for name in [*folders, *files]:
            path = Path(root, name)
            if path.is_symlink():
                problems.append(f"{path.relative_to(folder).as_posix()}: symbolic link, left out")
                if name in folders:
                    folders.remove(name)
            elif name in files and path.is_file():
                found.append(path)
            elif name in files:
                problems.append(f"{path.relative_to(folder).as_posix()}: not a regular file")
    return sorted(found)


def _sha256(path: Path) -> str:
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def write_inventory(folder: Path, found: Inventory) -> Path:
    """Write `analysis/artifact_inventory.txt`: one line a file, then the problems as comments."""
    target = folder / "analysis" / INVENTORY
    target.parent.mkdir(parents=True, exist_ok=True)
    lines = ["# sha256  bytes  producer  path"]
    lines += [f"{e.sha256}  {e.bytes}  {e.producer}  {e.path}" for e in found.entries]
    lines += [f"# left out: {line}" for line in found.problems]
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return target
