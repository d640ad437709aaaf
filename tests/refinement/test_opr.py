"""A probe that varies from frame to frame: eigenprobes with a weight a frame."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ptycho.data import load_reconstruction, save_reconstruction
from ptycho.errors import ConfigError, ShapeError
from ptycho.evaluation import evaluate
from ptycho.physics import backend
from ptycho.refinement import RefineConfig, refine, step
from ptycho.refinement.eigenprobes import along, principal, tidy
from ptycho.result import Reconstruction
from ptycho.scan import Scan
from ptycho.simulation import SimulationConfig, simulate

SIDE = 32


@pytest.fixture(scope="module")
def clean() -> Scan:
    """One probe for all frames, positions at whole pixels."""
    scan = simulate(
        SimulationConfig(N=SIDE, n_frames=100, photons=1e5, probe_diameter_px=16, kernel="fourier")
    )
    return counted(scan, np.zeros(scan.n_frames))


def second_shape(probe: np.ndarray) -> np.ndarray:
    """(N, N) with a tenth of the probe's light, and orthogonal to it."""
    shape = probe * (np.indices(probe.shape)[1] - SIDE // 2)
    shape = shape - probe * np.vdot(probe, shape) / np.vdot(probe, probe)
    return shape * np.sqrt(0.1) * np.linalg.norm(probe) / np.linalg.norm(shape)


def counted(scan: Scan, weights: np.ndarray) -> Scan:
    """The scan at whole pixels; frame j has the probe P + weight_j V. NumPy alone."""
    positions = scan.positions_px.round()
    first = (positions - SIDE // 2 - np.asarray(scan.truth.origin_px)).round().astype(int)
    probe = scan.probe[0].astype(complex)
    patches = np.stack([scan.truth.object[r : r + SIDE, c : c + SIDE] for r, c in first])
    waves = patches * (probe + weights[:, None, None] * second_shape(probe))
    far = np.fft.fftshift(np.fft.fft2(waves, norm="ortho"), axes=(-2, -1))
    counts = np.random.default_rng(3).poisson(np.abs(far) ** 2).astype(np.float32)
    return replace(scan, counts=counts, positions_px=positions)


def test_principal_components_are_the_shape_that_frames_differ_by():
    rng = np.random.default_rng(0)
    probe, shape = rng.normal(size=(2, 2, 8, 8)).view(complex).reshape(2, 2, 8, 4)[:, 0]
    weights = rng.normal(size=60)
    weights -= weights.mean()
    steps = probe * rng.normal(size=60)[:, None, None] + weights[:, None, None] * shape
    found, share = principal(steps, probe, 1)
    own = shape - along(shape[None], probe)[0]
    assert share > 0.999
    cosine = np.vdot(found[0], own).real / np.linalg.norm(found[0]) / np.linalg.norm(own)
    assert abs(cosine) == pytest.approx(1, abs=1e-4)
    assert np.sum(np.abs(found) ** 2) == pytest.approx(
        np.mean(weights**2) * np.sum(np.abs(own) ** 2), rel=1e-3
    )
    noise = rng.normal(size=(60, 8, 8)) + 1j * rng.normal(size=(60, 8, 8))
    assert principal(noise, np.ones((8, 8)), 1)[1] < 0.1
    assert len(principal(steps[:2], probe, 3)[0]) == 1, "two frames differ by one shape"


def test_tidying_keeps_what_varies_and_its_form():
    rng = np.random.default_rng(1)
    probe = rng.normal(size=(6, 6)) + 1j * rng.normal(size=(6, 6))
    shapes = rng.normal(size=(2, 6, 6)) + 1j * rng.normal(size=(2, 6, 6))
    weights = 3 * rng.normal(size=(40, 2)) + 1
    of_frames = probe + np.tensordot(weights, shapes, axes=1)
    first, varying, tidied = tidy(probe, shapes, weights)
    np.testing.assert_allclose(tidied.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(tidied.T @ tidied / 40, np.eye(2), atol=1e-5)
    light = np.sum(np.abs(varying) ** 2, axis=(1, 2))
    assert light[0] >= light[1]
    flat = varying.reshape(2, -1)
    assert abs(np.vdot(flat[0], flat[1]).real) < 1e-4 * light[0]
    np.testing.assert_allclose(np.tensordot(varying, first.conj(), axes=2), 0, atol=1e-3)
    after = first + np.tensordot(tidied, varying, axes=1)
    gone = of_frames - after  # a multiple of the mean probe in each frame, and nothing else
    np.testing.assert_allclose(gone - along(gone, first), 0, atol=1e-4)


def test_a_varying_probe_is_found_told_and_kept(clean, tmp_path):
    """Counts that were not fitted agree, each frame's weight is found, and the file holds it."""
    weights = np.random.default_rng(5).normal(size=clean.n_frames)
    wrong = counted(clean, weights)
    config = RefineConfig(passes=40, regularise="off", clean="off", opr=1)
    found, plain = (
        refine(wrong, config=each).reconstruction
        for each in (config, config.model_copy(update={"opr": 0}))
    )
    assert found.meta["held_out_deviance"] < 0.7 * plain.meta["held_out_deviance"]
    score = [evaluate(rec, clean)["phase"]["ssim"] for rec in (found, plain)]
    assert score[0] > score[1]
    assert found.eigenprobes.shape == (1, SIDE, SIDE)
    assert abs(np.corrcoef(found.probe_weights[:, 0], weights)[0, 1]) > 0.9
    assert 0.04 < found.meta["eigenprobe_shares"][0] < 0.16
    assert plain.eigenprobes is None and plain.meta["eigenprobe_shares"] == []
    back = load_reconstruction(save_reconstruction(found, tmp_path / "varies.h5"))
    np.testing.assert_array_equal(back.eigenprobes, found.eigenprobes)
    np.testing.assert_array_equal(back.probe_weights, found.probe_weights)
    own = found.probe[0] + found.probe_weights[7, 0] * found.eigenprobes[0]
    np.testing.assert_allclose(back.probe_of(7)[0], own, rtol=1e-5)


def test_an_object_that_was_fitted_to_one_probe_begins_anew_when_it_varies(clean):
    """Else a phase that bends over the whole scan stays, .48 here where .91 is found."""
    weights = np.random.default_rng(2).normal(size=clean.n_frames)
    config = RefineConfig(passes=40, regularise="off", clean="off", opr=1)
    found = refine(counted(clean, weights), config=config).reconstruction
    assert evaluate(found, clean)["phase"]["ssim"] > 0.8


def test_an_eigenprobe_shares_nothing_with_the_probe_after_a_pass():
    rng = np.random.default_rng(2)
    fields = rng.normal(size=(2, 4, 6, 12)).view(np.complex128).astype(np.complex64)
    image = np.ones((8, 8), np.complex64)
    state = step.State(image, image, *fields)
    state = step.State(*(backend.tensor(each) for each in state))
    after = [np.asarray(backend.concrete(each)) for each in step.compiled_apart(2)(state)]
    for one, whole in zip((after[2], after[3]), fields, strict=True):
        np.testing.assert_array_equal(one[:2], whole[:2])
        own = whole[2:] - along(whole[2:].astype(complex), fields[0, 0].astype(complex))
        np.testing.assert_allclose(one[2:], own, atol=1e-5)


def test_what_an_eigenprobe_explains_is_not_taken_for_light_and_light_still_is(clean):
    """The light of a frame is looked at when the eigenprobes have explained what they can."""
    rng = np.random.default_rng(5)
    config = RefineConfig(passes=40, regularise="off", opr=1)
    wrong = counted(clean, rng.normal(size=clean.n_frames))
    assert refine(wrong, config=config).reconstruction.meta["flux"] is None
    light = rng.uniform(0.85, 1.15, clean.n_frames)
    dimmed = rng.poisson(clean.counts * light[:, None, None]).astype(np.float32)
    found = refine(replace(clean, counts=dimmed), config=config).reconstruction.meta["flux"]
    assert np.corrcoef(found, light)[0, 1] > 0.95


def test_what_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match="update_probe"):
        RefineConfig(opr=1, update_probe=False)
    image = np.ones((6, 6))
    with pytest.raises(ShapeError, match="eigenprobes"):
        Reconstruction(image, image, (0, 0), probe=np.ones((4, 4)), eigenprobes=np.ones((1, 4, 4)))
