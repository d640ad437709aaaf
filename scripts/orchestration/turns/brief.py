"""What an agent is told at the start of its turn: one text of at most 12 KB.

The templates hold what is always said; around it stand pieces, the important ones first in line for
the bytes that are left. What does not fit is cut, and the cut says where the rest can be read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from orchestration.core import (
    ItemState,
    OpenCycle,
    allowed_actions,
    matches,
    parse_selector,
    payloads,
)
from orchestration.documents.findings import Finding, parse_findings
from orchestration.documents.ledger import Item
from orchestration.documents.order import Order
from orchestration.documents.plan import parse_plan
from orchestration.gates import is_guarded
from orchestration.harness import Harness, read_text_at

BRIEF_LIMIT = 12_000
"""Bytes that a brief may have."""
PIECES_MIN = 6_000
"""Bytes that stay for the pieces, the order first, however long the values are."""
GUARD_MAX = 800
LAST_TURNS = 10
_HIDDEN = re.compile(r"^\s*-\s*\**(?:held-out|attempts?(?: history)?|status|owner)\b.*:", re.I)
_TOLD = re.compile(r"^(?:E {2,}|FAILED |ERROR |.*Error\b|expected|got)")


@dataclass(frozen=True)
class Piece:
    """One part of a brief: its heading, its text, the most it may take, and where all of it is."""

    heading: str
    text: str
    most: int = BRIEF_LIMIT
    rest: str = ""

    def within(self, room: int) -> str:
        """The piece in at most `room` bytes; "" where it is empty or not even its heading fits."""
        text = self.text.strip()
        head = f"\n## {self.heading}\n" if self.heading else ""
        room = min(room, self.most) - len(head.encode()) - 1
        if not text or room < 200:
            return ""
        return f"{head}{cut(text, room, self.rest)}\n"


def cut(text: str, limit: int, rest: str = "") -> str:
    """`text` in at most `limit` bytes; a cut is said, with where all of it can be read."""
    encoded = text.encode()
    if len(encoded) <= limit:
        return text
    mark = f"\n[cut here{f'; the whole is in {rest}' if rest else ''}]"
    return encoded[: max(0, limit - len(mark.encode()))].decode(errors="ignore") + mark


@cache
def template(name: str) -> Template:
    """One template of the package."""
    environment = Environment(
        loader=PackageLoader("orchestration.turns"),
        undefined=StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(name)


def fill(name: str, values: dict[str, str], pieces: dict[str, Piece]) -> str:
    """The template with its values and as much of the pieces as fits, the first named first."""
    empty = dict.fromkeys(pieces, "")
    short, most, room = values, 1_500, 0
    while room < PIECES_MIN and most > 100:
        short = {key: cut(text, most) for key, text in values.items()}
        room = BRIEF_LIMIT - len(template(name).render(**short, **empty).encode())
        most = most * 3 // 4
    filled = {}
    for key, piece in pieces.items():
        filled[key] = piece.within(room)
        room -= len(filled[key].encode())
    return re.sub(r"\n{3,}", "\n\n", template(name).render(**short, **filled))


def write_brief(
    harness: Harness,
    item: Item,
    order: Order,
    order_text: str,
    base: str,
    report: Path,
    steers: Sequence[payloads.Steer] = (),
) -> str:
    """The text for the worker."""
    values = {
        "focus": order.focus or item.id,
        "title": item.title[:200],
        "python": harness.config.python,
        "guard": guard_command(harness.config.python, item.guard or ""),
        "prepare": "`, then `".join(harness.config.prepare),
        "report": str(report),
        "order_path": harness.config.order,
        "may": _may(order),
        "may_not": _may_not(harness, order),
    }
    pieces = {
        "steers": _steers(steers),
        "order": Piece("", order_text, 5_500, f"`{harness.config.order}`"),
        "failures": failures(harness, item.id),
        **_about(harness, item, order, base),
    }
    return fill("worker.md", values, pieces)


def supervisor_brief(
    harness: Harness,
    opened: OpenCycle,
    item: Item,
    order: Order,
    draft: str,
    errors: Sequence[str],
    base: str,
) -> str:
    """The text for the supervisor agent."""
    known = harness.state.items.get(item.id, ItemState())
    decision = opened.need(payloads.Decided)
    rows = [row for row in decision.evidence.items if row.runnable][:20]
    runnable = [
        f"- {row.id}: open {', '.join(row.open_criteria) or 'guard'}; dwell {row.dwell}, "
        f"attempts {row.attempts}"
        for row in rows
    ]
    values = {
        "focus": item.id,
        "title": item.title[:200],
        "reason": decision.reason,
        "order_path": harness.config.order,
        "allowed": ", ".join(allowed_actions(known.actions)),
    }
    pieces = {
        "errors": Piece(
            "Your last order was not valid; fix these (last chance)",
            "\n".join(f"- {line}" for line in errors),
            3_000,
        ),
        "steers": _steers(harness.state.steers),
        "runnable": Piece(
            "Runnable items, preferred first", "\n".join(runnable), 2_000, harness.config.ledger
        ),
        "draft": Piece("", draft, 4_000, f"`{harness.config.order}`"),
        "failures": failures(harness, item.id),
        "turns": Piece("The last turns", "\n".join(last_turns(harness)), 2_000),
        **_about(harness, item, order, base),
    }
    return fill("supervisor.md", values, pieces)


def guard_command(python: str, guard: str) -> str:
    """The command of a guard as a shell takes it; one that is too long is named, not cut."""
    selector = str(parse_selector(guard))
    if not selector:
        return ""
    if len(selector.encode()) > GUARD_MAX:
        return f"`{python} -m pytest` on what `Guard:` of the item names"
    return f"`{python} -m pytest {selector}`"


def _steers(steers: Sequence[payloads.Steer]) -> Piece:
    said = "\n".join(f"- {steer.text}" for steer in steers)
    return Piece("From a person (obey first)", said, 2_000)


def _about(harness: Harness, item: Item, order: Order, base: str) -> dict[str, Piece]:
    """What is known about an item besides its order: prose, plan, findings, retrospective."""
    ledger, plan = harness.config.ledger, plan_path(item)
    return {
        "item": Piece(f"The item ({ledger})", prose(harness, item, base), 3_000, f"`{ledger}`"),
        "plan": Piece(
            f"Its plan ({plan})",
            "\n".join(plan_rows(harness, item, order.row, base)),
            2_000,
            f"`{plan}`",
        ),
        "findings": Piece(
            f"Findings about these files ({harness.config.findings})",
            "\n".join(touched_findings(harness, order, base)),
            2_000,
            f"`{harness.config.findings}`",
        ),
        "retro": Piece("", harness.state.retro, 1_500),
    }


def prose(harness: Harness, item: Item, base: str) -> str:
    """An item as a person wrote it, without its history and what lies outside every workspace."""
    text, _ = harness.ledger_at(base)
    lines, hidden = [], False
    for line in text[item.span[0] : item.span[1]].splitlines()[1:]:
        if not line[:1].isspace():
            hidden = bool(_HIDDEN.match(line))
        if not hidden:
            lines.append(line.rstrip())
    return "\n".join(lines)


def plan_path(item: Item) -> str:
    """Where an item's plan lies."""
    return item.plan or f"plans/active/{item.id}/implementation.md"


