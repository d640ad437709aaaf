"""reduce: fold events into State. One small handler a kind; nothing else changes State."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from orchestration.core import payloads as said
from orchestration.core.events import Event
from orchestration.core.state import (
    ASIDE,
    TAKEN_BACK,
    Held,
    ItemState,
    Landing,
    Mark,
    OpenCycle,
    Pending,
    PendingAttempt,
    Run,
    State,
)

Handler = Callable[[State, Event, Any], None]
"""Takes the state, an event, and the event's payload."""


def reduce(events: Iterable[Event], state: State | None = None) -> State:
    """Fold events into a state; a given state is continued in place and returned."""
    state = State() if state is None else state
    for event in events:
        # Data is shared with the event, so handlers copy what they change.
        state.seq, state.at, state.turn = event.seq, event.at, event.turn
        handler = HANDLERS.get(event.kind)
        if handler is not None:
            handler(state, event, event.payload)
    return state


#: What the room's face calls it: a name of a face must not be that of one of its modules.
replay = reduce


def _run_start(state: State, event: Event, start: said.RunStarted) -> None:
    first = state.cycle - (state.open is not None)
    state.run = Run(start.run, start.agent, event.at, first, start.cycles)


def _upstream(state: State, event: Event, fetched: said.Fetched) -> None:
    state.upstream = fetched.sha


def _run_end(state: State, event: Event, end: said.RunEnded) -> None:
    if state.run is not None:
        state.run.ended, state.run.end_text = end.reason, end.text


def _decision(state: State, event: Event, decision: said.Decided) -> None:
    if decision.action == "work" and event.item is not None:
        state.cycle = decision.cycle
        state.open = OpenCycle(state.cycle, event.item, "decided", {"decision": event.data})


def _advance(phase: str) -> Handler:
    def handler(state: State, event: Event, payload: said.Payload) -> None:
        _note(state, event, phase)

    return handler


def _note(state: State, event: Event, phase: str = "") -> None:
    """Keep what the event says with the open cycle, which comes to `phase` by it."""
    if state.open is not None:
        state.open.phase = phase or state.open.phase
        state.open.facts[event.kind] = event.data


def _order(state: State, event: Event, order: said.Ordered) -> None:
    _note(state, event, "ordered")
    item = _item(state, event)
    item.orders.append(order.hash)
    item.actions.append(order.action_type)
    state.orders[order.hash] = event.turn


def _dispatch(state: State, event: Event, dispatch: said.Dispatched) -> None:
    _note(state, event, "dispatched")
    _item(state, event).attempts = dispatch.attempt
    delivered = {steer.id for steer in dispatch.steers}
    state.steers = [steer for steer in state.steers if steer.id not in delivered]


def _supervise(state: State, event: Event, asked: said.Supervised) -> None:
    """An agent was asked for an order: what it cost, and what it wrote."""
    _spend(state, event, asked)
    if state.open is not None:
        before = state.open.facts.get("supervise", [])
        state.open.facts["supervise"] = [*before, event.data]
    if asked.tamper:
        state.tamper = f"the supervisor changed what is not its own: {asked.tamper}"


def _choice(state: State, event: Event, choice: said.Chosen) -> None:
    """The supervisor took another runnable item than the policy's first."""
    _note(state, event)
    if state.open is not None:
        state.open.item = str(event.item)


def _agent_exit(state: State, event: Event, ended: said.AgentEnded) -> None:
    _note(state, event, "exited")
    _spend(state, event, ended)
    _item(state, event).outages = 0


def _spend(
    state: State,
    event: Event,
    agent: said.AgentEnded | said.Supervised | said.ReviewedByAgent | said.Outage,
) -> None:
    """Add an agent's time, money and tokens; what it did not report stays unknown."""
    seconds = agent.seconds or 0.0
    _item(state, event).seconds += seconds
    state.agent_seconds += seconds
    if state.run is not None:
        state.run.seconds += seconds
    if agent.cost is not None:
        state.money = (state.money or 0.0) + agent.cost
    if agent.tokens is not None:
        state.tokens = (state.tokens or 0) + agent.tokens


def _review(state: State, event: Event, review: said.ReviewedByAgent) -> None:
    """What a reviewer found changes nothing by itself: verdict and answer follow it."""
    _spend(state, event, review)


def _outage(state: State, event: Event, out: said.Outage) -> None:
    """An outage costs what it cost and changes nothing else."""
    _spend(state, event, out)


