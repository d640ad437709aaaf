"""Payloads: what an event of each kind says, one dataclass a kind.

`EVENT.payload` is one of these; `EventLog.append` takes one. Each kind has a version: version 1 is
the form of all logs up to commit f264b61 and carries no mark; from version 2 on the JSON has a key
`v`, and `upgrade` turns an older form into the present one. A newer form than this program knows is
refused (it would be read wrongly in silence).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from orchestration.core.payload_parts import AttemptLine as AttemptLine
from orchestration.core.payload_parts import CheckRow as CheckRow
from orchestration.core.payload_parts import Flag as Flag
from orchestration.core.payload_parts import GuardSide as GuardSide
from orchestration.core.payload_parts import MemoryEntry as MemoryEntry
from orchestration.core.payload_parts import Note as Note
from orchestration.core.payload_parts import ReviewFinding as ReviewFinding
from orchestration.core.payload_parts import Standing as Standing
from orchestration.core.payload_parts import Steer as Steer
from orchestration.core.payload_parts import Weighed as Weighed
from orchestration.core.records import Record, WrongShape, entry


@dataclass(frozen=True)
class Payload(Record):
    """Base of all payloads."""

    KIND: ClassVar[str]
    VERSION: ClassVar[int] = 1

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read the data of an event of this kind, of any version up to the present one."""
        version = data.get("v", 1)
        if not isinstance(version, int) or version > cls.VERSION:
            raise WrongShape(
                f"version {version} is newer than {cls.VERSION}, the newest that this program "
                "reads; update orchestrate"
            )
        return super().from_json(cls.upgrade(data, version) if version < cls.VERSION else data)

    @classmethod
    def upgrade(cls, data: Mapping[str, Any], version: int) -> Mapping[str, Any]:
        """Turn the JSON of an older version into the present form."""
        return data

    def to_json(self) -> dict[str, Any]:
        """The event's data, with its version from 2 on."""
        mark = {"v": self.VERSION} if self.VERSION > 1 else {}
        return {**super().to_json(), **mark}


# -- runs ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RunStarted(Payload):
    """A run begins; `cycles` is its limit."""

    KIND = "run_start"

    run: str
    agent: str
    cycles: int | None = None
    target: str = ""
    key: str = entry("", omit=True)
    """The public key that this run's commits and messages are signed with."""


@dataclass(frozen=True)
class Fetched(Payload):
    """The upstream was fetched: work starts from this commit, wherever a ref is moved later."""

    KIND = "upstream"

    sha: str


@dataclass(frozen=True)
class RunEnded(Payload):
    """A run has ended: the name of the exit reason, and its code."""

    KIND = "run_end"

    reason: str
    text: str = ""
    code: int = 0
    evidence: Weighed | None = entry(None, omit=True)


@dataclass(frozen=True)
class Warned(Payload):
    """Something odd that stops nothing."""

    KIND = "warning"

    text: str = ""


@dataclass(frozen=True)
class Imported(Payload):
    """A claim of an old memory or ledger, as it stood there."""

    KIND = "import"

    claim: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """A claim has the keys of what was imported."""
        return cls(dict(data))

    def to_json(self) -> dict[str, Any]:
        """The claim's own keys."""
        return dict(self.claim)


# -- the supervisor's turn -----------------------------------------------------------------------


@dataclass(frozen=True)
class Decided(Payload):
    """An item is to be worked on: a cycle begins."""

    KIND = "decision"

    action: str
    cycle: int = 0
    reason: str = ""
    evidence: Weighed = field(default_factory=Weighed)


@dataclass(frozen=True)
class Supervised(Payload):
    """An agent was asked for an order: what it wrote, what is wrong with it, what it cost."""

    KIND = "supervise"

    agent: str
    asked: int
    valid: bool
    text: str
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    outcome: str = ""
    cost: float | None = None
    tokens: int | None = None
    seconds: float | None = None
    changed: tuple[str, ...] = ()
    isolation: str | None = None
    tamper: str = ""
    """Of earlier versions: what the asking had changed outside."""


@dataclass(frozen=True)
class Chosen(Payload):
    """The supervisor took another runnable item than the policy's first."""

    KIND = "choice"

    former: str = entry(key="from")
    to: str = entry()
    reason: str = entry("")


@dataclass(frozen=True)
class Reviewed(Payload):
    """A computed retrospective."""

    KIND = "retro"

    text: str


