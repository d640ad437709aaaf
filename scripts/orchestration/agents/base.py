"""What the engine knows about any agent: it gets a turn and returns a typed outcome."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from orchestration.sandbox import Opened

if TYPE_CHECKING:
    from orchestration.documents.ledger import Item
    from orchestration.documents.order import Order

OutageKind = Literal["auth", "rate_limit", "overloaded", "network"]
OutcomeKind = Literal[
    "done", "partial", "blocked", "refused", "no_change", "crash", "timeout", OutageKind
]
OUTAGES: tuple[OutageKind, ...] = ("auth", "rate_limit", "overloaded", "network")
"""What is no fault of the work: such a turn is no attempt."""
KINDS: tuple[OutcomeKind, ...] = (
    "done",
    "partial",
    "blocked",
    "refused",
    "no_change",
    "crash",
    "timeout",
    *OUTAGES,
)


def utc_now() -> datetime:
    """The machine's time, aware, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Clocks:
    """Time limits of a turn in seconds: in all, without output, and after the result."""

    total_s: float = 1800.0
    idle_s: float | None = 600.0
    grace_s: float = 30.0


@dataclass(frozen=True)
class TurnContext:
    """Everything an agent may use.

    `workspace` is the attempt's worktree, where the order lies at `order_path`; `brief` is the text
    for it (empty: the order itself); `env` is the scrubbed environment; `log_dir` is the harness's
    (outside the worktree); `report_dir` is where artifacts are to be written. `opened` is what the
    configuration opens in the fence besides.
    """

    workspace: Path
    order: Order | None
    item: Item | None
    brief: str
    env: Mapping[str, str]
    clocks: Clocks
    log_dir: Path
    report_dir: Path
    order_path: str = "input.md"
    isolation: str = "auto"
    max_processes: int = 4096
    opened: Opened = field(default_factory=Opened)
    now: Callable[[], datetime] = utc_now


@dataclass(frozen=True)
class Outcome:
    """What the agent claims, and how its process ended. Nothing in it is believed.

    `tokens` and `cost` (US dollars) are None when the agent did not report them, never 0.
    `denials` are the actions its own rules refused. `clock` is the one that ended it (`grace`:
    it went on after its result), `retry_at` when a limit or outage is over, where the program named
    it. `dead` is true where the program never came to work: it could not start, or died before its
    first event. `suspected` is an outage that its last lines name, which counts where nothing was
    changed. `log_path` is its raw output, `isolation` the level that held, `process_limit` what
    bounds the number of processes (see `pids`), `artifacts` the globs a recipe declared.
    """

    kind: OutcomeKind
    text: str = ""
    session: str | None = None
    tokens: Mapping[str, int] | None = None
    cost: float | None = None
    denials: tuple[str, ...] = ()
    exit_code: int | None = None
    signal: int | None = None
    retry_at: datetime | None = None
    clock: Literal["total", "idle", "grace"] | None = None
    dead: bool = False
    suspected: OutageKind | None = None
    log_path: Path | None = None
    isolation: str | None = None
    process_limit: str | None = None
    artifacts: tuple[str, ...] = field(default=())


@runtime_checkable
class Agent(Protocol):
    """A backend. `name` is what `--agent` takes; `offline` is true if it needs no network."""

    name: str
    offline: bool

    def version(self) -> str | None:
        """Version for the receipt; None when it cannot be told."""
        ...

    def run(self, turn: TurnContext) -> Outcome:
        """Do the turn in `turn.workspace` and return when all of it has ended."""
        ...


def last_words(text: str, limit: int) -> str:
    """Return the end of what an agent said: one line, `limit` characters, begun with a word."""
    flat = " ".join(text.split())
    if len(flat) <= limit:
        return flat
    tail = flat[1 - limit :]
    return "…" + (tail.partition(" ")[2] or tail)
