"""What changed in a person's repository during a turn that no fence held: told, and nothing more.

Behind a fence nothing outside can be written, so whatever changed there is a person's. Without one
an agent's write and a person's cannot be told apart: no verdict hangs on it, nothing is put back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from orchestration.git import OURS
from orchestration.harness import Harness
from orchestration.sandbox import fence as isolation

TOLD = 20
"""Changes that are listed; more are counted."""


def level_of(harness: Harness) -> isolation.Level:
    """The fence of this run's agents, guards and checks."""
    return isolation.choose(harness.config.isolation, trusted=harness.deterministic)


@contextmanager
def told(harness: Harness) -> Iterator[list[str]]:
    """Fill a list with what changed in refs and checkout; it stays empty behind a fence.

    The playbook runs only what a person wrote, and is not watched.
    """
    lines = list[str]()
    if harness.deterministic or level_of(harness) in isolation.FILE_FENCES:
        yield lines
        return
    before = _picture(harness)
    try:
        yield lines
    finally:
        after = _picture(harness)
        found = sorted(k for k in {*before, *after} if before.get(k) != after.get(k))
        lines += found[:TOLD] + ([f"and {len(found) - TOLD} more"] if found[TOLD:] else [])
        if lines:
            what = "; ".join(lines)
            harness.say(f"changed during a turn without a fence, by you or by the agent: {what}")


def _picture(harness: Harness) -> dict[str, object]:
    """Refs that are not the harness's, and files that differ from the branch, with their times."""
    repo = harness.repo
    seen: dict[str, object] = {
        name: sha for name, sha in repo.snapshot_refs().items() if not name.startswith(OURS)
    }
    for entry in repo.status():
        try:
            facts = (repo.root / entry.path).lstat()
            seen[entry.path] = (facts.st_size, facts.st_mtime_ns)
        except OSError:
            seen[entry.path] = "deleted"
    return seen
