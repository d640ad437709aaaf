"""Edits of a ledger: each changes its own span and no other byte."""

from __future__ import annotations

from orchestration.documents.grammar import (
    DocumentError,
    SourceText,
    is_id,
    iter_keys,
    join_cells,
    render_stamp,
    replace_span,
    require_closed,
    scan,
    split_cells,
    state_of,
    strip_bullets,
)
from orchestration.documents.ledger.model import Attempt, Item, Status, Waiting
from orchestration.documents.ledger.reader import ITEM_KEYS, LISTS, read_ledger
from orchestration.documents.ledger.values import render_waiting

_COLUMNS = ["turn", "at", "outcome", "criteria", "signature", "link"]


def _find(text: str, item_id: str) -> Item:
    ledger = read_ledger(text)
    item = ledger.item(item_id)
    if item is None:
        known = ", ".join(i.id for i in ledger.items[:12]) or "no items"
        raise DocumentError(
            "no such item in the ledger",
            where=item_id,
            expected=f"one of: {known}",
            fix="`orchestrate ledger list` names them; `orchestrate ledger add` adds one",
        )
    if sum(other.id == item_id for other in ledger.items) > 1:
        raise DocumentError(
            "two items of the ledger have this id",
            where=item_id,
            fix="rename one of them (orchestrate validate docs/fix_plan.md says where they are)",
        )
    return item


def _one_line(text: str) -> str:
    return " ".join(text.split())


def set_status(text: str, item_id: str, status: Status | str, reason: str | Waiting = "") -> str:
    """Return ``text`` with the status of an item replaced; nothing else changes.

    ``reason`` follows the dash (line breaks become spaces); a :class:`Waiting` is written in its
    canonical form. An item without a status line gets one below its heading.
    """
    wanted = Status(status)
    if wanted is Status.UNKNOWN:
        raise DocumentError("`unknown` is a reader's word, no status", where=item_id)
    words = render_waiting(reason) if isinstance(reason, Waiting) else _one_line(reason)
    value = f"{wanted.value} — {words}" if words else wanted.value
    item = _find(text, item_id)
    if item.status_span:
        start, end = item.status_span
        gap = " " if text[start - 1 : start] == ":" else ""
        return replace_span(text, start, end, gap + value)
    source = SourceText(text)
    at = source.after(item.line - 1)
    following = source.lines[item.line] if item.line < len(source.lines) else ""
    new = [f"- Status: {value}"]
    if following[:1] in (" ", "\t") and following.strip():
        new.append("")
    return replace_span(text, at, at, _lines(source, item.line - 1, new))


def _lines(source: SourceText, before: int, lines: list[str]) -> str:
    """Return whole lines to insert after line ``before``, in the document's line ending."""
    ended = source.after(before) > source.end(before)
    body = source.newline.join(lines)
    return body + source.newline if ended else source.newline + body


def tick(text: str, item_id: str, criterion_id: str, state: str = "x") -> str:
    """Return ``text`` with the state character of a criterion replaced."""
    wanted = state_of(state)
    if wanted is None:
        raise DocumentError(
            "unknown checklist state",
            where=f"{item_id} {criterion_id}",
            expected="one of ' ', x, P, D, B, W",
            got=repr(state),
        )
    criterion = _find(text, item_id).criterion(criterion_id)
    source = SourceText(text)
    if criterion is not None and criterion.state_offset < 0:
        line = source.lines[criterion.line - 1]
        at, bullets = strip_bullets(line)
        if bullets and "[" not in line[at : at + 1]:
            at += source.starts[criterion.line - 1]
            return replace_span(text, at, at, f"[{wanted}] ")
    if criterion is None or criterion.state_offset < 0:
        raise DocumentError(
            "no such criterion row",
            where=f"{item_id} {criterion_id}",
            fix="write it as `- [ ] C1 `command` — meaning` under `- Exit:`",
        )
    at = criterion.state_offset
    return replace_span(text, at, at + 1, wanted)


