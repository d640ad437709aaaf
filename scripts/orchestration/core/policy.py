"""policy.decide: what to do next, and why, as a pure function of state, ledger facts and config.

The rules: a waiting item gets no turn; a done item takes no orders; an item
is runnable when it is open, its dependencies are done, it is not cooling down and its budget is
left; preferred is one that no outage has put behind the others, then higher priority, then the item
that unblocks more, then less dwell, then the older one. Two cycles without a newly verified
criterion, or the same failure twice, force a pivot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from orchestration.core.actions import action_state, allowed_actions
from orchestration.core.payloads import AgentEnded, Standing, Weighed
from orchestration.core.reasons import ExitReason
from orchestration.core.state import ItemState, State

Action = Literal["work", "close", "block", "pivot", "stop"]
NEEDS_AGENT = "needs an agent"
"""How the reason of a block begins when the playbook agent cannot do the item."""
FINISHED = ("done", "dropped")
SHOWN = 20
"""Items of a kind that a decision's evidence names."""


@dataclass(frozen=True)
class ItemFacts:
    """What the ledger says about one item, in the words of the policy."""

    id: str
    status: str
    reason: str = ""
    priority: int = 2
    depends: tuple[str, ...] = ()
    criteria_open: tuple[str, ...] = ()
    criteria_total: int = 0
    criteria_deferred: int = 0
    has_recipe: bool = False
    needs_agent: bool = False
    waiting_on: str = ""
    until_passed: bool = False


@dataclass(frozen=True)
class PolicyConfig:
    """The limits that decide() applies; None means that there is no such limit."""

    playbook: bool = True
    cycles: int | None = None
    dwell_limit: int = 2
    signature_limit: int = 2
    cooldown_cycles: int = 3
    attempts_per_item: int = 6
    money: float | None = None
    tokens: int | None = None
    agent_seconds: float | None = None


@dataclass(frozen=True)
class Decision:
    """One decision: what, about which item, why, and the evidence for it."""

    action: Action
    item: str | None
    reason: str
    evidence: Weighed = field(default_factory=Weighed)
    exit: ExitReason | None = None


def decide(state: State, items: Sequence[ItemFacts], config: PolicyConfig) -> Decision:
    """Return the next action; pure, total, and the same for the same input."""
    facts = {item.id: effective(state, item, config) for item in items}
    rows = [_row(state, facts, item, config) for item in facts.values()]
    evidence = _evidence(state, rows)
    if state.tamper:
        return Decision("stop", None, f"tamper: {state.tamper}", evidence, ExitReason.TAMPER)
    if state.paused:
        return Decision("stop", None, state.paused, evidence, ExitReason.BLOCKED_ON_USER)
    for item in facts.values():
        settled = _settle(state, item, config)
        if settled is not None:
            action, reason = settled
            return Decision(action, item.id, reason, evidence)
    runnable = [row for row in rows if row.runnable]
    if not runnable:
        reason_code, reason = _why_ended(rows, bool(state.run and state.run.stalled))
        return Decision("stop", None, reason, evidence, reason_code)
    spent = budget_spent(state, config)
    if spent:
        only_red = bool(state.run and state.run.rejected and not state.run.landed)
        code = ExitReason.CHECKS_RED if only_red else ExitReason.BUDGET
        return Decision("stop", None, spent, evidence, code)
    best = min(runnable, key=lambda row: row.order)
    return Decision("work", best.id, _preference(best, runnable), evidence)


def effective(state: State, item: ItemFacts, config: PolicyConfig) -> ItemFacts:
    """Return the item with the harness's marks that no commit has written yet laid over it.

    A block that only says that an agent is needed is lifted when a real agent runs.
    """
    mark = state.pending.over(item.id, item.status, item.reason)
    status, reason = mark.status, mark.reason
    if status == "blocked" and reason.startswith(NEEDS_AGENT) and not config.playbook:
        status, reason = "open", "an agent is here now"
    lacks = config.playbook and (item.needs_agent or not item.has_recipe)
    if lacks and status in ("open", "in_progress"):
        status, reason = still_needs_agent(state, item.id) or (status, reason)
    ticked = state.pending.ticked(item.id)
    still_open = tuple(c for c in item.criteria_open if c not in ticked)
    return replace(item, status=status, reason=reason, criteria_open=still_open)


