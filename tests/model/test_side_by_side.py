"""Models of two frame sides and group sizes live in one process and train turn about.

The earlier package built one model at import, so that N and gridsize of the first user held for
all that came after.
"""

from __future__ import annotations

from collections.abc import Iterator

import keras
import numpy as np
import pytest

from ptycho.model import create_model_with_gridsize

KINDS = ((2, 32), (1, 48))  # gridsize, N
STEPS = 3


def _training(gridsize: int, N: int) -> Iterator[tuple[float, np.ndarray]]:
    """Train a new model a step at a time; yields the loss and the network's last weights."""
    autoencoder, _ = create_model_with_gridsize(
        gridsize, N, photons=1e4, seed=3, network="cnn", canvas_size=N + 16
    )
    model = autoencoder.pinn
    rng = np.random.default_rng(N)
    counts = rng.poisson(rng.gamma(1.0, 1e4 / N**2, (4, gridsize**2, N, N))).astype(np.float32)
    offsets = rng.uniform(-4, 4, (4, gridsize**2, 2)).astype(np.float32)
    offsets -= offsets.mean(axis=1, keepdims=True)
    model.compile(keras.optimizers.Adam(1e-3))
    for _ in range(STEPS):
        loss = model.train_on_batch((counts, offsets), counts)
        yield float(np.ravel(loss)[0]), np.asarray(model.network.weights[-2])


@pytest.mark.training
def test_turn_about_gives_what_each_gives_alone() -> None:
    alone = [list(_training(*kind)) for kind in KINDS]
    together = list(zip(*(_training(*kind) for kind in KINDS), strict=True))
    for kind, steps in enumerate(alone):
        assert steps[0][0] != steps[-1][0]  # it trains
        assert np.ptp(steps[-1][1]) > 0
        for step, (loss, weights) in enumerate(steps):
            other_loss, other_weights = together[step][kind]
            assert other_loss == pytest.approx(loss, rel=1e-5)
            np.testing.assert_allclose(other_weights, weights, atol=1e-6)
