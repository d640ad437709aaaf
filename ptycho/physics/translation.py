"""The one implementation of sub-pixel translation: `window` and its exact adjoint `place`.

A corner is the real-valued place, in pixels of the canvas, of a patch's pixel [0, 0]. Its integer
part is a window of the array, its fraction a blend of two neighbours along each axis (separable
bilinear). Derivatives are written out: the adjoint of reading at a corner is adding at the same
corner, and the derivative by a corner is that of the blend, taken from the right at integers.
"""

from __future__ import annotations

from typing import Any

from keras import ops

from ptycho.physics import backend, windows
from ptycho.physics.backend import Planes
from ptycho.physics.checks import Size, require_pairs, require_rank, require_same


def translate(images: Any, shifts: Any) -> Any:
    """Move the content of each image by its own shift: out[r, c] = image[r - dr, c - dc].

    Separable bilinear, zero outside; a zero shift is the identity, borders included.

    Args:
        images: (B, H, W), real or complex.
        shifts: (B, 2) in px, (row, col); one for each image, nothing is repeated.

    Returns:
        (B, H, W) of the dtype of `images` (float32 for integers and half precision).

    Raises:
        ShapeError: unequal leading dimensions or wrong axes; both shapes are named.
    """
    images, shifts = backend.field(images), backend.field(shifts)
    require_rank("images", images, "B H W")
    require_rank("shifts", shifts, "B 2")
    require_pairs("shifts", shifts)
    require_same("images", images, "shifts", shifts, 1, "give one (row, col) shift per image")
    size = (int(images.shape[1]), int(images.shape[2]))
    return place(images[:, None], shifts[:, None], size)


def window(canvas: Any, corners: Any, size: Size, *, inside: bool = False) -> Any:
    """Read patches at real-valued corners: (B, H, W), (B, C, 2) -> (B, C, h, w); zero outside.

    Args:
        inside: the caller knows that every patch lies within the canvas, so that the fast form
            may be used where it is one.
    """
    corners = ops.cast(corners, backend.real_dtype(canvas))
    form = _form(inside)

    def forward(*tensors: Any) -> Planes:
        return tuple(_read(plane, tensors[-1], size, form) for plane in tensors[:-1])

    def gradient(tensors: Planes, upstream: Planes) -> tuple[Any, ...]:
        shape = (int(tensors[0].shape[-2]), int(tensors[0].shape[-1]))
        back = tuple(_add(part, tensors[-1], shape, form) for part in upstream)
        return (*back, _by_corner(tensors[:-1], upstream, tensors[-1], size))

    read = backend.with_gradient(forward, gradient)
    return backend.joined(read(*backend.planes(canvas), corners))


def place(patches: Any, corners: Any, size: Size, *, inside: bool = False) -> Any:
    """Add patches at real-valued corners: (B, C, h, w), (B, C, 2) -> (B, H, W).

    Each group (axis B) has its own canvas; only its own patches (axis C) are summed on it.
    `inside` as in `window`; without it, what falls outside is dropped.
    """
    corners = ops.cast(corners, backend.real_dtype(patches))
    form = _form(inside)
    shape = (int(patches.shape[-2]), int(patches.shape[-1]))

    def forward(*tensors: Any) -> Planes:
        return tuple(_add(plane, tensors[-1], size, form) for plane in tensors[:-1])

    def gradient(tensors: Planes, upstream: Planes) -> tuple[Any, ...]:
        back = tuple(_read(part, tensors[-1], shape, form) for part in upstream)
        return (*back, _by_corner(upstream, tensors[:-1], tensors[-1], shape))

    add = backend.with_gradient(forward, gradient)
    return backend.joined(add(*backend.planes(patches), corners))


def split(corners: Any) -> tuple[Any, Any, Any, Any]:
    """(rows, cols) int32 and the fractions in [0, 1), shaped to blend (..., h, w) blocks."""
    whole = ops.floor(corners)
    fraction = (corners - whole)[..., None, None]
    # A NaN corner stays in the fractions, so that it is seen in every pixel of its patch.
    whole = ops.cast(ops.nan_to_num(whole), "int32")
    return whole[..., 0], whole[..., 1], fraction[..., 0, :, :], fraction[..., 1, :, :]


def spread(patches: Any, fr: Any, fc: Any) -> Any:
    """The adjoint of the blend: (..., h, w) -> (..., h + 1, w + 1)."""
    lead = [(0, 0)] * (len(patches.shape) - 2)
    rows = ops.pad(patches, [*lead, (1, 1), (0, 0)])
    rows = (1 - fr) * rows[..., 1:, :] + fr * rows[..., :-1, :]
    cols = ops.pad(rows, [*lead, (0, 0), (1, 1)])
    return (1 - fc) * cols[..., 1:] + fc * cols[..., :-1]


def _form(inside: bool) -> str:
    """Which of three forms of equal values is fastest here; chosen once, for both directions."""
    if not backend.serial_windows():
        return "gather"
    return "inside" if inside else "framed"


def _read(plane: Any, corners: Any, size: Size, form: str) -> Any:
    rows, cols, fr, fc = split(corners)
    cut = {"gather": windows.cut, "inside": windows.cut_serial, "framed": windows.cut_framed}[form]
    block = cut(plane, rows, cols, (size[0] + 1, size[1] + 1))
    block = (1 - fr) * block[..., :-1, :] + fr * block[..., 1:, :]
    return (1 - fc) * block[..., :-1] + fc * block[..., 1:]


def _add(patches: Any, corners: Any, size: Size, form: str) -> Any:
    rows, cols, fr, fc = split(corners)
    if form == "inside":
        return windows.add_serial(patches, rows, cols, fr, fc, size)
    cut = windows.cut if form == "gather" else windows.cut_framed
    return windows.paste(spread(patches, fr, fc), rows, cols, size, cut)


def _by_corner(canvas: Planes, patches: Planes, corners: Any, size: Size) -> Any:
    """d/dcorner of sum <window(canvas), patches>: (B, C, 2)."""
    rows, cols, fr, fc = split(corners)
    by_row, by_col = 0.0, 0.0
    for plane, patch in zip(canvas, patches, strict=True):
        block = windows.cut(plane, rows, cols, (size[0] + 1, size[1] + 1))
        down = block[..., 1:, :] - block[..., :-1, :]
        down = (1 - fc) * down[..., :-1] + fc * down[..., 1:]
        across = block[..., 1:] - block[..., :-1]
        across = (1 - fr) * across[..., :-1, :] + fr * across[..., 1:, :]
        by_row = by_row + ops.sum(down * patch, axis=(-2, -1))
        by_col = by_col + ops.sum(across * patch, axis=(-2, -1))
    return ops.stack([by_row, by_col], axis=-1)
