"""A watch on disk, so that a killed harness still knows how things were before the turn.

`watch.json` in the watch's folder is there from the beginning of the turn until it is settled;
found by a later run, it says that nobody has looked yet.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
from pathlib import Path

from orchestration.errors import HarnessError
from orchestration.gates.escape import Watch
from orchestration.git import Repo

NAME = "watch.json"
_VERSION = 1


def keep(watch: Watch) -> None:
    """Write a watch into its folder; the file appears last and whole."""
    folder = watch.store / "control"
    shutil.rmtree(folder, ignore_errors=True)
    for name, content in watch.control.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    known = {
        "version": _VERSION,
        "refs": watch.refs,
        "files": watch.files,
        "control": sorted(watch.control),
        "index": None if watch.index is None else _packed(watch.index),
        "staged": _packed(watch.staged),
        "ignore_refs": watch.ignore_refs,
    }
    watch.store.mkdir(parents=True, exist_ok=True)
    part = watch.store / (NAME + ".part")
    part.write_text(json.dumps(known), encoding="ascii")
    os.replace(part, watch.store / NAME)


def load(repo: Repo, store: Path) -> Watch:
    """The watch that was kept in this folder.

    Raises:
        HarnessError: it cannot be read.
    """
    path = store / NAME
    try:
        known = json.loads(path.read_text(encoding="ascii"))
        return Watch(
            repo=repo,
            refs=known["refs"],
            files={name: tuple(mark) for name, mark in known["files"].items()},
            control={name: (store / "control" / name).read_bytes() for name in known["control"]},
            index=None if known["index"] is None else base64.b64decode(known["index"]),
            staged=base64.b64decode(known["staged"]),
            store=store,
            ignore_refs=tuple(known["ignore_refs"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
        raise HarnessError(
            "what a killed turn had noted about your files cannot be read",
            where=path,
            got=f"{type(problem).__name__}: {problem}",
            fix="look at git status; then orchestrate settle --keep",
        ) from problem


def forget(store: Path) -> None:
    """Remove it: the turn is settled. Copies of files and what was put aside stay."""
    (store / NAME).unlink(missing_ok=True)
    shutil.rmtree(store / "control", ignore_errors=True)


def _packed(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