def plan_rows(harness: Harness, item: Item, row: str | None, base: str) -> list[str]:
    """The plan's rows that are not done, the order's own first."""
    text = read_text_at(harness.repo, base, plan_path(item).split("#")[0].removeprefix("./"))
    if text is None:
        return []
    rows = [one for one in parse_plan(text).rows if one.state not in "xX"]
    rows.sort(key=lambda one: one.id != row)
    return [
        f"- [{one.state}] {one.id} {one.text[:400]}"
        + (f" (verify: `{one.verify.text}`)" if one.verify else "")
        for one in rows
    ]


def touched_paths(order: Order) -> list[str]:
    """The files that an order's tasks and contracts name."""
    refs = [ref for task in order.tasks for ref in task.refs]
    refs += [contract.ref for contract in order.contracts if contract.ref is not None]
    return list(dict.fromkeys(ref.path for ref in refs if ref.path))


def touched_findings(harness: Harness, order: Order, base: str) -> list[str]:
    """Lessons that hold for the files of an order, and those that it cites."""
    text = read_text_at(harness.repo, base, harness.config.findings)
    if text is None:
        return []
    cited = {ref.id for ref in order.findings}
    paths = touched_paths(order)

    def holds(row: Finding) -> bool:
        evidence = {ref.path for ref in row.evidence()}
        return row.id in cited or any(matches(p, row.applies) or p in evidence for p in paths)

    rows = [row for row in parse_findings(text).rows if row.status in ("Active", "Practice")]
    return [f"- {row.id}: {row.synopsis[:400]}" for row in rows if holds(row)]


