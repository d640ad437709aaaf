"""`orchestrate init --from-history`: what the old documents of a repository say to the harness.

Three lists, in the order in which a person needs them: what was read, what could not be read, what
must be done by hand. Nothing is written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from orchestration.config import load_config
from orchestration.documents import Checkout, kinds, rewrite
from orchestration.documents.findings import parse_findings
from orchestration.documents.grammar import Diagnostic, DocumentError, read_text
from orchestration.documents.ledger import Ledger, Status, parse_ledger
from orchestration.documents.memory import parse_memory
from orchestration.documents.order import ValidationContext, parse_order
from orchestration.documents.plan import parse_plan
from orchestration.git import Repo

#: Codes that say that something of a document was not read, or read as something else.
UNREAD = frozenset(("E00", "E20", "W09", "W11", "W12", "W24", "W25", "W26", "W27"))
#: Lines of one code that are shown one by one; the others are counted.
SHOWN = 3


@dataclass(slots=True)
class History:
    """What old documents said, what of them could not be read, and what is left to a person."""

    read: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    by_hand: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, list[str]]:
        """The JSON form, in the order to read it."""
        return asdict(self)


def read_history(root: Path) -> History:
    """Read ledger, memory, findings, order and plans of the repository around ``root``."""
    top = Repo(root).root
    config = load_config(top)
    checkout = Checkout(top, ledger=config.ledger, findings=config.findings)
    history = History()
    context = checkout.context
    tell: dict[str, Callable[[str, str], str]] = {
        "ledger": _ledger,
        "memory": _memory,
        "findings": lambda text, path: f"{len(parse_findings(text, path).rows)} findings",
        "order": _order,
    }
    places = {
        "ledger": config.ledger,
        "memory": config.memory,
        "findings": config.findings,
        "order": config.order,
    }
    for kind, name in places.items():
        _document(top, name, kind, tell[kind], context(name), history)
    _plans(top, context("plans/active"), history)
    ledger = checkout.ledger() if (top / config.ledger).is_file() else None
    if ledger is not None:
        _left_to_do(ledger, history)
    other = "fix_plan.md"
    if ledger is not None and config.ledger != other and (top / other).is_file():
        history.by_hand.append(f"{other}: a second ledger; keep {config.ledger} and remove it")
    if ledger is None and (top / other).is_file():
        words = f"{other}: not read; name it as `ledger: {other}` in orchestration.yaml"
        history.by_hand.append(f"{words}, or move it to {config.ledger}")
    for kind in ("memory", "ledger"):
        if (top / places[kind]).is_file():
            history.by_hand.append(f"orchestrate history import {places[kind]}   (as claims)")
    return history


def _document(
    top: Path,
    name: str,
    kind: str,
    tell: Callable[[str, str], str],
    context: ValidationContext,
    history: History,
) -> None:
    place = top / name
    if not place.is_file():
        history.read.append(f"{name}: none")
        return
    try:
        text = read_text(place)
        history.read.append(f"{name}: {tell(text, name)}")
    except DocumentError as problem:
        history.unread.append(f"{name}: {problem.what}")
        return
    found = kinds.check_document(kind, text, context)
    history.unread += _shown([d for d in found if d.code in UNREAD])
    errors = [d for d in found if d.severity == "error" and d.code not in UNREAD]
    if kind != "order":  # an old order is replaced by the next one
        history.by_hand += _shown([*errors, *(d for d in found if d.code == "E20")])
    fixed = rewrite(kind, text, name)
    if fixed.text != text and kind != "order":
        history.by_hand.append(f"orchestrate validate --fix {name}   (rewrites it, loses no line)")


def _shown(found: list[Diagnostic]) -> list[str]:
    """Return the first few diagnostics of each code, and a count of the rest."""
    counts = Counter(d.code for d in found)
    seen: Counter[str] = Counter()
    lines = []
    for diagnostic in found:
        seen[diagnostic.code] += 1
        if seen[diagnostic.code] <= SHOWN:
            lines.append(diagnostic.render())
    for code, count in counts.items():
        if count > SHOWN:
            lines.append(f"{code} {found[0].path}: and {count - SHOWN} more like it")
    return lines


def _ledger(text: str, path: str) -> str:
    ledger = parse_ledger(text, path)
    statuses = Counter(item.status.value for item in ledger.items)
    criteria = [criterion for item in ledger.items for criterion in item.criteria]
    told = ", ".join(f"{count} {status}" for status, count in statuses.items())
    commands = sum(c.command is not None for c in criteria)
    return (
        f"{len(ledger.items)} items ({told or 'none'}), {len(criteria)} criteria ({commands} with "
        f"a command), {sum(len(item.attempts) for item in ledger.items)} attempts, "
        f"{sum(item.plan is not None for item in ledger.items)} plans"
    )


def _memory(text: str, path: str) -> str:
    memory = parse_memory(text, path)
    roles = Counter(entry.role for entry in memory.entries)
    told = ", ".join(f"{count} of the {role}" for role, count in roles.items())
    return f"{len(memory.entries)} entries ({told or 'none'})"


def _order(text: str, path: str) -> str:
    order = parse_order(text, path)
    return f"an order of form {order.source} for {order.item_id or 'no item'}"


def _plans(top: Path, context: ValidationContext, history: History) -> None:
    folder = top / "plans" / "active"
    count = rows = 0
    for place in sorted(folder.rglob("*.md")) if folder.is_dir() else ():
        name = place.relative_to(top).as_posix()
        if kinds.kind_of(name) != "plan":
            continue
        try:
            plan = parse_plan(read_text(place), name)
        except DocumentError as problem:
            history.unread.append(f"{name}: {problem.what}")
            continue
        count += 1
        rows += len(plan.rows)
        history.unread += _shown([d for d in plan.diagnostics if d.code in UNREAD])
    history.read.append(f"plans/active: {count} plans, {rows} rows")


def _left_to_do(ledger: Ledger, history: History) -> None:
    """What each open item lacks before the harness can show progress on it."""
    for item in ledger.items:
        if item.status not in (Status.OPEN, Status.IN_PROGRESS):
            continue
        left = [c for c in item.criteria if c.open]
        mute = [c.id for c in left if c.command is None]
        if not item.criteria:
            history.by_hand.append(f"{item.id}: no exit criterion; add `- Exit:` with a command")
        elif mute:
            history.by_hand.append(
                f"{item.id}: {', '.join(mute[:6])} {'names' if len(mute) == 1 else 'name'} no "
                "command; write one in code marks before the words"
            )
        elif not left:
            history.by_hand.append(f"{item.id}: every criterion is met or put off; set it to done")
