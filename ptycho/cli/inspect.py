"""`ptycho inspect`: what a scan file holds, and what looks wrong with it."""

from __future__ import annotations

from pathlib import Path

import typer

from ptycho.cli import console
from ptycho.cli.scan_options import Opening, scan_options


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(scan_options(inspect))


def inspect(
    file: Path = typer.Argument(..., help="A scan file."),
    figure: Path | None = typer.Option(None, help="Write a picture of the scan to this PNG."),
    json_output: bool = typer.Option(False, "--json", help="One JSON object on stdout."),
    *,
    opening: Opening,
) -> None:
    """Show shapes, units, photons, overlap, coverage, memory for training, and warnings."""
    from ptycho.cli.outputs import check_figure
    from ptycho.data import ACCEPTABLE
    from ptycho.evaluation import inspect_scan

    check_figure(figure, [file])
    scan = opening.open(file, accept=ACCEPTABLE)
    facts = {"path": str(file), **inspect_scan(scan)}
    if figure is not None:
        from ptycho.report import scan_figure

        facts["figure"] = str(scan_figure(scan, figure))
    if json_output:
        console.print_json(facts)
        return
    rows = [
        (name.replace("_", " "), _words(value))
        for name, value in facts.items()
        if name not in ("warnings", "findings")
    ]
    kind = f"{facts['layout']}, {scan.n_frames} frames of {scan.N} × {scan.N} pixels"
    console.print_table(f"{scan.name}: {kind}", rows)
    for warning in facts["warnings"]:
        console.stderr.print(f"warning: {warning}", markup=False, soft_wrap=True)


def _words(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return "; ".join(f"{key} in {_words(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_words(item) for item in value)
    return "unknown" if value is None else str(value)
