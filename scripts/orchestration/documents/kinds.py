"""The six kinds of documents behind one function that checks a text."""

from __future__ import annotations

from itertools import pairwise
from pathlib import PurePath

from orchestration.documents import findings, memory, plan
from orchestration.documents.grammar import Diagnostic, DocumentError, binary_line, make, not_text
from orchestration.documents.ledger import Lookups, check_ledger, parse_ledger
from orchestration.documents.order import ValidationContext, validate_order
from orchestration.documents.past import memory_stats
from orchestration.documents.plan import summary

KINDS = ("order", "ledger", "findings", "memory", "plan", "summary")
_NAMES = {
    "fix_plan.md": "ledger",
    "findings.md": "findings",
    "galph_memory.md": "memory",
    "memory.md": "memory",
    "implementation.md": "plan",
    "plan.md": "plan",
    "summary.md": "summary",
}


def kind_of(path: str) -> str:
    """Return the kind of a document by its name; everything else is an order.

    A Markdown file below ``plans/active`` is a plan, whatever its name.
    """
    place = PurePath(path)
    name = place.name.lower()
    for ending, kind in _NAMES.items():
        if name.endswith(ending):
            return kind
    parts = [part.lower() for part in place.parts[:-1]]
    planned = any(pair == ("plans", "active") for pair in pairwise(parts))
    return "plan" if planned and name.endswith(".md") else "order"


def check_document(kind: str, text: str, context: ValidationContext) -> list[Diagnostic]:
    """Return every diagnostic of a document, in line order; never raises for bad text."""
    path = context.path
    if binary := binary_line(text):
        return [not_text(path, binary)]
    try:
        if kind == "order":
            return validate_order(text, context)
        if kind == "ledger":
            lookups = Lookups(
                program=context.program,
                exists=context.exists,
                read_lines=context.read_lines,
                selects=context.selects,
                writes_tests=context.writes_tests,
            )
            return check_ledger(parse_ledger(text, path), context.now, lookups)
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
