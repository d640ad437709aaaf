"""Pictures of a page: one image each, without frame or words, to fit any width and ground.

What a figure's axes would say (range, unit, colours) is in the page's own words beside them.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ptycho.report import figures, panels
from ptycho.result import Reconstruction

SIDE_PX = 640
"""Longest side of a picture: enough for a screen, and a bound for the page."""
DPI = 120
MODES = 6
"""Probe modes that are shown; the rest is counted."""
ARROW = 0.6
"""Length of the longest arrow of a moved position, in distances to the nearest neighbour."""


@dataclass(frozen=True)
class Picture:
    """A PNG and what is said beside it.

    Args:
        name: its file name without the ending, where it is written as a file.
        png: the bytes.
        title: what it shows.
        low, high: values at the ends of its colours, with unit; "" where it has none.
        colours: the colour map between them, or "".
        drawn: lines on paper, which a dark page turns over.
    """

    name: str
    png: bytes
    title: str
    low: str = ""
    high: str = ""
    colours: str = ""
    drawn: bool = False


def object_pictures(rec: Reconstruction, kind: str = "object", of: str = "") -> list[Picture]:
    """Modulus and phase of the lit area; `of` is added to their titles."""
    amplitude, phase = figures.display_images(rec)
    return [
        _image(f"{kind}-modulus", amplitude, f"modulus{of}", cmap="gray"),
        _image(f"{kind}-phase", phase, f"phase{of}", **panels.phase_style(phase)),
    ]


def probe_pictures(probe: np.ndarray, shares: list[float]) -> list[Picture]:
    """The strongest modes of (K, N, N): brightness is amplitude, hue is phase."""
    found = []
    for number, mode in enumerate(probe[:MODES]):
        axes = _bare(mode.shape[0], mode.shape[1], SIDE_PX // 2)
        axes.imshow(panels.mode_colours(mode), interpolation="nearest")
        panels.draw_scale_bar(axes, mode.shape[1], colour="white")
        share = f", {100 * shares[number]:.3g} % of the light" if number < len(shares) else ""
        found.append(Picture(f"probe-{number + 1}", _png(axes.figure), f"mode {number + 1}{share}"))
    return found


def descent_picture(history: list[dict[str, Any]]) -> Picture:
    """Residual and held-out deviance over the passes of a refinement."""
    figure = panels.new_figure(6, 3.6)
    figures.show_descent(figure.add_subplot(), history)
    return _drawn("descent", figure, "residual and held-out deviance, pass by pass")


def history_picture(rows: list[dict[str, Any]]) -> Picture:
    """The deviance of a training, epoch by epoch."""
    words = "half-deviance per pixel, epoch by epoch"
    return _drawn("history", figures.history_figure(rows), words)


def rings_picture(frc: dict[str, Any], name: str, title: str) -> Picture:
    """The ring correlation of two halves, or of a result and another image."""
    figure = panels.new_figure(6, 3.8)
    figures.show_rings(figure.add_subplot(), frc)
    return _drawn(f"rings-{name}", figure, title)


def eigenprobe_pictures(eigenprobes: np.ndarray, shares: list[float]) -> list[Picture]:
    """The strongest of (E, N, N): how the first mode varies; shares are of all the light."""
    return [
        replace(one, name=f"eigen{one.name}", title=one.title.replace("mode", "eigenprobe"))
        for one in probe_pictures(eigenprobes, shares)
    ]


def weights_picture(weights: np.ndarray, numbers: np.ndarray) -> Picture:
    """The weight (M, E) of each eigenprobe in each frame, over the frames' numbers (M,)."""
    figure = panels.new_figure(6, 3.6)
    axes = figure.add_subplot()
    for column in range(min(weights.shape[1], MODES)):
        axes.plot(numbers, weights[:, column], linewidth=0.9, label=f"eigenprobe {column + 1}")
    _frames_below(axes, "weight")
    return _drawn("probe-weights", figure, "weight of each eigenprobe, frame by frame")


