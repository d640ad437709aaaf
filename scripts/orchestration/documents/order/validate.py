"""Validator of orders: one set of rules for the linter, the gates and the views.

Files, collection, git and history are reached through a `ValidationContext`; a lookup that is None
is not made, so the same function serves a bare text and a whole repository.
"""

from __future__ import annotations

from orchestration.documents.grammar import Diagnostic, DocumentError, binary_line, make, not_text
from orchestration.documents.order import place as validate_place
from orchestration.documents.order import shape as validate_shape
from orchestration.documents.order.model import Order
from orchestration.documents.order.reader import parse_order
from orchestration.documents.order.rules import Rule, ValidationContext


def validate_order(text: str, context: ValidationContext | None = None) -> list[Diagnostic]:
    """Return every diagnostic of an order, in line order; never raises for bad text."""
    where = context or ValidationContext()
    if binary := binary_line(text):
        return [not_text(where.path, binary)]
    try:
        order = parse_order(text, where.path)
    except DocumentError as error:
        return [make("E00", where.path, 0, str(error.what), str(error.fix or ""))]
    return validate_parsed(order, text, where)


def validate_parsed(order: Order, text: str, context: ValidationContext) -> list[Diagnostic]:
    """Return every diagnostic of an order that was read already."""
    rules: tuple[Rule, ...] = (*validate_shape.RULES, *validate_place.RULES)
    found = list(order.diagnostics)
    for rule in rules:
        found += rule(order, text, context)
    unique = {(d.code, d.line, d.message): d for d in found}
    return sorted(unique.values(), key=lambda d: (d.line, d.code, d.message))
