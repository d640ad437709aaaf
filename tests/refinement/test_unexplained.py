"""A frame that the image of all others does not explain is told at the end of a refinement."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial

import numpy as np
import pytest

from ptycho.refinement import RefineConfig, refine
from ptycho.refinement.misfit import nothing_explained
from ptycho.scan import Scan
from ptycho.simulation import SimulationConfig, simulate


@cache
def clean_one() -> Scan:
    return simulate(
        SimulationConfig(
            N=32, n_frames=80, photons=1e5, amplitude="camera", trajectory="jittered", step_px=3.2
        )
    )


def findings(
    scan: Scan, clean: str = "auto", code: str = "frame-unexplained"
) -> list[dict[str, object]]:
    config = RefineConfig(passes=12, regularise="off", clean=clean)
    found = refine(scan, config=config).reconstruction.meta["sanity"]["findings"]
    return [one for one in found if one["code"] == code]


def test_a_position_that_is_wrong_by_ten_pixels_is_told_by_its_number() -> None:
    places = clean_one().positions_px.copy()
    places[47, 0] += 10
    wrong = replace(clean_one(), positions_px=places)
    [one] = findings(wrong)
    assert (one["items"], one["done"]) == ([47], "nothing")
    assert one["evidence"]["deviance_per_pixel"] > 2 * one["evidence"]["of_all"]  # type: ignore[index]
    assert findings(wrong, "off") == []
    [one] = findings(wrong.subset(np.arange(40, 80)))
    assert one["items"] == [47]


@pytest.mark.parametrize("photons", [1e3, 1e5])
def test_frames_that_are_as_they_should_be_are_not(photons: float) -> None:
    scan = clean_one() if photons == 1e5 else clean_one().thin(np.random.default_rng(0), 1e-2)[0]
    assert findings(scan) == findings(scan, code="scan-unexplained") == []


def spoilt(how: str) -> Scan:
    scan, rng = clean_one(), np.random.default_rng(0)
    if how == "another probe":
        probe = np.exp(2j * np.pi * rng.random((1, 32, 32))).astype(np.complex64)
        return replace(scan, probe=probe * np.sqrt(1e5) / 32)
    if how == "axes exchanged":
        return replace(scan, positions_px=scan.positions_px[:, ::-1].copy())
    return replace(scan, positions_px=rng.permutation(scan.positions_px))


@pytest.mark.parametrize("how", ["another probe", "axes exchanged", "positions mixed up"])
def test_an_image_that_explains_hardly_more_than_the_mean_pattern_is_told(how: str) -> None:
    [one] = findings(spoilt(how), code="scan-unexplained")
    assert (one["items"], one["done"]) == ([], "nothing")
    assert one["evidence"]["left"] > 0.4  # type: ignore[index]
    assert findings(spoilt(how), "off", "scan-unexplained") == []


def test_the_misfit_is_that_of_the_means_and_photon_noise_drops_out() -> None:
    """Counts of known means: what is left of the mean pattern's misfit is known, too."""
    rng = np.random.default_rng(1)
    means = 40 * rng.random((300, 8, 8)) ** 2
    counts = rng.poisson(means).astype(np.float32)
    pattern = means.mean(axis=0)
    half = means + np.sqrt(0.7) * (pattern - means)  # a misfit of .7 of the pattern's
    told = partial(nothing_explained, fitted=0.0, of=300)
    [one] = told(counts, half)
    assert one.evidence["left"] == pytest.approx(0.7, abs=0.1)
    assert told(counts, means) == []
    assert told(counts, half, fitted=3e8) == []  # less than fitted numbers may leave
    assert told(counts / 3, half / 3) == []  # these are no counts: their noise is unknown
    [one] = told(np.where(np.arange(8) < 4, counts, -1.0), half)
    assert one.evidence["left"] == pytest.approx(0.7, abs=0.15)
    alike = rng.poisson(np.broadcast_to(pattern, means.shape)).astype(np.float32)
    assert told(alike, 1.3 * means) == []  # no specimen is seen at all
