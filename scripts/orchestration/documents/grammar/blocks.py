"""Block structure of a document: headings, fenced blocks, comments.

Fences, comments and the lines of a heredoc are opaque: a ``#`` inside them is no heading and
``- [ ]`` no row. They are found line by line, as CommonMark has them where nothing nests, at a cost
linear in the text. No library does it here: markdown-it-py takes 45 ms of processor time to import,
a third of what the linter may take, its full block parser 0.6 s for 200 kB of bullets, and its
``maxNesting`` of 20 drops what lies deeper. ``tests/documents/test_blocks.py`` holds headings,
fences, comments and their ends equal to markdown-it-py's on generated documents.
Fences are recognised at any indentation and after a list marker, because work documents nest them
in bullets. Headings are ATX headings; ``---`` is a separator in these documents, no underline.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import NamedTuple

from orchestration.documents.grammar.diagnostics import Diagnostic, DocumentError, make
from orchestration.documents.grammar.text import SourceText

#: What opens a block: a comment, or a fence with or without a list marker before it.
_OPENS = re.compile(
    r"[ \t]*(<!--|`{3,}|~{3,})|[ \t]{0,64}(?:[-*+]|\d{1,9}[.)])[ \t]{1,8}(`{3,}|~{3,})"
)
_OPENING = re.compile(r"`{3,}|~{3,}")
_HEREDOC = re.compile(r"<<-?[ \t]*(['\"]?)([A-Za-z_][A-Za-z0-9_]{0,40})\1")
_HEADING = re.compile(r" {0,3}(#{1,6})(?=[ \t]|$)")


class Heading(NamedTuple):
    """An ATX heading: ``level`` 1–6, ``title`` without markers, ``line`` from 0."""

    level: int
    title: str
    line: int


class Fence(NamedTuple):
    """A fenced block: lines ``start`` (opening) to ``end`` (exclusive), its info string."""

    start: int
    end: int
    info: str
    closed: bool

    def body(self, source: SourceText) -> list[str]:
        """Return the lines between the markers."""
        return source.lines[self.start + 1 : self.end - 1 if self.closed else self.end]


def _start(fence: Fence) -> int:
    return fence.start


class Blocks:
    """The block structure of one document."""

    def __init__(self, source: SourceText) -> None:
        self.source = source
        self.headings: list[Heading] = []
        self.fences: list[Fence] = []
        self.comments: list[tuple[int, int]] = []
        self.opaque = bytearray(len(source.lines))
        #: Line of the fence or comment that is never closed, None when all are.
        self.open_from: int | None = None

    def visible(self, start: int, end: int) -> list[int]:
        """Return the line numbers in ``start:end`` outside fences and comments."""
        return [i for i in range(start, end) if not self.opaque[i]]

    def closing(self) -> str:
        """Return the line that would close the open fence or comment, "" when none is open."""
        if self.open_from is None:
            return ""
        line = self.source.lines[self.open_from]
        match = _OPENING.search(line)
        return match.group() if match and not line.lstrip().startswith("<!--") else "-->"

    def closed(self, path: str) -> Blocks:
        """Return these blocks with one line added that closes the open fence or comment."""
        if self.open_from is None:
            return self
        source = SourceText(f"{self.source.text}\n{self.closing()}", path, limit=False)
        total = len(source.lines)
        blocks = Blocks(source)
        blocks.headings, blocks.fences = self.headings, list(self.fences)
        blocks.comments = list(self.comments)
        blocks.opaque = self.opaque + b"\1" * (total - len(self.opaque))
        if blocks.fences and blocks.fences[-1].start == self.open_from:
            blocks.fences[-1] = Fence(self.open_from, total, self.fences[-1].info, True)
        else:
            blocks.comments[-1] = (self.open_from, total)
        return blocks

    def fences_in(self, start: int, end: int) -> list[Fence]:
        """Return the fences that begin in lines ``start:end``."""
        first = bisect_left(self.fences, start, key=_start)
        return self.fences[first : bisect_left(self.fences, end, lo=first, key=_start)]


def heading_of(line: str) -> tuple[int, str] | None:
    """Return (level, title) of an ATX heading line, or None."""
    match = _HEADING.match(line)
    if match is None:
        return None
    title = line[match.end() :].strip(" \t")
    bare = title.rstrip("#")
    if bare != title and (not bare or bare[-1] in " \t"):
        title = bare.rstrip(" \t")
    return len(match.group(1)), title


def unclosed(blocks: Blocks, path: str) -> list[Diagnostic]:
    """Return a W11 for the fence or comment that is never closed, nothing when all are."""
    if blocks.open_from is None:
        return []
    message = "fence or comment is never closed; the rest of the document is inside it"
    return [make("W11", path, blocks.open_from + 1, message, "close it")]


def with_ends(blocks: Blocks) -> list[tuple[Heading, int]]:
    """Return each heading with the line at which its section ends (the next one not below it)."""
    ends = [len(blocks.source.lines)] * len(blocks.headings)
    open_at: list[int] = []
    for position, heading in enumerate(blocks.headings):
        while open_at and blocks.headings[open_at[-1]].level >= heading.level:
            ends[open_at.pop()] = heading.line
        open_at.append(position)
    return list(zip(blocks.headings, ends, strict=True))


def scan(source: SourceText) -> Blocks:
    """Find the headings, fences and comments of ``source`` in linear time."""
    blocks = Blocks(source)
    _find_opaque(blocks)
    _find_heredocs(blocks)
    for index, line in enumerate(source.lines):
        if "#" in line[:4] and not blocks.opaque[index]:
            found = heading_of(line)
            if found:
                blocks.headings.append(Heading(found[0], found[1], index))
    return blocks


def _find_opaque(blocks: Blocks) -> None:
    start, marker, info = -1, "", ""
    for number, line in enumerate(blocks.source.lines):
        if start < 0:
            match = _OPENS.match(line)
            if match is None:
                continue
            marker, info = match[1] or match[2], line[match.end() :]
            if marker[0] == "`" and "`" in info:
                continue  # a code span
            start = number
            closed = marker == "<!--" and "-->" in line[match.start(1) + 2 :]  # <!--> is whole
        elif marker == "<!--":
            closed = "-->" in line
        else:
            closed = _is_closing(line, marker)
        if closed:
            _opaque(blocks, start, number + 1, marker, info, closed=True)
            start = -1
    if start >= 0:
        _opaque(blocks, start, len(blocks.source.lines), marker, info, closed=False)
        blocks.open_from = start


def _opaque(blocks: Blocks, start: int, end: int, marker: str, info: str, *, closed: bool) -> None:
    if marker == "<!--":
        blocks.comments.append((start, end))
    else:
        blocks.fences.append(Fence(start, end, info.strip(), closed))
    blocks.opaque[start:end] = b"\1" * (end - start)


def _find_heredocs(blocks: Blocks) -> None:
    """Make the lines of ``<<'END'`` … ``END`` opaque: they are a program's."""
    lines = blocks.source.lines
    opened = [
        (n, m.group(2))
        for n, line in enumerate(lines)
        if "<<" in line
        for m in [_HEREDOC.search(line[:4000])]
        if m and not blocks.opaque[n]
    ]
    if not opened:
        return
    names = {name for _, name in opened}
    ends: dict[str, list[int]] = {}
    for number, line in enumerate(lines):
        if (word := line.strip()) in names:
            ends.setdefault(word, []).append(number)
    last = -1
    for number, name in opened:
        places = ends.get(name, [])
        at = bisect_left(places, number + 1)
        if number <= last or at == len(places):
            continue
        last = places[at]
        blocks.opaque[number + 1 : last + 1] = b"\1" * (last - number)


def _is_closing(line: str, markup: str) -> bool:
    text = line.strip(" \t")
    return len(text) >= len(markup) and not text.strip(markup[0])


def require_closed(blocks: Blocks, where: str, last: int | None = None) -> None:
    """Refuse to write after line ``last`` (None: at the end) where a fence or comment is open.

    What is written there would be inside it, and nobody would ever read it.
    """
    at = blocks.open_from
    if at is not None and (last is None or last >= at):
        raise DocumentError(
            "cannot append: the document ends inside a fence or comment that is never closed",
            where=f"{where}, line {at + 1}",
            fix="close it",
        )
