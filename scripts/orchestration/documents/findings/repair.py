"""`validate --fix` of findings: table rows in place, every other byte stays."""

from __future__ import annotations

from collections import Counter

from orchestration.documents.findings import (
    COLUMNS,
    MAX_SYNOPSIS,
    MORE,
    Finding,
    parse_findings,
    row_cells,
)
from orchestration.documents.grammar import (
    Blocks,
    SourceText,
    apply_edits,
    is_separator,
    join_cells,
    scan,
    split_cells,
)

_SYNOPSIS = COLUMNS.index("Synopsis")


def normalise_findings(text: str, path: str) -> str:
    """Return ``text`` with one well-formed row for every finding.

    Missing header and separator rows are added; a row gets its six cells; what a synopsis holds
    beyond its limit moves to the finding's section; a section without a row gets one.
    """
    blocks = scan(SourceText(text, path))
    source = blocks.source
    read = parse_findings(text, path)
    newline = source.newline
    twice = Counter(row.id for row in read.rows)
    edits: list[tuple[int, int, str]] = []
    tail: list[str] = []
    missing: list[str] = []
    first = len(source.lines)
    sections = [(r.section_line, r.section_end) for r in read.rows if r.section_line]
    inside = _covered(len(source.lines), sections)
    last = -1
    for row in read.rows:
        number = row.line - 1
        line = source.lines[number]
        if not line.lstrip().startswith("|"):
            missing.append(join_cells([row.id, "", "", row.title, "", "Active"]))
            continue
        if not inside[number]:
            first, last = min(first, number), max(last, number)
        cells, rest = _cells(line, split=twice[row.id] == 1)
        new = join_cells(cells)
        if rest:
            _move(row, rest, source, edits, tail)
        if rest or split_cells(line) != cells:
            edits.append((source.starts[number], source.end(number), new))
    edits += _heads(blocks, first, newline)
    start = min((line - 1 for line, _ in sections), default=0)
    _add_rows(blocks, last, start, missing, edits)
    if tail and blocks.open_from is not None:
        tail.insert(0, blocks.closing())
    new_text = apply_edits(text, edits)
    if tail:
        lead = "" if new_text.endswith(("\n", "\r")) else newline
        new_text += lead + "".join(newline + part + newline for part in tail)
    return new_text


def _cells(line: str, *, split: bool) -> tuple[list[str], str]:
    """Return the six cells of a row, and what its synopsis holds beyond the limit."""
    cells = row_cells(line)
    cells += ["", "", "", "", "", "Active"][len(cells) :]
    synopsis = " ".join(cells[_SYNOPSIS].split())
    if not split or len(synopsis) <= MAX_SYNOPSIS or synopsis.endswith(MORE):
        return cells, ""
    at = synopsis.rfind(" ", 0, MAX_SYNOPSIS - len(MORE))
    if at < 1:
        return cells, ""
    cells[_SYNOPSIS] = synopsis[:at] + MORE
    return cells, synopsis[at + 1 :]


def _move(
    row: Finding, rest: str, source: SourceText, edits: list[tuple[int, int, str]], tail: list[str]
) -> None:
    """Put the rest of a synopsis under the finding's heading, or under a new one at the end."""
    if row.section_line:
        at = source.end(row.section_line - 1)
        edits.append((at, at, f"{source.newline}- Synopsis: {rest}"))
    else:
        tail.append(f"## {row.id}{source.newline}{source.newline}- Synopsis: {rest}")


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
