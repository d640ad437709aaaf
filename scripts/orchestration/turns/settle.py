"""What the log records when an item is closed, blocked or left without a turn."""

from __future__ import annotations

from typing import Any

from orchestration.core import NEEDS_AGENT, compact_stamp
from orchestration.documents.ledger import Item
from orchestration.harness import Harness
from orchestration.turns.workspace import slug


def close_data(reason: str, item: Item) -> dict[str, Any]:
    """The data of a `close` event."""
    memory = {"title": "closed", "decision": reason, "state": "done", "action": "planning"}
    return {"reason": reason, "memory": memory, "title": item.title}


def pivot_data(harness: Harness, item: Item, reason: str) -> dict[str, Any]:
    """The data of a `pivot` event: why the item is left, and until which cycle."""
    until = harness.state.cycle + harness.config.cooldown_cycles
    memory = {
        "title": "pivot", "decision": f"left: {reason}", "state": "pivot", "action": "planning",
        "next": "another item",
    }  # fmt: skip
    return {"reason": reason, "until": until, "memory": memory}


def block_data(
    harness: Harness, item: Item, reason: str, *, stalled: bool = False
) -> dict[str, Any]:
    """The data of a `block` event, with the note that says what would unblock the item."""
    stamp = compact_stamp(harness.clock.now())
    needs = _return_condition(reason, stalled)
    note = blocked_note(item, stamp, reason, command="", needs=needs)
    memory = {
        "title": "blocked", "decision": f"blocked: {reason}", "state": "blocked",
        "action": "planning", "next": needs,
    }  # fmt: skip
    return {
        "reason": reason, "class": _blocker_class(reason), "return": needs, "stalled": stalled,
        "stamp": stamp, "notes": [note], "memory": memory,
    }  # fmt: skip


def blocked_note(
    item: Item, stamp: str, reason: str, *, command: str, needs: str, directory: str = ""
) -> dict[str, str]:
    """A `red/blocked_<utc>_<slug>.md` note: command, minimal signature, return condition."""
    place = directory or f"plans/active/{slug(item.id)}/reports/{stamp}"
    short = slug(reason.split(":")[0].lower())[:40].strip("-.")
    text = (
        f"# Blocked: {item.id} — {item.title}\n\n"
        f"- When: {stamp}\n- Signature: {reason}\n- Command: {command or 'none'}\n"
        f"- Return condition: {needs}\n"
    )
    return {"path": f"{place}/red/blocked_{stamp}_{short}.md", "text": text}


def _return_condition(reason: str, stalled: bool) -> str:
    if reason.startswith(NEEDS_AGENT):
        return "run with an agent (orchestrate run --agent NAME), or write a `Recipe:` for it"
    if stalled:
        return "change the recipe, guard or criteria, then set the item's Status to open"
    if reason.startswith("waited"):
        return "set a new Until, or drop the item"
    return "set the item's Status to open when what it needs is there"


def _blocker_class(reason: str) -> str:
    if reason.startswith(NEEDS_AGENT):
        return "environment"
    if reason.startswith("waited"):
        return "external_party"
    return "unknown"
