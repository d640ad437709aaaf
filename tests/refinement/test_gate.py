"""The gate: the prior's image is the result where held-out counts are explained better by it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from ptycho.errors import ArchiveError
from ptycho.nn import build_prior_net
from ptycho.pretraining.made import on_canvas, turned
from ptycho.prior import CHANNELS, Estimate, lit, load_prior, long_waves, save_prior
from ptycho.refinement import FED_WEIGHT, RefineConfig, fed_weight, gate, refine
from ptycho.refinement.engine import Engine
from ptycho.refinement.gate import (
    FED_PASSES,
    LONG_PASSES,
    NET,
    PLAIN,
    PRIORS,
    PULL_PASSES,
    PULLED,
    QUARTERS,
    SMOOTH,
    TOLD,
    TOLD_PASSES,
    Blank,
    Judged,
    _put,
    judge,
    quarters,
    solved,
    told_by_counts,
    verdict,
)
from ptycho.refinement.run import prepare
from ptycho.refinement.takeover import take_over
from ptycho.scan import Scan
from ptycho.simulation import SimulationConfig, simulate

DIM = SimulationConfig(N=32, n_frames=100, photons=2e3, probe_diameter_px=16, kernel="fourier")


@pytest.fixture(scope="module")
def dim() -> Scan:
    return simulate(DIM)


def judged(mean: float, spread: float = 0.0) -> Judged:
    return Judged(mean + spread * np.tile([-1.0, 1.0], 32), mean)


def alike(deviances: np.ndarray) -> Blank:
    """An answer of nothing whose long waves change nothing."""
    return Blank(deviances, deviances)


@pytest.mark.parametrize(
    ("net", "pulled", "chosen"),
    [
        (judged(0.49), judged(0.495), NET),
        (judged(0.49), judged(0.48), PULLED),
        (judged(0.499, 0.01), judged(0.51), SMOOTH),  # within two standard errors
        (judged(0.499, 0.0037), judged(0.51), SMOOTH),  # 2.2: of three images one may show as much
        (judged(0.499, 0.003), judged(0.51), NET),
        (judged(0.51), judged(0.52), SMOOTH),
        (judged(0.51), judged(0.49), PULLED),
    ],
)
def test_the_plainer_image_stays_within_what_chance_shows_of_three_images(
    net: Judged, pulled: Judged, chosen: str
) -> None:
    pairs = [(PLAIN, judged(0.6)), (SMOOTH, judged(0.5))]
    where = np.arange(len(net.each)) % 4
    blanks = {NET: alike(pairs[1][1].each), PULLED: alike(judged(0.499).each)}
    found = verdict(SMOOTH, [*pairs, (NET, net), (PULLED, pulled)], where, blanks)
    assert [row["false_gain"] for row in found.candidates[2:]] == pytest.approx([0, 0.001])
    assert found.chosen == chosen
    best = min(float(net.each.mean()), float(pulled.each.mean()))
    assert found.gain == pytest.approx(0.5 - best)
    assert [row["image"] for row in found.candidates] == [PLAIN, SMOOTH, NET, PULLED]


class Knows:
    """A prior that answers with a given image, turned to the phase of its input."""

    record = {"what": "an oracle"}

    def __init__(self, answer: np.ndarray) -> None:
        self.answer = answer

    def __call__(self, estimate: Estimate) -> np.ndarray:
        turn = np.vdot(self.answer * estimate.light, estimate.image)
        return (self.answer * turn / abs(turn)).astype(np.complex64)


def begun(scan: Scan, passes: int) -> tuple[Engine, np.ndarray]:
    """An engine after passes with total variation, and the truth on its canvas."""
    engine = prepare(scan, take_over(scan, None), RefineConfig(update_probe=False))
    engine.begin_whole()
    for _ in range(passes):
        engine.run_whole("poisson", 0.25)
    assert scan.truth is not None
    return engine, on_canvas(scan.truth, engine.canvas.origin_px, engine.canvas.shape)


def test_the_truth_wins_and_noise_loses_and_the_engine_is_as_before(dim: Scan) -> None:
    engine, truth = begun(dim, 20)
    before = engine.fields()[0]
    rng = np.random.default_rng(0)
    good = judge(engine, "poisson", 0.25, Knows(truth))  # type: ignore[arg-type]
    bad = judge(engine, "poisson", 0.25, Knows(before + 0.3 * rng.normal(size=before.shape)))  # type: ignore[arg-type]
    assert good.chosen in PRIORS and good.gain > 2 * good.standard_error > 0
    assert bad.chosen == SMOOTH
    assert [row["image"] for row in bad.candidates] == [PLAIN, SMOOTH, NET, PULLED, TOLD]
    for row in good.candidates:
        assert list(row["gain_by_quarter"]) == list(QUARTERS)
        assert np.mean(list(row["gain_by_quarter"].values())) == pytest.approx(
            row["gain"], abs=0.02
        )
    by_name = {row["image"]: row for row in bad.candidates}
    assert by_name[NET]["gain"] < 0 == by_name[SMOOTH]["gain"]
    np.testing.assert_array_equal(engine.fields()[0], before)
    told = engine.run_whole("poisson", 0.25)
    engine.restore(engine.snapshot())
    assert np.isfinite(told.residual)


def test_what_counts_hold_against_an_image_comes_back_and_their_noise_does_not() -> None:
    """A square that is missing in the prior's image, and everywhere else the truth."""
    scan = simulate(DIM.model_copy(update={"photons": 3e3}))
    engine, truth = begun(scan, 30)
    light = engine.light()
    truth = turned(truth, engine.fields()[0], light)
    inside = lit(light)
    row, col = (int(np.median(each)) for each in np.nonzero(inside))
    square = np.zeros(truth.shape, bool)
    square[row - 6 : row + 6, col - 6 : col + 6] = True
    missing = np.where(square, 0.6 * truth, truth).astype(np.complex64)
    away = inside & ~ndimage.binary_dilation(square, iterations=12)
    image = told_by_counts(engine, "poisson", missing)
    _put(engine, missing)
    for _ in range(TOLD_PASSES):
        engine.run_whole("poisson", 0.0, hold=True)
    noisy = np.abs(engine.fields()[0] - truth)[away].mean()
    error = np.abs(image - truth)
    assert error[square].mean() < 0.25 * np.abs(missing - truth)[square].mean()
    assert error[away].mean() < 0.2 * noisy


