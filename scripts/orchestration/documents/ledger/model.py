"""What a ledger holds: items, their statuses, criteria, waits, recipes and attempts."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, NamedTuple

from orchestration.documents.grammar import Command, Diagnostic, is_open

if TYPE_CHECKING:
    from collections.abc import Iterator

Span = tuple[int, int]

#: Priority of an item that names none.
DEFAULT_PRIORITY = "P2"
#: Seconds between two polls of a wait that names none.
DEFAULT_POLL_S = 60.0


class Status(StrEnum):
    """Where an item stands. ``UNKNOWN`` is a word the reader could not map: never runnable."""

    OPEN = "open"
    IN_PROGRESS = "in_progress"
    WAITING = "waiting"
    BLOCKED = "blocked"
    DONE = "done"
    DROPPED = "dropped"
    UNKNOWN = "unknown"


class Criterion(NamedTuple):
    """An exit check of an item; ``line`` counts from 1, ``state`` is one of `` xPDBW``."""

    id: str
    state: str
    command: Command | None
    meaning: str
    line: int
    state_offset: int = -1

    @property
    def met(self) -> bool:
        """Whether the ledger shows the criterion as met."""
        return self.state == "x"

    @property
    def open(self) -> bool:
        """Whether something is left to do: a deferred row is neither met nor open."""
        return is_open(self.state)


class Waiting(NamedTuple):
    """What an item waits for: who, the command that exits 0 on arrival, poll period, deadline."""

    on: str
    check: Command
    poll_s: float = DEFAULT_POLL_S
    until: datetime | None = None

    def expired(self, now: datetime) -> bool:
        """Whether the deadline has passed."""
        return self.until is not None and now >= self.until


class Recipe(NamedTuple):
    """One step a person wrote for the built-in agent: run a command, or apply a patch file."""

    kind: Literal["run", "apply"]
    command: Command | None
    patch: str | None
    within_s: float | None
    artifacts: tuple[str, ...]
    may_edit_tests: tuple[str, ...]
    row: str | None
    line: int


class Attempt(NamedTuple):
    """One line of an item's history; historic narrative keeps its label and text."""

    turn: int | None = None
    outcome: str = ""
    criteria: str = ""
    signature: str = ""
    link: str = ""
    at: datetime | None = None
    until: datetime | None = None
    label: str = ""
    text: str = ""
    line: int = 0


class Item:
    """One ledger item. ``span`` is its (start, end) in the text, ``line`` its heading (from 1)."""

    def __init__(self, item_id: str, title: str, line: int = 0) -> None:
        self.id = item_id
        self.title = title
        self.status = Status.OPEN
        self.reason = ""
        self.priority = DEFAULT_PRIORITY
        self.type: str | None = None
        self.depends: list[str] = []
        self.plan: str | None = None
        self.owner: str | None = None
        self.criteria: list[Criterion] = []
        self.waiting: Waiting | None = None
        self.recipes: list[Recipe] = []
        self.guard: str | None = None
        #: Name of tests that lie outside the repository and are laid over for the verdict only.
        self.held_out: str | None = None
        self.attempts: list[Attempt] = []
        self.needs: str | None = None
        self.span: Span = (0, 0)
        self.line = line
        self.external: list[str] = []
        self.deferred: list[tuple[str, str]] = []
        self.blocker_class: str | None = None
        self.return_condition: str | None = None
        self.extra: dict[str, str] = {}
        self.status_text = ""
        self.status_span: Span | None = None

    def criterion(self, criterion_id: str) -> Criterion | None:
        """Return the criterion with this id, or None."""
        return next((c for c in self.criteria if c.id == criterion_id), None)


class Ledger:
    """All items of a ledger in document order, and what the reader noticed."""

    def __init__(self, path: str = "docs/fix_plan.md") -> None:
        self.items: list[Item] = []
        self.active_focus: str | None = None
        self.form = "canonical"
        self.path = path
        self.diagnostics: list[Diagnostic] = []

    def __iter__(self) -> Iterator[Item]:
        """Iterate over the items."""
        return iter(self.items)

    def item(self, item_id: str) -> Item | None:
        """Return the item with this id, or None."""
        return next((item for item in self.items if item.id == item_id), None)
