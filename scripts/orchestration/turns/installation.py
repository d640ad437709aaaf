"""The harness's own installation where a turn could write it: hashed before and after.

Behind a fence it is out of reach. Without one, or where a person's settings open it
(`agent_write:`, `guard_write:`), a change of it is no work of a person at the checkout: the run
stops, and nothing that the changed harness would say counts.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestration.harness import Harness
from orchestration.sandbox import FILE_FENCES, Opened, below, entries_below
from orchestration.turns import outside

PACKAGE = Path(__file__).resolve().parents[1]
STARTS = ("sitecustomize.py", "usercustomize.py")
TOLD, LARGE = 5, 1 << 20


@contextmanager
def kept(harness: Harness, opened: Opened) -> Iterator[list[str]]:
    """Fill a list with what changed of the installation; it stays empty behind a fence."""
    changed = list[str]()
    if harness.deterministic:
        yield changed
        return
    fenced = outside.level_of(harness) in FILE_FENCES
    writable = [os.path.realpath(path) for path in opened.writable] if fenced else None
    before = _hashes(writable)
    try:
        yield changed
    finally:
        after = _hashes(writable)
        both = before.keys() & after.keys()
        # Python writes compiled files of its own; of those that were there none is to change.
        alone = {k for k in before.keys() ^ after.keys() if not k.endswith(".pyc")}
        changed += sorted(alone | {k for k in both if before[k] != after[k]})


def words(changed: list[str]) -> str:
    """What to say of the change, or ""."""
    if not changed:
        return ""
    more = f" and {len(changed) - TOLD} more" if len(changed) > TOLD else ""
    names = ", ".join(changed[:TOLD])
    return f"the harness's own installation changed during the turn: {names}{more}"


def _hashes(writable: list[str] | None) -> dict[str, str]:
    """By path: what the files hold that could be written (None: all of them)."""
    if writable is not None and not writable:
        return {}
    found = dict[str, str]()
    for path in _files():
        real = os.path.realpath(path)
        if writable is None or below(real, writable):
            try:
                facts = os.stat(path)
                if facts.st_size > LARGE:  # the interpreter
                    found[path] = f"{facts.st_ino} {facts.st_size} {facts.st_mtime_ns}"
                else:
                    found[path] = hashlib.sha256(Path(path).read_bytes()).hexdigest()
            except OSError:
                continue
    return found


def _files() -> Iterator[str]:
    """The package, its launchers, and what makes Python run code at its start."""
    yield from (entry.path for entry in entries_below(PACKAGE) if entry.is_file())
    for name in ("orchestrate", "python", "python3"):
        beside = os.path.join(os.path.dirname(sys.executable), name)
        yield from (place for place in (beside, shutil.which(name)) if place)
    for folder in filter(os.path.isdir, sys.path):
        for name in os.listdir(folder):
            if name.endswith(".pth") or name in STARTS:
                yield os.path.join(folder, name)
