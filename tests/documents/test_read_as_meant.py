"""Documents as people write them: what a careful reader reads is what is read."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from orchestration.documents import kinds, ledger
from orchestration.documents.fix import missing_lines, rewrite
from orchestration.documents.grammar import SourceText, scan
from orchestration.documents.memory import parse_memory
from orchestration.documents.order import ValidationContext, parse_order
from orchestration.documents.past import memory_stats

HEAD = "Summary: s\nMode: TDD\nFocus: OVEN-HEAT-002.B1 — heat\nBranch: work\n"
TESTS = "Mapped tests: tests/test_oven.py::test_heat\n"


def codes(kind: str, text: str, path: str = "input.md", **lookups: object) -> list[str]:
    context = ValidationContext(path=path, **lookups)  # type: ignore[arg-type]
    return [d.code for d in kinds.check_document(kind, text, context)]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("none — evidence only", "evidence only"),
        ("none (docs-only loop)", "docs-only loop"),
        ("None: nothing runs", "nothing runs"),
        ("N/A - planning", "planning"),
        ("**none**", ""),
        ("no tests — tests/test_a.py is enough", "tests/test_a.py is enough"),
        ("no new tests", ""),
        ("no further tests needed (docs only)", "docs only"),
        ("not needed — docs only", "docs only"),
        ("skip", ""),
        ("— (evidence only)", "evidence only"),
        ("tests not run", ""),
        ("not run (docs only)", "docs only"),
        ("none required; evidence only", "evidence only"),
        ("None needed - planning", "planning"),
        ("not applicable (review of `tests/test_a.py`)", "review of `tests/test_a.py`"),
    ],
)
def test_no_selector_may_have_a_reason(value: str, reason: str) -> None:
    text = f"Focus: OVEN-HEAT-002\nMode: Docs\nMapped tests: {value}\nDo Now: write `a/b.md`\n"
    order = parse_order(text)
    assert (order.selector, order.selector_reason) == ("none", reason)
    assert not {"E03", "E05"} & set(codes("order", text, exists=lambda path: True))
    fixed = rewrite("order", text, "input.md").text
    assert parse_order(fixed).selector_reason == reason


@pytest.mark.parametrize("value", ["nonesuch/test_a.py", "tests/none.py", "nothing/test_b.py::t"])
def test_a_path_that_begins_like_none_is_a_path(value: str) -> None:
    assert parse_order(f"Focus: A-1\nSelector: {value}\n").selector == value


@pytest.mark.parametrize(
    "again",
    [
        "- Pytest: pytest tests/test_oven.py::test_heat -q",
        "- Test: `pytest tests/test_oven.py::test_heat -vv`",
        "- Validate: PYTHONPATH=src pytest tests/test_oven.py::test_heat | tee green/heat.log",
        "- Validate: tests/test_oven.py::test_heat",
    ],
)
def test_one_test_in_two_ways_of_writing_is_one_selector(again: str) -> None:
    text = f"{HEAD}{TESTS}\nDo Now (hard validity contract)\n- Implement: a.py::f — x\n{again}\n"
    order = parse_order(text)
    assert order.selector == "tests/test_oven.py::test_heat" and order.repeated == []
    assert "E27" not in codes("order", text)
    assert rewrite("order", text, "input.md").reason == ""
    other = text.replace(again, "- Pytest: pytest tests/test_other.py")
    assert "E27" in codes("order", other)


def test_selectors_as_a_list_and_with_words_before_them() -> None:
    listed = "Mapped tests:\n- tests/test_oven.py::test_heat\n- `pytest tests/test_door.py -q`\n"
    order = parse_order(HEAD + listed + "\nDo Now\n- Implement: a.py::f — x\n")
    assert order.selector == "tests/test_oven.py::test_heat tests/test_door.py"
    words = parse_order("Focus: A-1\nMapped tests: existing — run `pytest tests/test_a.py -q`\n")
    assert words.selector == "tests/test_a.py"
    new = parse_order("Focus: A-1\nMapped tests: tests/test_a.py::test_b (new)\n")
    assert (new.selector, new.selector_new) == ("tests/test_a.py::test_b", True)


@pytest.mark.parametrize(
    ("text", "item", "rows"),
    [
        ("Header: 2026-01-05 10:00 | Active Focus: [OVEN-HEAT-002] Stage C\n", "OVEN-HEAT-002", []),
        ("Focus: [OVEN-HEAT-002] Phase D2–D4 update\n", "OVEN-HEAT-002", ["D2", "D3", "D4"]),
        ("Header: now | Focus: [OVEN-HEAT-002] C | Mode: Docs\n", "OVEN-HEAT-002", []),
        ("Header: now | by me | [OVEN-HEAT-002] Stage C\nDo Now: x\n", "OVEN-HEAT-002", []),
        ("Focus: OVEN-HEAT-002 / Phase D2–D4\n", "OVEN-HEAT-002", ["D2", "D3", "D4"]),
        ("Focus: OVEN-HEAT-002.D2..D4\n", "OVEN-HEAT-002", ["D2", "D3", "D4"]),
        ("Focus: OVEN-HEAT-002 (D2, D4) — both\n", "OVEN-HEAT-002", ["D2", "D4"]),
        ("Focus: OVEN-HEAT-002 heats the D2 plate\n", "OVEN-HEAT-002", []),
        ("Focus: docs/fix_plan.md#oven-heat-002-warm-up\n", "OVEN-HEAT-002", []),
        ("Focus: [OVEN-HEAT-002](docs/fix_plan.md#oven-heat-002)\n", "OVEN-HEAT-002", []),
        ("Do Now: [OVEN-HEAT-002] Warm it — write `a/b.md`\n", "OVEN-HEAT-002", []),
        ("Do Now\n- [ ] OVEN-HEAT-002.B1: warm it in `a.py`\n", "OVEN-HEAT-002", []),
    ],
)
def test_the_focus_is_found_where_it_stands(text: str, item: str, rows: list[str]) -> None:
    order = parse_order(text)
    assert (order.item_id, order.rows) == (item, rows)
    assert not {"E01", "E11"} & set(codes("order", text))


def test_two_items_are_still_two_foci() -> None:
    text = "Focus: [OVEN-HEAT-002] Phase D2-D4 and [OVEN-DOOR-003]\n"
    assert "E11" in codes("order", text)


@pytest.mark.parametrize(
    ("task", "paths"),
    [
        (
            "Record: docs/fix_plan.md::Attempts + inbox/reply.md::Status — sum up",
            ["docs/fix_plan.md", "inbox/reply.md"],
        ),
        (
            "Refresh: docs/a.md, docs/b.md and docs/c.md — all of them",
            ["docs/a.md", "docs/b.md", "docs/c.md"],
        ),
        ("Archive: `plans/active/x/plan.md` — done", ["plans/active/x/plan.md"]),
        ("Note: nothing is named here", []),
        ("fix src/oven.py::heat in place", ["src/oven.py"]),
        ("say how src/oven.py::heat works", []),
        ("Stub out src/fan.py and its door", ["src/fan.py"]),
        ("Save results in notes/res.json", ["notes/res.json"]),
        ("Run `pytest -q tests/test_oven.py::test_heat` twice", []),
    ],
)
def test_any_verb_may_stand_before_the_files_of_a_task(task: str, paths: list[str]) -> None:
    order = parse_order(f"{HEAD}{TESTS}Do Now (hard validity contract)\n- {task}\n")
    assert [ref.path for ref in order.tasks[0].refs] == paths


def test_sentences_among_the_steps_are_no_commands() -> None:
    text = (
        f"{HEAD}{TESTS}\nDo Now\n- Implement: a.py::f — x\n\nHow-To Map\n"
        '1. export OUT=notes/heat and mkdir -p "$OUT".\n'
        "2. mkdir -p notes/heat to keep the files together.\n"
        "3. Run the tool:\n   python tools/heat.py \\\n     --to 200 \\\n     | tee heat.log\n"
        "4. git commit -m 'heat and hold the oven'\n"
        "5. git diff to confirm nothing else moved\n"
        "6. pytest tests/test_oven.py::test_heat (expect 1 passed)\n"
    )
    order = parse_order(text)
    assert [c.argv[:2] for c in order.checks] == [
        ("python", "tools/heat.py"),
        ("git", "commit"),
        ("pytest", "tests/test_oven.py::test_heat"),
    ]
    assert order.checks[0].argv[2:] == ("--to", "200")
    assert "heat.log" in [a.name for a in order.artifacts]


def test_findings_in_one_line_are_findings_each() -> None:
    order = parse_order(f"{HEAD}{TESTS}Findings Applied: HEAT-001, `FAN-002` and DOOR-003\n")
    assert [finding.id for finding in order.findings] == ["HEAT-001", "FAN-002", "DOOR-003"]
    order = parse_order(f"{HEAD}{TESTS}Findings Applied: HEAT-001, as FAN-002 says\n")
    assert [(f.id, f.text) for f in order.findings] == [("HEAT-001", "as FAN-002 says")]


@pytest.mark.parametrize(
    "task",
    [
        "- Implement (test): tests/test_new.py::test_heat — one failing test",
        "- Create tests/test_new.py::test_heat",
        "- Author: tests/test_new.py::test_heat",
        "- Add: `tests/test_new.py::test_heat` — red first",
        "- Update: tests/test_new.py (new) — the failing test",
        "- First write `tests/test_new.py`, then run it",
        "- new: `tests/test_new.py`",
        "- Add a new test file tests/test_new.py::test_heat",
        "- Set up tests/test_new.py with one failing test",
        "- Extract `tests/test_new.py` out of tests/test_old.py",
    ],
)
def test_a_file_that_the_order_asks_to_create_need_not_exist(task: str) -> None:
    text = f"{HEAD}Mapped tests: tests/test_new.py::test_heat\n\nDo Now\n{task}\n"
    assert not {"E03", "E04"} & set(codes("order", text, exists=lambda path: False))
    plain = text.replace(task, "- Update: tests/test_new.py — make it pass")
    assert {"E03", "E04"} <= set(codes("order", plain, exists=lambda path: False))


HEREDOC = """Summary: probe
Focus: OVEN-HEAT-002.B1 — heat
Mapped tests: tests/test_oven.py::test_heat
Do Now: OVEN-HEAT-002 — run the probe
How-To Map:
- python - <<'PY' > heat.txt
import oven
# Summary
for tray in oven.trays():
    print("tray", tray)
