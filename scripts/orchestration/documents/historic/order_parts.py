"""Where the title, the header and the sections of an old order lie."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from orchestration.documents.grammar import (
    Blocks,
    Heading,
    strip_bullets,
    successive,
    title_key,
)
from orchestration.documents.historic.order_names import BARE_TITLES, INLINE_TITLES, SECTIONS


class Mark(NamedTuple):
    """A heading or a bare title: today's name ("" free text, None unknown), where it begins."""

    name: str | None
    title: str
    level: int
    line: int
    end: int = 0
    first: str = ""


def parts_of(blocks: Blocks) -> tuple[Heading | None, list[Mark], int]:
    """Return the H1 title, the sections, and the line at which the header ends."""
    lines = blocks.source.lines
    title: Heading | None = None
    marks: list[Mark] = []
    level = 0
    for heading in blocks.headings:
        name = SECTIONS.get(title_key(heading.title))
        if heading.level == 1 and title is None and name is None and not marks:
            title = heading
        elif name == "wrapper":
            level = 0
            marks.append(Mark(name, heading.title, heading.level, heading.line))
        elif name is None and marks and 0 < level < heading.level:
            continue
        else:
            level = heading.level
            marks.append(Mark(name, heading.title, level, heading.line))
    ordered = title is not None and title.title.lower().split(" ", 1)[0] == "order"
    if not ordered and not any(mark.name is not None for mark in marks):
        marks = sorted(marks + _bare_titles(blocks), key=lambda mark: mark.line)
    marks = [
        mark._replace(end=following.line if following else len(lines))
        for mark, following in successive(marks)
    ]
    return title, marks, marks[0].line if marks else len(lines)


def _bare_titles(blocks: Blocks) -> list[Mark]:
    found = []
    lines = blocks.source.lines
    for number, line in enumerate(lines):
        if not line[:1].isalpha() and line[:1] != "*":
            continue
        if line[:2] == "* " or blocks.opaque[number] or len(line) > 4000:
            continue
        head, colon, rest = line.partition(":")
        key = title_key(head)
        rest = rest.strip().lstrip("*_").strip()
        if key not in BARE_TITLES or len(head) > 60:
            continue
        if key == "mapped tests" and not rest and _listed(lines, number):
            continue
        if (colon and rest and key in INLINE_TITLES) or not rest:
            found.append(Mark(SECTIONS[key], head.strip("*_ "), 2, number, 0, rest))
    return found


def _listed(lines: Sequence[str], number: int) -> bool:
    """Whether a list of values follows a key line at once."""
    following = lines[number + 1] if number + 1 < len(lines) else ""
    return bool(strip_bullets(following)[1])
