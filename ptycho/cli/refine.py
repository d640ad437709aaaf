"""`ptycho refine SCAN [--start OUT.h5] -o OUT2.h5`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand

from ptycho import quiet
from ptycho.cli import console
from ptycho.cli.live import following, live_option
from ptycho.cli.outputs import check_output
from ptycho.cli.scan_options import Opening, scan_options

POSITIONS = ("off", "frames", "shared", "all")
JUDGED_BY = "half-deviance per pixel of held-out counts, less is better"


def register(app: typer.Typer) -> None:
    """Add `refine` to the program."""
    app.command("refine", cls=_Refine)(scan_options(refine))


class _Refine(TyperCommand):
    """`--positions` alone means all of it; it was a flag before it took a word."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The same arguments, with the word that was left out."""
        following = [*args[1:], ""]
        words = [
            "--positions=all" if (this, then in POSITIONS) == ("--positions", False) else this
            for this, then in zip(args, following, strict=True)
        ]
        return super().parse_args(ctx, words)


def refine(
    context: typer.Context,
    scan: Path = typer.Argument(..., help="A scan in any format that `ptycho inspect` reads."),
    output: Path = typer.Option(..., "--output", "-o", help="OUT.h5: object, probe, coverage."),
    start: Path | None = typer.Option(
        None, "--start", help="Begin with this reconstruction instead of an empty object."
    ),
    seconds: float | None = typer.Option(
        None, help="Time budget; the step schedule fits into it (compilation included)."
    ),
    passes: int | None = typer.Option(None, help="Most passes over all frames."),
    modes: str | None = typer.Option(
        None, metavar="INTEGER|auto", help="Incoherent probe modes; auto: held-out counts choose."
    ),
    regularise: str | None = typer.Option(
        None,
        metavar="auto|off|C",
        help="Total variation on the whole scan, in units of the counts' own error; "
        "auto: held-out counts choose.",
    ),
    loss: str | None = typer.Option(
        None, metavar="poisson|amplitude|auto", help="Of the whole-scan passes."
    ),
    prior: str | None = typer.Option(
        None,
        metavar="auto|off|FILE",
        help="The pretrained network (auto: the one in the package; FILE: of `ptycho prior train`) "
        "on the whole-scan image, where held-out counts want it; the plain image is kept beside.",
    ),
    positions: str | None = typer.Option(
        None,
        "--positions",
        metavar="[off|frames|shared|all]",
        help="Correct the scan positions too: each frame's own (frames), what all share (scale, "
        "rotation, shear, drift), or both (all, also without a word).",
    ),
    opr: str | None = typer.Option(
        None,
        metavar="INTEGER|auto",
        help="Eigenprobes, for a probe that varies from frame to frame; auto: held-out counts "
        "choose.",
    ),
    layers: int | None = typer.Option(
        None,
        help="Of a thick specimen, with --set layer_distance_m=…; default: what the scan says.",
    ),
    config: Path | None = typer.Option(None, "--config", help="YAML with settings."),
    settings: list[str] = typer.Option(
        [], "--set", metavar="KEY=VALUE", help="A setting; overrides the file. Repeatable."
    ),
    resume: bool = typer.Option(
        False, "--resume", help="Go on from the checkpoint of a run to OUT.h5 that was cut off."
    ),
    scheduler: str | None = console.scheduler_option("The tiles of a large object"),
    figure: bool = typer.Option(True, help="Write OUT.png beside the file."),
    live: Path | None = live_option(),
    list_settings: bool = console.settings_option("ptycho.refinement.config:RefineConfig"),
    json_output: bool = typer.Option(False, "--json", help="One JSON object on stdout."),
    *,
    opening: Opening,
) -> None:
    """Recover object and probe by gradient refinement, from scratch or from a reconstruction.

    Stops when held-out counts are explained no better, or at the end of
    the budget. With --passes alone the result is the same each time; with
    --seconds alone passes are not limited. --modes auto, --opr auto and
    --set damping=auto try settings on held-out counts first.

    Every minute (--set checkpoint_s=N) the state is written into the
    folder OUT.h5.checkpoint, which is removed with the result. --live DIR
    keeps a page of the image, the probe and the curves current meanwhile.

    With --scheduler workers sum the slopes of the windows of a large object
    (--set tile_px=N), in mini-batches and whole passes; the result is that
    of one process, and a killed worker costs time only (docs/cluster.md).
    """
    from ptycho.config import resolve
    from ptycho.data import load_reconstruction, save_reconstruction
    from ptycho.provenance import versions
    from ptycho.refinement import RefineConfig, clear_checkpoint, require_resume
    from ptycho.report import contents_of, not_yet, of_reconstruction

    flags = _flags(
        seconds=seconds,
        passes=passes,
        modes=modes,
        positions=positions,
        opr=opr,
        regularise=regularise,
        loss=loss,
        prior=prior,
        layers=layers,
    )
    overrides = [*settings, *opening.settings()]
    config_ = resolve(RefineConfig, file=config, flags=flags, overrides=overrides)
    check_output(output, [scan], beside=[".png"] if figure else [])
    checkpoint = output.with_name(f"{output.name}.checkpoint")
    require_resume(checkpoint, resume)
    first = load_reconstruction(start) if start else None
    loaded = opening.open(scan, config_.clean)
    console.print_findings(loaded)
    quiet.load_tensorflow()
    from ptycho.refinement import refine as run

    if resume and not checkpoint.is_dir():
        console.stderr.print(f"{checkpoint}: no checkpoint, the refinement begins anew")
    said = {"scan_path": str(scan.resolve()), **opening.record(), **console.typed(context)}
    name, chosen = str(output), config_.model_dump(mode="json")
    with (
        console.progress(f"refine {scan.name}") as bar,
        following(
            live,
            lambda: not_yet(name, "refine", chosen, said | {"versions": versions()}),
            lambda so_far: of_reconstruction(so_far.with_meta(**said), name),
        ) as page,
    ):
        result = run(
            loaded,
            start=first,
            config=config_,
            progress=page.progress(bar),
            checkpoint=checkpoint,
            resume=resume,
            watch=page.watch,
            scheduler=scheduler,
        )
        rec = result.reconstruction.with_meta(**said)
        save_reconstruction(rec, output)
        page.finish(lambda: contents_of(output))
    clear_checkpoint(checkpoint)
    facts: dict[str, Any] = {"output": str(output), "scan": str(scan)}
    facts |= page.facts
    if figure:
        facts["figure"] = str(_figure(result, loaded, output))
    keys = (
        "forward_model",
        *(key for key in ("layers_told",) if rec.meta.get(key)),
        "stopped_by",
        *(key for key in ("regularise", "loss", "frames_read", "spread") if key in rec.meta),
        "started_from",
        *(key for key in ("taken_from_start", "shared_positions") if rec.meta.get(key)),
        "held_out_deviance",
        "mode_shares",
        *(key for key in ("eigenprobe_shares", "varying_share") if rec.meta.get(key)),
    )
    facts |= {key: rec.meta[key] for key in keys}
    facts |= console.finding_facts(loaded, rec.meta["sanity"])
    if "background_told" in rec.meta:
        facts["background"] = rec.meta["background_told"]["words"]
    if "prior" in rec.meta:
        facts |= _told_of_prior(rec.meta["prior"])
    if "trials" in rec.meta:
        facts |= {key: rec.meta["config"][key] for key in ("modes", "opr", "damping")}
        facts["trials"] = rec.meta["trials"]
    facts |= {
        "residual": result.residual,
        "deviance_per_pixel": result.deviance_per_pixel,
        "seconds": round(result.seconds, 3),
        "iterations": result.iterations,
    }
    if json_output:
        console.print_json(facts)
    else:
        if "images" in facts:
            facts["images"] = [JUDGED_BY, *map(_line_of, facts["images"])]
        console.print_facts("refined", facts)


