"""Cut an order into its header and sections, whatever form it has."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import dropwhile

from orchestration.documents.grammar import Blocks, heading_of, successive
from orchestration.documents.historic import (
    BARE_TITLES,
    INLINE_TITLES,
    SECTION_ALIASES,
    section_key,
)


@dataclass(slots=True)
class RawSection:
    """Lines ``start:end`` (from 0) under a title at line ``line``; ``first`` is inline text."""

    kind: str
    title: str
    level: int
    line: int
    start: int
    end: int
    first: str = ""


@dataclass(slots=True)
class Cut:
    """An order in pieces: H1 title, header lines, sections, and the marks of its form."""

    title: str
    title_line: int
    header: list[int]
    sections: list[RawSection]
    bare: bool
    wrapper: bool


def cut(blocks: Blocks) -> Cut:
    """Cut a document at its headings, or at bare titles when it has no known heading."""
    title, title_line = "", -1
    marks: list[RawSection] = []
    wrapper = False
    level = 0
    for heading in blocks.headings:
        key = section_key(heading.title)
        kind = SECTION_ALIASES.get(key)
        if heading.level == 1 and title_line < 0 and kind is None and not marks:
            title, title_line = heading.title, heading.line
        elif kind == "wrapper":
            wrapper, level = True, 0
            marks.append(RawSection("wrapper", heading.title, heading.level, heading.line, 0, 0))
        elif kind is None and marks and 0 < level < heading.level:
            continue
        else:
            level = heading.level
            name = kind or "other"
            marks.append(RawSection(name, heading.title, level, heading.line, 0, 0))
    known = any(mark.kind not in ("other", "wrapper") for mark in marks)
    ordered = title.lower().split(" ", 1)[0] == "order"
    bare = not known and not wrapper and not ordered
    if bare:
        marks = sorted(marks + _bare_titles(blocks), key=lambda mark: mark.line)
    for mark, following in successive(marks):
        mark.start = mark.line + 1
        mark.end = following.line if following else len(blocks.source.lines)
    stop = marks[0].line if marks else len(blocks.source.lines)
    header = [n for n in range(stop) if n != title_line]
    for mark in marks:
        if mark.kind == "wrapper":
            header += range(mark.start, mark.end)
    sections = [mark for mark in marks if mark.kind != "wrapper"]
    return Cut(title, title_line, header, sections, bare and bool(sections), wrapper)


def _bare_titles(blocks: Blocks) -> list[RawSection]:
    found = []
    for number, line in enumerate(blocks.source.lines):
        if not line[:1].isalpha() and line[:1] != "*":
            continue
        if line[:2] == "* " or blocks.opaque[number] or len(line) > 4000:
            continue
        head, colon, rest = line.partition(":")
        key = section_key(head)
        rest = rest.strip().lstrip("*_").strip()
        if key not in BARE_TITLES or len(head) > 60:
            continue
        inline = bool(colon) and bool(rest)
        if (inline and key in INLINE_TITLES) or not rest:
            kind = SECTION_ALIASES[key]
            title = head.strip("*_ ")
            found.append(RawSection(kind, title, 2, number, 0, 0, rest))
    return found


def demoted(blocks: Blocks, section: RawSection, number: int) -> str:
    """Return a line of a section; a heading in it goes one level below the canonical title."""
    line = blocks.source.lines[number]
    found = None if blocks.opaque[number] or "#" not in line[:4] else heading_of(line)
    if found is None:
        return line
    level = min(6, max(3, found[0] + 2 - section.level))
    return ("#" * level + " " + found[1]).rstrip()


def below(text: str) -> str:
    """Return a line of prose; one that reads as a heading goes below the canonical titles."""
    found = heading_of(text)
    return f"{'#' * max(3, found[0])} {found[1]}".rstrip() if found else text


def _blank(line: str) -> bool:
    return not line.strip()


def body_text(blocks: Blocks, section: RawSection) -> str:
    """Return a section's text: inner headings one level below, open fences closed, no margins."""
    lines = [below(section.first)] if section.first else []
    for number in range(section.start, section.end):
        lines.append(demoted(blocks, section, number).rstrip(" \t"))
    lines = list(dropwhile(_blank, lines))
    while lines and _blank(lines[-1]):
        lines.pop()
    return "\n".join(lines)
