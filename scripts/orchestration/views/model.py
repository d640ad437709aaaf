"""The one picture that all views draw: items, turns, landings, and what stands in the way.

Built from the event log, the ledger at the branch's tip, and committed files alone; nothing here
changes anything, and every view (terminal, JSON, HTML) is a rendering of the same `View`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

from orchestration.core import Event, Held, ItemState, State, payloads, still_needs_agent
from orchestration.documents.ledger import Item, Ledger
from orchestration.git import RESULTS, short_ref
from orchestration.turns import branch_of, slug
from orchestration.views.now import Now

GROUPS = (
    ("landed", "Landed"),
    ("working", "In work"),
    ("waiting", "Waiting"),
    ("blocked", "Blocked"),
    ("held", "Held for review"),
    ("open", "Open"),
    ("dropped", "Dropped"),
)
"""Key and heading of each group of items, in the order in which they are shown."""
SIDES = ("base", "attempt")
"""Where a guard runs, in that order."""


@dataclass(frozen=True)
class CriterionView:
    """An exit check: whether the harness has verified it, what it says and the command."""

    id: str
    met: bool
    meaning: str
    command: str


@dataclass(frozen=True)
class ItemView:
    """One focus issue as it stands now, unwritten marks of the harness included."""

    id: str
    title: str
    group: str
    status: str
    reason: str
    priority: str
    depends: tuple[str, ...]
    criteria: tuple[CriterionView, ...]
    waits_for: str
    check: str
    until: str
    attempts: int
    dwell: int
    seconds: float
    commits: tuple[str, ...]
    work: str = ""
    """Where to look at the last attempt: its branch, or the folder that an agent works in now."""

    @property
    def met(self) -> int:
        """How many criteria are verified."""
        return sum(criterion.met for criterion in self.criteria)


@dataclass(frozen=True)
class TurnView:
    """One turn that worked on an item: why it, what the agent did, and what was measured."""

    turn: int
    at: str
    item: str
    why: str
    order: str
    claimed: str
    verdict: str
    reason: str
    seconds: float | None
    isolation: str
    changed: tuple[str, ...]
    verified: tuple[str, ...]
    guard: str
    commit: str
    subject: str
    receipt: str


@dataclass(frozen=True)
class View:
    """Everything a view shows. `ended` is the reason of the last run, or "" while it runs."""

    repository: str
    branch: str
    head: str
    generated_at: str
    run_id: str
    agent: str
    started_at: str
    ended: str
    died_at: str
    end_text: str
    cycles: int
    paused: str
    tamper: str
    items: tuple[ItemView, ...]
    turns: tuple[TurnView, ...]
    last_progress: dict[str, Any] = field(default_factory=dict)
    spend: dict[str, Any] = field(default_factory=dict)
    advice: tuple[str, ...] = ()
    decision: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    now: Now = field(default_factory=Now)
    """Whether the run lives, and what it is at."""
    unpushed: int = 0
    """Commits of the branch (or that wait for it) that its upstream lacks; 0 without one."""
    stops: tuple[str, ...] = ()
    """What would stop the run, each limit with how far it is."""
    fence: str = ""
    """Said where agents run behind no fence; "" where one is asked for."""

    def group(self, key: str) -> tuple[ItemView, ...]:
        """The items of one group, in ledger order."""
        return tuple(item for item in self.items if item.group == key)

    def as_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self)


def build_view(
    *,
    state: State,
    events: Sequence[Event],
    ledger: Ledger,
    repository: str,
    branch: str,
    head: str,
    now: datetime,
    caps: dict[str, Any] | None = None,
    results_waiting: str = "",
    workspaces: str = "",
    unfolding: Now | None = None,
    unpushed: int = 0,
    fence: str = "",
) -> View:
    """Fold log and ledger into one View.

    `caps` are the configured limits of money, tokens and agent seconds (None: no limit);
    `workspaces` is the folder that agents work in; `results_waiting` is the short sha of landed
    commits that wait on the results branch, or "". The rest is as View has it.
    """
    run = state.run
    spend = _spend(state, caps or {})
    died = unfolding is not None and unfolding.state == "dead"
    return View(
        repository=repository,
        branch=branch,
        head=head,
        generated_at=now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        run_id=run.id if run else "",
        agent=run.agent if run else "",
        started_at=run.started_at if run else "",
        ended=(run.ended or "") if run else "",
        died_at=events[-1].at if died and events else "",
        end_text=run.end_text if run else "",
        cycles=run.finished(state) if run else 0,
        paused=state.paused,
        tamper=state.tamper,
        items=tuple(item_view(item, state, workspaces) for item in ledger.items),
        turns=tuple(turn_views(events)),
        last_progress=dict(state.last_progress),
        spend=spend,
        advice=tuple(_advice(state, ledger, branch, results_waiting)),
        decision=_last_decision(events),
        warnings=tuple(_warnings(events))[-5:],
        now=unfolding or Now(),
        unpushed=unpushed,
        stops=tuple(_stops(state, spend)),
        fence=fence,
    )


def _work(item: str, n: int, state: State, workspaces: str) -> str:
    turn = state.open
    if turn and turn.item == item and turn.phase == "dispatched" and workspaces:
        return f"{workspaces}/{slug(item)}/{n}"
    return branch_of(item, n)


def item_view(item: Item, state: State, workspaces: str = "") -> ItemView:
    """Return how an item stands: the ledger, with marks that no commit has written yet on top."""
    known = state.items.get(item.id, ItemState())
    mark = state.pending.over(item.id, item.status.value, item.reason)
    status, reason = mark.status, mark.reason
    if status in ("open", "in_progress"):
        status, reason = still_needs_agent(state, item.id) or (status, reason)
    ticked = state.pending.ticked(item.id)
    waiting = item.waiting if status == "waiting" else None
    held = state.held.get(item.id)
    if held is not None and status in ("open", "in_progress"):
        status, reason = "held", _held_words(held)
    commits = tuple(row.commit[:12] for row in state.landings if row.item == item.id)
    return ItemView(
        id=item.id,
        title=item.title,
        group=_group(status, state.open.item == item.id if state.open else False),
        status=status,
        reason="" if waiting else reason,
        priority=str(item.priority),
        depends=tuple(item.depends),
        criteria=tuple(
            CriterionView(
                c.id,
                c.met or c.id in ticked,
                c.meaning,
                c.command.text if c.command else "",
            )
            for c in item.criteria
        ),
        waits_for=waiting.on if waiting else "",
        check=waiting.check.text if waiting else "",
        until=waiting.until.strftime("%Y-%m-%d") if waiting and waiting.until else "",
        attempts=known.attempts,
        dwell=known.dwell,
        seconds=round(known.seconds, 1),
        commits=commits,
        work=_work(item.id, known.attempts, state, workspaces) if known.attempts else "",
    )


def _held_words(held: Held) -> str:
    if held.accepted:
        return f"turn {held.turn} was accepted in review; the next run judges it again"
    count = len(held.unanswered)
    return f"turn {held.turn}: {count} flag{'s' * (count > 1)} to answer; {held.unanswered[0]}"


def _group(status: str, is_open: bool) -> str:
    if is_open or status == "in_progress":
        return "working"
    names = {"done": "landed", "waiting": "waiting", "blocked": "blocked", "dropped": "dropped"}
    names["held"] = "held"
    return names.get(status, "open")


def _warnings(events: Sequence[Event]) -> Iterator[str]:
    for event in events:
        if isinstance(event.payload, payloads.Warned):
            yield event.payload.text


def turn_views(events: Sequence[Event]) -> list[TurnView]:
    """One row for each dispatched attempt, oldest first; a decision's turn may precede it."""
    rows: list[TurnView] = []
    facts, held = _Facts(), dict[int, _Facts]()
    for event in events:
        said = event.payload
        if isinstance(said, payloads.Decided):
            facts = _Facts(decision=said) if said.action == "work" else facts
        elif isinstance(said, payloads.Ordered):
            facts.order = said
        elif isinstance(said, payloads.Dispatched):
            facts.dispatched = event
        elif isinstance(said, payloads.JudgedAgain):
            facts = replace(held.get(said.held, facts), dispatched=event)
        elif isinstance(said, payloads.AgentEnded):
            facts.ended = said
        elif isinstance(said, payloads.Judged):
            facts.judged = said
        elif isinstance(said, payloads.Committed) and said.purpose == "landing":
            facts.commit = said
        elif isinstance(said, payloads.TurnEnded) and event.role == "worker" and facts.dispatched:
            rows.append(facts.turn(facts.dispatched))
            held[event.turn] = replace(facts)
            facts.dispatched = None
    if facts.dispatched:
        rows.append(facts.turn(facts.dispatched))
    return rows


