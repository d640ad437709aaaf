"""Old memories and ledgers as events, so that a new log begins with what is known.

The events say who claimed what and when; they carry ``claimed: true`` because nothing in them was
measured. Sequence, hashes and the receiving log belong to the caller.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from orchestration.documents.grammar import render_stamp
from orchestration.documents.historic import (
    canonical_mode,
    claimed_checks,
    claimed_rows,
    claimed_sync,
)
from orchestration.documents.ledger import Ledger
from orchestration.documents.memory import Memory, claimed_actions


@dataclass(frozen=True, slots=True)
class HistoryEvent:
    """One imported claim; ``at`` is the claimed stamp or empty, ``role`` who wrote it."""

    at: str
    role: str
    kind: str
    item: str
    data: dict[str, object] = field(default_factory=dict)


def memory_events(memory: Memory) -> list[HistoryEvent]:
    """Return one event an entry, oldest first by the order of the file."""
    found = []
    for entry in memory.in_order():
        data: dict[str, object] = {
            "claimed": True,
            "source": memory.path,
            "line": entry.line,
            "title": entry.title,
            "dwell": entry.dwell,
            "state": entry.state,
            "actions": claimed_actions(entry.action),
            "mode": canonical_mode(entry.mode) or entry.mode or None,
            "worker_commit": entry.commit,
            "artifacts": entry.artifacts,
            "next_action": entry.next_action,
            "row": entry.row,
            "sync": claimed_sync(entry.git),
        }
        at = render_stamp(entry.at) if entry.at else ""
        found.append(HistoryEvent(at, entry.role, "imported_memory", entry.item_id, data))
    return found


def ledger_events(ledger: Ledger) -> list[HistoryEvent]:
    """Return one event an item and one an attempt, in document order."""
    found = []
    for item in ledger.items:
        data: dict[str, object] = {
            "claimed": True,
            "source": ledger.path,
            "line": item.line,
            "title": item.title,
            "status": item.status.value,
            "reason": item.reason,
            "priority": item.priority,
            "depends": item.depends,
            "criteria": {criterion.id: criterion.state for criterion in item.criteria},
        }
        found.append(HistoryEvent("", "person", "imported_item", item.id, data))
        for attempt in item.attempts:
            told: dict[str, object] = {
                "claimed": True,
                "source": ledger.path,
                "line": attempt.line,
                "turn": attempt.turn,
                "label": attempt.label,
                "outcome": attempt.outcome,
                "text": attempt.text[:2000],
                "rows": claimed_rows(attempt.criteria),
                "checks": [check._asdict() for check in claimed_checks(attempt.text)],
            }
            at = render_stamp(attempt.at) if attempt.at else ""
            found.append(HistoryEvent(at, "unknown", "imported_attempt", item.id, told))
    return found
