"""The prior's input, its network on images of any size, and the file of its weights."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptycho.errors import ArchiveError, DataError, ShapeError, UsageError
from ptycho.nn import PRIOR_REACH_PX, PRIOR_WIDTH, build_prior_net
from ptycho.nn.blocks import seeds, two_scales
from ptycho.prior import (
    CHANNELS,
    SHIPPED,
    Estimate,
    Prior,
    channels,
    counted,
    gauged,
    lit,
    load_prior,
    long_waves,
    save_prior,
    shrunk,
    told_apart,
)
from ptycho.prior.weights import _checksum
from ptycho.quiet import keras


def made(shape: tuple[int, int], seed: int = 0) -> Estimate:
    """A noisy image in a frame of no light, as a scan leaves it."""
    rng = np.random.default_rng(seed)
    image = 0.8 + 0.1 * (rng.standard_normal(shape) + 1j * rng.standard_normal(shape))
    light = np.full(shape, 300.0)
    light[:7], light[:, -5:] = 0, 0
    return Estimate(image, image + 0.01 * rng.standard_normal(shape), light)


def some_weights(seed: int = 3, width: int = 32) -> list[np.ndarray]:
    """Weights of a network that answers something (a new one answers 0)."""
    rng = np.random.default_rng(seed)
    weights = build_prior_net(CHANNELS, width=width, seed=seed).get_weights()
    weights[-2] = 0.02 * rng.standard_normal(weights[-2].shape).astype(np.float32)
    return [np.asarray(each, np.float16).astype(np.float32) for each in weights]


@pytest.fixture(scope="module")
def prior() -> Prior:
    return Prior(some_weights(), {})


def test_the_package_has_weights_that_name_their_origin() -> None:
    shipped = load_prior("auto")
    assert SHIPPED.stat().st_size <= 1_500_000
    record = shipped.record
    assert len(record["data_sha256"]) == 64 and record["commit"] and record["cpu_hours"] > 0
    assert record["scans"] >= 1000 and record["without"] == [] and record["seed"] == 1


def test_the_network_has_the_stated_size_and_reach() -> None:
    net = build_prior_net(CHANNELS, seed=1)
    assert net.count_params() == 781_512
    assert build_prior_net(CHANNELS, width=48).count_params() == 1_746_728
    net.set_weights(some_weights(width=PRIOR_WIDTH))
    size = 2 * PRIOR_REACH_PX + 40
    x = np.random.default_rng(0).normal(size=(1, size, 8, CHANNELS)).astype(np.float32)
    other = x.copy()
    other[:, : size - PRIOR_REACH_PX - 8] += 1.0
    first, second = (np.asarray(net(each)) for each in (x, other))
    np.testing.assert_allclose(first[:, -4:], second[:, -4:], atol=1e-5)
    assert np.abs(first - second)[:, : size // 2].max() > 1e-3


def test_a_new_network_leaves_the_image_as_it_is() -> None:
    estimate = made((50, 43))
    prior = Prior(build_prior_net(CHANNELS).get_weights(), {})
    np.testing.assert_allclose(prior(estimate), estimate.image, atol=1e-6)


def test_the_answer_has_the_scale_and_phase_of_the_image(prior: Prior) -> None:
    """Twice the object under a quarter of the light is the same measurement."""
    estimate = made((48, 52))
    factor = 2 * np.exp(0.7j)
    other = Estimate(estimate.image * factor, estimate.freer * factor, estimate.light / 4)
    plain, turned = prior(estimate), prior(other)
    assert np.abs(plain - estimate.image).max() > 1e-4
    np.testing.assert_allclose(turned, plain * factor, atol=2e-5)


def test_pixels_without_light_stay_and_tell_the_network_nothing(prior: Prior) -> None:
    estimate = made((60, 60))
    dark = estimate.light == 0
    image = estimate.image.copy()
    image[dark] = 7
    found = prior(Estimate(image, estimate.freer, estimate.light))
    np.testing.assert_array_equal(found[dark], image[dark])
    np.testing.assert_allclose(found[~dark], prior(estimate)[~dark], atol=1e-6)


def test_tiles_give_the_image_of_one_piece(prior: Prior) -> None:
    estimate = made((150, 171))
    whole = prior(estimate, views=1)
    for tile in (40, 64):
        tiled = prior(estimate, views=1, tile_px=tile)
        np.testing.assert_allclose(tiled, whole, atol=2e-6)


def test_turning_the_specimen_turns_the_answer(prior: Prior) -> None:
    estimate = made((48, 52))
    parts = (np.rot90(part) for part in (estimate.image, estimate.freer, estimate.light))
    np.testing.assert_allclose(prior(Estimate(*parts)), np.rot90(prior(estimate)), atol=2e-6)


def test_a_specimen_that_loses_phase_is_answered_like_one_that_gains_it(prior: Prior) -> None:
    estimate = made((48, 52))
    parts = (part.conj() for part in (estimate.image, estimate.freer))
    conjugate = prior(Estimate(*parts, estimate.light))
    np.testing.assert_allclose(conjugate, prior(estimate).conj(), atol=2e-6)
    assert np.abs(prior(estimate, views=1) - prior(estimate)).max() > 1e-4


def test_large_images_are_looked_at_less_often(prior: Prior) -> None:
    """So the time stays within what is asked for 512²; each view is another one."""
    shapes = {(160, 160): 16, (200, 200): 10, (200, 400): 5, (455, 455): 1, (20, 20000): 1}
    for shape, views in shapes.items():
        light = np.full(shape, 300.0)
        image = np.broadcast_to(made((20, 20)).image[:1, :1], shape)
        assert len(prior.answers(Estimate(image, image, light))) == views
    answers = prior.answers(made((48, 48)))
    assert len({each.tobytes() for each in answers}) == 16


def test_a_wider_network_looks_less_often() -> None:
    light = np.full((130, 200), 300.0)
    estimate = Estimate(0 * light + 1, 0 * light + 1, light)
    assert len(Prior(some_weights(width=64), {}).answers(estimate)) == 3


def test_weights_of_another_width_are_read_as_such(tmp_path: Path) -> None:
    save_prior(tmp_path / "a.npz", some_weights(width=8), {})
    assert load_prior(tmp_path / "a.npz").width == 8


def test_the_channels_are_those_of_their_formula() -> None:
    own = gauged(made((20, 24)))
    seen = channels(own.image, own.freer, own.blocks, own.sigma)
    lit = own.lit
    weight = np.where(lit, 1.0, 0)
    assert np.sum(np.abs(own.image) ** 2 * weight) / weight.sum() == pytest.approx(1, rel=1e-5)
    assert abs(np.angle(np.sum(own.image * weight))) < 1e-6
    sigma = 1 / (2 * np.sqrt(300.0) * abs(own.unit))
    np.testing.assert_allclose(seen[lit][:, 4], np.log10(sigma) + 1.5, rtol=1e-5)
    pull = 0.3 * np.clip((own.freer - own.image)[lit].real / sigma, -5, 5)
    np.testing.assert_allclose(seen[lit][:, 2], pull, rtol=1e-5, atol=1e-6)
    blocks = shrunk(own.freer, own.sigma)
    step = np.clip((blocks[..., 1] - own.image)[lit].imag / (0.2 * np.sqrt(sigma)), -5, 5)
    assert seen.shape[-1] == CHANNELS and np.abs(step).max() > 0.01
    np.testing.assert_allclose(seen[lit][:, 9], step, rtol=1e-4, atol=1e-5)


def test_an_estimate_that_cannot_be_used_says_why(prior: Prior) -> None:
    estimate = made((16, 16))
    with pytest.raises(ShapeError, match="one shape"):
        Estimate(estimate.image, estimate.freer[:4], estimate.light)
    for image, light in (
        (estimate.image, np.zeros((16, 16))),
        (np.full((16, 16), np.nan), estimate.light),
    ):
        with pytest.raises(DataError, match="prior"):
            prior(Estimate(image, estimate.freer, light))


@pytest.mark.parametrize("views", [-1, 0, 17])
def test_a_number_of_views_that_there_is_not_is_told(prior: Prior, views: int) -> None:
    with pytest.raises(UsageError, match="1 to 16"):
        prior(made((16, 16)), views=views)


@pytest.mark.parametrize("value", [0.0, np.nan])
@pytest.mark.parametrize(
    "call",
    [
        lambda image, light: gauged(Estimate(image, image, light)),
        lambda image, light: lit(light),
        lambda image, light: counted(light),
        lambda image, light: long_waves(image, image, light, 8.0),
        lambda image, light: told_apart(image, image, light),
    ],
)
def test_what_needs_light_says_that_there_is_none(call: Any, value: float) -> None:
    image, light = np.ones((24, 24), np.complex64), np.zeros((24, 24), np.float32)
    light[12, 12] = value
    with pytest.raises(DataError, match="without light"):
        call(image, light)


def test_weights_come_back_with_their_record(tmp_path: Path, prior: Prior) -> None:
    save_prior(tmp_path / "a.npz", some_weights(), {"seed": 5})
    assert (tmp_path / "a.npz").stat().st_size < 1.5e6
    again = load_prior(tmp_path / "a.npz")
    assert again.record["seed"] == 5 and again.record["version"] == 3
    estimate = made((40, 40))
    np.testing.assert_array_equal(again(estimate), prior(estimate))
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:
        assert {file[name].dtype for name in file.files} == {np.dtype("f2"), np.dtype("u1")}


def rewritten(path: Path, **changes: object) -> Path:
    """The file with other arrays, or another fact in its record."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    record = json.loads(arrays.pop("record").tobytes()) | {
        key: value for key, value in changes.items() if key not in arrays
    }
    arrays |= {key: np.asarray(value) for key, value in changes.items() if key in arrays}
    text = np.frombuffer(json.dumps(record).encode(), np.uint8)
    np.savez(path, **arrays, record=text)
    return path


