"""What changes slowly in a phase: of stripes from their like, of texture from counts."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from ptycho.prior.slow import (
    ABOVE,
    BACK,
    MUCH,
    OCTAVES_PX,
    SHARP,
    SLOW_PX,
    STRONG,
    TURN_PX,
    VARIES_PX,
    slow_phase,
)
from ptycho.prior.told import told_apart

SIDE_PX = 96
ERROR = 0.05


def white(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((SIDE_PX, SIDE_PX))


def noise(size: float, seed: int) -> np.ndarray:
    return size / np.sqrt(2) * (white(seed) + 1j * white(seed + 1000))


def rough(px: float, size: float, seed: int) -> np.ndarray:
    """A random phase of that standard deviation, as slow as a Gaussian."""
    field = ndimage.gaussian_filter(white(seed), px)
    return size * field / field.std()


def stripes() -> np.ndarray:
    return 0.5 * np.sign(np.sin(2 * np.pi * (np.arange(SIDE_PX) + 0.5) / 6)) * np.ones((SIDE_PX, 1))


def slow_error(image: np.ndarray, phase: np.ndarray) -> float:
    """Root mean square of the local mean of what is wrong with the phase."""
    return float(np.std(ndimage.gaussian_filter(np.angle(image * np.exp(-1j * phase)), 2.0)))


def light(error: float = ERROR) -> np.ndarray:
    return np.full((SIDE_PX, SIDE_PX), 1 / (4 * error**2), np.float32)


def after(moved: np.ndarray, image: np.ndarray, error: float = ERROR) -> np.ndarray:
    return image + told_apart(moved, image.astype(np.complex64), light(error))


def test_the_turn_is_that_of_its_formula() -> None:
    """Against phases that need no unwrapping, by sums over the kernel."""
    phase = rough(3.0, 0.05, 1) + 0.8 * stripes()
    error = np.linspace(0.02, 0.06, SIDE_PX)[:, None] * np.ones((1, SIDE_PX))
    modulus = 1 + rough(4.0, 0.2, 6)
    image, told = (modulus * np.exp(1j * (phase + rough(2.0, 0.01, seed))) for seed in (2, 3))
    like, passed = (image * np.exp(1j * rough(2.0, 0.02, seed)) for seed in (4, 5))
    alone = np.linspace(0, 1, SIDE_PX)[:, None] * np.ones((1, SIDE_PX))
    lit = np.arange(SIDE_PX) > SIDE_PX // 3
    lit = lit & np.ones((SIDE_PX, 1), bool)

    def around(plane: np.ndarray, px: float) -> np.ndarray:
        reach = int(4 * px + 0.5)
        kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / px) ** 2)
        for _ in range(2):
            padded = np.pad(plane, ((reach, reach), (0, 0)), "symmetric")
            rows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1, axis=0)
            plane = (rows @ (kernel / kernel.sum())).T
        return plane

    def octave(plane: np.ndarray, ends: tuple[float, float]) -> np.ndarray:
        narrow, wide = (np.angle(around(plane, px)) for px in ends)
        return narrow - wide

    change = passed * told.conj()
    square = around(np.abs(image) ** 2, VARIES_PX)
    ratio = square - np.abs(around(image, VARIES_PX)) ** 2
    ratio /= np.maximum(MUCH * error**2, STRONG * square)
    turned = np.angle(around(like * image.conj(), SLOW_PX))
    usual = ABOVE * np.median(np.angle(around(change, SLOW_PX))[lit] ** 2) / 0.4549
    common = 1 - 1 / (1 + ratio**SHARP)
    common = common / (1 + (around(turned**2, TURN_PX) / usual) ** SHARP)
    back = 0
    for ends in OCTAVES_PX:
        octave_of = octave(change, ends)
        floor = ABOVE * np.median(octave_of[lit] ** 2) / 0.4549
        varies = around(octave(told, ends) ** 2, ends[1])
        back = back + BACK * octave_of * np.clip(1 - floor / varies, 0, None)
    wanted = common * turned + (1 - common) * alone * back
    found = slow_phase(like, image, told, passed, alone, error, lit)
    assert np.ptp(common) > 0.5 and np.abs(alone * back).max() > 0.005
    np.testing.assert_allclose(found, wanted, atol=1e-9)


def test_stripes_have_the_slow_phase_of_their_like() -> None:
    """Their errors differ from place to place: the mean of the like has less of them."""
    wrong = rough(1.5, 0.015, 1)
    image = np.exp(1j * (stripes() + wrong))
    found = after(noise(ERROR, 2), image)
    assert slow_error(found, stripes()) < 0.75 * slow_error(image, stripes())
    np.testing.assert_allclose(np.abs(found), 1, atol=0.05)


@pytest.mark.parametrize("size", [1.0, 3.0])
def test_strong_phase_without_its_like_stays_its_own(size: float) -> None:
    """It varies as stripes do, and no place looks like another: little is taken from any."""
    phase = rough(1.5, size, 5)
    image = np.exp(1j * phase)
    found = after(noise(ERROR, 2), image)
    assert np.std(np.angle(found / image)) < 0.15 * ERROR


def test_a_dark_rim_does_not_count_as_noise_free() -> None:
    """The usual change is that of what is lit: nothing comes back of an even phase in a disc."""
    row, col = np.indices((SIDE_PX, SIDE_PX)) - SIDE_PX / 2
    inside = np.abs(row) + np.abs(col) < 44
    image = np.where(inside, np.exp(1j * rough(3.0, 0.002, 1)), 1).astype(np.complex64)
    moved, seen = np.where(inside, noise(ERROR, 2), 0), light() * inside
    found = image + told_apart(moved, image, seen.astype(np.float32))
    assert np.std(np.angle(found / image)[inside]) < 0.02 * ERROR


def test_without_a_move_an_even_image_stays() -> None:
    image = np.ones((SIDE_PX, SIDE_PX), np.complex64)
    assert not told_apart(np.zeros_like(image), image, light()).any()


def test_texture_that_was_smoothed_comes_back_from_counts() -> None:
    """A phase whose octave of some 10 px has been flattened; the counts have it, with noise."""
    phase = rough(3.0, 0.1, 1)
    image = np.exp(0.7j * phase)
    found = after(np.exp(1j * phase) - image + noise(ERROR, 2), image)
    assert slow_error(found, phase) < 0.75 * slow_error(image, phase)


@pytest.mark.parametrize("error", [0.01, 0.05])
def test_noise_of_counts_brings_little_into_an_even_phase(error: float) -> None:
    image = np.exp(1j * rough(3.0, 0.2 * error, 1))
    found = after(noise(error, 2), image, error)
    assert slow_error(found / image, np.zeros(image.shape)) < 0.15 * slow_error(
        1 + noise(error, 2), np.zeros(image.shape)
    )


def test_fine_texture_is_not_taken_for_stripes_with_many_photons() -> None:
    """With a hundredth of the noise all varies by more than that, and nothing is its like's."""
    phase, moved = rough(1.5, 0.02, 1), noise(0.002, 2)
    image = np.exp(1j * phase)
    found = after(moved, image, 0.002)
    assert slow_error(found, phase) < 0.6 * slow_error(image + moved, phase)


def test_nothing_depends_on_the_gauge() -> None:
    image, moved = np.exp(1j * (stripes() + rough(2.0, 0.05, 1))), noise(ERROR, 2)
    turn = np.exp(3j)
    again = after(moved * turn, image * turn)
    np.testing.assert_allclose(again, after(moved, image) * turn, atol=2e-4)


def test_dark_pixels_are_no_trouble() -> None:
    image = np.exp(1j * (stripes() + rough(2.0, 0.05, 1)))
    image[20:40, 30:50] = 0
    found = after(noise(ERROR, 2), image)
    assert np.isfinite(found).all()
    assert np.abs(found[24:36, 34:46]).max() < 4 * ERROR
