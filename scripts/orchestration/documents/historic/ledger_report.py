"""The door for the single-focus ledger: a report of one focus becomes items.

``## Status``, ``## Current Focus``, ``## TODOs``, ``## Completed Items`` and attempts as headings
become items with criteria and attempts. Rows move as they are written; what belongs to no item
keeps its section. Every line knows the line that it came from.
"""

from __future__ import annotations

from collections import Counter

from orchestration.documents.grammar import (
    Blocks,
    Heading,
    SourceText,
    Upgraded,
    clean,
    find_ids,
    is_row_range,
    parse_key,
    parse_row,
    parse_stamp,
    scan,
    split_focus,
    successive,
)
from orchestration.documents.historic.claims import claimed_rows
from orchestration.documents.historic.criteria import plain_criterion

_ROWS = ("todo", "completed items")


class _Item:
    """What the report says about one item, as (text, old line) pairs."""

    def __init__(self, title: str, line: int) -> None:
        self.title = title
        self.line = line
        self.head: list[tuple[str, int]] = []
        self.rows: list[tuple[str, int]] = []
        self.attempts: list[tuple[str, int]] = []


def upgrade_report(text: str, path: str) -> Upgraded:
    """Return the ledger as items; one that is no report of one focus comes back as it is."""
    old = SourceText(text, path)
    upgraded = Upgraded(old)
    blocks = scan(old).closed(path)
    names = {h.title.lower().strip(" :"): h for h in blocks.headings if h.level == 2}
    focus = next((h for name, h in names.items() if name.startswith("current focus")), None)
    if focus is None:
        return upgraded
    ends = {
        h.line: following.line if following else len(blocks.source.lines)
        for h, following in successive(blocks.headings)
    }
    report = _Report(blocks, ends)
    if not report.focus(focus):
        return upgraded
    status = names.get("status")
    if status:
        report.status(status)
    report.attempt_rows()
    for heading in blocks.headings:
        if heading.level == 2 and heading.title.lower().startswith(_ROWS):
            report.rows(heading)
    for heading in blocks.headings:
        if heading.level == 3 and parse_stamp(heading.title):
            report.attempt(heading)
    report.put(upgraded)
    upgraded.form = "report"
    return upgraded


