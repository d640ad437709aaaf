"""`validate --fix` of a plan: status word and row marks in place, every other byte stays."""

from __future__ import annotations

from orchestration.documents.grammar import SourceText, apply_edits, parse_key, parse_row
from orchestration.documents.historic.ledger_repair import status_edit
from orchestration.documents.plan import parse_plan


def normalise_plan(text: str, path: str) -> str:
    """Return ``text`` with rows as ``- [x] A1: text`` or table cells and a status of the enum."""
    plan = parse_plan(text, path)
    source = SourceText(text, path)
    edits: list[tuple[int, int, str]] = []
    if plan.status_line:
        number = plan.status_line - 1
        key = parse_key(source.lines[number], number)
        if key:
            span = (source.starts[number] + key.value_column, source.end(number))
            edits += status_edit(span, text)
    for row in plan.rows:
        line = source.lines[row.line - 1]
        start = source.starts[row.line - 1]
        read = parse_row(line)
        if read is None:
            if row.state_offset >= 0:
                edits.append((row.state_offset, row.state_offset + 1, row.state))
            continue
        indent = line[: len(line) - len(line.lstrip(" \t"))]
        name = f" {read.row_id}:" if read.row_id else ""
        words = f" {read.text}" if read.text else ""
        edits.append((start, start + len(line), f"{indent}- [{read.state}]{name}{words}"))
    return apply_edits(text, edits)
