"""A cycle that an outage left open: a person may change its item, and others get their turn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from orchestration.agents.base import Outcome, TurnContext
from orchestration.engine.loop import Engine
from test_outages import Clock

Make = Callable[..., Any]
ITEM = """### [{id}] {title}
- Status: open
- Exit:
  - [ ] C1 `cmp {id}.txt wanted.txt` — right

"""
FILES = {"A-001.txt": "wrong\n", "B-002.txt": "wrong\n", "wanted.txt": "right\n"}
ONE = ITEM.format(id="A-001", title="One thing")
TWO = ONE + ITEM.format(id="B-002", title="Another thing")


def name(turn: TurnContext) -> str:
    assert turn.item is not None
    return turn.item.id


def out(turn: TurnContext, n: int) -> Outcome:
    """The program falls silent, as it does at a question that nobody answers."""
    return Outcome("network", "no output until its clock ran out")


def fix(turn: TurnContext, n: int) -> Outcome:
    (turn.workspace / f"{name(turn)}.txt").write_text("right\n")
    return Outcome("done", "did it")


def only_out_at_a(turn: TurnContext, n: int) -> Outcome:
    return out(turn, n) if name(turn) == "A-001" else fix(turn, n)


def reword(here: Any, text: str, other: str) -> None:
    ledger = (here.root / "docs/fix_plan.md").read_text()
    assert text in ledger
    here.write("docs/fix_plan.md", ledger.replace(text, other))
    here.commit("A person changes the ledger")


@pytest.mark.parametrize("status", ["dropped (it hangs)", "blocked (it hangs)", "done"])
def test_an_item_that_a_person_took_back_is_not_asked_again(
    status: str, place: Make, stub: Any
) -> None:
    here, clock = place(ONE, **FILES), Clock()
    assert here.run(stub(out), clock=clock).reason == "RETRY_LATER"
    reword(here, "- Status: open", f"- Status: {status}")
    agent = stub(fix)
    summary = here.run(agent, clock=clock)
    assert summary.reason == ("BLOCKED_ON_USER" if "blocked" in status else "DONE")
    assert agent.turns == [] and summary.rejected == []
    assert here.harness().state.open is None


def test_an_item_that_was_removed_is_not_asked_again(place: Make, stub: Any) -> None:
    here, clock = place(TWO, **FILES), Clock()
    assert here.run(stub(out), clock=clock).reason == "RETRY_LATER"
    reword(here, ONE, "")
    agent = stub(fix)
    assert here.run(agent, clock=clock).landed == ["B-002"]
    assert [name(turn) for turn in agent.turns] == ["B-002"]


@pytest.mark.parametrize("before", ["One thing", "- Status: open"])
def test_an_item_that_was_reworded_gets_a_new_order(before: str, place: Make, stub: Any) -> None:
    here, clock = place(ONE, **FILES), Clock()
    assert here.run(stub(out), clock=clock).reason == "RETRY_LATER"
    reword(here, before, f"{before}\n- Note: A question that it can answer")
    agent = stub(fix)
    assert here.run(agent, clock=clock).landed == ["A-001"]
    assert "A question that it can answer" in agent.turns[0].brief


def test_dropped_and_opened_again_the_same_order_may_be_given(place: Make, stub: Any) -> None:
    here, clock = place(ONE, **FILES), Clock()
    assert here.run(stub(out), clock=clock).reason == "RETRY_LATER"
    reword(here, "- Status: open", "- Status: dropped")
    assert here.run(stub(fix), clock=clock).reason == "DONE"
    reword(here, "- Status: dropped", "- Status: open")
    assert here.run(stub(fix), clock=clock).landed == ["A-001"]


def test_what_an_interrupted_attempt_left_is_kept(place: Make, stub: Any) -> None:
    here, clock = place(ONE, **FILES), Clock()

    def dies(turn: TurnContext, n: int) -> Outcome:
        (turn.workspace / "half.txt").write_text("half\n")
        raise KeyboardInterrupt

    assert here.run(stub(dies), clock=clock).reason == "INTERRUPTED"
    reword(here, "- Status: open", "- Status: dropped")
    assert here.run(stub(fix), clock=clock).reason == "DONE"
    assert here.read("half.txt", "orchestration/attempts/A-001/1") == "half\n"
    left = list((here.harness().repo.state_dir / "workspaces").rglob("half.txt"))
    assert left == []


def test_after_two_runs_that_ended_at_an_item_the_others_go_first(place: Make, stub: Any) -> None:
    here, clock = place(TWO, **FILES), Clock()
    for _ in range(2):
        agent = stub(only_out_at_a)
        assert here.run(agent, clock=clock).reason == "RETRY_LATER"
        assert {name(turn) for turn in agent.turns} == {"A-001"}
    harness = here.harness(stub(only_out_at_a), clock=clock)
    assert Engine(harness, lambda: "look").preview().item == "B-002"
    agent = stub(only_out_at_a)
    summary = here.run(agent, clock=clock)
    # What is left at the end is asked again: an outage blocks nothing and spends nothing.
    assert (summary.reason, summary.landed) == ("RETRY_LATER", ["B-002"])
    assert [name(agent.turns[0]), name(agent.turns[-1])] == ["B-002", "A-001"]
    assert summary.blocked == summary.rejected == []
    assert here.run(stub(fix), clock=clock).reason == "DONE"
    assert here.harness().state.items["A-001"].outages == 0


def test_a_cycle_that_was_set_aside_counts_for_no_run(place: Make, stub: Any) -> None:
    here, clock = place(TWO, **FILES), Clock()
    for _ in range(2):
        assert here.run(stub(only_out_at_a), clock=clock).reason == "RETRY_LATER"
    summary = here.run(stub(only_out_at_a), clock=clock, cycles=1)
    assert (summary.landed, summary.cycles) == (["B-002"], 1)


def test_where_nothing_else_can_be_done_the_same_attempt_goes_on(place: Make, stub: Any) -> None:
    here, clock = place(ONE, **FILES), Clock()
    for _ in range(3):
        assert here.run(stub(out), clock=clock).reason == "RETRY_LATER"
    assert here.run(stub(fix), clock=clock).landed == ["A-001"]
    assert here.harness().state.items["A-001"].attempts == 1


def test_a_supervisor_that_is_out_holds_no_item_either(place: Make, stub: Any) -> None:
    here, clock = place(ONE, **FILES), Clock()
    boss = stub(out, name="boss")
    assert here.run(stub(fix), supervisor=boss, clock=clock).reason == "RETRY_LATER"
    reword(here, "- Status: open", "- Status: dropped")
    asked = len(boss.turns)
    assert here.run(stub(fix), supervisor=boss, clock=clock).reason == "DONE"
    assert len(boss.turns) == asked
