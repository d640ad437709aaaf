"""Crops, the loss, and a training that goes on where it was cut off."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from ptycho.errors import ArchiveError, ConfigError, PtychoError, UsageError
from ptycho.physics import backend
from ptycho.pretraining import PriorTraining, train_prior
from ptycho.pretraining.crops import CROP_PX, batch, plate
from ptycho.pretraining.loss import relative_loss
from ptycho.pretraining.made import Sample, data_hash
from ptycho.pretraining.recipes import PROBES, draw, made_of
from ptycho.pretraining.specimens import KINDS
from ptycho.prior import CHANNELS, Estimate, load_prior


def sample(seed: int, side: int = 80) -> Sample:
    """A noisy image whose target is the image without the noise."""
    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.standard_normal((side, side)), 3)
    target = 0.8 + field / (4 * field.std()) * np.exp(0.5j)
    noise = 0.08 * (rng.standard_normal((side, side)) + 1j * rng.standard_normal((side, side)))
    light = np.full((side, side), 200.0)
    light[:, :6] = 0
    estimate = Estimate(target + noise, target + 1.5 * noise, light)
    recipe = {"specimen": {"kinds": ["blobs"]}, "simulation": {"probe": PROBES[seed % 2]}}
    return Sample(estimate, target.astype(np.complex64), recipe)


def written(folder: Path, count: int = 22) -> Path:
    """As `make_data` writes them."""
    folder.mkdir()
    for number in range(count):
        each = sample(number)
        parts = {name: getattr(each.estimate, name) for name in ("image", "freer", "light")}
        facts = np.frombuffer(json.dumps({"recipe": each.recipe}).encode(), np.uint8)
        np.savez(folder / f"{number:05d}.npz", target=each.target, facts=facts, **parts)
    return folder


def test_the_answer_that_is_wanted_makes_the_target_of_every_crop() -> None:
    """However a crop is turned: image + wanted is the target, whose difference is the noise."""
    plates = [plate(sample(0)), plate(sample(1, side=50))]
    seen, wanted = batch(plates, 12, np.random.default_rng(2))
    assert seen.shape == (12, CROP_PX, CROP_PX, CHANNELS)
    assert wanted.shape == (12, CROP_PX, CROP_PX, 6)
    counts = wanted[..., 3] > 0
    assert (seen[~counts] == 0).all() and not counts.all()
    for image, step, where in zip(seen[..., :2], wanted[..., :2], counts, strict=True):
        # The noise is white and the target smooth: the corrected image has hardly any differences.
        both = np.diff(where, axis=0) | ~where[1:]
        rough = np.abs(np.diff(image, axis=0))[~both].mean()
        assert np.abs(np.diff(image + step, axis=0))[~both].mean() < 0.6 * rough
    again, _ = batch(plates, 12, np.random.default_rng(2))
    np.testing.assert_array_equal(seen, again)


def test_the_loss_is_that_of_its_formula_relative_to_the_input() -> None:
    rng = np.random.default_rng(0)
    wanted = rng.standard_normal((2, 48, 50, 6)).astype(np.float32)
    wanted[..., 2], wanted[..., 3] = 0.1, rng.uniform(size=(2, 48, 50)) < 0.8
    answer = rng.standard_normal((2, 48, 50, 2)).astype(np.float32)

    def size(error: np.ndarray) -> float:
        count = ndimage.uniform_filter(np.ones(error.shape[:2]), 9, mode="constant")
        planes = np.moveaxis(error, -1, 0)
        local = np.stack([ndimage.uniform_filter(p, 9, mode="constant") / count for p in planes])
        return float(np.mean(0.9 * np.abs(planes - local) + 0.1 * np.abs(planes)))

    def unlike(image: np.ndarray, target: np.ndarray, counts: np.ndarray) -> float:
        """1 − SSIM, window by window."""
        reach = np.ptp(target[counts])
        a, b = (0.01 * reach) ** 2, (0.03 * reach) ** 2
        scores = []
        for row, col in np.argwhere(counts):
            box = slice(max(row - 3, 0), row + 4), slice(max(col - 3, 0), col + 4)
            one, two = image[box][counts[box]], target[box][counts[box]]
            both = np.mean(one * two) - one.mean() * two.mean()
            score = (2 * one.mean() * two.mean() + a) * (2 * both + b)
            score /= (one.mean() ** 2 + two.mean() ** 2 + a) * (one.var() + two.var() + b)
            scores.append(score)
        return 1 - float(np.mean(scores))

    def strange(image: np.ndarray, target: np.ndarray, counts: np.ndarray) -> float:
        """Excess half-deviance of the expected counts of one frame; the light is 1/(4σ²)."""
        row, col = np.indices((48, 48)) - 23.5
        radius = np.hypot(row, col)
        beam = np.exp(4j * (radius / 18) ** 2) / (1 + np.exp(np.minimum(radius - 18, 50)))
        photons = 0.1 * np.mean(counts[:, :48]) / (4 * (0.1 / 0.2) ** 4)
        m, y = (
            0.02 + photons * np.abs(np.fft.fft2(each[:, :48] * beam, norm="ortho")) ** 2
            for each in (image, target)
        )
        return float(np.mean(m - y + y * np.log(y / m)))

    expected = []
    for y, n in zip(wanted.astype(float), answer, strict=True):
        counts = y[..., 3] > 0
        masked = counts[..., None]
        error = size((0.1 * n - y[..., :2]) * masked) / size(y[..., :2] * masked)
        before = y[..., 4] + 1j * y[..., 5]
        target = before + y[..., 0] + 1j * y[..., 1]
        after = before + 0.1 * (n[..., 0] + 1j * n[..., 1])
        phase = np.angle(target) - np.angle(target[counts]).min()
        ratios = [
            (unlike(np.abs(after), np.abs(target), counts) + 0.02)
            / (unlike(np.abs(before), np.abs(target), counts) + 0.02),
            (unlike(phase + np.angle(after / target), phase, counts) + 0.02)
            / (unlike(phase + np.angle(before / target), phase, counts) + 0.02),
        ]
        odd = [strange(each * counts, target * counts, counts) for each in (after, before)]
        counted = np.sqrt((odd[0] + 1e-4) / (odd[1] + 1e-4))
        expected.append(0.2 * error + 0.25 * sum(ratios) + 0.3 * counted)
    found = relative_loss(*map(backend.tensor, (wanted, answer)))
    assert float(found) == pytest.approx(np.mean(expected), rel=1e-4)
    nothing = relative_loss(*map(backend.tensor, (wanted, np.zeros_like(answer))))
    assert float(nothing) == pytest.approx(1, abs=1e-4)


class Cut(Exception):
    pass


@pytest.mark.training
def test_a_training_learns_and_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    data = written(tmp_path / "data")
    config = PriorTraining(steps=120, seed=4, checkpoint_s=0.0)
    record = train_prior([data], tmp_path / "whole", config)
    assert record["scans"] == 22 and record["last"]["unseen"] < 0.95
    assert record["data_sha256"] and record["hours"] > 0

    def cut(done: int, total: int, info: dict[str, float]) -> None:
        raise Cut

    with pytest.raises(Cut):
        train_prior([data], tmp_path / "cut", config, progress=cut)
    with pytest.raises(UsageError, match="cut off"):
        train_prior([data], tmp_path / "cut", config)
    with pytest.raises(ArchiveError, match="other data or settings"):
        train_prior([data], tmp_path / "cut", PriorTraining(steps=300, seed=4), resume=True)
    train_prior([data], tmp_path / "cut", config, resume=True)
    before = (tmp_path / "cut/prior.npz").read_bytes()
    for resume in (False, True):
        with pytest.raises(UsageError, match="finished"):
            train_prior([data], tmp_path / "cut", PriorTraining(steps=1), resume=resume)
    assert (tmp_path / "cut/prior.npz").read_bytes() == before
    assert not list((tmp_path / "cut").glob("checkpoint*"))
    with np.load(tmp_path / "whole/prior.npz") as a, np.load(tmp_path / "cut/prior.npz") as b:
        for name in (name for name in a.files if name != "record"):
            np.testing.assert_allclose(a[name], b[name], atol=2e-3)
    curves = [(tmp_path / each / "curves.csv").read_text() for each in ("whole", "cut")]
    assert [len(text.splitlines()) for text in curves] == [3, 3]

    fresh = sample(99)
    found = load_prior(tmp_path / "whole/prior.npz")(fresh.estimate)
    lit = fresh.estimate.light > 0
    before, after = (np.abs(x - fresh.target)[lit].mean() for x in (fresh.estimate.image, found))
    assert after < 0.95 * before

    wide = train_prior([data], tmp_path / "wide", PriorTraining(steps=1, width=40))
    assert wide["width"] == load_prior(tmp_path / "wide/prior.npz").width == 40
    assert wide["rate"] == 1.2e-3
    tuned = PriorTraining(steps=20, start=str(tmp_path / "whole/prior.npz"))
    again = train_prior([data], tmp_path / "tuned", tuned)
    assert again["start_sha256"] == load_prior(tmp_path / "whole/prior.npz").record["sha256"]
    assert again["rate"] == 2e-4
    assert again["last"]["unseen"] < 0.95  # a network of chance starts at 1


@pytest.mark.training
def test_a_second_training_in_the_folder_is_told_from_the_first_step_on(tmp_path: Path) -> None:
    data = written(tmp_path / "data")

    def second(done: int, total: int, info: dict[str, float]) -> None:
        with pytest.raises(UsageError, match="under way"):
            train_prior([data], tmp_path / "out", PriorTraining(steps=1))
        raise Cut

    with pytest.raises(Cut):
        train_prior([data], tmp_path / "out", PriorTraining(steps=1), progress=second)


@pytest.mark.training
@pytest.mark.parametrize("damage", ["half", "other", "empty"])
def test_a_state_that_cannot_be_gone_on_from_is_told(tmp_path: Path, damage: str) -> None:
    data, config = written(tmp_path / "data"), PriorTraining(steps=1)

    def cut(done: int, total: int, info: dict[str, float]) -> None:
        raise Cut

    with pytest.raises(Cut):
        train_prior([data], tmp_path / "out", config, progress=cut)
    state = tmp_path / "out" / "checkpoint.npz"
    with np.load(state) as file:
        arrays = {name: file[name] for name in file.files}
    if damage == "half":
        state.write_bytes(state.read_bytes()[:-5000])
    else:
        changed = {"v000": np.ones(3)} if damage == "other" else {"facts": np.zeros(0, np.uint8)}
        np.savez(state, **(arrays | changed))
    with pytest.raises(ArchiveError, match="cannot be read") as caught:
        train_prior([data], tmp_path / "out", config, resume=True)
    assert str(state) in str(caught.value.fix)


def test_a_recipe_is_made_of_its_kinds_of_specimen_and_its_probe() -> None:
    """Both are left out by name, so that no name may be both a specimen's and a probe's."""
    assert not set(KINDS) & set(PROBES)
    recipes = [draw(3, number) for number in range(60)]
    for recipe in recipes:
        wanted = {*recipe.specimen.kinds, recipe.simulation.probe}
        assert made_of(recipe.record()) == wanted
    assert set().union(*(made_of(each.record()) for each in recipes)) == {*KINDS, *PROBES}


@pytest.mark.training
def test_a_kind_of_probe_is_left_out_of_training(tmp_path: Path) -> None:
    """Every second of 42 scans has it: numbers 1, 3, … , and none of those kept apart."""
    data = written(tmp_path / "data", 42)
    config = PriorTraining(steps=1, without=(PROBES[1],))
    record = train_prior([data], tmp_path / "out", config)
    assert (record["scans"], record["without"]) == (21, [PROBES[1]])
    assert train_prior([data], tmp_path / "all", PriorTraining(steps=1))["scans"] == 42


@pytest.mark.training
def test_a_training_takes_several_folders(tmp_path: Path) -> None:
    """One in twenty of each is kept apart; the record's hash is that of all of them."""
    data = [written(tmp_path / name, count) for name, count in (("a", 22), ("b", 3))]
    record = train_prior(data, tmp_path / "out", PriorTraining(steps=1))
    assert record["scans"] == 25
    assert len({record["data_sha256"], *(data_hash([each]) for each in data)}) == 3
    with pytest.raises(UsageError, match="twice"):
        train_prior([data[0], tmp_path / "b/../a"], tmp_path / "out", PriorTraining(steps=1))


def test_what_cannot_be_trained_is_told(tmp_path: Path) -> None:
    for steps, without in ((0, ()), (5, ("horses",))):
        with pytest.raises(ConfigError):
            PriorTraining(steps=steps, without=without)
    with pytest.raises(ConfigError, match=f"(?s)without.*{KINDS[-1]}.*{PROBES[-1]}.*horses"):
        PriorTraining(without=("horses", "disk"))
    with pytest.raises(ConfigError, match="rate"):
        PriorTraining(rate=0.0)
    for start, width in ((None, 0), (None, 129), ("auto", 48)):
        with pytest.raises(ConfigError, match="width"):
            PriorTraining(start=start, width=width)
    data = written(tmp_path / "data", 2)
    for config in (PriorTraining(steps=5), PriorTraining(steps=5, without=("blobs",))):
        with pytest.raises(PtychoError, match=r"too few|no solved"):
            if config.without:
                train_prior([data], tmp_path / "out", config)
            else:
                (data / "00000.npz").unlink()
                train_prior([data], tmp_path / "out", config)
