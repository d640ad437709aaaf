"""Held-out guards: tests that no agent sees; they lie outside every workspace and the repository.

`<folder>/<name>/<path in the checkout>`, in the state folder or where `held_out:` says. They are
laid over the attempt for the verdict alone, and of what they found only a count is told: their
names, messages and logs stay out of events, briefs, reports and receipts. The log of a run lies
beside them, for a person.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path, PurePosixPath

from orchestration.documents.ledger import Item
from orchestration.errors import HarnessError
from orchestration.gates import is_guarded
from orchestration.harness import Harness
from orchestration.turns.workspace import slug


def folder_of(harness: Harness) -> Path:
    """Where the held-out guards of this repository lie; HarnessError inside the repository."""
    root = harness.repo.root
    if harness.config.held_out is None:
        return harness.repo.state_dir / "held-out"
    folder = Path(os.path.abspath(root / Path(harness.config.held_out).expanduser()))
    if folder.is_relative_to(root) or folder.is_relative_to(harness.repo.common_dir):
        raise HarnessError(
            "held_out lies inside the repository, where every agent can read it",
            where=root / "orchestration.yaml",
            expected="a folder outside the repository",
            got=harness.config.held_out,
            fix="move it, or take the line out: the state folder is the default",
        )
    return folder


def name_of(item: Item) -> str:
    """The name that an item gives its held-out guard, or would give it."""
    return slug(item.held_out or item.id)


def files_of(harness: Harness, name: str) -> list[str]:
    """The files of a held-out guard, as paths of the checkout."""
    top = folder_of(harness) / name
    found = (path for path in top.rglob("*") if path.is_file() and not path.is_symlink())
    return sorted(path.relative_to(top).as_posix() for path in found if ".git" not in path.parts)


def missing(harness: Harness, item: Item) -> str:
    """Why an item with a held-out guard cannot be judged on this machine, or ""."""
    if not item.held_out or _tests(files_of(harness, name_of(item))):
        return ""
    return (
        f"its held-out guard {item.held_out} is not on this machine; "
        f"orchestrate held-out add {item.id} FILE"
    )


def _tests(paths: list[str]) -> list[str]:
    names = ((path, PurePosixPath(path).name) for path in paths)
    return [p for p, n in names if n.endswith(".py") and (n[:5] == "test_" or n[-8:] == "_test.py")]


def lay_over(harness: Harness, item: Item, checkout: Path) -> list[str]:
    """Copy an item's held-out files into a checkout; returns the test files to run."""
    name = name_of(item)
    files = files_of(harness, name)
    for path in files:
        goal = checkout / path
        if goal.is_symlink() or goal.is_file():
            goal.unlink()
        goal.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder_of(harness) / name / path, goal)
    return _tests(files)


def private_log(harness: Harness, turn: str) -> Path:
    """Where the log of a held-out run lies: beside the guards, out of every report."""
    folder = harness.repo.state_dir / "held-out-logs"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder / f"{turn}.log"


def add(harness: Harness, item: Item, file: Path, place: str) -> str:
    """Take a file over for an item, at `place` in the checkout; returns the guard's name."""
    pure = PurePosixPath(place)
    if not is_guarded(place) or pure.is_absolute() or ".." in pure.parts:
        raise HarnessError(
            "a held-out file lies where tests lie",
            expected="a path such as tests/test_x.py",
            got=place,
            fix="name one with --as",
        )
    if not file.is_file():
        raise HarnessError("no such file", where=file, expected="a test file")
    goal = folder_of(harness) / name_of(item) / place
    goal.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    shutil.copyfile(file, goal)
    return name_of(item)


def remove(harness: Harness, item: Item, place: str) -> None:
    """Take a held-out file of an item away."""
    name = name_of(item)
    known = files_of(harness, name)
    if place not in known:
        raise HarnessError(
            "no such held-out file",
            got=place,
            expected=", ".join(known) or "none",
            fix="orchestrate held-out list",
        )
    (folder_of(harness) / name / place).unlink()
