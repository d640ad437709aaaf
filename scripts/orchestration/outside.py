"""What a turn did outside its own folder: found, put back, kept aside and told.

Behind bubblewrap nothing outside can be written, so whatever changed there is a person's and stays.
Without it an agent's write and a person's cannot be told apart: everything is put back as it was
before the turn, and what was there instead is kept, files in a folder and refs under
`refs/orchestration/escaped/`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from orchestration import isolation
from orchestration.gates import escape
from orchestration.runtime import Harness
from orchestration.workspace import Workspace

KEPT_REFS = "refs/orchestration/"
# What other programs of the person move at any time (a fetch by an editor).
THEIRS = ("refs/remotes/",)


def level_of(harness: Harness) -> isolation.Level:
    """The fence of this run's agents, guards and checks."""
    return isolation.choose(harness.config.isolation, trusted=harness.deterministic)


def begin(harness: Harness, store: Path) -> escape.Watch | None:
    """Remember everything outside, where nothing prevents a write to it.

    The playbook runs only what a person wrote and is not suspected.
    """
    if harness.deterministic or level_of(harness) == "bwrap":
        return None
    return escape.take(harness.repo, store)


def settle(harness: Harness, watch: escape.Watch | None, branch: str) -> list[str]:
    """Put back what changed since `begin`; one line for each change, [] when there is none.

    `branch` is the attempt's own, which may move.
    """
    if watch is None:
        return []
    skip = (KEPT_REFS, f"refs/heads/{branch}", *THEIRS)
    found = escape.changes(watch, ignore_refs=skip)
    if not found:
        return []
    turn = watch.store.parent.name
    now = harness.repo.refs()
    for change in found:
        if change.place.startswith("refs/") and change.place in now:
            name = change.place.removeprefix("refs/")
            kept = f"{KEPT_REFS}escaped/{turn}/{name}"
            harness.repo.run("update-ref", kept, now[change.place])
    aside = escape.restore(watch, found, ignore_refs=skip)
    harness.say(f"{len(found)} changes outside the worktree were put back; kept in {aside}")
    return [str(change) for change in found]


def mend(workspace: Workspace, aside: Path) -> list[str]:
    """Make the worktree's own ties right again; one line for each that was tampered with."""
    path, lines = workspace.path, []
    if path.is_symlink() or not path.is_dir():
        lines.append(f"{path}: the worktree was replaced or removed")
        _move_aside(path, aside / "worktree")
        path.mkdir(parents=True)
    head = workspace.git_dir / "HEAD"
    if not head.is_file():
        lines.append(f"{head}: git's record of the worktree was removed")
        workspace.git_dir.mkdir(parents=True, exist_ok=True)
        head.write_text(f"ref: refs/heads/{workspace.branch}\n")
        (workspace.git_dir / "gitdir").write_text(f"{path / '.git'}\n")
        (workspace.git_dir / "commondir").write_text("../..\n")
    broken = workspace.intact()
    if broken:
        lines.append(broken)
        _move_aside(path / ".git", aside / "dot-git")
        (path / ".git").write_text(f"gitdir: {workspace.git_dir}\n")
    return lines


def _move_aside(path: Path, goal: Path) -> None:
    if os.path.lexists(path):
        goal.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(path, goal)


def told(lines: Sequence[str]) -> str:
    """The first few changes in one line."""
    more = f" and {len(lines) - 5} more" if len(lines) > 5 else ""
    return "; ".join(lines[:5]) + more