def positions_picture(now: np.ndarray, before: np.ndarray | None) -> Picture:
    """Where the frames lie, and how they moved, (M, 2) px (row, col); arrows are lengthened."""
    if before is None:
        return _arrows("positions", now, np.zeros_like(now), "positions as they were refined")
    return _arrows("positions", before, now - before, "positions as given, and their moves")


def shared_pictures(
    before: np.ndarray, affine: np.ndarray, rest: np.ndarray, numbers: np.ndarray
) -> list[Picture]:
    """Moves (M, 2) px apart: scale, rotation and shear; and the rest, over frame numbers (M,)."""
    title = "of these moves: scale, rotation and shear"
    figure = panels.new_figure(6, 3.6)
    axes = figure.add_subplot()
    for column, name in enumerate(("row", "column")):
        axes.plot(numbers, rest[:, column], linewidth=0.9, label=name)
    _frames_below(axes, "px")
    left = "what is left of the moves: drift, backlash, and each frame's own"
    return [
        _arrows("positions-shared", before, affine, title),
        _drawn("drift", figure, left),
    ]


def _frames_below(axes: Axes, left: str) -> None:
    axes.axhline(0, color="0.7", linewidth=0.8, zorder=0)
    axes.set_xlabel("number of the frame", fontsize=8)
    axes.set_ylabel(left, fontsize=8)
    axes.tick_params(labelsize=8)
    axes.legend(fontsize=8, frameon=False)


def _arrows(name: str, base: np.ndarray, move: np.ndarray, title: str) -> Picture:
    """Positions and how they move, (M, 2) px (row, col); short arrows are lengthened."""
    figure = panels.new_figure(6, 5)
    axes = figure.add_subplot()
    axes.scatter(base[:, 1], base[:, 0], s=6, color="0.6")
    longest = float(np.hypot(*move.T).max(initial=0.0))
    if longest > 0:
        factor = max(1.0, round(ARROW * _spacing(base) / longest))
        rows, cols = (move * factor).T
        axes.quiver(
            base[:, 1], base[:, 0], cols, rows,
            angles="xy", scale_units="xy", scale=1, width=0.0025, color="tab:red",
        )  # fmt: skip
        title += f" (arrows {factor:g} times as long)" if factor > 1 else ""
    axes.set_aspect("equal", "datalim")
    axes.invert_yaxis()
    axes.set_xlabel("column (px)", fontsize=8)
    axes.set_ylabel("row (px)", fontsize=8)
    axes.tick_params(labelsize=8)
    return _drawn(name, figure, title)


def _spacing(positions: np.ndarray) -> float:
    """The usual distance to the nearest neighbour, px."""
    from scipy.spatial import cKDTree

    if len(positions) < 2:
        return 1.0
    return float(np.median(cKDTree(positions).query(positions, k=2)[0][:, 1]))


def _image(
    name: str,
    image: np.ndarray,
    title: str,
    *,
    cmap: str,
    clim: tuple[float, float] | None = None,
    unit: str = "",
) -> Picture:
    low, high = clim or panels.limits(image)
    axes = _bare(image.shape[0], image.shape[1], SIDE_PX)
    axes.set_facecolor(panels.OUTSIDE)
    axes.imshow(image, cmap=cmap, vmin=low, vmax=high, interpolation="nearest")
    panels.draw_scale_bar(axes, image.shape[1])
    first, last = (f"{value:.3g} {unit}".rstrip() for value in (low, high))
    return Picture(name, _png(axes.figure), title, first, last, cmap)


def _bare(height: int, width: int, side_px: int) -> Axes:
    """Axes that fill a figure of the image's shape, at most 1 to 4."""
    longest, shape = max(height, width), (height, width)
    tall, wide = (max(side / longest, 0.25) * side_px / DPI for side in shape)
    figure = Figure(figsize=(wide, tall), facecolor=panels.OUTSIDE)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    return axes


def _drawn(name: str, figure: Any, title: str) -> Picture:
    return Picture(name, _png(figure), title, drawn=True)


def _png(figure: Any) -> bytes:
    stream = io.BytesIO()
    panels.draw_png(figure, stream, dpi=DPI)
    return stream.getvalue()
