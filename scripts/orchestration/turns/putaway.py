"""Putting an attempt's worktree away without losing anything that is in it."""

from __future__ import annotations

from orchestration.harness import Harness
from orchestration.turns.work import move_files
from orchestration.turns.workspace import Workspace


def put_away(harness: Harness, workspace: Workspace, snapshot: str) -> None:
    """Remove an attempt's worktree; its branch then names the snapshot, so nothing is lost."""
    repo = harness.repo
    tree = repo.snapshot_tree(workspace.path)
    kept = workspace.snapshot("what was left in the worktree")
    move_files(repo, workspace.path, tree, snapshot)
    branch = f"refs/heads/{workspace.branch}"
    if repo.try_resolve(branch) != snapshot:
        repo.run("update-ref", branch, snapshot)
    if not workspace.remove():
        harness.say(f"kept the worktree {workspace.path} ({kept.commit[:12]})")