def still_needs_agent(state: State, item_id: str) -> tuple[str, str] | None:
    """(`blocked`, why) of an item that was blocked for want of another agent, until it is reopened.

    The ledger never has that word, so only the log knows.
    """
    blocked = state.items.get(item_id, ItemState()).blocked
    return ("blocked", blocked) if blocked.startswith(NEEDS_AGENT) else None


def _settle(state: State, item: ItemFacts, config: PolicyConfig) -> tuple[Action, str] | None:
    """Return what can be settled about an item without any turn: close, block or pivot."""
    if item.status == "waiting" and item.until_passed:
        return "block", f"waited for {item.waiting_on or 'an event'} until its date passed"
    if item.status not in ("open", "in_progress") or item.id in state.held:
        return None
    if item.criteria_total and not item.criteria_open:
        return "close", _all_settled(item)
    if config.playbook and (item.needs_agent or not item.has_recipe):
        why = "the ledger says so" if item.needs_agent else "it has no recipe to carry out"
        return "block", f"{NEEDS_AGENT}: {why}"
    known = state.items.get(item.id, ItemState())
    if known.rejected >= config.attempts_per_item:
        return "block", f"{known.rejected} attempts were turned down without finishing it"
    why_pivot = pivot_reason(known, state.cycle, config)
    return ("pivot", why_pivot) if why_pivot else None


def _all_settled(item: ItemFacts) -> str:
    late, total = item.criteria_deferred, item.criteria_total
    words = f"all {total} criteria are verified"
    if late:
        verbs = ("is" if total - late == 1 else "are", "is" if late == 1 else "are")
        words = f"{total - late} criteria {verbs[0]} verified, {late} {verbs[1]} deferred"
    return f"{words}: nothing is left to do"


def pivot_reason(known: ItemState, cycle: int, config: PolicyConfig) -> str:
    """Return why an item must be left now, or "" (it may be worked on, or it already rests)."""
    if known.cooldown_until > cycle:
        return ""
    if known.halted:
        return known.halted
    tail = known.signatures[-config.signature_limit :]
    if len(tail) == config.signature_limit and len(set(tail)) == 1:
        return f"the same failure {config.signature_limit} times: {tail[-1]}"
    if known.dwell >= config.dwell_limit and known.dwell >= config.dwell_limit + known.pivots:
        return f"{known.dwell} cycles without a newly verified criterion"
    return ""


def standing(
    state: State, items: Sequence[ItemFacts], config: PolicyConfig, item_id: str
) -> Standing | None:
    """Return the evidence about one item, whether or not a decision shows it; None if unknown."""
    facts = {item.id: effective(state, item, config) for item in items}
    return _row(state, facts, facts[item_id], config) if item_id in facts else None


def _evidence(state: State, rows: list[Standing]) -> Weighed:
    """Return the rows that a decision is about, and how many others there are.

    Every decision is logged, so a ledger of hundreds of items must not be copied into each: of the
    items that may run the SHOWN preferred ones are kept, of the others that are not finished the
    first SHOWN, and all that cool down.
    """
    able = sorted((row for row in rows if row.runnable), key=lambda row: row.order)
    unable = [row for row in rows if not row.runnable and row.status not in FINISHED]
    kept = {row.id for row in (*able[:SHOWN], *unable[:SHOWN])}
    shown = tuple(row for row in rows if row.id in kept or row.why_not.startswith("cooling"))
    more = {
        "finished": sum(row.status in FINISHED for row in rows),
        "runnable": len(able) - len(able[:SHOWN]),
        "others": len(rows),
    }
    more["others"] -= len(shown) + more["finished"] + more["runnable"]
    return Weighed(state.cycle, shown, more)


