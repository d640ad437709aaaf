"""The figures of `reconstruct`, `refine` and `evaluate`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ptycho.evaluation.metrics import Comparison, fit_gauge
from ptycho.report import panels
from ptycho.result import Reconstruction
from ptycho.scan import Scan

if TYPE_CHECKING:
    from ptycho.refinement import RefineResult

_MIN_COVERAGE = 0.1
_SHOWN_METRICS = (
    ("ssim", "SSIM", 3),
    ("ms_ssim", "MS-SSIM", 3),
    ("psnr_db", "PSNR (dB)", 1),
    ("mae", "MAE", 4),
    ("std_ratio", "std ratio", 3),
)


def reconstruction_figure(
    rec: Reconstruction,
    scan: Scan | None = None,
    comparison: Comparison | None = None,
    *,
    title: str = "",
) -> Figure:
    """Measured frame, amplitude, phase, probe; with `comparison` also truth and error.

    Args:
        rec: the reconstruction.
        scan: for a measured frame; None: no such panel.
        comparison: of `rec` with its truth (`ptycho.evaluation.scores.evaluate_images`), or None.
        title: over the whole figure.
    """
    if comparison is not None:
        return _figure_with_truth(rec, scan, comparison, title)
    extra = (scan is not None) + (rec.probe is not None)
    figure = panels.new_figure(3.6 * (2 + extra) + 0.4, 3.9)
    axes = iter(np.atleast_1d(figure.subplots(1, 2 + extra)))
    amplitude, phase = display_images(rec)
    if scan is not None:
        index = _typical(scan)
        panels.show_frame(next(axes), _frame(scan, index), f"measured frame {index}")
    panels.show(next(axes), amplitude, "amplitude")
    panels.show(next(axes), phase, "phase", **panels.phase_style(phase))
    if rec.probe is not None:
        panels.show_probe(next(axes), rec.probe, "probe")
    if title:
        figure.suptitle(title, fontsize=12, parse_math=False)
    panels.note_findings(figure, rec.meta.get("sanity"))
    return figure


def _figure_with_truth(
    rec: Reconstruction, scan: Scan | None, comparison: Comparison, title: str
) -> Figure:
    extra = int(scan is not None or rec.probe is not None)
    figure = panels.new_figure(3.6 * (3 + extra) + 0.4, 7.4)
    grid = figure.subplots(2, 3 + extra, squeeze=False)
    _comparison_rows(grid[:, :3], comparison)
    if extra:
        if scan is not None:
            index = _typical(scan)
            panels.show_frame(grid[0, 3], _frame(scan, index), f"measured frame {index}")
        else:
            grid[0, 3].set_axis_off()
        if rec.probe is not None:
            panels.show_probe(grid[1, 3], rec.probe, "probe (hue: phase)")
        else:
            grid[1, 3].set_axis_off()
    if title:
        figure.suptitle(title, fontsize=12, parse_math=False)
    panels.note_findings(figure, rec.meta.get("sanity"))
    return figure


def _comparison_rows(grid: np.ndarray, comparison: Comparison) -> None:
    """Two rows of three: reconstruction, reference, difference; amplitude above, phase below."""
    metrics, region = comparison.metrics, comparison.region
    name = "truth" if metrics.get("kind") == "truth" else "reference"
    phase, phase_ref = comparison.phases()
    rows = [
        ("amplitude", np.abs(comparison.aligned), np.abs(comparison.reference), "gray", ""),
        ("phase", phase, phase_ref, "viridis", "rad"),
    ]
    for row, (what, image, truth, cmap, unit) in zip(grid, rows, strict=True):
        image, truth = (panels.masked(i, region) for i in (image, truth))
        clim = panels.limits(truth)
        m = metrics[what]
        style: dict[str, Any] = {"cmap": cmap, "clim": clim, "unit": unit}
        panels.show(
            row[0], image, f"{what} · SSIM {m['ssim']:.3f} · {m['psnr_db']:.1f} dB", **style
        )
        panels.show(row[1], truth, f"{name} {what}", **style)
        error = image - truth
        top = max(abs(v) for v in panels.limits(error, 1, 99))
        panels.show(row[2], error, f"{what} error", cmap="RdBu_r", clim=(-top, top), unit=unit)


def refine_figure(result: RefineResult, scan: Scan) -> Figure:
    """Amplitude and phase, large; below a measured frame, the model's, the probe, the descent."""
    rec = result.reconstruction
    figure = panels.new_figure(13.0, 9.6)
    grid = figure.add_gridspec(2, 4, height_ratios=[2.0, 1.05])
    if rec.layers is None:
        amplitude, phase = display_images(rec)
        panels.show(figure.add_subplot(grid[0, :2]), amplitude, "amplitude")
        style = panels.phase_style(phase)
        panels.show(figure.add_subplot(grid[0, 2:]), phase, "phase", **style)
    else:
        above = grid[0, :].subgridspec(2, len(rec.layers))
        for column, layer in enumerate(rec.each_layer()):
            amplitude, phase = display_images(layer)
            words = f"of layer {column + 1}"
            panels.show(figure.add_subplot(above[0, column]), amplitude, f"amplitude {words}")
            style = panels.phase_style(phase)
            panels.show(figure.add_subplot(above[1, column]), phase, f"phase {words}", **style)
    index = _typical(scan)
    measured = _frame(scan, index)
    top = float(np.nanmax(measured))
    panels.show_frame(figure.add_subplot(grid[1, 0]), measured, f"measured frame {index}", top=top)
    model = model_frame(rec, scan, index)
    if model is not None:
        model = np.where(np.isfinite(measured), model, np.nan)
        panels.show_frame(figure.add_subplot(grid[1, 1]), model, "the model's expectation", top=top)
    if rec.probe is not None:
        shares = rec.meta.get("mode_shares", [])
        words = f", {shares[0]:.0%} of the light" if len(shares) > 1 else ""
        panels.show_probe(figure.add_subplot(grid[1, 2]), rec.probe, f"probe{words}")
    descent = figure.add_subplot(grid[1, 3])
    descent.set_box_aspect(1)
    show_descent(descent, result.history)
    plural = "" if result.iterations == 1 else "es"
    figure.suptitle(
        f"{scan.name}: residual {result.residual:.4f}, deviance "
        f"{result.deviance_per_pixel:.3f} per pixel, {result.iterations} pass{plural}, "
        f"{result.seconds:.1f} s",
        fontsize=12,
        parse_math=False,
    )
    panels.note_findings(figure, rec.meta.get("sanity"))
    return figure


