"""`orchestrate held-out add|list|remove`: tests that judge an item and that no agent sees."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from orchestration.documents.ledger import Item
from orchestration.errors import HarnessError
from orchestration.harness import Harness
from orchestration.setup import open_harness
from orchestration.turns import held_out

REPO = typer.Option(Path("."), "--repo", "-C", help="The repository.")
JSON = typer.Option(False, "--json", help="One JSON object on stdout.")

commands = typer.Typer(no_args_is_help=True, help="Tests that judge an item and no agent sees.")


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.add_typer(commands, name="held-out")


@commands.command("add")
def add(
    item: str = typer.Argument(..., help="The item."),
    file: Path = typer.Argument(..., help="A test file, or data that the tests read."),
    place: str = typer.Option("", "--as", help="Its path in the checkout (tests/NAME)."),
    path: Path = REPO,
    json_output: bool = JSON,
) -> None:
    """Copy a file out of the repository's reach; it is laid over attempts for the verdict only."""
    harness = open_harness(path)
    known = _item(harness, item)
    goal = place or f"tests/{file.name}"
    name = held_out.add(harness, known, file, goal)
    hint = "" if known.held_out else f"write into the item: - Held-out: {name}"
    _told({"item": item, "name": name, "file": goal, "next": hint}, json_output)


@commands.command("list")
def list_files(path: Path = REPO, json_output: bool = JSON) -> None:
    """The held-out guards of the items."""
    harness = open_harness(path)
    _, ledger = harness.ledger_at(harness.tip().sha)
    found = [(item, held_out.files_of(harness, held_out.name_of(item))) for item in ledger.items]
    found = [(item, files) for item, files in found if files or item.held_out]
    if json_output:
        rows = [
            {"item": i.id, "name": held_out.name_of(i), "named": bool(i.held_out), "files": files}
            for i, files in found
        ]
        print(json.dumps({"held_out": rows, "folder": str(held_out.folder_of(harness))}))
        return
    print(f"in {held_out.folder_of(harness)}" if found else "no item has a held-out guard")
    for item, files in found:
        name = held_out.name_of(item)
        print(f"{item.id}: {name}: {', '.join(files) or 'no file on this machine'}")
        if not item.held_out:
            print(f"  not used: write into the item: - Held-out: {name}")


@commands.command("remove")
def remove(
    item: str = typer.Argument(..., help="The item."),
    place: str = typer.Argument(..., help="The file, as `list` names it."),
    path: Path = REPO,
    json_output: bool = JSON,
) -> None:
    """Delete a held-out file."""
    harness = open_harness(path)
    held_out.remove(harness, _item(harness, item), place)
    _told({"item": item, "file": place, "removed": True}, json_output)


def _item(harness: Harness, name: str) -> Item:
    _, ledger = harness.ledger_at(harness.tip().sha)
    found = ledger.item(name)
    if found is None:
        known = ", ".join(item.id for item in ledger.items)
        raise HarnessError("no such item in the ledger", expected=known or "no items", got=name)
    return found


def _told(row: dict[str, object], json_output: bool) -> None:
    if json_output:
        print(json.dumps(row))
        return
    print("  ".join(str(value) for value in row.values() if value))
