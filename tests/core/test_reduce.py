"""reduce: dwell, budgets and pending changes follow from the events alone."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from orchestration.core.canonical import canonical_state, canonical_text
from orchestration.core.events import GENESIS, Event
from orchestration.core.reduce import replay
from orchestration.core.state import State


def log(*rows: tuple[str, dict[str, Any]], item: str = "A-1") -> list[Event]:
    events: list[Event] = []
    for number, (kind, data) in enumerate(rows, start=1):
        sha = events[-1].sha if events else GENESIS
        at = f"2026-01-06T14:00:{number % 60:02d}Z"
        events.append(Event(number, at, number // 4, "harness", kind, item, data, sha))
    return events


def verdict(word: str, *verified: str, **more: Any) -> tuple[str, dict[str, Any]]:
    return "verdict", {"verdict": word, "verified": list(verified), "reason": word, **more}


START = ("run_start", {"run": "r", "agent": "stub", "cycles": None})
WORK = ("decision", {"action": "work", "cycle": 1, "reason": "", "evidence": {}})


def test_dwell_counts_cycles_without_a_newly_verified_criterion() -> None:
    rows = [START, WORK, verdict("land", "C1"), verdict("land", "C1"), verdict("reject")]
    state = replay(log(*rows))
    assert state.items["A-1"].dwell == 2
    assert state.items["A-1"].verified == ["C1"]
    again = replay(log(*rows, verdict("land", "C1", "C2")))
    assert again.items["A-1"].dwell == 0


def test_a_stale_attempt_is_nobodys_failure() -> None:
    state = replay(log(START, WORK, verdict("stale", patch="p", signature="s")))
    item = state.items["A-1"]
    assert (item.dwell, item.rejected, item.failed_patches, item.signatures) == (0, 0, [], [])
    assert not state.pending


def test_unknown_cost_stays_unknown_and_known_cost_adds_up() -> None:
    exit_data = {"seconds": 2.0, "cost": None, "tokens": None}
    state = replay(log(START, WORK, ("agent_exit", exit_data)))
    assert (state.money, state.tokens, state.agent_seconds) == (None, None, 2.0)
    state = replay(
        log(
            START,
            WORK,
            ("agent_exit", exit_data | {"cost": 0.5, "tokens": 10}),
            ("agent_exit", exit_data | {"cost": 0.25, "tokens": 5}),
        )
    )
    assert (state.money, state.tokens, state.agent_seconds) == (0.75, 15, 4.0)


def test_a_commit_takes_everything_that_was_pending_and_a_reopen_forgets_failures() -> None:
    rows = [
        START,
        WORK,
        verdict("reject", signature="s", patch="p", notes=[{"path": "n"}]),
        ("block", {"reason": "stalled", "notes": []}),
    ]
    state = replay(log(*rows))
    assert state.pending and state.pending.marks["A-1"].status == "blocked"
    state = replay(log(*rows, ("commit", {"purpose": "closing", "commit": "c"}), ("reopen", {})))
    assert not state.pending
    assert (state.items["A-1"].signatures, state.items["A-1"].rejected) == ([], 1)
    assert state.items["A-1"].blocked == ""


words = st.sampled_from(["land", "reject", "blocked", "stale"])
names = st.lists(st.sampled_from(["C1", "C2", "C3"]), max_size=2, unique=True)


@settings(max_examples=120, deadline=None)
@given(st.lists(st.tuples(words, names), max_size=12), st.integers(0, 12))
def test_folding_in_two_parts_is_folding_at_once_and_dwell_is_right(
    story: list[tuple[str, list[str]]], cut: int
) -> None:
    rows = [START, WORK, *(verdict(word, *found) for word, found in story)]
    events = log(*rows)
    whole = replay(events)
    assert replay(events[cut:], replay(events[:cut])) == whole
    seen: set[str] = set()
    dwell = 0
    for word, found in story:
        if word == "stale":
            continue
        fresh = set(found) - seen if word == "land" else set()
        seen |= fresh
        dwell = 0 if fresh else dwell + 1
    assert whole.item("A-1").dwell == dwell


def test_the_canonical_form_forgets_times_hashes_and_durations_only() -> None:
    text = "at 2026-01-06T14:00:00Z in reports/2026-01-06T140000Z-2, 3.5 s, " + "a1" * 20
    assert canonical_text(text) == "at <time> in reports/<time>, <s>, <sha>"
    assert canonical_text("C1 `pytest a.py::b` 3 passed") == "C1 `pytest a.py::b` 3 passed"
    events = log(START, WORK, verdict("reject", signature="s"))
    later = [
        Event(e.seq, "2027" + e.at[4:], e.turn, e.role, e.kind, e.item, e.data) for e in events
    ]
    assert canonical_state(replay(events)) == canonical_state(replay(later))
    other = replay(log(START, WORK, verdict("reject", signature="t")))
    assert canonical_state(other) != canonical_state(replay(events))
    assert canonical_state(State()) == canonical_state(State())