@pytest.mark.parametrize(("version", "seen"), [(1, 6), (2, CHANNELS)])
def test_a_prior_of_an_older_version_answers_as_it_did(
    tmp_path: Path, version: int, seen: int
) -> None:
    """It saw six channels, or had no scale of an eighth: what is new does nothing for it."""
    inputs = keras.Input((None, None, seen))
    net = keras.Model(inputs, two_scales(inputs, seeds(4), 8, (2, 3, 2)))
    net.set_weights([np.float32(np.float16(each + 0.01)) for each in net.get_weights()])
    save_prior(tmp_path / "a.npz", net.get_weights(), {})
    found = load_prior(rewritten(tmp_path / "a.npz", version=version))
    estimate = made((47, 53))  # 40 and 48 of them lit: nothing is added at the border
    own = gauged(estimate)
    planes = channels(own.image, own.freer, own.blocks, own.sigma)[..., :seen]
    planes[~own.lit] = 0
    box = np.ix_(own.lit.any(axis=1), own.lit.any(axis=0))
    inside = np.pad(planes[box], [(0, -side % 4) for side in own.lit[box].shape] + [(0, 0)], "edge")
    wanted = np.asarray(net(inside[None]))[0][: own.lit[box].shape[0], : own.lit[box].shape[1]]
    step = (found.answers(estimate, views=1)[0] - estimate.image)[box] / own.unit
    expected = 0.2 * np.sqrt(own.sigma[box]) * (wanted[..., 0] + 1j * wanted[..., 1])
    assert np.abs(step).max() > 1e-3
    np.testing.assert_allclose(step, expected, atol=1e-5)


