"""The harness's ref names: all of them lie below `orchestration/`, and stand here only."""

from __future__ import annotations

HEADS = "refs/heads/"
LOG_REF = "refs/heads/orchestration/log"
"""The orphan branch that publishes the event log."""
RESULTS = "refs/heads/orchestration/results/"
"""Before a branch's name: landed commits that wait to be merged into it."""
ATTEMPTS = "orchestration/attempts"
"""The branches of attempts: `orchestration/attempts/<item>/<n>`."""
KEPT = "refs/orchestration/"
"""What is kept for a person and is no branch."""
OURS = (f"{HEADS}orchestration/", KEPT)
"""Where every ref lies that the harness itself makes or moves, but for the target branch."""


def short_ref(ref: str) -> str:
    """A branch as a person types it: `refs/heads/main` is `main`."""
    return ref.removeprefix(HEADS)
