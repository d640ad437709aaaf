"""What a turn did outside its own folder: found, put back, kept aside and told.

Behind bubblewrap nothing outside can be written, so whatever changed there is a person's and stays.
Without it an agent's write and a person's cannot be told apart: everything is put back as it was
before the turn, and what was there instead is kept, files in a folder and refs under
`refs/orchestration/escaped/`. After a kill nobody looked, and a person may have gone on working:
then nothing is put back before a person says so.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from orchestration.core import ExitReason, Stop
from orchestration.errors import HarnessError
from orchestration.gates import escape, watch_file
from orchestration.git import KEPT
from orchestration.harness import Harness
from orchestration.sandbox import fence as isolation

# What other programs of the person move at any time (a fetch by an editor).
THEIRS = ("refs/remotes/",)


def level_of(harness: Harness) -> isolation.Level:
    """The fence of this run's agents, guards and checks."""
    return isolation.choose(harness.config.isolation, trusted=harness.deterministic)


def begin(harness: Harness, store: Path, branch: str) -> escape.Watch | None:
    """Remember everything outside, where nothing prevents a write to it.

    `branch` is the attempt's own, which may move. The playbook runs only what a person wrote and is
    not suspected.
    """
    if harness.deterministic or level_of(harness) in isolation.FILE_FENCES:
        return None
    watch = escape.take(harness.repo, store, (KEPT, f"refs/heads/{branch}", *THEIRS))
    watch_file.keep(watch)
    return watch


def settle(harness: Harness, watch: escape.Watch | None) -> list[str]:
    """Put back what changed since `begin`; one line for each change, [] when there is none."""
    if watch is None:
        return []
    found = escape.changes(watch)
    if found:
        aside = _put_back(harness, watch, found)
        harness.say(f"{len(found)} changes outside the worktree were put back; kept in {aside}")
    watch_file.forget(watch.store)
    return [str(change) for change in found]


def leave(watch: escape.Watch | None) -> list[str]:
    """End a watch without a look: the agent was a function of this process."""
    if watch is not None:
        watch_file.forget(watch.store)
    return []


def _put_back(harness: Harness, watch: escape.Watch, found: Sequence[escape.Escape]) -> Path:
    turn = watch.store.parent.name
    now = harness.repo.refs()
    for change in found:
        if change.place.startswith("refs/") and change.place in now:
            name = change.place.removeprefix("refs/")
            kept = f"{KEPT}escaped/{turn}/{name}"
            harness.repo.run("update-ref", kept, now[change.place])
    return escape.restore(watch, found)


def look_after_kill(harness: Harness) -> None:
    """Look at what was outside when a run was killed during a turn without a fence.

    Call it with the run lock held, before anything is written.

    Raises:
        Stop: something has changed since; the agent or a person did it, and a person must say.
    """
    for store in _unsettled(harness):
        found = escape.changes(watch_file.load(harness.repo, store))
        if found:
            raise Stop(
                ExitReason.TAMPER,
                f"the last run was killed during turn {_turn(store)}, which had no fence; "
                f"since it began {len(found)} things outside its worktree have changed",
                where=harness.repo.root,
                got=told([str(change) for change in found]),
                fix="all of it yours: orchestrate settle --keep; "
                "else put it back as it was (a copy is kept): orchestrate settle --restore",
            )
        watch_file.forget(store)


def settle_after_kill(harness: Harness, *, restore: bool) -> tuple[list[str], Path | None]:
    """What has changed since a killed turn began, put back or accepted as a person's.

    Returns one line for each change, and the folder with what was there before `restore`.

    Raises:
        HarnessError: there is no such turn.
    """
    stores = _unsettled(harness)
    if not stores:
        raise HarnessError(
            "no killed turn waits to be settled", where=harness.repo.root, fix="orchestrate run"
        )
    lines, aside = list[str](), None
    for store in stores:
        if restore:
            watch = watch_file.load(harness.repo, store)
            found = escape.changes(watch)
            lines += [str(change) for change in found]
            aside = _out_of_the_turn(harness, _put_back(harness, watch, found), store)
        watch_file.forget(store)
    return lines, aside


def _unsettled(harness: Harness) -> list[Path]:
    turns = harness.repo.state_dir / "turns"
    return sorted(path.parent for path in turns.glob(f"*/*/{watch_file.NAME}"))


def _out_of_the_turn(harness: Harness, aside: Path, store: Path) -> Path:
    """The turn is done again and its folder emptied: what was put aside goes to a safe place."""
    goal = harness.repo.state_dir / "escaped" / _turn(store)
    while goal.exists():
        goal = goal.with_name(goal.name + "-again")
    goal.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(aside, goal)
    return goal


def _turn(store: Path) -> str:
    return store.parent.name


def told(lines: Sequence[str]) -> str:
    """The first few changes in one line."""
    more = f" and {len(lines) - 5} more" if len(lines) > 5 else ""
    return "; ".join(lines[:5]) + more
