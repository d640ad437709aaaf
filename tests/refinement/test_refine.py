"""Refinement end to end: on a simulation with truth, from a start, with wrong positions, masked."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from ptycho.errors import ModelError, ShapeError
from ptycho.evaluation.scores import evaluate
from ptycho.refinement.config import RefineConfig
from ptycho.refinement.outcome import RefineResult
from ptycho.refinement.run import refine
from ptycho.scan import Scan
from ptycho.simulation import SimulationConfig, simulate


@pytest.fixture(scope="module")
def scan() -> Scan:
    return simulate(
        SimulationConfig(N=32, n_frames=150, photons=2e5, probe_diameter_px=16, kernel="cubic")
    )


@pytest.fixture(scope="module")
def result(scan) -> RefineResult:
    return refine(scan, config=RefineConfig(passes=40))


def test_it_finds_the_truth_and_explains_the_counts(scan, result):
    metrics = evaluate(result.reconstruction, scan)
    assert metrics["amplitude"]["ssim"] > 0.85
    assert metrics["phase"]["ssim"] > 0.85
    assert 0.9 < metrics["phase"]["std_ratio"] < 1.1
    assert metrics["frc"]["cycles_per_px"] > 0.4
    assert 0.25 < result.deviance_per_pixel < 0.6, "about ½ a pixel where only noise is left"
    assert result.iterations == len(result.history) <= 40
    assert metrics["gauge"]["scale"] == pytest.approx(1, abs=0.02), "the probe kept the dose"


def test_residual_and_deviance_are_those_of_the_returned_fields(scan, result):
    rec = result.reconstruction
    errors, roots, deviance = 0.0, 0.0, 0.0
    from ptycho.report.figures import model_frame

    counts = scan.frames(np.arange(scan.n_frames)).astype(np.float64)
    for j in range(scan.n_frames):
        model = model_frame(rec, scan, j) + 1e-3
        errors += np.abs(np.sqrt(model) - np.sqrt(counts[j])).sum()
        roots += np.sqrt(counts[j]).sum()
        y = counts[j]
        deviance += (model - y + np.where(y > 0, y * np.log(np.maximum(y, 1) / model), 0)).sum()
    assert result.residual == pytest.approx(errors / roots, rel=1e-3)
    assert result.deviance_per_pixel == pytest.approx(deviance / counts.size, rel=1e-3)


def test_a_passes_budget_gives_the_same_result_twice(scan):
    first, second = (refine(scan, config=RefineConfig(passes=3, seed=4)) for _ in range(2))
    np.testing.assert_allclose(first.reconstruction.object, second.reconstruction.object, atol=1e-5)
    other = refine(scan, config=RefineConfig(passes=3, seed=5))
    assert np.abs(first.reconstruction.object - other.reconstruction.object).max() > 1e-4


def test_a_start_saves_passes(scan, result):
    scratch = refine(scan, config=RefineConfig(passes=2))
    started = refine(scan, start=result.reconstruction, config=RefineConfig(passes=2))
    assert started.history[0]["residual"] < 0.6 * scratch.history[0]["residual"]
    assert started.deviance_per_pixel < 0.85 * scratch.deviance_per_pixel
    assert started.reconstruction.meta["started_from"] == "refine"
    assert started.reconstruction.origin_px == result.reconstruction.origin_px


def test_wrong_positions_are_corrected(scan):
    rng = np.random.default_rng(0)
    wrong = np.clip(rng.normal(size=scan.positions_px.shape) * 0.7, -2, 2)
    moved = Scan(scan.counts, scan.positions_px + wrong, probe=scan.probe, truth=scan.truth)
    config = RefineConfig(passes=40, positions=True, update_probe=False)
    corrected = refine(moved, config=config)
    plain = refine(moved, config=RefineConfig(passes=40, update_probe=False))
    error = corrected.reconstruction.positions_px - scan.positions_px
    before = (wrong - wrong.mean(0)).std()
    assert (error - error.mean(0)).std() < 0.35 * before
    assert corrected.residual < plain.residual
    assert plain.reconstruction.positions_px is None


def test_two_modes_of_light_are_found(scan):
    """Half of every frame's light comes through a shifted copy of the probe, incoherently."""
    rng = np.random.default_rng(1)
    probe = scan.probe[0] / np.sqrt(2)
    modes = np.stack([probe, np.roll(probe, 4, axis=1)])
    truth, first = scan.truth, scan.positions_px.round().astype(int) - 16
    corner = first - np.round(truth.origin_px).astype(int)
    keep = (corner >= 0).all(1) & (corner + 32 <= truth.object.shape).all(1)
    frames = [
        (
            np.abs(
                np.fft.fftshift(
                    np.fft.fft2(modes * truth.object[r : r + 32, c : c + 32], norm="ortho"),
                    axes=(-2, -1),
                )
            )
            ** 2
        ).sum(0)
        for r, c in corner[keep]
    ]
    mixed = Scan(
        rng.poisson(frames).astype(np.float32), scan.positions_px[keep].round(), probe=scan.probe
    )
    one, two = (refine(mixed, config=RefineConfig(passes=30, modes=k)) for k in (1, 2))
    assert two.reconstruction.probe.shape[0] == 2
    held = [r.reconstruction.meta["held_out_deviance"] for r in (one, two)]
    assert held[1] < 0.95 * held[0], "counts that were not fitted agree"


