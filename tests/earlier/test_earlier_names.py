"""Names of the earlier package on the new code, in their own axis order, sign and layouts."""

import numpy as np
import pytest

from ptycho import physics
from ptycho.errors import ShapeError, UsageError


@pytest.fixture(scope="module")
def warp():
    from ptycho import projective_warp_xla

    return projective_warp_xla


@pytest.fixture(scope="module")
def helper():
    from ptycho import tf_helper

    return tf_helper


@pytest.fixture
def images():
    return np.random.default_rng(7).normal(size=(4, 6, 7, 2)).astype(np.float32)


def moves(warp, helper):
    return (
        warp.translate_xla,
        lambda images, t: warp.translate_xla(images, t, use_jit=False),
        helper.translate,
        helper.translate_core,
        lambda images, t: helper.Translation()([images, t]),
        lambda images, t: helper.Translation(use_xla=False)([images, t]),
    )


def test_x_is_the_column_and_plus_moves_right_and_down(warp, helper, images):
    one_right_two_down = np.array([[1, 2]] * 4, np.float32)
    for move in moves(warp, helper):
        moved = np.asarray(move(images, one_right_two_down))
        np.testing.assert_allclose(moved[:, 2:, 1:], images[:, :-2, :-1], atol=1e-6)
        assert not moved[:, :2].any()
        assert not moved[:, :, 0].any()


def test_a_mismatch_is_refused_under_every_name(warp, helper, images):
    for move in moves(warp, helper):
        with pytest.raises(ShapeError, match=r"\(4, 6, 7, 2\)") as refusal:
            move(images, np.zeros((2, 2), np.float32))
        assert "(2, 2)" in str(refusal.value)


def test_nearest_moves_by_whole_pixels(helper, images):
    moved = np.asarray(helper.translate_core(images, np.full((4, 2), 0.6, np.float32), "nearest"))
    np.testing.assert_allclose(moved[:, 1:, 1:], images[:, :-1, :-1], atol=1e-6)


def test_jitter_is_drawn_in_training_only_and_follows_its_seed(helper, images):
    layer = helper.Translation(jitter_stddev=1.0, seed=3)
    again = helper.Translation(jitter_stddev=1.0, seed=3)
    inputs = [images, np.zeros((4, 2), np.float32)]
    np.testing.assert_allclose(np.asarray(layer(inputs)), images, atol=1e-6)
    shaken = np.asarray(layer(inputs, training=True))
    assert np.abs(shaken - images).max() > 0.1
    np.testing.assert_array_equal(shaken, np.asarray(again(inputs, training=True)))


def test_warp_of_a_shift_is_translate(warp, images):
    shift = np.array([[0.3, -1.2], [2, 0], [0, 0], [-1.5, 0.5]], np.float32)  # [dx, dy]
    matrices = np.tile(np.eye(3, dtype=np.float32), (4, 1, 1))
    matrices[:, :2, 2] = -shift  # an output pixel reads its source
    for call in (warp.projective_warp_xla, warp.projective_warp_xla_jit):
        got = np.asarray(call(images, matrices, fill_mode="zeros"))
        np.testing.assert_allclose(got, np.asarray(warp.translate_xla(images, shift)), atol=2e-6)
        eight = np.asarray(call(images, matrices.reshape(4, 9)[:, :8], fill_mode="zeros"))
        np.testing.assert_array_equal(eight, got)


def test_warp_by_a_true_homography_equals_scikit_image(warp):
    from skimage.transform import warp as reference

    image = np.random.default_rng(1).normal(size=(12, 15))
    matrix = np.array([[0.9, 0.15, 0.7], [-0.1, 1.1, -0.4], [0.004, -0.003, 1.0]])
    for fill, mode in (("zeros", "constant"), ("edge", "edge")):
        expected = reference(image, matrix, order=1, mode=mode, cval=0.0)
        got = np.asarray(
            warp.projective_warp_xla(image[None, ..., None], matrix[None], fill_mode=fill)
        )[0, ..., 0]
        inner = (slice(2, -2), slice(2, -2))  # scikit-image treats the outermost half pixel apart
        np.testing.assert_allclose(got[inner], expected[inner], atol=1e-6)


