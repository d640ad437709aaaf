"""Initiative summaries (``summary.md``): one ``### Turn Summary`` a turn, newest first."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from orchestration.documents.grammar import (
    Diagnostic,
    SourceText,
    clean,
    make,
    parse_key,
    scan,
    unclosed,
)

_FOOTER = {"files touched": "files", "tests run": "tests", "artifacts updated": "updated"}
#: A turn summary is three to five lines.
MAX_LINES = 5


@dataclass(slots=True)
class TurnSummary:
    """What one turn reports: sentences, artifacts and the checklist footer."""

    title: str = "Turn Summary"
    text: str = ""
    artifacts: str = ""
    files: list[str] = field(default_factory=list)
    tests: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    line: int = 0


@dataclass(slots=True)
class Summary:
    """All turn summaries in document order, with the text before the first."""

    turns: list[TurnSummary] = field(default_factory=list)
    preamble: str = ""
    path: str = "summary.md"
    diagnostics: list[Diagnostic] = field(default_factory=list)


def parse_summary(text: str, path: str = "summary.md") -> Summary:
    """Read a summary file; raises only for one that is too large."""
    blocks = scan(SourceText(text, path))
    summary = Summary(path=path, diagnostics=unclosed(blocks, path))
    blocks = blocks.closed(path)
    source = blocks.source
    marks = [h for h in blocks.headings if h.title.lower().startswith("turn summary")]
    stop = marks[0].line if marks else len(source.lines)
    summary.preamble = "\n".join(source.lines[:stop]).strip("\n\ufeff")
    for position, mark in enumerate(marks):
        end = marks[position + 1].line if position + 1 < len(marks) else len(source.lines)
        turn = TurnSummary(mark.title, line=mark.line + 1)
        kept: list[str] = []
        for number in range(mark.line + 1, end):
            line = source.lines[number]
            if blocks.opaque[number] or not _footer(turn, line):
                kept.append(line.rstrip(" \t"))
        turn.text = "\n".join(kept).strip("\n")
        count = len([line for line in kept if line.strip()])
        if count > 3 * MAX_LINES:
            message = f"turn summary of {count} lines, three to five are enough"
            summary.diagnostics.append(make("W02", path, turn.line, message, "cut it"))
        summary.turns.append(turn)
    return summary


def _footer(turn: TurnSummary, line: str) -> bool:
    key = parse_key(line)
    if key is None:
        return False
    if key.key == "checklist" and not key.value:
        return True
    if key.key == "artifacts":
        turn.artifacts = "; ".join(part for part in (turn.artifacts, clean(key.value)) if part)
        return True
    name = _FOOTER.get(key.key)
    if name is None:
        return False
    values = [part.strip() for part in key.value.split(";")]
    getattr(turn, name).extend(v for v in values if v and v.lower() not in ("none", "n/a"))
    return True


def meaning(summary: Summary) -> list[dict[str, object]]:
    """Return what the summaries say, without lines."""
    rows = []
    for turn in summary.turns:
        data = asdict(turn)
        del data["line"]
        data["artifacts"] = "" if turn.artifacts.lower() in ("none", "n/a") else turn.artifacts
        rows.append(data)
    return rows