def test_dead_pixels_are_left_out(scan):
    mask = np.ones((32, 32), bool)
    mask[:, 14] = False
    mask[5:9, 20:24] = False
    counts = scan.frames(np.arange(scan.n_frames)).copy()
    counts[:, ~mask] = 60000
    masked = Scan(counts, scan.positions_px, probe=scan.probe, mask=mask, truth=scan.truth)
    result = refine(masked, config=RefineConfig(passes=30))
    metrics = evaluate(result.reconstruction, masked)
    assert metrics["phase"]["ssim"] > 0.75 and metrics["amplitude"]["ssim"] > 0.75


def test_progress_tells_residual_and_held_out(scan):
    calls = []
    refine(scan, config=RefineConfig(passes=2), progress=lambda *call: calls.append(call))
    assert [call[2]["pass"] for call in calls] == [1, 2]
    assert calls[-1][0] == calls[-1][1]
    assert calls[1][2]["residual"] < calls[0][2]["residual"]
    assert "held-out" in calls[0][2]


def test_odd_frames_and_divergence_are_errors(scan):
    odd = Scan(np.ones((4, 15, 15)), scan.positions_px[:4], probe=np.ones((15, 15)))
    with pytest.raises(ShapeError, match="even"):
        refine(odd)
    wild = RefineConfig(passes=40, object_step=2, probe_step=2, momentum=0.999, damping=1e-6)
    with pytest.raises(ModelError, match="damping"):
        refine(scan, config=wild)


def test_no_submodule_hides_the_public_function():
    """Importing every module of the package leaves `ptycho.refine` a function."""
    code = "import ptycho, ptycho.refinement.run, ptycho.refinement.config; ptycho.refine(None)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert "AttributeError: 'NoneType'" in done.stderr, "it reached refine() itself"


def test_the_command_writes_file_figure_and_one_json_object(tmp_path, scan):
    from ptycho.data import load_reconstruction, save_scan

    save_scan(scan, tmp_path / "scan.npz")
    command = [sys.executable, "-m", "ptycho", "refine", str(tmp_path / "scan.npz"), "--json"]
    more = ["-o", str(tmp_path / "new" / "out.h5"), "--passes", "3", "--set", "seed=2"]
    done = subprocess.run(
        [*command, *more], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    wanted = ["residual", "deviance_per_pixel", "seconds", "iterations"]
    assert list(facts)[-4:] == wanted
    assert facts["iterations"] == 3
    rec = load_reconstruction(tmp_path / "new" / "out.h5")
    assert rec.meta["config"]["seed"] == 2 and rec.meta["residual"] == facts["residual"]
    assert (tmp_path / "new" / "out.png").read_bytes()[:4] == b"\x89PNG"
    done = subprocess.run(
        [*command, *more, "--set", "sed=3"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 2 and "sed" in done.stderr and "Traceback" not in done.stderr
