"""The prior's training data: recipes, specimens, and what is kept of a solved scan."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptycho.data import save_reconstruction
from ptycho.errors import ArchiveError, DataError
from ptycho.pretraining import KINDS, TEST_PHOTOGRAPHS, make_data
from ptycho.pretraining.made import data_hash, lit, samples, turned
from ptycho.pretraining.recipes import CANVAS_PX, draw, measured
from ptycho.pretraining.specimens import TRAINING_PHOTOGRAPHS, Specimen, _cut
from ptycho.refinement import FED_WEIGHT, solved
from ptycho.result import Reconstruction
from ptycho.simulation import PHOTOGRAPHS


def test_there_are_ten_kinds_and_the_test_pictures_are_kept_apart() -> None:
    assert len(KINDS) >= 10 and len(set(KINDS)) == len(KINDS)
    assert not set(TEST_PHOTOGRAPHS) & set(TRAINING_PHOTOGRAPHS)
    assert set(TEST_PHOTOGRAPHS) | set(TRAINING_PHOTOGRAPHS) <= set(PHOTOGRAPHS)


def test_a_recipe_is_that_of_its_seed_and_number_and_they_are_of_many_kinds() -> None:
    recipes = [draw(3, number) for number in range(300)]
    assert recipes[7] == draw(3, 7) != draw(4, 7)
    json.dumps(recipes[0].record())
    assert {kind for each in recipes for kind in each.specimen.kinds} == set(KINDS)
    configs = [each.simulation for each in recipes]
    assert {c.probe for c in configs} == {"disk", "gaussian", "focused"}
    assert {c.kernel for c in configs} == {"fourier"}  # the solver's is another
    assert any(c.gap_px for c in configs) and any(len(c.probe_modes) > 1 for c in configs)
    for flaw in ("position_error_px", "flux_error", "probe_error_rad"):
        wrong = [getattr(each, flaw) != 0 for each in recipes]
        assert 0.05 < np.mean(wrong) < 0.4
    light = [c.photons / c.spacing_px**2 for c in configs]
    assert min(light) < 20 and max(light) > 2e4
    assert 0.4 < np.mean(np.array(light) < 71) < 0.6  # half of them: the prior is for few photons


@pytest.mark.parametrize("kind", KINDS)
def test_a_specimen_has_its_contrast_and_is_the_same_again(kind: str) -> None:
    one = Specimen((kind,), 0.4, 1.2, 0.5, seed=6)
    image = one((70, 60))
    assert image.shape == (70, 60) and np.array_equal(image, one((70, 60)))
    assert 0.4 - 1e-9 <= np.abs(image).min() < 0.8 and np.abs(image).max() <= 1 + 1e-9
    assert np.angle(image).min() >= -1e-9 and np.angle(image).max() <= 1.2 + 1e-9
    assert np.mean(np.abs(image - 1) < 1e-2) > 0.25  # half of it is an even field
    assert not np.allclose(image, Specimen((kind,), 0.4, 1.2, 0.5, seed=7)((70, 60)))


def test_most_of_the_pictures_are_as_fine_as_they_are_drawn() -> None:
    """Interpolated ones are blurred: a network that saw only those blurred sharp specimens."""
    cuts = [_cut("letters", (60, 60), np.random.default_rng(seed)) for seed in range(60)]
    sharp = [len(np.unique(each)) < 0.1 * each.size for each in cuts]
    assert 0.6 < np.mean(sharp) < 0.9


def test_specimens_are_cut_from_objects_of_ones_own(tmp_path: Path) -> None:
    """Only what is lit, whatever the canvas is filled with, and the phase of each pixel stays."""
    coverage = np.zeros((90, 80))
    coverage[10:70, 12:66] = 5.0
    field = np.where(coverage > 0, 2.0 * np.exp(0.7j), 9.0)
    field[30:34] = 1.0 * np.exp(0.2j)
    path = save_reconstruction(Reconstruction(field, coverage, (0.0, 0.0)), tmp_path / "own.h5")
    recipe = draw(3, 0, [str(path)])
    assert recipe.specimen.kinds == ("own",) and recipe.record()["specimen"]["path"] == str(path)
    cuts = [draw(3, number, [str(path)]).specimen((100, 70)) for number in range(6)]
    assert all(each.shape == (100, 70) and np.abs(each).max() <= 1 + 1e-6 for each in cuts)
    assert not np.array_equal(cuts[0], cuts[1])
    for each in cuts:
        assert np.abs(each).min() > 0.4
        assert np.median(np.angle(each)) == pytest.approx(0.7, abs=1e-5)
    assert len(measured(recipe).counts) == recipe.simulation.n_frames


def test_every_scan_fits_the_canvas_that_all_are_solved_on() -> None:
    for number in range(40):
        recipe = draw(11, number)
        scan = measured(recipe)
        extent = np.ptp(scan.positions_px, axis=0).max()
        assert extent + scan.N + 4 <= CANVAS_PX
        assert scan.n_frames == recipe.simulation.n_frames and (scan.counts >= 0).all()


def test_the_target_is_the_truth_with_the_smooth_phase_of_the_image() -> None:
    rng = np.random.default_rng(0)
    rows, cols = np.indices((360, 320))
    truth = 1 + 0.3 * rng.standard_normal((360, 320))
    slow = np.exp(1j * (0.8 + rows / 240 + (cols / 320) ** 2))
    found = turned(
        truth.astype(np.complex64), (truth * slow).astype(np.complex64), np.ones((360, 320))
    )
    assert np.abs(found - truth * slow)[60:-60, 60:-60].max() < 0.1
    np.testing.assert_allclose(np.abs(found), np.abs(truth), rtol=0.02)
    fine = np.exp(1j * (-1.0) ** (rows + cols))  # of the image alone: not taken over
    other = turned(
        truth.astype(np.complex64), (truth * fine).astype(np.complex64), np.ones((360, 320))
    )
    assert np.abs(np.angle(other * truth)[60:-60, 60:-60]).max() < 0.3
    wave = np.exp(0.2j * np.sin(rows / 10))  # 63 px long: noise of the counts for the most part
    left = turned(
        truth.astype(np.complex64), (truth * wave).astype(np.complex64), np.ones((360, 320))
    )
    assert np.abs(np.angle(left * truth)[60:-60, 60:-60]).max() < 0.05


def test_the_target_has_the_scale_of_the_image() -> None:
    """The first training taught the network to shrink images: a probe holds the other factor."""
    rng = np.random.default_rng(0)
    truth = (1 + 0.3 * rng.standard_normal((90, 80))).astype(np.complex64)
    noise = 0.1 * rng.standard_normal((90, 80))
    found = turned(truth, (1.7 * truth + noise).astype(np.complex64), np.ones((90, 80)))
    np.testing.assert_allclose(np.abs(found), 1.7 * np.abs(truth), rtol=0.02)


def test_a_sample_is_what_the_prior_will_see(tmp_path: Path) -> None:
    """Of a scan solved as its recipe says, and then with the weight that the prior is fed."""
    make_data(tmp_path, 1, seed=434)
    sample = next(samples(tmp_path))[1]
    recipe = draw(434, 0)
    assert recipe.weight != FED_WEIGHT
    fed = solved(measured(recipe), recipe.weight, recipe.passes, least_px=CANVAS_PX).fed
    first = [int(np.flatnonzero(lit(fed.light).any(axis))[0]) for axis in (1, 0)]
    rows, cols = sample.estimate.image.shape
    part = slice(first[0], first[0] + rows), slice(first[1], first[1] + cols)
    for name in ("image", "freer", "light"):
        expected = getattr(fed, name)[part]
        np.testing.assert_allclose(getattr(sample.estimate, name), expected, rtol=1e-4, atol=1e-5)


def test_data_are_made_once_and_go_on_and_a_damaged_file_is_told(tmp_path: Path) -> None:
    first = make_data(tmp_path, 2, seed=434)
    assert first["made"] == 2 == first["solved"] + first["unsolved"]
    files = {path: path.read_bytes() for path in tmp_path.iterdir()}
    second = make_data(tmp_path, 3, seed=434)
    assert second["made"] == 1 and second["solved"] >= 1
    assert all(path.read_bytes() == before for path, before in files.items())
    with pytest.raises(DataError, match="another seed"):
        make_data(tmp_path, 3, seed=6)
    own = tmp_path / "own.h5"
    save_reconstruction(Reconstruction(np.ones((9, 9)), np.ones((9, 9)), (0.0, 0.0)), own)
    with pytest.raises(DataError, match="other objects"):
        make_data(tmp_path, 3, seed=434, objects=[own])
    own.unlink()
    path, sample = next(samples(tmp_path))
    error = np.abs(sample.estimate.image - sample.target)
    assert np.median(error) < 0.5 and sample.target.shape == sample.estimate.light.shape
    before = data_hash([tmp_path])
    path.write_bytes(path.read_bytes()[:-400])
    assert data_hash([tmp_path]) != before
    with pytest.raises(ArchiveError, match="cannot be read"):
        list(samples(tmp_path))
    for left in tmp_path.glob("*.npz"):
        left.unlink()
    with pytest.raises(DataError, match="make-data"):
        list(samples(tmp_path))


def _scan(path: Path, **changes: object) -> None:
    """A scan's file as make-data writes it, of 9 × 9 pixels, but for what is changed."""
    arrays: dict[str, Any] = {name: np.ones((9, 9), np.complex64) for name in ("image", "freer")}
    arrays |= {"light": np.ones((9, 9), np.float32), "target": np.ones((9, 9), np.complex64)}
    facts: Any = {"recipe": draw(1, 0).record()}
    facts = changes.pop("facts", facts)
    text = np.frombuffer(json.dumps(facts).encode(), np.uint8)
    np.savez(path, **(arrays | changes), facts=text)


