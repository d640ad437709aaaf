"""A night in fast time: 60 items (or fewer and longer ones), three programs, and what goes wrong.

The clock stands still but for turns, waits and pauses; everything else is the real engine in a
real repository, in which a person works at the same time.
"""

from __future__ import annotations

import itertools
import os
import subprocess
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from orchestration.agents.base import Outcome, TurnContext
from orchestration.engine.loop import Engine, Summary
from orchestration.harness import Harness
from orchestration.setup.session import open_harness

PROGRAMS = ("claude", "codex", "opencode")
BEGIN = datetime(2026, 11, 28, 22, tzinfo=UTC)
TURN_S, TURNS_AGAIN = 390.0, 3  # of 60 items; the cheat's and two after a person's commits
IDLE_S = 600.0
OUTAGE = (timedelta(hours=3), timedelta(hours=3, minutes=40))
CYCLES = 5
WAIT_S = 4 * 3600.0


def git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout


class Clock:
    """Time that passes where somebody works or sleeps."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return BEGIN + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


@dataclass
class Program:
    """An agent program as the night needs it; the same script for all three."""

    name: str
    night: Night
    offline: bool = True

    def version(self) -> str | None:
        return "1"

    def run(self, turn: TurnContext) -> Outcome:
        return self.night.work(turn)


@dataclass
class Night:
    """The repository, its clock, and the script of what happens at which item."""

    root: Path
    items: int = 60
    clock: Clock = field(default_factory=Clock)
    summaries: list[tuple[str, Summary]] = field(default_factory=list)
    asked: dict[int, int] = field(default_factory=dict)
    commits: list[str] = field(default_factory=list)
    edits: list[str] = field(default_factory=list)

    def at(self, share: float) -> int:
        """The item at a share of the night."""
        return max(1, round(share * self.items))

    @property
    def turn_s(self) -> float:
        """How long a turn takes, so that all of them take as long as those of 60 items."""
        return TURN_S * (60 + TURNS_AGAIN) / (self.items + TURNS_AGAIN)

    def lay_down(self) -> None:
        entries = ["# Plan\n"]
        for n in range(1, self.items + 1):
            entries.append(
                f"### [T-{n:03d}] File {n}\n- Status: open\n- Exit:\n"
                f"  - [ ] C1 `cmp out/{n}.txt tests/want/{n}.txt` — as wanted\n"
            )
            self._write(f"tests/want/{n}.txt", f"value {n}\n")
            self._write(f"out/{n}.txt", "nothing\n")
        self._write("docs/fix_plan.md", "\n".join(entries))
        self._write("README.md", "A project.\n")
        self._write("notes.md", "mine\n")
        for words in ("init -q -b main", "config user.name P", "config user.email p@example.org",
                      "add .", "commit -qm start"):  # fmt: skip
            git(self.root, *words.split())

    def _write(self, name: str, text: str) -> None:
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text)

    def open(self, agent: Program | str) -> Harness:
        return open_harness(self.root, agent=agent, cycles=CYCLES, clock=self.clock)

    def run(self) -> None:
        """Run after run, each program in its turn, until one ends with more than its cycles."""
        for number, name in enumerate(itertools.cycle(PROGRAMS)):
            harness = self.open(Program(name, self))
            summary = Engine(harness, lambda n=number: f"run{n}", wait_s=WAIT_S).run()  # type: ignore[misc]
            self.summaries.append((name, summary))
            if summary.reason not in ("BUDGET", "CHECKS_RED", "RETRY_LATER"):
                return
            assert number < 60, summary.text

    # -- what happens ------------------------------------------------------------------------

    def work(self, turn: TurnContext) -> Outcome:
        """One asking of a program."""
        passed = timedelta(seconds=self.clock.seconds)
        if OUTAGE[0] <= passed < OUTAGE[1]:
            self.clock.sleep(2)
            return Outcome("rate_limit", "API Error: 429 usage limit reached", exit_code=1)
        assert turn.item is not None
        n = int(turn.item.id.rpartition("-")[2])
        again = self.asked[n] = self.asked.get(n, 0) + 1
        if again == 1 and n in (self.at(0.3), self.at(0.7)):
            self.clock.sleep(IDLE_S)
            return Outcome("timeout", "", clock="idle")
        self.clock.sleep(self.turn_s)
        self._person(n, again)
        if again == 1 and n == self.at(0.5):  # the cheat
            (turn.workspace / f"tests/want/{n}.txt").write_text("nothing\n")
            return Outcome("done", "it passes now")
        if n == self.at(0.2):  # the litter-bug
            for name in (
                ".aider.chat.history.md",
                "__pycache__/a.pyc",
                ".aider.tags.cache.v4/x",
                ".pytest_cache/v",
            ):
                (turn.workspace / name).parent.mkdir(parents=True, exist_ok=True)
                (turn.workspace / name).write_text("litter")
            os.mkfifo(turn.workspace / "pipe")
        (turn.workspace / f"out/{n}.txt").write_text(f"value {n}\n")
        return Outcome("done", f"wrote out/{n}.txt", tokens={"input": 1000}, cost=0.02)

    def _person(self, n: int, again: int) -> None:
        """A person commits twice and edits thrice, while an agent is at work."""
        if again == 1 and n in (self.at(0.25), self.at(0.6)):
            self._write("README.md", f"A project, at {n}.\n")
            git(self.root, "commit", "-qm", f"readme at {n}", "README.md")
            self.commits.append(git(self.root, "rev-parse", "HEAD").strip())
        if again == 1 and n in (self.at(0.1), self.at(0.4), self.at(0.8)):
            self.edits.append(f"edited at {n}\n")
            with (self.root / "notes.md").open("a") as file:
                file.write(self.edits[-1])
