"""Ledgers as people write them: what a careful reader reads is what is read."""

from __future__ import annotations

import pytest
from orchestration.documents import ledger
from orchestration.documents.fix import missing_lines, rewrite

LEDGER = """# Ledger

## [OVEN-HEAT-002] Heat
- Priority: High
- Status: {}
- Plan Reference: `plans/active/heat/plan.md` (phase B)
- Attempts History:
  * [2026-01-05] Attempt #1 — Result: success (stage A).
    - Metrics: 3
  + 2026-01-06T101500Z — Attempt #2: half of it
  - **2026-01-07** (loop 3): the rest
  1. Attempt 4: again
  - a bullet without a date
- Exit Criteria:
  - The table has a row
  * ✅ The door is shut
  - [x] `pytest tests/test_oven.py` passes
  - ⏳ The report is out
  - ~~Old wish~~

## [OVEN-DOOR-003] Door
- Status: open
"""


def test_attempts_and_criteria_are_read_whatever_their_bullets() -> None:
    read = ledger.parse_ledger(LEDGER.format("in_planning"))
    item = read.items[0]
    assert [(a.turn, a.at and f"{a.at:%d}") for a in item.attempts] == [
        (1, "05"),
        (2, "06"),
        (None, "07"),
        (4, None),
    ]
    assert (item.attempts[0].outcome, item.attempts[2].label) == ("success", "loop 3")
    assert "- Metrics: 3" in item.attempts[0].text
    assert [(c.state, c.command.text if c.command else None) for c in item.criteria] == [
        (" ", None),
        ("x", None),
        ("x", "pytest tests/test_oven.py"),
        (" ", None),
        ("x", None),
    ]
    assert item.criteria[0].meaning == "The table has a row"
    assert item.plan == "plans/active/heat/plan.md" and item.priority == "P1"
    told = [d for d in read.diagnostics if d.code == "W27"]
    assert "read 4 of 5 bullets" in told[0].message and "line 13" in told[0].message


@pytest.mark.parametrize(
    "title",
    [
        "**{}:**",
        "**{}**",
        "- **{}**",
        "- {}",
        "- __{}__",
        "{}:",
        "{}",
        "### {}",
        "#### {}:",
        "- {} (all of them):",
    ],
)
def test_a_list_is_read_whatever_its_title_looks_like(title: str) -> None:
    indent = "  " if title.startswith("- ") else ""
    text = (
        "## [OVEN-HEAT-002] Heat\n- Status: open\n\n"
        + title.format("Exit Criteria")
        + f"\n{indent}- The door shuts: at once\n{indent}• [✓] It is hot\n\n"
        + title.format("Attempts History")
        + f"\n{indent}- 🔥 2026-01-05: half of it\n{indent}- Attempt 2: the rest\n"
        + "- Owner: Ann\n\n## [OVEN-DOOR-003] Door\n- Status: open\n"
    )
    read = ledger.parse_ledger(text)
    item = read.items[0]
    assert [(c.state, c.meaning) for c in item.criteria] == [
        (" ", "The door shuts: at once"),
        ("x", "It is hot"),
    ]
    assert [(a.turn, a.at and a.at.day) for a in item.attempts] == [(None, 5), (2, None)]
    assert item.owner == "Ann" and not read.diagnostics
    new = ledger.append_attempt(text, item.id, ledger.Attempt(turn=3, outcome="landed"))
    assert [a.turn for a in ledger.parse_ledger(new).items[0].attempts] == [None, 2, 3]
    ticked = ledger.tick(text, item.id, item.criteria[0].id)
    assert ledger.parse_ledger(ticked).items[0].criteria[0].met


@pytest.mark.parametrize(
    ("line", "turn", "day", "outcome"),
    [
        ("– 2026-01-05: Attempt #1 — Result: ✅ success", 1, 5, "success"),
        ("▸ 2026/01/05 Attempt #2 — slashes", 2, 5, ""),
        ("- 2026.1.5 — points", None, 5, ""),
        ("- 20260105: no marks", None, 5, ""),
        ("- 2026-01-05 10:15 Attempt #3 — outcome: failed", 3, 5, "failed"),
        ("- Jan 5, 2026 – Attempt #4 – words", 4, 5, ""),
        ("* 5 January 2026: words", None, 5, ""),
        ("○ [Attempt #6] 2026-01-05: ok", 6, 5, ""),
        ("- #7 (2026-01-05): ran again", 7, 5, ""),
        ("| 8 | 2026-01-05 | pass | ran |", 8, 5, "pass"),
    ],
)
def test_an_attempt_has_any_marker_date_and_number(
    line: str, turn: int | None, day: int, outcome: str
) -> None:
    head = "  | # | Date | Result | Notes |\n  |---|---|---|---|\n" if line[0] == "|" else ""
    text = f"## [OVEN-HEAT-002] Heat\n- Status: done\n- Attempts History:\n{head}  {line}\n"
    read = ledger.parse_ledger(text)
    (attempt,) = read.items[0].attempts
    assert (attempt.turn, attempt.at and attempt.at.day, attempt.outcome) == (turn, day, outcome)
    assert not read.diagnostics and not attempt.text.startswith("]")


