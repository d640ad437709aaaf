"""`ptycho study dose`: dose against loss on one object."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from ptycho import quiet
from ptycho.cli import console
from ptycho.config import validated
from ptycho.errors import PtychoError, UsageError


def register(app: typer.Typer) -> None:
    """Add `study` and its subcommands to the program."""
    studies = typer.Typer(no_args_is_help=True, help="Studies: many arms, one table, one page.")
    studies.command("dose")(dose)
    app.add_typer(studies, name="study")


def dose(
    output_dir: Path = typer.Option(..., "--output-dir", "-o", help="Everything goes here."),
    nepochs: int = typer.Option(20, min=1, help="Epochs of each arm."),
    n_train: int = typer.Option(1024, min=16, help="Frames of the training scan."),
    n_test: int = typer.Option(256, min=16, help="Frames of the test scan."),
    size: int = typer.Option(64, "--N", help="Frame side in pixels: 64 or 128."),
    gridsize: int = typer.Option(2, help="1 or 2: groups of gridsize² frames."),
    seeds: int = typer.Option(3, min=1, help="Seeds of the ladder (error bars)."),
    ladder: str = typer.Option(
        "auto", help="Photons of the ladder, comma-separated; 'auto' or 'none'."
    ),
    skip_training: bool = typer.Option(
        False, "--skip-training", help="Only make the report from finished arms."
    ),
    resume: bool = typer.Option(False, "--resume", help="Skip arms that are finished."),
    scheduler: str | None = console.scheduler_option("Arms"),
    verbose: bool = typer.Option(False, "--verbose", help="Name each arm as it ends."),
    json_output: bool = typer.Option(False, "--json", help="One JSON object on stdout."),
) -> None:
    """Two doses × two losses on one object, and a dose ladder with error bars.

    Writes dose_comparison.png, dose_ladder.png, metrics.csv, study.json and index.html.
    """
    from ptycho.studies import DoseStudyConfig, dose_arms, run_dose_study

    config = validated(
        DoseStudyConfig,
        N=size,
        gridsize=gridsize,
        n_train=n_train,
        n_test=n_test,
        nepochs=nepochs,
        seeds=tuple(range(seeds)),
        ladder=_ladder(ladder),
    )
    if not skip_training:
        quiet.load_tensorflow()
    with console.progress("dose study") as bar:

        def show(done: int, total: int, info: dict[str, object]) -> None:
            bar(done, total, info)
            if verbose:
                console.stderr.print(f"finished {info['arm']} ({done} of {total})", markup=False)

        bar(0, len(dose_arms(config)), {})
        study = run_dose_study(
            config,
            output_dir,
            resume=resume,
            skip_training=skip_training,
            scheduler=scheduler,
            progress=show,
        )
    _tell(study, output_dir, json_output)


def _tell(study: dict[str, Any], output_dir: Path, json_output: bool) -> None:
    """The arms, or one JSON object; then an error that names the arms that failed."""
    from ptycho.studies import require_success

    if json_output:
        console.print_json(study)
    else:
        rows = [
            (
                row["name"],
                f"amplitude SSIM {row['amplitude_ssim']:.3f}, phase SSIM "
                f"{row['phase_ssim']:.3f}, {row['seconds']:.0f} s",
            )
            for row in study["arms"]
        ]
        console.print_table("Dose study", rows)
        print(output_dir / "index.html")
    try:
        require_success(study)
    except PtychoError as error:
        if not json_output:
            raise
        console.stderr.print(f"ptycho: {error}", markup=False, highlight=False)
        raise typer.Exit(error.exit_code) from None


def _ladder(text: str) -> tuple[float, ...] | None:
    if text == "auto":
        return None
    if text == "none":
        return ()
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(
            "a dose is not a number",
            where="--ladder",
            expected="for example 1e3,1e5,1e9",
            got=text,
            fix="--ladder 1e3,1e5,1e7,1e9",
        ) from error