def _line_of(row: dict[str, Any]) -> str:
    """One image of the gate, and why not, if it is one of the prior that was refused."""
    line = f"{row['image']} {row['held_out_deviance']:.5g}"
    return f"{line}, {row['refused']}" if row.get("refused") else line


def _told_of_prior(gate: dict[str, Any]) -> dict[str, Any]:
    """Which image won, and by how much."""
    if "why" in gate:
        return {"prior": f"not used: {gate['why']}"}
    gain, error = gate["gain"], gate["standard_error"]
    spread = " of one frame, whose error is unknown" if error is None else f" ± {error:.2g}"
    if gain > 0:
        is_so = "over"
    else:
        is_so = "is worse than" if error is not None and gain < -2 * error else "is no better than"
    by = f"{gain:.3g}{spread} per pixel of held-out counts "
    by += f"({gate['gain_of']} {is_so} {gate['gain_over']})"
    rows = [dict(row) for row in gate["candidates"]]
    where = {row["image"]: row.pop("gain_by_quarter") for row in rows}
    told = {"chosen_image": gate["chosen"], "prior_gains": by, "images": rows}
    if doubt := gate.get("doubt"):
        told["prior_doubtful"] = doubt
    won = where[gate["chosen"]]
    if worse := [name for name, gain in won.items() if gain < 0]:
        told["worse_in"] = worse
    return told


def _flags(**values: Any) -> list[str]:
    """Options as settings, so that they win over a file and are checked in one place."""
    if values["seconds"] is not None and values["passes"] is None:
        values["passes"] = 1_000_000  # the clock decides
    return [f"{key}={value}" for key, value in values.items() if value is not None]


def _figure(result: Any, scan: Any, output: Path) -> Path:
    from ptycho.report import refine_figure, save_figure

    return save_figure(refine_figure(result, scan), output.with_suffix(".png"))
