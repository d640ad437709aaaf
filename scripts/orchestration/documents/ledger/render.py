"""Canonical text of a whole ledger (``validate --fix``); edits never use it."""

from __future__ import annotations

from orchestration.documents.grammar import (
    join_cells,
    render_command,
    render_duration,
    render_stamp,
)
from orchestration.documents.ledger.model import Attempt, Criterion, Item, Ledger, Recipe, Status
from orchestration.documents.ledger.values import render_waiting

_COLUMNS = ["turn", "at", "outcome", "criteria", "signature", "link"]


def render_ledger(ledger: Ledger) -> str:
    """Return the canonical ledger; reading it back keeps the meaning of every item."""
    head = "# Fix plan\n"
    if ledger.active_focus:
        head += f"\n**Active Focus:** {ledger.active_focus}\n"
    return head + "".join("\n" + "\n".join(_item(item)) + "\n" for item in ledger.items)


def _item(item: Item) -> list[str]:
    lines = [f"### [{item.id}] {item.title}".rstrip()]
    lines.append(f"- Status: {_status(item)}")
    lines.append(f"- Priority: {item.priority}")
    depends = [*item.depends, *item.external]
    pairs = {
        "Type": item.type, "Depends": ", ".join(depends), "Plan": item.plan, "Owner": item.owner,
        "Guard": item.guard, "Needs": item.needs, "Class": item.blocker_class,
        "Return": item.return_condition, **item.extra,
    }  # fmt: skip
    lines += [f"- {key}: {value}" for key, value in pairs.items() if value]
    if item.criteria:
        lines += ["- Exit:", *(_criterion(c) for c in item.criteria)]
    if item.recipes:
        lines.append("- Recipe:")
        for recipe in item.recipes:
            lines += _recipe(recipe)
    if item.attempts:
        lines += _attempts(item.attempts)
    return lines


def _status(item: Item) -> str:
    if item.waiting:
        return f"waiting — {render_waiting(item.waiting)}"
    if item.status is Status.UNKNOWN:
        return item.status_text or "unknown"
    return f"{item.status.value} — {item.reason}" if item.reason else item.status.value


def _criterion(criterion: Criterion) -> str:
    text = f"  - [{criterion.state}] {criterion.id}"
    if criterion.command:
        text += f" `{criterion.command.text}`"
        limit = criterion.command.within_s
        if criterion.meaning:
            text += f" — {criterion.meaning}"
        return text + (f" (within: {render_duration(limit)})" if limit is not None else "")
    return f"{text} — {criterion.meaning}" if criterion.meaning else text


def _recipe(recipe: Recipe) -> list[str]:
    if recipe.kind == "apply" or recipe.command is None:
        lines = [f"  - apply: {recipe.patch or ''}".rstrip()]
    else:
        bare = recipe.command.text
        lines = [f"  - run: {bare if recipe.command.error else _no_limit(recipe)}"]
    if recipe.within_s is not None:
        lines.append(f"    within: {render_duration(recipe.within_s)}")
    if recipe.artifacts:
        lines.append(f"    artifacts: {', '.join(recipe.artifacts)}")
    if recipe.may_edit_tests:
        lines.append(f"    may edit tests: {', '.join(recipe.may_edit_tests)}")
    if recipe.row:
        lines.append(f"    row: {recipe.row}")
    return lines


def _no_limit(recipe: Recipe) -> str:
    assert recipe.command is not None
    return render_command(recipe.command).rpartition(" # within:")[0] or render_command(
        recipe.command
    )


def _attempts(attempts: list[Attempt]) -> list[str]:
    measured = [a for a in attempts if a.outcome or a.turn is not None]
    told = [a for a in attempts if not (a.outcome or a.turn is not None)]
    lines: list[str] = []
    if told:
        lines.append("- Attempts History:")
        for attempt in told:
            stamp = render_stamp(attempt.at) if attempt.at else ""
            until = f" – {render_stamp(attempt.until)}" if attempt.until else ""
            label = f" {attempt.criteria}" if attempt.criteria else ""
            label += f" ({attempt.label})" if attempt.label else ""
            first, *rest = attempt.text.split("\n")
            lines.append(f"  - *{stamp}{until}{label}:* {first}".rstrip())
            lines += [f"    {line.strip()}" for line in rest if line.strip()]
    if measured:
        lines += ["- Attempts:", "", "  " + join_cells(_COLUMNS)]
        lines.append("  |" + "---|" * len(_COLUMNS))
        for a in measured:
            stamp = render_stamp(a.at) if a.at else ""
            cells = [str(a.turn or ""), stamp, a.outcome or a.text, a.criteria, a.signature, a.link]
            lines.append("  " + join_cells([cell or "-" for cell in cells]))
    return lines


def meaning(ledger: Ledger) -> list[dict[str, object]]:
    """Return what the items say: identity, status, graph, criteria, recipes, attempt count."""
    return [
        {
            "id": item.id, "title": item.title, "status": item.status.value,
            "priority": item.priority, "type": item.type, "depends": item.depends,
            "external": item.external, "plan": item.plan, "owner": item.owner,
            "guard": item.guard, "needs": item.needs, "class": item.blocker_class,
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
