"""The state folder: outside the repository, and an earlier one moved into it once, whole."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock
from orchestration.errors import HarnessError
from orchestration.git import Repo

SOURCES = Path(__file__).parents[2] / "scripts"
LOG = {f"log/{n:06d}.jsonl": f"event {n}\n" for n in range(200)}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "states"))
    folder = tmp_path / "work"
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    return folder


def lay_old(root: Path) -> Path:
    """What an earlier version left in `.git/orchestration`."""
    old = root / ".git/orchestration"
    for name, text in LOG.items():
        (old / name).parent.mkdir(parents=True, exist_ok=True)
        (old / name).write_text(text)
    (old / "inbox").mkdir()
    (old / "turns").symlink_to("log")
    return old


def whole(folder: Path) -> bool:
    return all((folder / n).is_file() and (folder / n).read_text() == t for n, t in LOG.items())


def test_all_checkouts_share_a_folder_outside_the_repository(root: Path, tmp_path: Path) -> None:
    place = Repo(root).state_dir
    assert place.parent == tmp_path / "states/orchestration" and place.name.startswith("work-")
    assert not place.exists()  # asking makes nothing
    git = ("git", "-C", str(root), "-c", "user.name=p", "-c", "user.email=p@p")
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    subprocess.run([*git, "worktree", "add", "-q", str(tmp_path / "side")], check=True)
    assert Repo(tmp_path / "side").state_dir == place
    other = tmp_path / "other" / "work"
    subprocess.run(["git", "init", "-q", str(other)], check=True)
    assert Repo(other).state_dir != place


def test_state_dir_names_another_place_but_none_inside(root: Path, tmp_path: Path) -> None:
    (root / "orchestration.yaml").write_text(f"state_dir: {tmp_path}/kept\n")
    assert Repo(root).state_dir == tmp_path / "kept"
    (root / "orchestration.yaml").write_text("state_dir: here\n")
    with pytest.raises(HarnessError, match="inside the repository"):
        _ = Repo(root).state_dir


def test_an_earlier_folder_is_moved_once_and_told(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = lay_old(root)
    place = Repo(root).state_dir
    assert whole(place) and (place / "inbox").is_dir() and os.readlink(place / "turns") == "log"
    assert not old.exists()
    assert f"moved {old} to {place}" in capsys.readouterr().err
    assert Repo(root).state_dir == place and whole(place)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("after_ms", [0, 2, 5, 10, 20, 40, 80])
def test_a_kill_in_the_middle_of_the_move_loses_nothing(root: Path, after_ms: int) -> None:
    old = lay_old(root)
    code = (
        "import sys\nfrom orchestration.git import Repo\nrepo = Repo(sys.argv[1])\n"
        "print('go', flush=True)\nrepo.state_dir\nprint('moved', flush=True)\n"
    )
    env = {**os.environ, "PYTHONPATH": str(SOURCES)}
    with subprocess.Popen(
        [sys.executable, "-c", code, str(root)], env=env, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None and child.stdout.readline() == b"go\n"
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(after_ms / 1000 or 0.0005)
            raise subprocess.TimeoutExpired("over already", 0)
        child.send_signal(signal.SIGKILL)
    assert whole(Repo(root).state_dir)
    assert not old.exists()


def test_a_copy_that_was_cut_short_is_made_again(root: Path) -> None:
    old = lay_old(root)
    place = Repo(root).state_dir
    shutil.move(place, old)
    half = place.with_name(place.name + ".half")
    (half / "log").mkdir(parents=True)
    (half / "log/000000.jsonl").write_text("eve")
    assert whole(Repo(root).state_dir) and not half.exists()


def test_an_old_folder_that_was_not_yet_removed_goes(root: Path) -> None:
    old = lay_old(root)
    place = Repo(root).state_dir
    shutil.copytree(place, old, symlinks=True)
    (old / "log/000007.jsonl").unlink()
    (place / "moved-from").write_text(str(old))
    assert whole(Repo(root).state_dir) and not old.exists()


def test_a_mark_that_a_kill_left_never_costs_a_later_log(root: Path) -> None:
    lay_old(root)
    place = Repo(root).state_dir
    (place / "moved-from").write_text("x")
    assert Repo(root).state_dir == place
    old = lay_old(root)
    with pytest.raises(HarnessError, match="two state folders"):
        _ = Repo(root).state_dir
    assert whole(old)


def test_two_logs_are_a_question_and_a_live_run_is_waited_for(root: Path) -> None:
    old = lay_old(root)
    with (
        FileLock(old / "run.lock"),
        pytest.raises(HarnessError, match="earlier version is at work"),
    ):
        _ = Repo(root).state_dir
    assert whole(old)
    place = Repo(root).state_dir
    lay_old(root)
    with pytest.raises(HarnessError, match="two state folders"):
        _ = Repo(root).state_dir
    assert whole(place) and whole(old)


def test_a_repository_made_anew_at_the_path_does_not_inherit(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = Repo(root).state_dir
    (place / "log").mkdir(parents=True)
    (place / "log/000001.jsonl").write_text("event\n")
    Repo(root).claim_state()
    assert Repo(root).state_dir == place and (place / "log/000001.jsonl").is_file()
    shutil.rmtree(root)
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    assert Repo(root).state_dir == place and not place.exists()
    (aside,) = place.parent.glob(f"{place.name}.earlier-*")
    assert (aside / "log/000001.jsonl").read_text() == "event\n"  # kept, and told
    assert str(aside) in capsys.readouterr().err
    Repo(root).claim_state()
    assert Repo(root).state_dir == place and place.is_dir()


def test_a_folder_without_a_word_of_its_owner_is_taken_for_the_repositorys(root: Path) -> None:
    place = Repo(root).state_dir
    (place / "log").mkdir(parents=True)
    assert Repo(root).state_dir == place and place.is_dir()
    shutil.rmtree(root)
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    assert Repo(root).state_dir == place and not place.exists()  # it was claimed by being opened


def test_a_named_folder_is_the_persons_word(root: Path, tmp_path: Path) -> None:
    settings = f"state_dir: {tmp_path}/kept\n"
    (root / "orchestration.yaml").write_text(settings)
    (tmp_path / "kept").mkdir()
    Repo(root).claim_state()
    shutil.rmtree(root)
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    (root / "orchestration.yaml").write_text(settings)
    assert Repo(root).state_dir.is_dir()
