"""What every command shares: progress on stderr, results on stdout."""

from __future__ import annotations

import importlib
import json
import os
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

ProgressFunction = Callable[[int, int, dict[str, Any]], None]

stderr = Console(stderr=True)
stdout = Console()


@contextmanager
def progress(description: str) -> Iterator[ProgressFunction]:
    """A bar on stderr as a function `(done, total, info)`; `info` is shown as `key value` pairs.

    Where stderr is no terminal (a log file, CI) a line is printed at each tenth instead.
    """
    if stderr.is_terminal:
        columns = [
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("left"),
        ]
        with _TwoLines(*columns, console=stderr) as bar:
            task = bar.add_task(description, total=None, info="")
            yield lambda done, total, info: bar.update(
                task, completed=done, total=total, info=_words(info)
            )
    else:
        yield _LinePrinter(description)


class _TwoLines(Progress):
    """The numbers under the bar: beside it they would be cut off at 80 columns."""

    def get_renderables(self) -> Iterator[RenderableType]:
        """The bar, then its numbers."""
        for task in self.tasks:
            yield self.make_tasks_table([task])
            yield Text(task.fields["info"], style="dim", overflow="fold")


class _LinePrinter:
    def __init__(self, description: str) -> None:
        self.description, self.tenth = description, -1
        self.begun = time.monotonic()

    def __call__(self, done: int, total: int, info: dict[str, Any]) -> None:
        tenth = 10 * done // max(total, 1)
        if tenth != self.tenth:
            self.tenth = tenth
            left = (time.monotonic() - self.begun) * (total - done) / max(done, 1)
            ending = {"left": f"{left:.0f} s"} if 0 < done < total else {}
            print(
                f"{self.description} {done}/{total} {_words(info | ending)}".rstrip(),
                file=stderr.file,
                flush=True,
            )


def _words(info: dict[str, Any]) -> str:
    return "  ".join(
        f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in info.items()
    )


def print_json(result: dict[str, Any]) -> None:
    """Exactly one JSON object on stdout; non-finite numbers become null, as JSON demands."""
    print(json.dumps(_finite(result), indent=2, default=str))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if hasattr(value, "tolist"):  # NumPy scalars and arrays
        return _finite(value.tolist())
    if isinstance(value, float) and (value != value or value in (float("inf"), -float("inf"))):
        return None
    return value


def print_findings(scan: Any) -> None:
    """What the reader says of the file, and what a look at the frames found, a line each."""
    found = [] if scan.sanity is None else scan.sanity.sentences()
    for sentence in [*scan.metadata.get("notes", ()), *found]:
        stderr.print(f"{scan.name}: {sentence}", markup=False, highlight=False, soft_wrap=True)


def finding_facts(scan: Any, record: dict[str, Any] | None) -> dict[str, Any]:
    """The same as facts of a result, with what the work itself found; empty for nothing.

    Args:
        scan: as it was opened.
        record: `sanity` of the result's meta.
    """
    found = record["findings"] if record else []
    warnings = [*scan.metadata.get("notes", ()), *(finding["sentence"] for finding in found)]
    facts: dict[str, Any] = {"warnings": warnings} if warnings else {}
    return facts | ({"frames_left_out": record["left_out"]} if record and found else {})


def print_table(title: str, rows: list[tuple[str, str]]) -> None:
    """A two-column table on stdout."""
    table = Table(
        title=escape(title), title_justify="left", show_header=False, box=None, pad_edge=False
    )
    table.add_column(style="bold")
    table.add_column()
    for name, value in rows:
        table.add_row(escape(name), escape(value))
    stdout.print(table)


def print_facts(title: str, facts: dict[str, Any]) -> None:
    """The facts of `--json` as a table for a person: words for keys, a line for each sentence."""
    print_table(title, [(key.replace("_", " "), _text(value)) for key, value in facts.items()])


def _text(value: Any) -> str:
    if value is None or value == [] or value == ():
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        numbers = all(isinstance(item, int | float) for item in value)
        return (", " if numbers else "\n").join(map(_text, value))
    if isinstance(value, dict):
        return ", ".join(f"{key.replace('_', ' ')} {_text(item)}" for key, item in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def typed(context: typer.Context) -> dict[str, str]:
    """The command line of this process and its folder, to be noted in a result; else nothing."""
    if context.obj is None:
        return {}
    return {"command": shlex.join(["ptycho", *context.obj]), "folder": os.getcwd()}


def scheduler_option(what: str) -> Any:
    """The option `--scheduler`: where `what` is worked on (`ptycho.cluster`)."""
    return typer.Option(
        None,
        "--scheduler",
        metavar="ADDRESS|local",
        help=f"{what} on the workers of a Dask scheduler at tcp://host:port, which must see the "
        "same files; local: on worker processes of this machine.",
    )


def settings_option(kind: str) -> Any:
    """The option `--list-settings`: print every setting of a configuration class and stop.

    Args:
        kind: `module:class`, imported only when asked for.
    """

    def show(wanted: bool) -> None:
        if not wanted:
            return
        from ptycho.config import describe

        module, _, name = kind.partition(":")
        rows = describe(getattr(importlib.import_module(module), name))
        table = Table(box=None, pad_edge=False)
        for column in ("setting", "default", "meaning"):
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(
                *(escape(w) for w in (row["key"], json.dumps(row["default"]), row["meaning"]))
            )
        stdout.print(table)
        raise typer.Exit

    return typer.Option(
        False,
        "--list-settings",
        is_eager=True,
        callback=show,
        expose_value=True,
        help="Print all settings with their defaults, and stop.",
    )