try:
    oven.close()
except oven.Hot as hot:
    print("hot", hot)
else:
    print("closed")
PY
- oven --door 2026-01-03T091500Z/door.json \\
    --to 2026-01-03T091500Z/out.tar
Notes for the log:
- keep it
"""


def test_fix_keeps_the_lines_of_a_program_and_stamps_in_paths() -> None:
    fixed = rewrite("order", HEREDOC, "input.md")
    assert not fixed.reason and fixed.text != HEREDOC
    assert missing_lines(HEREDOC, fixed.text) == []
    program = HEREDOC.split("How-To Map:\n")[1]
    assert program in fixed.text, "in order, and untouched"
    assert parse_order(HEREDOC).focus == "OVEN-HEAT-002.B1 — heat"


WORDS = st.sampled_from(
    ["Summary: s", "Mode: Docs", "Focus: OVEN-HEAT-002.B1 — heat", "Mapped tests: none", "Do Now",
     "Mapped tests:", "- `pytest tests/a.py`", "How-To Map:", "- python - <<'PY' > a.txt", "try:",
     "else:", "# Goal", "Tasks", "    print(1)", "PY", "1. pytest a.py \\", "   --out a/b.tar \\",
     "   --bundle a/2026-01-03T091500Z/b.tar", "Notes for the log:", "- keep", "| a | b |", "|---|",
     "- Implement: a.py::f — x", "- Artifacts: a/b/", "```sh", "```", "If Blocked: say", "",
     "Brief",
     "### Workload Spec", "## Tasks", "## Odd", "Pitfalls To Avoid", "- [ ] A1: x", "<!-- c -->",
     "Header: x | Focus: OVEN-DOOR-003", "Checklist:", "2026-01-03T091500Z: said", "* x", "~~~"]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(WORDS, max_size=30), st.sampled_from(["\n", "\r\n"]))
def test_fix_loses_no_line_adds_no_error_and_stays(lines: list[str], end: str) -> None:
    text = end.join([*lines, ""])
    fixed = rewrite("order", text, "input.md")
    assert fixed.text == text or not fixed.reason
    old = [line.strip() for line in lines if line.strip()]
    new = [line.strip() for line in fixed.text.split(end)]
    assert not Counter(old) - Counter(new)
    blocks = scan(SourceText(text))
    for fence in blocks.fences:
        inside = [line.strip() for line in fence.body(blocks.source) if line.strip()]
        there = [line for line in new if line]
        starts = range(len(there) - len(inside) + 1)
        assert any(there[at : at + len(inside)] == inside for at in starts), "a fence in pieces"
    errors = [Counter(c for c in codes("order", t) if c < "F") for t in (text, fixed.text)]
    assert not errors[1] - errors[0]
    assert rewrite("order", fixed.text, "input.md").text == fixed.text


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (
            "How-To Map\n```sh",
            "python a.py --all | tee a.log\nelse:\nPitfalls To Avoid\npytest b.py",
        ),
        ("Notes:\n~~~", "else:\nStamp 2026-01-05T100000Z\n- Validate: `pytest tests/a.py`\nelse:"),
        ("Do Now: write `a/b.md`\n````", "~~~\nMode: TDD\nSummary: in it\n- Focus ID: A-1"),
        ("ActionType: debug\n```", "Mode: TDD\nBranch: work\nSummary: in it\nelse:"),
    ],
)
def test_fix_keeps_the_order_of_lines_within_a_fence(head: str, body: str) -> None:
    """Lines of a program in two places, or in another order, are another program."""
    fence = head.rpartition("\n")[2].rstrip("sh")
    text = f"{HEAD}{TESTS}{head}\n{body}\n{fence}\nelse:\nMode: TDD\nNext Up (optional)\n- x\n"
    fixed = rewrite("order", text, "input.md")
    assert not fixed.reason and fixed.text != text
    assert not missing_lines(text, fixed.text)
    lines = "\n".join(line.strip() for line in fixed.text.splitlines() if line.strip())
    assert lines.count(f"\n{body}\n") == 1, "in order, and no second copy"


def test_a_key_that_stands_twice_leaves_the_file_and_names_the_line() -> None:
    text = f"{HEAD}{TESTS}Mode: Docs\nDo Now: x\n"
    fixed = rewrite("order", text, "input.md")
    assert fixed.text == text and fixed.lines == ["mode: Docs"]


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
    "line", ["## Notes of 2026-01-06T10:00:00Z", "- 2026-01-06T10:00:00Z galph: x",
             "**2026-01-06T10:00:00Z — galph**"],
)  # fmt: skip
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
    assert "W21" not in codes("memory", "\n".join(entry.format(*n) for n in ("02a", "10b")))
    text = entry.format(0, 0, "a")
    assert "ralph_last_commit" not in rewrite("memory", text, "galph_memory.md").text


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("plans/active/heat.md", "plan"),
        ("plans/active/X-1/phase_b.md", "plan"),
        ("/a/plans/active/X-1/reports/2026/note.md", "plan"),
        ("plans/active/X-1/summary.md", "summary"),
        ("plans/archive/heat.md", "order"),
        ("input.md", "order"),
    ],
)
def test_markdown_below_the_active_plans_is_a_plan(path: str, kind: str) -> None:
    assert kinds.kind_of(path) == kind


def test_a_list_goes_on_behind_a_selector_that_stays_as_it_is() -> None:
    text = "**Selector:** tests/a.py\nMapped tests:\n- tests/b.py\n"
    assert parse_order(text).selectors == [("tests/a.py", 1), ("tests/b.py", 3)]
    assert "E27" in codes("order", text)
