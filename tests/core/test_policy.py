"""policy.decide by tables and by Hypothesis."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from orchestration.core.policy import Decision, ItemFacts, PolicyConfig, decide
from orchestration.core.reasons import ExitReason
from orchestration.core.state import ItemState, Run, State


def item(name: str, **more: Any) -> ItemFacts:
    values: dict[str, Any] = {
        "id": name,
        "status": "open",
        "criteria_open": ("C1",),
        "criteria_total": 1,
        "has_recipe": True,
    }
    return ItemFacts(**{**values, **more})


def with_item(name: str, cycle: int = 5, **known: Any) -> State:
    state = State(cycle=cycle)
    state.items[name] = ItemState(**known)
    return state


def run(**more: Any) -> State:
    return State(cycle=4, run=Run("r", "playbook", "2026-01-06T14:00:00Z", 2, **more))


TABLE = [
    ("empty ledger", State(), [], "stop", None, ExitReason.DONE),
    ("one open item", State(), [item("A")], "work", "A", None),
    ("all done", State(), [item("A", status="done")], "stop", None, ExitReason.DONE),
    (
        "done and dropped",
        State(),
        [item("A", status="done"), item("B", status="dropped")],
        "stop",
        None,
        ExitReason.DONE,
    ),
    (
        "waiting only",
        State(),
        [item("A", status="waiting", waiting_on="Ann")],
        "stop",
        None,
        ExitReason.BLOCKED_ON_USER,
    ),
    ("wait expired", State(), [item("A", status="waiting", until_passed=True)], "block", "A", None),
    ("every criterion ticked", State(), [item("A", criteria_open=())], "close", "A", None),
    ("needs an agent", State(), [item("A", needs_agent=True)], "block", "A", None),
    ("no recipe", State(), [item("A", has_recipe=False)], "block", "A", None),
    ("priority first", State(), [item("A"), item("B", priority=0)], "work", "B", None),
    (
        "then what it unblocks",
        State(),
        [item("A"), item("B"), item("C", depends=("B",))],
        "work",
        "B",
        None,
    ),
    ("then less dwell", with_item("A", dwell=1), [item("A"), item("B")], "work", "B", None),
    ("then age", State(), [item("B"), item("A")], "work", "B", None),
    (
        "dependency open",
        State(),
        [item("A", status="blocked"), item("B", depends=("A",))],
        "stop",
        None,
        ExitReason.BLOCKED_ON_USER,
    ),
    (
        "dependency unknown",
        State(),
        [item("B", depends=("X",))],
        "stop",
        None,
        ExitReason.BLOCKED_ON_USER,
    ),
    (
        "two cycles without progress",
        with_item("A", dwell=2),
        [item("A"), item("B")],
        "pivot",
        "A",
        None,
    ),
    ("one cycle without progress", with_item("A", dwell=1), [item("A")], "work", "A", None),
    (
        "same failure twice",
        with_item("A", dwell=1, signatures=["E", "E"]),
        [item("A")],
        "pivot",
        "A",
        None,
    ),
    (
        "two different failures",
        with_item("A", dwell=1, signatures=["E", "F"]),
        [item("A")],
        "work",
        "A",
        None,
    ),
    (
        "cooling, others there",
        with_item("A", dwell=2, pivots=1, cooldown_until=8),
        [item("A", priority=0), item("B")],
        "work",
        "B",
        None,
    ),
    (
        "cooling alone",
        with_item("A", dwell=2, pivots=1, cooldown_until=8),
        [item("A")],
        "stop",
        None,
        ExitReason.STALLED,
    ),
    (
        "cooled down",
        with_item("A", dwell=2, pivots=1, cooldown_until=5),
        [item("A")],
        "work",
        "A",
        None,
    ),
    (
        "failed again after it",
        with_item("A", dwell=3, pivots=1, cooldown_until=5),
        [item("A")],
        "pivot",
        "A",
        None,
    ),
    ("too many rejections", with_item("A", rejected=6), [item("A")], "block", "A", None),
    ("tamper stops all", State(tamper="refs moved"), [item("A")], "stop", None, ExitReason.TAMPER),
    ("paused", State(paused="lunch"), [item("A")], "stop", None, ExitReason.BLOCKED_ON_USER),
    ("cycles spent", run(cycles=2), [item("A")], "stop", None, ExitReason.BUDGET),
    (
        "cycles spent, all red",
        run(cycles=2, rejected=["A"]),
        [item("A")],
        "stop",
        None,
        ExitReason.CHECKS_RED,
    ),
    ("done beats spent", run(cycles=2), [item("A", status="done")], "stop", None, ExitReason.DONE),
]


@pytest.mark.parametrize(
    ("state", "items", "action", "name", "reason"),
    [row[1:] for row in TABLE],
    ids=[row[0] for row in TABLE],
)
def test_table(
    state: State,
    items: list[ItemFacts],
    action: str,
    name: str | None,
    reason: ExitReason | None,
) -> None:
    config = PolicyConfig(cycles=state.run.cycles if state.run else None)
    decision = decide(state, items, config)
    assert (decision.action, decision.item, decision.exit) == (action, name, reason)
    assert decision.reason


def test_a_real_agent_lifts_the_block_that_only_asked_for_one() -> None:
    blocked = item(
        "A", status="blocked", reason="needs an agent: it has no recipe", has_recipe=False
    )
    assert decide(State(), [blocked], PolicyConfig(playbook=True)).action == "stop"
    assert decide(State(), [blocked], PolicyConfig(playbook=False)).action == "work"
    other = item("A", status="blocked", reason="needs a sample")
    assert decide(State(), [other], PolicyConfig(playbook=False)).action == "stop"


def test_money_tokens_and_time_end_a_run() -> None:
    state = run()
    state.money, state.tokens = 2.0, 500
    assert state.run is not None
    state.run.seconds = 60.0
    for limits in ({"money": 2.0}, {"tokens": 500}, {"agent_seconds": 60.0}):
        decision = decide(state, [item("A")], PolicyConfig(**limits))
        assert decision.exit is ExitReason.BUDGET
    unknown = run()
    assert decide(unknown, [item("A")], PolicyConfig(money=2.0)).action == "work"


ids = st.sampled_from("ABCDE")
facts = st.builds(
    ItemFacts,
    id=ids,
    status=st.sampled_from(["open", "in_progress", "waiting", "blocked", "done", "dropped"]),
    priority=st.integers(0, 3),
    depends=st.lists(ids, max_size=2).map(tuple),
    criteria_open=st.lists(st.sampled_from(["C1", "C2"]), unique=True, max_size=2).map(tuple),
    criteria_total=st.just(2),
    has_recipe=st.booleans(),
    needs_agent=st.booleans(),
    until_passed=st.booleans(),
)
known = st.builds(
    ItemState,
    dwell=st.integers(0, 4),
    pivots=st.integers(0, 3),
    rejected=st.integers(0, 7),
    cooldown_until=st.integers(0, 9),
    signatures=st.lists(st.sampled_from(["E", "F"]), max_size=3),
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(facts, max_size=5, unique_by=lambda f: f.id),
    st.dictionaries(ids, known),
    st.integers(0, 9),
    st.booleans(),
)
def test_no_decision_ever_spends_a_turn_on_what_cannot_move(
    items: list[ItemFacts], states: dict[str, ItemState], cycle: int, playbook: bool
) -> None:
    state = State(cycle=cycle, items=states)
    decision: Decision = decide(state, items, PolicyConfig(playbook=playbook))
    assert decision == decide(state, items, PolicyConfig(playbook=playbook))
    by_id = {fact.id: fact for fact in items}
    if decision.action == "stop":
        assert decision.exit is not None
        if decision.exit is ExitReason.DONE:
            assert all(fact.status in ("done", "dropped") for fact in items)
        return
    chosen = by_id[str(decision.item)]
    if decision.action == "work":
        assert chosen.status in ("open", "in_progress")
        assert chosen.criteria_open
        assert all(by_id[d].status in ("done", "dropped") for d in chosen.depends)
        assert states.get(chosen.id, ItemState()).cooldown_until <= cycle
        assert not (playbook and (chosen.needs_agent or not chosen.has_recipe))
        rivals = [row for row in decision.evidence.items if row.runnable]
        best = next(row.rank for row in rivals if row.id == chosen.id)
        assert all(row.rank >= best for row in rivals)
