"""Proof 2: what must end by itself ends within two cycles, with the right reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from orchestration.agents.base import Outcome, TurnContext

Make = Callable[..., Any]
WAIT = """### [ACK-001] The other side answers
- Status: waiting — On: the maintainer; Check: test -f ack.txt; Poll: 1s; Until: 2090-01-01
"""
ITEM = """### [A-001] One thing
- Status: open
- Exit:
  - [ ] C1 `cmp value.txt wanted.txt` — right
"""


def value(text: str) -> Callable[[TurnContext, int], None]:
    def work(turn: TurnContext, n: int) -> None:
        (turn.workspace / "value.txt").write_text(text.format(n=n))

    return work


def test_a_never_arriving_acknowledgement_costs_no_turn(place: Make, stub: Any) -> None:
    here = place(WAIT)
    agent = stub(value("x"))
    summary = here.run(agent)
    assert (summary.reason, summary.exit_code) == ("BLOCKED_ON_USER", 6)
    assert (agent.turns, summary.cycles, summary.waiting) == ([], 0, ["ACK-001"])
    assert here.subjects() == ["start"]
    assert [e.kind for e in here.harness().log.events] == ["run_start", "poll", "run_end"]


def test_wait_polls_until_the_answer_is_there(place: Make, stub: Any) -> None:
    ledger = WAIT + "- Exit:\n  - [ ] C1 `test -f thanks.txt` — thanked\n"
    here = place(ledger)

    class Clock:
        """A clock whose sleep is the other side's answer."""

        slept = 0.0

        def now(self) -> Any:
            from datetime import UTC, datetime

            return datetime.now(UTC)

        def monotonic(self) -> float:
            return 0.0

        def sleep(self, seconds: float) -> None:
            Clock.slept += seconds
            if Clock.slept >= 2:
                here.write("ack.txt", "yes")

    def thank(turn: TurnContext, n: int) -> None:
        (turn.workspace / "thanks.txt").write_text("thanks")

    agent = stub(thank)
    summary = here.run(agent, wait_s=30.0, clock=Clock())
    assert (summary.reason, summary.landed) == ("DONE", ["ACK-001"])
    assert (Clock.slept, len(agent.turns)) == (2.0, 1)


def test_an_expired_wait_is_blocked(place: Make) -> None:
    here = place(WAIT.replace("2090", "2020"))
    summary = here.run()
    assert (summary.reason, summary.blocked) == ("BLOCKED_ON_USER", ["ACK-001"])
    assert "Status: blocked — waited for the maintainer" in here.read("docs/fix_plan.md")


def test_a_plan_already_complete_takes_no_turn(place: Make, stub: Any) -> None:
    here = place(ITEM.replace("[ ]", "[x]"))
    agent = stub(value("x"))
    summary = here.run(agent)
    assert (summary.reason, agent.turns) == ("DONE", [])
    assert "Status: done" in here.read("docs/fix_plan.md")
    assert here.run(agent).reason == "DONE"
    assert agent.turns == []


def test_docs_only_progress_stops_within_two_cycles(place: Make, stub: Any) -> None:
    here = place(ITEM, **{"value.txt": "wrong\n", "wanted.txt": "right\n"})

    def write_docs(turn: TurnContext, n: int) -> str:
        (turn.workspace / "docs" / f"status_{n}.md").write_text(f"all is well, cycle {n}\n")
        return "great progress"

    agent = stub(write_docs)
    summary = here.run(agent)
    assert (summary.reason, summary.exit_code, len(agent.turns)) == ("STALLED", 4, 2)
    assert summary.landed == []
    assert here.subjects()[1:] == ["start"]
    assert here.subjects()[0].startswith("SUPERVISOR")


def test_the_same_failure_is_left_after_the_second_time(place: Make, stub: Any) -> None:
    here = place(ITEM, **{"value.txt": "wrong\n", "wanted.txt": "right\n"})
    agent = stub(value("wrong {n}\n"))
    summary = here.run(agent)
    assert (summary.reason, len(agent.turns), summary.rejected) == ("STALLED", 2, ["A-001"] * 2)
    pivots = [e for e in here.harness().log.events if e.kind == "pivot"]
    assert len(pivots) == 1
    assert pivots[0].data["reason"].startswith("the same failure 2 times: criterion C1")
    second = agent.turns[1].brief
    assert "criterion C1 is not met" in second and "retry-reason" in second


