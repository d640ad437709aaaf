"""One attempt to be judged, and what has been measured about it so far."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from orchestration.core import of_pytest_command, parse_selector, payloads
from orchestration.documents.ledger import Item
from orchestration.documents.order import Order
from orchestration.gates import GuardResult
from orchestration.harness import Harness
from orchestration.turns.checkouts import Collected


@dataclass
class Findings:
    """What has been measured so far; `reason` non-empty means that the attempt is turned down."""

    verdict: str = ""
    reason: str = ""
    signature: str = ""
    command: str = ""
    halt: str = ""
    patch: str = ""
    guard: dict[str, payloads.GuardSide] = field(default_factory=dict)
    checks: list[payloads.CheckRow] = field(default_factory=list)
    verified: list[str] = field(default_factory=list)
    ticks: list[str] = field(default_factory=list)
    classes: dict[str, list[str]] = field(default_factory=dict)
    flags: list[payloads.Flag] = field(default_factory=list)
    """Suspicions that nobody has answered yet, each once."""

    def turn_down(self, verdict: str, reason: str, signature: str, command: str = "") -> None:
        """Record the first reason against the attempt; later ones do not replace it."""
        if not self.verdict:
            self.verdict, self.reason = verdict, reason
            self.signature, self.command = signature, command


@dataclass
class Case:
    """One attempt to be judged."""

    harness: Harness
    item: Item
    order: Order
    mode: str
    base: str
    commit: str
    exit: payloads.AgentEnded
    report: Path
    report_path: str
    found: Findings = field(default_factory=Findings)
    ids: dict[str, Collected] = field(default_factory=dict)
    """Node ids by selector, as the trusted commit collects them."""
    branch: str = ""
    """The attempt's own branch."""
    green: dict[str, GuardResult] = field(default_factory=dict)
    read: set[str] = field(default_factory=set)
    """Changed files that a guard opened, and what a criterion opened to run it or to hold to it."""
    beside: set[str] = field(default_factory=set)
    """Changed files that a criterion opened besides, without its command naming them."""
    ran: set[str] = field(default_factory=set)
    """Changed files that the command of a criterion names."""
    answered: tuple[payloads.Flag, ...] = ()
    """Flags that a review has accepted."""

    def suspect(self, flags: Iterable[payloads.Flag]) -> None:
        """Take flags over, but those that were answered (their lines may have moved) or known."""
        known = {(one.rule, one.path, one.message) for one in (*self.answered, *self.found.flags)}
        for flag in flags:
            if (flag.rule, flag.path, flag.message) not in known:
                self.found.flags.append(flag)

    @property
    def new_tests(self) -> tuple[str, ...]:
        """Test files that the order lets the attempt add."""
        exists = self.harness.repo.exists_in
        return tuple(
            ref.path
            for task in self.order.tasks
            for ref in task.refs
            if task.new or (task.creates and not exists(self.base, ref.path))
        )

    @property
    def guard_files(self) -> tuple[str, ...]:
        """Globs of the files of every guard of the item and of the order, wherever they lie."""
        words = [str(self.item.guard or ""), str(self.order.selector or "")]
        commands = [c.command for c in self.item.criteria if c.command is not None]
        for command in (*commands, *self.order.checks):
            words.append(str(of_pytest_command(command.argv) or ""))
        found = dict[str, None]()
        for path in (
            path for text in words if text != "none" for path in parse_selector(text).paths
        ):
            found[path if path.endswith(".py") else f"{path.rstrip('/')}/**"] = None
        return tuple(found)

    @property
    def may_edit(self) -> tuple[str, ...]:
        """Test globs that the order lets the attempt change."""
        recipes = tuple(glob for r in self.item.recipes for glob in r.may_edit_tests)
        return (*self.order.may_edit_tests, *recipes)
