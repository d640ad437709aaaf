"""The numbers of commit f264b61, made again: scan, estimate, training, prediction, refinement.

On the machine that made the pins all of it came back bit-equal. With AVX in place of AVX512 for
XLA, without oneDNN, and with another kernel of OpenBLAS, numbers moved by up to 9e-6 (losses of
the training) and pixels by up to 8e-7 of the object's rms; TOLERANCE leaves ten times that for
other processors and other versions, and is far below what one changed setting does.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pins_library as pins
import pytest

import ptycho

TOLERANCE = 1e-4


def _same(here: dict[str, Any], pinned: dict[str, Any], rtol: float = TOLERANCE) -> None:
    """Equal keys, equal words and whole numbers, and floats within `rtol`."""
    assert list(here) == list(pinned)
    for key, value in pinned.items():
        if isinstance(value, (float, list, tuple)):
            np.testing.assert_allclose(here[key], value, rtol=rtol, atol=1e-9, err_msg=key)
        else:
            assert here[key] == value, key


def _holds(here: dict[str, Any], pinned: dict[str, Any]) -> None:
    """All that was pinned, equal; settings and facts may have been added since."""
    for key, value in pinned.items():
        if isinstance(value, dict):
            _holds(here[key], value)
        else:
            assert here[key] == value, key


def _same_history(
    here: list[dict[str, Any]], pinned: list[dict[str, Any]], rtol: float = TOLERANCE
) -> None:
    assert len(here) == len(pinned)
    for row, wanted in zip(pins.timeless(here), pinned, strict=True):
        _same(row, wanted, rtol)


def test_the_scan_is_simulated_again() -> None:
    here, pinned = pins.simulate(), pins.scan()
    assert (here.N, here.n_frames, here.name) == (pinned.N, pinned.n_frames, pinned.name)
    np.testing.assert_allclose(here.positions_px, pinned.positions_px, rtol=0, atol=1e-9)
    np.testing.assert_allclose(here.probe, pinned.probe, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(here.truth.object, pinned.truth.object, rtol=0, atol=1e-5)
    assert tuple(here.truth.origin_px) == tuple(pinned.truth.origin_px)
    indices = np.arange(pinned.n_frames)
    # A rate that is rounded differently may draw another photon now and then, no more.
    other = here.frames(indices) != pinned.frames(indices)
    assert np.mean(other) < 1e-3


def test_the_untrained_estimate_is_made_again() -> None:
    here, pinned = pins.untrained(), ptycho.load_reconstruction(pins.FIXTURES / "untrained.h5")
    _same_image(here, pinned)
    facts = ("method", "estimate_steps", "scan", "frames", "groups", "config")
    _holds(here.meta, {key: pinned.meta[key] for key in facts})


def test_the_training_is_made_again(numbers: dict[str, Any], tmp_path: Path) -> None:
    result, pinned = pins.train(tmp_path / "run"), numbers["training"]
    _same_history(result.history, pinned["history"])
    assert result.best_epoch == pinned["best_epoch"]
    assert result.collapse_ratio == pytest.approx(pinned["collapse_ratio"], rel=TOLERANCE)
    # What is saved is what was returned, under the names of the pinned archive.
    names = {path.name for path in result.run_dir.iterdir()}
    assert names >= {path.name for path in (pins.FIXTURES / "run").iterdir()}
    for name in ("config.json", "model.json"):
        here, there = (folder / name for folder in (result.run_dir, pins.FIXTURES / "run"))
        _holds(json.loads(here.read_text()), json.loads(there.read_text()))


def test_the_archived_network_predicts_the_same(arrays: dict[str, np.ndarray]) -> None:
    """One group at a time, by the model that `ptycho.load` returns."""
    objects, coverages = (
        images[:, ::2, ::2] for images in pins.predict_two_groups(pins.FIXTURES / "run")
    )
    lit = arrays["groups_coverage"] > 0.1 * arrays["groups_coverage"].max()
    assert pins.difference(objects, arrays["groups_object"], lit) < TOLERANCE
    np.testing.assert_allclose(
        coverages, arrays["groups_coverage"], rtol=TOLERANCE, atol=1e-4 * coverages.max()
    )


def test_the_archived_network_reconstructs_the_same(
    arrays: dict[str, np.ndarray], numbers: dict[str, Any]
) -> None:
    here = ptycho.reconstruct(pins.FIXTURES / "run", pins.scan())
    facts = numbers["network"]
    pinned = ptycho.Reconstruction(
        arrays["network_object"], arrays["network_coverage"], facts["origin_px"]
    )
    assert here.meta["method"] == "network" and here.meta["groups"] == facts["groups"]
    _same_image(here, pinned)


def test_the_refinement_from_scratch_is_made_again(
    arrays: dict[str, np.ndarray], numbers: dict[str, Any]
) -> None:
    result = pins.refine_from_scratch()
    _same_refinement(result, numbers["scratch"])
    lit = result.reconstruction.region()
    assert pins.difference(result.reconstruction.object, arrays["scratch_object"], lit) < TOLERANCE


def test_the_refinement_from_the_estimate_is_made_again(numbers: dict[str, Any]) -> None:
    """Two modes and moving positions, begun with a result file."""
    result = pins.refine_from_start()
    pinned = ptycho.load_reconstruction(pins.FIXTURES / "refined.h5")
    _same_refinement(result, numbers["started"])
    _same_image(result.reconstruction, pinned)
    np.testing.assert_allclose(
        result.reconstruction.positions_px, pinned.positions_px, rtol=0, atol=TOLERANCE
    )
    here = result.reconstruction.meta
    assert set(here) >= set(pinned.meta)
    # Read as settings: what was `positions: true` is written "all" since there are kinds of it.
    settings = ptycho.RefineConfig(**pinned.meta["config"]).model_dump()
    _holds(here["config"], {key: settings[key] for key in pinned.meta["config"]})
    assert here["started_from"] == "untrained" and here["stopped_by"] == "budget"


def _same_refinement(result: Any, pinned: dict[str, Any]) -> None:
    _same_history(result.history, pinned["history"])
    facts = ("residual", "deviance_per_pixel", "iterations")
    here = {key: getattr(result, key) for key in facts}
    _same(here, {key: pinned[key] for key in facts})
    shares = result.reconstruction.meta["mode_shares"]
    np.testing.assert_allclose(shares, pinned["mode_shares"], rtol=TOLERANCE)


def _same_image(here: ptycho.Reconstruction, pinned: ptycho.Reconstruction) -> None:
    """The frame exactly; object and light where a tenth of the usual light falls."""
    assert here.origin_px == pinned.origin_px
    assert here.object.shape == pinned.object.shape
    lit = pinned.region()
    assert pins.difference(here.object, pinned.object, lit) < TOLERANCE
    np.testing.assert_allclose(here.coverage[lit], pinned.coverage[lit], rtol=TOLERANCE)
