"""Objects: pictures and generated patterns as amplitude and phase."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from skimage import color, data, io, transform

from ptycho.errors import DataError, UsageError
from ptycho.simulation.config import PHOTOGRAPHS
from ptycho.simulation.patterns import PATTERNS

MAX_PICTURE_BYTES = 256 << 20


def picture(
    name: str, shape: tuple[int, int], rng: np.random.Generator | None = None
) -> np.ndarray:
    """(H, W) float64 in [0, 1]: a generated pattern, a photograph, or a picture file.

    Patterns (`ptycho.simulation.patterns`) draw from `rng` (None: seed 0) and are not stretched;
    photographs are those that scikit-image ships.

    Raises:
        UsageError: no such photograph and no such file.
        DataError: the file is no picture, or larger than 256 MiB.
    """
    if name in PATTERNS:
        return PATTERNS[name](shape, np.random.default_rng(0) if rng is None else rng)
    if name in PHOTOGRAPHS:
        image = _photograph(name, np.random.default_rng(0) if rng is None else rng)
    elif Path(name).is_file():
        image = _read(Path(name))
    else:
        raise UsageError(
            "no such picture",
            where=name,
            expected=f"a file, or one of {', '.join((*PATTERNS, *PHOTOGRAPHS))}",
        )
    grey = color.rgb2gray(image[..., :3]) if image.ndim == 3 else image.astype(np.float64)
    grey = transform.resize(grey, shape, order=1, anti_aliasing=True, mode="reflect")
    low, high = float(grey.min()), float(grey.max())
    return (grey - low) / (high - low if high > low else 1.0)


def _photograph(name: str, rng: np.random.Generator) -> np.ndarray:
    """(H, W) or (H, W, 3): a stack of faces becomes a sheet, a stereo pair its left picture."""
    if name == "binary_blobs":
        return data.binary_blobs(512, rng=rng)
    image = getattr(data, name)()
    if name == "stereo_motorcycle":
        image = image[0]
    if name == "lfw_subset":
        image = image.reshape(10, 20, 25, 25).swapaxes(1, 2).reshape(250, 500)
    return np.asarray(image)


def _read(path: Path) -> np.ndarray:
    if path.stat().st_size > MAX_PICTURE_BYTES:
        raise DataError(
            "the picture is too large",
            where=path,
            expected=f"≤ {MAX_PICTURE_BYTES} bytes",
            got=path.stat().st_size,
        )
    try:
        return np.asarray(io.imread(path))
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError("this file is no picture", where=path, got=error) from error


def complex_object(
    amplitude: str,
    phase: str,
    shape: tuple[int, int],
    *,
    amplitude_range: tuple[float, float],
    phase_range_rad: float,
    seed: int = 0,
) -> np.ndarray:
    """(H, W) complex128 object from two pictures, contrast as stated.

    Amplitude and phase draw from two streams of `seed`: the same pattern name twice gives two
    different fields, and neither touches the draws of the positions.
    """
    low, high = amplitude_range
    amplitude_rng, phase_rng = (np.random.default_rng((seed, 2, part)) for part in range(2))
    magnitude = low + (high - low) * picture(amplitude, shape, amplitude_rng)
    return magnitude * np.exp(1j * phase_range_rad * picture(phase, shape, phase_rng))
