"""``orchestrate validate --fix``: any historic form becomes today's, and no line is lost.

Old orders and the single-focus ledger are upgraded at their doors (`historic`); damage of ledgers
and findings is repaired in place; stamps at the head of memory entries get their canonical
spelling. What reads as it stands keeps its bytes. A line that stands nowhere in the result as it
was written (its key was renamed, say) is kept in a fence under :data:`KEPT`.

The result is given only if it loses no line, reads exactly as the old text, has no error that the
old text had not, and stays as it is when it is fixed again. Else the text comes back untouched
with the lines that stand in the way.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from orchestration.documents import findings, memory, plan
from orchestration.documents.grammar import (
    Diagnostic,
    SourceText,
    apply_edits,
    binary_line,
    find_stamps,
    parse_stamp,
    render_stamp,
    scan,
)
from orchestration.documents.historic import upgrade_order, upgrade_report
from orchestration.documents.kinds import check_document
from orchestration.documents.ledger import normalise_ledger, parse_ledger
from orchestration.documents.ledger import render as ledger_render
from orchestration.documents.order import KEPT_TITLE, ValidationContext, parse_order
from orchestration.documents.order import render as order_render
from orchestration.documents.plan import summary

#: Heading of the section that holds the lines without a place of their own.
KEPT = f"## {KEPT_TITLE}"
_TICKS = re.compile(r"`{3,}")


@dataclass(frozen=True, slots=True)
class Fixed:
    """A rewritten document, or the old one with the reason and the lines that prevent it."""

    text: str
    reason: str = ""
    lines: list[str] = field(default_factory=list)


def canonical(kind: str, text: str, path: str) -> str:
    """Return today's form of a document, the text itself where there is none that says it all."""
    return rewrite(kind, text, path).text


def rewrite(kind: str, text: str, path: str) -> Fixed:
    """Rewrite a document in today's form; raises :class:`DocumentError` when it is too large."""
    if binary_line(text):
        return Fixed(text, "it is no text")
    if kind == "order" and (twice := parse_order(text, path).repeated):
        lines = [f"{name}: {value}" for name, value in twice]
        return Fixed(text, "it says two things at once", lines)
    bare = _REWRITERS[kind](text, path)
    if bare == text:
        return Fixed(text)
    kept = _to_keep(text, bare)
    new = _with_kept(bare, kept, SourceText(text, path).newline) if kept else bare
    if lost := missing_lines(text, new) or _taken_apart(text, new):
        return Fixed(text, "these lines would be lost", lost)
    if _meaning(kind, new, path) != _meaning(kind, text, path):
        return Fixed(text, "today's form would not read as it does", kept)
    if added := _new_errors(kind, text, new, path):
        return Fixed(text, "it would have an error that it has not", [d.render() for d in added])
    if _REWRITERS[kind](new, path) != new:
        return Fixed(text, "it would not stay as it is", kept)
    return Fixed(new)


def _same(text: str, path: str) -> str:
    """Plans and summaries are read in every form as they stand: there is nothing to rewrite."""
    return text


def _respelled(text: str, path: str) -> str:
    """Spell the stamps that begin the entries of a memory as the harness does."""
    source = SourceText(text, path)
    edits = []
    for heading in scan(source).headings:
        moment = parse_stamp(heading.title)
        if heading.level > 3 or moment is None:
            continue
        written, _ = find_stamps(heading.title)[0] if find_stamps(heading.title) else ("", None)
        if "T" in written and heading.title.startswith(written):
            start = source.starts[heading.line] + source.lines[heading.line].find(written)
            edits.append((start, start + len(written), render_stamp(moment)))
    return apply_edits(text, edits)


def _ledger(text: str, path: str) -> str:
    if parse_ledger(text, path).form == "report":
        return upgrade_report(text, path).text
    return normalise_ledger(text, path)


_REWRITERS: dict[str, Callable[[str, str], str]] = {
    "order": lambda text, path: upgrade_order(text, path).text,
    "ledger": _ledger,
    "findings": findings.normalise_findings,
    "memory": _respelled,
    "plan": _same,
    "summary": _same,
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


def _new_errors(kind: str, old: str, new: str, path: str) -> list[Diagnostic]:
    context = ValidationContext(path=path)
    had = Counter(d.code for d in check_document(kind, old, context) if d.severity == "error")
    found = [d for d in check_document(kind, new, context) if d.severity == "error"]
    more = Counter(d.code for d in found) - had
    return [d for d in found if d.code in more]


def _with_kept(text: str, lines: list[str], newline: str) -> str:
    """Add the kept lines at the end, in a fence that nothing in them can close."""
    closing = scan(SourceText(text, limit=False)).closing()
    lead = "" if not text or text.endswith(("\n", "\r")) else newline
    lead += f"{closing}{newline}" if closing else ""
    block = newline.join([KEPT, "", *fenced(lines).split("\n"), ""])
    gap = newline if text else ""
    return f"{text}{lead}{gap}{block}"


def fenced(lines: list[str]) -> str:
    """Return the lines in a fence that nothing in them can close."""
    longest = max((len(t) for line in lines for t in _TICKS.findall(line)), default=2)
    fence = "`" * (longest + 1)
    return "\n".join([f"{fence}text", *(line.rstrip(" \t") for line in lines), fence])


def missing_lines(old: str, new: str) -> list[str]:
    """Return the lines of ``old`` that do not stand in ``new``, each as often as it is missing.

    Blank lines, indentation and the spelling of stamps outside paths and fences do not count.
    """
    there = Counter(_lines(new))
    lost = []
    for key, line in zip(_lines(old), _filled(old), strict=True):
        if there[key] > 0:
            there[key] -= 1
        else:
            lost.append(line)
    return lost


def _to_keep(old: str, bare: str) -> list[str]:
    """Return the lines that the new text lacks, in their order, and whole fences it takes apart."""
    apart = Counter(_taken_apart(old, bare))
    missing = Counter(missing_lines(old, bare)) - apart
    kept = []
    for line in _filled(old):
        if apart[line] > 0:
            apart[line] -= 1
            kept.append(line)
        elif missing[line] > 0:
            missing[line] -= 1
            kept.append(line)
    return kept


def _taken_apart(old: str, new: str) -> list[str]:
    """Return the lines of fences whose lines do not stand one below the other in ``new``."""
    source = SourceText(old, limit=False)
    there = [line.strip() for line in _filled(new)]
    places: dict[str, list[int]] = {}
    for number, line in enumerate(there):
        places.setdefault(line, []).append(number)
    apart: list[str] = []
    for fence in scan(source).fences:
        body = [line for line in fence.body(source) if line.strip()]
        bare = [line.strip() for line in body]
        if body and not any(there[at : at + len(bare)] == bare for at in places.get(bare[0], ())):
            apart += [line for line in source.lines[fence.start : fence.end] if line.strip()]
    return apart


def _filled(text: str) -> list[str]:
    return [line for line in SourceText(text, limit=False).lines if line.strip()]


def _lines(text: str) -> Iterable[str]:
    source = SourceText(text, limit=False)
    opaque = scan(source).opaque
    return [
        line.strip() if opaque[number] else respelled(line.strip())
        for number, line in enumerate(source.lines)
        if line.strip()
    ]


def respelled(line: str) -> str:
    """Return a line with the stamps that are no part of a path in their canonical spelling."""
    for written, moment in find_stamps(line[:4000]):
        at = line.find(written)
        around = line[max(0, at - 1) : at] + line[at + len(written) :][:1]
        if "T" in written and not any(c in "/._-" or c.isalnum() for c in around):
            line = line.replace(written, render_stamp(moment), 1)
    return line
