"""Real git repositories, a stub agent and an engine over them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from orchestration.agents.base import Outcome, TurnContext
from orchestration.engine.loop import Engine, Summary
from orchestration.harness import Harness
from orchestration.setup.session import open_harness

sys.path.insert(0, str(Path(__file__).parent))  # for `users_work`


def git(root: Path, *args: str) -> str:
    done = subprocess.run(
        ["git", *args], cwd=root, check=True, capture_output=True, text=True, timeout=60
    )
    return done.stdout


@dataclass
class Stub:
    """An agent whose turns are Python functions; it counts how often it was asked."""

    work: Callable[[TurnContext, int], Outcome | str | None]
    name: str = "stub"
    offline: bool = True
    turns: list[TurnContext] = field(default_factory=list)

    def version(self) -> str | None:
        return "1"

    def run(self, turn: TurnContext) -> Outcome:
        self.turns.append(turn)
        result = self.work(turn, len(self.turns))
        if isinstance(result, Outcome):
            return result
        return Outcome("done", result or "")


@dataclass
class Place:
    """One repository under test."""

    root: Path

    def git(self, *args: str) -> str:
        return git(self.root, *args)

    def write(self, name: str, text: str) -> None:
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text)

    def commit(self, message: str, **files: str) -> str:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)
        return self.git("rev-parse", "HEAD").strip()

    def harness(self, agent: Any = "playbook", **options: Any) -> Harness:
        return open_harness(self.root, agent=agent, **options)

    def run(self, agent: Any = "playbook", *, wait_s: float = 0.0, **options: Any) -> Summary:
        harness = self.harness(agent, **options)
        numbers = iter(range(1, 99))
        return Engine(harness, lambda: f"run{next(numbers)}", wait_s=wait_s).run()

    def subjects(self, branch: str = "main") -> list[str]:
        return self.git("log", "--format=%s", branch).splitlines()

    def read(self, name: str, rev: str = "main") -> str:
        return self.git("show", f"{rev}:{name}")


@pytest.fixture
def place(tmp_path: Path) -> Callable[..., Place]:
    """Make a committed repository from a ledger and files."""

    def make(ledger: str, **files: str) -> Place:
        root = tmp_path / "repo"
        root.mkdir()
        here = Place(root)
        here.write("docs/fix_plan.md", "# Plan\n\n" + ledger)
        for name, text in files.items():
            here.write(name, text)
        here.git("init", "-q", "-b", "main")
        here.git("config", "user.email", "a@example.org")
        here.git("config", "user.name", "A")
        here.git("add", "-A")
        here.git("commit", "-q", "-m", "start")
        return here

    return make


@pytest.fixture
def stub() -> type[Stub]:
    """The stub agent's class."""
    return Stub
