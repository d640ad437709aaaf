"""Source text with exact line positions.

Markdown knows three line endings: ``\\n``, ``\\r\\n`` and ``\\r``. ``str.splitlines`` also splits
at form feeds, U+2028 and others, which shifts every later line number, so lines are cut here and
nowhere else. A byte order mark is kept in the text and hidden from the first line, because a BOM
before ``#`` hides the first heading from a Markdown reader.
"""

from __future__ import annotations

import os
import re
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from orchestration.documents.grammar.diagnostics import DocumentError

#: Larger documents are refused: a ledger of this size is a log, not a document.
MAX_BYTES = 10 * 1024 * 1024

_T = TypeVar("_T")
BOM = "\ufeff"
_ENDING = re.compile(r"\r\n|\n|\r")


class SourceText:
    """A document's text, its lines without endings, and the offset at which each line starts.

    ``lines[i]`` is line ``i`` (from 0) without its ending; ``starts[i]`` is its offset in ``text``.
    A final newline yields no extra line.
    """

    __slots__ = ("lines", "newline", "starts", "text")

    def __init__(self, text: str, path: str = "document", *, limit: bool = True) -> None:
        """Cut ``text`` into lines; raise :class:`DocumentError` above :data:`MAX_BYTES`.

        ``limit=False`` is for a text that a reader has checked and extended by a line.
        """
        size = len(text) if len(text) > MAX_BYTES else len(text.encode("utf-8", "surrogatepass"))
        if limit and size > MAX_BYTES:
            raise DocumentError(
                "document too large",
                where=path,
                expected=f"at most {MAX_BYTES} bytes",
                got=f"{size} bytes",
                fix="move old entries to docs/archive/ and keep the current ones",
            )
        self.text = text
        offset = len(BOM) if text.startswith(BOM) else 0
        first = _ENDING.search(text)
        #: The line ending of the first line, used for text that an edit inserts.
        self.newline = first.group() if first else "\n"
        self.starts = array("q")
        self.lines: list[str] = []
        for match in _ENDING.finditer(text):
            self.starts.append(offset)
            self.lines.append(text[offset : match.start()])
            offset = match.end()
        if offset < len(text):
            self.starts.append(offset)
            self.lines.append(text[offset:])

    def end(self, index: int) -> int:
        """Return the offset just after the content of line ``index`` (before its ending)."""
        return self.starts[index] + len(self.lines[index])

    def after(self, index: int) -> int:
        """Return the offset just after line ``index`` and its ending."""
        return self.starts[index + 1] if index + 1 < len(self.lines) else len(self.text)


def successive(items: Sequence[_T]) -> Iterator[tuple[_T, _T | None]]:
    """Yield each item with the one after it, the last one with None."""
    for index, item in enumerate(items):
        yield item, items[index + 1] if index + 1 < len(items) else None


def binary_line(text: str) -> int:
    """Return the line (from 1) of the first NUL character, 0 when there is none.

    A document that holds one is binary, or UTF-16: every second byte of that is NUL.
    """
    at = text.find("\0")
    return len(_ENDING.findall(text, 0, at)) + 1 if at >= 0 else 0


def read_text(path: Path) -> str:
    """Read a document byte-exactly; undecodable bytes become surrogates and are written back.

    Raises :class:`DocumentError` when the file is absent, not a file, or too large.
    """
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise DocumentError(
                "cannot read the document",
                where=str(path),
                got="a pipe, socket or device",
                fix="name a regular file",
            )
        if path.stat().st_size > MAX_BYTES:
            raise DocumentError(
                "document too large",
                where=str(path),
                expected=f"at most {MAX_BYTES} bytes",
                got=f"{path.stat().st_size} bytes",
                fix="move old entries to docs/archive/",
            )
        return path.read_bytes().decode("utf-8", "surrogateescape")
    except OSError as error:
        raise DocumentError(
            "cannot read the document",
            where=str(path),
            got=error.strerror or type(error).__name__,
            fix="name an existing file",
        ) from error


def write_text(path: Path, text: str) -> None:
    """Write ``text`` byte-exactly (the inverse of :func:`read_text`), atomically.

    A link is followed, and the file keeps its mode.
    """
    path = Path(os.path.realpath(path))
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        temporary.write_bytes(text.encode("utf-8", "surrogateescape"))
        if path.exists():
            temporary.chmod(path.stat().st_mode & 0o7777)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise DocumentError(
            "cannot write the document",
            where=str(path),
            got=error.strerror or type(error).__name__,
            fix="make its folder writable",
        ) from error
    temporary.replace(path)


def apply_edits(text: str, edits: Sequence[tuple[int, int, str]]) -> str:
    """Return ``text`` with the spans replaced; spans are of the old text and do not overlap."""
    parts: list[str] = []
    position = 0
    for start, stop, new in sorted(set(edits), key=lambda edit: edit[:2]):
        parts += [text[position:start], new]
        position = stop
    return "".join([*parts, text[position:]])


def replace_span(text: str, start: int, end: int, new: str) -> str:
    """Return ``text`` with the characters ``start:end`` replaced by ``new``."""
    return text[:start] + new + text[end:]
