"""A background in rings is scatter, or what the object is short of: told by counts not fitted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ptycho.refinement import RefineConfig, refine
from ptycho.refinement.rings import rings_of
from ptycho.refinement.scatter import told_apart
from ptycho.report.contents import of_reconstruction
from ptycho.scan import Scan
from ptycho.simulation import SimulationConfig, simulate

M, N = 64, 24


def speckle(rng: np.random.Generator, light: np.ndarray) -> np.ndarray:
    """Fields of random phase, whose mean intensity in a frame is its `light`."""
    noise = rng.normal(size=(2, M, N, N))
    return np.sqrt(light / 2)[:, None, None] * (noise[0] + 1j * noise[1])


@pytest.mark.parametrize("missing", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("dose", [0.5, 0.05])
def test_the_share_of_what_is_missing_is_found(missing: float, dose: float) -> None:
    """Of a background of 2 a pixel, this share interferes with the object's 4, the rest is even."""
    rng = np.random.default_rng(0)
    light = rng.uniform(0.5, 1.5, M)
    light /= light.mean()
    known, lost = speckle(rng, 4 * light), speckle(rng, 2 * missing * light)
    every = np.abs(known + lost) ** 2 + 2 * (1 - missing)
    counts = rng.poisson(dose * every).astype(np.float32)
    counts[:, 3, 4] = -1
    mask = np.ones((N, N))
    mask[7] = 0
    counts[:, 7] = 1e6
    told = told_apart(counts, np.abs(known) ** 2, np.full((N, N), 2.0), np.full(M, dose), mask)
    assert told is not None
    for share, error in (
        (told.by_speckle, told.by_speckle_error),
        (told.by_frames, told.by_frames_error),
    ):
        assert abs(share - missing) < 3 * error + 0.12
    assert told.verdict == {0.0: "scatter", 0.5: "open", 1.0: "shrinkage"}[missing]
    assert told.photons == pytest.approx(2 * (mask.sum() - 1))
    assert told.of_counts == pytest.approx(1 / 3, rel=0.05) and told.looked_at == 1
    assert sum(told.rings[0]) == pytest.approx(told.photons)


def test_few_frames_and_a_faint_background_tell_nothing() -> None:
    counts, flat = np.ones((M, N, N), np.float32), np.ones((N, N))
    model = np.ones((M, N, N))
    assert told_apart(counts[:7], model[:7], flat, np.ones(7), flat) is None
    assert told_apart(counts, model, 0.01 * flat, np.ones(M), flat) is None


@pytest.mark.parametrize("scattered", [True, False])
def test_scatter_and_a_smoothed_object_are_told_apart(scattered: bool) -> None:
    """Scatter in the counts, and none of it but an object that is smoothed far too much."""
    scan = simulate(
        SimulationConfig(N=32, n_frames=120, photons=1e5, probe_diameter_px=16, kernel="fourier")
    )
    if scattered:
        light = np.broadcast_to(0.5 + 6.0 * (rings_of(32) > 10), scan.counts.shape)
        counts = scan.counts + np.random.default_rng(3).poisson(light)
        scan = replace(scan, counts=counts.astype(np.float32))
    config = RefineConfig(
        background="rings",
        passes=80,
        held_out_fraction=0.3,
        clean="off",
        regularise=0.1 if scattered else 8.0,
    )
    rec = refine(scan, config=config).reconstruction
    told = rec.meta["background_told"]
    assert told["verdict"] == ("scatter" if scattered else "shrinkage")
    shares = (told["by_speckle"], told["by_frames"])
    assert max(shares) < 0.2 if scattered else min(shares) > 0.75
    words = "scatter on the detector" if scattered else "what the object is short of"
    assert words in told["words"]
    assert words in of_reconstruction(rec, "out.h5").facts["background"]


def test_without_held_out_counts_it_is_not_told() -> None:
    whole = simulate(SimulationConfig(N=16, n_frames=30, probe_diameter_px=8, step_px=2))
    scan = Scan(
        whole.counts * np.linspace(0.3, 0.4, whole.N), whole.positions_px, probe=whole.probe
    )
    config = RefineConfig(background="rings", passes=2)
    told = refine(scan, config=config).reconstruction.meta["background_told"]
    assert told["verdict"] == "open" and "not told apart" in told["words"]
    plain = refine(whole, config=RefineConfig(passes=2)).reconstruction
    assert "background_told" not in plain.meta
