"""Pictures of a page: one image each, without frame or words, to fit any width and ground.

What a figure's axes would say (range, unit, colours) is in the page's own words beside them.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
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
        colours: the colour map between them, or "" for a drawing of lines.
    """

    name: str
    png: bytes
    title: str
    low: str = ""
    high: str = ""
    colours: str = ""


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
        share = f", {shares[number]:.1%} of the light" if number < len(shares) else ""
        found.append(Picture(f"probe-{number + 1}", _png(axes.figure), f"mode {number + 1}{share}"))
    return found


def descent_picture(history: list[dict[str, Any]]) -> Picture:
    """Residual and held-out deviance over the passes of a refinement."""
    figure = panels.new_figure(6, 3.6)
    figures.show_descent(figure.add_subplot(), history)
    return Picture("descent", _png(figure), "residual and held-out deviance, pass by pass")


def history_picture(rows: list[dict[str, Any]]) -> Picture:
    """The deviance of a training, epoch by epoch."""
    words = "half-deviance per pixel, epoch by epoch"
    return Picture("history", _png(figures.history_figure(rows)), words)


def rings_picture(frc: dict[str, Any], name: str, title: str) -> Picture:
    """The ring correlation of two halves, or of a result and another image."""
    figure = panels.new_figure(6, 3.8)
    figures.show_rings(figure.add_subplot(), frc)
    return Picture(f"rings-{name}", _png(figure), title)


def positions_picture(now: np.ndarray, before: np.ndarray | None) -> Picture:
    """Where the frames lie, and how they moved, (M, 2) px (row, col); arrows are lengthened."""
    figure = panels.new_figure(6, 5)
    axes = figure.add_subplot()
    base = now if before is None else before
    axes.scatter(base[:, 1], base[:, 0], s=6, color="0.6")
    title = "positions as they were refined"
    if before is not None:
        move = now - before
        longest = float(np.hypot(*move.T).max(initial=0.0))
        factor = max(1.0, round(ARROW * _spacing(base) / longest)) if longest > 0 else 1.0
        rows, cols = (move * factor).T
        axes.quiver(
            base[:, 1], base[:, 0], cols, rows,
            angles="xy", scale_units="xy", scale=1, width=0.0025, color="tab:red",
        )  # fmt: skip
        title = "positions as given, and their moves" + (
            f" (arrows {factor:g} times as long)" if factor > 1 else ""
        )
    axes.set_aspect("equal", "datalim")
    axes.invert_yaxis()
    axes.set_xlabel("column (px)", fontsize=8)
    axes.set_ylabel("row (px)", fontsize=8)
    axes.tick_params(labelsize=8)
    return Picture("positions", _png(figure), title)


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


def _png(figure: Any) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, dpi=DPI, format="png")
    return stream.getvalue()
