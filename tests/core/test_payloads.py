"""Payloads: every event has a type, old logs are read, and what is wrong is named."""

from __future__ import annotations

import ast
import dataclasses
import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orchestration.core import Event, payloads, replay
from orchestration.core.events import KINDS, CorruptLog, verify_chain
from orchestration.core.payloads import PAYLOADS, Payload
from orchestration.core.records import WrongShape

ROOT = Path(__file__).resolve().parents[2]
OLD_LOG = ROOT / "tests/fixtures/pins/harness/log.jsonl.gz"


def event(kind: str, data: dict[str, Any]) -> Event:
    return Event(7, "2026-01-06T14:00:00Z", 3, "harness", kind, "A-1", data)


def test_every_event_of_a_log_of_f264b61_is_read_and_written_back_unchanged() -> None:
    lines = gzip.decompress(OLD_LOG.read_bytes()).decode().splitlines()
    events = verify_chain((f"log:{n}", line) for n, line in enumerate(lines, start=1))
    younger = {"outage", "answer", "again", "upstream", "review"}
    assert {one.kind for one in events} == KINDS - younger
    for one in events:
        assert type(one.payload) is PAYLOADS[one.kind]
        assert one.payload.to_json() == one.data, one.line()


@pytest.mark.parametrize(
    ("kind", "data", "place"),
    [
        ("verdict", {}, "verdict is absent"),
        ("verdict", {"verdict": 3}, "verdict: expected a text, got 3"),
        ("verdict", {"verdict": "land", "verified": "C1"}, "verified: expected a list"),
        ("verdict", {"verdict": "land", "checks": [{"name": "C1"}]}, "checks[0].command is absent"),
        ("verdict", {"verdict": "land", "guard": {"base": {}}}, "guard.base.verdict is absent"),
        ("dispatch", {"attempt": True}, "attempt: expected a whole number, got True"),
        ("agent_exit", {"seconds": "2"}, "seconds: expected a number"),
        ("decision", {"action": "work", "evidence": 3}, "evidence: expected an object"),
    ],
)
def test_an_event_of_another_shape_is_a_corrupt_log(
    kind: str, data: dict[str, Any], place: str
) -> None:
    with pytest.raises(CorruptLog) as caught:
        replay([event(kind, data)])
    assert place in str(caught.value.got)
    assert caught.value.where == f"event 7 ({kind}, turn 3)"
    assert "orchestrate log recover" in str(caught.value.fix)


def test_a_newer_version_is_refused_and_what_it_adds_in_this_one_is_left_alone() -> None:
    with pytest.raises(CorruptLog, match="does not say") as caught:
        _ = event("retro", {"v": 2, "text": "x"}).payload
    assert "update orchestrate" in str(caught.value.got)
    assert event("retro", {"text": "x", "added": 1}).payload == payloads.Reviewed("x")


@dataclass(frozen=True)
class Second(Payload):
    """A kind whose second version has another name for its words."""

    KIND = "second"
    VERSION = 2

    words: str

    @classmethod
    def upgrade(cls, data: Mapping[str, Any], version: int) -> Mapping[str, Any]:
        return {"words": data["text"]}


def test_an_older_version_is_upgraded_when_it_is_read() -> None:
    assert Second.from_json({"text": "old"}) == Second("old")
    written = Second("new").to_json()
    assert written == {"words": "new", "v": 2}
    assert Second.from_json(written) == Second("new")
    with pytest.raises(WrongShape, match="version 3 is newer than 2"):
        Second.from_json({"words": "x", "v": 3})


words = st.text(max_size=5)
CHECKS = st.builds(payloads.CheckRow, words, words, st.booleans(), words, st.floats(0, 9))
SIDES = st.builds(payloads.GuardSide, words, words, st.dictionaries(words, words, max_size=2))


@given(
    st.builds(
        payloads.Judged,
        verdict=words,
        guard=st.dictionaries(st.sampled_from(["base", "attempt"]), SIDES),
        checks=st.lists(CHECKS, max_size=3).map(tuple),
        ticks=st.lists(words, max_size=3).map(tuple),
        notes=st.lists(st.builds(payloads.Note, words, words), max_size=2).map(tuple),
        attempt=st.none() | st.builds(payloads.AttemptLine, words),
        memory=st.none() | st.builds(payloads.MemoryEntry, words, words, words),
    )
)
def test_a_payload_survives_its_json(judged: payloads.Judged) -> None:
    assert payloads.Judged.from_json(judged.to_json()) == judged


def test_every_kind_has_one_frozen_dataclass() -> None:
    assert {kind.KIND for kind in PAYLOADS.values()} == KINDS
    for kind in PAYLOADS.values():
        assert dataclasses.is_dataclass(kind) and kind.__dataclass_params__.frozen  # type: ignore[attr-defined]


def test_only_the_log_and_the_json_views_read_the_raw_data_of_an_event() -> None:
    """Everybody else asks `payload`, which has a type."""
    raw = set()
    for path in (ROOT / "scripts/orchestration").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            owner = node.value if isinstance(node, ast.Attribute) and node.attr == "data" else None
            if isinstance(owner, ast.Name) and owner.id in ("event", "e", "last", "told"):
                raw.add(path.relative_to(ROOT / "scripts/orchestration").as_posix())
    # reduce keeps it for the open cycle; the status shows the last decision as it was written;
    # imported claims are compared as they stand.
    assert raw == {"core/reduce.py", "views/model.py", "cli/documents.py"}
