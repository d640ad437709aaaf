"""The earlier package's layouts on today's operators: converted here, once, and nowhere else.

Earlier layouts: channel (B, N, N, C), flat (B * C, N, N, 1), offsets (B, 1, 2, C) in [x, y] with
the sign -(position - group centre), flat offsets (B * C, 2) in [x, y]. Today's: (B, C, N, N) and
(B, C, 2) in (row, col) with offset = position - group centre. Gridsize, N and padded size are
arguments: there is no global configuration to read them from.
"""

from __future__ import annotations

import functools
from typing import Any

from ptycho.earlier.projective import projective_warp
from ptycho.errors import ShapeError
from ptycho.physics import (
    backend,
    patches,
    require_pairs,
    require_rank,
    require_same,
    shape_of,
    square_side,
)
from ptycho.physics import translate as translate_rows_cols
from ptycho.quiet import keras, ops


def channel_to_flat(images: Any) -> Any:
    """(B, N, M, C) -> (B * C, N, M, 1); channel c of group b lands at b * C + c."""
    images = backend.tensor(images)
    require_rank("images", images, "B N M C")
    moved = ops.transpose(images, (0, 3, 1, 2))
    return ops.reshape(moved, (-1, int(moved.shape[2]), int(moved.shape[3]), 1))


def flat_to_channel(images: Any, *, gridsize: int) -> Any:
    """(B * C, N, M, 1) -> (B, N, M, C) with C = gridsize^2, the inverse of `channel_to_flat`."""
    images = backend.tensor(images)
    require_rank("images", images, "B*C N M 1")
    count, rows, cols, one = shape_of(images)
    if one != 1 or (count is not None and count % gridsize**2):
        raise ShapeError(
            "the images do not fill whole groups",
            where="images",
            expected=f"(a multiple of {gridsize**2}, N, M, 1)",
            got=shape_of(images),
        )
    return ops.transpose(ops.reshape(images, (-1, gridsize**2, rows, cols)), (0, 2, 3, 1))


def flatten_offsets(offsets: Any) -> Any:
    """(B, 1, 2, C) -> (B * C, 2), still [x, y] and of the earlier sign."""
    offsets = backend.tensor(offsets)
    require_rank("offsets", offsets, "B 1 2 C")
    if shape_of(offsets)[1:3] != (1, 2):
        raise ShapeError(
            "earlier offsets have the layout (B, 1, 2, C)",
            where="offsets",
            expected="(B, 1, 2, C)",
            got=shape_of(offsets),
        )
    return ops.reshape(ops.transpose(offsets, (0, 3, 1, 2)), (-1, 2))


def offsets_to_rows_cols(offsets: Any) -> Any:
    """(B, 1, 2, C), [x, y], -(position - centre) -> (B, C, 2), (row, col), position - centre."""
    flat = flatten_offsets(offsets)
    return ops.reshape(-ops.flip(flat, axis=-1), (-1, int(offsets.shape[-1]), 2))


def translate(images: Any, translations: Any, interpolation: str = "bilinear") -> Any:
    """Move the content of (B, H, W, C) by [dx, dy], one for each image; zero outside.

    `interpolation="nearest"` moves by the nearest whole pixels (halves upwards).
    """
    images, translations = backend.tensor(images), backend.tensor(translations)
    require_rank("images", images, "B H W C")
    require_rank("translations", translations, "B 2")
    require_pairs("translations", translations)
    require_same("images", images, "translations", translations, 1, "one [dx, dy] per image")
    if interpolation not in ("bilinear", "nearest"):
        raise ShapeError("unknown interpolation", expected="bilinear or nearest", got=interpolation)
    shifts = ops.flip(ops.cast(translations, backend.real_dtype(images)), axis=-1)
    shifts = ops.floor(shifts + 0.5) if interpolation == "nearest" else shifts
    moved = [
        translate_rows_cols(images[..., lane], shifts) for lane in range(int(images.shape[-1]))
    ]
    return ops.stack(moved, axis=-1)


@functools.cache
def _compiled(interpolation: str) -> Any:
    return backend.jit(lambda images, shifts: translate(images, shifts, interpolation))


def translate_xla(
    images: Any, translations: Any, interpolation: str = "bilinear", use_jit: bool = True
) -> Any:
    """`translate`, compiled; USE_XLA_TRANSLATE=0 or `use_jit=False` changes speed, not values."""
    if not use_jit:
        return translate(images, translations, interpolation)
    return _compiled(interpolation)(backend.tensor(images), backend.tensor(translations))


