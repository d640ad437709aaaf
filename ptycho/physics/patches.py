"""From patches to objects and back: `extract`, its weighted inverse `merge`, and `stitch`.

One convention everywhere: `offset = position - group centre` in px, (row, col). The canvas is
centred on the group centre, so a pixel at (r, c) from the centre of a patch with offset (dr, dc)
lies at (r + dr, c + dc) from the centre of the canvas. The centre of a side of n px is n // 2.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ptycho.errors import ShapeError
from ptycho.physics import backend
from ptycho.physics.checks import Size, require_pairs, require_rank, require_same, square_side
from ptycho.physics.translation import place, window
from ptycho.quiet import ops

# Where the summed weight is below this share of the largest weight, nothing was measured.
COVERAGE_FLOOR = 1e-6
_AT_ONCE = 256


def canvas_size_for(offsets: Any, N: int, *, multiple: int = 2) -> int:
    """The smallest canvas side on which every patch fits: N + 2 * ceil(max |offset|).

    Args:
        offsets: (..., 2) px.
        N: side of a patch, px.
        multiple: the margin P - N is rounded up to a multiple of this (an even number), so that
            a compiled function meets few different sizes.
    """
    numbers = np.asarray(offsets, dtype=np.float64)
    if not np.isfinite(numbers).all():
        raise ShapeError("offsets must be finite", where="offsets", got="NaN or infinite values")
    if multiple < 2 or multiple % 2:
        raise ShapeError("multiple must be even", where="multiple", got=multiple)
    margin = 2 * int(np.ceil(np.abs(numbers).max(initial=0.0)))
    return int(N) + multiple * -(-margin // multiple)


def extract(canvas: Any, offsets: Any, N: int, *, kernel: str = "bilinear") -> Any:
    """Read the patch of each offset: its centre lies at canvas centre + offset.

    Args:
        canvas: (B, P, P), real or complex.
        offsets: (B, C, 2) px.
        N: side of a patch, px.
        kernel: name of the sub-pixel kernel (`ptycho.physics.kernels`).

    Returns:
        (B, C, N, N).

    Raises:
        ShapeError: shapes that do not fit, or an offset whose patch leaves the canvas (where
            offsets are only traced, the patch becomes NaN instead).
    """
    canvas, offsets = backend.field(canvas), backend.field(offsets)
    require_rank("canvas", canvas, "B P P")
    _require_offsets("canvas", canvas, offsets, 1)
    side = square_side("canvas", canvas)
    _require_fit(offsets, int(N), side)
    corners = _corners(canvas, offsets, int(N), side)
    return window(canvas, corners, (int(N), int(N)), inside=True, kernel=kernel)


def merge(
    patches: Any, offsets: Any, weights: Any, canvas_size: int, *, kernel: str = "bilinear"
) -> tuple[Any, Any]:
    """Weighted mean of each group's patches on the group's own canvas.

    The same weights stand in numerator and denominator, so coinciding patches give their mean
    wherever anything was measured, and zero where nothing was.

    Args:
        patches: (B, C, N, N), real or complex.
        offsets: (B, C, 2) px.
        weights: (N, N) for all, (B, C, N, N), or None for ones; never negative.
        canvas_size: side P of the canvas, see `canvas_size_for`.
        kernel: name of the sub-pixel kernel, in numerator and denominator alike.

    Returns:
        canvas (B, P, P) of the dtype of `patches`, and coverage (B, P, P), the summed weight.

    Raises:
        ShapeError: shapes that do not fit, or an offset whose patch leaves the canvas (where
            offsets are only traced, the patch becomes NaN instead).
    """
    patches, offsets = backend.field(patches), backend.field(offsets)
    require_rank("patches", patches, "B C N N")
    _require_offsets("patches", patches, offsets, 2)
    side, size = square_side("patches", patches), (int(canvas_size), int(canvas_size))
    _require_fit(offsets, side, size[0])
    weights = _full_weights(weights, patches, side)
    corners = _corners(patches, offsets, side, size[0])
    # One canvas a group: `place` sums over a group's own frames (axis 1), never over axis 0.
    total = place(_times(patches, weights), corners, size, inside=True, kernel=kernel)
    coverage = place(weights, corners, size, inside=True, kernel=kernel)
    return _divided(
        total, coverage, ops.max(weights, axis=(1, 2, 3), keepdims=True)[:, 0]
    ), coverage


def stitch(
    patches: Any,
    positions_px: Any,
    weights: Any = None,
    *,
    shape: Size,
    origin_px: Any,
    kernel: str = "bilinear",
) -> tuple[Any, Any]:
    """Weighted mean of many patches on one object.

    Args:
        patches: (M, N, N), real or complex.
        positions_px: (M, 2), centres of the patches in the scan frame.
        weights: (N, N) for all, (M, N, N), or None for ones; never negative.
        shape: (H, W) of the object.
        origin_px: (row, col) in the scan frame of the object's pixel [0, 0].
        kernel: name of the sub-pixel kernel, in numerator and denominator alike.

    Returns:
        object (H, W) of the dtype of `patches`, and coverage (H, W), the summed weight.

    Raises:
        ShapeError: shapes that do not fit, or a patch that leaves the object.
    """
    patches = backend.field(patches)
    require_rank("patches", patches, "M N N")
    side = square_side("patches", patches)
    if not ops.is_tensor(positions_px):  # subtract before float32 rounds large coordinates
        positions_px = np.asarray(positions_px, dtype=np.float64)
    if np.shape(origin_px) != (2,) or np.shape(shape) != (2,):
        raise ShapeError(
            "an object has two sides and one origin",
            where="shape, origin_px",
            expected="shape (H, W), origin_px (row, col)",
            got=f"shape {shape}, origin_px of shape {np.shape(origin_px)}",
        )
    start = np.asarray(origin_px, dtype=np.float64) + side // 2
    positions_px = backend.field(positions_px)
    corners = positions_px - ops.cast(backend.tensor(start), backend.dtype_of(positions_px))
    corners = ops.cast(corners, backend.real_dtype(patches))
    require_rank("positions_px", corners, "M 2")
    require_pairs("positions_px", corners)
    require_same("patches", patches, "positions_px", corners, 1, "give one position per patch")
    _require_inside(corners, side, shape)
    weights = _full_weights(weights, patches, side)
    corners = _poisoned(corners, (shape[0] - side, shape[1] - side))[None]
    total = place(_times(patches, weights)[None], corners, shape, inside=True, kernel=kernel)[0]
    coverage = place(weights[None], corners, shape, inside=True, kernel=kernel)[0]
    return _divided(total, coverage, ops.max(weights)), coverage


def illumination(
    probe: Any, positions_px: np.ndarray, *, shape: Size, origin_px: Any
) -> np.ndarray:
    """(H, W) float64: photons that each object pixel saw, Σ_j Σ_k |P_k|² at the positions.

    Args:
        probe: (K, N, N) complex.
        positions_px: (M, 2), centres of frames in the scan frame; every patch lies on the object.
        shape: (H, W) of the object. origin_px: (row, col) of its pixel [0, 0].
    """
    power = np.sum(np.abs(np.asarray(probe)) ** 2, axis=0).astype(np.float32)
    side = power.shape[-1]
    corners = np.asarray(positions_px, np.float64) - np.asarray(origin_px) - side // 2
    _require_inside(corners, side, shape)
    light = np.zeros(shape, np.float64)
    for first in range(0, len(corners), _AT_ONCE):
        part = backend.tensor(corners[None, first : first + _AT_ONCE].astype(np.float32))
        patches = backend.tensor(np.broadcast_to(power, (1, part.shape[1], *power.shape)))
        light += np.asarray(backend.concrete(place(patches, part, shape, inside=True)))[0]
    return light


def _poisoned(corners: Any, room: Size) -> Any:
    """NaN where a patch leaves the canvas, since compiled code cannot raise."""
    fits = ops.logical_and(corners >= 0.0, corners <= ops.cast(list(room), corners.dtype))
    return ops.where(fits, corners, ops.full_like(corners, float("nan")))


def _corners(like: Any, offsets: Any, side: int, canvas_side: int) -> Any:
    start = float(canvas_side // 2 - side // 2)
    corners = ops.cast(offsets, backend.real_dtype(like)) + start
    return _poisoned(corners, (canvas_side - side, canvas_side - side))


def _times(field: Any, weights: Any) -> Any:
    return backend.joined(tuple(plane * weights for plane in backend.planes(field)))


def _divided(total: Any, coverage: Any, largest: Any) -> Any:
    seen = coverage > COVERAGE_FLOOR * largest
    safe = ops.where(seen, coverage, ops.ones_like(coverage))
    share = ops.where(seen, 1.0 / safe, ops.zeros_like(coverage))
    return _times(total, share)


def _full_weights(weights: Any, patches: Any, side: int) -> Any:
    dtype = backend.real_dtype(patches)
    if weights is None:
        return ops.ones_like(backend.planes(patches)[0])
    weights = ops.cast(backend.tensor(weights), dtype)
    if len(weights.shape) == 2:
        if square_side("weights", weights) != side:
            raise ShapeError(
                "weights and patches differ in size",
                where="weights, patches",
                expected=f"weights ({side}, {side})",
                got=f"weights {tuple(weights.shape)}, patches {tuple(patches.shape)}",
            )
        return weights + ops.zeros_like(backend.planes(patches)[0])
    require_same("patches", patches, "weights", weights, len(patches.shape), "one weight per pixel")
    return weights


def _require_offsets(name: str, array: Any, offsets: Any, count: int) -> None:
    require_rank("offsets", offsets, "B C 2")
    require_pairs("offsets", offsets)
    require_same(name, array, "offsets", offsets, count, "give every frame its own offset")


def _require_fit(offsets: Any, side: int, canvas_side: int) -> None:
    """Where the numbers are known: every patch lies on the canvas whole."""
    numbers = backend.concrete(offsets)
    if numbers is None or not numbers.size:
        return
    corner = numbers.astype(np.float64) + (canvas_side // 2 - side // 2)
    if not (np.floor(corner).min() >= 0 and np.ceil(corner).max() + side <= canvas_side):
        raise ShapeError(
            f"a patch of {side} px leaves the canvas of {canvas_side} px",
            where="offsets",
            expected=f"canvas_size_for(offsets, {side}) = {canvas_size_for(numbers, side)} px",
            got=f"{canvas_side} px for offsets up to {np.abs(numbers).max():.2f} px",
            fix="make the canvas with canvas_size_for(offsets, N)",
        )


def _require_inside(corners: Any, side: int, shape: Size) -> None:
    numbers = backend.concrete(corners)
    if numbers is None or not numbers.size:
        return
    low, high = np.floor(numbers).min(axis=0), np.ceil(numbers).max(axis=0) + side
    if not (low.min() >= 0 and high[0] <= shape[0] and high[1] <= shape[1]):
        raise ShapeError(
            "a patch leaves the object",
            where="positions_px, shape, origin_px",
            expected=f"patches within rows 0..{shape[0]} and columns 0..{shape[1]}",
            got=f"rows {low[0]:.0f}..{high[0]:.0f}, columns {low[1]:.0f}..{high[1]:.0f}",
            fix="make shape and origin_px from the positions and the patch size",
        )
