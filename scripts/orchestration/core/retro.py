"""The computed retrospective: the last orders of a focus, what became of them, what moved."""

from __future__ import annotations

from collections.abc import Sequence

from orchestration.core.events import Event
from orchestration.core.payloads import Judged
from orchestration.core.state import ItemState, State

EVERY = 3
TURNS = 10


def due(state: State, item_id: str) -> bool:
    """Every third attempt on a focus, or when it has rested after a pivot."""
    known = state.items.get(item_id, ItemState())
    return known.attempts > 0 and (known.attempts % EVERY == 0 or known.pivots > 0)


def retrospective(events: Sequence[Event], item_id: str) -> str:
    """A short text from the log alone; nobody is asked for an opinion."""
    verdicts = [e for e in events if e.kind == "verdict" and e.item == item_id][-TURNS:]
    orders = {e.turn for e in events if e.kind == "order" and e.item == item_id}
    lines = [f"## Retrospective of {item_id} (computed)"]
    for event in verdicts:
        judged = event.payload
        assert isinstance(judged, Judged)
        moved = ", ".join(judged.verified) or "nothing"
        lines.append(f"- turn {event.turn}: {judged.verdict}; verified {moved}; {judged.reason}")
    executed = len({e.turn for e in events if e.kind == "agent_exit" and e.item == item_id})
    lines.append(f"- orders written: {len(orders)}; executed: {executed}")
    return "\n".join(line[:300] for line in lines)
