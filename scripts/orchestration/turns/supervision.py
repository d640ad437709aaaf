"""An agent as supervisor: it gets a brief, writes an order, and may repair it once.

The built-in draft lies in its worktree as `input.md`; it edits or replaces that file, or writes
`$TURN_DIR/input.md`, or prints the order as its last words. What it asks for is
validated on the base before anybody works on it. Each asking is one `supervise` event, so a killed
run neither asks nor pays twice.
"""

from __future__ import annotations

import stat
from copy import copy
from dataclasses import replace
from pathlib import Path

from orchestration.agents import last_words
from orchestration.core import (
    ACTION_TYPES,
    ItemState,
    OpenCycle,
    allowed_actions,
    budget_spent,
    payloads,
    standing,
)
from orchestration.documents.ledger import Item
from orchestration.documents.order import Order, content_hash, parse_order
from orchestration.errors import HarnessError
from orchestration.gates import secrets
from orchestration.harness import Harness
from orchestration.turns.brief import supervisor_brief
from orchestration.turns.checkouts import Collected
from orchestration.turns.order import Draft, choose_row, compose_order, mode_of
from orchestration.turns.order_check import check_order
from orchestration.turns.putaway import put_away
from orchestration.turns.reported import printed_order
from orchestration.turns.work import SAID, prepare, run_agent, turn_dir

TRIES = 2
"""The first asking and one repair."""
MAX_ORDER_BYTES = 64 * 1024
PLACE = "supervisor-turns"
"""Where the supervisor's worktrees and branches are, in place of an item's id."""
WHY_KEYS = ("reason", "because", "why")
TYPE_KEYS = ("actiontype", "action type", "action")


def ordered_by_agent(
    harness: Harness, opened: OpenCycle, item: Item, base: str, nodes: dict[str, Collected]
) -> Draft | None:
    """Return the agent's order, or None when the built-in supervisor has to write one.

    Another runnable item than the policy's may be the order's focus where a `Reason:` says why;
    the choice is logged and the open cycle changes over to that item. `nodes` are the collected
    selectors of the base, which are added to.
    """
    while _may_ask(harness, opened):
        _ask(harness, opened, item, base, nodes)
    last = opened.asked()[-1] if opened.asked() else None
    if last is None or not last.valid:
        harness.say("the built-in supervisor writes the order")
        return None
    order = parse_order(last.text, harness.config.order)
    if order.item_id != opened.item:
        chosen = payloads.Chosen(opened.item, order.item_id, _header(order, WHY_KEYS))
        harness.log.append(chosen, role="supervisor", item=order.item_id)
        harness.say(f"{chosen.to} in place of {chosen.former}: {chosen.reason}")
    focus = harness.ledger_at(base)[1].item(order.item_id)
    assert focus is not None
    return Draft(
        text=last.text,
        order=order,
        hash=content_hash(order),
        row=order.row,
        mode=order.mode or mode_of(focus),
        source=last.agent,
        retry_reason=order.retry_reason or "",
        diagnostics=last.warnings,
        action_type=_action_type(order),
    )


def _may_ask(harness: Harness, opened: OpenCycle) -> bool:
    tries = opened.asked()
    if len(tries) >= TRIES or (tries and (tries[-1].valid or tries[-1].tamper)):
        return False
    return not budget_spent(harness.state, harness.policy, cycles=False)


