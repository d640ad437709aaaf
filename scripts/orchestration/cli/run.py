"""`orchestrate run`, `supervisor`, `worker`: the commands that make something happen."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import typer

from orchestration.cli.ends import ended_by_signals, mute, tell
from orchestration.config import FILE, load_config, parse_duration
from orchestration.core import ExitReason
from orchestration.documents.grammar import printable
from orchestration.engine import Engine, Summary
from orchestration.errors import HarnessError
from orchestration.git import Repo
from orchestration.harness import Harness, RandomIds
from orchestration.setup import open_harness

REPO = typer.Option(Path("."), "--repo", "-C", help="The repository.")
JSON = typer.Option(False, "--json", help="One JSON object on stdout.")
AGENT = typer.Option(None, "--agent", help="Who works: playbook (default), custom, …")

SUPERVISOR = typer.Option(
    None, "--supervisor-agent", help="Who writes the orders: built-in (default), custom, …"
)


REVIEWER = typer.Option(
    None, "--reviewer-agent", help="Who reviews before a person: claude, codex, custom, …"
)


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command("run")(run)
    app.command("supervisor")(supervisor)
    app.command("worker")(worker)


def voice() -> Callable[[str], None]:
    """A function that prints progress lines with seconds since the start on stderr."""
    from rich.console import Console

    class Lasting(Console):
        """Goes quiet where its reader is gone, in place of ending the program."""

        def on_broken_pipe(self) -> None:
            self.quiet = True
            mute(sys.stderr.fileno())

    console = Lasting(stderr=True, highlight=False, soft_wrap=True)
    started = time.monotonic()

    def say(text: str) -> None:
        try:
            console.print(f"[dim]{time.monotonic() - started:7.1f} s[/dim] ", end="")
            console.print(printable(text), markup=False)
        except OSError:  # a terminal that is gone
            console.on_broken_pipe()

    return say


def run(
    cycles: int | None = typer.Option(
        None,
        "--cycles",
        min=1,
        help="End after so many finished cycles; one that an earlier run left open counts as one. "
        "A killed run is continued with its count.",
    ),
    agent: str | None = AGENT,
    supervisor_agent: str | None = SUPERVISOR,
    reviewer_agent: str | None = REVIEWER,
    wait: str | None = typer.Option(None, "--wait", help="Poll waiting items so long: 90s, 30m."),
    push: bool = typer.Option(
        False, "--push", help="Push branch, results and log to the upstream at the end, unforced."
    ),
    commit: bool = typer.Option(
        False, "--commit", help="First commit your ledger and orchestration.yaml, and only these."
    ),
    dry_run: bool = typer.Option(False, "--dry-run", help="Print the next decision and stop."),
    path: Path = REPO,
    json_output: bool = JSON,
) -> None:
    """Work through the ledger until nothing is left to do; the exit code is the reason's."""
    if commit:
        commit_settings(path)
    harness = open_harness(
        path,
        agent=agent,
        supervisor=supervisor_agent,
        reviewer=reviewer_agent,
        cycles=cycles,
        say=voice(),
        watched=not dry_run,
    )
    wait_s = parse_duration(wait, "--wait") if wait else 0.0
    engine = Engine(harness, RandomIds().run_id, wait_s=wait_s, push=push, report=write_report)
    preflight(harness, agent, supervisor_agent)
    if dry_run:
        _preview(engine, json_output)
        return
    with ended_by_signals():
        summary = engine.run()
    if json_output:
        tell(json.dumps(summary.to_dict(), ensure_ascii=False))
    else:
        tell(render(summary))
    raise typer.Exit(summary.exit_code)


def commit_settings(path: Path) -> None:
    """Commit the ledger and the settings as they lie in the checkout, where they differ."""
    repo = Repo(path)
    names = [name for name in (load_config(repo.root).ledger, FILE) if (repo.root / name).exists()]
    told = repo.run("status", "--porcelain", "-z", "--", *names, cwd=repo.root).stdout
    if told:
        asked = repo.run("config", "--get", "--type=bool", "core.sparseCheckout", check=False)
        sparse = ["--sparse"] if asked.stdout.strip() == b"true" else []  # git 2.34 and newer
        repo.run("add", *sparse, "--", *names, cwd=repo.root)
        repo.run("commit", "--quiet", "-m", "Ledger and settings", "--", *names, cwd=repo.root)


