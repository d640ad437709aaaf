"""One supervisor turn: write a validated order for the item that the policy chose.

The built-in supervisor is deterministic: it turns a ledger item (its open criteria, guard and
recipes) and the last failure into an order. An agent may write the order in its place; errors go
back to it once, then the built-in one writes a minimal order.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from orchestration.core import ItemState, payloads
from orchestration.documents.ledger import Item, Recipe
from orchestration.documents.order import Order, content_hash, parse_order
from orchestration.errors import HarnessError
from orchestration.harness import Harness


class RepeatedOrder(HarnessError):
    """The same order would be issued a second time, and nothing says why that should help."""


@dataclass(frozen=True)
class Draft:
    """An order ready to be logged."""

    text: str
    order: Order
    hash: str
    row: str | None
    mode: str
    source: str
    retry_reason: str = ""
    diagnostics: tuple[str, ...] = field(default=())
    action_type: str = "implementation"

    def event(self) -> payloads.Ordered:
        """What the log keeps of it."""
        return payloads.Ordered(
            hash=self.hash,
            text=self.text,
            row=self.row,
            mode=self.mode,
            source=self.source,
            action_type=self.action_type,
            retry_reason=self.retry_reason,
            diagnostics=self.diagnostics,
        )


def write_order(harness: Harness, item: Item, base: str, turn: int) -> Draft:
    """Compose, parse and check the built-in order for an item.

    Raises RepeatedOrder when its content is that of an earlier order and no reason to try again
    exists (a deterministic agent, on an unchanged base, would only fail again).
    """
    known = harness.state.items.get(item.id, ItemState())
    row = choose_row(item)
    first = compose_order(harness, item, base, turn, row, retry="")
    if first.hash not in harness.state.orders:
        return first
    retry = _retry_reason(harness, known)
    if not retry:
        raise RepeatedOrder(
            f"the order for {item.id} would repeat that of turn {harness.state.orders[first.hash]}",
            where=harness.config.ledger,
            got=known.last_reason or "the earlier attempt landed and changed no criterion",
            fix="change the item's recipe, guard or criteria, or run it with an agent",
        )
    return compose_order(harness, item, base, turn, row, retry=retry)


def _retry_reason(harness: Harness, known: ItemState) -> str:
    """Why the same order may be issued again, or "" when it may not."""
    if known.last_verdict == "stale":
        return "the branch moved while the last attempt was verified"
    if known.approved:
        return f"a person approved {', '.join(sorted(set(known.approved)))}"
    if harness.deterministic:
        return ""
    if known.last_verdict and known.last_reason:
        return f"attempt {known.attempts} was turned down: {known.last_reason}"
    return ""


def choose_row(item: Item) -> str | None:
    """The criterion that the next order is about: the first open one, recipes' rows first."""
    still_open = [c.id for c in item.criteria if c.open]
    rows = [recipe.row for recipe in item.recipes if recipe.row]
    for name in still_open:
        if name in rows:
            return name
    return still_open[0] if still_open and rows else None


def recipes_for(item: Item, row: str | None) -> list[Recipe]:
    """The recipe steps that an order about `row` carries out (those without a row always)."""
    return [recipe for recipe in item.recipes if recipe.row in (None, row) or row is None]


def compose_order(
    harness: Harness, item: Item, base: str, turn: int, row: str | None, *, retry: str
) -> Draft:
    """Write the order's text and read it back."""
    recipes = recipes_for(item, row)
    mode = mode_of(item)
    focus = f"{item.id}.{row}" if row else item.id
    head = [
        f"# Order {turn:04d} · {item.id} — {item.title}",
        f"Focus: {focus}",
        f"Mode: {mode}",
        f"Selector: {item.guard or 'none'}",
        f"Branch: {harness.target}",
        f"Base: {base}",
        f"Budget: {harness.config.budgets.turn_s:g}s/1 attempt",
    ]
    if retry:
        head.append(f"retry-reason: {retry}")
    # What failed last is told by retry-reason, which is no part of the content hash: an order
    # does not become a new one by reporting that it failed.
    parts = ["\n".join(head), *_sections(harness, item, base, row, recipes)]
    text = "\n\n".join(parts) + "\n"
    order = parse_order(text, harness.config.order)
    problems = tuple(str(d) for d in order.diagnostics)
    return Draft(text, order, content_hash(order), row, mode, "built-in", retry, problems)


def mode_of(item: Item) -> str:
    """TDD where a guard must turn from red to green, none without one, else by the item's type."""
    kind = (item.type or "").lower()
    if not item.guard:
        return "Docs" if kind == "docs" else "none"
    if kind in ("", "bugfix", "feature"):
        return "TDD"
    return {"docs": "Docs", "perf": "Perf"}.get(kind, "Implementation")


def _sections(
    harness: Harness, item: Item, base: str, row: str | None, recipes: list[Recipe]
) -> list[str]:
    still_open = [c for c in item.criteria if c.open]
    names = ", ".join(c.id for c in still_open if row is None or c.id == row)
    goal = f"## Goal\n{item.title}. Advances {names or 'the guard'}."
    tasks = [_recipe_task(harness, base, n, r) for n, r in enumerate(recipes, start=1)]
    if not tasks:
        tasks = [
            f"- [ ] T{n} Run {c.id} until it passes: {_prose(c.meaning)}"
            for n, c in enumerate(still_open, start=1)
        ]
    if not tasks:
        what = f"make `pytest {item.guard}` pass" if item.guard else "do what the goal says"
        tasks = [f"- [ ] T1 {item.title}: {what}"]
    checks = [c.command.text for c in still_open if c.command and (row is None or c.id == row)]
    parts = [goal, "## Tasks\n" + "\n".join(tasks)]
    commands = list(dict.fromkeys(([f"pytest {item.guard}"] if item.guard else []) + checks))
    if commands:
        parts.append("## Checks\n```sh\n" + "\n".join(commands) + "\n```")
    globs = [glob for recipe in recipes for glob in recipe.artifacts]
    if globs:
        parts.append("## Artifacts\n" + "\n".join(f"- {glob} — evidence" for glob in globs))
    edits = [glob for recipe in recipes for glob in recipe.may_edit_tests]
    if edits:
        parts.append("## May edit tests\n" + "\n".join(f"- {glob}" for glob in edits))
    parts.append(
        "## If blocked\n- Say which command failed, its last lines, and what would unblock it."
    )
    parts.append("## Findings\n- none")
    return parts


def _prose(text: str) -> str:
    """Words of a person without code spans: a path named in them is no task's file."""
    return text.replace("`", "'")


def _recipe_task(harness: Harness, base: str, number: int, recipe: Recipe) -> str:
    if recipe.kind == "apply":
        entry = harness.repo.list_tree(base, recipe.patch or "").get(recipe.patch or "")
        version = f"blob {entry.sha[:10]}" if entry else "not in the base"
        return f"- [ ] T{number} Run the recipe: apply {recipe.patch} ({version})"
    text = recipe.command.text if recipe.command else ""
    return f"- [ ] T{number} Run the recipe: {text}"
