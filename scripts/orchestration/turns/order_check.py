"""What is wrong with an order before anybody works on it: the validator, asked about the base.

Everything is looked up in the commit that the attempt starts from, never in the user's files.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Sequence
from copy import copy

from orchestration.core import ItemState, effective
from orchestration.documents.findings import parse_findings
from orchestration.documents.grammar import Diagnostic
from orchestration.documents.ledger import Ledger, Status
from orchestration.documents.order import ValidationContext, validate_order
from orchestration.harness import Harness, item_facts, read_text_at
from orchestration.turns.checkouts import Collected, collect_in

Collect = Callable[[str], Sequence[str]]


def check_order(
    harness: Harness, text: str, base: str, item_id: str, *, nodes: dict[str, Collected]
) -> list[Diagnostic]:
    """Return what the validator says about an order for `item_id` on `base`.

    `nodes` are selectors that were collected on the base before; new ones are added to it.
    """

    def collect(selector: str) -> Sequence[str]:
        if selector not in nodes:
            nodes[selector] = collect_in(harness, harness.repo.tree_of(base), base, selector)
        return nodes[selector].names

    return validate_order(text, _context(harness, base, item_id, collect))


def _context(harness: Harness, base: str, item_id: str, collect: Collect) -> ValidationContext:
    repo, config = harness.repo, harness.config
    known = harness.state.items.get(item_id, ItemState())
    findings = read_text_at(repo, base, config.findings)

    def exists(path: str) -> bool:
        name = posixpath.normpath(path)
        if name.startswith(("/", "../")) or name == ".." or "\0" in name:
            return False  # outside the repository, where git refuses to look
        return name == "." or bool(repo.list_tree(base, name))

    def read_lines(path: str) -> list[str] | None:
        text = read_text_at(repo, base, posixpath.normpath(path)) if exists(path) else None
        return None if text is None else text.splitlines()

    return ValidationContext(
        path=config.order,
        exists=exists,
        read_lines=read_lines,
        collect=collect,
        resolve=repo.try_resolve,
        ledger=_ledger(harness, base),
        finding_ids=None if findings is None else lambda: parse_findings(findings).ids,
        known_orders=tuple(harness.state.orders),
        now=harness.clock.now(),
        branch=harness.target,
        protected=config.protected,
        approved=tuple(known.approved),
    )


def _ledger(harness: Harness, base: str) -> Ledger:
    """The ledger of the base with what the log knows better laid over its statuses."""
    _, ledger = harness.ledger_at(base)
    now = harness.clock.now()
    items = []
    for item in ledger.items:
        facts = effective(harness.state, item_facts(item, now), harness.policy)
        known = copy(item)
        known.status, known.reason = Status(facts.status), facts.reason
        items.append(known)
    laid_over = copy(ledger)
    laid_over.items = items
    return laid_over
