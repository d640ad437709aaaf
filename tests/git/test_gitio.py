"""Git through one class: real repositories, real refusals, nothing forced."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import psutil
import pytest
from orchestration.git.command import GitTimeout, run_git, safe_ref
from orchestration.git.laid import store_with
from orchestration.git.repository import GitError, MergeRefused, RefMoved, Repo


def sh(cwd: Path, *argv: str) -> str:
    done = subprocess.run(argv, cwd=cwd, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    root = tmp_path / "user"
    root.mkdir()
    sh(root, "git", "init", "-q", "-b", "main")
    sh(root, "git", "config", "user.name", "A Person")
    sh(root, "git", "config", "user.email", "p@example.org")
    (root / "a.txt").write_text("one\n")
    (root / "b.txt").write_text("b\n")
    sh(root, "git", "add", ".")
    sh(root, "git", "commit", "-q", "-m", "first")
    return Repo(root)


def next_commit(repo: Repo, path: str, data: bytes) -> str:
    return repo.commit_tree(repo.write_tree(repo.head(), {path: data}), [repo.head()], "next")


def test_a_folder_without_a_repository_is_named(tmp_path: Path) -> None:
    with pytest.raises(GitError, match="not a git checkout"):
        Repo(tmp_path)
    with pytest.raises(GitError, match="no such directory"):
        Repo(tmp_path / "absent")


def test_unborn_and_detached_heads_are_typed(tmp_path: Path, repo: Repo) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    sh(empty, "git", "init", "-q", "-b", "trunk")
    with pytest.raises(GitError, match="first commit"):
        Repo(empty).head()
    assert Repo(empty).branch() == "trunk"
    sh(repo.root, "git", "checkout", "-q", "--detach")
    assert repo.branch() is None


def test_inherited_git_variables_do_not_redirect(
    tmp_path: Path, repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    sh(other, "git", "init", "-q")
    right = repo.head()
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "nowhere"))
    assert Repo(repo.root).head() == right
    assert not Repo(repo.root).is_dirty()


@pytest.mark.parametrize("ref", ["--upload-pack=x", "-f", "a b", "a..b", "", "x\ny", "a:b"])
def test_a_ref_that_git_could_read_otherwise_is_refused(ref: str) -> None:
    with pytest.raises(GitError):
        safe_ref(ref)


def test_hooks_and_fsmonitor_of_the_repository_never_run(repo: Repo, tmp_path: Path) -> None:
    trace = tmp_path / "ran"
    for name in ("reference-transaction", "post-checkout", "post-merge"):
        hook = repo.git_dir / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\necho {name} >> {trace}\n")
        hook.chmod(0o755)
    monitor = tmp_path / "monitor"
    monitor.write_text(f"#!/bin/sh\necho monitor >> {trace}\n")
    monitor.chmod(0o755)
    sh(repo.root, "git", "config", "core.fsmonitor", str(monitor))
    sh(repo.root, "git", "status")
    assert "monitor" in trace.read_text()  # the trap works when git is run bare
    trace.unlink()
    new = next_commit(repo, "a.txt", b"two\n")
    repo.merge_ff_only("main", new)
    repo.status()
    assert not trace.exists()


def test_a_git_that_hangs_is_killed(repo: Repo) -> None:
    sh(repo.root, "git", "config", "alias.hang", "!sleep 30")
    before = psutil.Process().children(recursive=True)
    with pytest.raises(GitTimeout, match="longer than"):
        run_git(repo.root, ("hang",), timeout_s=0.3)
    assert psutil.Process().children(recursive=True) == before


@pytest.mark.parametrize(
    "script",
    [
        "trap '' TERM INT HUP; while :; do sleep 0.1; done",
        "sleep 30 & sleep 30",
        "setsid sh -c 'echo $$ > PID; exec sleep 60' & while ! test -s PID; do sleep 0.1; done",
        "yes",
    ],
    ids=["deaf", "children", "daemon holds the pipe", "endless output"],
)
def test_every_git_that_hangs_is_given_up_in_time(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    fake = tmp_path / "bin" / "git"
    fake.parent.mkdir()
    pid_file = tmp_path / "pid"
    fake.write_text(f"#!/bin/sh\n{script.replace('PID', str(pid_file))}\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    repo.timeout_s = 0.5
    before = psutil.Process().children(recursive=True)
    started = time.monotonic()
    with pytest.raises(GitTimeout, match="longer than"):
        repo.head()
    assert time.monotonic() - started < 25.0
    if pid_file.exists():
        os.kill(int(pid_file.read_text()), signal.SIGKILL)
    alive = [p for p in psutil.Process().children(recursive=True) if p.status() != "zombie"]
    assert [p for p in alive if p not in before] == []


def test_update_ref_is_compare_and_swap(repo: Repo) -> None:
    first = repo.head()
    new = next_commit(repo, "a.txt", b"two\n")
    repo.update_ref("refs/heads/side", new, None)
    with pytest.raises(RefMoved, match="moved"):
        repo.update_ref("refs/heads/side", first, None)
    with pytest.raises(RefMoved):
        repo.update_ref("refs/heads/side", first, first)
    assert repo.resolve("side") == new
    with pytest.raises(GitError, match="full name"):
        repo.update_ref("side", first, new)


def test_plumbing_commits_leave_files_index_and_refs_alone(repo: Repo) -> None:
    (repo.root / "a.txt").write_text("edited\n")
    (repo.root / "staged.txt").write_text("s\n")
    sh(repo.root, "git", "add", "staged.txt")
    index = (repo.git_dir / "index").read_bytes()
    refs = repo.snapshot_refs()
    commit = next_commit(repo, "deep/new file.txt", "grün\n".encode())
    assert repo.read_blob(commit, "deep/new file.txt") == "grün\n".encode()
    assert repo.diff_names(repo.head(), commit) == ["deep/new file.txt"]
    assert (repo.git_dir / "index").read_bytes() == index
    assert repo.snapshot_refs() == refs
    assert (repo.root / "a.txt").read_text() == "edited\n"
    assert not list(repo.state_dir.glob("index-*"))


def test_same_inputs_and_date_give_the_same_commit(repo: Repo) -> None:
    tree = repo.write_tree(repo.head(), {"x": b"1"})
    made = [repo.commit_tree(tree, [repo.head()], "m", date="1700000000 +0000") for _ in "ab"]
    assert made[0] == made[1]


def test_a_repository_without_identity_still_commits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    sh(tmp_path, "git", "init", "-q")
    sh(tmp_path, "git", "config", "user.useConfigOnly", "true")
    repo = Repo(tmp_path)
    sha = repo.commit_tree(repo.write_tree(None, {"x": b"1"}), [], "m")
    assert "orchestrate" in repo.text("log", "-1", "--format=%an %cn", sha)


def test_fast_forward_keeps_unrelated_edits_and_refuses_overlaps(repo: Repo) -> None:
    (repo.root / "b.txt").write_text("my edit\n")
    new = next_commit(repo, "a.txt", b"two\n")
    assert repo.merge_ff_only("main", new) == repo.root
    assert (repo.root / "a.txt").read_text() == "two\n"
    assert (repo.root / "b.txt").read_text() == "my edit\n"
    clash = next_commit(repo, "b.txt", b"theirs\n")
    with pytest.raises(MergeRefused, match="refused"):
        repo.merge_ff_only("main", clash)
    assert repo.resolve("main") == new
    assert (repo.root / "b.txt").read_text() == "my edit\n"


def test_fast_forward_refuses_an_untracked_file_in_the_way(repo: Repo) -> None:
    (repo.root / "new.txt").write_text("untracked work\n")
    with pytest.raises(MergeRefused):
        repo.merge_ff_only("main", next_commit(repo, "new.txt", b"theirs\n"))
    assert (repo.root / "new.txt").read_text() == "untracked work\n"


def test_a_branch_nobody_has_checked_out_moves_only_forward(repo: Repo) -> None:
    first = repo.head()
    new = next_commit(repo, "a.txt", b"two\n")
    other = next_commit(repo, "b.txt", b"x\n")
    repo.update_ref("refs/heads/release", first, None)
    assert repo.merge_ff_only("release", new) is None
    with pytest.raises(MergeRefused, match="commits that"):
        repo.merge_ff_only("release", other)
    assert repo.resolve("release") == new


def test_status_reads_renames_spaces_and_odd_bytes(repo: Repo) -> None:
    sh(repo.root, "git", "mv", "a.txt", "a moved.txt")
    Path(os.fsdecode(os.fsencode(repo.root) + b"/bad\xff.txt")).write_text("x")
    found = {entry.path: entry.xy for entry in repo.status()}
    assert found["a moved.txt"][0] == "R"
    assert found[os.fsdecode(b"bad\xff.txt")] == "??"


def test_a_patch_is_the_same_byte_for_byte_or_another(repo: Repo) -> None:
    body = "".join(f"line {i}\n" for i in range(40)).encode()
    base = repo.write_tree(repo.head(), {"m.py": body})
    below = repo.write_tree(base, {"m.py": body + b"footer\n"})
    change = body.replace(b"line 30\n", b"line thirty\n")
    one = repo.patch_id(base, repo.write_tree(base, {"m.py": change}))
    two = repo.patch_id(below, repo.write_tree(below, {"m.py": change + b"footer\n"}))
    blank = change.replace(b"line thirty", b"    line thirty")
    three = repo.patch_id(base, repo.write_tree(base, {"m.py": blank}))
    other = repo.patch_id(base, repo.write_tree(base, {"m.py": body.replace(b"30\n", b"3O\n")}))
    assert one == two
    assert len({one, three, other}) == 3, "white space is meaning"
    assert repo.patch_id(base, base) == ""


def test_no_child_of_git_is_left_behind(repo: Repo) -> None:
    for _ in range(3):
        Repo(repo.root).status()
        repo.read_blob("HEAD", "a.txt")
    assert [p for p in psutil.Process().children() if "git" in p.name()] == []


def test_a_sha256_repository_takes_trees_refs_and_a_store(tmp_path: Path) -> None:
    root = tmp_path / "user"
    sh(tmp_path, "git", "init", "-q", "-b", "main", "--object-format=sha256", str(root))
    repo = Repo(root)
    tree = repo.write_tree(None, {"a.txt": b"a\n", "b.txt": b"b\n"})
    commit = repo.commit_tree(tree, [], "first")
    repo.update_ref("refs/heads/main", commit, None)
    with pytest.raises(RefMoved):
        repo.update_ref("refs/heads/main", commit, None)
    without = repo.write_tree(commit, {"a.txt": None})
    assert list(repo.list_tree(without)) == ["b.txt"]
    assert (store_with(repo, commit) / "refs/bases" / commit).is_file()


def test_settings_of_the_environment_hold_as_for_git(
    repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CONFIG_COUNT", "2")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "user.name")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "From the environment")
    monkeypatch.setenv("GIT_CONFIG_KEY_1", "core.hooksPath")
    monkeypatch.setenv("GIT_CONFIG_VALUE_1", "/elsewhere")
    assert repo.text("config", "user.name") == "From the environment"
    assert repo.text("config", "core.hooksPath") == "/dev/null"


# A rename across file systems can only fail where there are two.
@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs a second file system")
def test_the_store_may_lie_on_another_disk(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as other:
        monkeypatch.setenv("XDG_STATE_HOME", other)
        far = Repo(repo.root)
        assert str(far.state_dir).startswith(other)
        store = store_with(far, repo.head())
        assert sh(store, "git", "cat-file", "-t", repo.head()).strip() == "commit"
