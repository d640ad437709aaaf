"""Evidence: files that turns landed, ready to be shown inside one self-contained page.

Images become data URIs, CSV and JSON become tables, other text is shown from its end. Everything
is read from the commit, so that a page can be made again in a fresh clone; limits keep it small.
"""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

IMAGE_TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".svg": "image/svg+xml",
    ".webp": "image/webp",
}
TEXT_TYPES = (".md", ".txt", ".log", ".diff", ".patch", ".yaml", ".yml")
MAX_IMAGE_BYTES = 3_000_000
MAX_PAGE_BYTES = 12_000_000
MAX_ROWS = 40
MAX_TEXT_BYTES = 4_000


@dataclass(frozen=True)
class Evidence:
    """One file of a landing. `kind` is image, table, facts, text or file (only named)."""

    path: str
    item: str
    kind: str
    bytes: int
    uri: str = ""
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    text: str = ""
    note: str = ""

    @property
    def name(self) -> str:
        """The file's own name."""
        return PurePosixPath(self.path).name


Reader = Callable[[str], bytes | None]


def gather(
    files: Iterable[tuple[str, str]], read: Reader, *, room: int = MAX_PAGE_BYTES
) -> list[Evidence]:
    """Make Evidence of `(item, path)` pairs; `read(path)` gives the bytes or None.

    Images come first, then tables, then the rest; what exceeds the limits is named, not shown.
    `room` is what all images together may take: the pairs' order is that of precedence.
    """
    found: list[Evidence] = []
    used = 0
    for item, path in dict.fromkeys(files):
        data = read(path)
        if data is None:
            continue
        piece = describe(path, item, data, room=room - used)
        used += len(piece.uri)
        found.append(piece)
    order = {"image": 0, "table": 1, "facts": 2, "text": 3, "file": 4}
    return sorted(found, key=lambda piece: (piece.item, order[piece.kind], piece.path))


def describe(path: str, item: str, data: bytes, *, room: int = MAX_PAGE_BYTES) -> Evidence:
    """Turn one file's bytes into what a page shows of it."""
    suffix = PurePosixPath(path).suffix.lower()
    size = len(data)
    if suffix in IMAGE_TYPES:
        if size > min(MAX_IMAGE_BYTES, room):
            return Evidence(path, item, "file", size, note="too large to embed")
        encoded = base64.b64encode(data).decode()
        return Evidence(
            path, item, "image", size, uri=f"data:{IMAGE_TYPES[suffix]};base64,{encoded}"
        )
    text = data.decode("utf-8", "replace")
    if suffix in (".csv", ".tsv"):
        return _csv(path, item, text, size, "\t" if suffix == ".tsv" else ",")
    if suffix == ".json":
        return _facts(path, item, text, size)
    if suffix in TEXT_TYPES:
        tail = text[-MAX_TEXT_BYTES:]
        note = f"its last {MAX_TEXT_BYTES} characters" if len(tail) < len(text) else ""
        return Evidence(path, item, "text", size, text=tail, note=note)
    return Evidence(path, item, "file", size)


def _csv(path: str, item: str, text: str, size: int, delimiter: str) -> Evidence:
    try:
        rows = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if row]
    except csv.Error as error:
        return Evidence(path, item, "text", size, text=text[:MAX_TEXT_BYTES], note=str(error))
    if not rows:
        return Evidence(path, item, "file", size, note="an empty table")
    shown = tuple(tuple(short(cell) for cell in row) for row in rows[1 : MAX_ROWS + 1])
    note = f"the first {MAX_ROWS} of {len(rows) - 1} rows" if len(rows) - 1 > MAX_ROWS else ""
    return Evidence(path, item, "table", size, columns=tuple(rows[0]), rows=shown, note=note)


def _facts(path: str, item: str, text: str, size: int) -> Evidence:
    try:
        pairs = tuple(flatten(json.loads(text)))
    except (ValueError, RecursionError) as error:
        return Evidence(path, item, "text", size, text=text[:MAX_TEXT_BYTES], note=str(error))
    note = f"the first {MAX_ROWS} of {len(pairs)} values" if len(pairs) > MAX_ROWS else ""
    rows = tuple((name, short(value)) for name, value in pairs[:MAX_ROWS])
    return Evidence(path, item, "facts", size, rows=rows, note=note)


def flatten(content: Any, prefix: str = "") -> Iterable[tuple[str, str]]:
    """Yield `(dotted name, value)` of nested JSON; short lists of numbers stay in one line."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield from flatten(value, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(content, list) and any(isinstance(v, dict | list) for v in content):
        for number, value in enumerate(content):
            yield from flatten(value, f"{prefix}[{number}]")
    elif isinstance(content, list):
        words = ", ".join(short(str(value)) for value in content[:8])
        yield prefix, words + (f", … ({len(content)} values)" if len(content) > 8 else "")
    else:
        yield prefix, "—" if content is None else str(content)


def short(value: str) -> str:
    """Return a number with four significant digits, other text cut at 120 characters."""
    try:
        number = float(value)
    except ValueError:
        return value if len(value) <= 120 else value[:119] + "…"
    if value.lstrip("+-").isdigit() and len(value) < 12:
        return value
    return f"{number:.4g}"
