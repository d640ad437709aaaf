"""Waiting items: each check is asked once a run (more often only under `run --wait`)."""

from __future__ import annotations

from orchestration.core import payloads
from orchestration.documents.ledger import Item, Ledger
from orchestration.errors import HarnessError
from orchestration.gates import interpreter
from orchestration.harness import Harness
from orchestration.sandbox import run_child

POLL_LIMIT_S = 60.0


def is_waiting(harness: Harness, item: Item) -> bool:
    """Whether an item waits, with what the log knows laid over the ledger."""
    status = harness.state.pending.over(item.id, item.status.value).status
    return status == "waiting" and item.waiting is not None


def poll_waiting(harness: Harness, ledger: Ledger, *, again: bool = False) -> None:
    """Ask the checks of waiting items in the user's checkout; an arrived one opens its item."""
    run = harness.state.run
    asked = set(run.polled) if run and not again else set()
    for item in ledger.items:
        if item.id in asked or not is_waiting(harness, item):
            continue
        arrived, how = _ask(harness, item)
        harness.say(f"waiting {item.id}: {how}")
        assert item.waiting is not None
        reason = f"what it waited for on {item.waiting.on or 'others'} has arrived"
        harness.log.append(payloads.Polled(arrived, how, reason if arrived else ""), item=item.id)


def _ask(harness: Harness, item: Item) -> tuple[bool, str]:
    waiting = item.waiting
    assert waiting is not None
    root = harness.repo.root
    env = harness.environment(root, harness.repo.state_dir, item.id)
    command = waiting.check.expanded(env)
    if not command.argv:
        return False, f"its check cannot run: {waiting.check.error or 'no command'}"
    try:
        child = run_child(
            interpreter(command.argv, harness.config.python),
            root,
            {**env, **command.env},
            total_s=command.within_s or POLL_LIMIT_S,
        )
    except HarnessError as problem:
        return False, f"its check cannot run: {problem.what}"
    if child.timed_out:
        return False, f"its check did not end: {waiting.check.text}"
    return child.ok, f"{'arrived' if child.ok else 'not yet'} (on {waiting.on}: {command.text})"


def next_poll_s(harness: Harness, ledger: Ledger) -> float | None:
    """Seconds to the next poll, the shortest of all waiting items; None when none waits."""
    periods = [
        item.waiting.poll_s for item in ledger.items if is_waiting(harness, item) and item.waiting
    ]
    return min(periods) if periods else None
