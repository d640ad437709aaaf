"""The six kinds of documents behind one pair of functions: check a text, make it canonical."""

from __future__ import annotations

import re
from pathlib import PurePath

from . import findings, ledger_render, memory, order_render, plan, summary
from .diagnostics import Diagnostic, DocumentError, make
from .keys import parse_key
from .ledger_check import check_ledger
from .ledger_reader import parse_ledger
from .ledger_repair import normalise_ledger
from .order_reader import parse_order
from .refs import find_stamps
from .stats import memory_stats
from .validate import ValidationContext, validate_order

KINDS = ("order", "ledger", "findings", "memory", "plan", "summary")
_NAMES = {
    "fix_plan.md": "ledger", "findings.md": "findings", "galph_memory.md": "memory",
    "memory.md": "memory", "implementation.md": "plan", "plan.md": "plan", "summary.md": "summary",
}  # fmt: skip


def kind_of(path: str) -> str:
    """Return the kind of a document by its file name; everything else is an order."""
    name = PurePath(path).name.lower()
    for ending, kind in _NAMES.items():
        if name.endswith(ending):
            return kind
    return "order"


def check_document(kind: str, text: str, context: ValidationContext) -> list[Diagnostic]:
    """Return every diagnostic of a document, in line order; never raises for bad text."""
    path = context.path
    try:
        if kind == "order":
            return validate_order(text, context)
        if kind == "ledger":
            return check_ledger(parse_ledger(text, path), context.now)
        if kind == "findings":
            return findings.check_findings(findings.parse_findings(text, path), context.exists)
        if kind == "plan":
            return plan.parse_plan(text, path).diagnostics
        if kind == "summary":
            return summary.parse_summary(text, path).diagnostics
        read = memory.parse_memory(text, path)
        seen = memory_stats(read).observations
        found = [make(o.code, path, o.lines[0], o.message) for o in seen]
        return sorted(read.diagnostics + found, key=lambda d: (d.line, d.code))
    except DocumentError as error:
        return [make("E00", path, 0, error.what, error.fix or "")]


def canonical(kind: str, text: str, path: str) -> str:
    """Return the canonical form of a document in any historic form.

    Orders are rewritten; a ledger is normalised in place. Raises :class:`DocumentError` when the
    new text would not say the same or would lose words: then a person must rewrite it.
    """
    if kind == "order":
        order = parse_order(text, path)
        new = order_render.render_order(order)
        same = order_render.meaning(parse_order(new, path)) == order_render.meaning(order)
    elif kind == "ledger":
        new = normalise_ledger(text, path)
        old_items = ledger_render.meaning(parse_ledger(text, path))
        same = ledger_render.meaning(parse_ledger(new, path)) == old_items
    elif kind == "findings":
        rows = findings.parse_findings(text, path)
        new = findings.render_findings(rows)
        same = findings.meaning(findings.parse_findings(new, path)) == findings.meaning(rows)
    elif kind == "memory":
        read = memory.parse_memory(text, path)
        new = memory.render_memory(read)
        same = memory.meaning(memory.parse_memory(new, path)) == memory.meaning(read)
    elif kind == "plan":
        read_plan = plan.parse_plan(text, path)
        new = plan.render_plan(read_plan)
        same = plan.meaning(plan.parse_plan(new, path)) == plan.meaning(read_plan)
    else:
        turns = summary.parse_summary(text, path)
        new = summary.render_summary(turns)
        same = summary.meaning(summary.parse_summary(new, path)) == summary.meaning(turns)
    lost = [] if kind in ("order", "ledger") else sorted(_words(text) - _words(new))
    if not same or lost:
        raise DocumentError(
            "cannot rewrite this document without changing what it says",
            where=path, got=f"would lose: {', '.join(lost[:12])}" if lost else None,
            fix="correct what `orchestrate validate` reports by hand; nothing was written",
        )  # fmt: skip
    return new


def _words(text: str) -> set[str]:
    """Return the words of a document, keys and stamps left out."""
    words: set[str] = set()
    for line in text.split("\n"):
        key = parse_key(line)
        body = key.value if key else line
        for stamp, _ in find_stamps(body[:4000]):
            body = body.replace(stamp, " ")
        body = re.sub(r"(?:<Action State>|\b[a-z_]{2,32})=", " ", body)
        words.update(re.findall(r"\w{2,}", body))
    return words
