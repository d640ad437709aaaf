"""Repositories whose path, git directory or branch has any name that the system and git take."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from orchestration.git import Repo
from orchestration.git.command import GitError, safe_ref
from orchestration.git.laid import lay_out
from orchestration.git.place import state_folder

NAMES = ("a\nb", "ends\n", "a\x85b\u2028c", "{x} %s", "$HOME `id` ;x", "~", os.fsdecode(b"a\xffb"))
BRANCHES = (
    "it's",
    'a"b',
    "%s",
    "x;y",
    "$x",
    "a&b",
    "a|b",
    "(x)",
    "<x>",
    "a!",
    os.fsdecode(b"\xff"),
)


def sh(cwd: Path, *argv: str) -> None:
    subprocess.run(argv, cwd=cwd, check=True, capture_output=True)


def commit(root: Path) -> None:
    for name, value in (("user.name", "A"), ("user.email", "a@example.org")):
        sh(root, "git", "config", name, value)
    (root / "a.txt").write_text("one\n")
    sh(root, "git", "add", ".")
    sh(root, "git", "commit", "-q", "-m", "first")


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_repository_may_lie_at_any_path(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    root = tmp_path / name
    root.mkdir()
    sh(root, "git", "init", "-q", "-b", "main")
    commit(root)
    repo = Repo(root)
    assert (repo.root, repo.common_dir) == (root, root / ".git")
    assert repo.state_dir.name.isascii() and repo.state_dir.name.isprintable()
    repo.claim_state()
    goal = tmp_path / "goal"
    goal.mkdir()
    lay_out(repo, repo.head(), goal)
    assert (goal / "a.txt").read_text() == "one\n"


def test_a_state_folder_of_an_earlier_name_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    root = tmp_path / "a b"
    plain = state_folder(root, root / ".git")
    earlier = plain.with_name(plain.name.replace("a-b-", "a b-"))
    earlier.mkdir(parents=True)
    assert earlier != plain and state_folder(root, root / ".git") == earlier
    assert len(state_folder(tmp_path / ("n" * 255), root / ".git").name) < 200


@pytest.mark.parametrize("name", BRANCHES, ids=ascii)
def test_a_branch_may_have_any_name_that_git_takes(name: str, tmp_path: Path) -> None:
    sh(tmp_path, "git", "init", "-q", "-b", name)
    commit(tmp_path)
    repo = Repo(tmp_path)
    assert repo.branch() == name
    ref = f"refs/heads/{name}"
    assert repo.resolve(ref) == repo.head() == repo.refs()[ref]
    assert repo.snapshot_refs()["HEAD"] == f"ref: {ref}"
    assert repo.checked_out_at(name) == tmp_path


@pytest.mark.parametrize("name", ["-x", "a..b", "a b", "a:b", "a\nb", "a*", "a\\b", ""])
def test_what_git_takes_as_no_name_is_refused(name: str) -> None:
    with pytest.raises(GitError, match="not a usable git revision"):
        safe_ref(name)


def test_the_checkout_of_a_git_directory_elsewhere_is_found(tmp_path: Path) -> None:
    root, git_dir = tmp_path / "user", tmp_path / "g it"
    sh(tmp_path, "git", "init", "-q", "-b", "main", f"--separate-git-dir={git_dir}", str(root))
    commit(root)
    repo = Repo(root)
    assert repo.checked_out_at("main") == root
    sha = repo.commit_tree(repo.write_tree(repo.head(), {"b": b"2"}), [repo.head()], "next")
    assert repo.merge_ff_only("main", sha) == root
    assert (root / "b").read_text() == "2"
