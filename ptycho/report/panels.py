"""One image panel each: amplitude, phase, error, frame, probe. Matplotlib's objects only.

No `pyplot`: figures are made, drawn by Agg and forgotten, so nothing global is left behind.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm, Normalize, hsv_to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from ptycho.data import whole_file

OUTSIDE = "0.86"
FINDINGS = 6


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of width × height inches on white, panels laid out without overlap."""
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, path: str | Path, *, dpi: int = 110) -> Path:
    """Write a PNG whole or not at all."""
    path = Path(path)
    with whole_file(path) as temporary:
        draw_png(figure, temporary, dpi=dpi)
    return path


def draw_png(figure: Figure, target: Any, *, dpi: int) -> None:
    """The PNG into a file, by its path or open.

    Laid out once more when drawn: after one round the unit of a colour bar may lie outside.
    """
    figure.draw_without_rendering()
    figure.savefig(target, dpi=dpi, format="png")


def limits(values: np.ndarray, low: float = 0.5, high: float = 99.5) -> tuple[float, float]:
    """Percentiles of the finite values, opened a little if they are equal."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    bottom, top = (float(v) for v in np.percentile(finite, [low, high]))
    return (bottom, top) if top > bottom else (bottom - 0.5, top + 0.5)


def show(
    axes: Axes,
    image: np.ndarray,
    title: str,
    *,
    cmap: str = "gray",
    clim: tuple[float, float] | None = None,
    unit: str = "",
    scale_bar: bool = True,
) -> None:
    """An image with its colour bar and a scale bar; NaN is drawn as plain grey."""
    low, high = clim or limits(image)
    _image(axes, image, title, cmap, Normalize(low, high), unit)
    if scale_bar:
        draw_scale_bar(axes, image.shape[1])


def _image(
    axes: Axes, image: np.ndarray, title: str, cmap: str, norm: Normalize, unit: str
) -> None:
    axes.set_facecolor(OUTSIDE)
    drawn = axes.imshow(image, cmap=cmap, norm=norm, interpolation="nearest")
    axes.set_title(title, fontsize=10)
    axes.set_xticks([])
    axes.set_yticks([])
    place = axes.inset_axes((1.02, 0.0, 0.045, 1.0))  # as tall as the image, whatever the layout
    bar = axes.figure.colorbar(drawn, cax=place)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_linewidth(0.5)  # type: ignore[operator]
    if unit:
        bar.set_label(unit, fontsize=8)


def show_frame(axes: Axes, frame: np.ndarray, title: str, *, top: float | None = None) -> None:
    """A diffraction frame in photons, logarithmic; pixels below one photon are black."""
    top = max(2.0, float(np.nanmax(frame)) if top is None else top)
    image = np.where(np.isfinite(frame), np.maximum(frame, 0.5), np.nan)
    _image(axes, image, title, "magma", LogNorm(0.5, top), "photons")


def show_probe(axes: Axes, probe: np.ndarray, title: str) -> None:
    """Strongest mode of (K, N, N): brightness is amplitude, hue is phase."""
    mode = probe[0]
    axes.imshow(mode_colours(mode), interpolation="nearest")
    axes.set_title(title, fontsize=10)
    axes.set_xticks([])
    axes.set_yticks([])
    draw_scale_bar(axes, mode.shape[1], colour="white")


def mode_colours(mode: np.ndarray) -> np.ndarray:
    """(N, N, 3) colours of a complex mode: brightness is amplitude, hue is phase."""
    amplitude = np.abs(mode) / max(float(np.abs(mode).max()), 1e-30)
    hue = (np.angle(mode) / (2 * math.pi)) % 1.0
    return hsv_to_rgb(np.stack([hue, np.full(hue.shape, 0.85), amplitude], -1))


def draw_scale_bar(axes: Axes, width_px: int, *, colour: str | None = None) -> None:
    """A bar of a round number of object pixels in the lower left corner."""
    goal = width_px / 4
    power = 10 ** math.floor(math.log10(max(goal, 1)))
    length = max(step * power for step in (1, 2, 5) if step * power <= max(goal, 1))
    bottom, top = axes.get_ylim()
    height = abs(bottom - top)
    left, base = 0.04 * width_px, max(bottom, top) - 0.06 * height
    paper = "black" if colour == "white" else "white"
    ink = colour or "black"
    axes.add_patch(
        Rectangle(
            (left - 0.015 * width_px, base - 0.05 * height),
            length + 0.03 * width_px,
            0.075 * height,
            color=paper,
            alpha=0.6,
            linewidth=0,
        )
    )
    axes.add_patch(Rectangle((left, base), length, 0.014 * height, color=ink, linewidth=0))
    axes.text(
        left + length / 2,
        base - 0.004 * height,
        f"{int(length)} px",
        color=ink,
        fontsize=7,
        ha="center",
        va="bottom",
    )


def plain_log_ticks(axes: Axes) -> None:
    """0.083 instead of 8.3 × 10⁻² on a logarithmic axis of values near 1, about five labels."""
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    low, high = axes.get_ylim()
    if high < 10 * low:
        axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:.3g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def masked(image: np.ndarray, region: np.ndarray) -> np.ndarray:
    """The image with NaN outside the region."""
    return np.where(region, image, np.nan)


def phase_style(phase: np.ndarray) -> dict[str, Any]:
    """A cyclic colour map only where the phase fills most of the circle."""
    low, high = limits(phase)
    if high - low > 1.5 * math.pi:
        return {"cmap": "twilight", "clim": (-math.pi, math.pi), "unit": "rad"}
    return {"cmap": "viridis", "clim": (low, high), "unit": "rad"}


def note_findings(figure: Figure, record: dict[str, Any] | None) -> None:
    """What was wrong with the frames and what was done, in small lines at the foot of a figure."""
    found = record["findings"] if record else []
    lines = [f"{one['code']}: {one['count'] or ''} {one['done']}" for one in found[:FINDINGS]]
    if len(found) > FINDINGS:
        lines.append(f"and {len(found) - FINDINGS} more in the file")
    if lines:
        words = "frames: " + "; ".join(" ".join(line.split()) for line in lines)
        figure.supxlabel(words, fontsize=8, color="tab:red", parse_math=False)
