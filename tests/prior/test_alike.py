"""Groups of alike blocks: against a loop in float64, and what they hear that one block does not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.fft import dctn, idctn

from ptycho.prior import alike, shrunk
from ptycho.prior.alike import (
    EVERY_PX,
    FAR_PX,
    GROUP,
    LEVEL,
    LIKE_LEVEL,
    MEAN_LEVEL,
    NEAR_PX,
    heard_together,
)

SIDE_PX = 8


def noise(shape: tuple[int, int], size: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    white = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
    return (size / np.sqrt(2) * white).astype(np.complex64)


def haar(values: np.ndarray) -> np.ndarray:
    """Along the first axis, the mean first; by sums and differences of neighbours."""
    if len(values) == 1:
        return values
    low, high = values[::2] + values[1::2], values[::2] - values[1::2]
    return np.concatenate([haar(low / np.sqrt(2)), high / np.sqrt(2)])


def unhaar(values: np.ndarray) -> np.ndarray:
    if len(values) == 1:
        return values
    half = len(values) // 2
    low, high = unhaar(values[:half]), values[half:]
    return np.stack([low + high, low - high], axis=1).reshape(values.shape) / np.sqrt(2)


def above(blocks: list[np.ndarray], bound: np.ndarray) -> tuple[np.ndarray, float]:
    """Of a group what is above its bound, and what it counts for."""
    back, kept = np.zeros(bound.shape, complex), 0
    for part, factor in ((np.real, 1), (np.imag, 1j)):
        waves = haar(np.array([dctn(part(each), norm="ortho") for each in blocks]))
        stay = np.abs(waves) > bound
        kept += int(stay.sum())
        back += factor * np.array([idctn(each, norm="ortho") for each in unhaar(waves * stay)])
    return back, 1 / max(kept / 2, 1)


def by_loop(
    moved: np.ndarray, image: np.ndarray, sigma: np.ndarray, group: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each group by itself, in float64."""
    ends = [side - SIDE_PX for side in image.shape]
    begins = [sorted({*range(0, end, EVERY_PX), end}) for end in ends]
    taper = np.outer(np.kaiser(SIDE_PX, 2.0), np.kaiser(SIDE_PX, 2.0))
    totals, weights = np.zeros((2, *image.shape), complex), np.zeros((2, *image.shape))
    alone, number = np.zeros(image.shape), np.zeros(image.shape)

    def block(plane: np.ndarray, at: tuple[int, int]) -> np.ndarray:
        return plane[at[0] : at[0] + SIDE_PX, at[1] : at[1] + SIDE_PX]

    for row in begins[0]:
        for col in begins[1]:
            own = block(image, (row, col))
            found = []
            for other_row in range(ends[0] + 1):
                for other_col in range(ends[1] + 1):
                    far = max(abs(other_row - row), abs(other_col - col))
                    if NEAR_PX <= far <= FAR_PX:
                        other = block(image, (other_row, other_col))
                        found.append((np.sum(np.abs(other - own) ** 2), (other_row, other_col)))
            found.sort()
            members = [(row, col), *(at for _, at in found[: group - 1])]
            mean = np.mean([block(image, at) for at in members])
            along = mean / abs(mean)
            error = np.sqrt(np.mean([np.mean(block(sigma, at) ** 2) for at in members]))
            for number_of, plane, level, of_mean in (
                (0, moved, LEVEL, MEAN_LEVEL * np.sqrt(group)),
                (1, image, LIKE_LEVEL, 0),
            ):
                bound = np.full((group, SIDE_PX, SIDE_PX), level * error)
                bound[0, 0, 0] = of_mean * error
                back, weight = above([block(plane, at) * np.conj(along) for at in members], bound)
                for at, each in zip(members, back * along, strict=True):
                    block(totals[number_of], at)[...] += each * weight * taper
                    block(weights[number_of], at)[...] += weight * taper
            apart = np.mean([size for size, _ in found[: group - 1]]) / SIDE_PX**2
            block(alone, (row, col))[...] += min(
                apart / (2 * np.mean(abs(own - own.mean()) ** 2)), 1
            )
            block(number, (row, col))[...] += 1
    kept, like = totals / weights
    return kept, alone / number, like


@pytest.mark.parametrize(("shape", "group"), [((21, 26), GROUP), ((14, 13), 16), ((12, 10), 1)])
def test_groups_are_those_of_a_loop(shape: tuple[int, int], group: int) -> None:
    image = 1 + noise(shape, 0.3, 1)
    moved = noise(shape, 0.3, 2)
    sigma = np.linspace(0.05, 0.2, shape[0])[:, None] * np.ones(shape)
    found = heard_together(moved, image, sigma)
    assert found.kept.dtype == np.complex64 and found.alone.dtype == np.float32
    assert found.like.dtype == np.complex64
    if group == 1:
        np.testing.assert_array_equal(found.alone, 1)
        return
    kept, alone, like = by_loop(moved, image, sigma, group)
    assert np.abs(kept).max() > 0.1 and np.abs(like - image).max() > 0.1
    np.testing.assert_allclose(found.kept, kept, atol=2e-5)
    np.testing.assert_allclose(found.alone, alone, atol=1e-5)
    np.testing.assert_allclose(found.like, like, atol=2e-5)