@dataclass(frozen=True)
class Ordered(Payload):
    """An order; `nodes` is what its guard collected on `nodes_base` (None: not asked)."""

    KIND = "order"

    hash: str
    text: str = ""
    row: str | None = None
    mode: str = "none"
    source: str = "built-in"
    action_type: str = "implementation"
    retry_reason: str = ""
    diagnostics: tuple[str, ...] = ()
    nodes: tuple[str, ...] | None = None
    nodes_base: str = ""


# -- the worker's turn ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Dispatched(Payload):
    """An attempt begins on a base."""

    KIND = "dispatch"

    attempt: int
    item: str = ""
    base: str = ""
    stamp: str = ""
    report: str = ""
    steers: tuple[Steer, ...] = ()


@dataclass(frozen=True)
class AgentStarted(Payload):
    """The agent is about to be started."""

    KIND = "agent_start"

    agent: str


@dataclass(frozen=True)
class Outage(Payload):
    """The agent's program or service was out: no attempt; `retry_at` is when to ask again."""

    KIND = "outage"

    agent: str
    outage: str
    text: str = ""
    retry_at: str | None = None
    cost: float | None = None
    tokens: int | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class AgentEnded(Payload):
    """What an agent claims, what it cost, and the snapshot of what it left."""

    KIND = "agent_exit"

    outcome: str = ""
    text: str = ""
    session: str | None = None
    tokens: int | None = None
    cost: float | None = None
    denials: tuple[str, ...] = ()
    exit_code: int | None = None
    signal: int | None = None
    isolation: str | None = None
    process_limit: str | None = None
    seconds: float | None = None
    snapshot: str = ""
    tree: str = ""
    changed: tuple[str, ...] = ()
    refs_moved: tuple[str, ...] = ()
    """Of earlier versions: refs that were put back."""
    leaks: tuple[str, ...] = ()
    escaped: tuple[str, ...] = ()
    """What changed in the person's repository meanwhile, where no fence held; told only."""
    agent: str = ""
    unread: str = entry("", omit=True)
    """Why what the agent left could not be taken (a bound that it passes); "" where it was."""
    tamper: str = entry("", omit=True)
    """That the harness's own installation changed meanwhile, where it could be written."""
    clock: str = entry("", omit=True)
    """The clock that ended it (`total`, `idle`; `grace`: it went on after its result)."""
    reported: str = entry("", omit=True)
    """What `outcome.json` claims, `unreported`, or why it cannot be read; "" of the playbook."""
    left_out: tuple[str, ...] = entry((), omit=True)
    """What lay in the workspace and was not taken, since git ignores it; caches aside."""
    litter: tuple[str, ...] = entry((), omit=True)
    """Caches, and what agents' programs left of their own: not taken either."""


@dataclass(frozen=True)
class Judged(Payload):
    """What the harness measured about an attempt, and what follows."""

    KIND = "verdict"

    verdict: str
    reason: str = ""
    signature: str = ""
    halt: str = ""
    patch: str = ""
    guard: dict[str, GuardSide] = field(default_factory=dict)
    checks: tuple[CheckRow, ...] = ()
    verified: tuple[str, ...] = ()
    ticks: tuple[str, ...] = ()
    classes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    done: bool = False
    notes: tuple[Note, ...] = ()
    done_reason: str = "every criterion verified"
    attempt: AttemptLine | None = None
    memory: MemoryEntry | None = None
    flags: tuple[Flag, ...] = entry((), omit=True)
    """Suspicions that nobody has answered; with them the verdict is `held`."""


@dataclass(frozen=True)
class Announced(Payload):
    """A commit is built and is about to be put on its branch; `purpose` is landing or closing."""

    KIND = "land"

    purpose: str
    commit: str
    base: str
    subject: str = ""
    receipt: str = entry("", omit=True)


@dataclass(frozen=True)
class Committed(Payload):
    """A commit is on its branch, or waits (`via` results); purpose none: nothing to commit."""

    KIND = "commit"

    purpose: str = ""
    commit: str | None = None
    base: str = entry("", omit=True)
    subject: str = entry("", omit=True)
    receipt: str = entry("", omit=True)
    via: str = entry("", omit=True)
    ref: str = entry("", omit=True)
    note: str | None = entry(None, omit=True)
    flushed: bool = entry(True, omit=True)


@dataclass(frozen=True)
class TurnEnded(Payload):
    """A turn is over."""

    KIND = "turn_end"

    cycle: int = 0
    outcome: str = ""