def _verdict(state: State, event: Event, judged: said.Judged) -> None:
    _note(state, event, "verified")
    item, name = _item(state, event), str(event.item)
    item.last_verdict, item.last_reason = judged.verdict, judged.reason
    if judged.verdict == "held":
        _hold(state, event, judged)
        return
    again = state.open.fact(said.JudgedAgain) if state.open is not None else None
    if judged.verdict == "stale":
        if again is not None and again.conflict:
            del state.held[name]
        return
    state.held.pop(name, None)
    if judged.verdict == "land":
        fresh = [name for name in judged.verified if name not in item.verified]
        item.verified += fresh
        item.dwell = 0 if fresh else item.dwell + 1
        state.pending.ticks += [[name, row] for row in judged.ticks]
        if fresh:
            item.signatures, item.pivots = [], 0
            state.last_progress = {
                "at": event.at,
                "turn": event.turn,
                "item": event.item,
                "verified": fresh,
            }
        if judged.done:
            state.pending.marks[name] = Mark("done", judged.done_reason)
    else:
        _failed(item, judged)
    if judged.verdict == "tamper":
        state.tamper = judged.reason
    line = judged.attempt or said.AttemptLine()
    state.pending.attempts.append(PendingAttempt(name, event.turn, event.at, **vars(line)))
    state.pending.notes += judged.notes
    _remember(state, event, judged.memory)


def _hold(state: State, event: Event, judged: said.Judged) -> None:
    """Keep the attempt for a reviewer; the item loses nothing by it."""
    facts = dict(state.open.facts) if state.open is not None else {}
    name, before = str(event.item), state.held.get(str(event.item))
    answered = list(before.answered) if before else []
    state.held[name] = Held(event.turn, name, facts, list(judged.flags), answered)


def _answer(state: State, event: Event, answer: said.Answered) -> None:
    _consume(state, answer)
    held = next((one for one in state.held.values() if one.turn == answer.turn), None)
    if held is None or held.accepted:
        return
    if answer.accept:
        held.answered += [one for one in held.unanswered if not (answer.by and one.person)]
        held.accepted = "" if held.unanswered else answer.reason
        return
    del state.held[held.item]
    item, who = state.item(held.item), answer.by or "a person"
    patch = held.facts.get("verdict", {}).get("patch", "")
    words = f"{who} turned it down in review: {answer.reason}"
    _failed(item, said.Judged("reject", words, f"review: {answer.reason[:80]}", patch=patch))
    item.last_verdict, item.last_reason = "reject", words
    line = said.AttemptLine("reject", "", f"review: {answer.reason}"[:120])
    state.pending.attempts.append(PendingAttempt(held.item, held.turn, event.at, **vars(line)))


def _again(state: State, event: Event, again: said.JudgedAgain) -> None:
    """Open the cycle of an accepted attempt once more, where its agent has ended."""
    held = next(one for one in state.held.values() if one.turn == again.held)
    facts = {name: data for name, data in held.facts.items() if name != said.Judged.KIND}
    facts["dispatch"] = {**facts["dispatch"], "base": again.base}
    now = {"snapshot": again.commit, "tree": again.tree, "changed": list(again.changed)}
    facts["agent_exit"] = {**facts["agent_exit"], **now}
    facts[event.kind] = event.data
    state.open = OpenCycle(state.cycle, held.item, "exited", facts)


def _failed(item: ItemState, judged: said.Judged) -> None:
    item.dwell += 1
    item.rejected += 1
    item.halted = judged.halt
    item.signatures += [judged.signature] if judged.signature else []
    item.failed_patches += [judged.patch] if judged.patch else []


def _remember(state: State, event: Event, entry: said.MemoryEntry | None) -> None:
    if entry is not None:
        dwell = state.items[event.item].dwell if event.item in state.items else 0
        row = {"at": event.at, "turn": event.turn, "item": event.item, "dwell": dwell}
        state.pending.memory.append(row | entry.to_json())


def _land(state: State, event: Event, land: said.Announced) -> None:
    if land.purpose == "closing":
        state.closing = event.data
    else:
        _note(state, event, "landing")


def _commit(state: State, event: Event, commit: said.Committed) -> None:
    state.closing = None
    if commit.flushed:
        state.pending = Pending()
    if commit.purpose == "landing":
        _note(state, event, "landed")
        _item(state, event).landed += 1
        state.landings.append(Landing.of(event.turn, str(event.item), event.at, commit))
        if state.run is not None:
            state.run.landed.append(str(event.item))


def _turn_end(state: State, event: Event, end: said.TurnEnded) -> None:
    if state.run is not None and end.outcome in ("reject", "tamper", "blocked"):
        state.run.rejected.append(str(event.item))
    if end.outcome in (ASIDE, TAKEN_BACK):
        _no_attempt(state, event)
        _item(state, event).outages += end.outcome == ASIDE
    state.open = None


