"""`orchestrate report`, `serve`, `doctor` and `init`: the commands that show, check and prepare."""

from __future__ import annotations

import gc
import json
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from orchestration.documents.grammar import printable

if TYPE_CHECKING:
    from orchestration.setup import Wishes


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command("report")(report)
    app.command("serve")(serve)
    app.command("doctor")(doctor)
    app.command("init")(init)


def report(
    output: Path | None = typer.Option(
        None, "--output", "-o", help="Where to write the page; default: the state folder."
    ),
    where: bool = typer.Option(
        False, "--where", help="Print where a run keeps the page current, and write nothing."
    ),
    path: Path = typer.Option(Path("."), "--repo", "-C", help="The repository."),
    json_output: bool = typer.Option(False, "--json", help="The same content as one JSON object."),
) -> None:
    """Write the page: board, cycles, the last turns whole, and a page a turn beside it."""
    from orchestration.git import Repo
    from orchestration.views import load, report_path, write_pages

    if where:
        place = report_path(Repo(path).state_dir)
        if json_output:
            _print_json({"report": str(place), "written": place.is_file()})
        else:
            print(place)
        return
    gc.disable()  # over before there is anything to collect; a fifth of the time
    loaded = load(path)
    page = output or report_path(loaded.repo.state_dir)
    page.parent.mkdir(parents=True, exist_ok=True)
    site = write_pages(loaded, page)
    if json_output:
        evidence = [{"item": p.item, "path": p.path, "bytes": p.bytes} for p in site.evidence]
        _print_json({"report": str(page.resolve()), **loaded.view.as_dict(), "evidence": evidence})
    else:
        print(page.resolve())


def serve(
    port: int = typer.Option(0, "--port", min=0, max=65535, help="The port; 0 takes a free one."),
    path: Path = typer.Option(Path("."), "--repo", "-C", help="The repository."),
    json_output: bool = typer.Option(False, "--json", help="The address as one JSON object."),
) -> None:
    """Show the page live on 127.0.0.1, read-only; only who has the printed address can read."""
    from orchestration.views import server_for

    server = server_for(path, port)
    if json_output:
        _print_json({"address": server.address})
    else:
        print(server.address)
    sys.stdout.flush()
    with server, suppress(KeyboardInterrupt):  # the way it ends
        server.serve_forever()


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
    python: str | None = typer.Option(
        None, "--python", help="The tests' interpreter; by default an environment that is found."
    ),
    target: str | None = typer.Option(
        None, "--target", help="The branch to land on; by default the one that is checked out."
    ),
    evidence: str | None = typer.Option(
        None, "--evidence", help="Where reports and receipts go: branch (the landing) or log."
    ),
    agent: str | None = typer.Option(None, "--agent", help="Who works: claude, codex, custom, …"),
    agent_command: str | None = typer.Option(
        None, "--agent-command", help="The command of the agent `custom`, in one text."
    ),
    json_output: bool = typer.Option(False, "--json", help="One JSON object on stdout."),
) -> None:
    """Make a git repository with pytest ready; writes what is missing, changes nothing else."""
    from orchestration.setup import Wishes, prepare, read_history

    history = read_history(path) if from_history else None
    wishes = Wishes(python, target, agent, agent_command, evidence)
    if sys.stdin.isatty() and not json_output:
        wishes = _ask(path, wishes)
    result = prepare(path, wishes)
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


def _ask(path: Path, wishes: Wishes) -> Wishes:
    """Ask for what no option named; an answer that is the default is not written down.

    Where there is a configuration already nothing is asked, since nothing would be written.
    """
    from orchestration.config import FILE
    from orchestration.git import Repo

    repo = Repo(path)
    if (repo.root / FILE).exists():
        return wishes

    def asked(given: str | None, question: str, default: str) -> str | None:
        answer = given or typer.prompt(question, default=default, err=True)
        return answer if given or answer != default else None

    branch = repo.branch() or ""
    where = "Where reports and receipts go (branch: into the landed commit, log: beside the log)"
    agent = wishes.agent or ("custom" if wishes.agent_command else None)
    return replace(
        wishes,
        target=asked(wishes.target, "The branch that work lands on", branch),
        evidence=asked(wishes.evidence, where, "branch"),
        agent=asked(agent, "Who does the work (playbook, claude, codex, …)", "playbook"),
    )


def _print_json(content: dict[str, Any]) -> None:
    print(json.dumps(content, indent=2, ensure_ascii=False, default=str))
