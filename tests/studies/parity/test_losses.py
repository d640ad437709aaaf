"""What parity found: a loss over many dark pixels was rounded one way under XLA, by 1e-5."""

from __future__ import annotations

import numpy as np
import pytest

from ptycho.physics import backend
from ptycho.physics.forward import loss_function


@pytest.mark.parametrize("loss", ["poisson", "mae"])
def test_many_dark_pixels_are_summed_to_seven_digits(loss: str) -> None:
    """131072 pixels, one in a hundred lit: the float32 sum against the float64 one."""
    rng = np.random.default_rng(0)
    rate = np.full((8, 4, 64, 64), 1e-3, np.float32)
    lit = rng.random(rate.shape) < 0.01
    rate[lit] = rng.gamma(2.0, 3.0, rate.shape)[lit]
    counts = np.zeros_like(rate)
    mask = np.ones((64, 64), np.float32)
    exact = rate if loss == "poisson" else np.sqrt(rate)
    found = float(loss_function(loss)(*(backend.tensor(a) for a in (rate, counts, mask))))
    assert found == pytest.approx(exact.mean(dtype=np.float64), rel=2e-6)
