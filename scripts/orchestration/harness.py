"""Harness: what every turn works with - repository, configuration, log, clock, agent, voice."""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Protocol

from orchestration import documents
from orchestration.agents import Agent, Clocks
from orchestration.config import HarnessConfig
from orchestration.core import Clock, ItemFacts, PolicyConfig, State, payloads
from orchestration.documents.ledger import Item, Ledger, read_ledger
from orchestration.errors import HarnessError
from orchestration.gates import secrets
from orchestration.git import Repo, Upstream
from orchestration.landing import Tip, current_tip, require_one_history
from orchestration.log import Activity, EventLog
from orchestration.sandbox import scrub_env
from orchestration.voices import Voice, own_voice

__all__ = [
    "Harness",
    "RandomIds",
    "ReviewAnswer",
    "ReviewRequest",
    "Reviewer",
    "SystemClock",
    "documents",
    "read_text_at",
    "target_of",
]

PRIORITIES = {"P0": 0, "P1": 1, "P2": 2, "P3": 3}

OF_TURNS = ("HUB", "TURN_DIR", "AUTHORITATIVE_CMDS_DOC", "ORCHESTRATION_ITEM", "ORCHESTRATION_ROLE")
"""What a turn's environment tells; code under test never sees it."""


@dataclass(frozen=True)
class ReviewRequest:
    """A held attempt as a reviewer sees it; `flags` are those that a program may answer."""

    turn: int
    item: str
    order: str
    diff: str
    flags: Sequence[payloads.Flag]
    guard: str
    """The guard's results in a few words."""


@dataclass(frozen=True)
class ReviewAnswer:
    """What a reviewer decided, and why."""

    accept: bool
    reason: str


class Reviewer(Protocol):
    """A program that answers flags; None: it has no opinion, so a person is asked."""

    name: str

    def review(self, request: ReviewRequest) -> ReviewAnswer | None:
        """Look at a held attempt."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """Return the current time, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that never go backwards."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


class RandomIds:
    """Random run identifiers."""

    def run_id(self) -> str:
        """Return twelve random hexadecimal digits."""
        return uuid.uuid4().hex[:12]


