"""The picture of a scan: a frame, the mean frame, the positions, the coverage, the probe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ptycho.evaluation import coverage_map
from ptycho.report import panels
from ptycho.scan import Scan


def scan_figure(scan: Scan, path: Path) -> Path:
    """Draw six panels into a PNG; micrometres and a scale bar where the geometry is known."""
    figure = panels.new_figure(14, 8)
    (first, mean, covered), (where, light, dose) = figure.subplots(2, 3)
    total = sum(block.sum(axis=0, dtype=np.float64) for _, block in scan.blocks())
    _frame(figure, first, scan.frames(np.array([0]))[0], "frame 0")
    _frame(figure, mean, total / scan.n_frames, f"mean of {scan.n_frames} frames")
    if scan.mask is not None and not scan.mask.all():
        down, across = np.nonzero(~scan.mask)
        mean.scatter(across, down, s=6, marker="s", color="tab:red", label="masked")
        mean.legend(loc="upper right", fontsize=8)
    photons = scan.photons_per_frame()
    dose.hist(photons, bins=min(50, max(5, scan.n_frames // 5)), color="tab:blue")
    dose.set(xlabel="photons in the frame", ylabel="frames", title="dose")
    scale, unit = _unit(scan)
    rows, cols = (scan.positions_px * scale).T
    dots = where.scatter(cols, rows, c=photons, s=6, cmap="viridis")
    figure.colorbar(dots, ax=where, label="photons in the frame")
    where.set(aspect="equal", xlabel=f"column ({unit})", ylabel=f"row ({unit})")
    where.set_title("positions")
    where.invert_yaxis()
    _coverage(figure, covered, scan)
    if scan.probe is None:
        light.text(0.5, 0.5, "no probe in the file", ha="center", transform=light.transAxes)
        light.set_axis_off()
    else:
        down, right = scan.N / 2 * scale
        shown = light.imshow(
            np.sqrt(np.sum(np.abs(scan.probe) ** 2, axis=0)),
            extent=(-right, right, down, -down),
            cmap="magma",
        )
        figure.colorbar(shown, ax=light, label="√photons per pixel")
        light.set(xlabel=f"column ({unit})", ylabel=f"row ({unit})")
        light.set_title("probe amplitude (all modes)")
    figure.suptitle(scan.name, parse_math=False)
    panels.note_findings(figure, None if scan.sanity is None else scan.sanity.record())
    return panels.save_figure(figure, path, dpi=100)


def _coverage(figure: Figure, axis: Any, scan: Scan) -> None:
    coverage, (top, left) = coverage_map(scan)
    (row, col), unit = _unit(scan)
    height, width = coverage.shape
    extent = (left * col, (left + width) * col, (top + height) * row, top * row)
    shown = axis.imshow(coverage, extent=extent, cmap="cividis")
    figure.colorbar(shown, ax=axis, label="frames that light the pixel")
    axis.set(xlabel=f"column ({unit})", ylabel=f"row ({unit})", title="coverage")
    if scan.geometry is not None:
        _scale_bar(axis, extent, unit)


def _scale_bar(axis: Any, extent: tuple[float, float, float, float], unit: str) -> None:
    """A bar of 1, 2 or 5 times a power of ten, about a quarter of the width."""
    left, right, bottom, top = extent
    power = 10 ** np.floor(np.log10((right - left) / 4))
    length = max(step * power for step in (1, 2, 5) if step * power <= (right - left) / 4)
    x, y = left + 0.05 * (right - left), bottom - 0.06 * (bottom - top)
    axis.plot([x, x + length], [y, y], color="white", linewidth=4, solid_capstyle="butt")
    axis.annotate(
        f"{length:g} {unit}",
        (x + length / 2, y),
        (0, 5),
        textcoords="offset points",
        color="white",
        ha="center",
    )


def _frame(figure: Figure, axis: Any, counts: np.ndarray, title: str) -> None:
    shown = axis.imshow(np.log10(1 + counts), cmap="viridis")
    figure.colorbar(shown, ax=axis, label="log10(1 + counts)")
    axis.set_title(title)


def _unit(scan: Scan) -> tuple[np.ndarray, str]:
    if scan.geometry is None:
        return np.ones(2), "px"
    return 1e6 * np.array(scan.geometry.object_pixel_m(scan.N)), "µm"