@pytest.mark.parametrize("update_probe", [False, True])
def test_passes_alone_are_no_gain_of_the_prior(dim: Scan, update_probe: bool) -> None:
    """A trial ends early: an answer that changes nothing must not win by what passes add to it."""
    engine = prepare(dim, take_over(dim, None), RefineConfig(update_probe=update_probe))
    engine.begin_whole()
    for _ in range(3):
        engine.run_whole("poisson", 0.65)

    class Nothing:
        record = {"what": "the image as it is"}

        def __call__(self, estimate: Estimate) -> np.ndarray:
            return estimate.image

    found = judge(engine, "poisson", 0.65, Nothing())  # type: ignore[arg-type]
    assert found.chosen == SMOOTH
    assert [row["gain"] - row["long_waves_gain"] for row in found.candidates[2:]] == [0, 0, 0]


def test_consistency_and_what_counts_tell_go_on_from_the_priors_image(
    dim: Scan, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = prepare(dim, take_over(dim, None), RefineConfig(update_probe=False))
    engine.begin_whole()
    for _ in range(3):
        engine.run_whole("poisson", 0.65)
    seen: list[Estimate] = []
    begun: dict[str, list[np.ndarray]] = {PULLED: [], TOLD: []}

    class Brighter:
        record = {"what": "the image, a tenth brighter"}

        def __call__(self, estimate: Estimate) -> np.ndarray:
            seen.append(estimate)
            return np.float32(1.1) * estimate.image

    def kept(name: str) -> Any:
        after = gate.AFTER[name]

        def call(engine: Any, loss: str, image: np.ndarray) -> np.ndarray:
            begun[name].append(image)
            return after(engine, loss, image)

        return call

    monkeypatch.setattr(gate, "AFTER", {name: kept(name) for name in begun})
    judge(engine, "poisson", 0.65, Brighter())  # type: ignore[arg-type]
    for name in begun:
        np.testing.assert_allclose(begun[name][0], 1.1 * seen[0].image, rtol=1e-5)
        np.testing.assert_array_equal(begun[name][2], seen[0].image)  # an answer of nothing


def test_what_the_own_weight_gains_by_as_many_passes_is_no_gain_of_the_prior() -> None:
    """The prior's input has another weight: many photons, few passes, and it starts behind."""
    bright = simulate(DIM.model_copy(update={"photons": 1e7}))
    engine = prepare(bright, take_over(bright, None), RefineConfig(update_probe=False))
    engine.begin_whole()
    for _ in range(6):
        engine.run_whole("poisson", 0.05)
    before = engine.saved()
    engine.begin_whole()
    for _ in range(PULL_PASSES + FED_PASSES + LONG_PASSES + TOLD_PASSES):
        engine.run_whole("poisson", 0.05, hold=True)
    longer = engine.fields()[0]
    engine.resume(before)

    class Longer:
        record = {"what": "the image after more passes"}

        def __call__(self, estimate: Estimate) -> np.ndarray:
            return longer

    found = judge(engine, "poisson", 0.05, Longer())  # type: ignore[arg-type]
    (net,) = (row for row in found.candidates if row["image"] == NET)
    assert net["gain"] == pytest.approx(0, abs=1e-6) and found.chosen != NET


def test_what_an_answer_of_nothing_gains_too_is_no_gain_of_the_prior() -> None:
    where, own, pulled = np.zeros(64), judged(0.5), judged(0.48, 0.001)
    for blank, chosen in ((judged(0.49), PULLED), (judged(0.48), SMOOTH), (judged(0.47), SMOOTH)):
        blanks = {NET: alike(own.each), PULLED: alike(blank.each)}
        pairs = [(SMOOTH, own), (PULLED, pulled)]
        found = verdict(SMOOTH, pairs, where, blanks)
        assert (found.chosen, found.gain) == (chosen, pytest.approx(0.02))


@pytest.mark.parametrize(("waves", "chosen"), [(0.49, NET), (0.48, SMOOTH), (0.47, SMOOTH)])
def test_what_long_waves_alone_gain_is_no_merit_of_the_network(waves: float, chosen: str) -> None:
    """Nor need it beat them by much: they are a gain, and the image that wins has them."""
    own, net = judged(0.5), judged(0.489, 0.001) if waves == 0.49 else judged(0.48)
    blank = Blank(own.each, judged(waves, 0.01).each)
    found = verdict(SMOOTH, [(SMOOTH, own), (NET, net)], np.zeros(64), {NET: blank})
    assert found.chosen == chosen
    (row,) = found.candidates[1:]
    assert row["false_gain"] == 0 and row["long_waves_gain"] == pytest.approx(0.5 - waves)


def test_one_held_out_frame_does_not_choose_the_prior() -> None:
    """Its standard error is 0, so that the least gain was one beyond doubt."""
    own, net = np.array([0.5]), np.array([0.499])
    pairs = [(SMOOTH, Judged(own, None)), (NET, Judged(net, None))]
    found = verdict(SMOOTH, pairs, np.zeros(1, int), {NET: alike(own + 1)})
    assert found.chosen == SMOOTH and "error is unknown" in found.candidates[1]["refused"]


@pytest.mark.parametrize("frames", [2, 3, 8, 14, 48, 400])
def test_chance_passes_no_more_often_where_few_frames_are_held_out(frames: int) -> None:
    """The frames' own scatter is uncertain where they are few: of two, 15.6 % passed by chance."""
    rng, draws = np.random.default_rng(frames), 4000
    passed = 0
    for values in rng.normal(0.5, 0.01, (draws, frames)):
        own, far = np.full(frames, 0.5), np.full(frames, 9.0)
        pairs = [(SMOOTH, Judged(own, None)), (NET, Judged(values, None))]
        found = verdict(SMOOTH, pairs, np.zeros(frames, int), {NET: alike(far)})
        passed += found.chosen == NET
    expected = 0.0228 / 3
    assert passed < draws * expected + 4 * np.sqrt(draws * expected)


def test_a_deviance_that_is_not_finite_chooses_nothing_and_says_so() -> None:
    own, odd = np.full(14, 0.5), np.full(14, 0.4)
    odd[3] = np.nan
    for first, second in ((own, odd), (odd, own - 0.2)):
        pairs = [(SMOOTH, Judged(first, None)), (NET, Judged(second, None))]
        found = verdict(SMOOTH, pairs, np.zeros(14, int), {NET: alike(own + 1)})
        assert found.chosen == SMOOTH and "not finite" in found.candidates[1]["refused"]


def test_frames_that_all_gain_the_same_are_not_one_frame() -> None:
    own = np.array([0.5, 0.6])
    pairs = [(SMOOTH, Judged(own, None)), (NET, Judged(own - 0.25, None))]
    found = verdict(SMOOTH, pairs, np.zeros(2, int), {NET: alike(own + 1)})
    assert found.chosen == NET and found.standard_error == 0.0
    pairs = [(SMOOTH, Judged(own[:1], None)), (NET, Judged(own[:1] - 0.25, None))]
    found = verdict(SMOOTH, pairs, np.zeros(1, int), {NET: alike(own[:1] + 1)})
    assert found.chosen == SMOOTH and found.standard_error is None


def test_the_gain_is_that_of_the_image_that_was_taken() -> None:
    """A refused one may gain more: its gain is not that of the result."""
    own, net, pulled = judged(0.5), judged(0.49), judged(0.48)
    pairs = [(PLAIN, judged(0.6)), (SMOOTH, own), (NET, net), (PULLED, pulled)]
    blanks = {NET: alike(own.each), PULLED: alike(pulled.each)}
    found = verdict(SMOOTH, pairs, np.zeros(64, int), blanks)
    assert (found.chosen, found.gain_of, found.gain_over) == (NET, NET, SMOOTH)
    assert found.gain == pytest.approx(0.01)
    found = verdict(SMOOTH, pairs, np.zeros(64, int), {**blanks, NET: alike(net.each)})
    assert (found.chosen, found.gain_of, found.gain) == (SMOOTH, PULLED, pytest.approx(0.02))


@pytest.mark.parametrize(
    ("net", "passes", "waves", "why"),
    [
        (judged(0.48), judged(0.5), judged(0.5), None),
        (judged(0.51), judged(0.52), judged(0.52), "no better than total variation"),
        (judged(0.48, 0.08), judged(0.5), judged(0.5), "1.98 standard errors; more than 2.6"),
        (judged(0.48), judged(0.48), judged(0.5), "an answer of nothing after the same passes"),
        (judged(0.48), judged(0.5), judged(0.48), "long waves of the phase, without the network"),
    ],
)
def test_an_image_that_is_refused_says_why(
    net: Judged, passes: Judged, waves: Judged, why: str | None
) -> None:
    blanks = {NET: Blank(passes.each, waves.each), PULLED: Blank(passes.each, waves.each)}
    pairs = [(SMOOTH, judged(0.5)), (NET, net), (PULLED, judged(0.53))]
    found = verdict(SMOOTH, pairs, np.zeros(64), blanks)
    own, first, last = found.candidates
    assert "refused" not in own
    if why is None:
        assert found.chosen == NET and first["refused"] is None
        assert last["refused"] == "no better than prior"
    else:
        assert found.chosen == SMOOTH and why in first["refused"]
        assert last["refused"] == "no better than total variation"


def test_a_plain_image_that_seems_better_than_the_chosen_one_says_why_it_is_not_taken() -> None:
    own, net = judged(0.5), judged(0.51)
    for plain, why in ((0.49, "the trials before the gate chose total variation"), (0.51, None)):
        pairs = [(PLAIN, judged(plain)), (SMOOTH, own), (NET, net)]
        found = verdict(SMOOTH, pairs, np.zeros(64), {NET: alike(own.each)})
        assert found.chosen == SMOOTH and found.candidates[0].get("refused") == why


def test_an_image_that_is_better_here_and_worse_there_is_told_by_quarter() -> None:
    where = quarters(np.array([(0, 0), (0, 9), (9, 0), (9, 9)] * 3))
    assert where.tolist() == [0, 1, 2, 3] * 3
    own, net = np.full(12, 0.5), np.where(where == 2, 0.6, 0.3)
    pairs = [(SMOOTH, Judged(own, None)), (NET, Judged(net, None))]
    row = verdict(SMOOTH, pairs, where, {NET: alike(own)}).candidates[1]
    assert row["gain"] == pytest.approx(0.125)
    assert row["gain_by_quarter"] == pytest.approx(
        {"upper left": 0.2, "upper right": 0.2, "lower left": -0.1, "lower right": 0.2}
    )


def test_a_refused_prior_leaves_the_refinement_as_it_is_and_is_told(tmp_path: Path) -> None:
    """Of another seed than `dim`, where the counts cannot tell the pulled image from its own."""
    dim = simulate(DIM.model_copy(update={"seed": 1}))
    weights = build_prior_net(CHANNELS).get_weights()
    weights[-1] = weights[-1] + 3.0  # an answer that is wrong everywhere
    path = tmp_path / "bad.npz"
    save_prior(path, weights, {"seed": 8, "objects_of": [dim.name]})
    config = RefineConfig(passes=40, update_probe=False)
    plain = refine(dim, config=config)
    tried = refine(dim, config=config.model_copy(update={"prior": str(path)}))
    gate = tried.reconstruction.meta["prior"]
    assert gate["chosen"] == SMOOTH and gate["gain"] < 0 and gate["network"]["seed"] == 8
    (net,) = (row for row in gate["candidates"] if row["image"] == NET)
    assert net["gain"] < -5 * net["standard_error"] < 0
    assert dim.name in gate["doubt"] and "memory" in gate["doubt"]
    assert tried.reconstruction.plain is None
    np.testing.assert_array_equal(tried.reconstruction.object, plain.reconstruction.object)
    assert tried.deviance_per_pixel == plain.deviance_per_pixel


@pytest.mark.slow
@pytest.mark.parametrize("pictures", [("rocket", "moon"), ("astronaut", "coffee")])
def test_the_shipped_prior_brings_an_image_nearer_to_what_it_never_saw(
    pictures: tuple[str, str],
) -> None:
    """Ungated, at 1e3 photons a frame: r.m.s. error of what lies in the light."""
    amplitude, phase = pictures
    config = SimulationConfig(
        n_frames=144, photons=1e3, amplitude=amplitude, phase=phase, kernel="fourier", seed=5
    )
    scan = simulate(config)
    assert scan.truth is not None
    _, estimate, origin = solved(scan, 0.4, 40, least_px=0)
    truth = on_canvas(scan.truth, origin, estimate.image.shape)
    wanted = turned(truth, estimate.image, estimate.light)
    inside = lit(estimate.light)
    before, after = (
        float(np.sqrt(np.mean(np.abs(image - wanted)[inside] ** 2)))
        for image in (estimate.image, load_prior("auto")(estimate))
    )
    assert after < 0.95 * before


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"regularise": "off"}, "regularise=off"),
        ({"seconds": 1.0}, "seconds"),
        ({}, "6 passes are too few to choose, 36 would do"),
        ({"regularise": 0.3}, "6 passes are too few to choose"),
        ({"regularise": 0.3, "loss": "poisson"}, "both given"),
        ({"regularise": 0.3, "held_out_fraction": 0.0}, "no counts can be held out"),
    ],
)
def test_a_prior_that_cannot_be_judged_is_not_used_and_says_why(
    dim: Scan, tmp_path: Path, settings: dict[str, Any], why: str
) -> None:
    path = tmp_path / "any.npz"
    save_prior(path, build_prior_net(CHANNELS).get_weights(), {})
    config = RefineConfig(passes=6, update_probe=False, prior=str(path), **settings)
    told = refine(dim, config=config).reconstruction.meta["prior"]
    assert told["chosen"] == "none" and why in told["why"] and "doubt" not in told
    with pytest.raises(ArchiveError, match="prior"):
        refine(dim, config=config.model_copy(update={"prior": str(tmp_path / "none.npz")}))


