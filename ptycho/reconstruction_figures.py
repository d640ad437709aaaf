"""Pictures of a reconstruction: one figure, and amplitude and phase as plain PNG images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ptycho.data.result import Reconstruction


def write_figures(rec: Reconstruction, target: Path) -> list[Path]:
    """Write `<stem>.png` (amplitude, phase, probe), `<stem>_amplitude.png`, `<stem>_phase.png`.

    The phase is shown relative to its mean over the scanned area, which diffraction leaves free.
    Grey levels span the 0.5 to 99.5 percentiles of the scanned area.
    """
    region = rec.region()
    region = region if region.any() else np.ones(region.shape, bool)
    rows, cols = (np.flatnonzero(region.any(axis=axis)) for axis in (1, 0))
    box = (slice(rows[0], rows[-1] + 1), slice(cols[0], cols[-1] + 1))
    mean = np.mean(rec.object[region])
    field = rec.object[box] * (np.conj(mean) / max(abs(mean), 1e-12))
    inside = region[box]
    images = {"amplitude": np.abs(field), "phase": np.angle(field)}
    ranges = {name: _range(image[inside]) for name, image in images.items()}
    paths = [target.with_suffix(".png")]
    _overview(images, ranges, rec, paths[0])
    for name, image in images.items():
        path = target.with_name(f"{target.stem}_{name}.png")
        _plain(image, *ranges[name], path)
        paths.append(path)
    return paths


def _range(values: np.ndarray) -> tuple[float, float]:
    low, high = (float(value) for value in np.percentile(values, (0.5, 99.5)))
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _overview(
    images: dict[str, np.ndarray],
    ranges: dict[str, tuple[float, float]],
    rec: Reconstruction,
    path: Path,
) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = len(images) + (rec.probe is not None)
    figure = Figure(figsize=(4.4 * panels, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = np.atleast_1d(figure.subplots(1, panels))
    units = {"amplitude": "amplitude", "phase": "phase (rad)"}
    for axis, (name, image) in zip(axes, images.items(), strict=False):
        shown = axis.imshow(image, cmap="gray", vmin=ranges[name][0], vmax=ranges[name][1])
        figure.colorbar(shown, ax=axis, label=units[name], shrink=0.8)
        axis.set_title(f"object, {name}")
    if rec.probe is not None:
        shown = axes[-1].imshow(np.abs(rec.probe[0]), cmap="viridis")
        figure.colorbar(shown, ax=axes[-1], label="√photons", shrink=0.8)
        axes[-1].set_title("probe, amplitude")
    for axis in axes:
        axis.set_xlabel("column (px)")
        axis.set_ylabel("row (px)")
    figure.savefig(path, dpi=110)


def _plain(image: np.ndarray, low: float, high: float, path: Path) -> None:
    from matplotlib.image import imsave

    imsave(path, np.clip((image - low) / (high - low), 0, 1), cmap="gray", vmin=0, vmax=1)