def _row(
    state: State, facts: dict[str, ItemFacts], item: ItemFacts, config: PolicyConfig
) -> Standing:
    """Return the evidence about one item: whether it may run, why not, and its rank."""
    known = state.items.get(item.id, ItemState())
    unmet = [d for d in item.depends if d not in facts or facts[d].status not in FINISHED]
    missing = [d for d in unmet if d not in facts]
    why = ""
    if item.status in FINISHED:
        why = item.status
    elif item.status == "waiting":
        why = f"waiting on {item.waiting_on or 'an event'}"
    elif item.status == "blocked":
        why = f"blocked: {item.reason}"
    elif item.status not in ("open", "in_progress"):
        why = f"status {item.status}"
    elif missing:
        why = f"depends on {', '.join(missing)}, which the ledger does not have"
    elif unmet:
        why = f"depends on {', '.join(unmet)}"
    elif item.id in state.held:
        held = state.held[item.id]
        why = f"held: the flags of turn {held.turn} wait for a review"
    elif known.cooldown_until > state.cycle:
        why = f"cooling down until cycle {known.cooldown_until}: {known.pivot_reason}"
    unblocks = sum(item.id in other.depends for other in facts.values())
    age = list(facts).index(item.id)
    return Standing(
        id=item.id,
        status=item.status,
        runnable=not why,
        why_not=why,
        dwell=known.dwell,
        attempts=known.attempts,
        open_criteria=item.criteria_open,
        action_state=action_state(known.actions),
        allowed_actions=allowed_actions(known.actions),
        rank=(item.priority, -unblocks, known.dwell, age),
        outages=known.outages,
    )


def _why_ended(rows: list[Standing], stalled: bool) -> tuple[ExitReason, str]:
    """Return the reason when nothing is runnable."""
    if all(row.status in FINISHED for row in rows):
        return ExitReason.DONE, f"all {len(rows)} items are done"
    cooling = [row.id for row in rows if row.why_not.startswith("cooling down")]
    waiting = [row.id for row in rows if row.status == "waiting"]
    blocked = [row.id for row in rows if row.status == "blocked"]
    held = [row.id for row in rows if row.why_not.startswith("held")]
    behind = [row.id for row in rows if row.why_not.startswith("depends on")]
    parts = [
        f"{name}: {', '.join(ids)}"
        for name, ids in (
            ("without progress", cooling),
            ("waiting", waiting),
            ("blocked", blocked),
            ("held for review", held),
            ("behind these", behind),
        )
        if ids
    ]
    reason = ExitReason.STALLED if cooling or stalled else ExitReason.BLOCKED_ON_USER
    return reason, "nothing is runnable (" + "; ".join(parts) + ")"


def budget_spent(state: State, config: PolicyConfig, *, cycles: bool = True) -> str:
    """Return which budget of the run is spent, or ""; `cycles` False leaves those out.

    What an agent does not report is unknown and counts for nothing.
    """
    run = state.run
    limit = config.cycles if cycles else None
    if run and limit is not None and run.finished(state) >= limit:
        return f"the run's {config.cycles} cycles are spent"
    if config.money is not None and (state.money or 0.0) >= config.money:
        return f"the money budget is spent: {state.money} of {config.money}"
    if config.tokens is not None and (state.tokens or 0) >= config.tokens:
        return f"the token budget is spent: {state.tokens} of {config.tokens}"
    if config.agent_seconds is not None and run and run.seconds >= config.agent_seconds:
        return f"the agent time is spent: {run.seconds:.0f} of {config.agent_seconds:.0f} s"
    return ""


def unmeasured(ended: AgentEnded, config: PolicyConfig) -> str:
    """What a turn did not report although a budget limits it, in a few words; "" otherwise."""
    asked = (("cost", config.money, ended.cost), ("tokens", config.tokens, ended.tokens))
    return " and no ".join(
        name for name, limit, value in asked if limit is not None and value is None
    )


def _preference(best: Standing, runnable: list[Standing]) -> str:
    """Say why this item and not another."""
    if len(runnable) == 1:
        return "the only runnable item"
    names = ("outages", "priority", "items it unblocks", "dwell", "age")
    second = min((row for row in runnable if row.id != best.id), key=lambda row: row.order)
    for name, mine, theirs in zip(names, best.order, second.order, strict=True):
        if mine != theirs:
            return f"preferred to {second.id} by {name} ({abs(mine)} against {abs(theirs)})"
    return f"preferred to {second.id} by its place in the ledger"
