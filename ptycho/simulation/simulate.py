"""From a configuration to a scan with its truth, in float64 NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ptycho.scan import Scan, Truth
from ptycho.simulation.config import SimulationConfig
from ptycho.simulation.objects import complex_object
from ptycho.simulation.probes import make_probe
from ptycho.simulation.trajectories import make_positions

BLOCK = 256
BORDER_PX = 2


def simulate(
    config: SimulationConfig,
    *,
    progress: Callable[[int, int, dict[str, Any]], None] | None = None,
) -> Scan:
    """Simulate one scan; the probe carries the dose, so that Σ counts has mean `photons`.

    Returns:
        A Scan with counts (Poisson), positions, the probe that was used, and the truth.
    """
    positions = make_positions(
        config.trajectory, config.n_frames, config.spacing_px, np.random.default_rng(config.seed)
    )
    half = config.N // 2
    origin = -(half + BORDER_PX)
    height, width = (
        int(np.ceil(extent)) + config.N + 2 * BORDER_PX + 1 for extent in positions.max(axis=0)
    )
    truth = complex_object(
        config.amplitude,
        config.phase,
        (height, width),
        amplitude_range=config.amplitude_range,
        phase_range_rad=config.phase_range_rad,
        seed=config.seed,
    )
    probe = make_probe(config.probe, config.N, config.diameter_px, config.probe_curvature_rad)
    expected = np.empty((config.n_frames, config.N, config.N))
    for start in range(0, config.n_frames, BLOCK):
        part = slice(start, min(start + BLOCK, config.n_frames))
        expected[part] = _intensity(truth, probe, positions[part] - half - origin)
        if progress:
            progress(part.stop, config.n_frames, {})
    scale = config.photons / expected.sum(axis=(1, 2)).mean()
    expected = expected * scale + config.background
    counts = expected
    if config.poisson:
        counts = np.random.default_rng((config.noise_seed, 1)).poisson(expected)
    return Scan(
        counts=counts.astype(np.float32),
        positions_px=positions,
        probe=(probe * np.sqrt(scale)).astype(np.complex64),
        truth=Truth(truth.astype(np.complex64), (float(origin), float(origin))),
        background=config.background,
        name=f"{config.amplitude}-{config.phase}",
        metadata={"simulation": config.model_dump(mode="json")},
    )


def _intensity(truth: np.ndarray, probe: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """(m, N, N) |F[P·patch]|², DC-centred; patches by bilinear interpolation at the corners."""
    size = probe.shape[0]
    whole = np.floor(corners).astype(int)
    fraction = (corners - whole)[:, :, None, None]
    rows = whole[:, 0, None] + np.arange(size + 1)
    cols = whole[:, 1, None] + np.arange(size + 1)
    window = truth[rows[:, :, None], cols[:, None, :]]
    window = window[:, :-1] * (1 - fraction[:, 0]) + window[:, 1:] * fraction[:, 0]
    patch = window[:, :, :-1] * (1 - fraction[:, 1]) + window[:, :, 1:] * fraction[:, 1]
    field = np.fft.fft2(patch * probe, norm="ortho")
    return np.fft.fftshift(np.abs(field) ** 2, axes=(-2, -1))
