"""The cycles of a log: of each, all that its events say, and how its focus stood after it.

A cycle is named by its last turn (a supervisor's turn, and the worker's that follows it). One whose
attempt was held and judged again after a review is two cycles, since both were measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from orchestration.core import Event, State, parse_stamp, payloads, replay


@dataclass(frozen=True)
class CycleView:
    """One cycle; what has not (yet) happened in it is None or empty.

    `turn` is its last turn and `first` its first; `dwell` is that of the item after it. `money` and
    `tokens` are None where nobody reported them; `agent_s` is the time of all its programs.
    """

    turn: int
    first: int
    number: int
    item: str
    at: str
    until: str = ""
    outcome: str = "running"
    dwell: int = 0
    money: float | None = None
    tokens: int | None = None
    agent_s: float = 0.0
    decision: payloads.Decided | None = None
    supervised: tuple[payloads.Supervised, ...] = ()
    chosen: payloads.Chosen | None = None
    ordered: payloads.Ordered | None = None
    dispatched: payloads.Dispatched | None = None
    outages: tuple[payloads.Outage, ...] = ()
    ended: payloads.AgentEnded | None = None
    judged: payloads.Judged | None = None
    again: payloads.JudgedAgain | None = None
    reviews: tuple[payloads.ReviewedByAgent, ...] = ()
    answers: tuple[payloads.Answered, ...] = ()
    committed: payloads.Committed | None = None
    reverted: payloads.Reverted | None = None
    left: tuple[str, ...] = ()
    """Why the focus was left or blocked in this cycle."""
    retro: str = ""

    @cached_property
    def seconds(self) -> float | None:
        """From its decision to its end, None while it goes on."""
        try:
            return (parse_stamp(self.until) - parse_stamp(self.at)).total_seconds()
        except ValueError:
            return None

    @property
    def verdict(self) -> str:
        """What was measured, or how a cycle without an attempt ended."""
        return self.judged.verdict if self.judged and self.judged.verdict else self.outcome

    @property
    def reason(self) -> str:
        """Why it ended so."""
        if self.judged:
            return self.judged.reason
        return "; ".join(self.left) or (self.outages[-1].text if self.outages else "")


ONCE: dict[type, str] = {
    payloads.Decided: "decision",
    payloads.Chosen: "chosen",
    payloads.Ordered: "ordered",
    payloads.Dispatched: "dispatched",
    payloads.AgentEnded: "ended",
    payloads.Judged: "judged",
    payloads.JudgedAgain: "again",
}
"""Events that a cycle has one of, and the field that keeps it."""
SPENDING = (
    payloads.AgentEnded,
    payloads.Supervised,
    payloads.ReviewedByAgent,
    payloads.Outage,
)


class _Open:
    """The cycle that the events are at: what is known of it so far, by field."""

    def __init__(self, event: Event, number: int, **known: Any) -> None:
        self.known: dict[str, Any] = {
            "first": event.turn,
            "number": number,
            "item": str(event.item or ""),
            "at": event.at,
            **known,
        }
        self.costs: list[float] = []
        self.tokens: list[int] = []

    def take(self, event: Event) -> None:
        """Add what an event says."""
        said, known = event.payload, self.known
        known["turn"] = event.turn
        name = ONCE.get(type(said))
        if name is not None:
            known[name] = said
        match said:
            case payloads.Chosen():
                known["item"] = said.to
            case payloads.Reviewed():
                known["retro"] = said.text
            case payloads.Supervised():
                known["supervised"] = (*known.get("supervised", ()), said)
            case payloads.Outage():
                known["outages"] = (*known.get("outages", ()), said)
            case payloads.Committed(purpose="landing"):
                known["committed"] = said
            case payloads.Pivoted() | payloads.Blocked():
                known["left"] = (*known.get("left", ()), said.reason)
        if isinstance(said, SPENDING):
            known["agent_s"] = known.get("agent_s", 0.0) + (said.seconds or 0.0)
            self.costs += [] if said.cost is None else [said.cost]
            self.tokens += [] if said.tokens is None else [said.tokens]

    def view(self, **more: Any) -> CycleView:
        """The cycle as it is now; what no program reported stays unknown."""
        money = sum(self.costs) if self.costs else None
        tokens = sum(self.tokens) if self.tokens else None
        return CycleView(**self.known, money=money, tokens=tokens, **more)


def cycles_of(events: Sequence[Event]) -> tuple[CycleView, ...]:
    """All cycles of a log, oldest first; the last one may go on."""
    found = list(_cycles(events))
    answers: dict[int, list[payloads.Answered]] = {}
    reverts: dict[int, payloads.Reverted] = {}
    reviews: dict[int, list[payloads.ReviewedByAgent]] = {}
    for event in events:
        said = event.payload
        if isinstance(said, payloads.Answered):
            answers.setdefault(said.turn, []).append(said)
        elif isinstance(said, payloads.Reverted):
            reverts[said.turn] = said
        elif isinstance(said, payloads.ReviewedByAgent):
            reviews.setdefault(said.turn, []).append(said)
    later = {*answers, *reverts, *reviews}
    return tuple(
        replace(
            cycle,
            answers=tuple(answers.get(cycle.turn, ())),
            reverted=reverts.get(cycle.turn),
            reviews=tuple(reviews.get(cycle.turn, ())),
        )
        if cycle.turn in later
        else cycle
        for cycle in found
    )


def _cycles(events: Sequence[Event]) -> Iterator[CycleView]:
    state, begun = State(), None
    held: dict[int, CycleView] = {}
    for event in events:
        replay([event], state)
        said = event.payload
        if isinstance(said, payloads.Decided) and said.action == "work":
            begun = _Open(event, said.cycle)
        elif isinstance(said, payloads.JudgedAgain):
            earlier = held.get(said.held)
            names = ("ordered", "dispatched", "ended") if earlier else ()
            begun = _Open(event, state.cycle, **{name: getattr(earlier, name) for name in names})
        if begun is None:
            continue
        begun.take(event)
        if isinstance(said, payloads.TurnEnded):
            known = state.items.get(begun.known["item"])
            dwell = known.dwell if known else 0
            ended = begun.view(until=event.at, outcome=said.outcome, dwell=dwell)
            if ended.verdict == "held":
                held[ended.turn] = ended
            yield ended
            begun = None
    if begun is not None:
        yield begun.view()
