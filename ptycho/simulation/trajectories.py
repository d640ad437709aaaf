"""Trajectories: where the probe stands, (row, col) in pixels, starting near the origin."""

from __future__ import annotations

import numpy as np

GOLDEN_ANGLE_RAD = np.pi * (3 - np.sqrt(5))


def make_positions(
    kind: str, n_frames: int, step_px: float, rng: np.random.Generator
) -> np.ndarray:
    """(n_frames, 2) float64 positions whose smallest row and column are 0.

    Args:
        kind: 'raster', 'jittered' (raster ± 30 % of a step), 'fermat' (golden-angle spiral),
            'random' (uniform, no two closer than half a step).
        n_frames: number of positions.
        step_px: mean distance of neighbours.
        rng: of all draws.
    """
    side = int(np.ceil(np.sqrt(n_frames)))
    if kind in ("raster", "jittered"):
        index = np.arange(n_frames)
        positions = step_px * np.column_stack([index // side, index % side]).astype(np.float64)
        if kind == "jittered":
            positions += rng.uniform(-0.3, 0.3, positions.shape) * step_px
    elif kind == "fermat":
        n = np.arange(n_frames)
        radius = step_px / np.sqrt(np.pi) * np.sqrt(n)
        angle = n * GOLDEN_ANGLE_RAD
        positions = np.column_stack([radius * np.sin(angle), radius * np.cos(angle)])
    else:
        positions = _random(n_frames, side * step_px, 0.5 * step_px, rng)
    return positions - positions.min(axis=0)


def _random(
    n_frames: int, extent_px: float, distance_px: float, rng: np.random.Generator
) -> np.ndarray:
    """Dart throwing on a grid of cells with side `distance_px`/√2 (at most one dart in each)."""
    cell = distance_px / np.sqrt(2)
    taken: dict[tuple[int, int], np.ndarray] = {}
    while len(taken) < n_frames:
        dart = rng.uniform(0, extent_px, 2)
        row, col = (int(value // cell) for value in dart)
        near = (taken.get((row + i, col + j)) for i in range(-2, 3) for j in range(-2, 3))
        if all(other is None or np.hypot(*(dart - other)) >= distance_px for other in near):
            taken[row, col] = dart
    return np.array(list(taken.values()))
