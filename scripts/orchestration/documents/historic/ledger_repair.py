"""`validate --fix` of a ledger: keys, statuses and headings in place, every other byte stays."""

from __future__ import annotations

from orchestration.documents.grammar import (
    Blocks,
    SourceText,
    apply_edits,
    heading_of,
    iter_keys,
    scan,
    strip_bullets,
)
from orchestration.documents.ledger import (
    ITEM_KEYS,
    STRAY,
    Status,
    parse_ledger,
    parse_priority,
    parse_status,
)

_KEYS = {
    "depends on": "Depends", "dependencies": "Depends", "working plan": "Plan",
    "owner/date": "Owner", "exit criteria": "Exit", "return condition": "Return",
    "recipes": "Recipe",
}  # fmt: skip


def normalise_ledger(text: str, path: str) -> str:
    """Return ``text`` with historic keys, priorities, status words and stray marks repaired."""
    ledger = parse_ledger(text, path)
    source = SourceText(text, path)
    blocks = scan(source)
    edits: list[tuple[int, int, str]] = []
    for item in ledger.items:
        edits += status_edit(item.status_span, text)
        first = item.line - 1
        if source.lines[first].startswith("-#"):
            edits.append((source.starts[first], source.starts[first] + 1, ""))
        level = _level(source.lines[first])
        end = first + 1
        while end < len(source.lines) and source.starts[end] < item.span[1]:
            end += 1
        if level == 2:
            edits += _shifted(blocks, first, end)
        for row in item.criteria:
            if row.state_offset < 0:
                line = source.lines[row.line - 1]
                at = source.starts[row.line - 1]
                bullet = at + len(line) - len(line.lstrip(" \t"))
                edits.append((bullet, at + strip_bullets(line)[0], f"- [ ] {row.id} "))
        for key in iter_keys(blocks, first + 1, end, ITEM_KEYS):
            start = source.starts[key.line]
            new = _KEYS.get(key.key)
            if new:
                head = source.lines[key.line][: key.value_column]
                at = head.find(key.raw_key)
                edits.append((start + at, start + at + len(key.raw_key), new))
            if key.key == "priority":
                edits += _priority(start + key.value_column, key.value)
    return apply_edits(text, edits)


def _level(line: str) -> int:
    found = heading_of(line.removeprefix("-"))
    return found[0] if found else 0


def _shifted(blocks: Blocks, start: int, end: int) -> list[tuple[int, int, str]]:
    """Put the headings of an item one level down, so that it is a level-3 item with its parts."""
    edits = []
    for number in blocks.visible(start, end):
        line = blocks.source.lines[number]
        if 0 < _level(line) < 6 and (heading_of(line) or STRAY.match(line)):
            at = blocks.source.starts[number] + line.find("#")
            edits.append((at, at, "#"))
    return edits


def status_edit(span: tuple[int, int] | None, text: str) -> list[tuple[int, int, str]]:
    """Replace the status word and the marks around it; the reason keeps its bytes."""
    if span is None:
        return []
    raw = text[span[0] : span[1]]
    value = parse_status(raw)
    if value.status is Status.UNKNOWN or not value.word:
        return []
    at = raw.find(value.word) + len(value.word)
    while at < len(raw) and raw[at] in "*_`~":
        at += 1
    return [(span[0], span[0] + at, value.status.value)]


def _priority(start: int, raw: str) -> list[tuple[int, int, str]]:
    value, known = parse_priority(raw)
    if not known:
        return []
    bare = raw.lstrip("*_` ")
    length = 0
    while length < len(bare) and bare[length].isalnum():
        length += 1
    stop = len(raw) - len(bare) + length
    while stop < len(raw) and raw[stop] in "*_`":
        stop += 1
    return [(start, start + stop, value)]
