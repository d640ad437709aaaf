"""`ptycho prior make-data | train`: the pretrained network, made again by anyone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from ptycho import quiet
from ptycho.cli import console


def register(app: typer.Typer) -> None:
    """Add `prior` and its subcommands to the program."""
    prior = typer.Typer(
        no_args_is_help=True,
        help="The pretrained network behind `refine --prior`: its data, its training.",
    )
    prior.command("make-data")(make_data)
    prior.command("train")(train)
    app.add_typer(prior, name="prior")


def make_data(
    folder: Path = typer.Argument(..., help="One file a scan goes here."),
    scans: int = typer.Option(1000, min=1, help="Scans to make; about one in two is solved."),
    seed: int = typer.Option(0, min=0, help="Of all draws."),
    scheduler: str | None = typer.Option(None, help="Dask scheduler, tcp://host:port."),
    json_output: bool = typer.Option(False, "--json", help="One JSON object on stdout."),
) -> None:
    """Simulate scans of ten kinds of specimens and solve each; go on where a run was cut off.

    What is there is kept: the same command again makes what is missing. A scan that the solver did
    not solve leaves a note instead of a file.
    """
    from ptycho.pretraining import make_data as run

    quiet.load_tensorflow()
    with console.progress("make data") as bar:
        facts = run(folder, scans, seed=seed, scheduler=scheduler, progress=bar)
    _tell("training data", {"folder": str(folder), **facts}, json_output)


def train(
    data: Path = typer.Argument(..., help="The folder that make-data filled."),
    output_dir: Path = typer.Option(..., "--output-dir", "-o", help="prior.npz and curves.csv."),
    steps: int = typer.Option(12000, min=1, help="Of the optimiser."),
    seed: int = typer.Option(0, min=0, help="Of the weights and the crops."),
    without: list[str] = typer.Option(
        [], help="Leave out scans with this kind of specimen. Repeatable."
    ),
    commit: str | None = typer.Option(None, help="Of the code, for the record in the file."),
    resume: bool = typer.Option(False, "--resume", help="Go on with a training that was cut off."),
    json_output: bool = typer.Option(False, "--json", help="One JSON object on stdout."),
) -> None:
    """Train the network on solved scans. Use it: `ptycho refine SCAN --prior DIR/prior.npz`.

    With the same data and seed a run that was cut off and goes on gives the weights of one that
    was not.
    """
    from ptycho.pretraining import PriorTraining, train_prior

    config = PriorTraining(steps=steps, seed=seed, without=tuple(without))
    quiet.load_tensorflow()
    facts = {"commit": commit} if commit else {}
    with console.progress("train prior") as bar:
        record = train_prior(data, output_dir, config, resume=resume, facts=facts, progress=bar)
    _tell("trained", {"prior": str(output_dir / "prior.npz"), **record}, json_output)


def _tell(title: str, facts: dict[str, Any], json_output: bool) -> None:
    if json_output:
        console.print_json(facts)
    else:
        console.print_table(title, [(key, str(value)) for key, value in facts.items()])