def test_the_same_patch_as_a_failed_one_is_stopped_at_once(place: Make, stub: Any) -> None:
    here = place(ITEM, **{"value.txt": "wrong\n", "wanted.txt": "right\n"})
    agent = stub(value("still wrong\n"))
    summary = here.run(agent)
    assert (summary.reason, len(agent.turns)) == ("STALLED", 2)
    verdicts = [e.data for e in here.harness().log.events if e.kind == "verdict"]
    assert verdicts[1]["signature"] == "same patch"
    assert verdicts[1]["checks"] == []


def test_the_identical_order_is_never_issued_twice(place: Make) -> None:
    recipe = "- Recipe:\n  - run: cp wanted.txt copy.txt\n"
    here = place(ITEM + recipe, **{"value.txt": "wrong\n", "wanted.txt": "right\n"})
    summary = here.run()
    assert (summary.reason, summary.cycles) == ("STALLED", 2)
    events = here.harness().log.events
    assert sum(e.kind == "order" for e in events) == 1
    assert (
        "would repeat that of turn 1" in next(e for e in events if e.kind == "pivot").data["reason"]
    )


def test_three_cycles_of_the_same_kind_that_each_verify_something_go_on(
    place: Make, stub: Any
) -> None:
    rows = "".join(f"  - [ ] C{n} `test -f part{n}.txt` — part {n}\n" for n in range(1, 5))
    here = place("### [A-001] Four parts\n- Status: open\n- Exit:\n" + rows)

    def part(turn: TurnContext, n: int) -> None:
        (turn.workspace / f"part{n}.txt").write_text("same text every time\n")

    agent = stub(part)
    summary = here.run(agent)
    assert (summary.reason, len(agent.turns), summary.rejected) == ("DONE", 4, [])
    assert here.harness().state.items["A-001"].pivots == 0
    assert sum(s.startswith("RALPH A-001") for s in here.subjects()) == 4


def test_other_work_goes_on_while_a_stuck_item_rests(place: Make, stub: Any) -> None:
    other = ITEM.replace("A-001", "B-001").replace("value.txt", "other.txt")
    here = place(
        ITEM.replace("open\n", "open\n- Priority: P0\n", 1) + "\n" + other,
        **{"value.txt": "wrong\n", "wanted.txt": "right\n"},
    )

    def work(turn: TurnContext, n: int) -> None:
        name = "other.txt" if "B-001" in turn.brief.splitlines()[0] else "value.txt"
        (turn.workspace / name).write_text("right\n" if name == "other.txt" else f"no {n}\n")

    agent = stub(work)
    summary = here.run(agent)
    assert (summary.reason, summary.landed, summary.rejected) == (
        "STALLED",
        ["B-001"],
        ["A-001", "A-001"],
    )


@pytest.mark.parametrize("kind", ["blocked", "refused", "crash", "timeout"])
def test_how_an_agent_ends_is_kept_and_never_lands(place: Make, stub: Any, kind: Any) -> None:
    here = place(ITEM, **{"value.txt": "wrong\n", "wanted.txt": "right\n"})

    def work(turn: TurnContext, n: int) -> Outcome:
        (turn.workspace / "value.txt").write_text("right\n")
        return Outcome(kind, "no library for this", exit_code=1)

    summary = here.run(stub(work), cycles=1)
    assert (summary.reason, summary.landed) == ("CHECKS_RED", [])
    receipt_like = [e.data for e in here.harness().log.events if e.kind == "agent_exit"]
    assert receipt_like[0]["outcome"] == kind
    assert receipt_like[0]["cost"] is None and receipt_like[0]["tokens"] is None
    assert json.dumps(receipt_like[0])
    branch = here.read("value.txt", "orchestration/attempts/A-001/1")
    assert branch == "right\n"