def _no_attempt(state: State, event: Event) -> None:
    """Count the cycle for no run, and forget its order: it may be given again."""
    if state.run is not None:
        state.run.first_cycle += 1
    item = _item(state, event)
    ordered = state.open.fact(said.Ordered) if state.open is not None else None
    if ordered is not None and item.orders[-1:] == [ordered.hash]:
        item.orders.pop()
        item.actions.pop()
        state.orders.pop(ordered.hash, None)


def _pivot(state: State, event: Event, pivot: said.Pivoted) -> None:
    _note(state, event)
    item = _item(state, event)
    item.pivots += 1
    item.pivot_reason, item.cooldown_until = pivot.reason, pivot.until
    item.signatures, item.halted = [], ""
    _remember(state, event, pivot.memory)


def _poll(state: State, event: Event, poll: said.Polled) -> None:
    if state.run is not None and event.item is not None:
        state.run.polled.append(event.item)
    if poll.arrived:
        state.pending.marks[str(event.item)] = Mark("open", poll.reason)


def _block(state: State, event: Event, block: said.Blocked) -> None:
    _note(state, event)
    name = str(event.item)
    state.item(name).blocked = block.reason
    state.pending.marks[name] = Mark("blocked", block.reason)
    state.pending.notes += block.notes
    _remember(state, event, block.memory)
    if state.run is not None:
        state.run.blocked.append(name)
        state.run.stalled = state.run.stalled or block.stalled


def _close(state: State, event: Event, close: said.Closed) -> None:
    state.pending.marks[str(event.item)] = Mark("done", close.reason)
    _remember(state, event, close.memory)


def _reopen(state: State, event: Event, again: said.Reopened) -> None:
    _consume(state, again)
    old, name = _item(state, event), str(event.item)
    state.items[name] = _afresh(old, old.orders if again.keep_orders else [])
    if not again.keep_orders:
        state.orders = {h: t for h, t in state.orders.items() if h not in old.orders}
    if again.mark:
        state.pending.marks[name] = Mark("open", again.mark)


def _afresh(old: ItemState, orders: list[str]) -> ItemState:
    """An item's counts without its dwell, failures and rest."""
    return ItemState(
        attempts=old.attempts,
        landed=old.landed,
        rejected=old.rejected,
        orders=orders,
        approved=old.approved,
        seconds=old.seconds,
    )


def _steer(state: State, event: Event, steer: said.Steered) -> None:
    _consume(state, steer)
    state.steers.append(said.Steer(steer.id, steer.text))


def _pause(state: State, event: Event, pause: said.Paused) -> None:
    _consume(state, pause)
    state.paused = pause.reason or "paused by a person"


def _resume(state: State, event: Event, resume: said.Resumed) -> None:
    _consume(state, resume)
    state.paused, state.tamper = "", ""


def _approve(state: State, event: Event, approval: said.Approved) -> None:
    """Paths that an item may now touch; one that was left or blocked without them starts afresh."""
    _consume(state, approval)
    item, name = _item(state, event), str(event.item)
    item.approved += approval.paths
    if item.blocked:
        mark = f"a person approved {', '.join(approval.paths)}"
        state.pending.marks[name] = Mark("open", mark)
    if item.blocked or item.halted or item.cooldown_until > state.cycle:
        state.items[name] = _afresh(item, item.orders)


def _consume(state: State, message: said.Said) -> None:
    state.consumed += [message.id] if message.id else []


def _retro(state: State, event: Event, retro: said.Reviewed) -> None:
    _note(state, event)
    state.retro = retro.text


def _item(state: State, event: Event) -> ItemState:
    return state.item(str(event.item))


HANDLERS: dict[str, Handler] = {
    "run_start": _run_start,
    "upstream": _upstream,
    "run_end": _run_end,
    "decision": _decision,
    "supervise": _supervise,
    "review": _review,
    "choice": _choice,
    "order": _order,
    "dispatch": _dispatch,
    "agent_start": _advance("agent"),
    "outage": _outage,
    "agent_exit": _agent_exit,
    "verdict": _verdict,
    "land": _land,
    "commit": _commit,
    "turn_end": _turn_end,
    "pivot": _pivot,
    "poll": _poll,
    "block": _block,
    "close": _close,
    "reopen": _reopen,
    "steer": _steer,
    "pause": _pause,
    "resume": _resume,
    "approve": _approve,
    "answer": _answer,
    "again": _again,
    "retro": _retro,
}
