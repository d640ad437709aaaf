"""An open cycle that a new run does not go on with, although no attempt came of it.

An outage leaves its cycle open, and the next run asks the same agent the same again. That must not
hold a person who has taken the item back or reworded it meanwhile, nor the other items where the
agent falls silent at this one alone. It is no attempt: nothing is spent, blocked or committed.
"""

from __future__ import annotations

from orchestration.core import (
    ASIDE,
    NEEDS_AGENT,
    PHASES,
    TAKEN_BACK,
    ExitReason,
    payloads,
    standing,
)
from orchestration.documents.ledger import Item, Ledger
from orchestration.harness import Harness, item_facts
from orchestration.turns import abandon, prose

RUNS = 2
"""Runs that may end at an item with RETRY_LATER before the others go first."""


def set_aside(harness: Harness) -> None:
    """End the open cycle if a person or an outage leaves no reason to go on with it."""
    outcome, why = no_longer(harness)
    opened = harness.state.open
    if not why or opened is None:
        return
    words = f"{opened.item} is set aside: {why}"
    harness.say(words)
    dispatch = opened.fact(payloads.Dispatched)
    if dispatch is not None:
        abandon(harness, opened.item, dispatch.attempt, dispatch.base)
    harness.log.append(payloads.Warned(words), item=opened.item)
    role = "supervisor" if dispatch is None else "worker"
    harness.log.append(payloads.TurnEnded(opened.cycle, outcome), role=role, item=opened.item)


def no_longer(harness: Harness) -> tuple[str, str]:
    """How the open cycle ends that a new run does not go on with, and why; "" twice if it does."""
    opened = harness.state.open
    if opened is None or PHASES.index(opened.phase) > PHASES.index("agent"):
        return "", ""
    _, ledger = harness.ledger_at(harness.tip().sha)
    taken = _taken_back(harness, ledger)
    if taken:
        return TAKEN_BACK, taken
    out = _out(harness, ledger)
    return (ASIDE, out) if out else ("", "")


def _taken_back(harness: Harness, ledger: Ledger) -> str:
    """What a person has done to the item since the cycle began, or ""."""
    state, opened = harness.state, harness.state.open
    assert opened is not None
    item = ledger.item(opened.item)
    if item is None:
        return "the ledger has it no more"
    facts = item_facts(item, harness.clock.now())
    # Not `effective`: that an agent is needed, and none is here now, is no word of a person.
    mark = state.pending.over(item.id, facts.status, facts.reason)
    if mark.status not in ("open", "in_progress") and not mark.reason.startswith(NEEDS_AGENT):
        return f"the ledger says {mark.status}"
    ordered, dispatch = opened.fact(payloads.Ordered), opened.fact(payloads.Dispatched)
    base = dispatch.base if dispatch else ordered.nodes_base if ordered else ""
    before = harness.ledger_at(base)[1].item(item.id) if base else None
    if before is None:
        return ""
    now, then = _asks(harness, item, harness.tip().sha), _asks(harness, before, base)
    return "" if now == then else "a person has changed what it asks for"


def _asks(harness: Harness, item: Item, base: str) -> tuple[str | None, ...]:
    """What an item asks for at a commit: all that a person wrote, its status and history aside."""
    return item.title, item.held_out, prose(harness, item, base)


def _out(harness: Harness, ledger: Ledger) -> str:
    """Why the others go first where runs have ended at this item, or ""."""
    state, opened = harness.state, harness.state.open
    assert opened is not None
    ended = 0
    for event in reversed(harness.log.events):
        said = event.payload
        if isinstance(said, payloads.Decided) and said.action == "work":
            break
        ended += isinstance(said, payloads.RunEnded) and said.reason == ExitReason.RETRY_LATER.name
    if ended < RUNS or state.paused:
        return ""
    facts = harness.facts(ledger)
    rows = [standing(state, facts, harness.policy, f.id) for f in facts if f.id != opened.item]
    if not any(row is not None and row.runnable for row in rows):
        return ""
    return f"{ended} runs ended at an outage there, and others can be done"
