"""What a detector makes of expected counts: photons, read noise, saturation, lost pixels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ptycho.simulation.config import SimulationConfig

BLOCK = 256


def static_mask(config: SimulationConfig) -> np.ndarray:
    """(N, N) bool, True = valid: gaps between modules, beam stop, dead pixels.

    Dead pixels are drawn from `seed`, not `noise_seed`: two noise realisations of a scan were
    measured with the same detector.
    """
    N = config.N
    mask = np.ones((N, N), bool)
    if config.gap_px:
        gap = np.arange(N) % (config.module_side_px + config.gap_px) >= config.module_side_px
        mask[gap] = False
        mask[:, gap] = False
    if config.beam_stop_diameter_px:
        axis = np.arange(N) - N // 2
        mask &= np.hypot(axis[:, None], axis) > config.beam_stop_diameter_px / 2
    if config.dead_fraction:
        rng = np.random.default_rng((config.seed, 3))
        dead = rng.choice(N * N, round(config.dead_fraction * N * N), replace=False)
        mask.flat[dead] = False
    return mask


def detect(
    expected: np.ndarray,
    config: SimulationConfig,
    progress: Callable[[int], None] | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Counts that the detector of `config` reports, and which pixels can be believed.

    Photons are drawn first, then read noise is added, then the result is cut at 0 and at the
    saturation. Lost pixels read 0. A pixel that saturates in any frame is masked in all of
    them, because a cut count is not Poisson and a scan has one mask.

    Args:
        expected: (M, N, N) float64 expected counts, background included.
        config: noise seeds and detector.
        progress: called with the number of frames done.

    Returns:
        (M, N, N) float32 counts ≥ 0, and the (N, N) bool mask (True = valid), None where every
        pixel is valid.
    """
    photons, electrons = (np.random.default_rng((config.noise_seed, part)) for part in (1, 4))
    static = static_mask(config)
    mask = static.copy()
    counts = np.empty(expected.shape, np.float32)
    for start in range(0, len(expected), BLOCK):
        part = slice(start, start + BLOCK)
        block = photons.poisson(expected[part]) if config.poisson else expected[part]
        if config.read_noise:
            noise = electrons.normal(0, config.read_noise, block.shape)
            block = np.maximum(block + noise, 0)
        if config.saturation is not None:
            mask &= ~(block >= config.saturation).any(axis=0)
            block = np.minimum(block, config.saturation)
        counts[part] = np.where(static, block, 0)
        if progress:
            progress(min(part.stop, len(expected)))
    return counts, None if mask.all() else mask
