"""The upstream: fetched before a run, pushed to after it, never with force."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from orchestration.engine.loop import Engine, Summary
from orchestration.errors import HarnessError

Make = Callable[..., Any]
LEDGER = """### [A-001] One thing
- Status: open
- Exit:
  - [ ] C1 `cmp value.txt wanted.txt` — right
- Recipe:
  - run: cp wanted.txt value.txt
"""
VALUES = {"value.txt": "wrong\n", "wanted.txt": "right\n"}


def git(root: Path, *args: str) -> str:
    done = subprocess.run(
        ["git", *args], cwd=root, check=True, capture_output=True, text=True, timeout=60
    )
    return done.stdout


@pytest.fixture
def far(place: Make, tmp_path: Path) -> tuple[Any, Path, Any]:
    """A repository, its remote, and a colleague's clone."""
    here, bare, other = place(LEDGER, **VALUES), tmp_path / "far.git", tmp_path / "other"
    git(tmp_path, "clone", "-q", "--bare", str(here.root), str(bare))
    here.git("remote", "add", "origin", str(bare))
    here.git("push", "-q", "-u", "origin", "main")
    git(tmp_path, "clone", "-q", str(bare), str(other))
    git(other, "config", "user.email", "b@example.org")
    git(other, "config", "user.name", "B")
    return here, bare, type(here)(other)


def push_run(here: Any, **options: Any) -> Summary:
    return Engine(here.harness(**options), lambda: "r1", push=True).run()


def colleague_commits(other: Any, name: str, text: str) -> str:
    other.write(name, text)
    sha = other.commit("a colleague's")
    other.git("push", "-q", "origin", "main")
    return sha


def test_a_moved_upstream_moves_the_base_and_the_push_is_a_fast_forward(far: Any) -> None:
    here, bare, other = far
    sha = colleague_commits(other, "notes.txt", "from a colleague\n")
    here.write("mine.txt", "not committed\n")
    summary = push_run(here)
    assert (summary.reason, summary.landed) == ("DONE", ["A-001"])
    base = next(e for e in here.harness().log.events if e.kind == "dispatch").data["base"]
    assert base == sha
    assert (here.root / "mine.txt").read_text() == "not committed\n"
    assert git(bare, "rev-parse", "main") == here.git("rev-parse", "main")
    assert git(bare, "rev-parse", "orchestration/log") == here.git("rev-parse", "orchestration/log")


def test_a_failed_fetch_is_a_warning(far: Any, tmp_path: Path) -> None:
    here, bare, _ = far
    bare.rename(tmp_path / "gone.git")
    summary = here.run()
    assert (summary.reason, summary.landed) == ("DONE", ["A-001"])
    warnings = [e.data["text"] for e in here.harness().log.events if e.kind == "warning"]
    assert len(warnings) == 1 and "could not be fetched" in warnings[0]


def test_a_diverged_upstream_is_left_alone_and_a_refused_push_asks_for_another_try(
    far: Any,
) -> None:
    here, bare, other = far
    here.write("more.txt", "mine\n")
    mine = here.commit("mine")
    theirs = colleague_commits(other, "notes.txt", "from a colleague\n")
    summary = push_run(here)
    assert (summary.reason, summary.exit_code, summary.landed) == ("RETRY_LATER", 75, ["A-001"])
    assert "not pushed to origin" in summary.text
    assert git(bare, "rev-parse", "main").strip() == theirs
    assert mine in here.git("log", "--format=%H", "main")


def test_without_an_upstream_a_push_is_refused_at_once(place: Make) -> None:
    here = place(LEDGER, **VALUES)
    with pytest.raises(HarnessError, match="has no upstream"):
        push_run(here)
    assert here.harness().log.events == []
