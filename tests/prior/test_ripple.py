"""Total variation of a very small weight on the network's answer."""

from __future__ import annotations

import numpy as np

from ptycho.prior import Estimate, Gauged, gauged, noise, reach, without_ripple
from ptycho.prior.ripple import BAND_PX, STEPS, WEIGHT, _smoothed, limits


def stepped(shape: tuple[int, int], ripple: float, seed: int = 0) -> tuple[np.ndarray, Gauged]:
    """Two even halves with a ripple, and a border that no light reaches."""
    rng = np.random.default_rng(seed)
    half = np.where(np.arange(shape[1]) < shape[1] // 2, 0.6, 0.9 * np.exp(0.4j))
    image = half * np.ones((shape[0], 1)) + ripple * (
        rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
    )
    light = np.full(shape, 60.0, np.float32)
    light[:5], light[:, -4:] = 0, 0
    image = image.astype(np.complex64)
    return image, gauged(Estimate(image, image, light))


def much(image: np.ndarray) -> np.ndarray:
    """A change by much, everywhere."""
    return np.full(image.shape, 0.3, np.complex64)


def test_ripple_goes_and_edges_stay() -> None:
    image, own = stepped((60, 60), 0.003)
    found = without_ripple(image, much(image), own)
    inside = np.s_[15:50, 5:24]
    assert found[inside].std() < 0.3 * image[inside].std()
    jump = [np.abs(each[15:50, 32].mean() - each[15:50, 27].mean()) for each in (image, found)]
    assert jump[1] > 0.98 * jump[0]


def test_what_is_made_small_is_that_of_the_formula() -> None:
    image, own = stepped((40, 44), 0.01)
    found = without_ripple(image, much(image), own)
    bound = WEIGHT * abs(own.unit) * reach(noise(np.full(1, 60.0)) / abs(own.unit))[0]

    def cost(field: np.ndarray) -> float:
        steps = [np.abs(np.diff(field[5:, :-4], axis=axis)).sum() for axis in (0, 1)]
        return 0.5 * float(np.sum(np.abs(field - image) ** 2)) + bound * float(sum(steps))

    rng = np.random.default_rng(1)
    least = cost(found)
    assert least < 0.7 * cost(image)
    for _ in range(20):  # the steps come near the least
        other = rng.standard_normal(image.shape) + 1j * rng.standard_normal(image.shape)
        assert cost(found + 1e-3 * np.where(own.lit, other, 0)) > least
    assert np.abs(found - image).max() < 4 * 1.01 * bound  # four edges carry at most λ each


def test_where_the_network_changed_little_there_is_little_to_take_away() -> None:
    image, own = stepped((40, 44), 0.01)
    np.testing.assert_array_equal(without_ripple(image, 0 * image, own), image)
    changed = much(image)
    changed[:, 20:] = 0
    found = without_ripple(image, changed, own)
    assert np.abs(found - image)[10:, :15].max() > 1e-3
    np.testing.assert_array_equal(found[:, 24:], image[:, 24:])


def test_a_turned_image_has_a_turned_answer_and_a_conjugate_one_its_conjugate() -> None:
    image, own = stepped((37, 52), 0.02)
    found = without_ripple(image, much(image), own)
    estimate = Estimate(image, image, np.where(own.lit, 60.0, 0))
    parts = [np.rot90(part) for part in (estimate.image, estimate.freer, estimate.light)]
    turned = gauged(Estimate(*parts))
    np.testing.assert_allclose(
        without_ripple(parts[0], much(parts[0]), turned), np.rot90(found), atol=1e-6
    )
    np.testing.assert_allclose(
        without_ripple(image.conj(), much(image).conj(), own), found.conj(), atol=1e-6
    )


def test_pixels_without_light_stay_and_tell_their_neighbours_nothing() -> None:
    image, own = stepped((48, 40), 0.02)
    other = np.where(own.lit, image, 7)
    first, second = (without_ripple(each, much(each), own) for each in (image, other))
    np.testing.assert_array_equal(second[~own.lit], other[~own.lit])
    np.testing.assert_allclose(first[own.lit], second[own.lit], atol=1e-6)


def test_bands_give_the_image_of_one_piece() -> None:
    image, own = stepped((3 * BAND_PX + STEPS + 3, 30), 0.02)
    whole = _smoothed(image, limits(much(image), own))
    np.testing.assert_allclose(without_ripple(image, much(image), own), whole, atol=1e-6)