# -- items that are settled without a turn -------------------------------------------------------


@dataclass(frozen=True)
class Pivoted(Payload):
    """An item is left until a cycle."""

    KIND = "pivot"

    reason: str
    until: int
    memory: MemoryEntry | None = None
    evidence: Weighed | None = entry(None, omit=True)


@dataclass(frozen=True)
class Polled(Payload):
    """The check of a waiting item was asked."""

    KIND = "poll"

    arrived: bool
    how: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Blocked(Payload):
    """An item needs a person; `returns` says what would unblock it."""

    KIND = "block"

    reason: str
    blocker: str = entry("unknown", key="class")
    returns: str = entry("", key="return")
    stalled: bool = False
    stamp: str = ""
    notes: tuple[Note, ...] = ()
    memory: MemoryEntry | None = None
    evidence: Weighed | None = entry(None, omit=True)


@dataclass(frozen=True)
class Closed(Payload):
    """Every criterion of an item is verified."""

    KIND = "close"

    reason: str
    memory: MemoryEntry | None = None
    title: str = ""
    evidence: Weighed | None = entry(None, omit=True)


# -- what a person says --------------------------------------------------------------------------


@dataclass(frozen=True)
class Said(Payload):
    """Base of what comes out of the inbox; `id` is the message's, so that it is taken once."""

    id: str = entry("", omit=True)


@dataclass(frozen=True)
class Reopened(Said):
    """An item is open again; `mark` is why, for the ledger."""

    KIND = "reopen"

    mark: str = entry("", omit=True)
    keep_orders: bool | None = entry(None, omit=True)


@dataclass(frozen=True)
class Steered(Said):
    """An instruction for the next worker."""

    KIND = "steer"

    text: str = ""


@dataclass(frozen=True)
class Paused(Said):
    """No run goes on until `resume`."""

    KIND = "pause"

    reason: str = ""


@dataclass(frozen=True)
class Resumed(Said):
    """A pause or a stop after tamper is lifted."""

    KIND = "resume"


@dataclass(frozen=True)
class Approved(Said):
    """Protected paths that an item may touch."""

    KIND = "approve"

    paths: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answered(Said):
    """A held attempt was looked at: its flags are accepted, or the attempt is turned down.

    `by` is the reviewer's name where a program answered; it leaves flags for a person unanswered.
    """

    KIND = "answer"

    turn: int = 0
    accept: bool = False
    reason: str = ""
    by: str = entry("", omit=True)


@dataclass(frozen=True)
class ReviewedByAgent(Payload):
    """A reviewer agent looked at the attempt of a turn: why, what it found, what it cost.

    `problem` is why its answer could not be read, "" where it could: such a review counts for none.
    """

    KIND = "review"

    agent: str
    turn: int
    why: str
    verdict: str = ""
    reason: str = ""
    findings: tuple[ReviewFinding, ...] = ()
    outcome: str = ""
    cost: float | None = None
    tokens: int | None = None
    seconds: float | None = None
    isolation: str | None = None
    problem: str = ""


@dataclass(frozen=True)
class JudgedAgain(Payload):
    """An accepted attempt is judged again, laid on the present tip: `base`, and its commit there.

    `flags` are the accepted ones and `reason` is why; `conflict` names files that the attempt and
    the branch both changed and that do not merge.
    """

    KIND = "again"

    held: int
    base: str
    commit: str = ""
    tree: str = ""
    changed: tuple[str, ...] = ()
    flags: tuple[Flag, ...] = ()
    reason: str = ""
    conflict: tuple[str, ...] = entry((), omit=True)


@dataclass(frozen=True)
class Reverted(Payload):
    """A landing was taken back with a new commit."""

    KIND = "revert"

    turn: int
    commit: str
    via: str = ""
    ref: str = ""


_ALL = (
    RunStarted, Fetched, RunEnded, Warned, Imported, Decided, Supervised, Chosen, Reviewed, Ordered,
    Dispatched, AgentStarted, Outage, AgentEnded, Judged, Announced, Committed, TurnEnded, Pivoted,
    Polled, Blocked, Closed, Reopened, Steered, Paused, Resumed, Approved, Answered,
    ReviewedByAgent, JudgedAgain, Reverted,
)  # fmt: skip
PAYLOADS: dict[str, type[Payload]] = {one.KIND: one for one in _ALL}