def test_a_file_that_is_no_prior_is_an_error_that_says_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with pytest.raises(ArchiveError, match="cannot be read"):
        load_prior(path)
    path.write_bytes(b"PK\x03\x04 no zip")
    with pytest.raises(ArchiveError, match="cannot be read"):
        load_prior(path)
    np.savez(path, a=np.array([{}], dtype=object), record=np.zeros(2, np.uint8))
    with pytest.raises(ArchiveError, match="cannot be read"):  # pickle: never loaded
        load_prior(path)
    save_prior(path, some_weights(), {})
    with pytest.raises(ArchiveError, match="not those that were written"):
        load_prior(rewritten(path, w000=np.zeros((3, 3, 40, 32), np.float16)))
    save_prior(path, some_weights(), {})
    with pytest.raises(ArchiveError, match="version"):
        load_prior(rewritten(path, version=4))
    save_prior(path, some_weights()[:-1], {})
    with pytest.raises(ArchiveError, match="another network"):
        load_prior(path)


def _zip(path: Path, content: bytes, **how: Any) -> None:
    with zipfile.ZipFile(path, "w", **how) as archive:
        archive.writestr("w000.npy", content)


def _header(shape: str, kind: str = "<f2") -> bytes:
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def _flipped(path: Path) -> None:
    save_prior(path, some_weights(), {})
    damaged = bytearray(path.read_bytes())
    damaged[3000:3200] = bytes(200)
    path.write_bytes(bytes(damaged))