@dataclass
class _Facts:
    """What the events of a cycle have said so far."""

    decision: payloads.Decided = field(default_factory=lambda: payloads.Decided("work"))
    order: payloads.Ordered = field(default_factory=lambda: payloads.Ordered(""))
    dispatched: Event | None = None
    ended: payloads.AgentEnded = field(default_factory=payloads.AgentEnded)
    judged: payloads.Judged = field(default_factory=lambda: payloads.Judged(""))
    commit: payloads.Committed = field(default_factory=payloads.Committed)

    def turn(self, dispatched: Event) -> TurnView:
        """The row of the turn that began with `dispatched`."""
        ended, judged, commit = self.ended, self.judged, self.commit
        return TurnView(
            turn=dispatched.turn,
            at=dispatched.at,
            item=str(dispatched.item),
            why=self.decision.reason,
            order=self.order.text,
            claimed=ended.outcome,
            verdict=judged.verdict or "running",
            reason=judged.reason,
            seconds=ended.seconds,
            isolation=ended.isolation or "",
            changed=ended.changed,
            verified=judged.verified,
            guard=guard_words(judged.guard),
            commit=(commit.commit or "")[:12],
            subject=commit.subject,
            receipt=commit.receipt,
        )


def guard_words(guard: Mapping[str, payloads.GuardSide]) -> str:
    """Return a guard's result in a few words, on each side where it ran."""
    return ", ".join(f"{name} {side_words(guard[name])}" for name in SIDES if name in guard)


