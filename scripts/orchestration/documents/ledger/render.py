"""What a ledger says, for comparing two of them."""

from __future__ import annotations

from orchestration.documents.ledger.model import Ledger
from orchestration.documents.ledger.values import render_waiting


def meaning(ledger: Ledger) -> list[dict[str, object]]:
    """Return what the items say: identity, status, graph, criteria, recipes, attempt count."""
    return [
        {
            "id": item.id, "title": item.title, "status": item.status.value,
            "priority": item.priority, "type": item.type, "depends": item.depends,
            "external": item.external, "plan": item.plan, "owner": item.owner,
            "guard": item.guard, "held_out": item.held_out,
            "needs": item.needs, "class": item.blocker_class,
            "return": item.return_condition, "extra": item.extra,
            "waiting": render_waiting(item.waiting) if item.waiting else None,
            "criteria": [(c.id, c.state, c.command.text if c.command else None,
                          c.command.within_s if c.command else None, c.meaning)
                         for c in item.criteria],
            "recipes": [(r.kind, r.command.argv if r.command else None, r.patch, r.within_s,
                         r.artifacts, r.may_edit_tests, r.row) for r in item.recipes],
            "attempts": len(item.attempts),
        }
        for item in ledger.items
    ]  # fmt: skip
