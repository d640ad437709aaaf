"""Specimens of ten kinds for the prior's scans: two pictures, curved, turned and cut out.

Each kind is a pattern of `ptycho.simulation` or a photograph. A picture is drawn larger than the
scan and cut out anywhere, so that no two scans show the same; three of four are as fine as they
were drawn, the others magnified by up to 2, which blurs them. A specimen may be a window in an
empty field, and phase and amplitude may share their edges, as in a real one.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ptycho.data import load_reconstruction
from ptycho.prior import LIT
from ptycho.simulation import PATTERNS, picture

TEST_PHOTOGRAPHS = ("astronaut", "coffee", "rocket", "moon", "text", "page", "lfw_subset")
"""Never trained on: what the tables of the documents are made with."""
TRAINING_PHOTOGRAPHS = (
    "brick", "camera", "cell", "chelsea", "clock", "coins", "colorwheel", "grass", "gravel",
    "hubble_deep_field", "immunohistochemistry", "microaneurysms", "retina", "stereo_motorcycle",
)  # fmt: skip
KINDS = ("photographs", *PATTERNS)
FINE = 0.75
"""Share of the pictures that are as fine as they were drawn, and of those that no filter blurs."""
PHOTOGRAPH_PX = 400
"""Side at which a photograph is cut from, or less where a smaller one has room for the cut."""


@dataclass(frozen=True)
class Specimen:
    """What decides a specimen; the same record gives the same one.

    Args:
        kinds: of the amplitude's and the phase's picture, of `KINDS`; one: both share it.
        amplitude_low: of the amplitude, whose largest value is 1.
        phase_range_rad: the phase goes from 0 to this.
        emptied: share of the area that is an even field.
        seed: of all draws.
    """

    kinds: tuple[str, ...]
    amplitude_low: float
    phase_range_rad: float
    emptied: float
    seed: int

    def __call__(self, shape: tuple[int, int]) -> np.ndarray:
        """(H, W) complex128."""
        first, second, rest = (np.random.default_rng((self.seed, part)) for part in range(3))
        amplitude = _curved(_cut(self.kinds[0], shape, first), first)
        if len(self.kinds) == 1:
            phase = _curved(amplitude, second)
        else:
            phase = _curved(_cut(self.kinds[1], shape, second), second)
        inside = np.ones(shape)
        if self.emptied > 0:
            field = ndimage.gaussian_filter(rest.standard_normal(shape), min(shape) / 8)
            inside = (field > np.quantile(field, self.emptied)).astype(np.float64)
            inside = ndimage.gaussian_filter(inside, rest.uniform(0.3, 1.5))
        magnitude = 1 - (1 - self.amplitude_low) * amplitude * inside
        return magnitude * np.exp(1j * self.phase_range_rad * phase * inside)


@dataclass(frozen=True)
class Cutting:
    """A specimen cut out of a reconstruction, magnified, mirrored, turned: data of one's own kind.

    Args:
        path: of a result file. seed: of all draws.
    """

    path: str
    seed: int
    kinds: tuple[str, ...] = ("own",)

    def __call__(self, shape: tuple[int, int]) -> np.ndarray:
        """(H, W) complex128 whose amplitude is at most 1; a small object is continued mirrored."""
        rng = np.random.default_rng(self.seed)
        field = np.rot90(_object(self.path), int(rng.integers(4)))
        zoom = float(np.exp(rng.uniform(np.log(0.7), np.log(1.4))))
        wanted = [int(np.ceil(side / zoom)) + 4 for side in shape]
        room = [max(0, length - side) for length, side in zip(wanted, field.shape, strict=True)]
        field = np.pad(field, [(0, part) for part in room], mode="symmetric")
        row, col = (
            int(rng.integers(0, side - length + 1))
            for side, length in zip(field.shape, wanted, strict=True)
        )
        part = field[row : row + wanted[0], col : col + wanted[1]]
        part = part[:: rng.choice((-1, 1)), :: rng.choice((-1, 1))]
        scale = [side / length for side, length in zip(shape, part.shape, strict=True)]
        re, im = (ndimage.zoom(each, scale, order=1) for each in (part.real, part.imag))
        return np.asarray(re + 1j * im, np.complex128)


@functools.lru_cache(maxsize=8)
def _object(path: str) -> np.ndarray:
    """The lit part of a reconstruction, its amplitude at most 1."""
    rec = load_reconstruction(path)
    inside = rec.coverage >= LIT * np.quantile(rec.coverage[rec.coverage > 0], 0.95)
    rows, cols = (np.flatnonzero(inside.any(axis)) for axis in (1, 0))
    field = rec.object[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
    field = np.where(inside[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1], field, 0)
    size = np.abs(field)
    usual = float(np.quantile(size[size > 0], 0.99))
    return np.asarray(field * np.minimum(1, usual / np.maximum(size, 1e-9)) / usual)


def _cut(kind: str, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """(H, W) in [0, 1]: a part of a larger picture of this kind, magnified, mirrored, turned."""
    zoom = 1.0 if rng.uniform() < FINE else float(np.exp(rng.uniform(np.log(0.7), np.log(2.0))))
    wanted = shape if zoom == 1 else tuple(int(np.ceil(side / zoom)) + 4 for side in shape)
    side = int(1.6 * max(wanted))
    if kind == "photographs":
        kind = str(rng.choice(TRAINING_PHOTOGRAPHS))
        least = max(wanted) + 1
        side = int(np.exp(rng.uniform(np.log(least), np.log(max(least, PHOTOGRAPH_PX)))))
    whole = picture(kind, (side, side), rng)
    row, col = (int(rng.integers(0, side - length + 1)) for length in wanted)
    part = whole[row : row + wanted[0], col : col + wanted[1]]
    part = part[:: rng.choice((-1, 1)), :: rng.choice((-1, 1))]
    if zoom != 1:
        scale = [side / length for side, length in zip(shape, part.shape, strict=True)]
        part = ndimage.zoom(part, scale, order=1)
    low, high = float(part.min()), float(part.max())
    return (part - low) / max(high - low, 1e-6)


def _curved(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The picture through a power law, inverted half of the time, a little blurred at times."""
    image = np.clip(image, 0, 1) ** np.exp(rng.uniform(-0.6, 0.6))
    image = 1 - image if rng.uniform() < 0.5 else image
    return image if rng.uniform() < FINE else ndimage.gaussian_filter(image, rng.uniform(0.3, 0.9))
