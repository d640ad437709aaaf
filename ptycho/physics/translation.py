"""The one implementation of sub-pixel translation: `window` and its exact adjoint `place`.

A corner is the real-valued place, in pixels of the canvas, of a patch's pixel [0, 0]. Its integer
part is a block of the array, its fraction a blend of neighbouring pixels along each axis, by the
kernel (`ptycho.physics.kernels`; `bilinear` unless said). Derivatives are written out: the adjoint
of reading at a corner is adding at the same corner, and the derivative by a corner is that of the
blend, taken from the right at integers.
"""

from __future__ import annotations

from typing import Any

from ptycho.physics import backend, windows
from ptycho.physics.backend import Planes
from ptycho.physics.checks import Size, require_pairs, require_rank, require_same
from ptycho.physics.kernels import Kernel, kernel_named
from ptycho.quiet import ops


def translate(images: Any, shifts: Any, *, kernel: str = "bilinear") -> Any:
    """Move the content of each image by its own shift: out[r, c] = image[r - dr, c - dc].

    Separable, zero outside; a zero shift is the identity, borders included.

    Args:
        images: (B, H, W), real or complex.
        shifts: (B, 2) in px, (row, col); one for each image, nothing is repeated.
        kernel: name of the sub-pixel kernel.

    Returns:
        (B, H, W) of the dtype of `images` (float32 for integers and half precision).

    Raises:
        ShapeError: unequal leading dimensions or wrong axes; both shapes are named.
        ConfigError: an unknown kernel.
    """
    images, shifts = backend.field(images), backend.field(shifts)
    require_rank("images", images, "B H W")
    require_rank("shifts", shifts, "B 2")
    require_pairs("shifts", shifts)
    require_same("images", images, "shifts", shifts, 1, "give one (row, col) shift per image")
    size = (int(images.shape[1]), int(images.shape[2]))
    return place(images[:, None], shifts[:, None], size, kernel=kernel)


def window(
    canvas: Any, corners: Any, size: Size, *, inside: bool = False, kernel: str = "bilinear"
) -> Any:
    """Read patches at real-valued corners: (B, H, W), (B, C, 2) -> (B, C, h, w); zero outside.

    Args:
        inside: the caller knows that every patch lies within the canvas, so that the fast form
            may be used where it is one.
        kernel: name of the sub-pixel kernel.
    """
    corners = ops.cast(corners, backend.real_dtype(canvas))
    form, blend = _form(inside), kernel_named(kernel)

    def forward(*tensors: Any) -> Planes:
        return tuple(_read(plane, tensors[-1], size, form, blend) for plane in tensors[:-1])

    def gradient(tensors: Planes, upstream: Planes) -> tuple[Any, ...]:
        shape = (int(tensors[0].shape[-2]), int(tensors[0].shape[-1]))
        back = tuple(_add(part, tensors[-1], shape, form, blend) for part in upstream)
        return (*back, _by_corner(tensors[:-1], upstream, tensors[-1], size, blend))

    read = backend.with_gradient(forward, gradient)
    return backend.joined(read(*backend.planes(canvas), corners))


def place(
    patches: Any, corners: Any, size: Size, *, inside: bool = False, kernel: str = "bilinear"
) -> Any:
    """Add patches at real-valued corners: (B, C, h, w), (B, C, 2) -> (B, H, W).

    Each group (axis B) has its own canvas; only its own patches (axis C) are summed on it.
    `inside` and `kernel` as in `window`; without `inside`, what falls outside is dropped.
    """
    corners = ops.cast(corners, backend.real_dtype(patches))
    form, blend = _form(inside), kernel_named(kernel)
    shape = (int(patches.shape[-2]), int(patches.shape[-1]))

    def forward(*tensors: Any) -> Planes:
        return tuple(_add(plane, tensors[-1], size, form, blend) for plane in tensors[:-1])

    def gradient(tensors: Planes, upstream: Planes) -> tuple[Any, ...]:
        back = tuple(_read(part, tensors[-1], shape, form, blend) for part in upstream)
        return (*back, _by_corner(upstream, tensors[:-1], tensors[-1], shape, blend))

    add = backend.with_gradient(forward, gradient)
    return backend.joined(add(*backend.planes(patches), corners))


def slopes(
    canvas: Any, corners: Any, size: Size, *, inside: bool = False, kernel: str = "bilinear"
) -> tuple[Any, Any]:
    """Derivatives of `window` by the row and by the column of the corner, each (B, C, h, w)."""
    corners, blend = ops.cast(corners, backend.real_dtype(canvas)), kernel_named(kernel)
    pairs = [
        _slopes(_block(plane, corners, size, _form(inside), blend), corners, blend)
        for plane in backend.planes(canvas)
    ]
    by_row, by_col = (backend.joined(parts) for parts in zip(*pairs, strict=True))
    return by_row, by_col


