"""A git diff as rows that a page can show: files, hunks, lines with their numbers and kinds.

The lines of an attempt are an agent's: they are only cut and counted here, never interpreted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

MOST_LINES = 1500
MOST_COLUMNS = 400
_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@(.*)")


@dataclass(frozen=True)
class Line:
    """`kind` is add, del, same or hunk; a number is 0 where the side lacks the line."""

    kind: str
    old: int
    new: int
    text: str


@dataclass(frozen=True)
class FileDiff:
    """One changed file: its new path, the letter of its change (A D M), lines added and removed."""

    path: str
    letter: str
    added: int
    removed: int
    lines: tuple[Line, ...]
    note: str = ""


def parse_diff(
    text: str, *, only: Sequence[str] | None = None, most: int = MOST_LINES
) -> tuple[tuple[FileDiff, ...], int]:
    """The files of a diff, and how many of its lines are left out past `most`.

    `only` are the paths to keep (None: all).
    """
    wanted = None if only is None else set(only)
    files: list[FileDiff] = []
    left_out = 0
    for part in re.split(r"(?m)^(?=diff --git )", text):
        if not part.startswith("diff --git "):
            continue
        one = _file(part)
        if wanted is not None and one.path not in wanted:
            continue
        room = max(0, most - sum(len(f.lines) for f in files))
        left_out += max(0, len(one.lines) - room)
        files.append(
            FileDiff(one.path, one.letter, one.added, one.removed, one.lines[:room], one.note)
        )
    return tuple(files), left_out


def _file(part: str) -> FileDiff:
    lines: list[Line] = []
    old = new = left = right = added = removed = 0
    path, letter, note = "", "M", ""
    for row in part.split("\n"):
        if left > 0 or right > 0:
            sign, words = row[:1], _cut(row[1:])
            if sign == "\\":
                continue
            if sign == "+":
                lines.append(Line("add", 0, new, words))
                new, right, added = new + 1, right - 1, added + 1
            elif sign == "-":
                lines.append(Line("del", old, 0, words))
                old, left, removed = old + 1, left - 1, removed + 1
            else:
                lines.append(Line("same", old, new, words))
                old, new, left, right = old + 1, new + 1, left - 1, right - 1
        elif hunk := _HUNK.match(row):
            old, new = int(hunk[1]), int(hunk[3])
            left, right = (1 if n is None else int(n) for n in (hunk[2], hunk[4]))
            lines.append(Line("hunk", 0, 0, _cut(row)))
        elif row.startswith("new file mode"):
            letter = "A"
            note = note or ("symbolic link" if row.endswith("120000") else "")
        elif row.startswith("deleted file mode"):
            letter = "D"
        elif row.startswith("Binary files "):
            note = "binary"
        elif row.startswith(("old mode ", "new mode ")):
            note = f"{note} {row}".strip()
        elif row.startswith(("--- ", "+++ ")) and row[4:] not in ("/dev/null",):
            path = _path(row[4:])
    if not path:  # nothing but a mode, an empty or a binary file: the header names it twice
        head = part.split("\n", 1)[0].removeprefix("diff --git ")
        path = _path(head[len(head) // 2 + 1 :])
    return FileDiff(path, letter, added, removed, tuple(lines), note)


def _path(name: str) -> str:
    """`b/src/x.py` or git's quoted form of it as a path."""
    plain = name.rstrip("\t\r")
    if plain[:1] == plain[-1:] == '"':
        raw = re.sub(rb"\\([0-7]{3})", lambda m: bytes([int(m[1], 8)]), plain[1:-1].encode())
        plain = raw.decode("utf-8", "replace").replace('\\"', '"').replace("\\\\", "\\")
    return plain[2:] if plain[:2] in ("a/", "b/") else plain


def _cut(text: str) -> str:
    return text if len(text) <= MOST_COLUMNS else text[: MOST_COLUMNS - 1] + "…"
