"""Escapes from the worktree: each is done for real, found, and put back byte for byte."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from orchestration.gates.escape import changes, restore, take
from orchestration.git.repository import Repo
from orchestration.turns.workspace import create
from project import Project, git


def state(root: Path) -> dict[str, bytes]:
    """Every file of the user's checkout and of git's control area."""
    skip = {"objects", "orchestration", "logs", "worktrees", "index", "refs", "packed-refs"}
    skip |= {"COMMIT_EDITMSG", "ORIG_HEAD"}  # git's notes to itself
    return {
        str(p.relative_to(root)): p.read_bytes()
        for p in sorted(root.rglob("*"))
        if p.is_file() and not skip & set(p.relative_to(root).parts)
    }


def write(name: str, text: str) -> Callable[[Path], None]:
    def act(root: Path) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)

    return act


def run(*argv: str) -> Callable[[Path], None]:
    return lambda root: git(root, *argv)


ESCAPES: dict[str, Callable[[Path], None]] = {
    "write a tracked file": write("calc/__init__.py", "evil\n"),
    "write over unsaved work": write("conftest.py", "evil\n"),
    "write over an untracked file": write("notes.txt", "evil\n"),
    "add a file": write("evil.py", "evil\n"),
    "delete a tracked file": lambda root: (root / "tests/test_calc.py").unlink(),
    "delete unsaved work": lambda root: (root / "notes.txt").unlink(),
    "commit on the branch": run("commit", "-qam", "evil"),
    "reset the branch": run("reset", "-q", "--hard", "HEAD~1"),
    "switch branches": run("checkout", "-q", "-b", "evil"),
    "delete a branch": run("branch", "-D", "keep"),
    "set a tag": run("tag", "evil"),
    "stage files": run("add", "-A"),
    "set a config": run("config", "core.fsmonitor", "/evil"),
    "install a hook": write(".git/hooks/pre-commit", "#!/bin/sh\nevil\n"),
    "attributes outside the tree": write(".git/info/attributes", "* filter=evil\n"),
    "same size, old time": lambda root: (
        subprocess.run(
            ["sh", "-c", "touch -r a.py /tmp/ref.$$; printf X=9 > a.py; touch -r /tmp/ref.$$ a.py"],
            cwd=root,
            check=True,
        )
        and None
    ),
}


@pytest.fixture
def dirty(project: Project) -> Repo:
    """A checkout in the middle of a person's work."""
    root = project.repo.root
    (root / "a.py").write_text("X=1")
    git(root, "add", "a.py")
    git(root, "commit", "-q", "-m", "second")
    git(root, "branch", "keep", "HEAD~1")
    (root / "conftest.py").write_text("# unsaved\n")
    (root / "notes.txt").write_text("untracked notes\n")
    return project.repo


@pytest.mark.parametrize("name", ESCAPES)
def test_found_and_put_back(dirty: Repo, tmp_path: Path, name: str) -> None:
    before, status, refs = state(dirty.root), dirty.status(), dirty.snapshot_refs()
    watch = take(dirty, tmp_path / "store")
    assert changes(watch) == []
    ESCAPES[name](dirty.root)
    after = (state(dirty.root), dirty.status(), dirty.snapshot_refs())
    assert after != (before, status, refs), "the escape must do something"
    found = changes(watch)
    assert found
    aside = restore(watch, found)
    assert state(dirty.root) == before
    assert dirty.status() == status
    assert dirty.snapshot_refs() == refs
    assert aside.is_dir()


def test_what_was_there_instead_is_kept(dirty: Repo, tmp_path: Path) -> None:
    watch = take(dirty, tmp_path / "store")
    write("notes.txt", "whose was it?\n")(dirty.root)
    aside = restore(watch, changes(watch))
    assert (aside / "files/notes.txt").read_text() == "whose was it?\n"


def test_the_harness_and_the_attempt_itself_are_no_escape(dirty: Repo, tmp_path: Path) -> None:
    watch = take(dirty, tmp_path / "store")
    attempt = create(dirty, "A-1", 1, "main")
    (attempt.path / "calc/__init__.py").write_text("work\n")
    attempt.snapshot()
    assert changes(watch) == []
