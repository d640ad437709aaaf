"""Attempts in worktrees, gates in fresh checkouts, and a user's files that never notice."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from orchestration.errors import HarnessError
from orchestration.git.repository import Repo
from orchestration.turns.workspace import (
    attempts_dir,
    create,
    fresh_checkout,
    lay_over,
    leftovers,
    remove_checkout,
    slug,
)


def sh(cwd: Path, *argv: str) -> str:
    done = subprocess.run(argv, cwd=cwd, check=True, capture_output=True, text=True)
    return done.stdout.strip()


FILES = {
    "pkg/__init__.py": "X = 1\n",
    "tests/test_a.py": "def test_a(): pass\n",
    "tests/data.txt": "golden\n",
    "pyproject.toml": "[project]\nname = 'pkg'\n",
    "input.md": "old order\n",
}


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    root = tmp_path / "user"
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    sh(root, "git", "init", "-q", "-b", "main")
    sh(root, "git", "config", "user.name", "A Person")
    sh(root, "git", "config", "user.email", "p@example.org")
    sh(root, "git", "add", ".")
    sh(root, "git", "commit", "-q", "-m", "first")
    return Repo(root)


def names(folder: Path) -> list[str]:
    found = [p.relative_to(folder) for p in folder.rglob("*") if p.is_file() or p.is_symlink()]
    return sorted(str(p) for p in found if p.parts[0] != ".git")


def commit(repo: Repo, changes: dict[str, bytes | None]) -> str:
    tree = repo.write_tree(repo.head(), changes)
    return repo.commit_tree(tree, [repo.head()], "attempt")


def test_user_tree_shows_nothing_of_an_attempt(repo: Repo) -> None:
    (repo.root / "pkg/__init__.py").write_text("X = 'my unsaved work'\n")
    before = sh(repo.root, "git", "status", "--porcelain", "--ignored")
    ws = create(repo, "FIX-A-001", 1, "main")
    assert ws.path.is_relative_to(repo.state_dir)
    assert ws.branch == "orchestration/attempts/FIX-A-001/1"
    assert (ws.path / "pkg/__init__.py").read_text() == "X = 1\n"
    assert sh(repo.root, "git", "status", "--porcelain", "--ignored") == before


def test_snapshot_flattens_agent_commits_and_leaves_the_order_out(repo: Repo) -> None:
    ws = create(repo, "FIX-A-001", 1, "main")
    (ws.path / "pkg/__init__.py").write_text("X = 2\n")
    sh(ws.path, "git", "commit", "-qam", "agent's own commit")
    (ws.path / "pkg/new.py").write_text("Y = 1\n")
    (ws.path / "input.md").write_text("the order of this turn\n")
    shot = ws.snapshot(exclude=["input.md"])
    assert shot.changed == ("pkg/__init__.py", "pkg/new.py")
    assert repo.text("log", "-1", "--format=%P", shot.commit) == ws.base
    assert repo.resolve(ws.branch) == shot.commit
    ws.remove()
    assert not ws.path.exists()
    assert repo.resolve(ws.branch) == shot.commit


def test_snapshot_of_no_work_is_empty(repo: Repo) -> None:
    ws = create(repo, "A-1", 1, "main")
    shot = ws.snapshot()
    assert shot.empty
    assert shot.commit == ws.base


def test_snapshot_twice_and_after_a_wandering_head(repo: Repo) -> None:
    ws = create(repo, "A-1", 1, "main")
    (ws.path / "pkg/a.py").write_text("1\n")
    first = ws.snapshot()
    sh(ws.path, "git", "checkout", "-q", "--detach", "work")
    (ws.path / "pkg/b.py").write_text("2\n")
    second = ws.snapshot()
    assert second.changed == ("pkg/a.py", "pkg/b.py")
    assert repo.resolve(ws.branch) == second.commit != first.commit
    assert repo.resolve("main") == ws.base


def test_create_resumes_after_a_crash(repo: Repo) -> None:
    ws = create(repo, "A-1", 1, "main")
    (ws.path / "pkg/half.py").write_text("half done\n")
    again = create(Repo(repo.root), "A-1", 1, "main")
    assert again == ws
    assert (again.path / "pkg/half.py").exists()


def test_a_kill_before_the_folder_has_its_name_is_resumed(repo: Repo) -> None:
    workspace = create(repo, "FIX-001", 1, "main")
    # So a kill between the word that the folder is whole and its rename leaves it.
    workspace.path.rename(workspace.path.with_name("1.half"))

    again = create(repo, "FIX-001", 1, "main")

    assert again.snapshot().empty
    assert not again.path.with_name("1.half").exists()


def test_a_folder_in_the_way_is_not_touched(repo: Repo) -> None:
    place = attempts_dir(repo) / "A-1" / "1"
    place.mkdir(parents=True)
    (place / "work.txt").write_text("whose?")
    with pytest.raises(HarnessError, match="in the way"):
        create(repo, "A-1", 1, "main")
    assert (place / "work.txt").read_text() == "whose?"


@pytest.mark.parametrize("trick", ["file", "link"])
def test_a_repository_tied_elsewhere_is_not_believed(
    repo: Repo, tmp_path: Path, trick: str
) -> None:
    evil = tmp_path / "evil"
    evil.mkdir()
    sh(evil, "git", "init", "-q")
    ws = create(repo, "A-1", 1, "main")
    (ws.path / "pkg/a.py").write_text("1\n")
    if trick == "file":
        shutil.rmtree(ws.path / ".git")
        (ws.path / ".git").write_text(f"gitdir: {evil}/.git\n")
        assert ws.snapshot().changed == ("pkg/a.py",)
        return
    ws.path.rename(tmp_path / "moved")
    ws.path.symlink_to(tmp_path / "moved")
    with pytest.raises(HarnessError, match="no longer a folder"):
        ws.snapshot()
    ws.remove()
    assert (tmp_path / "moved/pkg/a.py").exists() and not ws.path.is_symlink()


def test_a_workspace_shares_nothing_with_the_persons_repository(repo: Repo) -> None:
    """Refs, config, hooks, stashes and blobs that no base has are out of its reach."""
    secret = repo.write_blob(b"held out\n")
    repo.update_ref("refs/heads/answers", commit(repo, {"answer.txt": b"42\n"}), None)
    before = repo.snapshot_refs(), (repo.common_dir / "config").read_bytes()
    ws = create(repo, "A-1", 1, "main")
    assert sh(ws.path, "git", "for-each-ref", "--format=%(refname)") == "refs/heads/work"
    assert sh(ws.path, "git", "remote") == "" == sh(ws.path, "git", "status", "--porcelain")
    assert sh(ws.path, "git", "log", "--format=%s") == "first"
    for name in (secret, repo.resolve("answers")):
        asked = ["git", "cat-file", "-e", name]
        assert subprocess.run(asked, cwd=ws.path, capture_output=True).returncode != 0
    (ws.path / "pkg/a.py").write_text("1\n")
    for words in (
        "add -A",
        "commit -qm mine",
        "commit -q --amend -m again",
        "branch other",
        "stash",
        "reset -q --hard HEAD~1",
        "reflog expire --expire=now --all",
        "gc -q --prune=now",
        "config core.hooksPath /evil",
        "update-ref -d refs/heads/work",
    ):
        sh(ws.path, "git", "-c", "user.name=a", "-c", "user.email=a@a", *words.split())
    refs, config = repo.snapshot_refs(), (repo.common_dir / "config").read_bytes()
    assert refs.pop(f"refs/heads/{ws.branch}") == ws.base
    assert (refs, config) == before


def test_the_persons_amend_and_gc_do_not_break_a_workspace(repo: Repo) -> None:
    ws = create(repo, "A-1", 1, "main")
    sh(repo.root, "git", "commit", "-q", "--amend", "-m", "other words")
    repo.delete_ref(f"refs/heads/{ws.branch}", ws.base)
    sh(repo.root, "git", "reflog", "expire", "--expire=now", "--all")
    sh(repo.root, "git", "gc", "-q", "--prune=now")
    assert sh(ws.path, "git", "log", "-1", "--format=%s") == "first"
    assert sh(ws.path, "git", "fsck", "--connectivity-only") == ""


def test_files_are_laid_out_and_read_as_bytes(repo: Repo, tmp_path: Path) -> None:
    """No line-end setting, attribute or filter of anyone changes a byte or runs a program."""
    ran = tmp_path / "ran"
    rows = "*.txt eol=crlf\n*.bin filter=evil\n*.sub export-subst\n"
    base = commit(
        repo,
        {
            ".gitattributes": rows.encode(),
            "deep/.gitattributes": b"* text\n",
            "a.txt": b"1\n2\r\n",
            "b.bin": b"data\n",
            "c.sub": b"$Format:%H$\n",
        },
    )
    sh(repo.root, "git", "config", "core.autocrlf", "true")
    for kind in ("smudge", "clean"):
        sh(repo.root, "git", "config", f"filter.evil.{kind}", f"touch {ran}; cat")
    ws = create(repo, "A-1", 1, base)
    assert (ws.path / "a.txt").read_bytes() == b"1\n2\r\n"
    assert (ws.path / "c.sub").read_bytes() == b"$Format:%H$\n"
    assert ws.snapshot().empty
    (ws.path / "b.bin").write_bytes(b"more\r\n")
    shot = ws.snapshot()
    assert (shot.changed, repo.read_blob(shot.commit, "b.bin")) == (("b.bin",), b"more\r\n")
    place = fresh_checkout(repo, shot.commit)
    assert (place / "b.bin").read_bytes() == b"more\r\n"
    assert not ran.exists()


@pytest.mark.parametrize(
    ("item", "expected"), [("FIX-A 1", "FIX-A-1"), ("../../x", "x"), ("a..b", "a.b"), ("[X]", "X")]
)
def test_item_ids_become_one_safe_component(item: str, expected: str) -> None:
    assert slug(item) == expected


@pytest.mark.parametrize("item", ["", "..", "///", "x.lock"])
def test_item_ids_without_a_usable_letter_are_refused(item: str) -> None:
    with pytest.raises(HarnessError):
        slug(item)


def test_overlay_takes_tests_and_configuration_from_the_trusted_commit(repo: Repo) -> None:
    attempt = commit(
        repo,
        {
            "pkg/__init__.py": b"X = 2\n",
            "pkg/conftest.py": b"evil = 1\n",
            "tests/test_a.py": None,
            "tests/data.txt": b"forged\n",
            "tests/test_extra.py": b"",
            "pyproject.toml": b"[tool.pytest.ini_options]\naddopts='--co'\n",
            "sitecustomize.py": b"evil = 1\n",
            "pkg/__pycache__/x.cpython-311.pyc": b"code",
        },
    )
    place = fresh_checkout(repo, attempt, overlay_from="main")
    assert names(place) == sorted(FILES)
    assert (place / "pkg/__init__.py").read_text() == "X = 2\n"
    assert (place / "tests/data.txt").read_text() == "golden\n"
    allowed = fresh_checkout(
        repo, attempt, overlay_from="main", may_edit=["tests/data.txt"], new=["tests/test_extra.py"]
    )
    assert (allowed / "tests/data.txt").read_text() == "forged\n"
    assert (allowed / "tests/test_extra.py").exists()
    assert (allowed / "tests/test_a.py").exists()
    for folder in (place, allowed):
        remove_checkout(repo, folder)
    assert leftovers(repo) == []


def test_a_link_in_place_of_the_test_folder_gives_way(repo: Repo, tmp_path: Path) -> None:
    ws = create(repo, "A-1", 1, "main")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "test_a.py").write_text("def test_a(): pass  # anything goes\n")
    sh(ws.path, "git", "rm", "-rq", "tests")
    (ws.path / "tests").symlink_to(outside)
    shot = ws.snapshot()
    place = fresh_checkout(repo, shot.commit, overlay_from=ws.base)
    assert not (place / "tests").is_symlink()
    assert (place / "tests/test_a.py").read_text() == FILES["tests/test_a.py"]


def test_fresh_checkout_has_its_own_repository(repo: Repo) -> None:
    later = repo.commit_tree(repo.tree_of("main"), [repo.head()], "the answer, later")
    repo.update_ref("refs/heads/answers", later, None)
    place = fresh_checkout(repo, repo.head(), overlay_from="main")
    refs = repo.snapshot_refs()
    config = (repo.common_dir / "config").read_bytes()
    assert sh(place, "git", "rev-parse", "--show-toplevel") == str(place)
    assert sh(place, "git", "status", "--porcelain") == ""
    assert sh(place, "git", "log", "--all", "--format=%s") == "first"
    sh(place, "git", "config", "core.hooksPath", "/evil")
    with pytest.raises(subprocess.CalledProcessError):
        sh(place, "git", "cat-file", "-e", later)  # an answer to copy from
    sh(place, "git", "update-ref", "refs/heads/main", "HEAD")
    assert repo.snapshot_refs() == refs
    assert (repo.common_dir / "config").read_bytes() == config
    remove_checkout(repo, place)


def test_read_only_leftovers_are_removed_and_strangers_are_not(repo: Repo, tmp_path: Path) -> None:
    place = fresh_checkout(repo, "main")
    deep = place / "cache" / "locked"
    deep.mkdir(parents=True)
    (deep / "f").write_text("x")
    os.chmod(deep, 0o500)
    remove_checkout(repo, place)
    assert not place.exists()
    stranger = tmp_path / "precious"
    stranger.mkdir()
    link = repo.state_dir / "checkouts" / "link"
    link.symlink_to(stranger)
    for target in (stranger, link, repo.root):
        with pytest.raises(HarnessError, match="nothing was deleted"):
            remove_checkout(repo, target)
    assert stranger.is_dir()


def test_lay_over_puts_new_tests_on_old_code(repo: Repo) -> None:
    attempt = commit(repo, {"pkg/__init__.py": b"X = 2\n", "tests/test_new.py": b"new\n"})
    tree = lay_over(repo, "main", attempt, ["tests/test_new.py::test_x"])
    assert repo.read_blob(tree, "tests/test_new.py") == b"new\n"
    assert repo.read_blob(tree, "pkg/__init__.py") == b"X = 1\n"