def test_a_date_below_an_attempt_is_part_of_it() -> None:
    text = (
        "## [OVEN-HEAT-002] Heat\n- Status: done\n- Attempts History:\n"
        "  * [2026-01-05] Attempt #1 — half of it\n    - Artifacts: a.md\n"
        "      - 2026-01-04 an older run\n  * [2026-01-06] Attempt #2 — the rest\n"
    )
    item = ledger.parse_ledger(text).items[0]
    assert [a.turn for a in item.attempts] == [1, 2]
    assert "2026-01-04 an older run" in item.attempts[0].text


def test_items_that_stand_only_in_a_table_are_counted() -> None:
    table = "| ID | Title | Status |\n|---|---|---|\n| {} | Heat | done |\n"
    table += "| [FAN-002](#f) | Fan | open |\n"
    text = "# Plan\n\n" + table.format("OVEN-001") + "\n## [OVEN-001] Heat\n- Status: done\n"
    (told,) = ledger.parse_ledger(text).diagnostics
    assert told.code == "W27" and told.line == 6 and "read 1 of 2 items" in told.message
    assert "FAN-002" in told.message
    assert not ledger.parse_ledger(text + "## [FAN-002] Fan\n- Status: done\n").diagnostics


def test_a_row_of_a_single_bar_has_no_items() -> None:
    table = "| ID | Status |\n|---|---|\n| A-002 | pending |\n |\n|\n"
    read = ledger.parse_ledger(f"# Plan\n\n{table}\n## [A-001] one\n- Status: pending\n")
    assert [item.id for item in read.items] == ["A-001"]
    assert "read 0 of 1 items" in next(d for d in read.diagnostics if d.code == "W27").message


def test_a_priority_with_a_sign_and_a_plan_in_a_link_are_read() -> None:
    text = "- Priority: 🔴 High\n- Plan: [the plan](plans/active/oven/plan.md)\n"
    read = ledger.parse_ledger(f"## [OVEN-HEAT-002] Heat\n- Status: done\n{text}")
    assert (read.items[0].priority, read.items[0].plan) == ("P1", "plans/active/oven/plan.md")
    assert not read.diagnostics


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("Exit Criteria", "(1) the door shuts"),
        ("Exit Criteria", "the door shuts; it is hot"),
        ("Exit Criteria", "| C1 | the door shuts |"),
        ("Attempts History", "> 2026-01-05 half of it"),
        ("Attempts History", "| 3 | 2026-01-05 | half of it |"),
        ("Attempts History", "we tried it twice"),
    ],
)
def test_a_list_of_which_nothing_is_read_says_so(key: str, line: str) -> None:
    text = f"## [OVEN-HEAT-002] Heat\n- Status: open\n- {key}:\n  {line}\n"
    (told,) = ledger.parse_ledger(text).diagnostics
    assert told.code == "W27" and f"read 0 of 1 lines of `{key}`" in told.message
    assert "line 4" in told.message


