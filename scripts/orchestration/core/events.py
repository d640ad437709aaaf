"""Events: what happened, one canonical JSON line each, chained by SHA-256.

The chain makes a changed, lost or reordered line visible: every event carries the hash of the
line before it, so a log can be appended to and never quietly rewritten.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from orchestration.core.payloads import PAYLOADS, Payload
from orchestration.core.records import WrongShape
from orchestration.errors import HarnessError

GENESIS = "0" * 64
"""The `prev_sha` of the first event."""

KINDS = frozenset(PAYLOADS)
ROLES = frozenset({"harness", "supervisor", "worker", "reviewer", "user"})
RECOVER = "orchestrate log recover   (keeps the valid part, sets the rest aside)"


class CorruptLog(HarnessError):
    """The event log does not verify; nothing runs until a person has looked at it."""

    exit_code = 2


@dataclass(frozen=True)
class Event:
    """One thing that happened. `seq` counts from 1; `turn` names the file that holds it.

    `data` is the JSON as it was written, which the chain holds; `payload` is what it means.
    """

    seq: int
    at: str
    turn: int
    role: str
    kind: str
    item: str | None
    data: dict[str, Any] = field(default_factory=dict)
    prev_sha: str = GENESIS

    def line(self) -> str:
        """Return the canonical JSON line, without its newline."""
        return canonical_json(
            {
                "seq": self.seq,
                "at": self.at,
                "turn": self.turn,
                "role": self.role,
                "kind": self.kind,
                "item": self.item,
                "data": self.data,
                "prev_sha": self.prev_sha,
            }
        )

    @cached_property
    def payload(self) -> Payload:
        """The data as the dataclass of its kind; CorruptLog where it has another shape."""
        try:
            return PAYLOADS[self.kind].from_json(self.data)
        except WrongShape as problem:
            raise CorruptLog(
                "the event log has an event that does not say what its kind says",
                where=f"event {self.seq} ({self.kind}, turn {self.turn})",
                got=str(problem),
                fix="update orchestrate, or " + RECOVER,
            ) from None

    @property
    def sha(self) -> str:
        """SHA-256 of the canonical line: the next event's `prev_sha`."""
        return hashlib.sha256(self.line().encode()).hexdigest()


_CANONICAL = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
)


def canonical_json(value: object) -> str:
    """Return JSON with sorted keys, no spaces, non-ASCII kept and no NaN."""
    return _CANONICAL.encode(value)


def parse_event(line: str, where: str) -> Event:
    """Read one line; `where` is `file:line`, for the error.

    Raises CorruptLog when the line is not JSON, has other fields than an event, or names an
    unknown kind or role.
    """
    try:
        raw = json.loads(line)
    except ValueError as error:
        raise CorruptLog(
            "the event log is corrupt",
            where=where,
            expected="one JSON object",
            got=str(error),
            fix=RECOVER,
        ) from None
    names = {"seq", "at", "turn", "role", "kind", "item", "data", "prev_sha"}
    if not isinstance(raw, dict) or set(raw) != names:
        got = sorted(raw) if isinstance(raw, dict) else type(raw).__name__
        raise CorruptLog(
            "the event log is corrupt",
            where=where,
            expected=f"the fields {sorted(names)}",
            got=got,
            fix=RECOVER,
        )
    if raw["kind"] not in KINDS or raw["role"] not in ROLES or not isinstance(raw["data"], dict):
        raise CorruptLog(
            "the event log has an event of an unknown kind",
            where=where,
            expected="a kind and role this version knows",
            got=f"{raw['kind']}/{raw['role']}",
            fix="update orchestrate, or " + RECOVER,
        )
    return Event(**raw)


def follow(previous: Event | None, event: Event, where: str, sha: str | None = None) -> None:
    """Check that `event` continues the chain after `previous`; raises CorruptLog if not.

    `sha` is that of `previous` where the caller has it already.
    """
    seq = 1 if previous is None else previous.seq + 1
    if sha is None:
        sha = GENESIS if previous is None else previous.sha
    turn = 0 if previous is None else previous.turn
    if event.seq != seq or event.prev_sha != sha or event.turn < turn:
        raise CorruptLog(
            "the event log is corrupt or forked: its hash chain breaks here",
            where=where,
            expected=f"seq {seq}, prev_sha {sha[:12]}…, turn ≥ {turn}",
            got=f"seq {event.seq}, prev_sha {str(event.prev_sha)[:12]}…, turn {event.turn}",
            fix=RECOVER,
        )


def verify_chain(lines: Iterable[tuple[str, str]]) -> list[Event]:
    """Read `(where, line)` pairs in order and return the events of an unbroken chain."""
    events: list[Event] = []
    sha = GENESIS
    for where, line in lines:
        event = parse_event(line, where)
        follow(events[-1] if events else None, event, where, sha)
        written = event.line()
        if written != line:
            raise CorruptLog(
                "the event log is corrupt: a line is not in canonical form",
                where=where,
                expected=written[:80],
                got=line[:80],
                fix=RECOVER,
            )
        sha = hashlib.sha256(line.encode()).hexdigest()
        events.append(event)
    return events
