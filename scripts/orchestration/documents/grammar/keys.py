"""Reading of ``Key: value`` lines and checklist rows, tolerant of the historic decorations."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from typing import NamedTuple

from orchestration.documents.grammar.blocks import Blocks
from orchestration.documents.grammar.refs import is_row, split_focus

_BULLET = re.compile(r"(?:[-*+•‣◦▪●–○■▸►⁃∙]|\d{1,4}[.)])(?:[ \t]+|$)")
_KEY = re.compile(r"<?[A-Za-z][A-Za-z0-9 _/&.#<>-]*")
_STATE = re.compile(r"\[(.)\](?=[ \t]|$)")
_PLAIN_ID = re.compile(r"[A-Za-z][A-Za-z0-9.-]{0,80}")
_STATE_CHARS = {" ": " ", "x": "x", "X": "x", "P": "P", "p": "P", "D": "D", "B": "B", "W": "W",
                **dict.fromkeys("✓✔✅☑", "x"), "~": "P", "-": "D"}  # fmt: skip
_TABS = 4


class KeyLine(NamedTuple):
    """A ``Key: value`` line: normalised key, qualifier in parentheses, value and its offset."""

    key: str
    raw_key: str
    qualifier: str
    value: str
    value_column: int
    indent: int
    bullet: bool
    line: int
    end: int = 0


class Row(NamedTuple):
    """A checklist row: state character, id (may be empty), text, source line (from 0)."""

    state: str
    row_id: str
    text: str
    line: int
    column: int
    indent: int


def indent_of(line: str) -> int:
    """Return the indentation in columns; a tab counts to the next multiple of four."""
    columns = 0
    for char in line:
        if char == " ":
            columns += 1
        elif char == "\t":
            columns += _TABS - columns % _TABS
        else:
            break
    return columns


def strip_bullets(line: str) -> tuple[int, int]:
    """Return (column after the bullets, number of bullets); a stray second bullet is tolerated."""
    at = len(line) - len(line.lstrip(" \t"))
    count = 0
    while count < 3:
        match = _BULLET.match(line, at)
        if match is None:
            break
        at = match.end()
        count += 1
    return at, count


def parse_key(line: str, number: int = 0) -> KeyLine | None:
    """Read ``- **Key** (qualifier): value``; None when the line is no key line."""
    at, bullets = strip_bullets(line)
    body = line[at : at + 120]
    colon = body.find(":")
    if colon < 1 or body[colon + 1 : colon + 3].startswith((":", "//")):
        return None
    head = body[:colon]
    opened = len(head) - len(head.lstrip("*_"))
    closed = len(head) - len(head.rstrip("*_"))
    name = without_sign(head.replace("\xa0", " ").strip("*_` \t")).lstrip("*_`")
    qualifier = ""
    if name.endswith(")") and "(" in name:
        name, _, qualifier = name[:-1].partition("(")
        name = name.strip("*_` \t")
    name = name.removeprefix("<").removesuffix(">") if name.startswith("<") else name
    if not _KEY.fullmatch(name) or len(name) > 48:
        return None
    start = at + colon + 1
    if opened and not closed:
        rest = line[start:]
        start += len(rest) - len(rest.lstrip("*_"))
    while start < len(line) and line[start] in " \t":
        start += 1
    value = line[start:].rstrip(" \t")
    key = " ".join(name.lower().split())
    return KeyLine(key, name, qualifier.strip(), value, start, indent_of(line), bullets > 0, number)


_NEXT_KEY = re.compile(
    r"(?<![ \t])(?:[ \t]{2,}|[ \t]+·[ \t]+|[ \t]*\|[ \t]+)"
    r"\**([A-Z][A-Za-z]*(?:[ -][A-Za-z]+){0,2})\**:(?=[ \t]|$)"
)


def split_keys(line: str, known: Container[str]) -> list[str]:
    """Cut ``Focus: X        Mode: TDD`` or ``… | Mode: TDD`` into one part a ``known`` key."""
    if ":" not in line:
        return [line]
    parts: list[str] = []
    start = 0
    for match in _NEXT_KEY.finditer(line):
        if match.group(1).lower() in known and ":" in line[start : match.start()]:
            parts.append(line[start : match.start()])
            start = match.start(1)
    return [*parts, line[start:]]


def iter_keys(
    blocks: Blocks,
    start: int,
    end: int,
    known: frozenset[str],
    lists: frozenset[str] = frozenset(),
) -> Iterator[KeyLine]:
    """Yield the outermost key lines of ``start:end`` with the line at which each one's block ends.

    Bulleted keys may be unknown; unbulleted ones must be in ``known`` to be told from prose. A key
    of ``lists`` may stand as a title, ``**Exit Criteria**`` or ``### Exit Criteria``; where it has
    no bullet of its own, the bullets below it are its, up to the next known key or heading.
    """
    lines = blocks.source.lines
    found: list[KeyLine] = []
    stops: list[int] = []
    base: int | None = None
    in_list = False
    for number in blocks.visible(start, end):
        line = lines[number]
        if not line.strip():
            continue
        indent = indent_of(line)
        outer = base is None or indent < base + 2
        key = (parse_key(line, number) or _list_title(line, number, lists)) if outer else None
        if key and (key.key in known or (key.bullet and not in_list)):
            base = indent if base is None else min(base, indent)
            in_list = key.key in lists and not key.bullet and not key.value
            found.append(key)
            stops.append(number)
        elif outer and (line.startswith("#") or (strip_bullets(line)[1] and not in_list)):
            in_list = False
            stops.append(number)
    stops.append(end)
    position = 0
    for key in found:
        while stops[position] <= key.line:
            position += 1
        yield KeyLine(
            key.key,
            key.raw_key,
            key.qualifier,
            key.value,
            key.value_column,
            key.indent,
            key.bullet,
            key.line,
            stops[position],
        )


def _list_title(line: str, number: int, lists: frozenset[str]) -> KeyLine | None:
    """Read a line that is only the name of a list: bold, a heading, or the bare words."""
    if len(line) > 120 or not lists:
        return None
    at, bullets = strip_bullets(line)
    text = line[at:].strip()
    bare = text.lstrip("#").strip()
    marked = bare != text or (bare.startswith(("**", "__")) and bare.endswith(("**", "__", ":")))
    name = title_key(bare) if marked else bare.lower() if " " in bare else ""
    if name not in lists:
        return None
    raw = bare.strip("*_: ")
    return KeyLine(name, raw, "", "", len(line), indent_of(line), bullets > 0, number)


def without_sign(text: str) -> str:
    """Return a title or a key without the emoji that a person put before it."""
    if text[:1] <= "\u2100" or text[:1].isalnum():
        return text
    return text.lstrip(text[0] + "\ufe0f\u200d \t\xa0")


def title_key(title: str) -> str:
    """Return the lookup key of a section title: no marks, qualifier, colon or tail."""
    bare = without_sign(title.strip().strip("*_`")).rstrip(":").strip("*_` \t")
    bare = bare.split(" — ")[0].split(" – ")[0].split("(")[0]
    return " ".join(bare.lower().rstrip(": ").split())


def clean(text: str) -> str:
    """Strip emphasis and code marks that enclose a whole value."""
    text = text.strip()
    for mark in ("**", "__", "`", "*"):
        if text.startswith(mark) and text.endswith(mark) and len(text) > 2 * len(mark):
            inner = text[len(mark) : -len(mark)]
            if mark not in inner:
                return inner.strip()
    return text


def state_of(char: str) -> str | None:
    """Return the canonical checklist state of a character, or None."""
    return _STATE_CHARS.get(char)


def is_open(state: str) -> bool:
    """Tell whether a row in this state has something left to do: neither ticked nor deferred."""
    return state not in ("x", "D")


def parse_row(line: str, number: int = 0) -> Row | None:
    """Read ``- [x] A1: text`` (list form, any bullet); None when it is no checklist row."""
    at, bullets = strip_bullets(line)
    match = _STATE.match(line, at)
    if match is None or not bullets:
        return None
    state = state_of(match.group(1))
    if state is None:
        return None
    row_id, text = take_row_id(line[match.end() :].strip())
    return Row(state, row_id, text, number, at + 1, indent_of(line))


def take_row_id(text: str) -> tuple[str, str]:
    """Cut a leading row id (``A1:``, ``**B2** —``, ``ID.F1:``) off; ("", text) when none."""
    body = text.lstrip("*`_ ")
    match = _PLAIN_ID.match(body)
    if match is None:
        return "", text
    word = match.group().rstrip(".-")
    rest = body[len(word) :].lstrip("*`_")
    item, row = split_focus(word)
    if not (is_row(word) or (item and row)):
        return "", text
    bare = rest.lstrip(" \t")
    if bare[:1] in (":", "—", "–", "-", ".") and bare[:2] != "::":
        return word, bare[1:].strip("* \t")
    if rest[:1] in ("", " ", "\t"):
        return word, bare
    return "", text


def split_cells(line: str) -> list[str]:
    """Split a pipe-table row at unescaped pipes; ``\\|`` inside a cell is kept as ``|``."""
    body = line.strip().removeprefix("|")
    cells: list[str] = []
    cell: list[str] = []
    skip = False
    for char in body:
        if skip:
            cell.append(char if char == "|" else "\\" + char)
            skip = False
        elif char == "\\":
            skip = True
        elif char == "|":
            cells.append("".join(cell).strip())
            cell = []
        else:
            cell.append(char)
    if skip:
        cell.append("\\")
    if "".join(cell).strip():
        cells.append("".join(cell).strip())
    return cells


def is_separator(cells: list[str]) -> bool:
    """Tell whether table cells are a ``|---|`` separator row."""
    return bool(cells) and all(c and not c.strip(":-") and "-" in c for c in cells)


def join_cells(cells: list[str]) -> str:
    """Return a pipe-table row; pipes are escaped and line breaks become spaces."""
    flat = (" ".join(cell.split()).replace("|", "\\|") for cell in cells)
    return "| " + " | ".join(flat) + " |"
