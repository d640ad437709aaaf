"""Validator of orders: one set of rules for the linter, the gates and the views.

Files, collection, git and history are reached through :class:`ValidationContext`; a lookup that is
None is not made, so the same function serves a bare text and a whole repository.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from .diagnostics import Diagnostic, DocumentError, make, not_text
from .ledger_model import Ledger
from .order_model import Order
from .order_reader import parse_order
from .text import binary_line

#: Size budget of an order in bytes (W02).
MAX_ORDER_BYTES = 12 * 1024


@dataclass(frozen=True, slots=True)
class ValidationContext:
    """Lookups of the validator, each optional.

    ``exists(path)``, ``read_lines(path) -> lines or None``, ``collect(selector) -> node ids`` (may
    raise HarnessError), ``resolve(ref) -> sha or None``. ``known_orders`` are content hashes of
    earlier orders, ``protected`` and ``approved`` are path globs, ``surfaces`` are globs of allowed
    paths (empty: all), ``turn_dir`` is the directory that the harness allocated;
    ``plan_local(item id)`` says how often the item's plan-local tools were extended before.
    """

    path: str = "input.md"
    exists: Callable[[str], bool] | None = None
    read_lines: Callable[[str], Sequence[str] | None] | None = None
    collect: Callable[[str], Sequence[str]] | None = None
    resolve: Callable[[str], str | None] | None = None
    ledger: Ledger | None = None
    finding_ids: Collection[str] | None = None
    known_orders: Collection[str] = ()
    now: datetime | None = None
    branch: str | None = None
    protected: Sequence[str] = ()
    approved: Sequence[str] = ()
    surfaces: Sequence[str] = ()
    turn_dir: str | None = None
    plan_local: Callable[[str], int] | None = None


Rule = Callable[[Order, str, ValidationContext], list[Diagnostic]]


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
    from . import validate_place, validate_shape

    rules: tuple[Rule, ...] = (*validate_shape.RULES, *validate_place.RULES)
    found = list(order.diagnostics)
    for rule in rules:
        found += rule(order, text, context)
    unique = {(d.code, d.line, d.message): d for d in found}
    return sorted(unique.values(), key=lambda d: (d.line, d.code, d.message))
