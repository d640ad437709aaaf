"""Whole-scan passes: total variation, its weight by held-out counts, a background free in rings."""

from __future__ import annotations

import numpy as np
import pytest

from ptycho.config import resolve
from ptycho.errors import ConfigError
from ptycho.evaluation import evaluate
from ptycho.physics import backend
from ptycho.refinement import RefineConfig, refine
from ptycho.refinement.rings import ring_background, rings_of
from ptycho.refinement.variation import prox
from ptycho.scan import Scan
from ptycho.simulation import SimulationConfig, simulate

smooth = backend.jit(prox)


def variation(image: np.ndarray) -> float:
    """Vectorial total variation, in plain NumPy."""
    down, across = np.zeros((2, *image.shape), complex)
    down[:-1], across[:, :-1] = np.diff(image, axis=0), np.diff(image, axis=1)
    return float(np.sum(np.sqrt(np.abs(down) ** 2 + np.abs(across) ** 2)))


def test_the_prox_minimises_what_it_says():
    rng = np.random.default_rng(0)
    step = np.where(np.arange(24) < 12, 1.0, 1j)[None] * np.ones((20, 1))
    noisy = (step + 0.2 * (rng.normal(size=(20, 24)) + 1j * rng.normal(size=(20, 24)))).astype(
        np.complex64
    )
    weight = 0.3
    dual = backend.tensor(np.zeros((4, 20, 24), np.float32))
    for _ in range(60):  # warm starts go on where the last call ended
        found, dual = smooth(backend.tensor(noisy), dual, backend.scalar(weight, "float32"))
    found = np.asarray(backend.concrete(found)).astype(complex)

    def cost(image: np.ndarray) -> float:
        return 0.5 * float(np.sum(np.abs(image - noisy) ** 2)) + weight * variation(image)

    least = cost(found)
    assert least < 0.8 * cost(noisy)
    for _ in range(20):
        other = rng.normal(size=noisy.shape) + 1j * rng.normal(size=noisy.shape)
        for size in (1e-2, -1e-2):
            assert cost(found + size * other) > least
    assert np.abs(found - step).std() < 0.6 * np.abs(noisy - step).std()


def test_the_prox_keeps_a_constant_and_the_mean():
    flat = backend.tensor(np.full((8, 9), 2 - 1j, np.complex64))
    dual = backend.tensor(np.zeros((4, 8, 9), np.float32))
    found, _ = smooth(flat, dual, backend.scalar(5.0, "float32"))
    np.testing.assert_allclose(np.asarray(backend.concrete(found)), 2 - 1j, atol=1e-6)


@pytest.fixture(scope="module")
def dim() -> Scan:
    """Few photons, and another sub-pixel kernel than the model's."""
    return simulate(
        SimulationConfig(N=32, n_frames=100, photons=2e3, probe_diameter_px=16, kernel="fourier")
    )


def test_held_out_counts_choose_a_weight_that_helps_the_image(dim):
    plain = refine(dim, config=RefineConfig(passes=20, update_probe=False, regularise="off"))
    config = RefineConfig(passes=40, update_probe=False)
    chosen = refine(dim, config=config)
    meta = chosen.reconstruction.meta
    assert meta["regularise"] > 0 and meta["loss"] in ("poisson", "amplitude")
    rows = meta["whole_trials"]
    best = min(rows, key=lambda row: row["held_out_deviance"])
    assert (best["regularise"], best["loss"]) == (meta["regularise"], meta["loss"])
    assert meta["held_out_deviance"] == best["held_out_deviance"] != meta["reported_deviance"]
    assert meta["reported_deviance"] == pytest.approx(best["held_out_deviance"], rel=0.1)
    assert chosen.iterations == len(chosen.history) == 40
    before, after = (evaluate(r.reconstruction, dim)["phase"]["ssim"] for r in (plain, chosen))
    assert after > before + 0.02


def test_a_number_is_taken_as_it_is_and_counts_that_are_not_whole_choose_nothing(dim):
    bar: list[int] = []
    fixed = refine(
        dim,
        config=RefineConfig(passes=4, regularise=0.4, loss="poisson"),
        progress=lambda done, total, info: bar.append(done),
    )
    assert bar == sorted(bar) and bar[-1] == 1000  # mini-batches and whole passes share one bar
    assert fixed.reconstruction.meta["regularise"] == 0.4
    assert fixed.reconstruction.meta["whole_trials"] == [] and fixed.iterations == 4
    fractional = Scan(dim.counts * np.linspace(0.3, 0.4, dim.N), dim.positions_px, probe=dim.probe)
    few = refine(dim, config=RefineConfig(passes=4))
    assert "4 passes are too few" in few.reconstruction.meta["regularise"]
    timed = refine(dim, config=RefineConfig(passes=4, seconds=300))
    assert timed.reconstruction.meta["regularise"].startswith("off: a budget of seconds")
    blind = refine(fractional, config=RefineConfig(passes=60))
    assert blind.reconstruction.meta["regularise"] == "off: no counts can be held out"


