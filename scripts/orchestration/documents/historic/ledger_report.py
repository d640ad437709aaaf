"""Reader of the single-focus ledger of January 2026: status, focus, TODOs and attempt sections."""

from __future__ import annotations

from orchestration.documents.grammar import (
    Blocks,
    Heading,
    clean,
    find_ids,
    parse_key,
    parse_row,
    parse_stamp,
    split_focus,
    successive,
)
from orchestration.documents.historic.claims import claimed_rows
from orchestration.documents.ledger import (
    Attempt,
    Criterion,
    Item,
    Ledger,
    Status,
    parse_status,
    take_command,
)


def read_report(blocks: Blocks, headings: list[Heading], ledger: Ledger) -> None:
    """Fill ``ledger`` from ``## Status``, ``## Current Focus``, ``## TODOs``, attempts."""
    lines = blocks.source.lines
    names = {h.title.lower().strip(" :"): h for h in headings if h.level == 2}
    focus = next((h for name, h in names.items() if name.startswith("current focus")), None)
    if focus is None:
        return
    ends = _ends(headings, len(lines))
    item = _focus_item(blocks, focus, ends)
    if item is None:
        return
    ledger.form = "report"
    ledger.active_focus = item.id
    for number in blocks.visible(focus.line + 1, ends[focus.line]):
        key = parse_key(lines[number])
        if key and key.key in ("plan", "working plan") and not item.plan:
            item.plan = clean(key.value) or None
    items = {item.id: item}
    status = names.get("status")
    if status:
        _read_status(blocks, ends[status.line], status, item)
    for heading in headings:
        if heading.level == 2 and heading.title.lower().startswith(("todo", "completed items")):
            _read_rows(blocks, heading.line + 1, ends[heading.line], items, item)
    for heading in headings:
        if heading.level == 3 and parse_stamp(heading.title):
            _read_attempt(blocks, heading, ends[heading.line], items, item)
    ledger.items.extend(items.values())


def _ends(headings: list[Heading], total: int) -> dict[int, int]:
    """Return, by the line of each heading, the line of the next one."""
    return {h.line: following.line if following else total for h, following in successive(headings)}


def _focus_item(blocks: Blocks, focus: Heading, ends: dict[int, int]) -> Item | None:
    source = blocks.source
    for number in blocks.visible(focus.line + 1, ends[focus.line]):
        text = source.lines[number].strip()
        item_id = split_focus(text)[0]
        if item_id:
            title = clean(text).split(item_id, 1)[-1].strip("*` —–-:")
            return Item(item_id, title, line=number + 1, span=(0, len(source.text)))
    return None


def _read_status(blocks: Blocks, end: int, heading: Heading, item: Item) -> None:
    source = blocks.source
    for number in blocks.visible(heading.line + 1, end):
        line = source.lines[number]
        if line.strip():
            value = parse_status(line)
            item.status, item.reason, item.status_text = value.status, value.reason, line.strip()
            start = source.starts[number] + len(line) - len(line.lstrip())
            item.status_span = (start, source.end(number))
            return


def _read_rows(blocks: Blocks, start: int, end: int, items: dict[str, Item], focus: Item) -> None:
    source = blocks.source
    for number in blocks.visible(start, end):
        row = parse_row(source.lines[number], number)
        if row is None:
            continue
        item_id, row_id = split_focus(row.row_id) if row.row_id else ("", None)
        owner = _owner(items, item_id, focus, number)
        command, meaning = take_command(row.text, number + 1)
        name = row_id or row.row_id or f"C{len(owner.criteria) + 1}"
        offset = source.starts[number] + row.column
        owner.criteria.append(Criterion(name, row.state, command, meaning, number + 1, offset))


def _owner(items: dict[str, Item], item_id: str, focus: Item, number: int) -> Item:
    if not item_id:
        return focus
    return items.setdefault(item_id, Item(item_id, "", Status.OPEN, line=number + 1))


def _read_attempt(
    blocks: Blocks, heading: Heading, end: int, items: dict[str, Item], focus: Item
) -> None:
    ids = find_ids(heading.title.replace(".", " "))
    owner = items.get(ids[0], focus) if ids else focus
    head, _, label = heading.title.rpartition("(")
    rows = ", ".join(claimed_rows(head))
    body = "\n".join(blocks.source.lines[heading.line + 1 : end]).strip()
    attempt = Attempt(
        at=parse_stamp(heading.title),
        label=label.rstrip(") ") if head else heading.title,
        criteria=rows,
        text=body,
        line=heading.line + 1,
    )
    owner.attempts.append(attempt)
