"""An agent without a fence writes outside and kills the harness: the next run looks, and asks."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from orchestration.git import Repo

Make = Callable[..., Any]
LEDGER = """### [A-001] One thing
- Status: open
- Exit:
  - [ ] C1 `cmp value.txt wanted.txt` — right
"""
AGENT = """import pathlib, subprocess, sys
import psutil
user, mark = map(pathlib.Path, sys.argv[1:])
if mark.exists():
    pathlib.Path("value.txt").write_text("right\\n")
    sys.exit()
mark.touch()
(user / "other.txt").write_text("evil\\n")
subprocess.run(["git", "-C", str(user), "commit", "-qm", "evil", "other.txt"], check=True)
(user / "unsaved.txt").write_text("evil\\n")
(user / "evil.txt").write_text("evil\\n")
for parent in psutil.Process().parents():
    if "orchestration.cli" in " ".join(parent.cmdline()):
        parent.kill()
"""
PROGRAM = [sys.executable, "-c", "from orchestration.cli import main; main()"]


def orchestrate(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *words], cwd=root, capture_output=True, text=True, timeout=120, check=False
    )


def killed_by(agent: str, place: Make, folder: Path) -> Any:
    """A repository with a person's unsaved work, whose harness was killed by its agent."""
    (folder / "agent.py").write_text(agent)
    here = place(LEDGER, **{"value.txt": "wrong\n", "wanted.txt": "right\n", "other.txt": "mine\n"})
    command = [sys.executable, *(str(folder / name) for name in ("agent.py", "repo", "mark"))]
    settings = f"agent: custom\nagent_command: {json.dumps(command)}\nisolation: scan\n"
    here.write("orchestration.yaml", settings)
    here.before = here.commit("settings")
    here.write("unsaved.txt", "a person's\n")
    assert orchestrate(here.root, "run").returncode == -9
    return here


@pytest.fixture
def killed(place: Make, tmp_path: Path) -> Any:
    """It did harm outside the worktree first."""
    here = killed_by(AGENT, place, tmp_path)
    assert here.git("log", "-1", "--format=%s").strip() == "evil"
    return here


def test_nothing_goes_on_before_a_person_has_said_whose_the_changes_are(killed: Any) -> None:
    refused = orchestrate(killed.root, "run")
    assert refused.returncode == 5
    for word in ("refs/heads/main", "other.txt", "unsaved.txt", "evil.txt", "settle --restore"):
        assert word in refused.stderr
    assert "Traceback" not in refused.stderr
    assert (killed.root / "evil.txt").read_text() == "evil\n"
    undecided = orchestrate(killed.root, "settle")
    assert (undecided.returncode, "--keep, --restore" in undecided.stderr) == (2, True)


def test_restored_it_is_as_before_the_turn_and_the_run_goes_on(killed: Any) -> None:
    done = orchestrate(killed.root, "settle", "--restore", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert {line.split(":")[0] for line in told["restored"]} >= {"refs/heads/main", "evil.txt"}
    assert killed.git("rev-parse", "main").strip() == killed.before
    assert killed.git("status", "--short").split() == ["??", "unsaved.txt"]
    assert (killed.root / "unsaved.txt").read_text() == "a person's\n"
    assert (killed.root / "other.txt").read_text() == "mine\n"
    assert (Path(told["kept_in"]) / "files/unsaved.txt").read_text() == "evil\n"
    kept = killed.git(
        "for-each-ref", "--format=%(refname) %(subject)", "refs/orchestration/escaped"
    )
    assert kept.split()[-1] == "evil"
    again = orchestrate(killed.root, "settle", "--restore")
    assert (again.returncode, "no killed turn" in again.stderr) == (2, True)
    assert orchestrate(killed.root, "run").returncode == 0
    assert killed.read("value.txt") == "right\n"
    assert (Path(told["kept_in"]) / "files/evil.txt").read_text() == "evil\n"


def test_kept_it_stays_and_the_run_goes_on_from_there(killed: Any) -> None:
    assert orchestrate(killed.root, "settle", "--keep").returncode == 0
    done = orchestrate(killed.root, "run")
    assert done.returncode == 0, done.stderr
    assert killed.read("value.txt") == "right\n"
    assert killed.read("other.txt") == "evil\n"
    assert (killed.root / "unsaved.txt").read_text() == "evil\n"


def test_a_kill_in_which_nothing_was_changed_outside_is_not_asked_about(
    place: Make, tmp_path: Path
) -> None:
    only_kills = [line for line in AGENT.splitlines() if "evil" not in line]
    here = killed_by("\n".join(only_kills), place, tmp_path)
    assert list((Repo(here.root).state_dir / "turns").glob("*/*/watch.json"))
    assert orchestrate(here.root, "run").returncode == 0
    assert not list((Repo(here.root).state_dir / "turns").glob("*/*/watch.json"))
