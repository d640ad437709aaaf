"""`ptycho train SCAN… -o RUN`."""

from __future__ import annotations

from pathlib import Path

import typer

from ptycho import quiet
from ptycho.cli import console
from ptycho.cli.live import following, live_option
from ptycho.cli.own_prior import Asked, require_alone, tune_prior
from ptycho.cli.scan_options import Opening, scan_options
from ptycho.errors import UsageError


def register(app: typer.Typer) -> None:
    """Add `train` to the program."""
    app.command("train")(scan_options(train))


def train(
    context: typer.Context,
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
    live: Path | None = live_option(),
    prior: str | None = typer.Option(
        None,
        "--prior",
        metavar="auto|FILE",
        help="Instead of a network, tune a prior for `refine --prior` from these weights on.",
    ),
    prior_scans: int | None = typer.Option(
        None, min=2, help="With --prior: scans to simulate of the objects; 200 unless said."
    ),
    prior_steps: int | None = typer.Option(
        None, min=1, help="With --prior: steps of the optimiser; 2000 unless said."
    ),
    list_settings: bool = console.settings_option("ptycho.config:TrainConfig"),
    json_output: bool = typer.Option(False, "--json", help="One JSON object on stdout."),
    *,
    opening: Opening,
) -> None:
    """Train a network on the counts of one or several scans; no truth is used.

    Settings: defaults < --config < --set; --list-settings shows them.

    Writes the archive, config.json, history.csv, history.png and
    checkpoint.h5 into the run folder.

    With --prior each SCAN is a scan or a result: scans are simulated of
    their objects (a truth, or refined first), and the prior's weights are
    tuned on them: prior.npz, curves.csv, objects/ and data/.
    """
    _require_different(scans)
    asked = Asked(prior, prior_scans, prior_steps, resume)
    require_alone(asked, config=config, set=settings, gridsize=gridsize, live=live)
    if prior is not None:
        return tune_prior(scans, output, asked, opening, json_output=json_output)
    from ptycho.config import TrainConfig, resolve
    from ptycho.provenance import versions
    from ptycho.report import contents_of, not_yet, of_training

    own = [] if gridsize is None else [f"gridsize={gridsize}"]
    overrides = [*settings, *opening.settings()]
    config_ = resolve(TrainConfig, file=config, flags=own, overrides=overrides)
    loaded = [opening.open(path, config_.clean) for path in scans]
    for scan in loaded:
        console.print_findings(scan)
    quiet.load_tensorflow()
    from ptycho.training import train as fit

    name, chosen = str(output), config_.model_dump(mode="json")
    typed = console.typed(context)
    told = {"scans": [str(path.resolve()) for path in scans], **typed}
    now = told | {"versions": versions()}
    looked = {s.name: s.sanity.record() for s in loaded if s.sanity is not None}
    with (
        console.progress("train") as bar,
        following(
            live,
            lambda: not_yet(name, "training", chosen, now),
            lambda rows: of_training(name, rows, chosen, sanity=looked, made=now),
        ) as page,
    ):
        result = fit(
            loaded,
            config_,
            output,
            progress=page.progress(bar),
            resume=resume,
            watch=page.watch,
            made=told,
        )
        page.finish(lambda: contents_of(output))
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
    facts |= page.facts
    if json_output:
        console.print_json(facts)
        return
    console.print_facts("trained", facts)


def _require_different(paths: list[Path]) -> None:
    """Frames that one copy of a scan holds out would be trained on in the other."""
    seen: set[Path] = set()
    for path in paths:
        if (place := path.resolve()) in seen:
            raise UsageError(
                "a scan is given twice",
                where=path,
                expected="each scan once: its held-out frames would be trained on in the other",
                got=f"{len(paths)} scans, {len({each.resolve() for each in paths})} files",
                fix=f"leave one {path.name} out",
            )
        seen.add(place)
