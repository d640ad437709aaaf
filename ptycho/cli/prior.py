"""`ptycho prior make-data | train | evaluate`: the pretrained network, made again by anyone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from ptycho import quiet
from ptycho.cli import console
from ptycho.cli.outputs import check_folder


def register(app: typer.Typer) -> None:
    """Add `prior` and its subcommands to the program."""
    prior = typer.Typer(
        no_args_is_help=True,
        help="The pretrained network behind `refine --prior`: data, training, judgement.",
    )
    prior.command("make-data")(make_data)
    prior.command("train")(train)
    prior.command("evaluate")(evaluate)
    app.add_typer(prior, name="prior")


def make_data(
    folder: Path = typer.Argument(..., help="One file a scan goes here."),
    scans: int = typer.Option(1000, min=1, help="Scans to make; about five in six are solved."),
    seed: int = typer.Option(0, min=0, help="Of all draws."),
    objects: list[Path] = typer.Option(
        [], "--object", help="A result file: specimens are cut from it instead. Repeatable."
    ),
    scheduler: str | None = console.scheduler_option("Scans"),
    json_output: bool = typer.Option(False, "--json", help="One JSON object on stdout."),
) -> None:
    """Simulate scans of ten kinds of specimens and solve each; go on where a run was cut off.

    What is there is kept: the same command again makes what is missing. A scan that the solver did
    not solve leaves a note instead of a file.
    """
    from ptycho.pretraining import make_data as run

    check_folder(folder, str(folder))
    quiet.load_tensorflow()
    with console.progress("make data") as bar:
        facts = run(folder, scans, seed=seed, objects=objects, scheduler=scheduler, progress=bar)
    _tell("training data", {"folder": str(folder), **facts}, json_output)


def train(
    data: list[Path] = typer.Argument(..., help="Folders that make-data filled."),
    output_dir: Path = typer.Option(..., "--output-dir", "-o", help="prior.npz and curves.csv."),
    steps: int = typer.Option(12000, min=1, help="Of the optimiser."),
    seed: int = typer.Option(0, min=0, help="Of the weights and the crops."),
    without: list[str] = typer.Option(
        [], help="Leave out scans with this kind of specimen or of probe. Repeatable."
    ),
    start: str | None = typer.Option(
        None, metavar="auto|FILE", help="Weights to go on from, for data of a kind of your own."
    ),
    width: int | None = typer.Option(
        None, min=1, help="Filters at half size; 32, or those of the weights to go on from."
    ),
    rate: float | None = typer.Option(
        None, help="Of learning, the highest: 1.2e-3, and 2e-4 from weights on."
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

    config = PriorTraining(
        steps=steps, seed=seed, without=tuple(without), start=start, width=width, rate=rate
    )
    check_folder(output_dir, f"--output-dir {output_dir}")
    quiet.load_tensorflow()
    facts = {"commit": commit} if commit else {}
    with console.progress("train prior") as bar:
        record = train_prior(data, output_dir, config, resume=resume, facts=facts, progress=bar)
    _tell("trained", {"prior": str(output_dir / "prior.npz"), **record}, json_output)


def evaluate(
    prior: Path = typer.Argument(..., help="A file of train; auto: the one in the package."),
    output_dir: Path = typer.Option(
        ..., "--output-dir", "-o", help="table.json, and the solved images, which are kept."
    ),
    frames: int = typer.Option(144, min=64, help="Of each scan; a square number."),
    passes: int = typer.Option(60, min=1, help="Of the solver."),
    photons: list[float] = typer.Option([1e3, 1e4], help="A frame. Repeatable."),
    seeds: int = typer.Option(1, min=1, help="Of each case."),
    data: Path | None = typer.Option(
        None, help="The training's folder: judge the scans too that it kept apart."
    ),
    scheduler: str | None = console.scheduler_option("Scans"),
    json_output: bool = typer.Option(False, "--json", help="One JSON object on stdout."),
) -> None:
    """SSIM without and with the prior on test specimens, and whether it invents structure.

    A: astronaut/coffee, R: rocket/moon, T: text/siemens, D: dead leaves/random field (amplitude and
    phase). The image is that of the weight of total variation which held-out counts choose; in
    brackets the best weight by the truth.
    """
    from ptycho.data import write_json
    from ptycho.pretraining import EMPTIED_LIMIT, Judgement, evaluate_prior, judge_apart, samples
    from ptycho.prior import load_prior

    config = Judgement(frames=frames, passes=passes, photons=tuple(photons), seeds=seeds)
    check_folder(output_dir, f"--output-dir {output_dir}")
    quiet.load_tensorflow()
    loaded = load_prior(prior)
    if data is not None:
        next(samples(data))
    with console.progress("evaluate prior") as bar:
        table = evaluate_prior(loaded, output_dir, config, scheduler=scheduler, progress=bar)
    if data is not None:
        table["kept_apart"] = judge_apart(loaded, data)
    write_json(output_dir / "table.json", table)
    if json_output:
        console.print_json(table)
        return
    rows = [
        (
            f"{row['case']}, {row['photons']:.0e} photons, seed {row['seed']}",
            f"{_from_to(row)} ({row['best'][0]:.3f}, {row['best'][1]:.3f})",
        )
        for row in table["cases"]
    ]
    if kept := table.get("kept_apart"):
        names = "plain", "prior", "single"
        means = {name: [_mean(kept, name, part) for part in (0, 1)] for name in names}
        rows.append((f"{len(kept)} scans kept apart, mean", _from_to(means)))
        one = {"plain": means["plain"], "prior": means["single"]}
        rows.append(("the same, one view of each", _from_to(one)))
    rows += [
        (
            f"emptied half, {row['photons']:.0e} photons, seed {row['seed']}",
            f"r.m.s. {row['plain']:.4f} → {row['prior']:.4f} ({row['ratio']:.2f})",
        )
        for row in table["emptied"]
    ]
    worst = max(row["ratio"] for row in table["emptied"])
    verdict = "nothing is invented" if worst <= EMPTIED_LIMIT else "structure is INVENTED"
    rows.append((f"the largest, of {EMPTIED_LIMIT} at most", f"{worst:.2f}: {verdict}"))
    console.print_table("SSIM of amplitude, of phase: total variation → prior", rows)


def _from_to(row: dict[str, Any]) -> str:
    (a, b), (c, d) = row["plain"], row["prior"]
    return f"{a:.3f} → {c:.3f}, {b:.3f} → {d:.3f}"


def _mean(rows: list[dict[str, Any]], name: str, part: int) -> float:
    return sum(row[name][part] for row in rows) / len(rows)


def _tell(title: str, facts: dict[str, Any], json_output: bool) -> None:
    if json_output:
        console.print_json(facts)
    else:
        console.print_facts(title, facts)
