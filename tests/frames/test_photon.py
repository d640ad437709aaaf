"""What one photon counts: found where the counts say it beyond doubt, and in nothing else."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from ptycho.frames import Finding, clean_scan
from ptycho.scan import Measured, Scan
from ptycho.simulation import SimulationConfig, simulate

FEW = settings(max_examples=25, deadline=None)
DOSES = (30.0, 1e3, 1e5, 1e7)


@cache
def made(photons: float, side: int = 32) -> Scan:
    return simulate(SimulationConfig(N=side, n_frames=60, photons=photons))


def raw(scan: Scan, counts: np.ndarray, probe: float | None = None) -> Measured:
    """What a reader returns; `probe` times as many photons in the probe, or none."""
    field = None if probe is None else scan.probe * np.float32(np.sqrt(probe))
    return Measured(counts=counts, positions_px=scan.positions_px, probe=field)


def found_in(scan: Measured, clean: str = "auto") -> list[Finding]:
    report = clean_scan(scan, clean).sanity
    assert report is not None
    return [finding for finding in report if finding.code == "counts-gain"]


def one_divided(scan: Measured, unit: float) -> Measured:
    [finding] = found_in(scan)
    assert finding.done == "divided"
    assert finding.evidence["one_photon"] == pytest.approx(unit, rel=1e-5)
    assert finding.evidence["variance_to_mean"] == pytest.approx(unit, rel=0.3)
    return clean_scan(scan)


@FEW
@given(st.sampled_from(DOSES), st.integers(2, 1000), st.sampled_from(["i8", "u4", "f4", "f8"]))
def test_whole_gains_are_divided_out(photons: float, gain: int, kind: str) -> None:
    scan = made(photons)
    found = one_divided(raw(scan, (scan.counts.astype("f8") * gain).astype(kind)), gain)
    np.testing.assert_array_equal(found.raw(np.arange(60)), scan.frames(np.arange(60)))


@FEW
@given(st.sampled_from(DOSES), st.floats(0.1, 1000).filter(lambda g: abs(g - 1) > 0.01))
def test_gains_that_are_no_whole_numbers_are_divided_out(photons: float, gain: float) -> None:
    scan = made(photons)
    found = one_divided(raw(scan, (scan.counts.astype("f8") * gain).astype("f4")), gain)
    np.testing.assert_array_equal(found.raw(np.arange(60)), scan.frames(np.arange(60)))


@pytest.mark.parametrize("factor", [1e-30, 1e-13, 1e13])
def test_numbers_that_no_detector_gives_are_not_made_photons(factor: float) -> None:
    scan = made(1e3)
    assert not found_in(raw(scan, (scan.counts * factor).astype("f4")))


def test_shares_of_the_largest_count_become_photons() -> None:
    scan = made(1e5)
    counts = (scan.counts / scan.counts.max()).astype("f4")
    found = one_divided(raw(scan, counts), 1 / float(scan.counts.max()))
    np.testing.assert_array_equal(found.raw(np.arange(60)), scan.frames(np.arange(60)))


@pytest.mark.parametrize("side", [16, 24])
@pytest.mark.parametrize("gain", [0.25, 7.0])
def test_frames_without_a_dark_pixel_tell_their_gain_by_their_steps(side: int, gain: float) -> None:
    scan = made(1e6, side)
    smooth = ndimage.gaussian_filter(scan.counts.astype("f8"), (0, 2, 2))
    counts = np.random.default_rng(0).poisson(smooth + 900)
    one_divided(raw(scan, (counts * gain).astype("f4")), gain)


def test_an_offset_comes_off_before_the_gain() -> None:
    scan = made(1e5)
    counts = scan.counts.astype("f4") * 6 + 100
    found = one_divided(raw(scan, counts), 6)
    assert found.sanity is not None and "counts-offset" in found.sanity.codes
    np.testing.assert_array_equal(found.raw([0, 7]), scan.frames([0, 7]))


def test_marks_stay_marks_and_the_background_is_divided_too() -> None:
    scan = made(1e5)
    counts = (scan.counts * 5).astype("u2").astype("u4")
    counts[:, 3, 4] = np.iinfo("u4").max
    found = clean_scan(replace(raw(scan, counts), background=0.5))
    assert found.sanity is not None and {"counts-gain", "pixel-at-maximum"} <= found.sanity.codes
    assert found.background == pytest.approx(0.1) and found.mask is not None
    assert not found.mask[3, 4] and found.mask.sum() == 32 * 32 - 1


@pytest.mark.parametrize("gain", [0.02, 0.5, 4.0, 50.0])
@pytest.mark.parametrize("of_the_probe", ["counts", "photons", "the mean"])
def test_the_probe_keeps_the_dose_of_the_counts(gain: float, of_the_probe: str) -> None:
    """Whatever it counts, it carries the photons of the frames afterwards, and says no more."""
    scan = made(1e5)
    assert scan.probe is not None
    power, much = float((np.abs(scan.probe) ** 2).sum()), float(scan.photons_per_frame().mean())
    factor = {"counts": gain, "photons": 1.0, "the mean": gain * much / power}[of_the_probe]
    written = raw(scan, (scan.counts * gain).astype("f4"), factor)
    if of_the_probe == "the mean":  # as readers scale a probe that is not in photons
        written, power = replace(written, metadata={"probe_scaled": True}), much
    found = clean_scan(written)
    assert found.probe is not None and found.sanity is not None
    if (of_the_probe, gain) != ("photons", 0.5):  # half could be an object that absorbs
        assert float((np.abs(found.probe) ** 2).sum()) == pytest.approx(power, rel=0.02)
    assert "probe-dose" not in found.sanity.codes


def test_report_says_it_and_off_does_not_look() -> None:
    scan = made(1e5)
    counts = raw(scan, scan.counts.astype("f4") * 3, 3.0)
    [finding] = found_in(counts, "report")
    assert finding.done == "nothing"
    assert clean_scan(counts, "report").counts is counts.counts
    assert clean_scan(counts, "off").counts is counts.counts and not found_in(counts, "off")


@FEW
@given(
    st.floats(0.5, 7).map(lambda e: 10.0**e),
    st.sampled_from(["f4", "f8", "u4", "i8"]),
    st.integers(0, 2**31),
)
def test_photons_of_any_dose_have_no_gain(photons: float, kind: str, seed: int) -> None:
    scan = made(1e7)
    counts = np.random.default_rng(seed).poisson(scan.counts * (photons / 1e7))
    if counts.any():
        assert not found_in(raw(scan, counts.astype(kind)))


def _ccd(counts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return counts * 3.7 + rng.normal(0, 4, counts.shape)


OTHERS = {
    "squares of amplitudes": lambda c, rng: np.square(np.sqrt(c).astype("f4")),
    "amplitudes": lambda c, rng: np.sqrt(c),
    "logarithms": lambda c, rng: np.log1p(c),
    "bins": lambda c, rng: c.reshape(len(c), 16, 2, 16, 2).sum(axis=(2, 4)),
    "a camera that reads with noise": _ccd,
    "the same in whole numbers": lambda c, rng: np.rint(_ccd(c, rng) + 100),
    "a flat field": lambda c, rng: c * rng.uniform(0.8, 1.2, c.shape[1:]),
    "light without noise": lambda c, rng: c * 0.731 + 0.2 * c.mean(axis=0),
    "a flat scan": lambda c, rng: rng.poisson(np.full(c.shape, 40.0)),
    "a flat scan without noise": lambda c, rng: np.full(c.shape, 40.0),
    "half precision": lambda c, rng: (_ccd(c, rng) * 1e-2).astype("f2"),
}


@pytest.mark.parametrize("photons", DOSES)
@pytest.mark.parametrize("name", OTHERS)
def test_what_is_not_photons_times_a_gain_is_left(name: str, photons: float) -> None:
    scan = made(photons)
    counts = OTHERS[name](scan.counts.astype("f8"), np.random.default_rng(1)).astype("f4")
    assert not found_in(raw(scan, counts))


def test_light_without_noise_in_decimals_is_no_photons() -> None:
    """Multiples of 0.01 or of 16, but smoother than photons: their step is no photon's."""
    scan = simulate(SimulationConfig(N=32, n_frames=60, photons=1e5, poisson=False))
    assert not found_in(raw(scan, np.round(scan.counts, 2).astype("f4")))
    [finding] = found_in(raw(scan, (np.rint(scan.counts) * 16).astype("u4")))
    assert finding.done == "nothing" and finding.evidence["variance_to_mean"] < 8


def test_the_steps_of_a_converter_that_reads_with_noise_are_told() -> None:
    """Twelve bits in the upper part of sixteen: all are multiples of 16, no photon is."""
    scan = made(1e5)
    noise = np.random.default_rng(0).normal(100, 3, scan.counts.shape)
    counts = 16 * np.rint(2.5 * scan.counts + noise).clip(0)
    [finding] = found_in(raw(scan, counts.astype("u4")))
    assert finding.done == "nothing" and finding.evidence["one_photon"] == 16
