"""Integer windows: `cut` reads blocks out of an array, `paste` adds them back (its adjoint).

Each in two forms of the same meaning: one gather, which suits eager execution and GPUs, and a loop
of block copies (`*_serial`), which XLA turns into the fastest code on a CPU.
"""

from __future__ import annotations

from typing import Any

from ptycho.physics import backend
from ptycho.physics.checks import Size
from ptycho.quiet import ops


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


def paste(blocks: Any, rows: Any, cols: Any, size: Size, cut: Any = cut) -> Any:
    """The adjoint of `cut`: each group's blocks added onto its own array of `size`.

    Args:
        blocks: (B, C, h, w) real.
        rows, cols: (B, C) int32: where the first pixel of each block goes.

    Returns:
        (B, H, W): axis C is summed, axis B never is.
    """
    count, height, width = (int(side) for side in blocks.shape[1:])
    if size[0] * size[1] > 4 * height * width:
        return _paste_scattered(blocks, rows, cols, size)
    # Moving a block there is reading it from there: a gather, but of a whole canvas per block.
    single = ops.reshape(blocks, (-1, height, width))
    back = cut(single, ops.reshape(-rows, (-1, 1)), ops.reshape(-cols, (-1, 1)), size)
    return ops.sum(ops.reshape(back, (-1, count, *size)), axis=1)


def _paste_scattered(blocks: Any, rows: Any, cols: Any, size: Size) -> Any:
    """`paste` onto a canvas much larger than a block, in memory that does not grow with it."""
    groups = ops.shape(blocks)[0]
    height, width = (int(side) for side in blocks.shape[-2:])
    pixels = size[0] * size[1]
    r = rows[..., None] + ops.arange(height, dtype="int32")
    c = cols[..., None] + ops.arange(width, dtype="int32")
    inside = ((r >= 0) & (r < size[0]))[..., :, None] & ((c >= 0) & (c < size[1]))[..., None, :]
    index = ops.where(inside, r[..., :, None] * size[1] + c[..., None, :], pixels)
    own = ops.arange(groups, dtype="int32")[:, None, None, None] * (pixels + 1)
    flat, index = ops.reshape(blocks, (-1,)), ops.reshape(index + own, (-1,))
    total = backend.segment_sum(flat, index, groups * (pixels + 1))
    return ops.reshape(ops.reshape(total, (-1, pixels + 1))[:, :pixels], (-1, *size))


