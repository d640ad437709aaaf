"""`orchestrate steer`, `approve`, `pause`, `resume`, `reopen`, `revert`: a person's word.

Messages go to the inbox and reach a running harness at its next boundary, exactly once.
"""

from __future__ import annotations

import json
from pathlib import Path

import typer

from orchestration.core import payloads
from orchestration.documents.ledger import parse_ledger
from orchestration.engine import Engine
from orchestration.errors import HarnessError
from orchestration.git import Repo
from orchestration.harness import RandomIds
from orchestration.log import inbox
from orchestration.setup import open_harness

REPO = typer.Option(Path("."), "--repo", "-C", help="The repository.")
JSON = typer.Option(False, "--json", help="One JSON object on stdout.")


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command("steer")(steer)
    app.command("approve")(approve)
    app.command("pause")(pause)
    app.command("resume")(resume)
    app.command("reopen")(reopen)
    app.command("revert")(revert)


def steer(
    text: str = typer.Argument(..., help="What the next worker must obey first."),
    path: Path = REPO,
    json_output: bool = JSON,
) -> None:
    """Give an instruction; it is delivered once, with the next dispatched order."""
    if not text.strip():
        raise HarnessError("an instruction has words", got=repr(text))
    _post(path, payloads.Steered(text=text.strip()), None, json_output)


def approve(
    item: str = typer.Argument(..., help="The item."),
    paths: list[str] = typer.Argument(..., help="Protected paths or globs it may now touch."),
    path: Path = REPO,
    json_output: bool = JSON,
) -> None:
    """Allow an item to touch protected paths; blocked without them, it is open again."""
    _known(path, item)
    _post(path, payloads.Approved(paths=tuple(paths)), item, json_output)


def pause(
    reason: str = typer.Argument("paused by a person", help="Why; status shows it."),
    path: Path = REPO,
    json_output: bool = JSON,
) -> None:
    """Stop a run at its next boundary, and let none start until `resume`."""
    _post(path, payloads.Paused(reason=reason), None, json_output)


def resume(path: Path = REPO, json_output: bool = JSON) -> None:
    """Lift a pause, or the stop after TAMPER once a person has looked."""
    _post(path, payloads.Resumed(), None, json_output)


def reopen(
    item: str = typer.Argument(..., help="The item."),
    reason: str = typer.Option(..., "--reason", help="What has changed."),
    path: Path = REPO,
    json_output: bool = JSON,
) -> None:
    """Set a blocked or done item back to open; its dwell and failures start afresh."""
    _known(path, item)
    _post(path, payloads.Reopened(mark=reason), item, json_output)


def revert(
    turn: int = typer.Argument(..., min=0, help="The turn whose landing is taken back."),
    path: Path = REPO,
    json_output: bool = JSON,
) -> None:
    """Take a landing back with a new commit (history stays), and reopen its item."""
    harness = open_harness(path)
    result = Engine(harness, RandomIds().run_id).revert(turn)
    if json_output:
        print(json.dumps(result))
    else:
        print(f"reverted turn {turn} of {result['item']} as {result['commit'][:12]}")


def _known(path: Path, item: str) -> None:
    """Refuse an item that the ledger does not have."""
    harness = open_harness(path)
    text, _ = harness.ledger_at(harness.tip().sha)
    names = [known.id for known in parse_ledger(text, harness.config.ledger).items]
    if item not in names:
        raise HarnessError(
            "no such item in the ledger",
            where=harness.config.ledger,
            expected=", ".join(names) or "no items",
            got=item,
        )


def _post(path: Path, said: payloads.Said, item: str | None, json_output: bool) -> None:
    name = inbox.post(Repo(path).state_dir, said, item)
    if json_output:
        print(json.dumps({"id": name, "kind": said.KIND, "item": item}))
    else:
        print(f"{said.KIND}: noted, taken at the next boundary of a run")