def failures(harness: Harness, item_id: str) -> Piece:
    """What the last attempts at an item failed on: reason, first lines of the failure, log."""
    lines: list[str] = []
    judged = [e for e in harness.log.events if e.kind == "verdict" and e.item == item_id]
    for event in reversed(judged[-3:]):
        verdict = event.payload
        assert isinstance(verdict, payloads.Judged)
        if verdict.verdict == "land":
            break
        lines.append(f"- turn {event.turn}: {verdict.verdict}: {verdict.reason[:600]}")
        if len(lines) == 1:
            report = harness.repo.state_dir / "turns" / f"{event.turn:06d}" / "report"
            told, log = first_words(report)
            lines += ["```", *told, "```", f"(from {log} of that turn)"] if told else []
    return Piece("What the last attempts failed on", "\n".join(lines), 3_000)


def first_words(report: Path) -> tuple[list[str], str]:
    """The first lines of the last log of a turn's guard or checks that say what went wrong.

    With the log's name in the report; ([], "") where none says so.
    """
    for log in sorted((report / part) for part in ("green", "cli")):
        for path in sorted(log.glob("*.log"), reverse=True):
            text = path.read_text(encoding="utf-8", errors="replace")[-200_000:]
            told = [line[:200] for line in text.splitlines() if _TOLD.match(line)][:12]
            if told:
                return told, path.relative_to(report).as_posix()
    return [], ""


def last_turns(harness: Harness) -> list[str]:
    """One line for each of the last turns: item, verdict and reason."""
    judged = [e for e in harness.log.events if e.kind == "verdict"][-LAST_TURNS:]
    lines = []
    for event in reversed(judged):
        verdict = event.payload
        assert isinstance(verdict, payloads.Judged)
        moved = f"; verified {', '.join(verdict.verified)}" if verdict.verified else ""
        reason = f": {verdict.reason[:160]}" if verdict.reason else ""
        lines.append(f"- turn {event.turn} {event.item}: {verdict.verdict}{moved}{reason}")
    return lines


def _may(order: Order) -> str:
    named = [f"`{path}`" for path in touched_paths(order) if not is_guarded(path)]
    tests = [f"`{glob}`" for glob in order.may_edit_tests]
    tests += [f"`{r.path}` (new)" for task in order.tasks if task.new for r in task.refs]
    product = f"product code ({', '.join(named[:20])})" if named else "product code"
    return f"{product}; of the tests only {', '.join(tests[:20])}" if tests else product


def _may_not(harness: Harness, order: Order) -> str:
    config = harness.config
    own = [f"`{path}`" for path in (config.ledger, config.memory, *config.protected)]
    forbidden = [entry.strip("- ") for entry in order.forbidden][:20]
    return ", ".join(["tests, fixtures and settings that are not named above", *own, *forbidden])
