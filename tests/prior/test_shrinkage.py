"""Sliding blocks of cosines against a loop over the blocks with SciPy's transform."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.fft import dctn, idctn

from ptycho.prior import shrinkage, shrunk
from ptycho.prior.shrinkage import BEGINS

SIDE_PX = 8


def noisy(shape: tuple[int, int], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A step with noise that grows downwards, and the noise's own size."""
    rng = np.random.default_rng(seed)
    sigma = np.linspace(0.05, 0.2, shape[0])[:, None] * np.ones(shape)
    noise = sigma * (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)) / np.sqrt(2)
    image = np.where(np.arange(shape[1]) < shape[1] // 2, 0.6, 1.0 * np.exp(0.4j)) + noise
    return image.astype(np.complex64), sigma


def by_loop(image: np.ndarray, sigma: np.ndarray, level: float) -> np.ndarray:
    """Each block by itself, in float64."""
    height, width = image.shape
    added = [-side % SIDE_PX for side in image.shape]
    room = [(each // 2, each - each // 2) for each in added]
    field, noise = np.pad(image, room, mode="symmetric"), np.pad(sigma, room, mode="edge")
    field, noise = np.pad(field, SIDE_PX, mode="symmetric"), np.pad(noise, SIDE_PX, mode="edge")
    total, weight = np.zeros(field.shape, complex), np.zeros(field.shape)
    for row in range(field.shape[0] - SIDE_PX):
        for col in range(field.shape[1] - SIDE_PX):
            if (row % SIDE_PX, col % SIDE_PX) not in BEGINS:
                continue
            box = slice(row, row + SIDE_PX), slice(col, col + SIDE_PX)
            cosines = dctn(field[box].real, norm="ortho") + 1j * dctn(field[box].imag, norm="ortho")
            keep = np.abs(cosines) > level * noise[box].mean()
            keep[0, 0] = True
            kept = cosines * keep
            back = idctn(kept.real, norm="ortho") + 1j * idctn(kept.imag, norm="ortho")
            total[box] += back / keep.sum()
            weight[box] += 1 / keep.sum()
    inside = tuple(
        slice(SIDE_PX + before, SIDE_PX + before + side)
        for (before, _), side in zip(room, (height, width), strict=True)
    )
    return np.asarray(total[inside] / weight[inside])


@pytest.mark.parametrize("shape", [(24, 32), (19, 27), (5, 9)])
def test_each_block_keeps_what_stands_above_the_noise(shape: tuple[int, int]) -> None:
    image, sigma = noisy(shape)
    found = shrunk(image, sigma, (2.0, 4.0))
    assert found.shape == (*shape, 2) and found.dtype == np.complex64
    for number, level in enumerate((2.0, 4.0)):
        np.testing.assert_allclose(found[..., number], by_loop(image, sigma, level), atol=2e-6)


def test_bands_of_rows_give_the_image_of_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    image, sigma = noisy((83, 40), 3)
    whole = shrunk(image, sigma)
    for rows in (8, 24, 64):
        monkeypatch.setattr(shrinkage, "BAND_PX", rows)
        np.testing.assert_allclose(shrunk(image, sigma), whole, atol=2e-6)


def test_noise_goes_and_the_step_stays() -> None:
    image, sigma = noisy((64, 64))
    truth = np.where(np.arange(64) < 32, 0.6, np.exp(0.4j))
    found = shrunk(image, sigma, (4.0,))[..., 0]
    error = np.abs(found - truth)
    assert np.sqrt(np.mean(error**2)) < 0.4 * np.sqrt(np.mean(np.abs(image - truth) ** 2))
    assert abs(found[:, 40:].mean() - np.exp(0.4j)) < 0.01


def test_blocks_begin_alike_after_a_quarter_turn() -> None:
    assert len(BEGINS) == 14
    assert {(col, -row % SIDE_PX) for row, col in BEGINS} == set(BEGINS)


def test_nothing_above_no_noise_is_lost() -> None:
    image, _ = noisy((20, 31), 1)
    np.testing.assert_allclose(shrunk(image, np.zeros(image.shape))[..., 0], image, atol=1e-6)


def test_turned_conjugate_and_scaled_images_are_answered_alike() -> None:
    image, sigma = noisy((32, 40), 2)
    found = shrunk(image, sigma)
    turned = shrunk(np.rot90(image), np.rot90(sigma))
    np.testing.assert_allclose(turned, np.rot90(found), atol=2e-6)
    np.testing.assert_allclose(shrunk(image.conj(), sigma), found.conj(), atol=2e-6)
    odd = image[:30, 2:28], sigma[:30, 2:28]  # even sides that are no whole blocks
    np.testing.assert_allclose(shrunk(*map(np.rot90, odd)), np.rot90(shrunk(*odd)), atol=2e-6)
    factor = 3 * np.exp(1j)
    np.testing.assert_allclose(shrunk(factor * image, 3 * sigma), factor * found, atol=2e-5)