def split(corners: Any) -> tuple[Any, Any, Any, Any]:
    """(rows, cols) int32 and the fractions in [0, 1), shaped to blend (..., h, w) blocks."""
    whole = ops.floor(corners)
    fraction = (corners - whole)[..., None, None]
    # A NaN corner stays in the fractions, so that it is seen in every pixel of its patch.
    whole = ops.cast(ops.nan_to_num(whole), "int32")
    return whole[..., 0], whole[..., 1], fraction[..., 0, :, :], fraction[..., 1, :, :]


def _blended(block: Any, rows: list[Any], cols: list[Any]) -> Any:
    """(..., h + t - 1, w + t - 1) -> (..., h, w): the t taps of each axis, weighted."""
    height = int(block.shape[-2]) - len(rows) + 1
    width = int(block.shape[-1]) - len(cols) + 1
    lines = sum(weight * block[..., t : t + height, :] for t, weight in enumerate(rows))
    return sum(weight * lines[..., t : t + width] for t, weight in enumerate(cols))


def _spread(patches: Any, rows: list[Any], cols: list[Any]) -> Any:
    """The adjoint of the blend: (..., h, w) -> (..., h + t - 1, w + t - 1)."""
    more, lead = len(rows) - 1, [(0, 0)] * (len(patches.shape) - 2)
    height, width = (int(side) + more for side in patches.shape[-2:])
    lines = ops.pad(patches, [*lead, (more, more), (0, 0)])
    lines = sum(w * lines[..., more - t : more - t + height, :] for t, w in enumerate(rows))
    lines = ops.pad(lines, [*lead, (0, 0), (more, more)])
    return sum(w * lines[..., more - t : more - t + width] for t, w in enumerate(cols))


def _form(inside: bool) -> str:
    """Which of three forms of equal values is fastest here; chosen once, for both directions."""
    if not backend.serial_windows():
        return "gather"
    return "inside" if inside else "framed"


def _block(plane: Any, corners: Any, size: Size, form: str, kernel: Kernel) -> Any:
    """(B, C, h + t - 1, w + t - 1): the pixels that patches of `size` are blended from."""
    rows, cols, _, _ = split(corners)
    more = (size[0] + kernel.taps - 1, size[1] + kernel.taps - 1)
    if form == "inside":
        return windows.cut_serial(plane, rows, cols, more, kernel.lead)
    cut = windows.cut if form == "gather" else windows.cut_framed
    return cut(plane, rows - kernel.lead, cols - kernel.lead, more)


def _read(plane: Any, corners: Any, size: Size, form: str, kernel: Kernel) -> Any:
    _, _, fr, fc = split(corners)
    block = _block(plane, corners, size, form, kernel)
    return _blended(block, kernel.weights(fr), kernel.weights(fc))


def _add(patches: Any, corners: Any, size: Size, form: str, kernel: Kernel) -> Any:
    rows, cols, fr, fc = split(corners)
    down, across = kernel.weights(fr), kernel.weights(fc)
    if form == "inside" and kernel.taps == 2:
        return windows.add_taps(patches, rows, cols, down, across, size)
    if form == "inside":
        rim = windows.framed(patches, kernel.taps - 1, corners)
        return windows.add_serial(
            _blended(rim, down[::-1], across[::-1]), rows, cols, size, kernel.lead
        )
    spread = _spread(patches, down, across)
    cut = windows.cut if form == "gather" else windows.cut_framed
    return windows.paste(spread, rows - kernel.lead, cols - kernel.lead, size, cut)


def _slopes(block: Any, corners: Any, kernel: Kernel) -> tuple[Any, Any]:
    _, _, fr, fc = split(corners)
    down, across = kernel.weights(fr), kernel.weights(fc)
    by_row = _blended(block, kernel.slopes(fr), across)
    return by_row, _blended(block, down, kernel.slopes(fc))


def _by_corner(canvas: Planes, patches: Planes, corners: Any, size: Size, kernel: Kernel) -> Any:
    """d/dcorner of sum <window(canvas), patches>: (B, C, 2)."""
    by_row, by_col = 0.0, 0.0
    for plane, patch in zip(canvas, patches, strict=True):
        down, across = _slopes(_block(plane, corners, size, "gather", kernel), corners, kernel)
        by_row = by_row + ops.sum(down * patch, axis=(-2, -1))
        by_col = by_col + ops.sum(across * patch, axis=(-2, -1))
    return ops.stack([by_row, by_col], axis=-1)
