"""`default`: a small residual network on the physics estimate of a group's canvas.

It never sees raw diffraction. A few accelerated physics steps (`ptycho.physics.estimate`) turn the
group's frames into an image first, all frames aligned on one canvas, and the network corrects
that image. Three consequences: it needs an order of magnitude fewer operations than a network
that must learn to invert diffraction; it is fully convolutional, so any canvas size and any
group size g work with the same weights; and an untrained network (its head starts at zero)
already answers with the physics estimate, so that training can only be judged against it.
"""

from __future__ import annotations

from ptycho.nn.blocks import seeds, two_scales
from ptycho.quiet import keras

STRIDE = 4
IN_CHANNELS = 5  # the length of ptycho.physics.estimate.FEATURES (nn knows no physics)


def build_canvas_net(
    N: int,
    channels: int,
    *,
    seed: int = 0,
    width: int = 32,
    deep_blocks: int = 1,
    last_blocks: int = 0,
) -> keras.Model:
    """(B, W, W, 5) features of the canvas → (B, W, W, 2) correction, real and imaginary.

    Args:
        N, channels: frame side and frames in a group; the network depends on neither.
        seed: of the initial weights.
        width: filters at half resolution; twice as many at a quarter.
        deep_blocks: residual blocks at a quarter of the resolution.
        last_blocks: residual blocks at half resolution after the deep ones.

    W, the part of the canvas that is corrected, may be any multiple of 4 (`STRIDE`).
    """
    del N, channels  # fully convolutional, and groups of any size meet on one canvas
    inputs = keras.Input((None, None, IN_CHANNELS), name="estimate")
    x = two_scales(inputs, seeds(seed), width, (1, deep_blocks, last_blocks))
    return keras.Model(inputs, x, name="default")
