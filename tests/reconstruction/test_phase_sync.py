"""One phase a group: found from overlaps, whatever the phases were."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptycho.errors import ShapeError
from ptycho.reconstruction.phases import group_sync

SIZE = 24


def _groups(rng: np.random.Generator, side: int, step: int) -> tuple[np.ndarray, np.ndarray]:
    extent = SIZE + step * side
    field = np.exp(1j * rng.uniform(-0.8, 0.8, (extent, extent))) * rng.uniform(
        0.5, 1, (extent,) * 2
    )
    corners = step * np.stack(np.meshgrid(range(side), range(side), indexing="ij"), -1)
    corners = corners.reshape(-1, 2)
    cut = [field[r : r + SIZE, c : c + SIZE] for r, c in corners]
    return np.array(cut, np.complex64), corners + SIZE / 2


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**32 - 1), side=st.integers(2, 10))
def test_random_phases_are_found_up_to_one_constant(seed: int, side: int) -> None:
    rng = np.random.default_rng(seed)
    canvases, centres = _groups(rng, side, step=8)
    phases = np.exp(1j * rng.uniform(-np.pi, np.pi, len(canvases))).astype(np.complex64)
    factors = group_sync(canvases * phases[:, None, None], np.ones(canvases.shape), centres)
    left = factors * phases
    assert np.allclose(np.abs(factors), 1, atol=1e-5)
    assert np.allclose(left, left[0], atol=1e-3)


def test_two_islands_are_aligned_each_by_itself() -> None:
    rng = np.random.default_rng(1)
    canvases, centres = _groups(rng, 3, step=8)
    both = np.concatenate([canvases, canvases])
    apart = np.concatenate([centres, centres + 1000.0])
    phases = np.exp(1j * rng.uniform(-np.pi, np.pi, len(both))).astype(np.complex64)
    left = group_sync(both * phases[:, None, None], np.ones(both.shape), apart) * phases
    assert np.allclose(left[:9], left[0], atol=1e-3)
    assert np.allclose(left[9:], left[9], atol=1e-3)


def test_aligned_groups_are_left_alone_and_a_lone_group_too() -> None:
    canvases, centres = _groups(np.random.default_rng(2), 4, step=8)
    assert np.allclose(group_sync(canvases, np.ones(canvases.shape), centres), 1, atol=1e-3)
    assert group_sync(canvases[:1], np.ones((1, SIZE, SIZE)), centres[:1]).tolist() == [1]


def test_repeats_are_bit_equal() -> None:
    rng = np.random.default_rng(3)
    canvases, centres = _groups(rng, 9, step=8)
    noisy = canvases * np.exp(1j * rng.uniform(-3, 3, (len(canvases), 1, 1)))
    first, second = (group_sync(noisy, np.ones(noisy.shape), centres) for _ in range(2))
    assert np.array_equal(first, second)


def test_groups_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"\(4, 8, 8\)"):
        group_sync(np.ones((4, 8, 8), complex), np.ones((3, 8, 8)), np.zeros((4, 2)))
