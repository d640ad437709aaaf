"""What all frames' positions share: scale, rotation, shear, drift, backlash. NumPy only.

A stage whose step is 6 % off, a camera that is turned, a specimen that drifts: each moves every
frame, by a displacement that few numbers describe. Frames that move one by one cannot follow
(their neighbours hold them), so these numbers move first: the Gauss–Newton steps m of all frames,
weighted by the curvature h of each, are projected on the columns b of a basis,

    θ = argmin Σ_j h_j (b_j·θ − m_j)²,

each number with its own gain: the object gives way to a step and hides most of it, so a gain grows
while its steps agree in sign and halves when they do not.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

MOST_PX = 0.4
"""Farthest that a frame moves in one step."""
GROWS, SHRINKS, GAINS = 1.5, 0.5, (0.1, 300.0)
COLLINEAR = 0.05
"""A column of which less than this is left beside those before it says nothing new."""
DRIFT_DEGREE = 3


def affine_columns(positions_px: np.ndarray) -> np.ndarray:
    """(M, 2, 4): scale, rotation, aspect and shear about the mean, one pixel r.m.s. each."""
    row, col = (positions_px - positions_px.mean(axis=0)).T
    columns = np.stack(
        [np.stack(pair, 1) for pair in ((row, col), (-col, row), (row, -col), (col, row))], axis=2
    )
    return columns / np.maximum(np.sqrt((columns**2).sum(1).mean(0)), 1e-12)


def shared_columns(positions_px: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """(M, 2, K): orthonormal displacements (r.m.s. 1 px), none of them a shift of all frames.

    Args:
        positions_px: (M, 2) in the order of `numbers`, the frames' numbers in time.
    """
    time = np.asarray(numbers, np.float64)
    time = 2 * (time - time.min()) / max(float(np.ptp(time)), 1.0) - 1
    scalars = [time**k for k in range(1, DRIFT_DEGREE + 1)]
    if len(positions_px) > 2:
        moved = np.gradient(positions_px[np.argsort(time, kind="stable")], axis=0)
        fast = int(np.argmax(np.abs(moved).sum(axis=0)))
        way = np.empty(len(time))
        way[np.argsort(time, kind="stable")] = np.sign(moved[:, fast])
        scalars.append(way)  # a stage that comes from the other side stops elsewhere
    columns = [affine_columns(positions_px)]
    columns += [np.stack([s, 0 * s], 1)[..., None] for s in scalars]
    columns += [np.stack([0 * s, s], 1)[..., None] for s in scalars]
    return _orthonormal(np.concatenate(columns, axis=2))


def _orthonormal(columns: np.ndarray) -> np.ndarray:
    """Gram–Schmidt in their order, means removed; collinear ones are left out."""
    kept: list[np.ndarray] = []
    for column in np.moveaxis(columns, 2, 0):
        rest = column - column.mean(axis=0)
        whole = np.linalg.norm(rest)
        for _ in range(2):  # twice, for what rounding left
            for other in kept:
                rest = rest - other * np.vdot(other, rest)
        left = np.linalg.norm(rest)
        if left > COLLINEAR * whole and left > 1e-9:
            kept.append(rest / left)
    return np.stack(kept, axis=2) * np.sqrt(len(columns)) if kept else columns[:, :, :0]


@dataclass
class Places:
    """The numbers that all frames share, on their way."""

    columns: np.ndarray  # (M, 2, K)
    gains: np.ndarray = field(default_factory=lambda: np.ones(0))
    last: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        count = self.columns.shape[2]
        self.gains, self.last = np.ones(count), np.zeros(count)

    def step(self, moves: np.ndarray, grip: np.ndarray) -> np.ndarray:
        """(M, 2) the move of each frame, from its own Gauss–Newton step and curvature."""
        if not len(self.gains):
            return np.zeros_like(moves, np.float64)
        weighted = self.columns * np.asarray(grip, np.float64)[..., None]
        normal = np.einsum("mak,mal->kl", weighted, self.columns)
        normal += (1e-6 * np.trace(normal) / len(normal) + 1e-30) * np.eye(len(normal))
        theta = np.linalg.solve(normal, np.einsum("mak,ma->k", weighted, moves))
        agree = np.sign(theta) == np.sign(self.last)
        change = np.where(agree, GROWS, np.where(self.last == 0, 1.0, SHRINKS))
        self.gains, self.last = np.clip(self.gains * change, *GAINS), theta
        step = self.columns @ (self.gains * theta)
        return step * min(1.0, MOST_PX / max(float(np.abs(step).max()), 1e-12))


def affine_part(positions_px: np.ndarray, moves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(2, 2) of the least-squares fit moves ≈ (position − mean) @ it + constant, and the rest."""
    centred = positions_px - positions_px.mean(axis=0)
    away = moves - moves.mean(axis=0)
    by = np.linalg.lstsq(centred, away, rcond=None)[0]
    return by, away - centred @ by


def smooth_field(positions_px: np.ndarray, moves: np.ndarray, at_px: np.ndarray) -> np.ndarray:
    """(P, 2): the moves of frames as a quadratic function of the place, read at `at_px` (P, 2)."""
    centre = positions_px.mean(axis=0)
    size = max(float(np.abs(positions_px - centre).max()), 1.0)

    def powers(places: np.ndarray) -> np.ndarray:
        row, col = np.clip((places - centre) / size, -1.2, 1.2).T
        return np.stack([np.ones_like(row), row, col, row * row, row * col, col * col], axis=1)

    return powers(at_px) @ np.linalg.lstsq(powers(positions_px), moves, rcond=None)[0]
