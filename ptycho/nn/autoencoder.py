"""`cnn`: the published plain autoencoder, kept for comparison.

Encoder of two 3×3 convolutions and a 2×2 maximum a level, two decoders (amplitude and phase) of
two convolutions and a nearest-neighbour ×2 a level, no skips and no normalisation. At N = 64:
encoder 32-64-128, decoders 64-32, all times `filter_scale` = 2: 2,257,288 parameters for groups
of four. The decoders end at N/2 and the patch is completed with vacuum (amplitude 1, phase 0),
so that the network describes the central half of each patch, where the probe is.

One thing differs from the published network: the amplitude is a softplus, not a sigmoid, since
the object has no known ceiling (`docs/conventions.md`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from ptycho.errors import ConfigError
from ptycho.nn.blocks import PolarToCartesian, seeds
from ptycho.quiet import keras, layers


def build_autoencoder(
    N: int, channels: int, *, seed: int = 0, filter_scale: int = 2
) -> keras.Model:
    """(B, N, N, C) normalised amplitudes → (B, N, N, 2C) object patches (see `registry`).

    Raises:
        ConfigError: N is below 16 or not divisible by the network's stride.
    """
    levels = max(int(math.log2(N / 8)), 1) if N >= 16 else 0
    if levels == 0 or N % 2**levels or N % 4:
        raise ConfigError(
            "the network 'cnn' cannot take frames of this size",
            where="N",
            expected=f"at least 16 and divisible by its stride {2 ** max(levels, 1)}",
            got=N,
        )
    draw = seeds(seed)
    inputs = keras.Input((N, N, channels), name="amplitudes")
    x: Any = inputs
    for level in reversed(range(levels)):
        x = _pair(x, filter_scale * 128 // 2**level, draw)
        x = layers.MaxPooling2D(2)(x)
    amplitude = _decoder(x, levels, channels, filter_scale, draw, offset=_SOFTPLUS_OF_ONE)
    phase = _decoder(x, levels, channels, filter_scale, draw, offset=0.0)
    amplitude = layers.Activation("softplus")(amplitude)
    phase = layers.Rescaling(math.pi)(layers.Activation("tanh")(phase))
    # Vacuum is amplitude 1: pad (amplitude − 1) with zeros, then add the 1 again.
    margin = N // 4
    amplitude = layers.Rescaling(1.0, offset=-1.0)(amplitude)
    amplitude = layers.ZeroPadding2D(margin)(amplitude)
    amplitude = layers.Rescaling(1.0, offset=1.0)(amplitude)
    phase = layers.ZeroPadding2D(margin)(phase)
    return keras.Model(inputs, PolarToCartesian()([amplitude, phase]), name="cnn")


_SOFTPLUS_OF_ONE = float(np.log(np.e - 1.0))  # softplus(this) = 1: a start at vacuum


def _conv(filters: int, seed: int, activation: str | None = "relu", offset: float = 0.0) -> Any:
    return layers.Conv2D(
        filters,
        3,
        padding="same",
        activation=activation,
        kernel_initializer=keras.initializers.GlorotUniform(seed),
        bias_initializer=keras.initializers.Constant(offset),
    )


def _pair(x: Any, filters: int, draw: Iterator[int]) -> Any:
    return _conv(filters, next(draw))(_conv(filters, next(draw))(x))


def _decoder(
    x: Any, levels: int, channels: int, scale: int, draw: Iterator[int], *, offset: float
) -> Any:
    for level in reversed(range(levels - 1)):
        x = layers.UpSampling2D(2)(_pair(x, scale * 32 * 2**level, draw))
    return _conv(channels, next(draw), activation=None, offset=offset)(x)
