"""What a rule about orders is given: the lookups that its caller can make."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import NamedTuple

from orchestration.documents.grammar import Command, Diagnostic, Selected
from orchestration.documents.ledger import Ledger
from orchestration.documents.order.model import Order

#: Size budget of an order in bytes (W02).
MAX_ORDER_BYTES = 12 * 1024


class ValidationContext(NamedTuple):
    """Lookups of the validator, each optional.

    ``exists(path)``, ``read_lines(path) -> lines or None``, ``finding_ids() -> ids or None``,
    ``collect(selector) -> node ids`` (may raise HarnessError), ``resolve(ref) -> sha or None``.
    ``known_orders`` are content hashes of earlier orders, ``protected`` and ``approved`` are path
    globs, ``surfaces`` are globs of allowed paths (empty: all), ``turn_dir`` is the directory that
    the harness allocated; ``program(name)`` tells whether a command can be found,
    ``plan_local(item id)`` says how often the item's plan-local tools were extended before,
    ``selects(command)`` what a ``pytest`` command would run today, ``writes_tests`` whether the
    orders of this repository may ask for new tests.
    """

    path: str = "input.md"
    exists: Callable[[str], bool] | None = None
    read_lines: Callable[[str], Sequence[str] | None] | None = None
    collect: Callable[[str], Sequence[str]] | None = None
    resolve: Callable[[str], str | None] | None = None
    ledger: Ledger | None = None
    finding_ids: Callable[[], Collection[str] | None] | None = None
    known_orders: Collection[str] = ()
    now: datetime | None = None
    branch: str | None = None
    protected: Sequence[str] = ()
    approved: Sequence[str] = ()
    surfaces: Sequence[str] = ()
    turn_dir: str | None = None
    plan_local: Callable[[str], int] | None = None
    program: Callable[[str], bool] | None = None
    selects: Callable[[Command], Selected] | None = None
    writes_tests: bool = False


Rule = Callable[[Order, str, ValidationContext], list[Diagnostic]]
