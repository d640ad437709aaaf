"""Frames come as integers, masks as booleans, objects without phase as real numbers."""

import numpy as np
import pytest
from physics_support import numbers

from ptycho import physics

RNG = np.random.default_rng(5)
IMAGES = RNG.integers(0, 2, (2, 9, 7))
SHIFTS = RNG.uniform(-2, 2, (2, 2))
OFFSETS = np.array([[[-1, 0], [1, 0], [0, 2]], [[0, 0], [2, -2], [-2, 2]]])


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8, np.uint16, bool, np.float16])
def test_every_number_a_file_may_hold_is_moved_as_float32(dtype):
    """No operator of TensorFlow mixes dtypes, and PyTorch mixes them silently."""
    for operator in (
        lambda images: physics.translate(images, SHIFTS),
        lambda images: physics.merge(
            np.repeat(images[:, None, :7, :7], 3, 1)[..., :6, :6], OFFSETS, None, 12
        )[0],
        lambda images: physics.extract(images[:, :, :7][:, :7], 0 * OFFSETS, 4),
    ):
        got, expected = (numbers(operator(IMAGES.astype(kind))) for kind in (dtype, np.float32))
        assert got.dtype == np.float32
        np.testing.assert_array_equal(got, expected)


def test_whole_positions_are_not_cut_to_whole_corners():
    """Odd patches have their corners at half pixels, also where positions are integers."""
    patches = RNG.normal(size=(3, 5, 5)).astype(np.float32)
    places = np.array([[10, 11], [12, 9], [9, 13]])
    got, expected = (
        numbers(
            physics.stitch(patches, p, np.ones((5, 5)), shape=(24, 24), origin_px=(0.5, 0.25))[0]
        )
        for p in (places, places.astype(np.float32))
    )
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
def test_an_object_without_phase_does_not_take_the_phase_of_the_probe(dtype):
    probe = (RNG.normal(size=(2, 8, 8)) + 1j * RNG.normal(size=(2, 8, 8))).astype(np.complex64)
    patches = RNG.integers(1, 4, (3, 8, 8))
    got = numbers(physics.diffract(patches.astype(dtype), probe))
    expected = numbers(physics.diffract(patches.astype(np.complex64), probe))
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-4)
