"""The hash chain: what was written reads back, and any change to it is refused with its line."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from orchestration.core.events import GENESIS, CorruptLog, Event, parse_event, verify_chain


def chain(count: int) -> list[Event]:
    events: list[Event] = []
    for number in range(1, count + 1):
        events.append(
            Event(
                seq=number,
                at="2026-01-06T14:00:00Z",
                turn=number // 3,
                role="harness",
                kind="warning",
                item=None,
                data={"n": number, "text": "ä\n"},
                prev_sha=events[-1].sha if events else GENESIS,
            )
        )
    return events


def lines(events: list[Event]) -> list[tuple[str, str]]:
    return [(f"log/{e.turn:06d}.jsonl:{i}", e.line()) for i, e in enumerate(events, 1)]


def test_a_chain_reads_back_equal() -> None:
    events = chain(7)
    assert verify_chain(lines(events)) == events


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 6), st.sampled_from(["drop", "swap", "edit", "duplicate", "spaces"]))
def test_any_damage_is_refused_where_it_is(index: int, damage: str) -> None:
    rows = lines(chain(8))
    if damage == "drop":
        del rows[index]
        bad = index
    elif damage == "swap":
        rows[index], rows[index + 1] = rows[index + 1], rows[index]
        bad = index
    elif damage == "edit":
        raw = json.loads(rows[index][1])
        raw["data"]["n"] = 99
        line = json.dumps(raw, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        rows[index] = (rows[index][0], line)
        bad = index + 1
    elif damage == "duplicate":
        rows.insert(index, rows[index])
        bad = index + 1
    else:
        rows[index] = (rows[index][0], rows[index][1].replace(":", ": ", 1))
        bad = index
    with pytest.raises(CorruptLog) as caught:
        verify_chain(rows)
    assert caught.value.where == rows[bad][0]
    assert "orchestrate log recover" in str(caught.value)


@pytest.mark.parametrize(
    "line",
    ["", "{", "[]", "{}", '{"seq":1}', chain(1)[0].line().replace('"warning"', '"lie"')],
)
def test_lines_that_are_no_events_are_refused(line: str) -> None:
    with pytest.raises(CorruptLog) as caught:
        parse_event(line, "log/000000.jsonl:1")
    assert caught.value.where == "log/000000.jsonl:1"
