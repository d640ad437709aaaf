"""Memories as people write them: what a careful reader reads is what is read."""

from __future__ import annotations

import pytest
from orchestration.documents import kinds
from orchestration.documents.fix import missing_lines, rewrite
from orchestration.documents.memory import parse_memory
from orchestration.documents.order import ValidationContext
from orchestration.documents.past import memory_stats

MEMORY = """# Galph Memory

## 2026-01-05 (galph loop - Phase A kick-off)
- Reviewed Ralph's commits abc1234; wrote input.md.
- <Action State>: [planning]

### 2026-01-06T10:00:00Z (galph loop - focus selection)
- Focus issue: [OVEN-HEAT-002] Stage B
- Action type: Planning

### 2026-01-06T10:20:00Z (galph loop recap)
- Wrote input.md for Ralph.
- <Action State>: [ready_for_implementation] (chunk 3 handed over)

#### 2026-01-06T10:30:00Z detail
"""


def test_nested_entries_are_entries_and_a_word_is_no_role() -> None:
    read = parse_memory(MEMORY)
    assert [(e.role, e.item_id, e.state) for e in read.entries] == [
        ("supervisor", "", "planning"),
        ("supervisor", "OVEN-HEAT-002", None),
        ("supervisor", "", "ready_for_implementation"),
    ]
    told = [d for d in read.diagnostics if d.code == "W27"]
    assert len(told) == 1 and "read 3 of 4" in told[0].message
    worker = parse_memory("## 2026-01-06T10:00:00Z Ralph: tried it\n- did it\n")
    assert worker.entries[0].role == "worker"


@pytest.mark.parametrize(
    ("title", "role", "day"),
    [
        ("Supervisor loop — 2026-01-06T10:00Z", "supervisor", 6),
        ("Loop 13 (2026-01-06)", "supervisor", 6),
        ("Galph, 2026-01-06T10:00:00Z: heat", "supervisor", 6),
        ("🔥 2026-01-06T10:00Z — galph loop", "supervisor", 6),
        ("[2026-01-06T10:00:00Z] Galph reads Ralph's work", "supervisor", 6),
        ("**2026-01-06** — Ralph handed back", "worker", 6),
        ("Jan 6, 2026 — galph", "supervisor", 6),
        ("6 January 2026: Ralph, back", "worker", 6),
        ("2026/01/06 galph", "supervisor", 6),
        ("Ralph loop 2026-01-06T10:00Z", "worker", 6),
    ],
)
def test_an_entry_begins_where_its_heading_names_a_time(title: str, role: str, day: int) -> None:
    """What stands below it is not laid over the entry before."""
    text = (
        "# Memory\n\n## 2026-01-05T10:00:00Z (galph loop)\n- dwell: 0\n- Focus issue: OVEN-001\n\n"
        f"## {title}\n- dwell: 1\n- Focus issue: OVEN-002\n"
    )
    read = parse_memory(text)
    first, second = read.entries
    assert (first.item_id, first.dwell, second.item_id, second.dwell) == (
        "OVEN-001",
        0,
        "OVEN-002",
        1,
    )
    assert second.at is not None and (second.at.day, second.role) == (day, role)
    assert not read.diagnostics
    fixed = rewrite("memory", text, "galph_memory.md")
    assert not missing_lines(text, fixed.text)
    assert rewrite("memory", fixed.text, "galph_memory.md").text == fixed.text


def test_fields_below_a_deeper_time_are_not_those_of_the_entry_above() -> None:
    text = "# M\n\n### 2026-01-05T10:00Z galph\n- dwell: 0\n\n#### 2026-01-06T10:00Z\n- dwell: 7\n"
    read = parse_memory(text)
    assert [(e.dwell, "- dwell: 7" in e.body) for e in read.entries] == [(0, True)]
    assert [d.code for d in read.diagnostics] == ["W27"]


def test_a_heading_that_only_speaks_of_a_day_begins_no_entry() -> None:
    text = "# M\n\n## 2026-01-05T10:00:00Z galph\n- dwell: 0\n\n### Evidence of 2026-01-04\nwords\n"
    (entry,) = parse_memory(text).entries
    assert "Evidence of 2026-01-04" in entry.body


@pytest.mark.parametrize(
    "line",
    [
        "## Notes of 2026-01-06T10:00:00Z",
        "- 2026-01-06T10:00:00Z galph: x",
        "**2026-01-06T10:00:00Z — galph**",
    ],
)
def test_a_stamp_that_begins_no_entry_is_counted(line: str) -> None:
    read = parse_memory(f"# Galph Memory\n\n{line}\n- did it\n")
    assert not read.entries
    (told,) = [d for d in read.diagnostics if d.code == "W27"]
    assert told.line == 3 and "read 0 of 1" in told.message


def test_dwell_is_unknown_where_nothing_says_what_the_worker_did() -> None:
    entry = (
        "## 2026-01-05T1{}0000Z\nfocus=OVEN-HEAT-002 state=planning dwell={} next_action=do {}\n"
    )
    read = parse_memory("# M\n\n" + "\n".join(entry.format(*n) for n in ("02a", "10b", "20c")))
    stats = memory_stats(read)
    assert [row.recomputed for row in stats.dwell] == [None, None, None]
    assert (stats.unknown, stats.disagreements) == (3, 0)
    two = "\n".join(entry.format(*n) for n in ("02a", "10b"))
    found = kinds.check_document("memory", two, ValidationContext(path="galph_memory.md"))
    assert "W21" not in [each.code for each in found]
    text = entry.format(0, 0, "a")
    assert "ralph_last_commit" not in rewrite("memory", text, "galph_memory.md").text
