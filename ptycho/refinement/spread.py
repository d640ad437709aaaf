"""The tiles of a scan on Dask workers: each sums the slopes of its frames, and here they are added.

A task is one tile in one update. It brings the window of the object and the probe, where the
momentum takes them, and what is known of the frames beside their counts. The counts of a tile are a
result of their own that stays on a worker: Dask knows what they were made of (the file and the
numbers of the frames, or the counts themselves where they are in memory), makes them again where a
worker took them along, and gives a task to a worker that has them. Counts that are read in every
pass are read by the task. Nothing else lives on a worker between two tasks, so one that dies costs
time only. The sums are added in the order of the tiles: who was first does not matter.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import Any

import numpy as np

from ptycho import cluster
from ptycho.errors import ClusterError
from ptycho.physics import backend
from ptycho.quiet import ops
from ptycho.refinement import step, summing
from ptycho.refinement.start import Counts, Frames
from ptycho.refinement.tiles import Tile, Tiling

LARGE_MESSAGE = "16GiB"
"""Dask warns of a task above 10 MB; the counts of a tile are, and the scheduler is to have them."""


@dataclass(frozen=True)
class Task:
    """What the frames of one tile ask for, but for their counts. All arrays are NumPy's.

    Args:
        object: the window, (h, w) or (L, h, w); probe: (K, N, N). Both look ahead.
        rows: of each part, the numbers of its frames in the counts that come with the task.
        parts: the same frames without counts, filled up to one size.
        work: with arrays in place of tensors.
    """

    object: np.ndarray
    probe: np.ndarray
    rows: list[np.ndarray]
    parts: list[step.Batch]
    work: summing.Work


class Spread:
    """The tiles of one engine on the workers of a client.

    Args:
        client: of `ptycho.cluster`. tiling: of the scan.
        frames: of it; where they are read in every pass, the workers read them for each task.
    """

    def __init__(self, client: Any, frames: Frames, tiling: Tiling) -> None:
        self.client, self.frames, self.tiling = client, frames, tiling
        self.forget()

    def facts(self) -> dict[str, int]:
        """How many tiles there are, and how many workers now."""
        return {"tiles": len(self.tiling.tiles), "workers": cluster.n_workers(self.client)}

    def forget(self) -> None:
        """The counts have changed: the workers take them anew."""
        self._file: Any = None  # what reads them, for all tiles: a compressed file is unpacked once
        self._there: dict[int, Any] = {}  # the counts of a tile

    def slopes(
        self,
        state: step.State,
        numbers: np.ndarray,
        size: int,
        beside: Callable[..., step.Batch],
        work: summing.Work,
    ) -> tuple[step.Slopes, list[tuple[np.ndarray, step.Seen]]]:
        """Like `summing.by_tile`.

        Args:
            beside: called as (numbers of a part, size, where the window begins): the batch without
                counts, as arrays.

        Raises:
            ClusterError: a tile cannot be worked on: its workers die one after the other, the
                scheduler is gone, or the workers are not what they should be.
        """
        canvas, probe = (backend.concrete(each) for each in step.ahead(state, work.rates))
        assert canvas is not None and probe is not None
        work = work._replace(
            rates=backend.arrays(work.rates), detector=backend.arrays(work.detector), to_host=True
        )
        running = []
        for tile, parts in self.tiling.parts(numbers, size):
            counts, called = self._of(tile)
            rows = [called[np.searchsorted(tile.frames, part)] for part in parts]
            known = [beside(part, size, tile.low) for part in parts]
            task = Task(canvas[self._window(tile)], probe, rows, known, work)
            running.append((tile, parts, self._submit(slopes_of_tile, task, counts)))
        total = step.Slopes(*map(np.array, backend.arrays(step.no_slopes(state))))
        told: list[tuple[np.ndarray, step.Seen]] = []
        while running:
            tile, parts, future = running.pop(0)
            found, seen = self._result(future, tile)
            where = self._window(tile)
            for name, whole, part in zip(total._fields, total, found, strict=True):
                here = where if name in ("object", "light") else ...
                whole[here] += part
            told += zip(parts, seen, strict=True)
        return backend.tensors(total), told

    def _of(self, tile: Tile) -> tuple[Any, np.ndarray]:
        """The counts of a tile as a future, and the number that each of its frames has in there."""
        counts, own = self.frames.visible, np.arange(len(tile.frames))
        in_memory = isinstance(counts.scan.counts, np.ndarray)
        if not in_memory and self._file is None:
            self._file = self._opened(counts.bare())
        if not in_memory and self.frames.streams:
            return self._file, tile.frames
        if tile.number not in self._there:
            source = (counts.of(tile.frames), own) if in_memory else (self._file, tile.frames)
            self._there[tile.number] = self._submit(brought, *source)
        return self._there[tile.number], own

    def _opened(self, counts: Counts) -> Any:
        try:
            return self._submit(as_it_is, counts)
        except TypeError as error:
            raise ClusterError(
                "the frames cannot be opened by another process",
                where=counts.scan.name,
                expected="an array, a dataset of a file open for reading, or a scan of open_scan",
                got=type(counts.scan.counts).__name__,
                fix="ptycho.data.open_scan(path), or scan.counts[...] in memory",
            ) from error

    def _submit(self, function: Callable[..., Any], *arguments: Any) -> Any:
        import dask

        with dask.config.set({"distributed.admin.large-graph-warning-threshold": LARGE_MESSAGE}):
            return self.client.submit(function, *arguments, pure=False)

    def _window(self, tile: Tile) -> tuple[Any, ...]:
        return (..., *(slice(a, a + n) for a, n in zip(tile.low, self.tiling.shape, strict=True)))

    def _result(self, future: Any, tile: Tile) -> Any:
        from distributed import KilledWorker

        where = f"tile {tile.number + 1} of {len(self.tiling.tiles)}, {len(tile.frames)} frames"
        on = "; --resume goes on from the last checkpoint"
        try:
            return future.result()
        except KilledWorker as error:
            raise ClusterError(
                "the workers that took a tile died, one after the other",
                where=where,
                expected="at most three deaths in one task",
                got=" ".join(str(error).split()),
                fix=f"give workers more memory, or take smaller windows (--set tile_px=…){on}",
            ) from error
        except CancelledError as error:
            raise ClusterError(
                "the scheduler is gone",
                where=where,
                got=" ".join(str(error).split()),
                fix=f"start it again{on}",
            ) from error
        except ModuleNotFoundError as error:
            raise ClusterError(
                "a worker lacks what this process has",
                where=where,
                expected="the same environment (docs/cluster.md)",
                got=str(error),
                fix="pip install 'ptycho[cpu,cluster]' where the workers run",
            ) from error


def as_it_is(counts: Counts) -> Counts:
    """On a worker: what reads the counts from their file."""
    return counts


def brought(counts: Counts, numbers: np.ndarray) -> np.ndarray:
    """On a worker: the counts of the frames of these numbers, (frames, N, N)."""
    return counts.training(numbers)


def slopes_of_tile(task: Task, counts: Counts | np.ndarray) -> tuple[step.Slopes, list[step.Seen]]:
    """On a worker: the summed slopes of the frames of a tile, and what was seen of each part.

    One part at a time: Dask runs as many tasks side by side as a worker has threads.
    """
    canvas, probe = backend.tensors((task.object, task.probe))
    state = step.State(canvas, ops.zeros_like(canvas), probe, ops.zeros_like(probe))
    work = task.work._replace(
        rates=backend.tensors(task.work.rates), detector=backend.tensors(task.work.detector)
    )

    def batch_of(number: int) -> step.Batch:
        rows, part = task.rows[number], task.parts[number]
        seen = counts[rows] if isinstance(counts, np.ndarray) else counts.training(rows)
        return backend.tensors(part._replace(counts=summing.padded(seen, len(part.dose))))

    every = list(range(len(task.parts)))
    found, told = summing.slopes_of(state, every, batch_of, work, lanes=1)
    return backend.arrays(found), [seen for _, seen in told]
