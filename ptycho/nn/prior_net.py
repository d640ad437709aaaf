"""The prior's network: a correction to a whole-scan image, from that image and its errors.

Fully convolutional at half, quarter and eighth resolution; 781,512 parameters at the usual width
of 32, 1,746,728 at 48. It knows nothing of frames: what it sees and what its output means is
`ptycho.prior`.
"""

from __future__ import annotations

from ptycho.nn.blocks import seeds, two_scales
from ptycho.quiet import keras

PRIOR_WIDTH, BLOCKS, COARSE = 32, (2, 4, 2), 2
PRIOR_STRIDE = 8
PRIOR_REACH_PX = 96
"""A pixel of the output depends on no input farther away; a multiple of the stride."""


def build_prior_net(channels: int, *, width: int = PRIOR_WIDTH, seed: int = 0) -> keras.Model:
    """(B, H, W, channels) → (B, H, W, 2), real and imaginary part; H and W multiples of 8.

    Args:
        channels: of the input.
        width: filters at half size; twice as many at a quarter, three times at an eighth.
        seed: of the initial weights; the last layer starts at zero.
    """
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        inputs = keras.Input((None, None, channels), name="estimate")
        answer = two_scales(inputs, seeds(seed), width, BLOCKS, coarse=COARSE)
        return keras.Model(inputs, answer, name="prior")
    finally:
        keras.config.set_dtype_policy(policy)
