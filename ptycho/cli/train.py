"""`ptycho train SCAN… -o RUN`."""

from __future__ import annotations

from pathlib import Path

import typer

from ptycho import quiet
from ptycho.cli import console
from ptycho.cli.scan_options import Opening, scan_options


def register(app: typer.Typer) -> None:
    """Add `train` to the program."""
    app.command("train")(scan_options(train))


def train(
    scans: list[Path] = typer.Argument(..., metavar="SCAN...", help="One or several scans."),
    output: Path = typer.Option(..., "--output", "-o", help="The run folder, made if missing."),
    config: Path | None = typer.Option(None, "--config", help="YAML with settings."),
    settings: list[str] = typer.Option(
        [], "--set", metavar="KEY=VALUE", help="A setting; overrides the file. Repeatable."
    ),
    gridsize: int | None = typer.Option(
        None, "--gridsize", help="Groups of gridsize² frames; short for --set gridsize=."
    ),
    resume: bool = typer.Option(False, "--resume", help="Go on from the checkpoint in the folder."),
    list_settings: bool = console.settings_option("ptycho.config:TrainConfig"),
    json_output: bool = typer.Option(False, "--json", help="One JSON object on stdout."),
    *,
    opening: Opening,
) -> None:
    """Train a network on the counts of one or several scans; no truth is used.

    Settings: defaults < --config < --set; --list-settings shows them.

    Writes the archive, config.json, history.csv, history.png and
    checkpoint.h5 into the run folder.
    """
    from ptycho.config import TrainConfig, resolve

    own = [] if gridsize is None else [f"gridsize={gridsize}"]
    config_ = resolve(TrainConfig, file=config, overrides=[*settings, *own, *opening.settings()])
    loaded = [opening.open(path, config_.clean) for path in scans]
    for scan in loaded:
        console.print_findings(scan)
    quiet.load_tensorflow()
    from ptycho.training import train as fit

    with console.progress("train") as bar:
        result = fit(loaded, config_, output, progress=bar, resume=resume)
    first, best = result.history[0], result.history[result.best_epoch]
    facts = {
        "run": str(result.run_dir),
        "epochs": len(result.history) - 1,
        "best_epoch": result.best_epoch,
        "held_out_deviance_per_px": best["held_out_deviance_per_px"],
        "held_out_deviance_per_px_before": first["held_out_deviance_per_px"],
        "patterns_per_s": result.history[-1]["patterns_per_s"],
        "collapse_ratio": result.collapse_ratio,
        "seconds": round(result.seconds, 2),
    }
    if json_output:
        console.print_json(facts)
        return
    console.print_table("trained", [(key, _text(value)) for key, value in facts.items()])


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
