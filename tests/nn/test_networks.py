"""Networks by name: parameter counts, sizes, seeds, errors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptycho.errors import ConfigError
from ptycho.nn import build_network, network_names
from ptycho.nn.blocks import DepthToSpace, SpaceToDepth
from ptycho.nn.canvas_net import IN_CHANNELS


def test_cnn_has_the_published_number_of_parameters() -> None:
    assert abs(build_network("cnn", 64, 4).count_params() / 2.26e6 - 1) < 0.01


@pytest.mark.parametrize("N", [16, 64, 96, 128])
def test_cnn_takes_every_size_its_stride_divides(N: int) -> None:
    network = build_network("cnn", N, 4)
    answer = np.asarray(network(np.ones((2, N, N, 4), np.float32)))
    assert answer.shape == (2, N, N, 8)
    assert np.isfinite(answer).all()
    # Outside the central half the patch is vacuum: amplitude 1, phase 0.
    np.testing.assert_allclose(answer[:, 0, 0], [[1] * 4 + [0] * 4] * 2, atol=1e-6)


@pytest.mark.parametrize(("N", "channels"), [(100, 4), (8, 1)])
def test_cnn_refuses_other_sizes(N: int, channels: int) -> None:
    with pytest.raises(ConfigError, match="stride"):
        build_network("cnn", N, channels)


def test_default_starts_as_the_identity_on_its_estimate() -> None:
    network = build_network("default", 64, 4)
    for side in (44, 48):
        features = np.random.default_rng(0).normal(size=(2, side, side, IN_CHANNELS))
        assert np.abs(np.asarray(network(features.astype(np.float32)))).max() == 0


def test_default_is_at_least_four_times_smaller() -> None:
    sizes = [build_network(name, 64, 4).count_params() for name in ("cnn", "default")]
    assert sizes[0] > 4 * sizes[1]


def test_features_of_the_estimate_are_what_the_network_expects() -> None:
    from ptycho.physics.estimate import FEATURES

    assert len(FEATURES) == IN_CHANNELS


def test_unknown_names_and_options_are_errors_that_list_the_known() -> None:
    with pytest.raises(ConfigError, match="default or cnn"):
        build_network("unet", 64, 4)
    with pytest.raises(ConfigError, match="colour"):
        build_network("default", 64, 4, colour="red")
    assert network_names() == ("default", "cnn")


@settings(deadline=None, max_examples=10)
@given(
    block=st.integers(1, 3), rows=st.integers(1, 3), cols=st.integers(1, 3), depth=st.integers(1, 3)
)
def test_depth_to_space_undoes_space_to_depth(block: int, rows: int, cols: int, depth: int) -> None:
    shape = (2, rows * block, cols * block, depth)
    image = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    deep = SpaceToDepth(block)(image)
    # One pixel of the result is one block of the image.
    first = np.asarray(deep)[0, 0, 0].reshape(block, block, depth)
    np.testing.assert_array_equal(first, image[0, :block, :block])
    np.testing.assert_array_equal(np.asarray(DepthToSpace(block)(deep)), image)
