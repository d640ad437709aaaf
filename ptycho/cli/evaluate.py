"""`ptycho evaluate OUT.h5 --truth SCAN_OR_FILE | --against OTHER.h5 | --half-sets`."""

from __future__ import annotations

from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ptycho import quiet
from ptycho.cli import console

if TYPE_CHECKING:
    from ptycho.evaluation.metrics import Comparison
    from ptycho.result import Reconstruction
    from ptycho.scan import Scan


def register(app: typer.Typer) -> None:
    """Add `evaluate` to the program."""
    app.command("evaluate")(evaluate)


def evaluate(
    reconstruction: Path = typer.Argument(..., metavar="OUT.h5", help="What is to be judged."),
    truth: Path | None = typer.Option(
        None, "--truth", help="A simulated scan that carries its truth, or a reconstruction file."
    ),
    against: Path | None = typer.Option(
        None, "--against", help="Another reconstruction of the same scan."
    ),
    half_sets: bool = typer.Option(
        False,
        "--half-sets",
        help="Refine two halves of the scan from scratch and correlate them; with the settings "
        "of OUT.h5 if that is a refinement, else with the defaults.",
    ),
    scan: Path | None = typer.Option(
        None, "--scan", help="For --half-sets: the scan, if it is no longer where it was."
    ),
    measurement: str | None = typer.Option(
        None, help="What the scan's numbers are, if it does not say: counts, amplitude, intensity."
    ),
    split: str = typer.Option(
        "frames", help="For --half-sets: even and odd 'frames', or halved 'counts'."
    ),
    seconds: float | None = typer.Option(None, help="For --half-sets: time for each half."),
    min_coverage: float = typer.Option(
        0.25, min=0.0, max=1.0, help="Share of the usual illumination a pixel needs to count."
    ),
    ramp: bool = typer.Option(True, help="Take a phase ramp off before comparing."),
    shift: bool = typer.Option(True, help="Take a small shift off before comparing."),
    figure: Path | None = typer.Option(
        None, "--figure", help="PNG; default OUT-half-sets.png (-truth, -against) beside OUT.h5."
    ),
    json_output: bool = typer.Option(False, "--json", help="One JSON object on stdout."),
) -> None:
    """Metrics after the gauge: SSIM, MS-SSIM, PSNR, MAE, contrast, Fourier ring correlation.

    A figure and, beside it, the numbers as JSON are written; `ptycho
    report` finds those that lie beside OUT.h5.
    """
    _exactly_one(truth=truth, against=against, half_sets=half_sets)
    if not half_sets:
        _none_of(scan=scan, split=split if split != "frames" else None, seconds=seconds)
    from ptycho.cli.outputs import check_evaluation, check_figure
    from ptycho.data import load_reconstruction
    from ptycho.report import write_evaluation

    kind = "half-sets" if half_sets else "truth" if truth else "against"
    figure = figure or reconstruction.with_name(f"{reconstruction.stem}-{kind}.png")
    numbers = figure.with_suffix(".json")
    inputs = [path for path in (reconstruction, truth, against, scan) if path]
    check_figure(figure, inputs)
    check_evaluation(numbers, inputs)
    rec = load_reconstruction(reconstruction)
    if half_sets:
        gauge = {"min_coverage": min_coverage, "ramp": ramp, "shift": shift}
        comparison = _half_sets(rec, _scan_of(rec, scan, measurement), split, seconds, gauge)
        title = f"half sets of {rec.meta.get('scan', reconstruction.name)}, by {split}"
    else:
        quiet.load_tensorflow()
        from ptycho.evaluation import evaluate_images

        other = against or truth
        assert other is not None
        comparison = evaluate_images(
            rec,
            _load_reference(other, measurement, is_truth=truth is not None),
            min_coverage=min_coverage,
            ramp=ramp,
            shift=shift,
        )
        title = f"{reconstruction.name} against {other.name}"
    picture = _figure(comparison, title, figure)
    facts = {"reconstruction": str(reconstruction), "figure": str(picture), **comparison.metrics}
    facts["numbers"] = str(write_evaluation(comparison.metrics, reconstruction, numbers))
    if json_output:
        console.print_json(facts)
    else:
        _print(facts)


def _exactly_one(**given: Any) -> None:
    from ptycho.errors import UsageError

    chosen = [f"--{name.replace('_', '-')}" for name, value in given.items() if value]
    if len(chosen) != 1:
        raise UsageError(
            "say what to compare with",
            where="ptycho evaluate",
            expected="exactly one of --truth, --against, --half-sets",
            got=", ".join(chosen) or "none",
        )


def _none_of(**given: Any) -> None:
    from ptycho.errors import UsageError

    if chosen := [f"--{name}" for name, value in given.items() if value is not None]:
        raise UsageError(
            "these are for --half-sets, where the scan is refined again",
            where=", ".join(chosen),
            expected="--half-sets",
            got="--truth or --against, which compare two images as they are",
        )


