"""reduce: fold events into State. One small handler a kind; nothing else changes State."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from orchestration.core.events import Event
from orchestration.core.state import ItemState, Mark, OpenCycle, Pending, Run, State

Handler = Callable[[State, Event], None]


def reduce(events: Iterable[Event], state: State | None = None) -> State:
    """Fold events into a state; a given state is continued in place and returned."""
    state = State() if state is None else state
    for event in events:
        # Data is shared with the event, so handlers copy what they change.
        state.seq, state.at, state.turn = event.seq, event.at, event.turn
        handler = HANDLERS.get(event.kind)
        if handler is not None:
            handler(state, event)
    return state


def _run_start(state: State, event: Event) -> None:
    data = event.data
    state.run = Run(
        id=data["run"],
        agent=data["agent"],
        started_at=event.at,
        first_cycle=state.cycle - (state.open is not None),
        cycles=data.get("cycles"),
    )


def _run_end(state: State, event: Event) -> None:
    if state.run is not None:
        state.run.ended = event.data["reason"]
        state.run.end_text = event.data.get("text", "")


def _decision(state: State, event: Event) -> None:
    if event.data["action"] != "work" or event.item is None:
        return
    state.cycle = event.data["cycle"]
    state.open = OpenCycle(state.cycle, event.item, "decided", {"decision": event.data})


def _advance(phase: str) -> Handler:
    def handler(state: State, event: Event) -> None:
        if state.open is not None:
            state.open.phase = phase
            state.open.facts[event.kind] = event.data

    return handler


def _order(state: State, event: Event) -> None:
    _advance("ordered")(state, event)
    item = _item(state, event)
    item.orders.append(event.data["hash"])
    item.actions.append(event.data.get("action_type", "implementation"))
    state.orders[event.data["hash"]] = event.turn


def _dispatch(state: State, event: Event) -> None:
    _advance("dispatched")(state, event)
    _item(state, event).attempts = event.data["attempt"]
    delivered = {steer["id"] for steer in event.data.get("steers", [])}
    state.steers = [steer for steer in state.steers if steer["id"] not in delivered]


def _supervise(state: State, event: Event) -> None:
    """An agent was asked for an order: what it cost, and what it wrote."""
    _spend(state, event)
    if state.open is not None:
        before = state.open.facts.get("supervise", [])
        state.open.facts["supervise"] = [*before, event.data]
    if event.data.get("tamper"):
        state.tamper = f"the supervisor changed what is not its own: {event.data['tamper']}"


def _choice(state: State, event: Event) -> None:
    """The supervisor took another runnable item than the policy's first."""
    if state.open is not None:
        state.open.item = str(event.item)
        state.open.facts["choice"] = event.data


def _agent_exit(state: State, event: Event) -> None:
    _advance("exited")(state, event)
    _spend(state, event)


def _spend(state: State, event: Event) -> None:
    """Add an agent's time, money and tokens; what it did not report stays unknown."""
    data, item = event.data, _item(state, event)
    seconds = float(data.get("seconds") or 0.0)
    item.seconds += seconds
    state.agent_seconds += seconds
    if state.run is not None:
        state.run.seconds += seconds
    if data.get("cost") is not None:
        state.money = (state.money or 0.0) + float(data["cost"])
    if data.get("tokens") is not None:
        state.tokens = (state.tokens or 0) + int(data["tokens"])


def _verdict(state: State, event: Event) -> None:
    _advance("verified")(state, event)
    data, item = event.data, _item(state, event)
    verdict, verified = data["verdict"], list(data.get("verified", []))
    item.last_verdict, item.last_reason = verdict, data.get("reason", "")
    if verdict == "stale":
        return
    fresh = [name for name in verified if name not in item.verified]
    if verdict == "land":
        item.verified += fresh
        item.dwell = 0 if fresh else item.dwell + 1
        if fresh:
            item.signatures, item.pivots = [], 0
        state.pending.ticks += [[str(event.item), name] for name in data.get("ticks", [])]
        if fresh:
            state.last_progress = {
                "at": event.at,
                "turn": event.turn,
                "item": event.item,
                "verified": fresh,
            }
        if data.get("done"):
            why = data.get("done_reason", "every criterion verified")
            state.pending.marks[str(event.item)] = Mark("done", why)
    else:
        _failed(item, data)
    if verdict == "tamper":
        state.tamper = data.get("reason", "tamper")
    state.pending.attempts.append(
        {"item": event.item, "turn": event.turn, "at": event.at, **data.get("attempt", {})}
    )
    state.pending.notes += data.get("notes", [])
    _remember(state, event, data.get("memory", {}))


