"""Slopes of many frames: chunk by chunk, several side by side, and tile by tile into one object."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ptycho.physics import backend
from ptycho.quiet import ops
from ptycho.refinement import step
from ptycho.refinement.tiles import Tiling


class Work(NamedTuple):
    """What is done with all frames alike.

    Args:
        model, rates, detector: of the update.
        to_host: keep what was seen off the device: small results between the large ones of the
            next chunks would keep its memory in pieces, which tells where a scan is long.
    """

    model: step.Model
    rates: step.Rates
    detector: step.Detector
    to_host: bool


def by_tile(
    tiling: Tiling,
    state: step.State,
    numbers: np.ndarray,
    size: int,
    batch_of: Callable[..., step.Batch],
    work: Work,
) -> tuple[step.Slopes, list[tuple[np.ndarray, step.Seen]]]:
    """The summed slopes of frames of these numbers on the whole object, and what was seen.

    Args:
        size: frames of a part.
        batch_of: called as (numbers of a part, low=where the window begins).
    """
    groups = tiling.parts(numbers, size)
    if len(tiling.tiles) == 1:
        return slopes_of(state, groups[0][1], batch_of, work)
    total, told = step.no_slopes(state), []
    for tile, parts in groups:
        local = within(state, tile.low, tiling.shape)
        found, seen = slopes_of(local, parts, functools.partial(batch_of, low=tile.low), work)
        total = added(total, found, tile.low)
        told += seen
    return total, told


def slopes_of(
    state: step.State,
    parts: list[Any],
    batch_of: Callable[..., step.Batch],
    work: Work,
    lanes: int | None = None,
) -> tuple[step.Slopes, list[tuple[Any, step.Seen]]]:
    """The summed slopes of all parts, and what was seen of each; some parts side by side.

    Args:
        parts: what `batch_of` makes a batch of: numbers of frames.
        lanes: parts at the same time; None: as many as the backend can.
    """
    part = step.compiled_part(work.model)

    def lane(mine: list[Any]) -> Any:
        found, told = step.no_slopes(state), []
        for numbers in mine:
            found, seen = part(state, batch_of(numbers), work.rates, work.detector, found)
            told.append((numbers, on_host(seen) if work.to_host else seen))
        return found, told

    lanes = min(lanes or backend.lanes(), len(parts))
    results = backend.side_by_side(lane, [parts[first::lanes] for first in range(lanes)])
    found = results[0][0]
    for other, _ in results[1:]:
        found = plus(found, other)
    return found, [each for _, told in results for each in told]


def plus(one: step.Slopes, other: step.Slopes) -> step.Slopes:
    """The sum of both."""
    return step.Slopes(*(a + b for a, b in zip(one, other, strict=True)))


def on_host(seen: step.Seen) -> step.Seen:
    """The same as arrays, by one read."""
    there = {name: value for name, value in seen._asdict().items() if value is not None}
    return seen._replace(**dict(zip(there, backend.read(*there.values()), strict=True)))


def places_of(told: list[tuple[np.ndarray, step.Seen]]) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the frames, and the row of each where what was seen of all parts is joined.

    A part is filled up: behind its own frames stand rows of none.
    """
    ends = np.cumsum([0, *(int(seen.light.shape[0]) for _, seen in told)])
    rows = [start + np.arange(len(part)) for start, (part, _) in zip(ends, told, strict=False)]
    return np.concatenate([part for part, _ in told]), np.concatenate(rows)


def batches(order: np.ndarray, size: int) -> list[np.ndarray]:
    """Mini-batches of equal size (one compiled shape); the last is filled up from the first."""
    count = -(-len(order) // size)
    return list(np.resize(order, count * size).reshape(count, size))


def padded(array: np.ndarray, length: int) -> np.ndarray:
    """Filled up with zeros to this many rows; itself where it has them."""
    if len(array) == length:
        return array
    out = np.zeros((length, *array.shape[1:]), array.dtype)
    out[: len(array)] = array
    return out


def within(state: step.State, low: tuple[int, int], shape: tuple[int, int]) -> step.State:
    """The state with the window of the object that begins at `low`."""
    fields = state.object, state.object_velocity
    image, velocity = (window(field, low, shape) for field in fields)
    return state._replace(object=image, object_velocity=velocity)


def window(image: Any, low: tuple[int, int], shape: tuple[int, int]) -> Any:
    """The part of an image (H, W) or of its layers of this shape that begins at `low`."""
    return _compiled_cut(shape)(image, backend.tensor(np.asarray(low, np.int32)))


def added(total: step.Slopes, found: step.Slopes, low: tuple[int, int]) -> step.Slopes:
    """The slopes of a window that begins at `low`, added to those of the whole object."""
    return _compiled_add()(total, found, backend.tensor(np.asarray(low, np.int32)))


def _at(image: Any, low: Any, shape: Any) -> tuple[Any, tuple[int, ...]]:
    """Where the window begins and its shape, all layers where the image has some."""
    more = len(image.shape) - 2
    start = low if not more else ops.pad(low, [[more, 0]])
    return start, (*(int(side) for side in image.shape[:more]), *(int(side) for side in shape))


@functools.cache
def _compiled_cut(shape: tuple[int, int]) -> Callable[..., Any]:
    def cut(field: Any, low: Any) -> Any:
        planes = backend.planes(field)
        return backend.joined(tuple(backend.block(p, *_at(p, low, shape)) for p in planes))

    return backend.jit(cut)


@functools.cache
def _compiled_add() -> Callable[..., Any]:
    def placed(whole: Any, part: Any, low: Any) -> Any:
        start, shape = _at(whole, low, part.shape[-2:])
        pairs = zip(backend.planes(whole), backend.planes(part), strict=True)
        return backend.joined(
            tuple(ops.slice_update(a, start, backend.block(a, start, shape) + b) for a, b in pairs)
        )

    def add(total: step.Slopes, found: step.Slopes, low: Any) -> step.Slopes:
        both = plus(total._replace(object=0.0, light=0.0), found._replace(object=0.0, light=0.0))
        return both._replace(
            object=placed(total.object, found.object, low),
            light=placed(total.light, found.light, low),
        )

    return backend.jit(add)
