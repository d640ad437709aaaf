"""The files beside a reconstruction: a figure, amplitude and phase as PNG and as TIFF."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ptycho.data import whole_file
from ptycho.report import figures, panels
from ptycho.result import Reconstruction
from ptycho.scan import Scan


def write_pictures(rec: Reconstruction, target: Path, scan: Scan | None = None) -> list[Path]:
    """Write `<stem>.png` and `<stem>_amplitude`, `<stem>_phase` as `.png` and `.tiff`.

    The PNGs are for looking: the scanned area, grey levels from the 0.5 to the 99.5 percentile.
    The TIFFs are for measuring: float32, pixel by pixel the `/object` of the file, phase in
    radians. The phase is relative to its mean over the scanned area, which diffraction leaves free.

    Args:
        rec: the reconstruction. target: its `.h5` file, which gives folder and stem.
        scan: for a measured frame in the figure.
    """
    region = rec.region()
    region = region if region.any() else np.ones(region.shape, bool)
    mean = np.mean(rec.object[region])
    field = rec.object * (np.conj(mean) / max(abs(mean), 1e-12))
    rows, cols = (np.flatnonzero(region.any(axis=axis)) for axis in (1, 0))
    box = (slice(rows[0], rows[-1] + 1), slice(cols[0], cols[-1] + 1))
    figure = figures.reconstruction_figure(rec, scan, title=target.stem)
    paths = [panels.save_figure(figure, target.with_suffix(".png"))]
    for name, image in (("amplitude", np.abs(field)), ("phase", np.angle(field))):
        path = target.with_name(f"{target.stem}_{name}.png")
        low, high = panels.limits(image[region])
        paths.append(_png(image[box], low, high, path))
        paths.append(write_tiff(image, path.with_suffix(".tiff")))
    return paths


def write_tiff(image: np.ndarray, path: Path) -> Path:
    """One (H, W) image as float32 TIFF, written whole or not at all."""
    from tifffile import imwrite

    with whole_file(path) as temporary:
        imwrite(temporary, np.asarray(image, np.float32), photometric="minisblack")
    return path


def _png(image: np.ndarray, low: float, high: float, path: Path) -> Path:
    from matplotlib.image import imsave

    grey = np.clip((image - low) / (high - low), 0, 1)
    with whole_file(path) as temporary:
        imsave(temporary, grey, cmap="gray", vmin=0, vmax=1, format="png")
    return path
