"""What the log records when an item is closed, blocked or left without a turn."""

from __future__ import annotations

from orchestration.core import NEEDS_AGENT, compact_stamp, payloads
from orchestration.documents.ledger import Item
from orchestration.harness import Harness
from orchestration.turns.workspace import slug


def closed(reason: str, item: Item) -> payloads.Closed:
    """An item that is finished."""
    memory = payloads.MemoryEntry("closed", reason, "done", "planning")
    return payloads.Closed(reason, memory, item.title)


def pivoted(harness: Harness, item: Item, reason: str) -> payloads.Pivoted:
    """An item that is left: why, and until which cycle."""
    until = harness.state.cycle + harness.config.cooldown_cycles
    words, rest = f"left: {reason}", "another item"
    memory = payloads.MemoryEntry("pivot", words, "pivot", "planning", next=rest)
    return payloads.Pivoted(reason, until, memory)


def blocked(
    harness: Harness, item: Item, reason: str, *, stalled: bool = False
) -> payloads.Blocked:
    """An item that needs a person, with the note that says what would unblock it."""
    stamp = compact_stamp(harness.clock.now())
    needs = _return_condition(reason, stalled)
    note = blocked_note(item, stamp, reason, command="", needs=needs)
    words = f"blocked: {reason}"
    memory = payloads.MemoryEntry("blocked", words, "blocked", "planning", next=needs)
    return payloads.Blocked(reason, _blocker_class(reason), needs, stalled, stamp, (note,), memory)


def blocked_note(
    item: Item,
    stamp: str,
    reason: str,
    *,
    command: str,
    needs: str,
    directory: str = "",
    work: str = "",
) -> payloads.Note:
    """A `red/blocked_<utc>_<slug>.md` note: command, minimal signature, return condition.

    `work` says how to look at what the attempt left.
    """
    place = directory or f"plans/active/{slug(item.id)}/reports/{stamp}"
    short = slug(reason.split(":")[0].lower())[:40].strip("-.")
    text = (
        f"# Blocked: {item.id} — {item.title}\n\n"
        f"- When: {stamp}\n- Signature: {reason}\n- Command: {command or 'none'}\n"
        f"- Return condition: {needs}\n" + (f"- Work: {work}\n" if work else "")
    )
    return payloads.Note(f"{place}/red/blocked_{stamp}_{short}.md", text)


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
