"""A frame that the image of all others does not explain is told at the end of a refinement."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from ptycho.refinement import RefineConfig, refine
from ptycho.scan import Scan
from ptycho.simulation import SimulationConfig, simulate


@cache
def clean_one() -> Scan:
    return simulate(
        SimulationConfig(
            N=32, n_frames=80, photons=1e5, amplitude="camera", trajectory="jittered", step_px=3.2
        )
    )


def findings(scan: Scan, clean: str = "auto") -> list[dict[str, object]]:
    config = RefineConfig(passes=12, regularise="off", clean=clean)
    found = refine(scan, config=config).reconstruction.meta["sanity"]["findings"]
    return [one for one in found if one["code"] == "frame-unexplained"]


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
    assert findings(scan) == []