class _Report:
    def __init__(self, blocks: Blocks, ends: dict[int, int]) -> None:
        self.blocks, self.ends = blocks, ends
        self.lines = blocks.source.lines
        self.items: dict[str, _Item] = {}
        self.main = ""
        self.taken: set[int] = set()
        #: Rows that the headings of attempts give to an item: ``seed S1``.
        self.owners: dict[str, str] = {}

    def visible(self, heading: Heading) -> list[int]:
        return self.blocks.visible(heading.line + 1, self.ends[heading.line])

    def focus(self, heading: Heading) -> bool:
        """Take the item that the report is about from its current focus."""
        for number in self.visible(heading):
            line = self.lines[number].strip()
            item_id = split_focus(line)[0]
            if item_id:
                self.main = item_id
                title = clean(line).split(item_id, 1)[-1].strip("*` —–-:").replace("**", "")
                item = self.items.setdefault(item_id, _Item(title, number))
                for other in self.visible(heading):
                    key = parse_key(self.lines[other])
                    if key and key.key in ("plan", "working plan") and clean(key.value):
                        item.head.append((f"- Plan: {clean(key.value)}", -1))
                        break
                return True
        return False

    def status(self, heading: Heading) -> None:
        for number in self.visible(heading):
            if self.lines[number].strip():
                line = self.lines[number].strip()
                self.items[self.main].head.insert(0, (f"- Status: {line}", number))
                self.taken |= {heading.line, number}
                return

    def attempt_rows(self) -> None:
        for heading in self.blocks.headings:
            if heading.level == 3 and parse_stamp(heading.title):
                words = heading.title.partition("(")[0]
                item_id = split_focus(words.partition("—")[2])[0]
                for row in claimed_rows(words) if item_id else ():
                    self.owners.setdefault(row, item_id)

    def rows(self, heading: Heading) -> None:
        """Give every row to its item; a row that is told twice stays once, the later one."""
        found = [(n, parse_row(self.lines[n], n)) for n in self.visible(heading)]
        for number, row in found:
            if row is None:
                if plain_criterion(self.lines[number]) and heading.title.lower().startswith("todo"):
                    self.items[self.main].rows.append((f"  {self.lines[number].strip()}", number))
                    self.taken.add(number)
                continue
            item_id, row_id = split_focus(row.row_id) if row.row_id else ("", None)
            name = row_id or row.row_id
            owner = item_id or self.owners.get(name, "")
            if (
                not owner
                and name.startswith("S")
                and self.main != "seed"
                and "seed" in {*self.owners.values()}
            ):
                owner = "seed"
            item = self.items.setdefault(owner or self.main, _Item("", number))
            item.rows.append((f"  {self.lines[number].strip()}", number))
            self.taken.add(number)

    def attempt(self, heading: Heading) -> None:
        ids = [i for i in find_ids(heading.title.replace(".", " ")) if not is_row_range(i)]
        named = split_focus(heading.title.partition("—")[2])[0]
        owner = next((i for i in (named, *ids) if i in self.items), self.main)
        end = self.ends[heading.line]
        body = [(self.lines[n], n) for n in range(heading.line, end)]
        while body and not body[-1][0].strip():
            body.pop()
        self.items[owner].attempts += [*body, ("", -1)]
        self.taken |= set(range(heading.line, end))

    def put(self, upgraded: Upgraded) -> None:
        """Write the report without what the items hold, then the items."""
        first_two = next((h.line for h in self.blocks.headings if h.level >= 2), len(self.lines))
        for number in range(first_two):
            upgraded.add(self.lines[number], number)
        for heading, following in successive(self.blocks.headings):
            if heading.line < first_two or heading.line in self.taken:
                continue
            end = following.line if following else len(self.lines)
            left = [n for n in range(heading.line, end) if n not in self.taken]
            if any(self.lines[n].strip() for n in left[1:]) or not self.emptied(heading):
                for number in left:
                    upgraded.add(self.lines[number], number)
        for item_id, item in self.items.items():
            if upgraded.lines and upgraded.lines[-1].strip():
                upgraded.add("")
            upgraded.add(f"## [{item_id}] {item.title}".rstrip(), item.line)
            for text, number in item.head:
                upgraded.add(text, number)
            if not any(text.startswith("- Status:") for text, _ in item.head):
                states = [row.state for text, _ in item.rows if (row := parse_row(text))]
                done = states and all(state in "xD" for state in states)
                upgraded.add("- Status: done" if done else "- Status: open")
            self.put_rows(upgraded, item)
            if item.attempts:
                upgraded.add("- Attempts History:")
                upgraded.add("")
                for text, number in item.attempts:
                    upgraded.add(text, number)
        while upgraded.lines and not upgraded.lines[-1].strip():
            upgraded.lines.pop()
            upgraded.origins.pop()

    def put_rows(self, upgraded: Upgraded, item: _Item) -> None:
        if not item.rows:
            return
        names = [parse_row(text) for text, _ in item.rows]
        last = Counter(row.row_id for row in names if row and row.row_id)
        upgraded.add("- Exit:")
        told: list[tuple[str, int]] = []
        for (text, number), row in zip(item.rows, names, strict=True):
            if row and row.row_id and last[row.row_id] > 1:
                last[row.row_id] -= 1
                told.append((text, number))
            else:
                upgraded.add(text, number)
        if told:
            upgraded.add("- Told before:")
            for text, number in told:
                upgraded.add(text, number)

    def emptied(self, heading: Heading) -> bool:
        """Whether a section had lines and the items took them all."""
        end = self.ends[heading.line]
        return heading.title.lower().startswith((*_ROWS, "attempts history")) or any(
            n in self.taken for n in range(heading.line + 1, end)
        )
