"""An outage is not an attempt: it waits, ends the run with the time, and spends nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from orchestration.agents.base import OUTAGES, Outcome, TurnContext

Make = Callable[..., Any]
LEDGER = """### [A-001] One thing
- Status: open
- Exit:
  - [ ] C1 `cmp value.txt wanted.txt` — right
"""
VALUES = {"value.txt": "wrong\n", "wanted.txt": "right\n"}


class Clock:
    """Time that passes only where somebody sleeps."""

    def __init__(self) -> None:
        self.seconds, self.slept = 0.0, []

    def now(self) -> datetime:
        return datetime(2026, 11, 28, 12, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds


def fix(turn: TurnContext) -> Outcome:
    (turn.workspace / "value.txt").write_text("right\n")
    return Outcome("done", "did it")


@pytest.mark.parametrize("kind", [*OUTAGES, "dead"])
def test_an_outage_spends_no_attempt_and_the_next_run_goes_on(
    kind: str, place: Make, stub: Any
) -> None:
    here = place(LEDGER, **VALUES)
    before = here.subjects()
    out = Outcome("crash", "no such program", dead=True) if kind == "dead" else Outcome(kind, "out")
    clock = Clock()
    summary = here.run(stub(lambda turn, n: out), clock=clock)
    assert (summary.reason, summary.exit_code) == ("RETRY_LATER", 75)
    assert "\n" not in summary.text
    assert summary.blocked == summary.rejected == []
    assert here.subjects() == before
    # Nothing is gained by asking again for a login; the others back off within the turn's clock.
    assert clock.slept == ([] if kind == "auth" else [5, 10, 20, 40, 80, 160, 300, 300, 300, 300])
    assert ("again at 2026-11-28T1" in summary.text) == (kind != "auth")
    known = here.harness().state.items["A-001"]
    assert known.rejected == 0
    summary = here.run(stub(lambda turn, n: fix(turn)), clock=clock)
    assert summary.landed == ["A-001"]
    assert here.harness().state.items["A-001"].attempts == 1


def test_a_named_time_is_waited_for_in_the_turn_or_ends_the_run(place: Make, stub: Any) -> None:
    here, clock = place(LEDGER, **VALUES), Clock()

    def work(turn: TurnContext, n: int) -> Outcome:
        at = turn.now() + timedelta(seconds=90)
        return Outcome("rate_limit", "429", retry_at=at, cost=0.5) if n == 1 else fix(turn)

    summary = here.run(stub(work), clock=clock)
    assert (summary.landed, clock.slept) == (["A-001"], [90])
    assert here.harness().state.money == 0.5


@pytest.mark.parametrize(("wait_s", "landed"), [(0, []), (3000, []), (8000, ["A-001"])])
def test_wait_sleeps_until_the_time(
    wait_s: float, landed: list[str], place: Make, stub: Any
) -> None:
    here, clock = place(LEDGER, **VALUES), Clock()
    back = clock.now() + timedelta(hours=2)

    def work(turn: TurnContext, n: int) -> Outcome:
        if turn.now() < back:
            return Outcome("rate_limit", "usage limit reached", retry_at=back)
        return fix(turn)

    summary = here.run(stub(work), clock=clock, wait_s=wait_s)
    assert summary.landed == landed
    assert clock.slept == ([7200] if landed else [])
    if not landed:
        assert "again at 2026-11-28T14:00:00Z" in summary.text


def test_a_supervisor_that_is_out_ends_the_run_too(place: Make, stub: Any) -> None:
    here = place(LEDGER, **VALUES)
    boss = stub(lambda turn, n: Outcome("auth", "not logged in"), name="boss")
    summary = here.run(stub(lambda turn, n: fix(turn)), supervisor=boss, clock=Clock())
    assert summary.reason == "RETRY_LATER"
    assert "boss: auth: not logged in" in summary.text
    assert len(boss.turns) == 1
