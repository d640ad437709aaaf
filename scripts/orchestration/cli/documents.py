"""`orchestrate validate`, `explain`, `ledger`, `findings`, `history import`, `stats`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import typer

from orchestration.cli import records
from orchestration.cli.records import (
    ERRORS,
    JSON,
    REPO,
    checkout_of,
    config_path,
    emit,
    print_diagnostics,
    say,
)
from orchestration.core import payloads
from orchestration.documents import cached, find_root, kinds, ledger, rewrite
from orchestration.documents.grammar import CODES, explain, has_errors, make, read_text, write_text
from orchestration.documents.memory import parse_memory
from orchestration.documents.order import ValidationContext, extends_plan_tools, parse_order
from orchestration.documents.past import (
    HistoryEvent,
    MemoryStats,
    ledger_events,
    ledger_stats,
    memory_events,
    memory_stats,
)
from orchestration.errors import HarnessError

WARNINGS = 3

history_app = typer.Typer(no_args_is_help=True, help="Old records as events of the log.")


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command("validate")(validate)
    app.command("explain")(explain_code)
    app.command("stats")(stats)
    records.register(app)
    history_app.command("import")(history_import)
    app.add_typer(history_app, name="history")


def validate(
    path: Path | None = typer.Argument(None, help="The document; default: the order."),
    strict: bool = typer.Option(False, "--strict", help="Exit 3 when there are warnings."),
    fix: bool = typer.Option(False, "--fix", help="Rewrite it in the canonical form first."),
    no_collect: bool = typer.Option(False, "--no-collect", help="Do not ask pytest."),
    kind: str | None = typer.Option(None, "--kind", help=f"One of {', '.join(kinds.KINDS)}."),
    repo: Path = REPO,
    json_output: bool = JSON,
) -> None:
    """Check a document. Exit 0 ok, 1 errors, 2 usage or I/O, 3 warnings under --strict."""
    root = find_root(path or repo)
    place = path or root / config_path(root, "order", "input.md")
    wanted = kind or kinds.kind_of(str(place))
    if wanted not in kinds.KINDS:
        raise HarnessError("unknown kind", expected=", ".join(kinds.KINDS), got=wanted)
    text = read_text(place)
    fixed, left = False, ""
    if fix:
        result = rewrite(wanted, text, str(place))
        fixed = result.text != text
        left = "; ".join([result.reason, *result.lines[:5]]) if result.reason else ""
        if fixed:
            write_text(place, result.text)
            text = result.text
    context = _context(root, str(place), wanted, text, collect=not no_collect)
    found = kinds.check_document(wanted, text, context)
    if left:
        found.insert(0, make("W19", str(place), 0, f"left as it was: {left}"))
    warnings = sum(d.severity == "warning" for d in found)
    code = ERRORS if has_errors(found) else WARNINGS if strict and warnings else 0
    if json_output:
        rows = [d.as_dict() for d in found]
        emit(
            {
                "path": str(place),
                "kind": wanted,
                "ok": code == 0,
                "fixed": fixed,
                "diagnostics": rows,
            }
        )
    else:
        print_diagnostics(found)
        errors = len(found) - warnings
        verdict = "OK" if code == 0 else "not OK"
        note = ", rewritten in the canonical form" if fixed else ""
        print(f"{place}: {wanted} {verdict} ({errors} errors, {warnings} warnings){note}")
    if code:
        raise typer.Exit(code)


def _context(root: Path, path: str, kind: str, text: str, *, collect: bool) -> ValidationContext:
    """The lookups of a repository: files always, git and pytest where there is a repository."""
    checkout = checkout_of(root)
    if not (root / ".git").exists():
        return checkout.context(path)
    from orchestration.config import load_config
    from orchestration.gates import Asked
    from orchestration.gates import collect as ask_pytest
    from orchestration.git import Repo
    from orchestration.harness import SystemClock
    from orchestration.log import EventLog
    from orchestration.turns import spec_of

    config = load_config(root)
    repo = Repo(root)

    def ask(selector: str) -> list[str]:
        return ask_pytest(
            root, selector, config.python, import_roots=config.import_roots, strict=True
        )

    log = EventLog(repo.state_dir, SystemClock())
    items = log.state.items

    def extended(item_id: str) -> int:
        said = [event.payload for event in log.events if event.item == item_id]
        texts = [one.text for one in said if isinstance(one, payloads.Ordered)]
        return sum(extends_plan_tools(parse_order(text)) for text in texts)

    known = cached(ask, root, repo.state_dir / "cache" / "collected.json")
    selects = None
    if collect and kind == "ledger":
        selects = Asked(spec_of(config, root), ledger.commands_of(ledger.parse_ledger(text)))
    return checkout.context(
        path,
        collect=known if collect else None,
        selects=selects,
        writes_tests=config.supervisor_agent is not None,
        resolve=lambda ref: repo.try_resolve(f"{ref}^{{commit}}"),
        branch=config.target or repo.branch(),
        known_orders=[digest for item in items.values() for digest in item.orders],
        protected=config.protected,
        approved=[glob for item in items.values() for glob in item.approved],
        extended=extended,
    )


def explain_code(
    code: str | None = typer.Argument(None, help="A code such as E03; default: all of them."),
    json_output: bool = JSON,
) -> None:
    """Say what a diagnostic code means, why it matters and how to fix it."""
    if code is None:
        table = {name: entry.title for name, entry in CODES.items()}
        if json_output:
            emit(table)
            return
        for name, title in table.items():
            print(f"{name}  {title}")
        return
    text = explain(code)
    if text is None:
        raise HarnessError(
            "unknown code",
            got=code,
            expected="a code that a diagnostic printed",
            fix="orchestrate explain   (lists all codes)",
        )
    if json_output:
        entry = CODES[code.strip().upper()]
        emit(
            {"code": code.strip().upper(), "title": entry.title, "why": entry.why, "fix": entry.fix}
        )
    else:
        print(text)


def _records(place: Path) -> tuple[str, str]:
    kind = kinds.kind_of(str(place))
    if kind not in ("memory", "ledger"):
        raise HarnessError(
            "neither a memory nor a ledger",
            where=place,
            expected="a file named …memory.md or …fix_plan.md",
            fix="rename a copy of the file",
        )
    return kind, read_text(place)


def history_import(
    file: Path = typer.Argument(..., help="An old galph_memory.md or fix_plan.md."),
    repo: Path = REPO,
    json_output: bool = JSON,
) -> None:
    """Append an old memory or ledger to the event log, as claims; the same file only once."""
    from orchestration.git import Repo
    from orchestration.harness import SystemClock
    from orchestration.log import EventLog

    kind, text = _records(file)
    events = (
        memory_events(parse_memory(text, file.name))
        if kind == "memory"
        else ledger_events(ledger.parse_ledger(text, file.name))
    )
    if not events:
        raise HarnessError("there is nothing to import", where=file, expected="entries or items")
    log = EventLog(Repo(repo).state_dir, SystemClock())
    known = {json.dumps(e.data, sort_keys=True) for e in log.events if e.kind == "import"}
    fresh = [e for e in events if json.dumps(_claim(e), sort_keys=True) not in known]
    for event in fresh:
        log.append(payloads.Imported(_claim(event)), role="user", item=event.item or None)
    if json_output:
        emit({"file": str(file), "imported": len(fresh), "known": len(events) - len(fresh)})
    else:
        print(f"{len(fresh)} claims imported, {len(events) - len(fresh)} were known")


def _claim(event: HistoryEvent) -> dict[str, Any]:
    return {"record": event.kind, "claimed_at": event.at, "claimed_by": event.role, **event.data}


def stats(
    source: Path | None = typer.Option(None, "--from", help="A memory or ledger file."),
    repo: Path = REPO,
    json_output: bool = JSON,
) -> None:
    """Recompute what a memory or ledger claims; without --from: what the event log shows."""
    if source is None:
        data = _log_stats(repo)
        emit(data) if json_output else _table(data)
        return
    kind, text = _records(source)
    if kind == "ledger":
        data = ledger_stats(ledger.parse_ledger(text, str(source)))
        emit(data) if json_output else _table(data)
        return
    result = memory_stats(parse_memory(text, str(source)), _brought(source))
    if json_output:
        emit(result.as_dict())
    else:
        _print_memory(result)


def _brought(source: Path) -> dict[int, datetime] | None:
    """When the lines of a file were committed; None outside a git checkout."""
    from orchestration.git import Repo

    place = source.resolve()
    root = find_root(place)
    if not (root / ".git").exists():
        return None
    return Repo(root).line_times(place.relative_to(root.resolve()).as_posix()) or None


def _table(data: dict[str, Any]) -> None:
    """Counts one a line; a mapping is a heading with a line for each of its entries."""
    for name, value in data.items():
        if not isinstance(value, dict):
            say(f"{name}: {len(value) if isinstance(value, list) else value}")
            continue
        say(f"{name}:" + ("" if value else " none"))
        for key, entry in value.items():
            if isinstance(entry, dict):
                entry = ", ".join(f"{what} {count}" for what, count in entry.items())
            say(f"  {key}: {entry}")


def _print_memory(result: MemoryStats) -> None:
    order = "newest first" if result.newest_first else "oldest first"
    say(
        f"{result.path}: {result.entries} entries ({result.supervisor} supervisor, "
        f"{result.worker} worker), {order}, {result.first} to {result.last}"
    )
    say("\nfoci (entries)")
    for item, count in result.foci.items():
        say(f"  {count:3}  {item}")
    say("\ndwell, oldest first   claimed  recomputed")
    show: Callable[[int | None], str] = lambda n: "-" if n is None else str(n)  # noqa: E731
    for row in result.dwell:
        say(f"  {row.stamp}  {show(row.claimed):>7}  {show(row.recomputed):>10}  {row.item}")
    say(
        f"\n{result.disagreements} of {len(result.dwell)} dwell claims disagree; "
        f"{len(result.observations)} inconsistencies"
    )
    say(f"{result.unknown} claims of dwell that nothing confirms, {result.waiting} waiting cycles")
    if result.future is not None:
        say(f"{len(result.future)} stamps later than the commit that brought them")
        for late in result.future[:10]:
            say(f"  line {late['line']}: {late['stamp']}, {late['minutes']} min")
    for seen in result.observations:
        lines = ", ".join(map(str, seen.lines))
        say(f"  {seen.code} line {lines}: {seen.message}")
    sys.stdout.flush()


def _alike(events: Sequence[Any]) -> int:
    """How many orders are like one before them of their item (likeness >= ALIKE)."""
    from orchestration.documents.past import ALIKE, likeness

    before: dict[str, list[str]] = {}
    count = 0
    for event in events:
        text = event.data.get("text") if event.kind == "order" else None
        if isinstance(text, str):
            known = before.setdefault(str(event.item), [])
            count += any(likeness(text, other) >= ALIKE for other in known[-8:])
            known.append(text)
    return count


def _log_stats(repo: Path) -> dict[str, Any]:
    """Counts of the event log: cycles, landings, repeated orders, dwell and time by item."""
    from collections import Counter

    from orchestration.core import replay
    from orchestration.git import Repo
    from orchestration.views import read_events

    events = read_events(Repo(repo))
    items = replay(events).items
    orders = Counter(digest for item in items.values() for digest in item.orders)
    progress = sum(item.landed for item in items.values())
    cycles = sum(event.kind == "decision" for event in events)
    return {
        "events": len(events),
        "cycles": cycles,
        "landed": progress,
        "rejected": sum(item.rejected for item in items.values()),
        "repeated_orders": sum(count - 1 for count in orders.values()),
        "alike_orders": _alike(events),
        "pivots": sum(item.pivots for item in items.values()),
        "seconds": round(sum(item.seconds for item in items.values()), 3),
        "kinds": dict(Counter(event.kind for event in events)),
        "items": {
            name: {
                "attempts": item.attempts,
                "landed": item.landed,
                "rejected": item.rejected,
                "dwell": item.dwell,
                "seconds": round(item.seconds, 3),
            }
            for name, item in items.items()
        },
    }
