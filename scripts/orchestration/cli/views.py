"""`orchestrate report`, `doctor` and `init`: the commands that show, check and prepare."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from orchestration.documents.grammar import printable

DEFAULT_PAGE = "report.html"


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command("report")(report)
    app.command("doctor")(doctor)
    app.command("init")(init)


def report(
    output: Path | None = typer.Option(
        None, "--output", "-o", help="Where to write the page; default: git's own folder."
    ),
    path: Path = typer.Option(Path("."), "--repo", "-C", help="The repository."),
    json_output: bool = typer.Option(False, "--json", help="The same content as one JSON object."),
) -> None:
    """Write one self-contained HTML page: what landed, what waits, what is blocked and why."""
    from orchestration.views import evidence_of, load, render_page

    loaded = load(path)
    page = output or loaded.repo.state_dir / DEFAULT_PAGE
    pieces = evidence_of(loaded)
    _write(page, render_page(loaded.view, pieces, log_tip=loaded.log_tip))
    if json_output:
        evidence = [{"item": p.item, "path": p.path, "bytes": p.bytes} for p in pieces]
        _print_json({"report": str(page.resolve()), **loaded.view.as_dict(), "evidence": evidence})
    else:
        print(page.resolve())


def doctor(
    path: Path = typer.Option(Path("."), "--repo", "-C", help="The repository."),
    agent: str | None = typer.Option(None, "--agent", help="Check this agent's program too."),
    supervisor_agent: str | None = typer.Option(
        None, "--supervisor-agent", help="Check this one too."
    ),
    json_output: bool = typer.Option(False, "--json", help="One JSON object on stdout."),
) -> None:
    """Check what a run needs: interpreter, pytest, product, git, refs, disk, agent."""
    from orchestration.setup import examine

    checks = examine(path, agent=agent, supervisor=supervisor_agent)
    failed = [check for check in checks if check.state == "fail"]
    if json_output:
        _print_json({"ok": not failed, "checks": [check.as_dict() for check in checks]})
    else:
        for check in checks:
            print(f"{check.mark:4} {check.name}: {check.found}")
            if check.fix:
                print(f"     fix: {check.fix}")
    if failed:
        raise typer.Exit(1)


def init(
    path: Path = typer.Option(Path("."), "--repo", "-C", help="The repository to make ready."),
    from_history: bool = typer.Option(
        False, "--from-history", help="Also say what the old ledger, memory and orders are read as."
    ),
    json_output: bool = typer.Option(False, "--json", help="One JSON object on stdout."),
) -> None:
    """Make a git repository with pytest ready; writes what is missing, changes nothing else."""
    from orchestration.setup import prepare, read_history

    history = read_history(path) if from_history else None
    result = prepare(path)
    if json_output:
        told = {"history": history.as_dict()} if history else {}
        _print_json({**result.as_dict(), **told})
        return
    if history:
        for title, lines in (
            ("read", history.read),
            ("could not be read", history.unread),
            ("to do by hand", history.by_hand),
        ):
            print(f"{title}:" + ("" if lines else " nothing"))
            for line in lines:
                print(f"  {printable(line)}")
    for name in result.written:
        print(f"wrote {name}")
    for name in result.kept:
        print(f"kept  {name}")
    print(f"found {result.summary}")
    print("next: " + result.next_command)


def _write(page: Path, text: str) -> None:
    page.parent.mkdir(parents=True, exist_ok=True)
    temporary = page.with_name(page.name + ".part")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(page)


def _print_json(content: dict[str, Any]) -> None:
    print(json.dumps(content, indent=2, ensure_ascii=False, default=str))
