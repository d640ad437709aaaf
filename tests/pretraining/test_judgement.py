"""The judgement of a prior: test specimens, and whether it invents structure."""

from __future__ import annotations

from pathlib import Path

import pytest

from ptycho.nn import build_prior_net
from ptycho.pretraining import Judgement, evaluate_prior
from ptycho.pretraining.judgement import CASES, EMPTIED
from ptycho.pretraining.specimens import KINDS, TEST_PHOTOGRAPHS
from ptycho.prior import CHANNELS, Prior


def test_the_test_pictures_are_those_that_training_leaves_out() -> None:
    for case in CASES.values():
        assert all(name in TEST_PHOTOGRAPHS or name in KINDS for name in case)


def test_a_prior_is_judged_on_images_that_are_solved_once(tmp_path: Path) -> None:
    config = Judgement(frames=64, passes=8, photons=(1e4,), weights=(0.4,), emptied_seeds=1)
    weights = build_prior_net(CHANNELS).get_weights()
    same = evaluate_prior(Prior(weights, {"seed": 1}), tmp_path, config)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.npz")}
    assert len(files) == 2 * len(CASES) + 1 and any(EMPTIED in path.name for path in files)
    assert same["record"] == {"seed": 1}
    for row in same["cases"]:  # a new network answers 0
        assert row["prior"] == pytest.approx(row["plain"], abs=1e-6)
        assert sum(row["best"]) >= sum(row["plain"]) and row["weight"] >= 0
    assert same["emptied"][0]["ratio"] == pytest.approx(1, abs=1e-6)
    assert 0 < same["emptied"][0]["plain"] < 0.3

    weights[-2] = weights[-2] + 0.05  # its answer follows the image: structure that is not there
    other = evaluate_prior(Prior(weights, {}), tmp_path, config)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.npz")} == files
    assert other["emptied"][0]["ratio"] != pytest.approx(1, abs=1e-3)
    assert [row["plain"] for row in other["cases"]] == [row["plain"] for row in same["cases"]]
