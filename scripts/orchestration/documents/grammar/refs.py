"""Identifiers, references, selectors and timestamps as they appear in documents."""

from __future__ import annotations

import re
import shlex
from datetime import UTC, datetime
from typing import NamedTuple

from orchestration.core import parse_selector, split_selector

_ID = re.compile(r"[A-Za-z][A-Za-z0-9_]*(?:-[A-Za-z0-9_]+)+")
_ROW = re.compile(r"[A-Z]{1,3}(?:\d{1,4}[a-z]?(?:\.\d{1,3})?|-[A-Z]{2,16})")
_LINES = re.compile(r":(\d{1,7})(?:-(\d{1,7}))?$")
_STAMP = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})(?:T(\d{2}):?(\d{2})(?::?(\d{2}))?(?:\.\d{1,6})?(Z|[+-]\d{2}:?\d{2})?)?"
)
_PATH = re.compile(
    r"[\w.@+~$%{}*?\[\],-]*(?:/[\w.@+~$%{}*?\[\],-]+)+/?|[\w-][\w.-]*\.[A-Za-z]\w{0,7}"
)


_EXTENSIONS = frozenset(
    ("py", "pyi", "md", "rst", "txt", "toml", "yaml", "yml", "json", "jsonl", "cfg", "ini", "sh",
     "csv", "tsv", "log", "ipynb", "html", "css", "js", "c", "h", "cpp", "npz", "npy", "h5",
     "hdf5", "cxi", "nxs", "ptyr", "png", "jpg", "jpeg", "svg", "pdf", "patch", "diff", "lock",
     "in", "gz", "bz2", "zip")
)  # fmt: skip


class Ref(NamedTuple):
    """A place in the repository: ``path[:first-last][::symbol]``; lines count from 1."""

    path: str
    lines: tuple[int, int] | None = None
    symbol: str | None = None

    def render(self) -> str:
        """Return the reference as it is written in a document."""
        text = self.path
        if self.lines:
            first, last = self.lines
            text += f":{first}" if first == last else f":{first}-{last}"
        return f"{text}::{self.symbol}" if self.symbol else text


def expand_braces(text: str) -> list[str]:
    """Expand one level of ``{a,b}`` groups; at most 64 results, else the text itself."""
    results = [""]
    rest = text
    while rest:
        start = rest.find("{")
        end = rest.find("}", start)
        if start < 0 or end < 0:
            return [r + rest for r in results]
        choices = rest[start + 1 : end].split(",")
        if len(choices) < 2 or len(results) * len(choices) > 64:
            results = [r + rest[: end + 1] for r in results]
        else:
            results = [r + rest[:start] + c.strip() for r in results for c in choices]
        rest = rest[end + 1 :]
    return results


def parse_refs(text: str) -> list[Ref]:
    """Read one token such as ``a/{b,c}.py:3-9::f`` into references (braces expanded)."""
    refs: list[Ref] = []
    for token in expand_braces(text.strip().strip("`*")):
        path, mark, symbol = token.partition("::")
        lines = None
        match = _LINES.search(path[-24:])
        if match:
            first = int(match.group(1))
            lines = (first, int(match.group(2) or first))
            path = path[: len(path) - len(match.group())]
        path = path.strip()
        if path:
            refs.append(Ref(path, lines, symbol.strip() or None if mark else None))
    return refs


def is_file_name(text: str) -> bool:
    """Tell whether a text ends in an extension that files of a repository have."""
    return "." in text and text.rpartition(".")[2].lower() in _EXTENSIONS


def looks_like_path(token: str, *, in_prose: bool = False) -> bool:
    """Tell whether a token reads as a path or node id rather than a word.

    ``in_prose`` is stricter: ``and/or`` and ``tf.cond`` are words there.
    """
    head = token.partition("::")[0]
    match = _LINES.search(head[-24:])
    if match:
        head = head[: len(head) - len(match.group())]
    if not head or len(head) > 400 or head.startswith(("http:", "https:", "-")):
        return False
    if in_prose:
        return _PATH.fullmatch(head) is not None and is_file_name(head)
    return "::" in token or (
        _PATH.fullmatch(head) is not None and ("/" in head or is_file_name(head))
    )


def is_id(text: str) -> bool:
    """Tell whether ``text`` is an item or finding id such as ``FIX-GRIDSIZE-001`` or ``seed``."""
    return text == "seed" or text == "INIT" or _ID.fullmatch(text) is not None


def is_row(text: str) -> bool:
    """Tell whether ``text`` is a row id such as ``A1``, ``B4a`` or ``B-TEST``."""
    return _ROW.fullmatch(text) is not None


_ROW_RANGE = re.compile(r"[A-Z]{1,3}\d{1,4}[a-z]?(?:-[A-Z]{0,3}\d{1,4}[a-z]?)+")


