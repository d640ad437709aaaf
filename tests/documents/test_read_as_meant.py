"""Orders as people write them: what a careful reader reads is what is read."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from orchestration.documents import kinds
from orchestration.documents.fix import missing_lines, rewrite
from orchestration.documents.grammar import SourceText, scan
from orchestration.documents.order import ValidationContext, parse_order

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
