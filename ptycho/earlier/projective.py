"""A general projective warp (homography), bilinear or nearest, differentiable by autodiff.

Here, as everywhere in computer graphics, points are (x, y) = (col, row): output pixel (x, y)
reads the source at (x', y') = (u / w, v / w) with (u, v, w) = M (x, y, 1).
"""

from __future__ import annotations

from typing import Any

from ptycho.errors import ShapeError, UsageError
from ptycho.physics import backend, require_rank, require_same, shape_of
from ptycho.quiet import ops

INTERPOLATIONS, FILLS = ("bilinear", "nearest"), ("edge", "zeros")


def projective_warp(
    images: Any, transforms: Any, *, interpolation: str = "bilinear", fill_mode: str = "edge"
) -> Any:
    """Warp each image by its own homography.

    Args:
        images: (B, H, W, C), real or complex.
        transforms: (B, 3, 3), or (B, 8): the first eight numbers of the matrix, the ninth being 1.
        interpolation: "bilinear" or "nearest".
        fill_mode: outside the image "edge" repeats the border, "zeros" reads zero.

    Returns:
        (B, H, W, C) of the dtype of `images`.

    Raises:
        ShapeError: wrong axes, or another number of transforms than images.
        UsageError: an unknown interpolation or fill mode.
    """
    for name, value, known in (
        ("interpolation", interpolation, INTERPOLATIONS),
        ("fill_mode", fill_mode, FILLS),
    ):
        if value not in known:
            raise UsageError(f"unknown {name}", where=name, expected=" or ".join(known), got=value)
    images, transforms = backend.field(images), backend.field(transforms)
    require_rank("images", images, "B H W C")
    dtype = backend.real_dtype(images)
    transforms = _matrices(ops.cast(transforms, dtype))
    require_same("images", images, "transforms", transforms, 1, "give one transform per image")
    height, width = int(images.shape[1]), int(images.shape[2])
    x, y = _source_points(transforms, height, width, dtype)
    if fill_mode == "edge":
        x, y = ops.clip(x, 0.0, width - 1.0), ops.clip(y, 0.0, height - 1.0)
    else:  # one pixel outside is as far as anything can be
        x, y = ops.clip(x, -1.0, float(width)), ops.clip(y, -1.0, float(height))
    if interpolation == "nearest":
        x, y = ops.floor(x + 0.5), ops.floor(y + 0.5)
    return backend.joined(tuple(_sample(plane, x, y) for plane in backend.planes(images)))


def _matrices(transforms: Any) -> Any:
    shape = shape_of(transforms)
    if len(shape) == 2 and shape[-1] == 8:
        ninth = ops.ones_like(transforms[:, :1])
        return ops.reshape(ops.concatenate([transforms, ninth], axis=1), (-1, 3, 3))
    if len(shape) != 3 or shape[1:] != (3, 3):
        raise ShapeError(
            "transforms must be homographies",
            where="transforms",
            expected="(B, 3, 3) or (B, 8)",
            got=shape,
        )
    return transforms


def _source_points(matrices: Any, height: int, width: int, dtype: str) -> tuple[Any, Any]:
    """(x', y') of every output pixel: two tensors (B, H, W); points at infinity lie far outside."""
    x = ops.cast(ops.arange(width), dtype)[None, None, :]
    y = ops.cast(ops.arange(height), dtype)[None, :, None]
    m = matrices[:, :, :, None, None]
    u, v, w = (m[:, row, 0] * x + m[:, row, 1] * y + m[:, row, 2] for row in range(3))
    seen = w > 1e-7
    safe = ops.where(seen, w, ops.ones_like(w))
    far = -2.0 * ops.ones_like(w)
    return ops.where(seen, u / safe, far), ops.where(seen, v / safe, far)


def _sample(plane: Any, x: Any, y: Any) -> Any:
    """Bilinear reading of (B, H, W, C) at (B, H, W) points; zero beyond the border."""
    height, width, channels = (int(side) for side in plane.shape[1:])
    framed = ops.pad(plane, ((0, 0), (1, 2), (1, 2), (0, 0)))
    flat = ops.reshape(framed, (-1, (height + 3) * (width + 3) * channels))
    x0, y0 = ops.floor(x), ops.floor(y)
    fx, fy = (x - x0)[..., None], (y - y0)[..., None]
    corner = (ops.cast(y0, "int32") + 1) * (width + 3) + ops.cast(x0, "int32") + 1
    lanes = ops.arange(channels, dtype="int32")

    def read(step: int) -> Any:
        index = (corner + step)[..., None] * channels + lanes
        return ops.reshape(
            backend.gather(flat, ops.reshape(index, (-1, height * width * channels))),
            (-1, height, width, channels),
        )

    top = (1 - fx) * read(0) + fx * read(1)
    bottom = (1 - fx) * read(width + 3) + fx * read(width + 4)
    return (1 - fy) * top + fy * bottom