def append_attempt(text: str, item_id: str, attempt: Attempt) -> str:
    """Return ``text`` with one row added to the item's generated attempts table.

    The table is created at the end of the item when it has none; historic bullets stay.
    """
    item = _find(text, item_id)
    source = SourceText(text)
    blocks = scan(source)
    first, last = item.line - 1, _last_line(source, item)
    table = None
    if item.span != (0, len(text)):
        for key in iter_keys(blocks, first + 1, last + 1, ITEM_KEYS, LISTS):
            rows = [
                n
                for n in blocks.visible(key.line + 1, min(key.end, last + 1))
                if source.lines[n].lstrip().startswith("|")
            ]
            if key.key == "attempts" and rows and "turn" in _columns(source.lines[rows[0]]):
                table = rows
    if table:
        line = source.lines[table[-1]]
        indent = line[: len(line) - len(line.lstrip())]
        header = source.lines[table[0]]
        row = indent + join_cells(_cells(attempt, header))
        at = source.after(table[-1])
        return replace_span(text, at, at, _lines(source, table[-1], [row]))
    require_closed(blocks, item_id, last)
    new = ["- Attempts:", "", "  " + join_cells(_COLUMNS), "  |" + "---|" * len(_COLUMNS)]
    new.append("  " + join_cells(_cells(attempt, "")))
    at = source.after(last)
    return replace_span(text, at, at, _lines(source, last, new))


def _last_line(source: SourceText, item: Item) -> int:
    """Return the last line of an item's content: trailing blanks and separators are not its."""
    last = item.line - 1
    number = last
    while number < len(source.lines) and source.starts[number] < item.span[1]:
        text = source.lines[number].strip()
        if text and text.strip("-*_ "):
            last = number
        number += 1
    return last


def _columns(header: str) -> list[str]:
    return [column.lower() for column in split_cells(header)]


def _cells(attempt: Attempt, header: str) -> list[str]:
    columns = _columns(header) if header else _COLUMNS
    values = {
        "turn": "" if attempt.turn is None else str(attempt.turn),
        "at": render_stamp(attempt.at) if attempt.at else "",
        "outcome": attempt.outcome,
        "criteria": attempt.criteria,
        "criterion δ": attempt.criteria,
        "signature": attempt.signature,
        "link": attempt.link,
    }
    return [values.get(column, "") or "-" for column in columns]


def add_item(text: str, item_id: str, title: str, **values: str) -> str:
    """Return ``text`` with a new item at the end.

    ``values``: status, priority, type, depends, plan, owner, guard, needs; criteria are lines.
    """
    if not is_id(item_id):
        raise DocumentError(
            "this is no item id", where=item_id, expected="segments joined by hyphens, FIX-X-001"
        )
    if read_ledger(text).item(item_id):
        raise DocumentError("the ledger has this item already", where=item_id)
    source = SourceText(text)
    require_closed(scan(source), item_id)
    newline = source.newline
    exits = [line for line in values.pop("exit", "").splitlines() if line.strip()]
    lines = [f"### [{item_id}] {_one_line(title)}"]
    lines.append(f"- Status: {_one_line(values.pop('status', '') or 'open')}")
    for key in ("priority", "type", "depends", "plan", "owner", "guard", "needs"):
        if values.get(key):
            lines.append(f"- {key.capitalize()}: {_one_line(values[key])}")
    if exits:
        lines.append("- Exit:")
        lines += [f"  - [ ] C{n} {_one_line(line)}" for n, line in enumerate(exits, 1)]
    lead = ""
    if text.lstrip("\ufeff"):
        ended = text.endswith(("\n", "\r"))
        blank = ended and (not source.lines[-1].strip())
        lead = ("" if ended else newline) + ("" if blank else newline)
    return text + lead + newline.join(lines) + newline