def test_warp_fills_and_refuses(warp, images):
    away = np.eye(3, dtype=np.float32)[None].repeat(4, 0)
    away[:, 0, 2] = 100
    assert not np.asarray(warp.projective_warp_xla(images, away, fill_mode="zeros")).any()
    edge = np.asarray(warp.projective_warp_xla(images, away))
    np.testing.assert_array_equal(edge, np.repeat(images[:, :, -1:], 7, axis=2))
    with pytest.raises(ShapeError, match=r"\(3, 3, 3\)"):
        warp.projective_warp_xla(images, away[:3])
    with pytest.raises(UsageError, match="fill_mode"):
        warp.projective_warp_xla(images, away, fill_mode="wrap")


def test_layouts_are_inverse_and_refuse_what_does_not_fit(helper):
    channels = np.arange(2 * 5 * 6 * 4, dtype=np.float32).reshape(2, 5, 6, 4)
    flat = np.asarray(helper.channel_to_flat(channels))
    assert flat.shape == (8, 5, 6, 1)
    np.testing.assert_array_equal(flat[1 * 4 + 3, ..., 0], channels[1, ..., 3])
    np.testing.assert_array_equal(np.asarray(helper.flat_to_channel(flat, gridsize=2)), channels)
    with pytest.raises(ShapeError, match=r"\(8, 5, 6, 1\)"):
        helper.flat_to_channel(flat, gridsize=3)
    offsets = np.arange(16, dtype=np.float32).reshape(2, 1, 2, 4)
    np.testing.assert_array_equal(
        np.asarray(helper.flatten_offsets(offsets))[5], offsets[1, 0, :, 1]
    )


def test_earlier_offsets_are_minus_x_y_of_todays(helper):
    """On an asymmetric object, with whole-pixel offsets: crops are the oracle."""
    rng = np.random.default_rng(5)
    canvas = (rng.normal(size=(2, 14, 14, 1)) + 1j).astype(np.complex64)
    offsets = rng.integers(-3, 4, size=(2, 4, 2))  # (row, col), position - centre
    earlier = -np.flip(offsets, -1).transpose(0, 2, 1)[:, None].astype(np.float32)
    flat = np.asarray(helper.extract_patches_position(canvas, earlier, 8))
    for group in range(2):
        for frame, (r, c) in enumerate(offsets[group]):
            crop = canvas[group, 3 + r : 11 + r, 3 + c : 11 + c]
            np.testing.assert_allclose(flat[group * 4 + frame], crop, atol=1e-6)
    channels = np.asarray(helper.flat_to_channel(flat, gridsize=2))
    back = np.asarray(helper.reassemble_patches_position(channels, earlier, 14))
    covered = np.asarray(physics.merge(np.ones((2, 4, 8, 8)), offsets, None, 14)[1]) > 0
    np.testing.assert_allclose(back[..., 0], canvas[..., 0] * covered, atol=1e-5)


def test_padding_and_trimming(helper, images):
    square = images[:, :, :6]
    padded = np.asarray(helper.pad_patches(square, 10))
    assert padded.shape == (4, 10, 10, 2)
    np.testing.assert_array_equal(np.asarray(helper.trim_reconstruction(padded, 6)), square)
    np.testing.assert_array_equal(np.asarray(helper.trim_reconstruction(square, 6)), square)
    with pytest.raises(ShapeError, match="9 for images"):
        helper.pad_patches(square, 9)


def test_layouts_that_were_once_broadcast_are_refused(helper, images):
    for call in (
        lambda: helper.pad_patches(images, 10),
        lambda: helper.trim_reconstruction(images, 4),
    ):
        with pytest.raises(ShapeError, match=r"\(4, 6, 7\)"):
            call()
    with pytest.raises(ShapeError, match=r"\(2, 3\)[\s\S]*\(1, 3\)"):
        helper.combine_complex(np.ones((2, 3), np.float32), np.ones((1, 3), np.float32))
    with pytest.raises(ShapeError, match=r"\(2, 14, 14, 4\)"):
        helper.extract_patches_position(
            np.ones((2, 14, 14, 4), np.float32), np.zeros((2, 1, 2, 4), np.float32), 8
        )


def test_combine_complex_is_polar(helper):
    got = np.asarray(helper.combine_complex(np.float32([2.0]), np.float32([np.pi / 2])))
    np.testing.assert_allclose(got, [2j], atol=1e-6)