def show_descent(axes: Axes, history: list[dict[str, Any]]) -> None:
    """Residual, and held-out deviance where it is known, over the passes."""
    passes = [row["pass"] for row in history]
    mark = "o" if len(history) < 5 else None
    residuals = [row["residual"] for row in history]
    axes.plot(passes, residuals, color="tab:blue", marker=mark, label="residual")
    axes.set_yscale("log")
    panels.plain_log_ticks(axes)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_xlabel("pass", fontsize=8)
    axes.set_title("descent", fontsize=10)
    axes.tick_params(labelsize=8, which="both")
    axes.tick_params(axis="y", which="both", colors="tab:blue")
    lines = list(axes.get_lines())
    told = [row for row in history if row["held_out_deviance"] is not None]
    if told:
        twin = axes.twinx()
        twin.set_box_aspect(axes.get_box_aspect())
        held = [row["held_out_deviance"] for row in told]
        judged = [row["pass"] for row in told]
        twin.plot(judged, held, color="tab:orange", marker=mark, label="held-out deviance")
        twin.set_yscale("log")
        panels.plain_log_ticks(twin)
        twin.tick_params(labelsize=8, which="both", colors="tab:orange")
        lines += twin.get_lines()
    axes.legend(handles=lines, fontsize=8, frameon=False)


def history_figure(rows: list[dict[str, Any]]) -> Figure:
    """Deviance of a training, in training and held out, over the epochs (rows of the history)."""
    figure = panels.new_figure(7, 4)
    axes = figure.add_subplot()
    epochs = [row["epoch"] for row in rows]
    for column, label in (
        ("deviance_per_px", "training"),
        ("held_out_deviance_per_px", "held out"),
    ):
        points = [(e, row[column]) for e, row in zip(epochs, rows, strict=True) if row[column]]
        if points:
            axes.plot(*zip(*points, strict=True), marker=".", label=label)
    start = rows[0]["held_out_deviance_per_px"]
    if rows[0]["epoch"] == 0 and start:
        axes.axhline(start, color="0.5", linestyle="--", label="held out, before training")
    best = [row["epoch"] for row in rows if row["best"]]
    if best:
        axes.axvline(best[-1], color="0.8", zorder=0, label="weights kept")
    axes.set_yscale("log")
    panels.plain_log_ticks(axes)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch")
    axes.set_ylabel("half-deviance per detector pixel")
    axes.legend()
    return figure


def evaluate_figure(comparison: Comparison, *, title: str = "") -> Figure:
    """Both images and their difference, amplitude and phase, and the ring correlation."""
    figure = panels.new_figure(14.8, 7.4)
    grid = figure.add_gridspec(2, 4, width_ratios=[1, 1, 1, 1.05])
    axes = np.array([[figure.add_subplot(grid[r, c]) for c in range(3)] for r in range(2)])
    _comparison_rows(axes, comparison)
    show_rings(figure.add_subplot(grid[0, 3]), comparison.metrics["frc"])
    _numbers(figure.add_subplot(grid[1, 3]), comparison.metrics)
    if title:
        figure.suptitle(title, fontsize=12, parse_math=False)
    return figure