def _load_reference(path: Path, measurement: str | None, *, is_truth: bool) -> Any:
    """A reconstruction file, or (for a truth) a scan that carries one."""
    from ptycho.data import is_reconstruction, load_reconstruction, open_scan
    from ptycho.errors import DataError
    from ptycho.scan import Truth

    if not is_truth:
        return load_reconstruction(path)
    if is_reconstruction(path):
        rec = load_reconstruction(path)
        return Truth(rec.object, rec.origin_px, rec.layers, rec.meta.get("object_pixel_m"))
    scan = open_scan(path, measurement=measurement)  # type: ignore[arg-type]
    if scan.truth is None:
        raise DataError(
            "this scan carries no truth to compare with",
            where=path,
            expected="a simulated scan",
            got="no truth",
            fix="measured data: ptycho evaluate OUT.h5 --half-sets",
        )
    return scan


def _half_sets(
    rec: Reconstruction, scan: Scan, split: str, seconds: float | None, gauge: dict[str, Any]
) -> Comparison:
    quiet.load_tensorflow()
    from ptycho.config import validated
    from ptycho.errors import UsageError
    from ptycho.evaluation import evaluate_half_sets
    from ptycho.refinement import RefineConfig

    if split not in ("frames", "counts"):
        raise UsageError(
            "unknown way to halve a scan", where="--split", expected="frames or counts", got=split
        )
    by: Any = split
    method = rec.meta.get("method")
    stored = rec.meta.get("config", {}) if method == "refine" else {}
    values = {key: value for key, value in stored.items() if key in RefineConfig.model_fields}
    if seconds is not None:
        values |= {"seconds": seconds, "passes": 1_000_000}
    config = validated(RefineConfig, **values)
    with console.progress("half sets") as bar:
        halves = evaluate_half_sets(scan, config, by=by, progress=bar, **gauge)
    halves.comparison.metrics["halves"] = (
        "refined with the settings of this file"
        if stored
        else f"refined with default settings; this file is of method {method}"
    )
    return halves.comparison


def _scan_of(rec: Reconstruction, path: Path | None, measurement: str | None) -> Scan:
    from ptycho.data import open_scan
    from ptycho.errors import UsageError
    from ptycho.frames import Ways

    stored = rec.meta.get("scan_path")
    found = path or (Path(stored) if stored else None)
    if found is None or not found.exists():
        raise UsageError(
            "half sets need the scan",
            where="--half-sets",
            expected="the scan that the reconstruction was made from",
            got="nothing recorded" if found is None else f"no file {found}",
            fix="add --scan SCAN",
        )
    said: Any = measurement or rec.meta.get("measurement")
    clean = rec.meta.get("config", {}).get("clean", "auto")
    ways = Ways(**(rec.meta.get("ways") or {}) | {"clean": clean})
    return open_scan(found, measurement=said, frames=rec.meta.get("frames_path"), ways=ways)


def _figure(comparison: Comparison, title: str, path: Path) -> Path:
    from ptycho.report import evaluate_figure, save_figure

    path.parent.mkdir(parents=True, exist_ok=True)
    return save_figure(evaluate_figure(comparison, title=title), path)


def _print(facts: dict[str, Any]) -> None:
    frc = facts["frc"]
    rows = [("compared with", str(facts["kind"]))]
    if "halves" in facts:
        rows.append(("the halves", facts["halves"]))
    rows.append(("pixels", str(facts["pixels"])))
    names = [("ssim", "SSIM"), ("ms_ssim", "MS-SSIM"), ("psnr_db", "PSNR dB"), ("mae", "MAE")]
    for part in ("amplitude", "phase"):
        rows += [(f"{part} {name}", f"{facts[part][key]:.4f}") for key, name in names]
        rows.append((f"{part} std ratio", f"{facts[part]['std_ratio']:.4f}"))
    rows.append(("complex error", f"{facts['complex']['relative_error']:.4f}"))
    for number, layer in enumerate(facts.get("layers", ()), start=1):
        told = [f"{part} SSIM {layer[part]['ssim']:.4f}" for part in ("amplitude", "phase")]
        rows.append((f"layer {number}", ", ".join(told)))
    mark = "" if frc["crossed"] else " (never below half bit)"
    if isfinite(frc["cycles_per_px"]):
        rows.append(("FRC half bit", f"{frc['cycles_per_px']:.4f} cycles/px{mark}"))
        rows.append(("resolution", f"{frc['resolution_px']:.2f} px"))
    else:
        rows.append(("resolution", "unknown: too few pixels for a ring correlation"))
    rows += [("doubtful", doubt) for doubt in facts.get("doubts", ())]
    rows.append(("figure", facts["figure"]))
    console.print_table(f"evaluated {facts['reconstruction']}", rows)
