"""Refusals: two arrays that do not fit are an error that names both shapes, never a broadcast."""

from __future__ import annotations

from typing import Any

from ptycho.errors import ShapeError

Size = tuple[int, int]


def shape_of(array: Any) -> tuple[int | None, ...]:
    """Static shape; None where a traced dimension is not known yet."""
    return tuple(None if side is None else int(side) for side in array.shape)


def require_rank(name: str, array: Any, axes: str) -> None:
    """Raise ShapeError unless `array` has the axes named, e.g. "B C row col"."""
    shape, wanted = shape_of(array), axes.split()
    if len(shape) != len(wanted):
        raise ShapeError(
            f"{name} must have {len(wanted)} axes",
            where=name,
            expected=f"({', '.join(wanted)})",
            got=shape,
        )


def require_pairs(name: str, array: Any) -> None:
    """Raise ShapeError unless the last axis holds (row, col)."""
    shape = shape_of(array)
    if not shape or shape[-1] not in (2, None):
        raise ShapeError(
            f"the last axis of {name} must hold (row, col)",
            where=name,
            expected="(..., 2)",
            got=shape,
        )


def require_same(
    first_name: str, first: Any, second_name: str, second: Any, count: int, fix: str
) -> None:
    """Raise ShapeError unless the first `count` axes agree; nothing is ever repeated to fit."""
    a, b = shape_of(first), shape_of(second)
    same = len(a) >= count and len(b) >= count
    same = same and all(p == q or None in (p, q) for p, q in zip(a[:count], b[:count], strict=True))
    if not same:
        raise ShapeError(
            f"the leading dimensions of {first_name} and {second_name} differ",
            where=f"{first_name}, {second_name}",
            expected=f"{second_name} {a[:count]} + {b[count:]} to match {first_name} {a}",
            got=f"{first_name} {a}, {second_name} {b}",
            fix=fix,
        )


def square_side(name: str, array: Any) -> int:
    """The side N of (..., N, N); ShapeError when the last two axes are not a known square."""
    rows, cols = (None, None, *shape_of(array))[-2:]
    if rows is None or rows != cols:
        raise ShapeError(
            f"{name} must be square", where=name, expected="(..., N, N)", got=shape_of(array)
        )
    return rows