def translate_core(images: Any, translations: Any, interpolation: str = "bilinear") -> Any:
    """`translate`, not compiled. The earlier one moved content the opposite way; this does not."""
    return translate(images, translations, interpolation)


def projective_warp_jit(
    images: Any, transforms: Any, *, interpolation: str = "bilinear", fill_mode: str = "edge"
) -> Any:
    """`projective_warp`, compiled."""
    return _compiled_warp(interpolation, fill_mode)(
        backend.tensor(images), backend.tensor(transforms)
    )


@functools.cache
def _compiled_warp(interpolation: str, fill_mode: str) -> Any:
    return backend.jit(
        lambda images, transforms: projective_warp(
            images, transforms, interpolation=interpolation, fill_mode=fill_mode
        )
    )


class Translation(keras.layers.Layer):  # type: ignore[misc, unused-ignore]
    """Layer on [images (B, H, W, C), translations (B, 2) as [dx, dy]].

    Args:
        jitter_stddev: standard deviation in px of a random extra shift while training.
        seed: of that jitter.
    """

    def __init__(
        self,
        jitter_stddev: float = 0.0,
        use_xla: bool | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.jitter_stddev, self.use_xla = float(jitter_stddev), use_xla
        self.random = keras.random.SeedGenerator(seed)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Translate; the values are the same with XLA and without."""
        images, translations = inputs[0], inputs[1]
        if training and self.jitter_stddev > 0:
            noise = keras.random.normal(
                ops.shape(translations), stddev=self.jitter_stddev, seed=self.random
            )
            translations = translations + ops.cast(noise, translations.dtype)
        wanted = backend.xla_enabled() if self.use_xla is None else self.use_xla
        return translate_xla(images, translations, use_jit=wanted)


def pad_patches(images: Any, padded_size: int) -> Any:
    """(B, N, N, C) -> (B, P, P, C), zeros around; P - N must be even."""
    images = backend.tensor(images)
    require_rank("images", images, "B N N C")
    side = square_side("images", images[..., 0])
    if padded_size < side or (padded_size - side) % 2:
        raise ShapeError(
            "a patch is padded by the same number of pixels on each side",
            where="padded_size",
            expected=f"{side} plus an even number",
            got=f"{padded_size} for images {shape_of(images)}",
        )
    margin = (padded_size - side) // 2
    return ops.pad(images, ((0, 0), (margin, margin), (margin, margin), (0, 0)))


def trim_reconstruction(images: Any, N: int) -> Any:
    """The central (B, N, N, C) of (B, P, P, C), centre on centre; N = P gives it all."""
    images = backend.tensor(images)
    require_rank("images", images, "B P P C")
    start = square_side("images", images[..., 0]) // 2 - N // 2
    if start < 0:
        raise ShapeError("N exceeds the image", expected=f"<= {images.shape[1]}", got=N)
    return images[:, start : start + N, start : start + N, :]


def extract_patches_position(images: Any, offsets: Any, N: int) -> Any:
    """(B, P, P, 1), earlier offsets (B, 1, 2, C) -> flat patches (B * C, N, N, 1)."""
    images = backend.tensor(images)
    require_rank("images", images, "B P P 1")
    if shape_of(images)[-1] != 1:
        raise ShapeError(
            "one canvas a group", where="images", expected="(B, P, P, 1)", got=shape_of(images)
        )
    taken = patches.extract(images[..., 0], offsets_to_rows_cols(offsets), N)
    return ops.reshape(taken, (-1, N, N, 1))


def reassemble_patches_position(
    channels: Any, offsets: Any, padded_size: int, weights: Any = None
) -> Any:
    """(B, N, N, C), earlier offsets (B, 1, 2, C) -> (B, P, P, 1), the mean of each group."""
    channels = backend.tensor(channels)
    require_rank("channels", channels, "B N N C")
    moved = ops.transpose(channels, (0, 3, 1, 2))
    canvas, _ = patches.merge(moved, offsets_to_rows_cols(offsets), weights, padded_size)
    return canvas[..., None]


def combine_complex(amplitude: Any, phase: Any) -> Any:
    """amplitude * exp(i phase)."""
    amplitude, phase = backend.tensor(amplitude), backend.tensor(phase)
    rank = max(len(amplitude.shape), len(phase.shape))
    require_same("amplitude", amplitude, "phase", phase, rank, "one phase per amplitude")
    return backend.joined((amplitude * ops.cos(phase), amplitude * ops.sin(phase)))
