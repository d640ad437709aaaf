"""Integer windows: `cut` reads blocks out of an array, `paste` adds them back (its adjoint)."""

from __future__ import annotations

from typing import Any

from keras import ops

from ptycho.physics import backend
from ptycho.physics.checks import Size


def cut(plane: Any, rows: Any, cols: Any, size: Size) -> Any:
    """Blocks of `size` whose first pixel is at (rows, cols); zero outside the array.

    Args:
        plane: (B, H, W) real.
        rows, cols: (B, C) int32, any value.

    Returns:
        (B, C, h, w).
    """
    height, width = (int(side) for side in plane.shape[-2:])
    frame = ops.pad(plane, ((0, 0), (1, 1), (1, 1)))
    flat = ops.reshape(frame, (-1, (height + 2) * (width + 2)))
    r = ops.clip(rows[..., None] + (1 + ops.arange(size[0], dtype="int32")), 0, height + 1)
    c = ops.clip(cols[..., None] + (1 + ops.arange(size[1], dtype="int32")), 0, width + 1)
    index = r[..., :, None] * (width + 2) + c[..., None, :]
    count = int(rows.shape[1])
    taken = backend.gather(flat, ops.reshape(index, (-1, count * size[0] * size[1])))
    return ops.reshape(taken, (-1, count, *size))


def paste(blocks: Any, rows: Any, cols: Any, size: Size) -> Any:
    """The adjoint of `cut`: each group's blocks added onto its own array of `size`.

    Args:
        blocks: (B, C, h, w) real.
        rows, cols: (B, C) int32: where the first pixel of each block goes.

    Returns:
        (B, H, W): axis C is summed, axis B never is.
    """
    count, height, width = (int(side) for side in blocks.shape[1:])
    single = ops.reshape(blocks, (-1, height, width))
    back = cut(single, ops.reshape(-rows, (-1, 1)), ops.reshape(-cols, (-1, 1)), size)
    return ops.sum(ops.reshape(back, (-1, count, *size)), axis=1)


def paste_all(blocks: Any, rows: Any, cols: Any, size: Size) -> Any:
    """Many blocks (M, h, w) onto one large array of `size`; parts outside are dropped."""
    height, width = (int(side) for side in blocks.shape[1:])
    r = rows[:, None] + ops.arange(height, dtype="int32")
    c = cols[:, None] + ops.arange(width, dtype="int32")
    inside = ((r >= 0) & (r < size[0]))[:, :, None] & ((c >= 0) & (c < size[1]))[:, None, :]
    index = ops.where(inside, r[:, :, None] * size[1] + c[:, None, :], size[0] * size[1])
    total = ops.segment_sum(
        ops.reshape(blocks, (-1,)), ops.reshape(index, (-1,)), num_segments=size[0] * size[1] + 1
    )
    return ops.reshape(total[:-1], size)