def test_settings_of_whole_scan_passes_that_there_were_none_of_are_told(dim):
    config = RefineConfig(passes=2, loss="amplitude")
    assert refine(dim, config=config).reconstruction.meta["loss"] == (
        "amplitude is not used: there was no whole-scan pass"
    )
    config = RefineConfig(passes=2, regularise=0.5, whole_share=0.1)
    meta = refine(dim, config=config).reconstruction.meta
    assert meta["regularise"] == "0.5 is not used: there was no whole-scan pass"
    assert "loss" not in meta


def test_a_background_in_rings_is_found():
    """Scattered light, brighter outside, on a scan whose probe and object are found as well."""
    scan = simulate(SimulationConfig(N=32, n_frames=120, photons=1e5, probe_diameter_px=16))
    scatter = 0.5 + 6.0 * (rings_of(32) > 10)
    extra = np.random.default_rng(3).poisson(scatter, (120, 32, 32)).astype(np.float32)
    scattered = Scan(scan.frames(np.arange(120)) + extra, scan.positions_px, probe=scan.probe)
    config = RefineConfig(background="rings", kernel="bilinear", clean="off")
    result = refine(scattered, config=config)
    plain = refine(scattered, config=RefineConfig(kernel="bilinear", clean="off"))
    profile = np.array(result.reconstruction.meta["background_rings"])
    assert profile[11:14].mean() == pytest.approx(6.5, rel=0.2)
    assert result.deviance_per_pixel < 0.8 * plain.deviance_per_pixel


def test_a_ring_is_one_number_and_never_dark():
    mask = np.ones((8, 8), np.float32)
    ratio = np.random.default_rng(0).uniform(0, 2, (8, 8))
    found = ring_background(np.full((8, 8), 0.5, np.float32), ratio, mask)
    ring = rings_of(8)
    for radius in np.unique(ring):
        np.testing.assert_allclose(
            found[ring == radius], 0.5 * ratio[ring == radius].mean(), rtol=1e-5
        )
    assert ring_background(found, 0 * ratio, mask).min() == np.float32(1e-3)


def test_off_is_off_as_yaml_reads_it():
    settings = resolve(RefineConfig, overrides=["regularise=off", "clean=off"])
    assert (settings.regularise, settings.clean) == ("off", "off")
    with pytest.raises(ConfigError, match="not true or false"):
        resolve(RefineConfig, overrides=["passes=off"])


def test_few_passes_are_no_more_than_were_asked_for(dim):
    """The trial of another loss needs 16; below, no trial is begun."""
    config = RefineConfig(passes=5, regularise=0.25, whole_share=0.6)
    few = refine(dim, config=config)
    assert few.iterations == len(few.history) == 5
    assert few.reconstruction.meta["loss"] == "poisson"
    assert few.reconstruction.meta["whole_trials"] == []


def test_progress_tells_what_held_out_counts_say(dim):
    """On the way down, at the end of each trial; then that they are fitted from now on."""
    told: list[dict] = []
    config = RefineConfig(passes=40, update_probe=False)
    found = refine(dim, config=config, progress=lambda done, total, info: told.append(info))
    meta = found.reconstruction.meta
    assert [info["pass"] for info in told] == list(range(1, 41))
    judged = [row["held_out_deviance"] for row in found.history]
    ends, at = [], 7  # a sixth of 40 passes before the trials
    for row in meta["whole_trials"]:
        at += row["passes"]
        ends.append(at)
        assert judged[at - 1] == row["held_out_deviance"] == told[at - 1]["held-out"]
    assert [k for k, value in enumerate(judged, 1) if value is not None] == [5, *ends]
    assert all(judged[4] == info["held-out"] for info in told[4 : ends[0] - 1])
    last = f"{meta['held_out_deviance']:.4g} before, now fitted"
    assert {info["held-out"] for info in told[ends[-1] :]} == {last}
    assert len(told) > ends[-1]
