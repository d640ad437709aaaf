"""The comparison with another program: halves, gauge, judge and table, without that program."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from leftovers import alive

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "scripts/benchmarks"))

import versus_page  # noqa: E402
import versus_ptychi  # noqa: E402
import versus_score as score  # noqa: E402

from ptycho import Reconstruction, Scan, SimulationConfig, simulate  # noqa: E402


@pytest.fixture(scope="module")
def scan() -> Scan:
    return simulate(
        SimulationConfig(N=32, n_frames=40, step_px=4, photons=1e5, kernel="cubic", background=0.5)
    )


def true(scan: Scan) -> Reconstruction:
    """The truth as a reconstruction."""
    assert scan.truth is not None
    field = scan.truth.object
    return Reconstruction(
        field, np.ones(field.shape, np.float32), scan.truth.origin_px, probe=scan.probe
    )


def test_halves_share_no_frame_and_the_second_comes_back_from_its_own_grid(scan: Scan) -> None:
    first, second = score.halves(scan, "frames", 3)
    assert set(first.scan.frame_numbers).isdisjoint(second.scan.frame_numbers)
    np.testing.assert_allclose(first.given(), scan.positions_px[::2])
    np.testing.assert_allclose(second.given(), scan.positions_px[1::2])
    assert min(second.moved_px) >= 0.2 and max(second.moved_px) <= 0.8
    (one, _), (two, _) = (score.start_of(half) for half in (first, second))
    shape = np.minimum(one.shape, two.shape)
    assert abs(np.angle(one[: shape[0], : shape[1]] / two[: shape[0], : shape[1]])).max() > 0.05
    there = replace(true(scan), positions_px=second.scan.positions_px)
    back = second.back(there)
    np.testing.assert_allclose(np.subtract(there.origin_px, back.origin_px), second.moved_px)
    np.testing.assert_allclose(back.positions_px, scan.positions_px[1::2])


def test_the_judge_sees_noise_in_the_truth_and_more_in_anything_else(scan: Scan) -> None:
    first, second = score.halves(scan, "frames", 0)
    rec = true(scan)
    right = score.explains(rec, first, second, None, "cubic", 1)
    counts = np.asarray(second.scan.frames(np.arange(second.scan.n_frames)), float)
    made = score.model(rec, second.given(), "cubic") + 0.5
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(counts > 0, counts * np.log(counts / made), 0)
    assert right == pytest.approx(np.mean(logs + made - counts), rel=0.03)
    row, col = rec.origin_px
    for wrong in (
        replace(rec, origin_px=(row + 0.5, col)),
        replace(rec, object=np.conj(rec.object)),
        replace(rec, object=0.5 + 0.5 * rec.object),
    ):
        assert score.explains(wrong, first, second, None, "cubic", 1) > 1.2 * right
    brighter = replace(rec, object=3 * rec.object)
    assert score.explains(brighter, first, second, None, "cubic", 1) == pytest.approx(right, 1e-3)


def test_a_shift_of_all_positions_is_a_gauge_and_costs_nothing(scan: Scan) -> None:
    first, second = score.halves(scan, "frames", 0)
    rec = true(scan)
    alone = score.explains(rec, first, second, None, "cubic", 1)
    row, col = rec.origin_px
    moved = replace(rec, origin_px=(row + 0.7, col - 0.4), positions_px=first.given() + (0.7, -0.4))
    found = second.given() + (-0.3, 0.9)
    assert score.explains(moved, first, second, found, "cubic", 1) == pytest.approx(alone, 1e-6)


def test_rings_are_found_beside_the_light_of_each_frame(scan: Scan) -> None:
    rng = np.random.default_rng(1)
    made = score.model(true(scan), scan.positions_px, "cubic")
    rings = score.ring_numbers(32)
    level = 2.0 * np.exp(-np.arange(rings.max() + 1) / 8) + 0.2
    light = rng.uniform(0.7, 1.3, len(made))
    counts = rng.poisson(light[:, None, None] * made + level[rings]).astype(float)
    found = score.fit_rings(counts, made, np.ones((32, 32), bool), steps=60)
    seen = np.bincount(rings.ravel()) > 20
    assert np.abs(found / level - 1)[seen].mean() < 0.15


def test_missing_modes_are_seeded_apart_from_the_first(scan: Scan) -> None:
    assert scan.probe is not None
    modes = score.seeded_modes(scan.probe[:1], 3)
    light = np.sum(np.abs(modes) ** 2, axis=(1, 2))
    np.testing.assert_allclose(light[1:] / light[0], 0.02, rtol=1e-4)
    assert abs(np.vdot(modes[0], modes[1])) < 0.2 * np.sqrt(light[0] * light[1])


def row(**more: object) -> dict:
    spent = {
        "ours": [{"passes": [3, 60], "cpu_s": [5.0, 20.0], "wall_s": [5.0, 21.0]}] * 2,
        "lsqml": [{"passes": [10, 60, 100], "cpu_s": [10.0, 60.0, 100.0], "wall_s": [1.0] * 3}] * 2,
    }
    curve = {"ours": [0.61, 0.5], "lsqml": [0.9, 0.7, 0.6]}
    bands = {"0.1-0.2": 0.9, "0.2-0.3": 0.4, "0.3-0.4": 0.1, "half_bit": 0.2}
    own = {"ours": bands, "lsqml": {**bands, "0.2-0.3": 0.3}}
    return {
        "row": "star-frames-2-found-tv", "scan": "star", "seed": 0, "commit": "abc1234",
        "seconds": 99.0, "spent": spent, "curve": curve, "own": own, "cross": bands, "truth": {},
        "deviance": {"ours": [0.5, 0.52], "lsqml": [0.6, 0.62]},
        **versus_ptychi.reach(curve, spent), **more,
    }  # fmt: skip


def test_the_time_to_the_others_last_deviance_is_that_of_the_first_image_as_good() -> None:
    assert row()["reach_s"] == [20.0, 100.0]
    told = versus_ptychi.reach(
        {"ours": [0.7], "lsqml": [0.6]}, row()["spent"] | {"ours": [{"cpu_s": [1.0]}]}
    )
    assert told == {"reach_s": [None, 100.0]}
    assert versus_page.at_equal_time(row()) == 0.9
    assert versus_page.at_equal_passes(row()) == 0.7


def test_the_page_says_who_wins_what_misses_and_what_was_not_run() -> None:
    names = [each.name for each in versus_ptychi.rows()]
    assert len(set(names)) == len(names) and "star-frames-2-found-tv" in names
    text = versus_page.written([row()], names)
    line = next(each for each in text.splitlines() if each.startswith("| star-frames-2-found-tv"))
    cells = [each.strip() for each in line.strip("|").split("|")]
    assert cells[1] == "0.510 / 0.610" and cells[-4:-2] == ["ours", "ours"]
    assert cells[-2:] == ["99", "abc1234"]
    assert "| 20 of 100 s: 1/5.0 | **no** |" in text.replace(" ≤ 1/15 of LSQML's", "")
    assert "≥ .62 | – | not run |" in text and "`A-frames-2-found-tv`" in text
    assert "LSQML's other half ≥ .39 | – | not run |" in text
    more = [row(row="star-frames-2-found-tv-ours"), row(row="star-frames-2-found-plain")]
    text = versus_page.written([row(), *more], names)
    assert "0.400 (`refine` with TV, LSQML without); with TV in both 0.400, in neither" in text
    worse = row(deviance={"ours": [0.7, 0.7], "lsqml": [0.6, 0.6]})
    line = next(x for x in versus_page.written([worse], names).splitlines() if x[:6] == "| star")
    assert line.split("|")[-5].strip() == "LSQML"
    assert versus_page.winner(0.5, 0.502, small=True) == "–"
    assert versus_page.winner(float("nan"), 0.5, small=True) == "LSQML"


def test_what_was_tried_with_the_other_program_stands_on_the_page() -> None:
    each = {"settings": {"batch": 20}, "epochs": [10, 30], "deviance": [1.2, 0.6], "cpu_s": 24.3}
    found = {"row": "tune-star", "seed": 0, "commit": "abc1234", "seconds": 9, "tried": [each]}
    text = versus_page.written([row(), found], [])
    assert "| batch 20 | 10, 30 | 1.2000, 0.6000 | 24.3 |" in text and "`tune-star`" in text


def test_rows_survive_a_stop(tmp_path: Path) -> None:
    store = tmp_path / "versus.jsonl"
    assert versus_ptychi.stored(store) == []
    store.write_text(json.dumps(row()) + "\n", encoding="utf-8")
    assert versus_ptychi.stored(store)[0]["reach_s"] == [20.0, 100.0]


STOPPED = """
import sys, pathlib
import versus_ptychi as versus
word, folder = sys.argv[1][1:], pathlib.Path(sys.argv[2])
sleeper = [sys.executable, "-c", "import time; time.sleep(600)", word]
versus.PYTHON = pathlib.Path(sys.executable)
versus.todo = lambda quick: [("row", lambda seed: versus.run(sleeper, {}, {}, folder))]
sys.argv = ["versus_ptychi.py", str(folder / "page.md")]
raise SystemExit(versus.main())
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_stop_takes_the_program_that_runs_along(tmp_path: Path, number: signal.Signals) -> None:
    word = f"versus-{uuid.uuid4().hex}"
    comparison = subprocess.Popen(
        [sys.executable, "-c", STOPPED, f"-{word}", str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "scripts/benchmarks")},
        cwd=ROOT,
    )
    try:
        while not alive(word):
            assert comparison.poll() is None
            time.sleep(0.05)
        comparison.send_signal(number)
        comparison.wait(60)
        assert alive(word) == []
        assert comparison.returncode in (128 + number, -number)
    finally:
        comparison.kill()
        for left in alive(word):
            left.kill()
