"""What comes back at edges, and both ways together."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from ptycho.prior import told
from ptycho.prior.alike import Heard
from ptycho.prior.edges import (
    ABOVE,
    EDGE_PX,
    MOVE_PX,
    SHARP,
    heard_at_edges,
)
from ptycho.prior.told import ALONE, TOO_MUCH, told_apart

SIDE_PX = 96
ERROR = 0.1


def noise(size: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    white = rng.standard_normal((2, SIDE_PX, SIDE_PX))
    return size / np.sqrt(2) * (white[0] + 1j * white[1])


def disc(softer_px: float) -> np.ndarray:
    """A disc of another phase, whose edge is a Gaussian's of that width."""
    row, col = np.indices((SIDE_PX, SIDE_PX)) - SIDE_PX / 2
    inside = (np.hypot(row, col) < 20).astype(float)
    return np.exp(1.2j * ndimage.gaussian_filter(inside, softer_px)).astype(np.complex64)


def rms(field: np.ndarray, where: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.abs(field[where]) ** 2)))


def test_shares_are_those_of_the_ellipse_around_each_pixel() -> None:
    """Against the eigenvectors of each pixel's covariance, one by one."""
    image, moved = disc(1.0) + noise(0.05, 1), noise(0.2, 2)
    sigma = np.linspace(0.05, 0.2, SIDE_PX)[:, None] * np.ones((1, SIDE_PX))
    lit = np.ones((SIDE_PX, SIDE_PX), bool)

    def around(plane: np.ndarray) -> np.ndarray:
        return ndimage.gaussian_filter(plane, EDGE_PX)

    parts = np.stack([image.real, image.imag]).astype(float)
    mean = np.stack([around(part) for part in parts])
    both = np.array([[around(a * b) for a in parts] for b in parts])
    both -= mean[:, None] * mean[None]
    values, axes = np.linalg.eigh(np.moveaxis(both / sigma**2, (0, 1), (-2, -1)))
    move = np.stack([moved.real, moved.imag], axis=-1)
    inner = np.einsum("hwij,hwi->hwj", axes, move)
    square = inner**2 / sigma[..., None] ** 2
    usual = np.median(square, axis=(0, 1)) / 0.4549
    large = np.stack([ndimage.gaussian_filter(square[..., i], MOVE_PX) for i in (0, 1)], -1)
    values = np.maximum(values, 0)
    share = values / (1 + values) * (1 - np.minimum(ABOVE * usual / large, 1) ** SHARP)
    wanted = np.einsum("hwij,hwj->hwi", axes, inner * share)
    found = heard_at_edges(moved, image, sigma, lit)
    assert np.abs(found).max() > ERROR
    np.testing.assert_allclose(found, wanted[..., 0] + 1j * wanted[..., 1], atol=1e-6)


def test_a_soft_edge_gets_sharp_and_noise_stays_out() -> None:
    sharp, soft = disc(0.5), disc(2.0)
    missing, lit = sharp - soft, np.ones((SIDE_PX, SIDE_PX), bool)
    found = heard_at_edges(missing + noise(ERROR), soft, np.full(lit.shape, ERROR), lit)
    edge = np.abs(missing) > 2 * ERROR
    far = ndimage.distance_transform_edt(~edge) > 8
    assert rms(found - missing, edge) < 0.4 * rms(missing, edge)
    assert rms(found, far) < 0.02 * ERROR


def test_an_edge_of_the_phase_brings_no_noise_into_the_amplitude() -> None:
    soft, lit = disc(2.0), np.ones((SIDE_PX, SIDE_PX), bool)
    missing = disc(0.5) - soft
    found = heard_at_edges(missing + noise(ERROR), soft, np.full(lit.shape, ERROR), lit)
    edge = np.abs(missing) > 2 * ERROR
    wrong = (found - missing) * np.exp(-1j * np.angle(soft))
    assert np.std(wrong.real[edge]) < 0.75 * np.std(wrong.imag[edge])


def test_noise_of_counts_is_not_told() -> None:
    """A disc that is right: nothing of the move is kept, at its edge either."""
    light = np.zeros((SIDE_PX + 20, SIDE_PX + 30), np.float32)
    light[10:-10, 20:-10] = 1 / (4 * ERROR**2)
    image, moved = (np.zeros(light.shape, np.complex64) for _ in range(2))
    image[10:-10, 20:-10], moved[10:-10, 20:-10] = disc(0.5), noise(ERROR)
    found = told_apart(moved, image, light)
    assert found.shape == light.shape and found.dtype == np.complex64
    assert rms(found, light > 0) < 0.15 * ERROR


def test_what_has_its_like_is_not_heard_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    image, light = disc(2.0), np.full((SIDE_PX, SIDE_PX), 1 / (4 * ERROR**2), np.float32)
    alone = np.zeros((SIDE_PX, SIDE_PX), np.float32)
    alone[:48] = ALONE
    nothing = np.zeros((SIDE_PX, SIDE_PX), np.complex64)
    monkeypatch.setattr(told, "heard_together", lambda *_: Heard(nothing, alone, image))
    found = told_apart(disc(0.5) - image + noise(ERROR), image, light)
    assert np.abs(found[:48]).max() > ERROR and np.abs(found[48:]).max() < 1e-6


def test_what_is_not_of_counts_must_be_larger() -> None:
    """Moves as large everywhere as those of a wrong position: they are no error of the image."""
    light = np.full((SIDE_PX, SIDE_PX), 1 / (4 * ERROR**2), np.float32)
    moved, image = noise(10 * ERROR), disc(0.5)
    found = told_apart(moved, image, light)
    assert rms(found, light > 0) < 0.15 * 10 * ERROR
    missing = image - disc(2.0)
    known, less = (
        told_apart(missing + noise(size), disc(2.0), light) for size in (ERROR, 3 * ERROR)
    )
    edge = np.abs(missing) > 2 * ERROR
    assert rms(known - missing, edge) < 0.5 * rms(missing, edge) < rms(less - missing, edge)


@pytest.mark.parametrize("times", [1, 4])
def test_the_slow_phase_is_turned_after_pixels_and_less_by_moves_that_are_not_of_counts(
    times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, asked = disc(2.0), {}
    moved = disc(0.5) - image + noise(times * ERROR)
    light = np.full((SIDE_PX, SIDE_PX), 1 / (4 * ERROR**2), np.float32)
    light[:10] = 0

    def turn(*parts: np.ndarray) -> np.ndarray:
        names = "like", "image", "told", "passed", "alone", "sigma", "lit"
        asked.update(zip(names, parts, strict=True))
        return np.full(parts[0].shape, 0.2)

    monkeypatch.setattr(told, "slow_phase", turn)
    inside = slice(10, None)
    found = (image + told_apart(moved, image, light))[inside]
    usual = np.median(np.abs(moved[inside] / ERROR) ** 2) / np.log(2)
    excess = max(usual / TOO_MUCH, 1)
    assert excess == 1 if times == 1 else excess > 3
    np.testing.assert_allclose(found, asked["told"] * np.exp(0.2j / excess), atol=1e-5)
    np.testing.assert_allclose(asked["passed"], (image + moved)[inside], atol=1e-6)
    np.testing.assert_allclose(asked["sigma"], ERROR * np.sqrt(excess), rtol=1e-3)
    assert np.abs(asked["told"] - asked["image"]).max() > ERROR and asked["lit"].all()
