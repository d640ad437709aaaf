"""What a person has begun in git and not finished: a merge, a rebase, a bisection, patches.

Git itself refuses to move a branch that is being rebased or bisected (`git branch -f`), but
`git worktree list` calls its checkout detached, and `git merge --ff-only` goes ahead in the middle
of a revert or of `git am`. Moving the branch then would break the person's `--continue` or
`--abort`, so landings wait.
"""

from __future__ import annotations

from pathlib import Path

_MARKS = {
    "MERGE_HEAD": "a merge",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase or `git am`",
    "sequencer": "a cherry-pick or revert",
    "BISECT_START": "a bisection",
}


def unfinished(git_dir: Path) -> str | None:
    """What is going on in the checkout with this private git directory, in words, or None."""
    return next((words for name, words in _MARKS.items() if (git_dir / name).exists()), None)


def holder(common_dir: Path, branch: str) -> tuple[Path, str] | None:
    """The private git directory of a checkout whose unfinished work will move `branch`."""
    ref = f"refs/heads/{branch}"
    for git_dir in (common_dir, *sorted((common_dir / "worktrees").glob("*"))):
        for name in (
            "rebase-merge/head-name",
            "rebase-apply/head-name",
            "rebase-merge/update-refs",
        ):
            if ref in _lines(git_dir / name):
                return git_dir, "a rebase"
        if {branch, ref} & set(_lines(git_dir / "BISECT_START")):
            return git_dir, "a bisection"
    return None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").split()
    except OSError:
        return []
