"""Cut an order into its header and sections."""

from __future__ import annotations

from itertools import dropwhile
from typing import NamedTuple

from orchestration.documents.grammar import Blocks, heading_of, successive, title_key
from orchestration.documents.order.names import FIELDS, FREE_TITLES


class RawSection(NamedTuple):
    """Lines ``start:end`` (from 0) under a title at line ``line``; ``kind`` is a field, or ""."""

    kind: str
    title: str
    level: int
    line: int
    start: int
    end: int


class Cut(NamedTuple):
    """An order in pieces: H1 title, header lines, sections."""

    title: str
    header: list[int]
    sections: list[RawSection]


def cut(blocks: Blocks) -> Cut:
    """Cut a document at its headings; one below an unknown or known section is part of it."""
    title, title_line = "", -1
    sections: list[RawSection] = []
    for heading in blocks.headings:
        key = title_key(heading.title)
        kind = FIELDS.get(key, "")
        known = kind or key in FREE_TITLES
        if heading.level == 1 and title_line < 0 and not known and not sections:
            title, title_line = heading.title, heading.line
        elif known or not sections or heading.level <= sections[-1].level:
            start = heading.line + 1
            sections.append(RawSection(kind, heading.title, heading.level, start - 1, start, start))
    sections = [
        section._replace(end=following.line if following else len(blocks.source.lines))
        for section, following in successive(sections)
    ]
    stop = sections[0].line if sections else len(blocks.source.lines)
    return Cut(title, [n for n in range(stop) if n != title_line], sections)


def body_text(blocks: Blocks, section: RawSection) -> str:
    """Return a section's text: inner headings below the canonical titles, no margins."""
    lines = []
    for number in range(section.start, section.end):
        line = blocks.source.lines[number]
        found = None if blocks.opaque[number] or "#" not in line[:4] else heading_of(line)
        if found and found[0] < 3:
            line = f"### {found[1]}"
        lines.append(line.rstrip(" \t"))
    lines = list(dropwhile(_blank, lines))
    while lines and _blank(lines[-1]):
        lines.pop()
    return "\n".join(lines)


def _blank(line: str) -> bool:
    return not line.strip()
