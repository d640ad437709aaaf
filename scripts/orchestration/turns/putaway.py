"""Putting an attempt's workspace away without losing anything that is in it."""

from __future__ import annotations

from orchestration.harness import Harness
from orchestration.turns.workspace import Workspace


def put_away(harness: Harness, workspace: Workspace, snapshot: str, *, unread: str = "") -> None:
    """Remove an attempt's workspace; its branch names the snapshot, so nothing is lost.

    One that could not be read is kept beside the others.
    """
    workspace.point_at(snapshot)
    if unread and workspace.path.is_dir():
        harness.say(f"kept what could not be read: {workspace.set_aside()}")
    else:
        workspace.remove()