def side_words(side: payloads.GuardSide) -> str:
    """Return a guard run in a few words: `pass (3 passed)`."""
    return f"{side.verdict} ({side.tests})" if side.tests else side.verdict


def _spend(state: State, caps: dict[str, Any]) -> dict[str, Any]:
    """What was spent against its cap; what no agent reported stays None (unknown)."""
    return {
        "agent_s": round(state.agent_seconds, 1),
        "agent_s_cap": caps.get("agent_s"),
        "money": state.money,
        "money_cap": caps.get("money"),
        "tokens": state.tokens,
        "tokens_cap": caps.get("tokens"),
    }


def _stops(state: State, spend: dict[str, Any]) -> Iterator[str]:
    """The limits of the run that is not over, each with how far it is."""
    run = state.run
    if run is None or run.ended is not None:
        return
    if run.cycles is not None:
        yield f"cycles {run.finished(state)} of {run.cycles}"
    names = (("agent_s", "agent seconds"), ("money", "money"), ("tokens", "tokens"))
    for key, words in names:
        cap = spend[f"{key}_cap"]
        if cap is not None:
            spent = spend[key]
            yield f"{words} {'unknown' if spent is None else f'{spent:g}'} of {cap:g}"


def _last_decision(events: Sequence[Event]) -> dict[str, Any]:
    for event in reversed(events):
        if event.kind == "decision":
            return {"item": event.item, "at": event.at, **event.data}
    return {}


def _advice(state: State, ledger: Ledger, branch: str, results_waiting: str) -> list[str]:
    """Return what a person can type next, most urgent first."""
    lines = []
    if results_waiting:
        results = short_ref(RESULTS + branch)
        lines.append(
            f"landed commits wait on {results}: git switch {branch} && git merge {results}"
        )
    if state.tamper:
        lines.append(f"look at what happened ({state.tamper}), then: orchestrate resume")
    elif state.paused:
        lines.append("orchestrate resume")
    views = [item_view(item, state) for item in ledger.items]
    for view in views:
        if view.group == "blocked" and view.reason.startswith("needs an agent"):
            lines.append(f"{view.id}: orchestrate run --agent NAME")
        elif view.group == "blocked":
            again = f"orchestrate reopen {view.id} --reason WHAT"
            words = "mend what its reason says"  # a pinned word: scripts may look for it
            lines.append(f"{view.id}: {words}, then: {again}")
        elif view.group == "held":
            held = state.held[view.id]
            lines.append(
                f"{view.id}: orchestrate {'run' if held.accepted else f'review {held.turn}'}"
            )
        elif view.group == "waiting":
            lines.append(f"{view.id}: waits for {view.waits_for or 'an event'}; nothing to type")
    return lines
