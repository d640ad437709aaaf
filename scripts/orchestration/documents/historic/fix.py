"""The canonical form of a document in any historic form (``orchestrate validate --fix``).

Ledgers, findings and plans are normalised in place: what no rule names keeps its bytes. Orders,
memories, summaries and the single-focus ledger are rendered from what was read; lines of which a
word would be missing afterwards are kept verbatim, in a fence under :data:`KEPT`, so that nothing
a person wrote is ever lost and nothing kept can be read as something else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

from orchestration.documents import findings, memory, plan
from orchestration.documents.grammar import (
    SourceText,
    binary_line,
    find_stamps,
    parse_key,
    strip_bullets,
)
from orchestration.documents.historic.findings_repair import normalise_findings
from orchestration.documents.historic.ledger_repair import normalise_ledger
from orchestration.documents.historic.order_aliases import KEPT_TITLE, SECTION_ALIASES, section_key
from orchestration.documents.historic.plan_repair import normalise_plan
from orchestration.documents.ledger import parse_ledger
from orchestration.documents.ledger import render as ledger_render
from orchestration.documents.order import parse_order
from orchestration.documents.order import render as order_render
from orchestration.documents.plan import summary

#: Heading of the section that holds the lines without a place of their own.
KEPT = f"## {KEPT_TITLE}"
_PAIR_NAME = re.compile(r"(?:<Action State>|\b[a-z_]{2,32})=")
_WORD = re.compile(r"[^\W_]+")
#: Sections of the single-focus ledger whose content becomes items, criteria and attempts.
_REPORT_TITLES = ("status", "current focus", "completed items", "todos", "attempts history")
#: A damaged document may settle only after some renderings.
_ROUNDS = 4
#: Words of the shell that the canonical form says otherwise.
_SHELL = frozenset(("export", "tee", "set"))
_TICKS = re.compile(r"`{3,}")


def canonical(kind: str, text: str, path: str) -> str:
    """Return the canonical form of a document, whatever historic form it has."""
    return rewrite(kind, text, path)[0]


def rewrite(kind: str, text: str, path: str) -> tuple[str, bool]:
    """Return the canonical form, and whether it reads exactly as the old text did.

    Where it does not (a damaged document), the whole old text is kept beside the new one, or the
    document stays as it is; an order that says two things at once does so too. Raises
    :class:`.diagnostics.DocumentError` when it is too large.
    """
    if binary_line(text) or (kind == "order" and parse_order(text, path).repeated):
        return text, False
    if kind in _RENDERED:
        return _rendered(kind, text, path)
    if kind == "ledger" and parse_ledger(text, path).form == "report":
        return _report(text, path)
    new = {"ledger": normalise_ledger, "findings": normalise_findings, "plan": normalise_plan}[
        kind
    ](text, path)
    same = _meaning(kind, new, path) == _meaning(kind, text, path)
    return (new, True) if same else (text, False)


_RENDERED: dict[str, Callable[[str, str], str]] = {
    "order": lambda text, path: order_render.render_order(parse_order(text, path)),
    "memory": lambda text, path: memory.render_memory(memory.parse_memory(text, path)),
    "summary": lambda text, path: summary.render_summary(summary.parse_summary(text, path)),
}


def _meaning(kind: str, text: str, path: str) -> object:
    if kind == "order":
        order = parse_order(text, path)
        order.sections = [s for s in order.sections if s.title != KEPT_TITLE]
        return order_render.meaning(order)
    if kind == "memory":
        return memory.meaning(memory.parse_memory(text, path))
    if kind == "summary":
        return summary.meaning(summary.parse_summary(text, path))
    if kind == "findings":
        return findings.meaning(findings.parse_findings(text, path))
    if kind == "plan":
        return plan.meaning(plan.parse_plan(text, path))
    return ledger_render.meaning(parse_ledger(text, path))


def _rendered(kind: str, text: str, path: str) -> tuple[str, bool]:
    """Render until nothing changes; what is missing then is kept at the end, or at the top."""
    source = SourceText(text, path)
    first = _RENDERED[kind](text, path)
    exact = _meaning(kind, first, path) == _meaning(kind, text, path)
    new = _settled(kind, first, path)
    everything = [line for line in source.lines if line.strip()]
    for kept in (lost_lines(text, new), everything) if exact else (everything,):
        if kept:
            block = f"{KEPT}\n\n{fenced(kept)}\n"
            whole = f"{new}\n{block}" if kind == "order" else f"{block}\n{new}"
            whole = _settled(kind, whole, path) if new else ""
        else:
            whole = new
        if whole and not lost_lines(text, whole):
            return _as_lines(source, whole), exact
    return text, False


def _settled(kind: str, text: str, path: str) -> str:
    """Render until nothing changes any more; "" when it never settles."""
    for _ in range(_ROUNDS):
        again = _RENDERED[kind](text, path)
        if again == text:
            return text
        text = again
    return ""


def _report(text: str, path: str) -> tuple[str, bool]:
    """Turn the single-focus ledger into items."""
    ledger = parse_ledger(text, path)
    new = ledger_render.render_ledger(ledger)
    same = ledger_render.meaning(parse_ledger(new, path)) == ledger_render.meaning(ledger)
    source = SourceText(text, path)
    everything = [line for line in source.lines if line.strip()]
    kept = lost_lines(text, new, _REPORT_TITLES) if same else everything
    new = f"{new}\n{KEPT}\n\n{fenced(kept)}\n" if kept else new
    return _as_lines(source, new), same


def _as_lines(source: SourceText, new: str) -> str:
    """Return a rendered text with the line endings of the old one and no byte order mark."""
    return new.lstrip("\ufeff").replace("\n", source.newline)


def fenced(lines: list[str]) -> str:
    """Return the lines in a fence that nothing in them can close."""
    longest = max((len(t) for line in lines for t in _TICKS.findall(line)), default=2)
    fence = "`" * (longest + 1)
    return "\n".join([f"{fence}text", *(line.rstrip(" \t") for line in lines), fence])


def lost_lines(old: str, new: str, titles: Collection[str] = SECTION_ALIASES) -> list[str]:
    """Return the lines of ``old`` of which a word is nowhere in ``new``.

    Names of keys and of the sections ``titles``, bullets, fence markers and the spelling of stamps
    do not count.
    """
    present = _SHELL.union(_WORD.findall(new))
    lines = SourceText(old, limit=False).lines
    return [line for line in lines if not present.issuperset(_words(line, titles))]


def _words(line: str, titles: Collection[str]) -> list[str]:
    at, _ = strip_bullets(line)
    body = line[at:].lstrip("# \t")
    if body.startswith(("```", "~~~")):
        return []
    key = parse_key(line)
    if key:
        body = key.value
    elif len(body) < 200 and section_key(body) in titles:
        body = body.partition(" — ")[2]
    stamps = {part for stamp, _ in find_stamps(body[:4000]) for part in _WORD.findall(stamp)}
    return [word for word in _WORD.findall(_PAIR_NAME.sub(" ", body)) if word not in stamps]
