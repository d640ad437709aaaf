"""What the payloads of several kinds of event hold: rows, notes, flags, findings.

They are reached through `payloads`, as the kinds are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from orchestration.core.records import Record, entry


@dataclass(frozen=True)
class Standing(Record):
    """What the policy weighed about one item; the last four older logs lack."""

    id: str
    status: str
    runnable: bool
    why_not: str
    dwell: int
    attempts: int
    open_criteria: tuple[str, ...] = ()
    action_state: str = entry("", omit=True)
    allowed_actions: tuple[str, ...] = entry((), omit=True)
    rank: tuple[int, ...] = entry((), omit=True)
    outages: int = entry(0, omit=True)

    @property
    def order(self) -> tuple[int, ...]:
        """The least is preferred: fewer outages, then by rank."""
        return self.outages, *self.rank


@dataclass(frozen=True)
class Weighed(Record):
    """What a decision rests on: some items, and how many are not shown."""

    cycle: int = 0
    items: tuple[Standing, ...] = ()
    not_shown: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The JSON form, without the counts where there are none."""
        written = super().to_json()
        return written if self.not_shown else {k: v for k, v in written.items() if k != "not_shown"}


@dataclass(frozen=True)
class Note(Record):
    """A file that the next commit of the harness writes."""

    path: str
    text: str = ""


@dataclass(frozen=True)
class MemoryEntry(Record):
    """An entry of the supervisor's memory, as far as the event knows it."""

    title: str
    decision: str
    state: str
    action: str = entry("", omit=True)
    mode: str = entry("", omit=True)
    next: str = entry("", omit=True)
    artifacts: str | None = entry("", omit=True)
    """None: the turn left none; "": the event does not say."""


@dataclass(frozen=True)
class Steer(Record):
    """What a person said, delivered with an order."""

    id: str
    text: str


@dataclass(frozen=True)
class GuardSide(Record):
    """What a receipt keeps of a guard run on one side."""

    verdict: str
    reason: str = ""
    nodes: dict[str, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    isolation: str = ""
    process_limit: str = ""
    flaky: tuple[str, ...] = ()
    coverage: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def tests(self) -> str:
        """`3 passed, 1 failed`; "" where none ran."""
        return ", ".join(f"{number} {name}" for name, number in self.counts.items() if number)


@dataclass(frozen=True)
class CheckRow(Record):
    """One command of a criterion or of the order, and how it went."""

    name: str
    command: str
    passed: bool
    how: str
    seconds: float = 0.0


@dataclass(frozen=True)
class Flag(Record):
    """A suspicion about an attempt, which a reviewer must answer before the attempt lands.

    `person`: the file runs elsewhere or steers agents, so no program may answer.
    """

    rule: str
    path: str
    line: int
    message: str
    person: bool = entry(False, omit=True)

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line else self.path
        return f"{place}: {self.message} [{self.rule}]"


@dataclass(frozen=True)
class ReviewFinding(Record):
    """What a reviewer found: a `blocker`, a `question` or a `remark`, and where (0: no line)."""

    severity: str
    path: str = ""
    line: int = 0
    message: str = ""

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line else self.path
        return f"{place}: {self.message}" if place else self.message


@dataclass(frozen=True)
class AttemptLine(Record):
    """What the ledger's history says of an attempt."""

    outcome: str = ""
    criteria: str = ""
    signature: str = ""
    link: str = ""