def show_rings(axes: Axes, frc: dict[str, Any]) -> None:
    """Ring correlation with its half-bit curve, or why there is none."""
    axes.set_title("Fourier ring correlation", fontsize=10)
    if "curve" not in frc:
        axes.text(0.5, 0.5, frc.get("why", "not computed"), ha="center", wrap=True, fontsize=8)
        axes.set_axis_off()
        return
    curve = frc["curve"]
    axes.plot(curve["cycles_per_px"], curve["correlation"], color="tab:blue", label="correlation")
    axes.plot(curve["cycles_per_px"], curve["threshold"], color="0.4", ls="--", label="half bit")
    if frc["crossed"]:
        axes.axvline(frc["cycles_per_px"], color="tab:red", lw=0.8)
        words = f"{frc['cycles_per_px']:.3f} cycles/px = {frc['resolution_px']:.1f} px"
    else:
        words = "above half a bit everywhere"
    axes.set_title(f"Fourier ring correlation\n{words}", fontsize=10)
    axes.set_xlim(0, 0.5)
    axes.set_ylim(min(-0.1, *curve["correlation"]), 1.05)
    axes.set_xlabel("cycles per pixel", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.legend(fontsize=8, frameon=False, loc="best")


def _numbers(axes: Axes, metrics: dict[str, Any]) -> None:
    axes.set_axis_off()
    rows = [["", "amplitude", "phase"]]
    for key, name, digits in _SHOWN_METRICS:
        values = [metrics[part][key] for part in ("amplitude", "phase")]
        rows.append([name, *(f"{value:.{digits}f}" for value in values)])
    table = axes.table(cellText=rows, loc="center", cellLoc="right", edges="horizontal")
    table.auto_set_font_size(False)
    table.set_fontsize(9)
    table.scale(1.0, 1.5)


def display_images(rec: Reconstruction) -> tuple[np.ndarray, np.ndarray]:
    """Amplitude and phase (rad) of the lit area, cropped; NaN where it is dark.

    A phase ramp and a constant phase mean nothing; they are taken off so that contrast shows.
    """
    region = rec.region(_MIN_COVERAGE)
    if not region.any():
        region = np.ones(rec.object.shape, bool)
    rows, cols = (np.flatnonzero(region.any(axis)) for axis in (1, 0))
    box = (slice(rows[0], rows[-1] + 1), slice(cols[0], cols[-1] + 1))
    lit, field = region[box], rec.object[box]
    weights = np.where(lit, rec.coverage[box], 0.0)
    gauge = fit_gauge(field, np.ones(field.shape), weights, shift=False)
    turned = gauge.apply(field)
    return panels.masked(np.abs(field), lit), panels.masked(np.angle(turned), lit)


def model_frame(rec: Reconstruction, scan: Scan, index: int) -> np.ndarray | None:
    """(N, N) expected counts of frame `index`, by the kernel and background of the refinement.

    None where there is no probe, or the patch leaves the object.
    """
    from ptycho.physics import backend, multislice, window
    from ptycho.refinement import optics_behind

    if rec.probe is None:
        return None
    positions = scan.positions_px if rec.positions_px is None else rec.positions_px
    corner = np.asarray(positions[index]) - scan.N // 2 - np.asarray(rec.origin_px)
    if (corner < 0).any() or (np.floor(corner) + scan.N + 1 > rec.object.shape).any():
        return None
    kernel = rec.meta.get("config", {}).get("kernel", "bilinear")
    at = backend.tensor(corner[None, None].astype(np.float32))
    size = (scan.N, scan.N)
    layers = [rec.object] if rec.layers is None else rec.layers
    patches = [
        window(backend.tensor(layer[None]), at, size, inside=True, kernel=kernel)
        for layer in layers
    ]
    model = multislice(patches, rec.probe_of(index), optics_behind(scan, rec))
    counts = np.asarray(backend.concrete(model), np.float64)[0, 0]
    return counts + background_frame(rec, scan)


def background_frame(rec: Reconstruction, scan: Scan) -> np.ndarray | float:
    """Counts per pixel beside the specimen's: the fitted rings (N, N), or the scan's number."""
    rings = rec.meta.get("background_rings")
    if rings is None:
        return float(scan.background)
    radius = np.hypot(*(np.indices((scan.N, scan.N)) - scan.N // 2))
    return np.asarray(rings)[np.round(radius).astype(int)]


def _typical(scan: Scan) -> int:
    """The frame nearest the middle of the scan: typical, and the same at every call."""
    middle = (scan.positions_px.min(0) + scan.positions_px.max(0)) / 2
    return int(np.argmin(((scan.positions_px - middle) ** 2).sum(1)))


def _frame(scan: Scan, index: int) -> np.ndarray:
    frame = scan.frames(np.array([index]))[0].astype(np.float64)
    return frame if scan.mask is None else np.where(scan.mask, frame, np.nan)
