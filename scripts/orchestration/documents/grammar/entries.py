"""Bullets of a section with the lines under them, whatever the bullets look like."""

from __future__ import annotations

from typing import NamedTuple

from orchestration.documents.grammar.blocks import Blocks, heading_of
from orchestration.documents.grammar.keys import indent_of, strip_bullets


def below(text: str) -> str:
    """Return a line of prose; one that reads as a heading goes below the canonical titles."""
    found = heading_of(text)
    return f"{'#' * max(3, found[0])} {found[1]}".rstrip() if found else text


class Entry(NamedTuple):
    """One bullet or paragraph: its first line without the bullet, and the lines under it."""

    first: str
    raw: str
    detail: list[str]
    line: int
    bullet: bool

    def joined(self) -> str:
        """Return the text on one line."""
        return " ".join(part.strip() for part in [self.first, *self.detail] if part.strip())


def entries(blocks: Blocks, start: int, end: int, *, fenced: bool = True) -> list[Entry]:
    """Return the outermost bullets of lines ``start:end``; prose between them becomes entries.

    Fenced lines belong to the bullet before them, or are left out without ``fenced``.
    """
    found: list[Entry] = []
    base: int | None = None
    for number in range(start, end):
        line = blocks.source.lines[number].expandtabs(4)
        text = line.strip()
        opaque = bool(blocks.opaque[number])
        if opaque and not fenced:
            continue
        at, count = strip_bullets(line)
        indent = indent_of(line)
        if count and not opaque and (base is None or indent < base + 2):
            base = indent if base is None else min(base, indent)
            first = line[at:].strip()
            first = first if first.strip("-*+ ") else ""
            found.append(Entry(first, text, [], number, True))
        elif found and (found[-1].bullet or opaque):
            kept = line[min(2, indent) :].rstrip() if text else ""
            found[-1].detail.append(kept if opaque else below(kept))
        elif opaque or text.strip("-*+ "):
            text = text if opaque else below(text)
            found.append(Entry(text, text, [], number, False))
    for entry in found:
        while entry.detail and not entry.detail[-1]:
            entry.detail.pop()
    return found
