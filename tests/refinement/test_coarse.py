"""The object at half the resolution first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptycho.errors import ConfigError
from ptycho.evaluation import evaluate
from ptycho.refinement import RefineConfig, coarse, refine
from ptycho.result import Reconstruction
from ptycho.scan import Scan
from ptycho.simulation import SimulationConfig, simulate

SETTINGS = SimulationConfig(N=32, n_frames=80, probe_diameter_px=16, step_px=4, photons=1e5)


@pytest.fixture(scope="module")
def scan() -> Scan:
    return simulate(SETTINGS)


def test_the_coarse_scan_is_the_inner_half_of_the_detector(scan: Scan) -> None:
    half = coarse.coarse_scan(scan)
    np.testing.assert_array_equal(half.counts, scan.counts[:, 8:24, 8:24])
    np.testing.assert_allclose(half.positions_px, scan.positions_px / 2)
    assert scan.probe is not None and half.probe is not None
    far = np.abs(np.fft.fftshift(np.fft.fft2(scan.probe, norm="ortho"), axes=(-2, -1))) ** 2
    found = np.abs(np.fft.fftshift(np.fft.fft2(half.probe, norm="ortho"), axes=(-2, -1))) ** 2
    np.testing.assert_allclose(found, far[:, 8:24, 8:24], atol=1e-5 * far.max())


def test_a_coarse_pixel_lies_at_twice_its_place() -> None:
    origin = (-3.0, 5.0)
    rows, cols = np.indices((20, 24))
    waves = np.exp(0.1j * (rows + origin[0])) + 0.5 * np.cos(0.07 * (cols + origin[1]))
    fine = coarse.finer(Reconstruction(waves, np.ones(waves.shape, np.float32), origin))
    assert fine.origin_px == (-6, 10) and fine.object.shape == (39, 47)
    rows, cols = np.indices(fine.object.shape)
    expected = np.exp(0.05j * (rows - 6)) + 0.5 * np.cos(0.035 * (cols + 10))
    np.testing.assert_allclose(fine.object[8:-8, 8:-8], expected[8:-8, 8:-8], atol=2e-4)
    np.testing.assert_allclose(fine.object[::2, ::2], waves, atol=1e-6)


def test_the_coarse_stage_leaves_time_and_chooses_nothing() -> None:
    asked = RefineConfig(coarse_passes=9, seconds=8, modes="auto", damping="auto", opr="auto")
    made = coarse.coarse_config(asked)
    assert (made.passes, made.seconds, made.coarse_passes) == (9, 4, 0)
    assert "auto" not in (made.modes, made.damping, made.opr, made.regularise)


@pytest.mark.training
def test_with_few_passes_the_phase_is_nearer_and_the_result_says_how_it_began(scan: Scan) -> None:
    few: dict[str, Any] = {"passes": 6, "update_probe": False, "regularise": 0.25}
    phase = {}
    for passes in (0, 12):
        rec = refine(scan, config=RefineConfig(**few, coarse_passes=passes)).reconstruction
        assert rec.meta["config"]["coarse_passes"] == passes
        phase[passes] = evaluate(rec, scan)["phase"]["ssim"]
    assert rec.meta["started_from"] == "half the resolution" and rec.meta["iterations"] == 6
    assert phase[12] > phase[0] + 0.02, phase


@pytest.mark.training
def test_a_run_that_was_cut_off_goes_on_to_the_same_result(scan: Scan, tmp_path: Path) -> None:
    config = RefineConfig(passes=6, coarse_passes=4, regularise="off", checkpoint_s=1e-6)
    whole = refine(scan, config=config).reconstruction
    for stage, number in (("half the resolution", 3), (None, 2)):

        def stop(done: int, total: int, info: dict[str, Any], at: Any = (stage, number)) -> None:
            if (info.get("trial"), info.get("pass")) == at:
                raise KeyboardInterrupt

        folder = tmp_path / str(number)
        with pytest.raises(KeyboardInterrupt):
            refine(scan, config=config, checkpoint=folder, progress=stop)
        again = refine(scan, config=config, checkpoint=folder, resume=True).reconstruction
        np.testing.assert_allclose(again.object, whole.object, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"start": True}, "no start"),
        ({"side": 18}, "multiple of 4"),
        ({"layers": 2}, "one layer"),
        ({"near": True}, "far field"),
    ],
)
def test_what_has_no_coarse_object_is_an_error(
    scan: Scan, change: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = RefineConfig(coarse_passes=3, layers=change.get("layers"))
    start = None
    if change.get("start"):
        start = Reconstruction(np.ones((9, 9), complex), np.ones((9, 9), np.float32), (0.0, 0.0))
    if side := change.get("side"):
        scan = replace(scan, counts=scan.counts[:, :side, :side], probe=scan.probe[:, :side, :side])
    if change.get("near"):
        monkeypatch.setattr(coarse, "is_near", lambda geometry: True)
    with pytest.raises(ConfigError, match="coarse_passes") as told:
        coarse.begun(scan, start, config, None, None)  # type: ignore[arg-type]
    assert words in str(told.value)