def test_the_long_waves_of_the_phase_that_the_prior_sees_are_those_of_the_likelihood() -> None:
    """Total variation at few photons takes a share of them."""

    def waving(shape: tuple[int, int]) -> np.ndarray:
        rows, cols = np.indices(shape)
        bend = 0.5 * np.sin(2 * np.pi * rows / 110)
        made: np.ndarray = (1 + 0.2 * ((rows // 6 + cols // 6) % 2)) * np.exp(1j * bend)
        return made

    config = SimulationConfig(n_frames=144, photons=1e3, kernel="fourier", seed=4)
    scan = simulate(config, specimen=waving)
    assert scan.truth is not None
    image, fed, origin = solved(scan, 0.65, 60, least_px=0, fed=0.65)
    truth = on_canvas(scan.truth, origin, image.shape)
    inside = lit(fed.light)

    def astray(image: np.ndarray) -> float:
        left = np.angle(long_waves(image, truth, fed.light, 8.0))[inside]
        return float(np.std(left))

    assert astray(fed.image) < 0.7 * astray(image)


@pytest.mark.parametrize("weight", [0.0, 0.05, 0.25, 0.65, 1.6])
def test_the_prior_sees_the_same_weight_unless_the_descent_chose_a_heavy_one(
    dim: Scan, weight: float
) -> None:
    """It improves that one most; the image of the descent itself stays what it was."""
    assert fed_weight(weight) == (1.0 if weight == 1.6 else FED_WEIGHT)
    plain, fed, _ = solved(dim, weight, 20, least_px=0)
    same = solved(dim, weight, 20, least_px=0, fed=weight)
    np.testing.assert_array_equal(plain, same.image)
    inside = lit(fed.light)
    turn = same.fed.image / np.where(inside, same.image, 1)
    np.testing.assert_allclose(np.abs(turn)[inside], 1, rtol=1e-5)
    for each, lit_too in ((turn, inside), (turn.T, inside.T)):  # only long waves are others
        assert np.abs(np.diff(each, axis=0))[lit_too[1:] & lit_too[:-1]].max() < 0.05

    def rough(image: np.ndarray) -> float:
        return float(np.sum(np.abs(np.diff(image, axis=0))[inside[1:]]))

    wanted = rough(solved(dim, fed_weight(weight), 30, least_px=0).image)
    assert rough(fed.image) == pytest.approx(wanted, rel=0.05)
    assert abs(rough(plain) / wanted - 1) > 0.05
