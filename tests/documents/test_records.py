"""Findings, plans and summaries."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from orchestration.documents import ledger
from orchestration.documents.findings import reader as findings
from orchestration.documents.fix import canonical
from orchestration.documents.grammar.commands import parse_command
from orchestration.documents.grammar.diagnostics import DocumentError
from orchestration.documents.grammar.keys import join_cells, split_cells
from orchestration.documents.plan import reader as plan

FIXTURES = Path(__file__).parents[1] / "fixtures" / "documents"


def text_of(name: str) -> str:
    return (FIXTURES / name).read_text(encoding="utf-8")


def test_malformed_rows_load_with_a_warning() -> None:
    read = findings.parse_findings(text_of("findings.md"))
    assert [row.id for row in read.rows] == [
        "SHAPE-001",
        "CONFIG-001",
        "POLICY-001",
        "WIDE-002",
        "LONG-003",
    ]
    shape, config, policy, wide, long = read.rows
    assert "a | b" in shape.synopsis and shape.applies == ["pkg/*.py", "tests/test_shift.py"]
    assert shape.check is not None and shape.check.argv[0] == "python"
    assert (config.status, config.status_text) == ("Resolved", "Resolved (training)")
    assert policy.keywords == "policy" and wide.synopsis == "one | two"
    assert (long.status, long.keywords) == ("Practice", "long, section")
    assert "Nothing in the table" in long.section
    assert [d.code for d in read.diagnostics] == ["W09", "W09"]


def test_broken_evidence_and_chains_are_reported() -> None:
    read = findings.parse_findings(text_of("findings.md"))
    codes = [(d.code, d.line) for d in findings.check_findings(read, lambda p: p == "pkg/shift.py")]
    assert ("E30", 6) in codes and ("E31", 5) in codes
    assert ("E30", 5) not in codes


def test_search_by_word_and_path() -> None:
    read = findings.parse_findings(text_of("findings.md"))
    assert [f.id for f in findings.search(read, ["xla"])] == ["SHAPE-001"]
    assert findings.search(read, [], ["pkg/deep/other.py"]) == []
    assert [f.id for f in findings.search(read, [], ["pkg/other.py"])] == ["SHAPE-001"]
    assert findings.search(read, ["nothing-like-it"]) == []


def test_adding_changes_only_the_row_the_section_and_what_it_supersedes() -> None:
    text = text_of("findings.md")
    new = findings.add_finding(
        text,
        findings.Finding(
            "SHAPE-002",
            "2026-02-01",
            "xla",
            "Shapes | again",
            "pkg/shift.py:3",
            applies=["pkg/*.py"],
            check=parse_command("true"),
            supersedes=["SHAPE-001"],
            section="More.",
        ),
    )
    read = findings.parse_findings(new)
    assert read.get("SHAPE-001").status == "Superseded"
    added = read.get("SHAPE-002")
    assert added.synopsis == "Shapes | again" and added.supersedes == ["SHAPE-001"]
    assert added.check.argv == ("true",)
    for line in text.split("\n"):
        assert line in new or line.startswith("| SHAPE-001"), line
    with pytest.raises(DocumentError, match="exists"):
        findings.add_finding(new, findings.Finding("SHAPE-002"))
    with pytest.raises(DocumentError, match="no finding id"):
        findings.add_finding(new, findings.Finding("x y"))
    with pytest.raises(DocumentError, match="too long"):
        findings.add_finding(new, findings.Finding("NEW-1", synopsis="x" * 401))
    with pytest.raises(DocumentError, match="no such finding"):
        findings.set_finding_status(new, "NO-1", "Active")


@pytest.mark.parametrize("text", ["", "# F\n\nwords", "\ufeff# F\r\n"])
def test_the_first_finding_makes_the_table(text: str) -> None:
    new = findings.add_finding(text, findings.Finding("NEW-1", synopsis="one"))
    assert new.startswith(text)
    assert [f.id for f in findings.parse_findings(new).rows] == ["NEW-1"]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(alphabet="ab |x\\", max_size=6).map(str.strip), min_size=1, max_size=5))
def test_cells_round_trip(cells: list[str]) -> None:
    if any("\\" in cell for cell in cells) or not cells[-1]:
        return
    flat = [" ".join(cell.split()) for cell in cells]
    assert split_cells(join_cells(cells)) == flat


def test_plan_rows_of_lists_and_tables() -> None:
    text = text_of("plan.md")
    read = plan.parse_plan(text)
    assert (read.id, read.status, read.owner) == ("FIX-SHIFT-001", "in_progress", "nobody")
    assert [(r.id, r.state, r.phase) for r in read.rows] == [
        ("A0", "x", "A"),
        ("A1", "P", "A"),
        ("B4a", " ", "A"),
        ("A2", "D", "A"),
        ("B1", " ", "B"),
        ("B2", "x", "B"),
    ]
    assert read.rows[0].verify is not None and read.rows[0].verify.argv[0] == "pytest"
    assert read.exit_criteria == ["The guard passes", "The study runs"]
    assert read.commands[0].argv == ("pytest", "tests/test_shift.py")
    assert plan.meaning(plan.parse_plan(canonical("plan", text, "p.md"))) == plan.meaning(read)


@pytest.mark.parametrize("open_end", ["```text\nnever closed\n", "<!-- never closed\n"])
def test_nothing_is_added_where_nobody_would_read_it(open_end: str) -> None:
    """Inside a fence or comment that is never closed the new entry would be prose."""
    from orchestration.documents.ledger import add_item

    row = "| A-1 | 2026-01-01 | k | s | e | Active |\n"
    with pytest.raises(DocumentError, match="never closed"):
        add_item(f"### [A-001] a\n- Status: open\n\n{open_end}", "NEW-002", "new")
    for text in (open_end, f"{row}\n{open_end}"):
        with pytest.raises(DocumentError, match="never closed"):
            findings.add_finding(text, findings.Finding("NEW-1", synopsis="x"))


def test_findings_replace_no_newer_ones_and_old_evidence_may_be_gone() -> None:
    text = "".join(
        f"| {name} | 2026-01-01 | k | s | gone/{name}.py:1 | {status} |\n"
        for name, status in (("A-1", "Active"), ("B-1", "Superseded (by A-1)"))
    )
    loop = text + "\n## A-1\n- Supersedes: B-1\n\n## B-1\n- Supersedes: A-1\n"
    found = findings.check_findings(findings.parse_findings(loop), lambda path: False)
    errors = [(d.code, d.message.split()[0].rstrip(":")) for d in found if d.severity == "error"]
    assert errors == [("E30", "A-1"), ("E31", "A-1"), ("E31", "B-1")]


@pytest.mark.parametrize("value", ["\u00a0", "`", "**", "` `", "\u2003"])
def test_an_id_of_marks_and_blanks_is_none(value: str) -> None:
    assert plan.parse_plan(f"- ID: {value}\n- Owner: a\n").owner == "a"


@pytest.mark.parametrize("value", ["[`\u00a0_", "\u00a0", "A-B-1, \u2003"])
def test_a_dependency_of_marks_and_blanks_is_none(value: str) -> None:
    (item,) = ledger.parse_ledger(f"### [A-B-2] x\n- Status: open\n- Depends: {value}\n").items
    assert item.depends == (["A-B-1"] if "A-B-1" in value else [])
    assert item.external == []
