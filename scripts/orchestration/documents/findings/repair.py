"""`validate --fix` of findings: table rows in place, every other byte stays."""

from __future__ import annotations

from orchestration.documents.findings.reader import COLUMNS, parse_findings, row_cells
from orchestration.documents.grammar import (
    Blocks,
    SourceText,
    apply_edits,
    is_separator,
    join_cells,
    scan,
    split_cells,
)


def normalise_findings(text: str, path: str) -> str:
    """Return ``text`` with one well-formed row for every finding.

    Missing header and separator rows are added; a row gets its six cells (empty where nobody wrote
    one); a section without a row gets one. A long row stays as it is.
    """
    blocks = scan(SourceText(text, path))
    source = blocks.source
    read = parse_findings(text, path)
    newline = source.newline
    edits: list[tuple[int, int, str]] = []
    missing: list[str] = []
    first = len(source.lines)
    sections = [(r.section_line, r.section_end) for r in read.rows if r.section_line]
    inside = _covered(len(source.lines), sections)
    last = -1
    for row in read.rows:
        number = row.line - 1
        line = source.lines[number]
        if not line.lstrip().startswith("|"):
            missing.append(join_cells([row.id, "", "", row.title, "", ""]))
            continue
        if not inside[number]:
            first, last = min(first, number), max(last, number)
        cells = row_cells(line)
        cells += [""] * (len(COLUMNS) - len(cells))
        if split_cells(line) != cells:
            edits.append((source.starts[number], source.end(number), join_cells(cells)))
    edits += _heads(blocks, first, newline)
    start = min((line - 1 for line, _ in sections), default=0)
    _add_rows(blocks, last, start, missing, edits)
    return apply_edits(text, edits)


def _heads(blocks: Blocks, first: int, newline: str) -> list[tuple[int, int, str]]:
    """Return the edits that put a header and a separator above the first row."""
    source = blocks.source
    if first == len(source.lines):
        return []
    separator = "|" + "---|" * len(COLUMNS)
    above = [n for n in blocks.visible(max(0, first - 2), first) if _is_row(source.lines[n])]
    tables = [split_cells(source.lines[n]) for n in above]
    at = source.starts[first]
    if any(is_separator(cells) for cells in tables):
        return []
    if tables and tables[-1] and tables[-1][0].strip("*` ").lower() in ("finding id", "id"):
        return [(at, at, separator + newline)]
    lead = newline if first and source.lines[first - 1].strip() and not tables else ""
    return [(at, at, lead + join_cells(COLUMNS) + newline + separator + newline)]


def _is_row(line: str) -> bool:
    return line.lstrip()[:1] == "|"


def _covered(total: int, spans: list[tuple[int, int]]) -> bytearray:
    """Return a mark for each line that lies in one of the spans."""
    edge = [0] * (total + 2)
    for start, end in spans:
        edge[start] += 1
        edge[end] -= 1
    marks = bytearray(total)
    depth = 0
    for number in range(total):
        depth += edge[number]
        marks[number] = depth > 0
    return marks


def _add_rows(
    blocks: Blocks, last: int, start: int, rows: list[str], edits: list[tuple[int, int, str]]
) -> None:
    """Add rows after line ``last``, or (``last`` < 0) a table before line ``start``."""
    if not rows:
        return
    source = blocks.source
    newline = source.newline
    if last >= 0:
        at = source.end(last)
        edits.append((at, at, "".join(newline + row for row in rows)))
        return
    head = [join_cells(COLUMNS), "|" + "---|" * len(COLUMNS), *rows]
    at = source.starts[start]
    lead = newline if start and source.lines[start - 1].strip() else ""
    edits.append((at, at, lead + newline.join(head) + newline + newline))