def _marked(path: Path, offset: int, value: int) -> None:
    """A zip whose entry claims a flag or a method, in both of its headers."""
    _zip(path, _header("(1,)") + b"\0\0")
    data = bytearray(path.read_bytes())
    for signature, place in ((b"PK\x03\x04", offset), (b"PK\x01\x02", offset + 2)):
        data[data.index(signature) + place] = value
    path.write_bytes(bytes(data))


def _with(path: Path, **changes: object) -> None:
    """A file of which everything is right, its checksum too, but what is changed."""
    arrays: dict[str, Any] = {f"w{n:03d}": w.astype("f2") for n, w in enumerate(some_weights())}
    record = {key: changes.pop(key) for key in [*changes] if not key.startswith("w")}
    arrays |= {key: np.asarray(value) for key, value in changes.items()}
    told = {"format": "ptycho-prior", "version": 3, "sha256": _checksum(arrays)} | record
    text = json.dumps(told).encode()
    np.savez(path, **arrays, record=np.frombuffer(text, np.uint8))


HOSTILE = {
    "flipped bytes": _flipped,
    "half a file": lambda path: (_flipped(path), path.write_bytes(path.read_bytes()[:-5000])),
    "a size beyond memory": lambda path: _zip(path, _header("(1000000000000, 1000)")),
    "a size beyond any number": lambda path: _zip(path, _header("(9" + "0" * 60 + ",)")),
    "a negative size": lambda path: _zip(path, _header("(-1,)")),
    "an encrypted entry": lambda path: _marked(path, 6, 1),
    "a method of which nobody heard": lambda path: _marked(path, 8, 99),
    "a nested record": lambda path: np.savez(
        path, w000=np.ones(1), record=np.frombuffer(b"[" * 100_000, np.uint8)
    ),
    "a list for a record": lambda path: np.savez(
        path, w000=np.ones(1), record=np.frombuffer(b"[1]", np.uint8)
    ),
    "no record": lambda path: np.savez(path, w000=np.ones(1)),
    "nothing": lambda path: path.write_bytes(b""),
    "a folder": lambda path: path.mkdir(),
    "a pipe": os.mkfifo,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "text for weights": lambda path: _with(path, w000="weights"),
    "complex weights": lambda path: _with(path, w000=np.ones((3, 3, 40, 32), np.complex64)),
    "whole numbers": lambda path: _with(path, w000=np.ones((3, 3, 40, 32), np.int16)),
    "a weight that is not finite": lambda path: _with(path, w001=np.full(32, np.nan, "f2")),
    "a number for the first array": lambda path: _with(path, w000=np.float16(1)),
    "no filter": lambda path: _with(path, w000=np.ones((3, 3, 40, 0), np.float16)),
    "too many filters": lambda path: _with(path, w000=np.ones((1, 1, 1, 1000), np.float16)),
    "true for a version": lambda path: _with(path, version=True),
    "a mapping for a version": lambda path: _with(path, version={"a": 1}),
    "a number for names": lambda path: _with(path, objects_of=7),
    "more arrays": lambda path: _with(path, w999=np.ones(3, np.float16)),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_damaged_or_hostile_file_is_told_with_what_to_do(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    HOSTILE[kind](path)
    with pytest.raises(ArchiveError) as caught:
        load_prior(path)
    assert caught.value.where == path and caught.value.got and "prior train" in caught.value.fix


def test_the_files_of_the_test_above_are_priors_but_for_what_is_changed(tmp_path: Path) -> None:
    _with(tmp_path / "a.npz", objects_of=["one"])
    assert load_prior(tmp_path / "a.npz").record["objects_of"] == ["one"]


def test_a_file_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("w000.npy", b"\0" * (65 << 20))
    with pytest.raises(ArchiveError, match="unpacks to"):
        load_prior(path)


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_short_file_does_not_ask_for_a_huge_network(tmp_path: Path, version: int) -> None:
    path = tmp_path / "a.npz"
    save_prior(path, [np.zeros((1, 6, 200_000))] * 2, {})
    with pytest.raises(ArchiveError, match="another network") as error:
        load_prior(rewritten(path, version=version))
    assert "200000 filters" in str(error.value)
