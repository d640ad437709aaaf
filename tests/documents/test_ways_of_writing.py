"""Ways in which people write ledgers, memories, plans, findings and orders: read, or counted."""

from __future__ import annotations

import pytest
from orchestration.documents import kinds, ledger
from orchestration.documents.fix import canonical, missing_lines
from orchestration.documents.memory import reader as memory
from orchestration.documents.order import ValidationContext, parse_order
from orchestration.documents.plan import reader as plan


def codes(kind: str, text: str) -> list[str]:
    return [d.code for d in kinds.check_document(kind, text, ValidationContext())]


def test_attempts_with_a_numbered_heading_each_are_attempts() -> None:
    text = (
        "## [OVEN-HEAT-001] Heat\n- Status: open\n### Exit Criteria\n- [ ] C1 hot\n"
        "### Attempts History\n#### Attempt 1 — 2026-01-05\nCold.\n"
        "#### Attempt #2 (2026-01-06)\nWarm.\n#### Notes\nNone.\n"
    )
    attempts = ledger.parse_ledger(text).items[0].attempts
    assert [(a.turn, a.at and a.at.day) for a in attempts] == [(1, 5), (2, 6)]
    assert attempts[1].text == "Warm."


@pytest.mark.parametrize(
    "key", ["Acceptance Criteria", "Success criteria", "Completion Criteria", "Definition of Done"]
)
def test_criteria_have_many_names(key: str) -> None:
    text = f"## [OVEN-HEAT-001] Heat\n- Status: open\n- {key}:\n  - [ ] `pytest tests/t.py`\n"
    (criterion,) = ledger.parse_ledger(text).items[0].criteria
    assert criterion.command is not None and criterion.command.argv[0] == "pytest"
    assert codes("ledger", text.replace("pytest tests/t.py", "pytest --co")) == ["E28"]


def test_two_lists_of_criteria_have_ids_of_their_own() -> None:
    text = "## [OVEN-A-001] t\n- Exit:\n  - a\n  - b\n- Acceptance Criteria:\n  - c\n"
    assert [c.id for c in ledger.parse_ledger(text).items[0].criteria] == ["C1", "C2", "C3"]


def test_a_struck_box_is_no_open_criterion() -> None:
    text = "## [OVEN-A-001] t\n- Status: open\n- Exit:\n  - [-] a\n  - [ ] b\n"
    read = ledger.parse_ledger(text).items[0].criteria
    assert [(c.state, c.meaning) for c in read] == [("D", "a"), (" ", "b")]


def test_a_ledger_of_underlined_titles_is_told_that_nothing_is_read() -> None:
    text = "Plan\n====\n\nOVEN-HEAT-001 Heat\n------------------\nStatus: open\nPriority: P1\n"
    (told,) = kinds.check_document("ledger", text, ValidationContext())
    assert (told.code, told.line) == ("W27", 6)
    assert codes("ledger", "# L\n\n## Oven heat\n- Status: open\n") == ["W27"], "told once"


@pytest.mark.parametrize(
    ("heading", "hour", "stamp"),
    [
        ("## [2026-01-05 10:30:00 UTC] Loop 12", 10, "2026-01-05T10:30:00Z"),
        ("## [2026-01-05T10:30:00Z] Loop 12", 10, "2026-01-05T10:30:00Z"),
        ("## Iteration 14 — 5 Jan 2026", 0, "2026-01-05"),
        ("## Loop 3 (Jan 5, 2026)", 0, "2026-01-05"),
        ("#### 2026-01-05T10:30:00Z — ralph", 10, "2026-01-05T10:30:00Z"),
    ],
)
def test_a_heading_that_names_a_time_in_any_way_begins_an_entry(
    heading: str, hour: int, stamp: str
) -> None:
    text = f"# Memory\n\n{heading}\n- dwell: 2\n- Focus: OVEN-HEAT-001\n"
    (entry,) = memory.parse_memory(text).entries
    assert entry.at is not None and (entry.at.day, entry.at.hour) == (5, hour)
    assert (entry.stamp, entry.dwell, entry.item_id) == (stamp, 2, "OVEN-HEAT-001")
    assert missing_lines(text, canonical("memory", text, "x.md")) == []


def test_a_deep_stamp_below_an_entry_is_part_of_it() -> None:
    text = "## 2026-01-05T10:00:00Z\n- dwell: 0\n#### 2026-01-05T11:00:00Z note\n- x\n"
    read = memory.parse_memory(text)
    assert len(read.entries) == 1 and "W27" in [d.code for d in read.diagnostics]


def test_a_state_of_a_table_may_be_a_sign_or_a_word() -> None:
    rows = "| A1 | a | [ ] |\n| A2 | b | ✅ |\n| A3 | c | done |\n| A4 | d | ⏳ |\n"
    text = f"# Plan\n| ID | Task | State |\n|---|---|---|\n{rows}"
    read = plan.parse_plan(text)
    assert [(r.id, r.state) for r in read.rows] == [
        ("A1", " "),
        ("A2", "x"),
        ("A3", "x"),
        ("A4", " "),
    ]
    unread = kinds.check_document("plan", f"{text}| A5 | e | who knows |\n", ValidationContext())
    assert [(d.code, d.line) for d in unread] == [("W27", 8)]


def test_a_finding_without_its_first_pipe_is_told() -> None:
    text = (
        "# Findings\n| Finding ID | Date | Keywords | Synopsis | Evidence Pointer | Status |\n"
        "|---|---|---|---|---|---|\nOVEN-001 | 2026-01-05 | a | b | `c.py:1` | Active\n"
    )
    told = kinds.check_document("findings", text, ValidationContext())
    assert [(d.code, d.line) for d in told] == [("W09", 4)]


def test_a_sign_before_a_title_or_a_key_is_no_part_of_its_name() -> None:
    text = (
        "# 🚀 OVEN-HEAT-001 — Stage B\n**🎯 Focus:** OVEN-HEAT-001\n**Mode:** TDD ✅\n"
        "**Mapped\u00a0tests:** `pytest tests/t.py`\n\n"
        "### ✅ Do Now\n- Implement: `oven.py::heat`\n\n"
        "### 🧪 Checks\n- `pytest tests/t.py`\n\n### ⚠️ If Blocked\nstop\n"
    )
    read = parse_order(text)
    assert (read.focus, read.mode, read.selector) == ("OVEN-HEAT-001", "TDD", "tests/t.py")
    assert [ref.path for task in read.tasks for ref in task.refs] == ["oven.py"]
    assert [c.text for c in read.checks] == ["pytest tests/t.py"] and read.if_blocked == "stop"
    new = canonical("order", text, "input.md")
    assert missing_lines(text, new) == [] and canonical("order", new, "input.md") == new


def test_a_step_that_is_nothing_but_code_is_a_command() -> None:
    text = (
        "Focus: OVEN-HEAT-001\nMode: TDD\nSelector: tests/t.py\n\n## Goal\nx\n## Tasks\n"
        "- `oven.py::heat` — do\n## Checks\n- `pytest tests/t.py`\n- `exit 0`\n"
        "- `! pytest tests/t.py`\n- `notes/`\n- All is green\n"
    )
    assert [c.text for c in parse_order(text).checks] == [
        "pytest tests/t.py",
        "exit 0",
        "! pytest tests/t.py",
    ]
    assert codes("order", text).count("E28") == 2
