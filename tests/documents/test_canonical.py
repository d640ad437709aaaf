"""`validate --fix`: any historic form becomes the canonical one, and no word of it is lost."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from orchestration.documents import kinds, ledger, order
from orchestration.documents.findings import reader as findings
from orchestration.documents.historic.fix import canonical, fenced, lost_lines
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


def words(text: str) -> set[str]:
    return set(re.findall(r"\w{2,}", text))


@pytest.mark.parametrize("name", KIND_OF)
def test_every_historic_fixture_becomes_canonical_and_stays_so(name: str) -> None:
    text = (FIXTURES / name).read_text(encoding="utf-8")
    new = canonical(KIND_OF[name], text, name)
    assert canonical(KIND_OF[name], new, name) == new
    lost = lost_lines(text, new)
    replaced = re.compile(r"Priority:|Status|## (Current Focus|TODOs|Completed Items)")
    assert not lost or (KIND_OF[name] == "ledger" and all(map(replaced.search, lost))), lost
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
        lost = lost_lines(text, new)
        said = "(?i)status|priority|waiting|## (Current Focus|TODOs|Completed Items)"
        assert all(re.search(said, line) for line in lost), lost
        assert not lost or kind in ("ledger", "plan")
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
    numbered = (FIXTURES / "ledger_form0.md").read_text(encoding="utf-8")
    fixed = canonical("ledger", numbered, "docs/fix_plan.md")
    assert "  - [ ] C1 The guard passes\n  - [ ] C2 The study runs\n" in fixed
    assert "### [FIX-SHIFT-001] Translation batches\n- Status: in_progress\n" in fixed
    assert "### [seed]" in new and "## TODOs" not in new
    kept = new.split("## Kept as written")[1]
    assert "The maintainer asked for a bundle." in kept and "inbox/reply.md" in kept
    assert words(text) - words(new) <= {"Current", "Focus", "TODOs", "Status", "Completed", "Items",
                                        "Attempts", "History", "22T02", "22T05", "40Z", "10Z",
                                        "Artifacts", "Produced", "Working", "Plan"}  # fmt: skip


def test_a_long_synopsis_goes_on_in_the_section_of_its_finding() -> None:
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
    assert not [d for d in read.diagnostics if d.code in ("W02", "W09")]
    assert read.get("LONG-001").synopsis == lesson
    assert [r.id for r in read.rows] == ["LONG-001", "SHORT-002", "MANY-003", "SECTION-004"]
    assert new.startswith("intro\n\n| Finding ID") and new.count("|---|---|---|") == 1
    assert "prose\n" in new and canonical("findings", new, "f") == new


def test_a_plan_keeps_every_byte_that_no_rule_names() -> None:
    text = (
        "\ufeff# FIX-A-001 — t\r\n\r\n- **Status:** **Complete** — almost\r\n"
        "free prose\u2028here\r\n## Phase A\r\n"
        "* [X] **A1**: do it (verify: `pytest a`)\r\n\t+ [p] A2 — tab\r\n"
        "| ID | Task | State | How |\r\n|---|---|---|---|\r\n| A3 | x | [X] | y |\r\n- [?] A4: z"
    )
    new = canonical("plan", text, "plan.md")
    assert new == (
        "\ufeff# FIX-A-001 — t\r\n\r\n- **Status:** done — almost\r\nfree prose\u2028here\r\n"
        "## Phase A\r\n- [x] A1: do it (verify: `pytest a`)\r\n\t- [P] A2: tab\r\n"
        "| ID | Task | State | How |\r\n|---|---|---|---|\r\n| A3 | x | [x] | y |\r\n- [?] A4: z"
    )
    assert plan.meaning(plan.parse_plan(new)) == plan.meaning(plan.parse_plan(text))


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_rendered_kinds_keep_the_line_ending_and_what_they_cannot_place(end: str) -> None:
    entry = "## 2026-01-06T14:00:00Z: FIX-A-001{e}- dwell: 1{e}- dwell: 2 (really){e}words{e}"
    text = entry.replace("{e}", end)
    new = canonical("memory", text, "galph_memory.md")
    assert memory.meaning(memory.parse_memory(new)) == memory.meaning(memory.parse_memory(text))
    assert ("\r\n" in new) == (end == "\r\n") and "\n\n" in new.replace("\r\n", "\n")
    assert lost_lines(text, new) == []
    turn = f"### Turn Summary{end}a{end}- Tests run: none{end}Checklist: kept words{end}"
    new = canonical("summary", turn, "summary.md")
    assert lost_lines(turn, new) == [] and summary.parse_summary(new).turns[0].tests == []
    script = f"Focus: FIX-A-001{end}## Checks{end}```sh{end}# why so{end}pytest a.py{end}```{end}"
    new = canonical("order", script, "input.md")
    assert order.parse_order(new).checks[0].argv == ("pytest", "a.py")
    assert "# why so" in new.split("## Kept as written")[1]


@given(st.lists(st.text(alphabet="`~a #\t", max_size=12), max_size=6))
def test_a_kept_fence_cannot_be_closed_from_inside(lines: list[str]) -> None:
    from orchestration.documents.grammar.blocks import scan
    from orchestration.documents.grammar.text import SourceText

    blocks = scan(SourceText(fenced(lines) + "\n# after\n"))
    assert [h.title for h in blocks.headings] == ["after"]
    (fence,) = blocks.fences
    assert fence.closed and fence.body(blocks.source) == [line.rstrip(" \t") for line in lines]
