"""What the comparison with another program judges by: NumPy, none of it either program's own code.

Halves of one scan are moved onto grids of their own; a reconstruction of one half is asked how
well it explains the other half's counts. Background rings are fitted on the frames that the
reconstruction was made from, the light of each scored frame on that frame: for both programs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ptycho import Reconstruction, Scan
from ptycho.evaluation.scores import evaluate_images, split
from ptycho.simulation.kernels import read

EDGE = 3
"""Pixels around an object that a kernel may read."""
FLOOR = 1e-3
BANDS = (0.1, 0.2, 0.3)


@dataclass(frozen=True)
class Half:
    """One half of a scan on a grid of its own.

    Args:
        scan: its frames, at positions moved by `moved_px`.
        moved_px: (row, col), by which the grid was moved.
        seed: of its start.
    """

    scan: Scan
    moved_px: tuple[float, float]
    seed: int

    def back(self, rec: Reconstruction) -> Reconstruction:
        """A reconstruction of this half in the frame of the whole scan."""
        row, col = np.subtract(rec.origin_px, self.moved_px)
        places = None if rec.positions_px is None else rec.positions_px - self.moved_px
        return replace(rec, origin_px=(float(row), float(col)), positions_px=places)

    def given(self) -> np.ndarray:
        """(M, 2) its positions in the frame of the whole scan."""
        return self.scan.positions_px - self.moved_px


def halves(scan: Scan, by: str, seed: int) -> tuple[Half, Half]:
    """Even and odd frames, or thinned counts; the second on a grid moved by part of a pixel."""
    rng = np.random.default_rng((seed, 11))
    first, second = split(scan, by, rng)
    row, col = (float(each) for each in rng.uniform(0.2, 0.8, 2))
    moved = replace(second, positions_px=second.positions_px + (row, col))
    return Half(first, (0.0, 0.0), 2 * seed), Half(moved, (row, col), 2 * seed + 1)


def start_of(half: Half) -> tuple[np.ndarray, tuple[float, float]]:
    """(H, W) complex64 object with a little random phase, and its origin on the half's grid."""
    places, side = half.scan.positions_px, half.scan.N
    low = np.floor(places.min(axis=0)).astype(int) - side // 2 - 2 * EDGE
    high = np.ceil(places.max(axis=0)).astype(int) + side // 2 + 2 * EDGE
    rng = np.random.default_rng((half.seed, 13))
    angle = 0.05 * rng.standard_normal(tuple(high - low))
    return np.exp(1j * angle).astype(np.complex64), (float(low[0]), float(low[1]))


def seeded_modes(probe: np.ndarray, modes: int) -> np.ndarray:
    """(modes, N, N): those that there are, then the first times a coordinate, 2 % of its light."""
    have = list(probe[:modes])
    row, col = np.indices(probe.shape[1:]) - probe.shape[-1] // 2
    for coordinate in (col, row, col * row)[: modes - len(have)]:
        more = probe[0] * coordinate
        have.append(more * np.sqrt(0.02) * np.linalg.norm(probe[0]) / np.linalg.norm(more))
    return np.stack(have).astype(np.complex64)


def carried(own: np.ndarray, given: np.ndarray, other: np.ndarray | None) -> np.ndarray:
    """(M, 2) where a reconstruction sees frames that another one has placed.

    A shift of all positions is a gauge of each reconstruction: that of the other is taken off,
    that of one's own put on.

    Args:
        own: (2,) mean by which the judged reconstruction moved its positions.
        given: (M, 2) positions of the scored frames as they were given.
        other: (M, 2) as the other reconstruction found them; None: as given.
    """
    if other is None:
        return given + own
    away = other - given
    return given + away - away.mean(axis=0) + own


def moved_by(rec: Reconstruction, given: np.ndarray) -> np.ndarray:
    """(2,) mean by which a reconstruction moved the positions of its frames."""
    return np.zeros(2) if rec.positions_px is None else (rec.positions_px - given).mean(axis=0)


