"""Detector faults and probe modes against closed forms."""

import numpy as np
import pytest

from ptycho.config import validated
from ptycho.errors import ConfigError, DataError, ShapeError
from ptycho.simulation import SimulationConfig, simulate
from ptycho.simulation.detector import detect, static_mask
from ptycho.simulation.probes import make_modes, make_probe, read_probe

SMALL = SimulationConfig(N=32, n_frames=9, photons=1e5)


def changed(**settings):
    return validated(SimulationConfig, **(SMALL.model_dump() | settings))


def test_a_perfect_detector_has_no_mask_and_reports_what_arrives():
    expected = np.full((2, 32, 32), 3.5)
    counts, mask = detect(expected, changed(poisson=False))
    assert mask is None and np.array_equal(counts, expected)


def test_read_noise_has_its_sigma_and_the_bias_of_the_cut():
    config = changed(poisson=False, read_noise=2.0, clip_negative=True)
    bright, _ = detect(np.full((40, 32, 32), 100.0), config)
    assert bright.mean() == pytest.approx(100, abs=0.06)
    assert bright.std() == pytest.approx(2, rel=0.02)
    dark, _ = detect(np.zeros((40, 32, 32)), config)
    assert dark.min() == 0
    assert dark.mean() == pytest.approx(2 / np.sqrt(2 * np.pi), rel=0.03)  # E[max(0, N(0, σ))]


def test_negative_counts_are_cut_only_if_asked():
    with pytest.raises(ConfigError, match="clip_negative"):
        changed(read_noise=1.0)


def test_saturation_cuts_and_masks_the_pixel_in_every_frame():
    expected = np.ones((3, 32, 32))
    expected[1, 4, 5] = 1000
    counts, mask = detect(expected, changed(poisson=False, saturation=50))
    assert counts[1, 4, 5] == 50
    assert mask is not None and not mask[4, 5] and mask.sum() == 32 * 32 - 1


def test_gaps_stop_and_dead_pixels_read_zero_and_are_masked():
    gaps = static_mask(changed(gap_px=2, module_px=10))
    assert np.flatnonzero(~gaps[0]).tolist() == [10, 11, 22, 23]
    assert np.array_equal(gaps, gaps.T) and not gaps[10].any()
    assert static_mask(changed(gap_px=2))[16, 16], "the centre is not in a gap by default"
    stop = static_mask(changed(beam_stop_diameter_px=6))
    assert not stop[16, 16] and not stop[16, 19] and stop[16, 20] and stop[12, 16]
    dead = changed(dead_fraction=0.05)
    assert (~static_mask(dead)).sum() == round(0.05 * 32 * 32)
    assert np.array_equal(static_mask(dead), static_mask(changed(dead_fraction=0.05, noise_seed=9)))
    scan = simulate(changed(gap_px=2, beam_stop_diameter_px=6, dead_fraction=0.05))
    assert scan.mask is not None and scan.mask.dtype == bool
    assert not scan.counts[:, ~scan.mask].any()
    perfect = simulate(SMALL)
    assert np.sum(scan.probe[0] * perfect.probe[0].conj()).real > 0
    dose = np.sum(np.abs(scan.probe) ** 2) / np.sum(np.abs(perfect.probe) ** 2)
    ratio = scan.counts[:, scan.mask].sum() / perfect.counts[:, scan.mask].sum()
    assert ratio == pytest.approx(dose, rel=0.01) and dose > 1


def test_photons_are_those_that_the_detector_counts():
    """With gaps, dead pixels and a beam stop the frames still have the photons asked for."""
    for lost in ({"gap_px": 2}, {"beam_stop_diameter_px": 4}, {"dead_fraction": 0.2}):
        scan = simulate(changed(photons=1e6, **lost))
        assert scan.photons_per_frame().mean() == pytest.approx(1e6, rel=0.005)
    with pytest.raises(ConfigError, match="no photon"):
        simulate(changed(beam_stop_diameter_px=80))


def test_modes_are_orthogonal_with_their_shares_and_add_incoherently():
    shares = (0.6, 0.3, 0.1)
    modes = make_modes(make_probe("disk", 32, 13, 4.0), shares)
    gram = np.einsum("kij,lij->kl", modes.conj(), modes)
    np.testing.assert_allclose(gram, np.diag(shares), atol=1e-12)
    asked = {"poisson": False, "trajectory": "raster", "step_px": 3.0}
    scan = simulate(changed(probe_modes=shares, **asked))
    assert scan.probe is not None and scan.truth is not None and scan.probe.shape == (3, 32, 32)
    row, col = (scan.positions_px[4] - scan.truth.origin_px - 16).astype(int)
    fields = np.fft.fft2(scan.truth.object[row : row + 32, col : col + 32] * scan.probe)
    expected = np.fft.fftshift((np.abs(fields / 32) ** 2).sum(axis=0))
    np.testing.assert_allclose(scan.counts[4], expected, rtol=1e-3, atol=1e-2)
    with pytest.raises(ConfigError, match="sum to 1"):
        changed(probe_modes=(0.5, 0.2))


def test_a_probe_file_is_used_as_it_is_up_to_the_dose(tmp_path):
    modes = np.random.default_rng(0).normal(size=(2, 32, 32, 2)) @ (1, 1j)
    np.save(tmp_path / "probe.npy", modes[0])
    np.savez(tmp_path / "probe.npz", probe=modes)
    for name, wanted in (("probe.npy", modes[:1]), ("probe.npz", modes)):
        scan = simulate(changed(probe_file=str(tmp_path / name)))
        assert scan.probe is not None and scan.probe.shape == wanted.shape
        ratio = scan.probe / wanted
        np.testing.assert_allclose(ratio, ratio[0, 0, 0], rtol=1e-4)
    with pytest.raises(ConfigError, match="exclude each other"):
        simulate(changed(probe_file=str(tmp_path / "probe.npz"), probe_modes=(0.5, 0.5)))


def test_bad_probe_files_are_named(tmp_path):
    with pytest.raises(DataError, match="no probe"):
        read_probe(tmp_path / "absent.npy", 32)
    np.save(tmp_path / "small.npy", np.ones((16, 16)))
    with pytest.raises(ShapeError, match="16"):
        read_probe(tmp_path / "small.npy", 32)
    np.save(tmp_path / "zero.npy", np.zeros((32, 32)))
    with pytest.raises(DataError, match="empty"):
        read_probe(tmp_path / "zero.npy", 32)
    np.savez(tmp_path / "other.npz", p=np.ones((32, 32)))
    np.save(tmp_path / "pickled.npy", np.array([{}], object), allow_pickle=True)
    (tmp_path / "text.npy").write_text("no array")
    for name in ("other.npz", "pickled.npy", "text.npy"):
        with pytest.raises(DataError, match="no probe"):
            read_probe(tmp_path / name, 32)