def _ask(
    harness: Harness, opened: OpenCycle, item: Item, base: str, nodes: dict[str, Collected]
) -> None:
    """Ask the agent once and log what came of it."""
    agent, turn = harness.supervisor, harness.state.turn
    assert agent is not None
    tries = opened.asked()
    number = len(tries) + 1
    draft = compose_order(harness, item, base, turn, choose_row(item), retry="").text
    errors = tries[-1].errors if tries else ()
    order = parse_order(draft, harness.config.order)
    brief = supervisor_brief(harness, opened, item, order, draft, errors, base)
    place = copy(item)
    place.id, place.recipes = PLACE, []
    workspace = prepare(harness, place, turn * 10 + number, base, turn_dir(harness, turn))
    side = replace(
        harness,
        agent=agent,
        extra_env={**harness.extra_env, "ORCHESTRATION_ROLE": "supervisor"},
    )
    harness.say(f"{agent.name} writes the order for {item.id} (asked {number} of {TRIES})")
    ended = run_agent(
        side,
        item,
        order,
        brief,
        workspace,
        turn_dir(harness, turn),
        draft,
        answers=lambda said: bool(printed_order(said)),
    )
    text = _written(harness, workspace.path, turn_dir(harness, turn), draft)
    put_away(harness, workspace, ended.snapshot, unread=ended.unread)
    if not ended.changed:
        harness.repo.delete_ref(f"refs/heads/{workspace.branch}", ended.snapshot)
    known = harness.secret_values()
    leaks = secrets.scan_text(text, harness.config.order, known)
    text = secrets.redact(text, known)
    given = text.strip() != draft.strip()
    problems, warnings = _problems(harness, opened, ended, text, base, nodes, given=given)
    problems += [f"{leak.path}:{leak.line}: a credential ({leak.kind})" for leak in leaks]
    for line in problems:
        harness.say(f"  {line}")
    asked = payloads.Supervised(
        agent=agent.name,
        asked=number,
        valid=not problems,
        text=text,
        errors=tuple(problems),
        warnings=tuple(warnings),
        outcome=ended.outcome,
        cost=ended.cost,
        tokens=ended.tokens,
        seconds=ended.seconds,
        changed=ended.changed,
        isolation=ended.isolation,
    )
    harness.log.append(asked, role="supervisor", item=item.id)


def _written(harness: Harness, worktree: Path, folder: Path, draft: str) -> str:
    """The order's text: as it lies in the turn's folder or the worktree, else as it was printed.

    What was printed counts only where the draft in the worktree was left as it is.
    """
    text = _read(folder / "report/input.md") or _read(worktree / harness.config.order)
    if text.strip() in ("", draft.strip()):
        return printed_order(_read(folder / SAID)) or text
    return text


def _read(path: Path) -> str:
    """A regular file of a bounded size as text; "" for anything else."""
    try:
        if stat.S_ISREG(path.lstat().st_mode) and path.stat().st_size <= MAX_ORDER_BYTES:
            return path.read_bytes().decode("utf-8", "replace")
    except OSError:
        pass
    return ""


def _problems(
    harness: Harness,
    opened: OpenCycle,
    ended: payloads.AgentEnded,
    text: str,
    base: str,
    nodes: dict[str, Collected],
    *,
    given: bool,
) -> tuple[list[str], list[str]]:
    """What is wrong with an agent's order, and what is only odd.

    `given`: it is another than the draft, so however the program ended, its result is there.
    """
    if ended.outcome in ("refused", "blocked") or (
        ended.outcome in ("crash", "timeout") and not given
    ):
        said = last_words(ended.text, 200)
        return [f"the agent ended with {ended.outcome}: {said}"], []
    if not text.strip():
        return [f"no order was written to {harness.config.order}"], []
    try:
        order = parse_order(text, harness.config.order)
    except HarnessError as problem:
        return [str(problem.what)], []
    found = check_order(harness, text, base, order.item_id, nodes=nodes)
    problems = [d.render() for d in found if d.severity == "error"]
    problems += _choice_problems(harness, opened, order, base)
    return problems[:20], [d.render() for d in found if d.severity != "error"][:20]


def _choice_problems(harness: Harness, opened: OpenCycle, order: Order, base: str) -> list[str]:
    items = harness.facts(harness.ledger_at(base)[1])
    row = standing(harness.state, items, harness.policy, order.item_id)
    problems = []
    if order.item_id != opened.item:
        if row is None:
            problems.append(f"{order.item_id} is not among the items that may be chosen")
        elif not row.runnable:
            problems.append(f"{order.item_id} cannot be chosen: {row.why_not}")
        elif not _header(order, WHY_KEYS):
            problems.append(
                f"{order.item_id} is not the item that was asked for ({opened.item}); "
                "fix: add a header line `Reason: why this one first`"
            )
    kind = _action_type(order)
    known = harness.state.items.get(order.item_id, ItemState())
    allowed = allowed_actions(known.actions)
    if kind not in allowed:
        why = "two planning orders in a row are the limit" if kind in ACTION_TYPES else "unknown"
        problems.append(f"ActionType {kind}: {why}; one of {', '.join(allowed)}")
    return problems


def _header(order: Order, names: tuple[str, ...]) -> str:
    for key, value in order.extra.items():
        if key.strip().lower() in names:
            return str(value).strip()
    return ""


def _action_type(order: Order) -> str:
    return _header(order, TYPE_KEYS).lower() or "implementation"