def cut_serial(plane: Any, rows: Any, cols: Any, size: Size, lead: int) -> Any:
    """`cut` from (rows - lead, cols - lead), for blocks that lie inside the array but for a rim.

    The rim is what a kernel of 2 + 2·lead taps reaches beyond a patch: `lead` pixels of zeros
    before the array, one more behind it.
    """
    count = int(rows.shape[1])
    rim = (lead, lead + 1)
    plane = ops.pad(plane, ((0, 0), rim, rim))
    rows, cols = ops.reshape(rows, (-1,)), ops.reshape(cols, (-1,))
    total = ops.shape(rows)[0]

    def body(i: Any, blocks: Any) -> tuple[Any, Any]:
        block = backend.block(plane, ops.stack([i // count, rows[i], cols[i]]), (1, *size))
        return i + 1, ops.slice_update(blocks, ops.stack([i, 0, 0]), block)

    empty = ops.zeros((total, *size), dtype=plane.dtype)
    blocks = ops.while_loop(lambda i, _: i < total, body, (0, empty))[1]
    return ops.reshape(blocks, (-1, count, *size))


def cut_framed(plane: Any, rows: Any, cols: Any, size: Size) -> Any:
    """`cut` as a loop for blocks anywhere: each array is laid into one frame of zeros, and read."""
    count = int(rows.shape[1])
    height, width = (int(side) for side in plane.shape[-2:])
    rows = ops.clip(ops.reshape(rows, (-1,)), -size[0], height) + size[0]
    cols = ops.clip(ops.reshape(cols, (-1,)), -size[1], width) + size[1]
    total = ops.shape(rows)[0]

    def body(i: Any, frame: Any, blocks: Any) -> tuple[Any, Any, Any]:
        image = backend.block(plane, ops.stack([i // count, 0, 0]), (1, height, width))
        frame = ops.slice_update(frame, [0, size[0], size[1]], image)
        block = backend.block(frame, ops.stack([0, rows[i], cols[i]]), (1, *size))
        return i + 1, frame, ops.slice_update(blocks, ops.stack([i, 0, 0]), block)

    frame = ops.zeros((1, height + 2 * size[0], width + 2 * size[1]), dtype=plane.dtype)
    blocks = ops.zeros((total, *size), dtype=plane.dtype)
    blocks = ops.while_loop(lambda i, *_: i < total, body, (0, frame, blocks))[2]
    return ops.reshape(blocks, (-1, count, *size))


def add_serial(blocks: Any, rows: Any, cols: Any, size: Size, lead: int) -> Any:
    """The adjoint of `cut_serial`: (B, C, h, w) → (B, H, W); what lies on the rim is dropped."""
    count, height, width = (int(side) for side in blocks.shape[1:])
    blocks = ops.reshape(blocks, (-1, height, width))
    rows, cols = ops.reshape(rows, (-1,)), ops.reshape(cols, (-1,))
    total = ops.shape(rows)[0]

    def body(i: Any, canvas: Any) -> tuple[Any, Any]:
        at = ops.stack([i // count, rows[i], cols[i]])
        block = backend.block(blocks, ops.stack([i, 0, 0]), (1, height, width))
        old = backend.block(canvas, at, (1, height, width))
        return i + 1, ops.slice_update(canvas, at, old + block)

    rim = 2 * lead + 1
    start = ops.zeros((total // count, size[0] + rim, size[1] + rim), dtype=blocks.dtype)
    canvas = ops.while_loop(lambda i, _: i < total, body, (0, start))[1]
    return canvas[:, lead : lead + size[0], lead : lead + size[1]]


def framed(blocks: Any, rim: int, places: Any) -> Any:
    """`blocks` (B, C, h, w) with `rim` zeros on each side, written as a block into zeros.

    A pad is fused by XLA into every tap that reads it, and a tap with a test in it is not
    vectorised: spreading took twice as long. So the place of the block must not be known when the
    program is compiled: it is `rim` plus the floor of a fraction of `places`, which is 0.
    """
    count, height, width = (int(side) for side in blocks.shape[1:])
    first = ops.nan_to_num(places[0, 0, 0])
    at = rim + ops.cast(ops.floor(first - ops.floor(first)), "int32")
    empty = ops.zeros(
        (ops.shape(blocks)[0], count, height + 2 * rim, width + 2 * rim), dtype=blocks.dtype
    )
    zero = 0 * at
    return ops.slice_update(empty, ops.stack([zero, zero, at, at]), blocks)


def add_taps(
    patches: Any, rows: Any, cols: Any, down: list[Any], across: list[Any], size: Size
) -> Any:
    """Bilinearly blended patches added onto their group's array of `size`, all inside it.

    The four taps of a patch are four weighted block additions at neighbouring pixels, because a
    loop body that blends first is not vectorised; for more taps `add_serial` is faster.
    """
    count, height, width = (int(side) for side in patches.shape[1:])
    patches = ops.reshape(patches, (-1, height, width))
    rows, cols = ops.reshape(rows, (-1,)), ops.reshape(cols, (-1,))
    down, across = ([ops.reshape(w, (-1,)) for w in weights] for weights in (down, across))
    total = ops.shape(rows)[0]

    def body(i: Any, canvas: Any) -> tuple[Any, Any]:
        patch = backend.block(patches, ops.stack([i, 0, 0]), (1, height, width))
        for r, row_weight in enumerate(down):
            for c, col_weight in enumerate(across):
                at = ops.stack([i // count, rows[i] + r, cols[i] + c])
                old = backend.block(canvas, at, (1, height, width))
                canvas = ops.slice_update(canvas, at, old + row_weight[i] * col_weight[i] * patch)
        return i + 1, canvas

    start = ops.zeros((total // count, size[0] + 1, size[1] + 1), dtype=patches.dtype)
    canvas = ops.while_loop(lambda i, _: i < total, body, (0, start))[1]
    return canvas[:, : size[0], : size[1]]
