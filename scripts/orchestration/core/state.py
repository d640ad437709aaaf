"""State: everything the harness knows, folded from the events and from nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

from orchestration.core.payloads import Committed, Flag, Note, Payload, Steer, Supervised

P = TypeVar("P", bound=Payload)
TAKEN_BACK, ASIDE = "taken_back", "aside"
"""How a cycle ends that came to no attempt: a person changed its item, or others go first."""
PHASES = ("decided", "ordered", "dispatched", "agent", "exited", "verified", "landing", "landed")
"""How far the open cycle has come; the engine resumes at the step after this."""


@dataclass
class ItemState:
    """What the log says about one focus issue."""

    attempts: int = 0
    rejected: int = 0
    landed: int = 0
    dwell: int = 0
    """Consecutive cycles without a newly verified criterion or row (computed, never claimed)."""
    cooldown_until: int = 0
    """The item is not runnable before this cycle number (0: no cool-down)."""
    pivots: int = 0
    pivot_reason: str = ""
    signatures: list[str] = field(default_factory=list)
    failed_patches: list[str] = field(default_factory=list)
    orders: list[str] = field(default_factory=list)
    verified: list[str] = field(default_factory=list)
    blocked: str = ""
    actions: list[str] = field(default_factory=list)
    approved: list[str] = field(default_factory=list)
    last_verdict: str = ""
    last_reason: str = ""
    halted: str = ""
    """Why the item must be left at once (the same patch again, the same order again)."""
    outages: int = 0
    """How often others were let go first since the agent last came to an end of its own."""
    seconds: float = 0.0


@dataclass
class OpenCycle:
    """The cycle that has begun and not ended: what the engine resumes after a kill."""

    cycle: int
    item: str
    phase: str
    facts: dict[str, Any] = field(default_factory=dict)
    """The data of the cycle's events so far, by kind, as the log has it; `fact` gives it a type."""

    def fact(self, kind: type[P]) -> P | None:
        """What the cycle's event of a kind says, None before there is one."""
        data = self.facts.get(kind.KIND)
        return None if data is None else kind.from_json(data)

    def need(self, kind: type[P]) -> P:
        """What the cycle's event of a kind says, where the phase means that there is one."""
        return kind.from_json(self.facts[kind.KIND])

    def asked(self) -> list[Supervised]:
        """What came of asking an agent for the order, each time."""
        return [Supervised.from_json(data) for data in self.facts.get(Supervised.KIND, [])]


@dataclass
class Held:
    """An attempt that waits for a reviewer: the facts of its cycle, and its flags."""

    turn: int
    item: str
    facts: dict[str, Any]
    flags: list[Flag]
    answered: list[Flag] = field(default_factory=list)
    accepted: str = ""
    """Why every flag was accepted; the attempt is judged again at the next step."""

    @property
    def unanswered(self) -> list[Flag]:
        """Flags that nobody has accepted."""
        return [flag for flag in self.flags if flag not in self.answered]


@dataclass
class Run:
    """The run in progress, or the last one."""

    id: str
    agent: str
    started_at: str
    first_cycle: int
    """Cycles that earlier runs finished; one that they left open is finished by this run."""
    cycles: int | None = None
    stalled: bool = False
    ended: str | None = None
    end_text: str = ""
    polled: list[str] = field(default_factory=list)
    landed: list[str] = field(default_factory=list)
    rejected: list[str] = field(default_factory=list)
    blocked: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def finished(self, state: State) -> int:
        """Return how many cycles this run, the last one of `state`, has finished."""
        return state.cycle - self.first_cycle - (state.open is not None)


@dataclass(frozen=True)
class Mark:
    """A status that the log gives an item, and why."""

    status: str
    reason: str


@dataclass(frozen=True)
class PendingAttempt:
    """A line for an item's history in the ledger."""

    item: str
    turn: int
    at: str
    outcome: str
    criteria: str
    signature: str
    link: str


@dataclass(frozen=True)
class Landing:
    """A landed attempt: its commit, and how that came to its branch."""

    turn: int
    item: str
    at: str
    commit: str
    base: str
    subject: str
    receipt: str
    via: str
    ref: str
    note: str
    purpose: str = "landing"

    @classmethod
    def of(cls, turn: int, item: str, at: str, commit: Committed) -> Self:
        """The landing that a `commit` event tells of."""
        return cls(
            turn=turn,
            item=item,
            at=at,
            commit=commit.commit or "",
            base=commit.base,
            subject=commit.subject,
            receipt=commit.receipt,
            via=commit.via,
            ref=commit.ref,
            note=commit.note or "",
        )


@dataclass
class Pending:
    """Changes to ledger, memory and notes that wait for the next commit of the harness."""

    marks: dict[str, Mark] = field(default_factory=dict)
    attempts: list[PendingAttempt] = field(default_factory=list)
    memory: list[dict[str, Any]] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    ticks: list[list[str]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.marks or self.attempts or self.memory or self.notes or self.ticks)

    def over(self, item_id: str, status: str, reason: str = "") -> Mark:
        """Lay what the log knows over what the ledger says about an item."""
        return self.marks.get(item_id, Mark(status, reason))

    def marked(self, item_id: str) -> bool:
        """Whether the log has a status for the item that no commit has written yet."""
        return item_id in self.marks

    def ticked(self, item_id: str) -> frozenset[str]:
        """The item's criteria that are verified and not yet ticked in the ledger."""
        return frozenset(name for owner, name in self.ticks if owner == item_id)


@dataclass
class State:
    """The whole state; two states are equal when every later decision would be."""

    seq: int = 0
    at: str = ""
    turn: int = 0
    cycle: int = 0
    run: Run | None = None
    open: OpenCycle | None = None
    upstream: str = ""
    """What the upstream was when it was last fetched."""
    closing: dict[str, Any] | None = None
    """The closing commit that was announced and is not yet on its branch."""
    items: dict[str, ItemState] = field(default_factory=dict)
    orders: dict[str, int] = field(default_factory=dict)
    pending: Pending = field(default_factory=Pending)
    steers: list[Steer] = field(default_factory=list)
    consumed: list[str] = field(default_factory=list)
    paused: str = ""
    landings: list[Landing] = field(default_factory=list)
    last_progress: dict[str, Any] = field(default_factory=dict)
    money: float | None = None
    tokens: int | None = None
    agent_seconds: float = 0.0
    retro: str = ""
    tamper: str = ""
    held: dict[str, Held] = field(default_factory=dict)
    """Attempts that wait for a review, by item."""

    def item(self, item_id: str) -> ItemState:
        """Return the state of an item, made on first use."""
        return self.items.setdefault(item_id, ItemState())
