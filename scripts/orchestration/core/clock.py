"""Where time and identity come from: two protocols, so that tests can inject both."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Wall time (aware, UTC), a monotonic counter, and sleep, all in seconds."""

    def now(self) -> datetime:
        """Return the current time, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds from an arbitrary origin that never go backwards."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


def stamp(when: datetime) -> str:
    """Return the one time format of logs and documents, `2026-01-06T14:00:00Z`."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def compact_stamp(when: datetime) -> str:
    """Return the form used in directory names, `2026-01-06T140000Z` (no colons)."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H%M%SZ")


def parse_stamp(text: str) -> datetime:
    """Read a time written by `stamp`, `compact_stamp`, or a bare date (midnight, UTC).

    Raises ValueError when the text has none of these forms.
    """
    for form in ("%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H%M%SZ", "%Y-%m-%dT%H:%MZ", "%Y-%m-%d"):
        try:
            return datetime.strptime(text.strip(), form).replace(tzinfo=UTC)
        except ValueError:
            continue
    raise ValueError(f"not a time: {text!r}")
