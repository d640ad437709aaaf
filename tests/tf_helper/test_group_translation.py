"""Groups of a mini-batch, from the earlier layouts to moved images: each image by its own offset.

The earlier package met 64 images with 4 offsets here (16 groups of 2 x 2 frames) and failed or,
with offsets repeated until the shapes fit, moved images by the offsets of others.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptycho.errors import ShapeError


def _bilinear(image: np.ndarray, dx: float, dy: float) -> np.ndarray:
    """Float64 reference, pixel by pixel: content moves by `dx` columns and `dy` rows."""
    rows, cols = image.shape
    moved = np.zeros((rows, cols))
    for row in range(rows):
        for col in range(cols):
            top, left = int(np.floor(row - dy)), int(np.floor(col - dx))
            down, right = row - dy - top, col - dx - left
            for r, along_rows in ((top, 1 - down), (top + 1, down)):
                for c, along_cols in ((left, 1 - right), (left + 1, right)):
                    if 0 <= r < rows and 0 <= c < cols:
                        moved[row, col] += along_rows * along_cols * image[r, c]
    return moved


def _group(batch: int, gridsize: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    images = rng.normal(size=(batch, 5, 6, gridsize**2)).astype(np.float32)
    offsets = rng.uniform(-2.5, 2.5, (batch, 1, 2, gridsize**2)).astype(np.float32)
    return images, offsets


def _moved(images: np.ndarray, offsets: np.ndarray, *, compiled: bool) -> np.ndarray:
    from ptycho.earlier import channel_to_flat, flat_to_channel, flatten_offsets, translate_xla

    flat = translate_xla(channel_to_flat(images), flatten_offsets(offsets), use_jit=compiled)
    return np.asarray(flat_to_channel(flat, gridsize=int(images.shape[-1] ** 0.5)))


def _assert_moved(batch: int, gridsize: int, seed: int, *, compiled: bool) -> None:
    images, offsets = _group(batch, gridsize, seed)
    moved = _moved(images, offsets, compiled=compiled)
    assert moved.shape == images.shape
    for group in range(batch):
        for channel in range(gridsize**2):
            dx, dy = offsets[group, 0, :, channel].astype(float)
            expected = _bilinear(images[group, :, :, channel].astype(float), dx, dy)
            np.testing.assert_allclose(moved[group, :, :, channel], expected, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(batch=st.integers(1, 9), gridsize=st.integers(1, 3), seed=st.integers(0, 2**32 - 1))
def test_each_image_of_each_group_moves_by_its_own_offset(
    batch: int, gridsize: int, seed: int
) -> None:
    _assert_moved(batch, gridsize, seed, compiled=False)


@pytest.mark.parametrize(("batch", "gridsize"), [(15, 2), (16, 2), (17, 2), (3, 1), (8, 3)])
def test_compiled_moves_the_same_from_both_sides_of_64_images(batch: int, gridsize: int) -> None:
    _assert_moved(batch, gridsize, seed=64, compiled=True)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("count", [1, 4, 16, 128])
def test_offsets_of_another_count_are_never_repeated_to_fit(count: int, compiled: bool) -> None:
    """64 images against a divisor or a multiple of 64 offsets."""
    from ptycho.earlier import translate_xla

    images = np.zeros((64, 5, 6, 1), np.float32)
    with pytest.raises(ShapeError) as refusal:
        translate_xla(images, np.zeros((count, 2), np.float32), use_jit=compiled)
    assert "64" in str(refusal.value) and str(count) in str(refusal.value)
