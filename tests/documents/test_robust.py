"""Documents nobody would write: huge tables, deep nesting, hostile lines. Nothing is lost.

The sizes are such that a reader with quadratic cost would run for minutes; the measured processor
seconds of 10 MB are in docs/evidence/reliability.md (`scripts/benchmarks/documents_bench.py`).
"""

from __future__ import annotations

from pathlib import Path

import pytest
from orchestration.documents import kinds, ledger, order
from orchestration.documents.findings import reader as findings
from orchestration.documents.grammar.blocks import scan
from orchestration.documents.grammar.codes import CODES
from orchestration.documents.grammar.commands import MAX_COMMANDS
from orchestration.documents.grammar.text import MAX_BYTES, SourceText
from orchestration.documents.memory import reader as memory
from orchestration.documents.order.rules import ValidationContext
from orchestration.documents.plan import reader as plan
from orchestration.documents.plan import summary

ROWS = 100_000
DEPTH = 1500
CONTEXT = ValidationContext(exists=lambda path: True)
NESTED = "".join(f"{'  ' * depth}- a\n" for depth in range(DEPTH))
HOSTILE = {
    "nested bullets": NESTED,
    "nested bullets and numbers": NESTED.replace("- a", "1. [ ] T1: `a/b.py::f`"),
    "nested quotes": "".join(f"{'> ' * depth}a\n" for depth in range(DEPTH)),
    "one line": "x" * 1_000_000,
    "one line of blanks": " " * 300_000 + ":",
    "one line of keys": "Focus: A-B  " * 50_000,
    "table": "| a | b |\n|---|---|\n" + "| [ ] | `x` |\n" * 50_000,
    "one wide row": "| a " * 200_000,
    "unclosed fences": "```\n~~~\n" * 30_000,
    "ever longer fences": "".join("`" * count + "\n" for count in range(3, 800)),
    "backticks": "`" * 500_000,
    "backtick ladder": " ".join("`" * count for count in range(1, 1000)),
    "brackets": "[" * 500_000,
    "parentheses": "- (" * 200_000,
    "braces": "- `a/{a,{b,c}`" * 30_000,
    "headings": "# a\n## b\n" * 30_000,
    "headings with ids": "## FIX-A-001 x\n### [FIX-B-002] y\n" * 8_000,
    "open comments": "<!--\n" * 50_000,
    "carriage returns": "\r" * 200_000,
    "stamps": "## 2026-01-06T14:00:00Z\n" * 20_000,
    "todos of many items": "## Status\n`done`\n## Current Focus\n**A-B-1 — x**\n## TODOs\n"
    + "".join(f"- [ ] A-B{n}-1.F1: x\n" for n in range(20_000)),
    "attempts of a report": "## Current Focus\n**A-B-1 — x**\n"
    + "### 2026-01-01T00:00Z — A-B-1 (x)\nt\n" * 10_000,
    "exports": "Focus: A-B\n## Checks\n```sh\n"
    + "".join(f"export A{n}=1\npytest a\n" for n in range(10_000))
    + "```\n",
    "a million variables": "## Checks\n```sh\n" + "A=1 " * 100_000 + "\n" + "ls\n" * 2000 + "```\n",
    "failures": "".join(
        f"## 2026-01-06T14:00:00Z: A-{n}\n**Fix design**\n`aaaa bbbb c{n}cc`\n**Tried**\n"
        f"failed `aaaa bbbb d{n}dd`\n- dwell: 0\n"
        for n in range(4000)
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_documents_load_as_every_kind(name: str) -> None:
    for kind in kinds.KINDS:
        for found in kinds.check_document(kind, HOSTILE[name], CONTEXT)[:50]:
            assert found.code in CODES
            assert "\n" not in found.render()


def test_a_table_of_a_hundred_thousand_lines_of_every_kind() -> None:
    head = (
        "| Finding ID | Date | Keywords | Synopsis | Evidence Pointer | Status |\n|-|-|-|-|-|-|\n"
    )
    table = "".join(f"| FIND-{n} | 2026-01-01 | k | s | a.py:1 | Active |\n" for n in range(ROWS))
    read = findings.parse_findings(head + table)
    assert len(read.rows) == ROWS and read.rows[-1].line == ROWS + 2

    rows = "".join(f"| A{n % 9999} | text {n} | [ ] | why |\n" for n in range(ROWS))
    table = "## Phase A\n| ID | Task Description | State | How/Why |\n|---|---|---|---|\n" + rows
    assert len(plan.parse_plan(table).rows) == ROWS

    item = "### [FIX-A-001] x\n- Status: open\n- Attempts:\n\n  | turn | outcome |\n  |---|---|\n"
    attempts = "".join(f"  | {n} | rejected |\n" for n in range(ROWS))
    (only,) = ledger.parse_ledger(item + attempts).items
    assert len(only.attempts) == ROWS and only.attempts[-1].turn == ROWS - 1

    entry = "## 2026-01-06T14:00:00Z: FIX-A-001\n- dwell: 0\n"
    assert memory.parse_memory(entry + rows).entries[0].body.count("\n") == ROWS - 1
    assert rows.strip() in order.parse_order("Focus: FIX-A-001\n## Notes\n" + rows).sections[0].text
    assert summary.parse_summary("### Turn Summary\n" + rows).turns[0].text.count("|") == 5 * ROWS


def test_nesting_of_fifteen_hundred_levels_keeps_its_rows() -> None:
    rows = NESTED.replace("- a", "- [ ] A1: x")
    assert len(plan.parse_plan(rows).rows) == DEPTH
    read = order.parse_order("Focus: FIX-A-001\n## Tasks\n" + rows)
    assert read.tasks[0].row_id == "A1" and len(read.tasks[0].text.split("\n")) == DEPTH
    item = "### [FIX-A-001] x\n- Status: open\n- Exit:\n"
    nested = "".join(f"  {line}\n" for line in rows.splitlines())
    assert len(ledger.parse_ledger(item + nested).items[0].criteria) == DEPTH


@pytest.mark.timeout(60)
def test_each_of_a_hundred_thousand_fences_is_found_at_once() -> None:
    """It takes two seconds; where each lookup walks over all fences, several minutes."""
    blocks = scan(SourceText("```sh\npytest a\n```\n" * ROWS))
    assert len(blocks.fences) == ROWS
    for fence in blocks.fences:
        assert blocks.fences_in(fence.start, fence.end) == [fence]
    assert blocks.fences_in(2, 8) == blocks.fences[1:3]
    assert blocks.fences_in(1, 3) == []


def test_a_script_in_a_document_is_bounded() -> None:
    lines = "".join(f"export A{n}=1\npytest a\n" for n in range(MAX_COMMANDS + 2))
    text = f"Focus: A-B\n## Checks\n```sh\n{lines}```\n"
    read = order.parse_order(text)
    refused = [c for c in read.checks if c.error]
    assert refused and refused[0].error == "more than 1000 commands or variables in one block"
    assert len(read.checks) - len(refused) == MAX_COMMANDS
    assert "E12" in {d.code for d in kinds.check_document("order", text, CONTEXT)}


@pytest.mark.parametrize("kind", kinds.KINDS)
def test_a_document_above_ten_megabytes_is_refused_in_words(kind: str, tmp_path: Path) -> None:
    (found,) = kinds.check_document(kind, "x" * (MAX_BYTES + 1), CONTEXT)
    assert found.code == "E00" and "too large" in found.message and "archive" in found.fix
    wide = "é" * (MAX_BYTES // 2 + 1)
    assert [d.code for d in kinds.check_document(kind, wide, CONTEXT)] == ["E00"]


def test_an_open_fence_at_the_size_limit_is_read() -> None:
    text = "Focus: A-B\n```\n"
    text += "x" * (MAX_BYTES - len(text))
    read = order.parse_order(text)
    assert read.item_id == "A-B" and [d.code for d in read.diagnostics].count("W11") == 1


@pytest.mark.parametrize("text", ["```\n# a", "~~~~\nx\n~~~", "- ```sh\n  a", "<!-- a\n# b", "a"])
def test_closing_by_hand_equals_a_second_scan(text: str) -> None:
    blocks = scan(SourceText(text))
    closed = blocks.closed("x")
    again = scan(SourceText(closed.source.text))
    assert (closed.headings, closed.fences, closed.comments, closed.open_from) == (
        again.headings,
        again.fences,
        again.comments,
        None,
    )
    assert closed.opaque == again.opaque and closed.source.lines == again.source.lines