@dataclass
class Harness:
    """One repository under the harness. `say` prints progress for a person."""

    repo: Repo
    config: HarnessConfig
    log: EventLog
    clock: Clock
    agent: Agent
    target: str
    say: Callable[[str], None]
    policy: PolicyConfig
    extra_env: Mapping[str, str] = field(default_factory=dict)
    supervisor: Agent | None = None
    """Who writes the orders; None: the built-in supervisor."""
    upstream: Upstream | None = None
    reviewer: Reviewer | None = None
    """Who answers the flags of held attempts before a person is asked."""
    activity: Activity | None = None
    """Where what goes on is noted for those who watch; None: nowhere."""

    @property
    def state(self) -> State:
        """The state as the log has it now."""
        return self.log.state

    @property
    def disks(self) -> tuple[Path, Path]:
        """Folders of the disks that work is written to."""
        return self.repo.state_dir, self.repo.common_dir

    @cached_property
    def voice(self) -> Voice:
        """What signs the harness's commits and messages."""
        return own_voice(self.repo.state_dir)

    @property
    def deterministic(self) -> bool:
        """Whether the agent does the same again when it is asked the same again."""
        return self.agent.name == "playbook"

    def tip(self) -> Tip:
        """Where the next attempt starts; raises Stop where the branch left its results behind."""
        tip = current_tip(self.repo, self.target, self.state.upstream if self.upstream else "")
        return require_one_history(self.repo, self.target, tip)

    def ledger_at(self, sha: str) -> tuple[str, Ledger]:
        """The ledger's text and content at a commit."""
        text = ledger_text_at(self.repo, sha, self.config.ledger)
        return text, read_ledger(text, self.config.ledger)

    def facts(self, ledger: Ledger) -> list[ItemFacts]:
        """The ledger in the words of the policy."""
        now = self.clock.now()
        return [item_facts(item, now) for item in ledger.items]

    @contextmanager
    def busy(
        self, what: str, every_s: float = 10.0, *, log: Path | None = None, tests: int = 0
    ) -> Iterator[None]:
        """Say every few seconds that something long is still at work.

        `log` is where its output goes and `tests` how many tests it runs, for those who watch.
        """
        over, started, turn = threading.Event(), time.monotonic(), self.state.turn
        if self.activity is not None:
            self.activity.begun(what, turn, log, tests)

        def beat() -> None:
            while not over.wait(every_s):
                self.say(f"still at it ({time.monotonic() - started:.0f} s): {what}")

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            if self.activity is not None:
                self.activity.over(what, turn)

    def clocks(self) -> Clocks:
        """The three clocks of an agent's turn."""
        budgets = self.config.budgets
        return Clocks(budgets.turn_s, budgets.idle_s, budgets.grace_s)

    def environment(self, root: Path, report: Path, item_id: str) -> dict[str, str]:
        """The scrubbed environment of a command of a turn that works in `root`.

        The checkout's import roots come first on PYTHONPATH, and the configured interpreter's
        folder first on PATH, so that `python` and console scripts are the checked ones.
        """
        roots = [str((root / name).resolve()) for name in self.config.import_roots]
        bin_dir = str(Path(self.config.python).parent)
        path = os.pathsep.join([bin_dir, os.environ.get("PATH", os.defpath)])
        return scrub_env(
            {
                "PYTHONPATH": os.pathsep.join(roots),
                "PATH": path,
                "HUB": str(report),
                "TURN_DIR": str(report),
                "AUTHORITATIVE_CMDS_DOC": self.config.commands_doc,
                "ORCHESTRATION_ITEM": item_id,
                "ORCHESTRATION_ROLE": "worker",
                **self.extra_env,
            }
        )

    def secret_values(self) -> tuple[str, ...]:
        """Values of `agent_env:` that no landing, log or message may show."""
        named = {name: os.environ[name] for name in self.config.agent_env if name in os.environ}
        return secrets.values_of(named)

    def agent_environment(self, root: Path, report: Path, item_id: str) -> dict[str, str]:
        """The environment of an agent's turn: that of its commands, and what `agent_env:` names."""
        named = {name: os.environ[name] for name in self.config.agent_env if name in os.environ}
        return {**named, **self.environment(root, report, item_id)}


def item_facts(item: Item, now: datetime) -> ItemFacts:
    """One ledger item in the words of the policy."""
    waiting = item.waiting
    return ItemFacts(
        id=item.id,
        status=str(item.status.value),
        reason=item.reason,
        priority=PRIORITIES.get(str(item.priority), 2),
        depends=tuple(item.depends),
        criteria_open=tuple(c.id for c in item.criteria if c.open),
        criteria_deferred=sum(not (c.open or c.met) for c in item.criteria),
        criteria_total=len(item.criteria),
        has_recipe=bool(item.recipes),
        needs_agent=item.needs == "agent",
        waiting_on=waiting.on if waiting else "",
        until_passed=bool(waiting and waiting.expired(now)),
    )


def read_text_at(repo: Repo, sha: str, path: str) -> str | None:
    """The text of a committed file, or None where the commit lacks it."""
    if not repo.exists_in(sha, path):
        return None
    return repo.read_blob(sha, path).decode("utf-8", "replace")


def ledger_text_at(repo: Repo, sha: str, path: str) -> str:
    """The text of the ledger at a commit; HarnessError where it has none."""
    text = read_text_at(repo, sha, path)
    if text is None:
        raise HarnessError(
            "the ledger is missing",
            where=f"{sha[:12]}:{path}",
            expected="a committed ledger with focus issues",
            fix="orchestrate init, then commit what it wrote",
        )
    return text


def target_of(repo: Repo, config: HarnessConfig) -> str:
    """The branch that landings advance; HarnessError when HEAD is detached and none is set."""
    target = config.target or repo.branch()
    if not target:
        raise HarnessError(
            "HEAD is detached, so there is no branch to land on",
            where=repo.root,
            fix="git switch a branch, or set `target:` in orchestration.yaml",
        )
    if repo.try_resolve(f"refs/heads/{target}") is None:
        raise HarnessError(
            f"the target branch {target} has no commit",
            where=repo.root,
            fix="make a first commit, or correct `target:` in orchestration.yaml",
        )
    return target
