"""Reading a program's output line by line: what every reader gathers, and how JSON is taken.

A reader never raises, whatever a line holds: unknown events are counted and passed over, a value
of another type than expected is taken as absent.
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal

from orchestration.agents.base import utc_now
from orchestration.agents.faults import Fault, fault_of
from orchestration.agents.times import time_in

Claim = Literal["done", "partial", "blocked", "refused", "failed"]
MAX_TEXT = 20_000
MAX_DENIALS = 200
ASIDE_LINES, ASIDE_CAP = 20, 1_000


class Reader(ABC):
    """What has been heard so far.

    `claim` is the program's own result, None until it gives one ("failed": it says that it went
    wrong). `fault` is the last outage that it told of and did not overcome. `events` counts what
    was understood, `strange` the lines that were not. `aside` holds the last lines that came beside
    the program's events (its log, an error as plain text) since the model last answered.
    """

    def __init__(self, now: Callable[[], datetime] = utc_now) -> None:
        self.now = now
        self.claim: Claim | None = None
        self.text = ""
        self.session: str | None = None
        self.tokens: dict[str, int] | None = None
        self.cost: float | None = None
        self.denials: list[str] = []
        self.fault: Fault | None = None
        self.error = ""
        self.events = self.strange = 0
        self.aside: deque[str] = deque(maxlen=ASIDE_LINES)

    @abstractmethod
    def line(self, text: str) -> bool:
        """Take one line; true when the result has come and the program should end."""

    def went_on(self) -> None:
        """The model answered: an outage before this was overcome."""
        self.fault = None
        self.aside.clear()

    def beside(self, text: str) -> None:
        """A line that is no event; it may name the time that an outage before it did not."""
        self.aside.append(clean(text[:ASIDE_CAP]))
        if self.fault is not None and self.fault.retry_at is None:
            self.fault = replace(self.fault, retry_at=time_in(text, self.now()))

    def went_wrong(
        self,
        text: str,
        *,
        status: int | None = None,
        retry_at: datetime | None = None,
        service: bool = False,
    ) -> None:
        """The program told of an error; a time that an earlier one named stays in force.

        `service`: the program says that it lies between it and its model, in whatever words.
        """
        self.error = text[:MAX_TEXT]
        found = fault_of(text, self.now(), status=status, retry_at=retry_at)
        if found is None and service and status is None:
            found = Fault("network", self.error[:300], retry_at)
        if found is not None and found.retry_at is None:
            earlier = self.fault.retry_at if self.fault is not None else None
            told = earlier or time_in("\n".join(self.aside), self.now())
            found = replace(found, retry_at=told)
        if found is not None:
            self.fault = found

    def spend(self, **counted: int | None) -> None:
        """Add tokens of one answer; what is absent counts for nothing."""
        if all(value is None for value in counted.values()):
            return
        total = self.tokens or {}
        self.tokens = {
            **total,
            **{name: total.get(name, 0) + (n or 0) for name, n in counted.items()},
        }

    def deny(self, words: str) -> None:
        """One action that the program's own rules refused."""
        if len(self.denials) < MAX_DENIALS:
            self.denials.append(clean(words)[:300])


class JsonReader(Reader):
    """A program that prints one JSON object a line, and perhaps other lines between them."""

    def line(self, text: str) -> bool:
        """Take one line; what is no JSON object is counted and passed over."""
        try:
            event = json.loads(text)
        except (ValueError, RecursionError):
            event = None
        if not isinstance(event, dict):
            self.strange += bool(text.strip())
            self.beside(text)
            return False
        self.events += 1
        ended = self.event(str(event.get("type")), event)
        kinds = f"{event.get('type')} {event.get('level')}"
        if event.get("error") or "error" in kinds:
            self.beside(text)  # it may hold more than the adapter knows, such as a time
        return ended

    @abstractmethod
    def event(self, kind: str, event: dict[str, Any]) -> bool:
        """Take one event; true when it is the result."""


def clean(text: str) -> str:
    """Text that can be written as UTF-8: half of a surrogate pair becomes a question mark."""
    return text.encode("utf-8", "replace").decode("utf-8")


def part(event: Any, *path: str) -> dict[str, Any]:
    """The object at `path` of an event, {} where there is none."""
    for name in path:
        event = event.get(name) if isinstance(event, dict) else None
    return event if isinstance(event, dict) else {}


def listed(event: Any, name: str) -> list[Any]:
    """The list `name` of an event, [] where there is none."""
    value = event.get(name) if isinstance(event, dict) else None
    return value if isinstance(value, list) else []


def words(event: Any, name: str) -> str:
    """The text `name` of an event, "" where there is none."""
    value = event.get(name) if isinstance(event, dict) else None
    return clean(value)[:MAX_TEXT] if isinstance(value, str) else ""


def count(event: Any, name: str) -> int | None:
    """The count `name` of an event, None where it is no number ≥ 0."""
    value = amount(event, name)
    return None if value is None else int(value)


def amount(event: Any, name: str) -> float | None:
    """The finite number ≥ 0 `name` of an event, None where there is none."""
    value = event.get(name) if isinstance(event, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        value = float(value)
    except OverflowError:
        return None
    return value if math.isfinite(value) and 0 <= value < 1e15 else None
