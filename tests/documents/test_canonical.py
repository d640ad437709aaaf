"""`validate --fix`: any historic form becomes the canonical one, and no word of it is lost."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from orchestration.documents import kinds, ledger, order
from orchestration.documents.findings import reader as findings
from orchestration.documents.fix import canonical, fenced, missing_lines
from orchestration.documents.memory import reader as memory
from orchestration.documents.order.rules import ValidationContext
from orchestration.documents.plan import reader as plan
from orchestration.documents.plan import summary

FIXTURES = Path(__file__).parents[1] / "fixtures" / "documents"
KIND_OF = {
    path.name: next(k for k in ("memory", *kinds.KINDS) if k in path.name)
    for path in sorted(FIXTURES.glob("*.md"))
}
LINES = sorted(
    {line for path in FIXTURES.glob("*.md") for line in path.read_text().split("\n")}
) + ["\ufeff", "\x0c", "\u2028", "\t# a", "```", "~~~", "<!--", "-->", "| A-1 |", "- - -", "## A-2"]
DOCUMENTS = st.builds(
    lambda lines, end, last: end.join(lines) + (end if last else ""),
    st.lists(st.one_of(st.sampled_from(LINES), st.text(max_size=20)), max_size=25),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.booleans(),
)


#: Fixtures that `--fix` leaves as they are, and why.
LEFT = {
    "order_canonical.md": "canonical already",
    "ledger_form0.md": "every line of it is read as it stands",
    "memory_dose.md": "its stamps are canonical",
    "memory_october.md": "its stamps are canonical",
    "plan.md": "plans are read as they stand",
    "summary.md": "summaries are read as they stand",
}


@pytest.mark.parametrize("name", KIND_OF)
def test_every_historic_fixture_becomes_canonical_and_stays_so(name: str) -> None:
    text = (FIXTURES / name).read_text(encoding="utf-8")
    new = canonical(KIND_OF[name], text, name)
    assert canonical(KIND_OF[name], new, name) == new
    assert missing_lines(text, new) == []
    assert (new == text) == (name in LEFT), LEFT.get(name, "it is not rewritten")
    most = Counter(text.split("\n"))
    assert not [
        line
        for line, n in Counter(new.split("\n")).items()
        if len(line) > 20 and n > max(1, most[line])
    ], "a second copy"
    found = kinds.check_document(KIND_OF[name], new, ValidationContext(path=name))
    assert not {"W06", "W09", "E20"} & {d.code for d in found}, found


@pytest.mark.parametrize("kind", kinds.KINDS)
def test_fix_never_refuses_loses_or_wavers(kind: str) -> None:
    @settings(max_examples=120, deadline=None)
    @example("## Current Focus")
    @example("## Current Focus\n- [x] seed.S1: snapshot script")
    @given(DOCUMENTS)
    def one(text: str) -> None:
        new = canonical(kind, text, "x.md")
        assert missing_lines(text, new) == []
        assert canonical(kind, new, "x.md") == new

    one()


def test_the_single_focus_ledger_becomes_items() -> None:
    text = (FIXTURES / "ledger_form2.md").read_text(encoding="utf-8")
    new = canonical("ledger", text, "docs/fix_plan.md")
    old, read = ledger.parse_ledger(text), ledger.parse_ledger(new)
    assert (old.form, read.form) == ("report", "canonical")
    assert [i.id for i in read.items] == [i.id for i in old.items] == ["seed", "DEBUG-DOSE-001"]
    assert [(c.id, c.state) for c in read.items[0].criteria] == [
        (c.id, c.state) for c in old.items[0].criteria
    ]
    assert read.items[0].plan == "plans/active/seed/implementation.md"
    assert [len(i.attempts) for i in read.items] == [len(i.attempts) for i in old.items]
    assert "## [seed]" in new and "## TODOs" not in new.split("## Kept as written")[0]
    assert new.count("The maintainer asked for a bundle.") == 1 and "inbox/reply.md" in new
    numbered = (FIXTURES / "ledger_form0.md").read_text(encoding="utf-8")
    assert canonical("ledger", numbered, "docs/fix_plan.md") == numbered, "it reads as it stands"


def test_rows_get_their_cells_and_a_long_one_stays() -> None:
    lesson = " ".join(f"word{n}" for n in range(2000))
    text = (
        "intro\n\n| Finding ID | Date | Keywords | Synopsis | Evidence Pointer | Status |\n"
        f"| LONG-001 | 2026-01-01 | k | {lesson} | a.py:1 | Active |\n"
        "| SHORT-002 | only three |\n| MANY-003 | d | k | a | b | c | d | e.py | Resolved |\n"
        "\n## SECTION-004 — no row yet\n\n- Status: Superseded (by LONG-001)\n\nprose\n"
    )
    new = canonical("findings", text, "docs/findings.md")
    read = findings.parse_findings(new)
    assert findings.meaning(read) == findings.meaning(findings.parse_findings(text))
    assert not [d for d in read.diagnostics if d.code == "W09"]
    assert new.count(lesson) == 1
    assert read.get("LONG-001").synopsis == lesson
    assert [r.id for r in read.rows] == ["LONG-001", "SHORT-002", "MANY-003", "SECTION-004"]
    assert new.startswith("intro\n\n| Finding ID") and new.count("|---|---|---|") == 1
    assert "prose\n" in new and canonical("findings", new, "f") == new
    assert "| SHORT-002 | only three |  |  |  |  |\n" in new, (
        "a status that nobody wrote is not added"
    )
    assert new.count("Active") == text.count("Active")


def test_an_upgraded_order_keeps_its_byte_order_mark() -> None:
    text = "\ufeffFocus: A-1\nSelector: tests/a.py\nDo Now\n- Implement: a.py::f — x\n"
    new = canonical("order", text, "input.md")
    assert new != text and new.count("\ufeff") == 1 and new.startswith("\ufeffFocus")
    assert canonical("order", new, "input.md") == new


def test_a_command_that_goes_on_in_its_code_span_is_one_command() -> None:
    text = (
        "Focus: A-1\nSelector: tests/a.py\nDo Now\n- Implement: a.py::f — x\nHow-To Map\n"
        "1. `pytest tests/a.py \\\n   -q \\\n   --tb=short`\n2. Run `make check` \\\n   twice\n"
    )
    for version in (text, canonical("order", text, "input.md")):
        argvs = [command.argv for command in order.parse_order(version).checks]
        assert argvs == [("pytest", "tests/a.py", "-q", "--tb=short"), ("make", "check")]


def test_a_plan_and_a_summary_are_read_as_they_stand() -> None:
    text = (
        "\ufeff# FIX-A-001 — t\r\n\r\n- **Status:** **Complete** — almost\r\n"
        "free prose\u2028here\r\n## Phase A\r\n"
        "* [X] **A1**: do it (verify: `pytest a`)\r\n\t+ [p] A2 — tab\r\n"
        "| ID | Task | State | How |\r\n|---|---|---|---|\r\n| A3 | x | [X] | y |\r\n- [?] A4: z"
    )
    assert canonical("plan", text, "plan.md") == text
    read = plan.parse_plan(text)
    assert (read.status, [(r.id, r.state) for r in read.rows]) == (
        "done",
        [("A1", "x"), ("A2", "P"), ("A3", "x")],
    )
    turn = "### Turn Summary\na\n- Tests run: none\nChecklist: kept words\n"
    assert canonical("summary", turn, "summary.md") == turn
    assert summary.parse_summary(turn).turns[0].tests == []


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_line_ending_stays_and_what_has_no_place_is_kept(end: str) -> None:
    entry = "## 2026-01-06T140000Z: FIX-A-001{e}- dwell: 1{e}- dwell: 2 (really){e}words{e}"
    text = entry.replace("{e}", end)
    new = canonical("memory", text, "galph_memory.md")
    assert new == text.replace("140000Z", "14:00:00Z")
    assert memory.meaning(memory.parse_memory(new)) == memory.meaning(memory.parse_memory(text))
    script = f"Focus: FIX-A-001{end}How-To Map{end}```sh{end}# why so{end}pytest a.py{end}```{end}"
    new = canonical("order", script, "input.md")
    assert order.parse_order(new).checks[0].argv == ("pytest", "a.py")
    assert f"```sh{end}# why so{end}pytest a.py{end}```{end}" in new
    assert new.split("## Kept as written")[1].split() == ["```text", "How-To", "Map", "```"]
    assert ("\r\n" in new) == (end == "\r\n")


@given(st.lists(st.text(alphabet="`~a #\t", max_size=12), max_size=6))
def test_a_kept_fence_cannot_be_closed_from_inside(lines: list[str]) -> None:
    from orchestration.documents.grammar.blocks import scan
    from orchestration.documents.grammar.text import SourceText

    blocks = scan(SourceText(fenced(lines) + "\n# after\n"))
    assert [h.title for h in blocks.headings] == ["after"]
    (fence,) = blocks.fences
    assert fence.closed and fence.body(blocks.source) == [line.rstrip(" \t") for line in lines]