def model(rec: Reconstruction, places: np.ndarray, kernel: str) -> np.ndarray:
    """(M, N, N) float64 counts without light and background: Σ over modes of |FFT(P·patch)|²."""
    assert rec.probe is not None
    side = rec.probe.shape[-1]
    field = np.pad(rec.object.astype(complex), side // 2 + EDGE, mode="edge")
    corners = places - side // 2 - np.asarray(rec.origin_px) + side // 2 + EDGE
    found = np.empty((len(places), side, side))
    for j, corner in enumerate(corners):
        patch = read(field, corner[None], side, kernel)[0]
        waves = np.fft.fft2(rec.probe * patch, norm="ortho")
        found[j] = np.fft.fftshift(np.sum(np.abs(waves) ** 2, axis=0))
    return found


def ring_numbers(side: int) -> np.ndarray:
    """(N, N) int: the distance of each pixel from DC, rounded."""
    return np.round(np.hypot(*(np.indices((side, side)) - side // 2))).astype(int)


def fit_rings(
    counts: np.ndarray, made: np.ndarray, valid: np.ndarray, steps: int = 15
) -> np.ndarray:
    """(rings,) background that, with the light of each frame free, explains the counts best.

    Fisher's scoring steps of the Poisson likelihood, rings and light in turn: multiplicative steps
    need hundreds where the background is a small part of the counts.
    """
    rings = ring_numbers(counts.shape[-1])
    size = rings.max() + 1
    level, light = np.full(size, FLOOR), _even(counts, made, valid)
    for _ in range(steps):
        light = _light(counts, made, level[rings], valid, light, 1)
        whole = light[:, None, None] * made + level[rings]
        slope = np.bincount(rings[valid], (counts / whole - 1).sum(axis=0)[valid], size)
        bend = np.bincount(rings[valid], (1 / whole).sum(axis=0)[valid], size)
        level = np.maximum(level + slope / np.maximum(bend, 1e-30), FLOOR)
    return level


def _even(counts: np.ndarray, made: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """(M,) light that explains all counts of a frame: where a fit begins, whatever the gauge."""
    return counts[:, valid].sum(axis=1) / np.maximum(made[:, valid].sum(axis=1), 1e-30)


def _light(
    counts: np.ndarray,
    made: np.ndarray,
    background: np.ndarray,
    valid: np.ndarray,
    light: np.ndarray,
    steps: int,
) -> np.ndarray:
    y, shape, least = counts[:, valid], made[:, valid], 1e-3 * _even(counts, made, valid)
    for _ in range(steps):
        whole = light[:, None] * shape + background[valid]
        slope = (shape * (y / whole - 1)).sum(axis=1)
        bend = (shape**2 / whole).sum(axis=1)
        light = np.maximum(light + slope / np.maximum(bend, 1e-30), least)
    return light


def deviance(counts: np.ndarray, made: np.ndarray, level: np.ndarray, valid: np.ndarray) -> float:
    """Poisson half-deviance a valid pixel, the light of each frame fitted to it."""
    background = level[ring_numbers(counts.shape[-1])]
    light = _light(counts, made, background, valid, _even(counts, made, valid), 10)
    y = counts[:, valid].astype(float)
    whole = light[:, None] * made[:, valid] + background[valid]
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(y > 0, y * np.log(y / whole), 0.0)
    return float(np.mean(logs + whole - y))


def explains(
    rec: Reconstruction, own: Half, other: Half, found: np.ndarray | None, kernel: str, every: int
) -> float:
    """Deviance of `rec`, made from `own`, on each `every`-th frame of `other`.

    Args:
        rec: in the frame of the whole scan. found: positions of `other`'s frames as its own
            reconstruction found them, in that frame; None: as given.
    """
    mask = own.scan.mask
    valid = np.ones((own.scan.N,) * 2, bool) if mask is None else mask
    shift = moved_by(rec, own.given())
    mine = own.given() if rec.positions_px is None else rec.positions_px
    picked = np.arange(0, own.scan.n_frames, every)
    level = fit_rings(
        np.asarray(own.scan.frames(picked), float), model(rec, mine[picked], kernel), valid
    )
    asked = np.arange(0, other.scan.n_frames, every)
    places = carried(shift, other.given(), found)[asked]
    return deviance(
        np.asarray(other.scan.frames(asked), float), model(rec, places, kernel), level, valid
    )


def agreement(first: Reconstruction, second: Reconstruction) -> dict[str, float]:
    """Ring correlation of two images in bands of .1 cycles/px, and its half-bit crossing."""
    told: dict[str, Any] = evaluate_images(first, second).metrics["frc"]
    frequency, curve = (np.array(told["curve"][key]) for key in ("cycles_per_px", "correlation"))
    found = {
        f"{low:.1f}-{low + 0.1:.1f}": float(
            curve[(frequency >= low) & (frequency < low + 0.1)].mean()
        )
        for low in BANDS
    }
    return {**found, "half_bit": float(told["cycles_per_px"])}