def is_row_range(text: str) -> bool:
    """Tell whether ``text`` is a range of rows such as ``H3-H4``, which looks like an id."""
    return _ROW_RANGE.fullmatch(text) is not None


def split_focus(text: str) -> tuple[str, str | None]:
    """Cut ``ID.ROW — title`` into (ID, ROW or None); text without an id gives ("", None)."""
    for raw in text.replace("[", " ").replace("]", " ").split()[:6]:
        word = raw.strip("`*_:,;()")
        head, _, row = word.partition(".")
        if is_id(head) and not is_row_range(head):
            return head, row if row and is_row(row) else None
    return "", None


def find_ids(text: str) -> list[str]:
    """Return the upper-case ids with a number or three segments in a text, in order, once each."""
    found: dict[str, None] = {}
    for match in re.finditer(r"(?<![\w/.-])[A-Z][A-Z0-9]*(?:-[A-Z0-9]+)+(?![\w/])", text):
        found[match.group()] = None
    return list(found)


def parse_stamp(text: str) -> datetime | None:
    """Read a timestamp at the start of ``text``: date, or date and time (``T11:00``, ``T1100``)."""
    match = _STAMP.match(text.strip().strip("*`#[] "))
    if match is None:
        return None
    year, month, day, hour, minute, second, zone = match.groups()
    try:
        moment = datetime(
            int(year),
            int(month),
            int(day),
            int(hour or 0),
            int(minute or 0),
            int(second or 0),
            tzinfo=UTC,
        )
        if zone and zone != "Z":
            moment = datetime.fromisoformat(f"{moment:%Y-%m-%dT%H:%M:%S}{zone}").astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return moment


def find_stamps(text: str) -> list[tuple[str, datetime]]:
    """Return every timestamp in ``text`` with the characters it was written with."""
    found = []
    for match in _STAMP.finditer(text):
        before, after = text[: match.start()][-1:], text[match.end() :][:1]
        moment = parse_stamp(match.group())
        if moment and not before.isdigit() and not after.isdigit():
            found.append((match.group(), moment))
    return found


def render_stamp(moment: datetime) -> str:
    """Return the canonical form ``YYYY-MM-DDTHH:MM:SSZ``."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


_NO_TEST = re.compile(
    r"(?i)[*_`(\[]*(?:none(?: (?:needed|required|applicable|apply|mapped))?|n/?a|n\.a\.|nil|null"
    r"|(?:tests? )?not (?:applicable|needed|required|run)|skip(?:ped)?|[—–-](?=[ \t]*\()"
    r"|no (?:(?:new|mapped|further|additional|other|extra|unit) )?(?:tests?|selectors?|pytest)"
    r"(?: (?:needed|required|apply|mapped))?)"
    r"(?![\w/-]|::|\.\w)[*_`)\]]*[ \t.]*(?:[—–:;,.-]+[ \t]*)?(.*)$"
)


def take_none(text: str) -> str | None:
    """Return the reason of a selector that says there is no test, None for any other text.

    ``none``, ``N/A (docs only)`` and ``none — evidence-only`` say so.
    """
    bare = text.strip()
    if bare in ("-", "—", "–"):
        return ""
    found = _NO_TEST.fullmatch(bare)
    if found is None:
        return None
    reason = found.group(1).strip()
    whole = reason.startswith("(") and reason.endswith(")") and reason.count("(") == 1
    return (
        reason[1:-1].strip()
        if whole
        else reason.rstrip("`* ")
        if "`" not in reason[:-1]
        else reason
    )


def selector_of(text: str) -> str | None:
    """Return the selector in a text: arguments of a ``pytest`` command, node ids, or ``none``.

    Historic text around it (bullets, backticks, environment, ``| tee``) is dropped; ``-k EXPR``
    and node ids stay. None when there is none.
    """
    clean = text.strip().strip("`").strip()
    if take_none(clean) is not None:
        return "none"
    clean = clean.split("|")[0] if "| tee" in clean else clean
    words = split_selector(clean.replace("`", " "))
    if "pytest" in words:
        words = words[words.index("pytest") + 1 :]
    kept: list[str] = []
    for index, word in enumerate(words):
        previous = words[index - 1] if index else ""
        if previous in ("-k", "-m") and kept and kept[-1] == previous:
            kept.append(shlex.quote(word))
        elif word in ("-k", "-m"):
            kept.append(word)
        elif word.lower() == "n/a":
            continue
        elif looks_like_path(word.rstrip(",;")) and not word.startswith("$"):
            kept += [shlex.quote(w) for w in expand_braces(word.rstrip(",;"))]
        elif word.startswith("tests") and not word.startswith("-"):
            kept.append(shlex.quote(word))
    if not any(not w.startswith("-") for w in kept):
        return None
    return " ".join(kept)


def selector_paths(selector: str) -> list[str]:
    """Return the file or directory paths that a selector names."""
    return [] if selector == "none" else list(parse_selector(selector).paths)
