"""The picture of a scan: a frame, the mean frame, the positions with their coverage, the probe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ptycho.scan import Scan


def scan_figure(scan: Scan, path: Path) -> Path:
    """Draw four panels into a PNG; axes in micrometres where the geometry is known."""
    figure = Figure(figsize=(10, 8), layout="constrained")
    FigureCanvasAgg(figure)
    (first, mean), (where, light) = figure.subplots(2, 2)
    total = sum(block.sum(axis=0, dtype=np.float64) for _, block in scan.blocks())
    _frame(figure, first, scan.frames(np.array([0]))[0], "frame 0")
    _frame(figure, mean, total / scan.n_frames, f"mean of {scan.n_frames} frames")
    scale, unit = _unit(scan)
    rows, cols = (scan.positions_px * scale).T
    dots = where.scatter(cols, rows, c=scan.photons_per_frame(), s=6, cmap="viridis")
    figure.colorbar(dots, ax=where, label="photons in the frame")
    where.set(aspect="equal", xlabel=f"column ({unit})", ylabel=f"row ({unit})")
    where.set_title("positions")
    where.invert_yaxis()
    if scan.probe is None:
        light.text(0.5, 0.5, "no probe in the file", ha="center", transform=light.transAxes)
        light.set_axis_off()
    else:
        half = scan.N / 2 * scale[0]
        shown = light.imshow(
            np.sqrt(np.sum(np.abs(scan.probe) ** 2, axis=0)),
            extent=(-half, half, half, -half),
            cmap="magma",
        )
        figure.colorbar(shown, ax=light, label="√photons per pixel")
        light.set(xlabel=f"column ({unit})", ylabel=f"row ({unit})")
        light.set_title("probe amplitude (all modes)")
    figure.suptitle(scan.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
    return path


def _frame(figure: Figure, axis: Any, counts: np.ndarray, title: str) -> None:
    shown = axis.imshow(np.log10(1 + counts), cmap="viridis")
    figure.colorbar(shown, ax=axis, label="log10(1 + counts)")
    axis.set_title(title)


def _unit(scan: Scan) -> tuple[np.ndarray, str]:
    if scan.geometry is None:
        return np.ones(2), "px"
    return 1e6 * np.array(scan.geometry.object_pixel_m(scan.N)), "µm"