@pytest.mark.parametrize(
    "changes",
    [
        {"target": np.ones((9, 8), np.complex64)},
        {"target": np.full((9, 9), np.nan)},
        {"light": np.ones(9)},
        {"light": np.array(["much"])},
        {"facts": {}},
        {"facts": {"recipe": {}}},
        {"facts": {"recipe": 3}},
        {"facts": [1]},
    ],
)
def test_a_scan_that_teaches_nothing_is_told(tmp_path: Path, changes: dict[str, Any]) -> None:
    _scan(tmp_path / "00000.npz")
    assert len(list(samples(tmp_path))) == 1
    _scan(tmp_path / "00001.npz", **changes)
    with pytest.raises(ArchiveError, match="cannot be read") as caught:
        list(samples(tmp_path))
    assert caught.value.where == tmp_path / "00001.npz" and "make-data" in str(caught.value.fix)


def test_a_file_of_another_name_is_not_left_out_unsaid(tmp_path: Path) -> None:
    _scan(tmp_path / "00000.npz")
    _scan(tmp_path / "00000 copy.npz")
    for call in (lambda: list(samples(tmp_path)), lambda: data_hash([tmp_path])):
        with pytest.raises(DataError, match="00000 copy"):
            call()


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "{}", '{"seed": 1, "objects": 3}', "\\xff"])
def test_a_set_that_does_not_say_what_it_is_of_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "set.json").write_text(text)
    with pytest.raises(ArchiveError, match=r"set\.json") as caught:
        make_data(tmp_path, 1, seed=1)
    assert caught.value.fix


def test_scans_of_a_seed_that_nobody_knows_are_not_added_to(tmp_path: Path) -> None:
    _scan(tmp_path / "00000.npz")
    with pytest.raises(DataError, match="nothing says of which seed"):
        make_data(tmp_path, 1, seed=1)
    assert not (tmp_path / "set.json").exists()
