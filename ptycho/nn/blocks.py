"""Parts that networks are made of. Every layer draws its own seed, so builds repeat exactly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ptycho.quiet import keras, layers, ops


@keras.saving.register_keras_serializable("ptycho")
class SpaceToDepth(layers.Layer):
    """(B, H, W, F) → (B, H/k, W/k, k²F): each k×k block becomes one pixel."""

    def __init__(self, block: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.block = block

    def call(self, x: Any) -> Any:
        k, (_, height, width, depth) = self.block, ops.shape(x)
        x = ops.reshape(x, (-1, height // k, k, width // k, k, depth))
        x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
        return ops.reshape(x, (-1, height // k, width // k, k * k * depth))

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        batch, height, width, depth = shape
        k = self.block
        assert depth is not None
        sides = (None if side is None else side // k for side in (height, width))
        return (batch, *sides, k * k * depth)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"block": self.block}


@keras.saving.register_keras_serializable("ptycho")
class DepthToSpace(layers.Layer):
    """(B, H, W, k²F) → (B, kH, kW, F): the inverse of `SpaceToDepth`."""

    def __init__(self, block: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.block = block

    def call(self, x: Any) -> Any:
        k, (_, height, width, depth) = self.block, ops.shape(x)
        x = ops.reshape(x, (-1, height, width, k, k, depth // (k * k)))
        x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
        return ops.reshape(x, (-1, height * k, width * k, depth // (k * k)))

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        batch, height, width, depth = shape
        k = self.block
        assert depth is not None
        sides = (None if side is None else side * k for side in (height, width))
        return (batch, *sides, depth // (k * k))

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"block": self.block}


@keras.saving.register_keras_serializable("ptycho")
class PolarToCartesian(layers.Layer):
    """(amplitude, phase), each (B, H, W, C) → (B, H, W, 2C): real parts, then imaginary parts."""

    def call(self, inputs: tuple[Any, Any]) -> Any:
        amplitude, phase = inputs
        return ops.concatenate([amplitude * ops.cos(phase), amplitude * ops.sin(phase)], axis=-1)

    def compute_output_shape(self, shapes: list[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        first = tuple(shapes[0])
        assert first[-1] is not None
        return (*first[:-1], 2 * first[-1])


def seeds(seed: int) -> Iterator[int]:
    """Distinct seeds for the layers of one network, in order."""
    return iter(range(1000 * seed + 1, 1000 * seed + 1000))


def conv(filters: int, kernel: int, seed: int, *, gain: float = 2.0, **options: Any) -> Any:
    """A convolution that keeps the size, started with variance `gain`/fan-in (2: He, for ReLU)."""
    if gain > 0:
        start = keras.initializers.VarianceScaling(gain, "fan_in", "truncated_normal", seed=seed)
    else:
        start = keras.initializers.Zeros()
    return layers.Conv2D(filters, kernel, padding="same", kernel_initializer=start, **options)


def residual(x: Any, filters: int, seed: Iterator[int]) -> Any:
    """x + conv(relu(conv(relu(x)))); the second convolution starts small (near the identity)."""
    y = conv(filters, 3, next(seed))(layers.Activation("relu")(x))
    y = conv(filters, 3, next(seed), gain=0.1)(layers.Activation("relu")(y))
    return layers.Add()([x, y])


def two_scales(
    x: Any, seed: Iterator[int], width: int, blocks: tuple[int, int, int], *, coarse: int = 0
) -> Any:
    """(B, H, W, F) → (B, H, W, 2), 0 at the start: a residual network at half and quarter size.

    Args:
        x: H and W are multiples of 4, or of 8 with `coarse`.
        seed: of the layers, in order.
        width: filters at half size; twice as many at a quarter.
        blocks: residual blocks at half size, at a quarter, and at half size again.
        coarse: residual blocks at an eighth, of three times as many filters, whose sum is added
            after the first block at a quarter; 0 at the start. 0: no such scale.
    """
    first, deep, last = blocks
    x = conv(width, 3, next(seed))(SpaceToDepth(2)(x))
    for _ in range(first):
        x = residual(x, width, seed)
    fine = x
    x = conv(2 * width, 1, next(seed))(SpaceToDepth(2)(fine))
    for number in range(deep):
        x = residual(x, 2 * width, seed)
        if coarse and number == 0:
            x = _coarser(x, seed, width, coarse)
    x = DepthToSpace(2)(conv(4 * width, 1, next(seed))(x))
    x = layers.Add()([fine, x])
    for _ in range(last):
        x = residual(x, width, seed)
    x = layers.Activation("relu")(x)
    return DepthToSpace(2)(conv(8, 3, next(seed), gain=0.0)(x))


def _coarser(x: Any, seed: Iterator[int], width: int, blocks: int) -> Any:
    """x, at a quarter, and what residual blocks at an eighth add to it: 0 at the start."""
    y = conv(3 * width, 1, next(seed))(SpaceToDepth(2)(x))
    for _ in range(blocks):
        y = residual(y, 3 * width, seed)
    return layers.Add()([x, DepthToSpace(2)(conv(8 * width, 1, next(seed), gain=0.0)(y))])