def stripes(side_px: int = 64) -> np.ndarray:
    return 1 + 0.5j * np.sin(2 * np.pi * np.arange(side_px) / 6) * np.ones((side_px, 1))


def sigma_of(error: float) -> np.ndarray:
    return np.full((64, 64), error)


def test_many_blocks_hear_what_one_does_not() -> None:
    """Finer stripes, fainter than the noise of a pixel, are missing everywhere."""
    image, sigma = stripes(), np.full((64, 64), 0.2)
    missing = 0.12j * np.sin(2 * np.pi * np.arange(64) / 3) * np.ones((64, 1))
    moved = missing + noise((64, 64), 0.2)
    kept = heard_together(moved, image, sigma).kept
    assert np.linalg.norm(kept - missing) < 0.35 * np.linalg.norm(missing)
    alone = shrunk(moved, sigma, (LEVEL,))[..., 0]
    assert np.linalg.norm(alone - missing) > 0.8 * np.linalg.norm(missing)


def test_noise_leaves_nothing() -> None:
    kept = heard_together(noise((96, 96), 0.2), stripes(96), np.full((96, 96), 0.2)).kept
    assert np.sqrt(np.mean(np.abs(kept) ** 2)) < 0.02 * 0.2


def test_a_long_wave_stays_only_where_it_is_no_noise() -> None:
    """What moves neighbours together, by as much as noise does, is not heard; much more is."""
    image, sigma = 1 + noise((64, 64), 0.02, 3), np.full((64, 64), 0.1)
    even = np.ones((64, 64), complex)
    assert np.abs(heard_together(0.1 * even, image, sigma).kept).max() < 1e-6
    np.testing.assert_allclose(heard_together(0.3 * even, image, sigma).kept, 0.3, rtol=0.02)


def test_like_and_unlike_places_are_told_apart() -> None:
    regular = heard_together(noise((64, 64), 0.1), stripes(), np.full((64, 64), 0.1)).alone
    random = heard_together(noise((64, 64), 0.1), noise((64, 64), 1), np.full((64, 64), 0.1)).alone
    assert regular.max() < 0.01 and random.min() > 0.5


def test_what_alike_places_do_not_share_is_not_of_the_image() -> None:
    """Stripes with a little of their own in each place: their like has the stripes alone."""
    pure = stripes()
    like = heard_together(noise((64, 64), 0.1), pure + noise((64, 64), 0.1), sigma_of(0.1)).like
    assert np.sqrt(np.mean(np.abs(like - pure) ** 2)) < 0.35 * 0.1


def test_a_turned_phase_has_a_turned_answer() -> None:
    image, moved = stripes(40) + noise((40, 40), 0.1, 1), noise((40, 40), 0.4, 2)
    sigma, turn = np.full((40, 40), 0.1), np.exp(2.1j)
    found, again = (heard_together(moved * t, image * t, sigma) for t in (1, turn))
    np.testing.assert_allclose(again.kept, found.kept * turn, atol=1e-4)
    np.testing.assert_allclose(again.like, found.like * turn, atol=1e-4)
    np.testing.assert_allclose(again.alone, found.alone, atol=1e-5)


def test_bands_of_blocks_give_the_image_of_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    image, moved = 1 + noise((50, 45), 0.3, 1), noise((50, 45), 0.3, 2)
    sigma = np.full((50, 45), 0.1)
    whole = heard_together(moved, image, sigma)
    for blocks in (1, 40, 100):
        monkeypatch.setattr(alike, "BLOCKS_AT_ONCE", blocks)
        again = heard_together(moved, image, sigma)
        np.testing.assert_allclose(again.kept, whole.kept, atol=1e-6)
        np.testing.assert_allclose(again.like, whole.like, atol=1e-6)
        np.testing.assert_allclose(again.alone, whole.alone, atol=1e-6)


@pytest.mark.parametrize("shape", [(7, 30), (8, 8), (9, 40), (64, 8)])
def test_small_images_have_small_groups_or_none(shape: tuple[int, int]) -> None:
    found = heard_together(noise(shape, 1.0), 1 + noise(shape, 0.1, 1), np.full(shape, 0.1))
    for each in (found.kept, found.like):
        assert np.isfinite(each).all() and each.shape == shape
    assert ((found.alone >= 0) & (found.alone <= 1)).all()
