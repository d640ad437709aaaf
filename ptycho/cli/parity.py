"""`ptycho parity RUN SCAN --backends tensorflow,torch -o DIR`: do the backends agree?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from ptycho.cli import console


def register(app: typer.Typer) -> None:
    """Add `parity` to the program."""
    app.command("parity")(parity)


def parity(
    run: Path = typer.Argument(..., metavar="RUN", help="A run folder: its weights are used."),
    scan: Path = typer.Argument(..., metavar="SCAN", help="Frames of the size of the run."),
    output: Path = typer.Option(..., "--output", "-o", metavar="DIR", help="All goes here."),
    backends: str = typer.Option(
        "tensorflow,torch", help="Two or three of tensorflow,torch,jax; the first is the reference."
    ),
    groups: int = typer.Option(4, min=1, help="Groups of frames, evenly over the scan."),
    measurement: str | None = typer.Option(
        None, help="counts, amplitude or intensity, where the file does not say."
    ),
    json_output: bool = typer.Option(False, "--json", help="One JSON object on stdout."),
) -> None:
    """The same weights and frames through each backend, each in its own process, tap by tap.

    Exit code 1 when a tap differs by more than its tolerance; the first such tap is named.
    """
    from ptycho.data import open_scan
    from ptycho.studies.parity import checked, run_parity

    names = checked(backends.split(","))
    frames = open_scan(scan, measurement=measurement)  # type: ignore[arg-type]
    with console.progress("parity") as bar:
        stats = run_parity(run, frames, output, names, groups=groups, progress=bar)
    if json_output:
        console.print_json(stats)
    else:
        _show(stats, output)
    first = stats["first_divergent"]
    if first is not None:
        console.stderr.print(
            f"ptycho: {first['backend']} and {first['reference']} part at the tap "
            f"{first['tap']}: relative difference {first['max_relative_difference']:.3g}, "
            f"allowed {first['tolerance']:g}",
            markup=False,
            highlight=False,
        )
        raise typer.Exit(1)


def _show(stats: dict[str, Any], output: Path) -> None:
    reference = stats["reference"]
    rows = []
    for name, tap in stats["taps"].items():
        words = [
            f"{other} {entry['max_relative_difference']:.1e}"
            + ("" if entry["within_tolerance"] else " DIVERGES")
            for other, entry in tap["backends"].items()
            if other != reference
        ]
        rows.append((name, f"{'  '.join(words)}   (tolerance {tap['tolerance']:g})"))
    console.print_table(f"relative difference from {reference}", rows)
    print(output / "stats.json")