def _failed(item: ItemState, data: dict[str, Any]) -> None:
    item.dwell += 1
    item.rejected += 1
    if data.get("signature"):
        item.signatures.append(data["signature"])
    item.halted = data.get("halt", "")
    if data.get("patch"):
        item.failed_patches.append(data["patch"])


def _remember(state: State, event: Event, entry: dict[str, Any]) -> None:
    if entry:
        dwell = state.items[event.item].dwell if event.item in state.items else 0
        state.pending.memory.append(
            {"at": event.at, "turn": event.turn, "item": event.item, "dwell": dwell, **entry}
        )


def _land(state: State, event: Event) -> None:
    if event.data.get("purpose") == "closing":
        state.closing = event.data
    else:
        _advance("landing")(state, event)


def _commit(state: State, event: Event) -> None:
    data = event.data
    state.closing = None
    if data.get("flushed", True):
        state.pending = Pending()
    if data.get("purpose") == "landing":
        _advance("landed")(state, event)
        _item(state, event).landed += 1
        record = {"turn": event.turn, "item": event.item, "at": event.at, **data}
        state.landings.append(record)
        if state.run is not None:
            state.run.landed.append(str(event.item))


def _turn_end(state: State, event: Event) -> None:
    outcome = event.data.get("outcome")
    if state.run is not None and outcome in ("reject", "tamper", "blocked"):
        state.run.rejected.append(str(event.item))
    state.open = None


def _pivot(state: State, event: Event) -> None:
    item = _item(state, event)
    item.pivots += 1
    item.pivot_reason = event.data["reason"]
    item.cooldown_until = event.data["until"]
    if state.open is not None:
        state.open.facts["pivot"] = event.data
    item.signatures, item.halted = [], ""
    _remember(state, event, event.data.get("memory", {}))


def _poll(state: State, event: Event) -> None:
    if state.run is not None and event.item is not None:
        state.run.polled.append(event.item)
    if event.data["arrived"]:
        state.pending.marks[str(event.item)] = Mark("open", event.data["reason"])


def _block(state: State, event: Event) -> None:
    data, name = event.data, str(event.item)
    state.item(name).blocked = data["reason"]
    if state.open is not None:
        state.open.facts["block"] = data
    state.pending.marks[name] = Mark("blocked", data["reason"])
    state.pending.notes += data.get("notes", [])
    _remember(state, event, data.get("memory", {}))
    if state.run is not None:
        state.run.blocked.append(name)
        state.run.stalled = state.run.stalled or bool(data.get("stalled"))


def _close(state: State, event: Event) -> None:
    state.pending.marks[str(event.item)] = Mark("done", event.data["reason"])
    _remember(state, event, event.data.get("memory", {}))


def _reopen(state: State, event: Event) -> None:
    _consume(state, event)
    old = _item(state, event)
    state.items[str(event.item)] = _afresh(old, old.orders if event.data.get("keep_orders") else [])
    if not event.data.get("keep_orders"):
        state.orders = {h: t for h, t in state.orders.items() if h not in old.orders}
    mark = event.data.get("mark")
    if mark:
        state.pending.marks[str(event.item)] = Mark("open", mark)


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


def _steer(state: State, event: Event) -> None:
    _consume(state, event)
    state.steers.append({"id": event.data["id"], "text": event.data["text"]})


def _pause(state: State, event: Event) -> None:
    _consume(state, event)
    state.paused = event.data.get("reason") or "paused by a person"


def _resume(state: State, event: Event) -> None:
    _consume(state, event)
    state.paused, state.tamper = "", ""


def _approve(state: State, event: Event) -> None:
    """Paths that an item may now touch; one that was left or blocked without them starts afresh."""
    _consume(state, event)
    item, paths = _item(state, event), event.data["paths"]
    item.approved += paths
    if item.blocked:
        mark = f"a person approved {', '.join(paths)}"
        state.pending.marks[str(event.item)] = Mark("open", mark)
    if item.blocked or item.halted or item.cooldown_until > state.cycle:
        state.items[str(event.item)] = _afresh(item, item.orders)


def _consume(state: State, event: Event) -> None:
    if event.data.get("id"):
        state.consumed.append(event.data["id"])


def _retro(state: State, event: Event) -> None:
    state.retro = event.data["text"]
    if state.open is not None:
        state.open.facts["retro"] = event.data


def _item(state: State, event: Event) -> ItemState:
    return state.item(str(event.item))


HANDLERS: dict[str, Handler] = {
    "run_start": _run_start,
    "run_end": _run_end,
    "decision": _decision,
    "supervise": _supervise,
    "choice": _choice,
    "order": _order,
    "dispatch": _dispatch,
    "agent_start": _advance("agent"),
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
    "retro": _retro,
}