@pytest.mark.parametrize(
    ("text", "status", "depends", "mapped"),
    [
        ("in_planning", "open", [], True),
        ("in planning — soon", "open", [], True),
        ("🚧 in_progress", "in_progress", [], False),
        (
            "in_progress (waiting on `[OVEN-DOOR-003]` stage B)",
            "in_progress",
            ["OVEN-DOOR-003"],
            True,
        ),
        ("pending — blocked by OVEN-DOOR-003", "open", ["OVEN-DOOR-003"], True),
        ("✅ COMPLETE (2026-01-05)", "done", [], True),
        ("❌", "blocked", [], True),
        ("landed (abc1234)", "done", [], True),
        ("testing", "in_progress", [], True),
        ("review — by Ann", "in_progress", [], True),
        ("in_progress — waiting for the oven", "in_progress", [], False),
        ("partially done — D4 left", "in_progress", [], True),
        ("80% complete", "in_progress", [], True),
        ("100% complete", "done", [], True),
        ("almost finished", "in_progress", [], True),
        ("not done", "open", [], True),
        ("incomplete: the door", "in_progress", [], True),
        ("under investigation", "in_progress", [], True),
        ("ready for review", "in_progress", [], True),
        ("Needs review by Ann", "in_progress", [], True),
        ("scheduled for March", "open", [], True),
        ("no longer needed", "dropped", [], True),
        ("~~open~~ done", "done", [], False),
        ("open → in_progress (2026-01-05)", "in_progress", [], False),
        ("open -> blocked by the vendor", "blocked", [], False),
        ("done?", "unknown", [], False),
    ],
)
def test_statuses_as_people_write_them(
    text: str, status: str, depends: list[str], mapped: bool
) -> None:
    read = ledger.parse_ledger(LEDGER.format(text))
    item = read.items[0]
    assert (item.status.value, item.depends) == (status, depends)
    assert ("W26" in {d.code for d in read.diagnostics}) is mapped
    assert ledger.unmet_dependencies(read, item) == depends


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("`pytest tests/t.py` passes", "pytest tests/t.py"),
        ("`python tools/a.py --all` — the figure", "python tools/a.py --all"),
        ("`scripts/check.sh`", "scripts/check.sh"),
        ("the guard: `make check`", "make check"),
        ("Look into `inbox/` for mail", None),
        ("`reports/2026-01-06T100000Z/` has no answer", None),
        ("Move it to `tools/` and `docs/`", None),
        ("`notes/a.md` is written", None),
        ("`notes/a.md`", None),
        ("`Oven.heat` returns 3", None),
        ("Write it under `reports/<ts>/README.md`.", None),
    ],
)
def test_a_code_span_that_is_a_path_is_a_path(text: str, command: str | None) -> None:
    item = f"### [A-1] x\n- Status: open\n- Exit:\n  - [ ] C1: {text}\n"
    (criterion,) = ledger.parse_ledger(item).items[0].criteria
    assert (criterion.command.text if criterion.command else None) == command
    if command is None:
        assert criterion.meaning == text


def test_a_criterion_without_a_box_can_be_ticked() -> None:
    text = LEDGER.format("open")
    new = ledger.tick(text, "OVEN-HEAT-002", "C1")
    assert new == text.replace("  - The table", "  - [x] The table")


REPORT = """# Fix Plan

## Status
`in_progress`

## Current Focus
**OVEN-BAKE-004 — Bake**

## Completed Items
- [x] S1: Look into `inbox/`
- [x] S2: Ship it

## Attempts History

### 2026-01-05T02:40Z — seed S1 (start)
**Action:** looked.

## TODOs
- [x] S2: Move it to `tools/` with tests
- [x] OVEN-BAKE-004.B1: Write `reports/<ts>/README.md`.
- [ ] OVEN-BAKE-004.F1: Wait. Last look: `reports/2026-01-06T100000Z/` is empty.
"""


def test_rows_of_a_report_without_a_box_are_rows() -> None:
    text = (
        "# P\n## Status\n`in_progress`\n## Current Focus\n**OVEN-HEAT-002 — Heat** (since May)\n"
        "## TODOs\n- [ ] B1: box\n- B2: no box\n1. a number\n"
    )
    (item,) = ledger.parse_ledger(text).items
    assert [c.meaning for c in item.criteria] == ["box", "B2: no box", "a number"]
    assert item.title == "Heat (since May)"


def test_the_rows_of_a_report_belong_to_their_items() -> None:
    read = ledger.parse_ledger(REPORT)
    assert [(i.id, [c.id for c in i.criteria]) for i in read.items] == [
        ("OVEN-BAKE-004", ["B1", "F1"]),
        ("seed", ["S1", "S2"]),
    ]
    assert not [c for i in read.items for c in i.criteria if c.command]
    assert "E26" not in {d.code for d in ledger.check_ledger(read)}
    fixed = rewrite("ledger", REPORT, "docs/fix_plan.md")
    assert not fixed.reason and missing_lines(REPORT, fixed.text) == []
    assert len(fixed.text.split("\n")) < 1.6 * len(REPORT.split("\n")), "no second copy"
    assert rewrite("ledger", fixed.text, "docs/fix_plan.md").text == fixed.text
