"""The judgement of a prior: test specimens, and whether it invents structure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from ptycho.errors import ArchiveError, ConfigError
from ptycho.nn import build_prior_net
from ptycho.pretraining import Judgement, evaluate_prior, judge_apart, judge_spread, judge_views
from ptycho.pretraining.judgement import CASES, EMPTIED, SPARSE_CASES, _read, judged_scan
from ptycho.pretraining.specimens import KINDS, TEST_PHOTOGRAPHS
from ptycho.prior import CHANNELS, Estimate, Prior


def test_the_test_pictures_are_those_that_training_leaves_out() -> None:
    for case in CASES.values():
        assert all(name in TEST_PHOTOGRAPHS or name in KINDS for name in case)


def test_a_prior_is_judged_on_images_that_are_solved_once(tmp_path: Path) -> None:
    config = Judgement(
        frames=64, passes=8, photons=(1e4,), weights=(0.4,), emptied_seeds=1, sparse=(0.4,)
    )
    weights = build_prior_net(CHANNELS).get_weights()
    same = evaluate_prior(Prior(weights, {"seed": 1}), tmp_path, config)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.npz")}
    assert len(files) == 2 * len(CASES) + 1 + len(SPARSE_CASES) and any(
        EMPTIED in path.name for path in files
    )
    assert same["record"] == {"seed": 1}
    for row in same["cases"]:  # a new network answers 0
        assert row["prior"] == pytest.approx(row["fed"], abs=1e-6)
        assert sum(row["best"]) >= sum(row["plain"]) and row["weight"] >= 0
    for row in same["sparse"]:
        assert row["prior"] == pytest.approx(row["fed"], abs=1e-6)
        assert (row["overlap"], row["frames"]) == (0.4, 9)
    (emptied,) = same["emptied"]
    assert emptied["prior"] == pytest.approx(emptied["fed"], rel=1e-6)
    assert 0 < emptied["plain"] < 0.3
    assert emptied["ratio"] == pytest.approx(emptied["prior"] / emptied["plain"])

    weights[-2] = weights[-2] + 0.05  # its answer follows the image: structure that is not there
    other = evaluate_prior(Prior(weights, {}), tmp_path, config)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.npz")} == files
    assert other["emptied"][0]["prior"] != pytest.approx(emptied["fed"], rel=1e-3)
    assert [row["plain"] for row in other["cases"]] == [row["plain"] for row in same["cases"]]


def test_the_scans_that_training_kept_apart_tell_their_probe(tmp_path: Path) -> None:
    """Of 42 scans the numbers 0, 20 and 40; a new network answers 0."""
    rng = np.random.default_rng(1)
    truth = (0.8 + 0.1 * ndimage.gaussian_filter(rng.standard_normal((60, 64)), 2)).astype("c8")
    image = truth + 0.01 * rng.standard_normal(truth.shape).astype("f4")
    for number in range(42):
        probe = ("disk", "gaussian", "focused")[number // 20]
        recipe = {"specimen": {"kinds": ["blobs"]}, "simulation": {"probe": probe}}
        facts = np.frombuffer(json.dumps({"recipe": recipe}).encode(), np.uint8)
        parts = {"image": image, "freer": image, "light": np.full(truth.shape, 100.0)}
        np.savez(tmp_path / f"{number:05d}.npz", target=truth, facts=facts, **parts)
    rows = judge_apart(Prior(build_prior_net(CHANNELS).get_weights(), {}), tmp_path)
    told = [(row["scan"], row["probe"]) for row in rows]
    assert told == [("00000", "disk"), ("00020", "gaussian"), ("00040", "focused")]
    for row in rows:
        assert row["prior"] == pytest.approx(row["plain"], abs=1e-6) and 0.2 < row["plain"][0] < 1


class Noisy:
    """Answers about the truth, one half of the image noisier than the other."""

    def __init__(self, truth: np.ndarray) -> None:
        self.truth, self.rng = truth, np.random.default_rng(0)

    def answers(self, estimate: Estimate, *, views: int = 8) -> np.ndarray:
        size = np.where(np.arange(self.truth.shape[1]) < self.truth.shape[1] // 2, 0.02, 0.1)
        noise = self.rng.standard_normal((2, views, *self.truth.shape)) / np.sqrt(2)
        return (self.truth + size * (noise[0] + 1j * noise[1])).astype(np.complex64)


def test_the_spread_is_set_against_the_true_error(tmp_path: Path) -> None:
    """Independent answers: the error of their mean is their spread (of 8, of 7 degrees) by √7."""
    shape = (60, 64)
    rng = np.random.default_rng(1)
    truth = 0.8 + 0.1 * ndimage.gaussian_filter(rng.standard_normal(shape), 2) + 0j
    config = Judgement(photons=(1e4,), weights=(), emptied_seeds=0, cases=("A",))
    (arm,) = config.arms(tmp_path)
    parts = dict.fromkeys(("plain", "image", "freer"), truth) | {"light": np.full(shape, 100.0)}
    np.savez(tmp_path / f"{arm['name']}.npz", truth=truth, half=0, weight=0.1, **parts)
    rows = judge_spread(Noisy(truth), tmp_path, config)  # type: ignore[arg-type]
    assert [row["fifth"] for row in rows] == [1, 2, 3, 4, 5]
    assert rows[0]["spread"] < 0.025 < 0.08 < rows[4]["spread"]
    square = {name: sum(row[name] ** 2 for row in rows) for name in ("error", "spread")}
    assert square["error"] / square["spread"] == pytest.approx(1 / 7, rel=0.1)


def test_the_mean_of_more_views_is_nearer_where_their_errors_are_their_own(tmp_path: Path) -> None:
    shape = (60, 64)
    rng = np.random.default_rng(1)
    truth = 0.8 + 0.1 * ndimage.gaussian_filter(rng.standard_normal(shape), 2) + 0j
    noisy = truth + 0.2 * rng.standard_normal(shape)
    config = Judgement(photons=(1e4,), weights=(), emptied_seeds=0, cases=("A", "R"))
    for arm in config.arms(tmp_path):
        parts = {"plain": noisy, "image": noisy, "freer": truth, "light": np.full(shape, 100.0)}
        np.savez(tmp_path / f"{arm['name']}.npz", truth=truth, half=0, weight=0.1, **parts)
    rows = judge_views(Noisy(truth), tmp_path, config)  # type: ignore[arg-type]
    assert [(row["views"], row["scans"]) for row in rows] == [(k, 2) for k in (1, 2, 4, 8, 16)]
    gains = [row["gain"][0] for row in rows]
    assert 0 < gains[0] < gains[1] < gains[2] < gains[3] < gains[4]


def test_a_scan_with_little_overlap_covers_as_much_with_fewer_frames() -> None:
    config = Judgement(frames=484)
    usual = judged_scan("A", 1e4, 484, 1)
    for overlap, frames in ((0.75, 484), (0.4, 81), (0.2, 49)):
        assert config.sparse_frames(overlap) == frames
        scan = judged_scan("A", 1e4, frames, 1, overlap=overlap)
        areas = [frames * (0.25, 1 - overlap)[k] ** 2 for k, frames in enumerate((484, frames))]
        assert areas[1] == pytest.approx(areas[0], rel=0.05)
        extents = [np.ptp(each.positions_px, axis=0).mean() for each in (usual, scan)]
        assert extents[1] == pytest.approx(extents[0], rel=0.12)


@pytest.mark.parametrize(
    "wrong", [{"frames": 65}, {"frames": 36}, {"photons": (-5.0,)}, {"photons": (float("nan"),)}]
)
def test_what_cannot_be_judged_is_told_at_once(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Judgement(**wrong)


@pytest.mark.parametrize("damage", [{"half": "left"}, {"light": np.ones(3)}, None])
def test_a_kept_image_that_cannot_be_read_is_told(
    tmp_path: Path, damage: dict[str, Any] | None
) -> None:
    image = np.ones((9, 9), np.complex64)
    arrays: dict[str, Any] = dict.fromkeys(("plain", "image", "freer", "truth"), image)
    arrays |= {"light": np.ones((9, 9), np.float32), "half": np.array(4), "weight": np.array(0.5)}
    path = tmp_path / "a.npz"
    np.savez(path, **arrays)
    assert _read(path).weight == 0.5
    if damage is None:
        path.write_bytes(path.read_bytes()[:-300])
    else:
        np.savez(path, **(arrays | damage))
    with pytest.raises(ArchiveError, match=f"rm {path}"):
        _read(path)