def preflight(harness: Harness, agent: str | None, supervisor_agent: str | None) -> None:
    """Ask `doctor` before anything is spent; raises HarnessError for what a run cannot do without.

    Warnings are said and stop nothing.
    """
    from orchestration.setup import examine

    checks = examine(harness.repo.root, agent=agent, supervisor=supervisor_agent, ask=False)
    for check in checks:
        if check.state == "warn":
            harness.say(f"warning: {check.name}: {check.found}")
    failed = [check for check in checks if check.state == "fail"]
    if failed:
        raise HarnessError(
            "this repository is not ready for a run: " + failed[0].name,
            where=harness.repo.root,
            got="; ".join(f"{check.name}: {check.found}" for check in failed),
            fix="; ".join(check.fix for check in failed if check.fix) or "orchestrate doctor",
        )


def render(summary: Summary) -> str:
    """The end of a run in a few lines."""
    rows = [
        ("reason", f"{summary.reason} ({summary.exit_code}): {summary.text}"),
        ("cycles", str(summary.cycles)),
        *[
            (name, ", ".join(getattr(summary, name)) or "none")
            for name in ("landed", "rejected", "waiting", "blocked")
        ],
        ("report", summary.report or "none"),
    ]
    return "\n".join(f"{name:9} {text}" for name, text in rows)


def _preview(engine: Engine, json_output: bool) -> None:
    decision = engine.preview()
    if json_output:
        ends = decision.exit.name if decision.exit else None
        facts = {**vars(decision), "evidence": decision.evidence.to_json(), "exit": ends}
        print(json.dumps(facts, ensure_ascii=False))
        return
    reason = f" -> {decision.exit.name}" if decision.exit else ""
    print(f"{decision.action} {decision.item or ''}{reason}: {decision.reason}")
    for row in decision.evidence.items:
        print(f"  {row.id}: {'runnable' if row.runnable else row.why_not}")


def write_report(harness: Harness) -> str | None:
    """Write the pages of `orchestrate report`; one that cannot be written ends no run."""
    from orchestration.views import load, report_path, write_pages

    page = report_path(harness.repo.state_dir)
    try:
        write_pages(load(harness.repo.root), page)
    except Exception as problem:  # whatever a turn left must not end the run that shows it
        harness.say(f"no report: {type(problem).__name__}: {problem}")
        return None
    return str(page)


def supervisor(
    role: str | None = typer.Option(None, "--role", help="galph or supervisor; both mean this."),
    agent: str | None = AGENT,
    supervisor_agent: str | None = SUPERVISOR,
    path: Path = REPO,
    json_output: bool = JSON,
) -> None:
    """One supervisor turn: decide, and write the order (it is logged, and printed here)."""
    _role(role, ("galph", "supervisor"))
    harness = open_harness(path, agent=agent, supervisor=supervisor_agent, say=voice())
    preflight(harness, agent, supervisor_agent)
    engine = Engine(harness, RandomIds().run_id)
    with ended_by_signals():
        ended = engine.run_supervisor()
    opened = harness.state.open
    order = opened.facts.get("order") if opened else None
    if json_output:
        print(json.dumps({"order": order, "ended": list(ended) if ended else None}))
    elif order:
        print(order["text"], end="")
    elif ended:
        print(f"no order: {ended[0]}: {ended[1]}")
    raise typer.Exit(ExitReason[ended[0]].code if ended else 0)


def worker(
    role: str | None = typer.Option(None, "--role", help="ralph or worker; both mean this."),
    agent: str | None = AGENT,
    path: Path = REPO,
    json_output: bool = JSON,
) -> None:
    """One worker turn: carry out the open order, verify, land or keep."""
    _role(role, ("ralph", "worker"))
    harness = open_harness(path, agent=agent, say=voice())
    preflight(harness, agent, None)
    engine = Engine(harness, RandomIds().run_id, report=write_report)
    with ended_by_signals():
        outcome = engine.run_worker()
    if json_output:
        print(json.dumps(outcome))
    else:
        print(f"{outcome['item']}: {outcome['verdict']} - {outcome['reason']}")
    raise typer.Exit(0 if outcome["verdict"] == "land" else ExitReason.CHECKS_RED.code)


def _role(given: str | None, accepted: tuple[str, ...]) -> None:
    if given is not None and given not in accepted:
        raise HarnessError(
            "this command has another role",
            expected=" or ".join(accepted),
            got=given,
            fix="orchestrate supervisor --role galph, or orchestrate worker --role ralph",
        )
