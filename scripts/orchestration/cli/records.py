"""`orchestrate ledger …` and `orchestrate findings …`, and what the document commands share."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from orchestration.documents import Checkout, find_root, ledger
from orchestration.documents.findings import (
    Finding,
    add_finding,
    check_findings,
    parse_findings,
    search,
)
from orchestration.documents.grammar import (
    Diagnostic,
    has_errors,
    parse_command,
    printable,
    read_text,
    write_text,
)
from orchestration.documents.ledger import render_waiting
from orchestration.errors import HarnessError

REPO = typer.Option(Path("."), "--repo", "-C", help="The repository.")
JSON = typer.Option(False, "--json", help="One JSON object on stdout.")
ERRORS = 1

ledger_app = typer.Typer(no_args_is_help=True, help="The ledger: add, show and list items.")
findings_app = typer.Typer(no_args_is_help=True, help="Findings: search, add, check.")


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    ledger_app.command("add")(ledger_add)
    ledger_app.command("show")(ledger_show)
    ledger_app.command("list")(ledger_list)
    findings_app.command("search")(findings_search)
    findings_app.command("add")(findings_add)
    findings_app.command("check")(findings_check)
    app.add_typer(ledger_app, name="ledger")
    app.add_typer(findings_app, name="findings")


def emit(data: dict[str, Any]) -> None:
    print(json.dumps(data, default=str))


def say(text: str) -> None:
    for line in text.split("\n"):
        print(printable(line))


def print_diagnostics(found: Sequence[Diagnostic]) -> None:
    for diagnostic in found:
        print(diagnostic.render())


def config_path(root: Path, name: str, default: str) -> str:
    from orchestration.config import load_config

    return str(getattr(load_config(root), name, default))


def checkout_of(root: Path) -> Checkout:
    return Checkout(
        root,
        ledger=config_path(root, "ledger", "docs/fix_plan.md"),
        findings=config_path(root, "findings", "docs/findings.md"),
    )


def _ledger_file(repo: Path) -> tuple[Path, str]:
    root = find_root(repo)
    place = root / config_path(root, "ledger", "docs/fix_plan.md")
    return place, read_text(place)


def ledger_add(
    item_id: str = typer.Argument(..., help="The id, such as FIX-SPEED-002."),
    title: str = typer.Argument(..., help="What is to be reached."),
    priority: str = typer.Option("", "--priority", help="P0 to P3."),
    kind: str = typer.Option("", "--type", help="feature, bugfix, perf, docs, …"),
    depends: str = typer.Option("", "--depends", help="Ids, separated by commas."),
    plan: str = typer.Option("", "--plan", help="Path of the plan."),
    guard: str = typer.Option("", "--guard", help="pytest node ids that must pass."),
    exit_checks: list[str] = typer.Option([], "--exit", help="`command` — meaning; repeatable."),
    repo: Path = REPO,
    json_output: bool = JSON,
) -> None:
    """Add an item at the end of the ledger; every other byte stays."""
    place, text = _ledger_file(repo)
    new = ledger.add_item(
        text,
        item_id,
        title,
        priority=priority,
        type=kind,
        depends=depends,
        plan=plan,
        guard=guard,
        exit="\n".join(" ".join(check.split()) for check in exit_checks),
    )
    before = {(d.code, d.message) for d in ledger.check_ledger(ledger.parse_ledger(text))}
    added = ledger.check_ledger(ledger.parse_ledger(new, str(place)))
    problems = [d for d in added if (d.code, d.message) not in before]
    if has_errors(problems):
        raise HarnessError(
            "the item would make the ledger unsound",
            where=item_id,
            got="; ".join(d.render() for d in problems if d.severity == "error"),
            fix="correct the options; nothing was written",
            exit_code=ERRORS,
        )
    write_text(place, new)
    if json_output:
        emit({"item": item_id, "path": str(place), "diagnostics": [d.as_dict() for d in problems]})
    else:
        print_diagnostics(problems)
        print(f"{item_id} added to {place}")


def _item_dict(item: ledger.Item) -> dict[str, Any]:
    return {
        "id": item.id,
        "title": item.title,
        "status": item.status.value,
        "reason": item.reason,
        "priority": item.priority,
        "type": item.type,
        "depends": item.depends,
        "external": item.external,
        "plan": item.plan,
        "owner": item.owner,
        "guard": item.guard,
        "needs": item.needs,
        "line": item.line,
        "waiting": render_waiting(item.waiting) if item.waiting else None,
        "criteria": [
            {
                "id": c.id,
                "state": c.state,
                "command": c.command.text if c.command else None,
                "meaning": c.meaning,
            }
            for c in item.criteria
        ],
        "recipes": [
            {
                "kind": r.kind,
                "command": r.command.text if r.command else None,
                "patch": r.patch,
                "row": r.row,
            }
            for r in item.recipes
        ],
        "attempts": [
            {
                "turn": a.turn,
                "at": str(a.at) if a.at else None,
                "outcome": a.outcome,
                "label": a.label,
                "criteria": a.criteria,
                "text": a.text,
            }
            for a in item.attempts
        ],
    }


def ledger_show(
    item_id: str = typer.Argument(..., help="The id."),
    repo: Path = REPO,
    json_output: bool = JSON,
) -> None:
    """Show one item: status, criteria, dependencies, attempts."""
    place, text = _ledger_file(repo)
    read = ledger.parse_ledger(text, str(place))
    item = read.item(item_id)
    if item is None:
        known = ", ".join(i.id for i in read.items[:12])
        raise HarnessError("no such item", got=item_id, expected=known, fix="ledger list")
    if json_output:
        emit(_item_dict(item))
        return
    say(
        f"{item.id}  {item.title}\n  {item.status.value}"
        + (f" — {item.reason}" * bool(item.reason))
    )
    facts = {
        "priority": item.priority,
        "depends": ", ".join(item.depends + item.external),
        "plan": item.plan,
        "guard": item.guard,
        "needs": item.needs,
    }
    for name, value in facts.items():
        if value:
            say(f"  {name}: {value}")
    for criterion in item.criteria:
        command = f" `{criterion.command.text}`" if criterion.command else ""
        say(f"  [{criterion.state}] {criterion.id}{command} {criterion.meaning}")
    for attempt in item.attempts:
        words = attempt.outcome or attempt.label
        say(f"  attempt {attempt.turn or attempt.at or ''}: {words} {attempt.text[:160]}")


def ledger_list(
    status: str | None = typer.Option(None, "--status", help="Only items with this status."),
    repo: Path = REPO,
    json_output: bool = JSON,
) -> None:
    """List the items of the ledger with their statuses and open criteria."""
    place, text = _ledger_file(repo)
    read = ledger.parse_ledger(text, str(place))
    if status is not None and status not in [s.value for s in ledger.Status]:
        raise HarnessError(
            "unknown status", got=status, expected=", ".join(s.value for s in ledger.Status)
        )
    items = [item for item in read.items if status in (None, item.status.value)]
    if json_output:
        emit({"path": str(place), "items": [_item_dict(item) for item in items]})
        return
    for item in items:
        count = f"{sum(c.met for c in item.criteria)}/{len(item.criteria)}"
        say(f"{item.status.value:11} {item.priority}  {count:>5}  {item.id}  {item.title}")


def _findings_file(repo: Path) -> tuple[Path, str]:
    root = find_root(repo)
    place = root / config_path(root, "findings", "docs/findings.md")
    return place, read_text(place)


def findings_search(
    words: list[str] = typer.Argument(None, help="Words to look for."),
    paths: list[str] = typer.Option([], "--path", help="Paths the change touches; repeatable."),
    repo: Path = REPO,
    json_output: bool = JSON,
) -> None:
    """Find the lessons that a change should recall, best first."""
    if not words and not paths:
        raise HarnessError("say what to look for", expected="words, or --path PATH")
    place, text = _findings_file(repo)
    found = search(parse_findings(text, str(place)), words or [], paths)
    if json_output:
        rows = [
            {
                "id": f.id,
                "status": f.status,
                "synopsis": f.synopsis,
                "line": f.line,
                "keywords": f.keywords,
            }
            for f in found
        ]
        emit({"path": str(place), "findings": rows})
        return
    for finding in found:
        say(f"{finding.id}  [{finding.status}]  {finding.synopsis[:200]}")
    if not found:
        print(f"none (searched: {' '.join([*(words or []), *paths])})")


def findings_add(
    finding_id: str = typer.Argument(..., help="The id, such as CONFIG-002."),
    synopsis: str = typer.Option(..., "--synopsis", help="The lesson in one or two sentences."),
    keywords: str = typer.Option("", "--keywords", help="Words to find it by."),
    evidence: str = typer.Option("", "--evidence", help="path:line that shows it."),
    check: str = typer.Option("", "--check", help="Command that exits 0 while it holds."),
    applies: list[str] = typer.Option([], "--applies", help="Path globs; repeatable."),
    supersedes: list[str] = typer.Option([], "--supersedes", help="Older ids; repeatable."),
    repo: Path = REPO,
    json_output: bool = JSON,
) -> None:
    """Record a lesson; what it supersedes is marked, every other byte stays."""
    from datetime import UTC, datetime

    place, text = _findings_file(repo)
    finding = Finding(
        finding_id,
        f"{datetime.now(UTC):%Y-%m-%d}",
        keywords,
        synopsis,
        evidence,
        applies=list(applies),
        check=parse_command(check) if check else None,
        supersedes=list(supersedes),
    )
    new = add_finding(text, finding)
    checkout = checkout_of(find_root(repo))
    broken = [
        d
        for d in check_findings(parse_findings(new, str(place)), checkout.exists)
        if d.message.split()[0].rstrip(":") == finding_id and d.severity == "error"
    ]
    if broken:
        raise HarnessError(
            "the finding is unsound",
            where=finding_id,
            exit_code=ERRORS,
            got="; ".join(d.render() for d in broken),
            fix="correct it; nothing was written",
        )
    write_text(place, new)
    emit({"finding": finding_id, "path": str(place)}) if json_output else print(
        f"{finding_id} added to {place}"
    )


def findings_check(
    run: bool = typer.Option(False, "--run", help="Run the check commands too."),
    within: float = typer.Option(60.0, "--within", help="Seconds for each command."),
    repo: Path = REPO,
    json_output: bool = JSON,
) -> None:
    """Report broken evidence, broken chains and, with --run, lessons that no longer hold."""
    place, text = _findings_file(repo)
    root = find_root(repo)
    read = parse_findings(text, str(place))
    found = check_findings(read, checkout_of(root).exists)
    results = _run_checks(root, read.rows, within) if run else {}
    failed = [name for name, code in results.items() if code != 0]
    if json_output:
        emit(
            {
                "path": str(place),
                "diagnostics": [d.as_dict() for d in found],
                "checks": results,
                "ok": not has_errors(found) and not failed,
            }
        )
    else:
        print_diagnostics(found)
        for name, code in results.items():
            why = f"exit {code}" if isinstance(code, int) else code
            say(f"{name}: {'holds' if code == 0 else f'no longer holds ({why})'}")
        print(f"{len(read.rows)} findings, {sum(d.severity == 'error' for d in found)} errors")
    if has_errors(found) or failed:
        raise typer.Exit(ERRORS)


def _run_checks(root: Path, rows: Sequence[Finding], within: float) -> dict[str, int | str]:
    """Run the check command of every active finding: its exit code, or why there is none."""
    import os

    from orchestration.config import load_config
    from orchestration.gates import interpreter
    from orchestration.sandbox import run_child

    python = load_config(root).python
    results: dict[str, int | str] = {}
    for row in rows:
        if row.check is None or not row.check.argv or row.status != "Active":
            continue
        limit = row.check.within_s or within
        ready = row.check.expanded(os.environ)
        command, env = interpreter(ready.argv, python), {**os.environ, **ready.env}
        try:
            child = run_child(command, root, env, total_s=limit)
        except HarnessError as error:
            results[row.id] = str(error).splitlines()[0]
            continue
        late = f"not done within {limit:g} s"
        results[row.id] = late if child.timed_out or child.exit_code is None else child.exit_code
    return results
