"""Frames in an HDF5 file, for `LazyFrames`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from ptycho.data import hdf5


@dataclass(frozen=True)
class DatasetFrames:
    """One dataset with frames; see `ptycho.data.lazy_frames.Part`.

    The file is opened for each request, so that nothing stays open and the object can be sent
    to another process.

    Args:
        path: its file. name: of the dataset. count: frames in it; leading axes are flattened.
    """

    path: Path
    name: str
    count: int

    @property
    def dtype(self) -> np.dtype:
        """Of the stored numbers."""
        with hdf5.opened(self.path) as file:
            return np.dtype(hdf5.need(file, self.name).dtype)

    @contextmanager
    def opened(self) -> Iterator[Callable[[int, int], np.ndarray]]:
        """See `Part.opened`."""
        with hdf5.opened(self.path) as file:
            dataset = hdf5.need(file, self.name)
            yield lambda low, high: _rows(dataset, low, high)

    def there(self) -> int:
        """See `Part.there`."""
        with hdf5.opened(self.path) as file:
            return frames_there(hdf5.need(file, self.name))


def part_of(dataset: h5py.Dataset) -> DatasetFrames:
    """All frames of a dataset, wherever a link led to it."""
    path = Path(dataset.file.filename)
    return DatasetFrames(path, dataset.name, int(np.prod(dataset.shape[:-2])))


def frames_there(dataset: h5py.Dataset) -> int:
    """How many frames of a dataset that grows or fills are there: the first whose chunk is absent.

    Frames are written in order; where HDF5 keeps no chunks, all are taken.
    """
    count = int(dataset.shape[0])
    if dataset.chunks is None or dataset.ndim != 3:
        return count
    low, high, step = 0, -(-count // dataset.chunks[0]), dataset.chunks[0]
    while low < high:  # the first chunk that is absent lies in [low, high]
        middle = (low + high) // 2
        found = dataset.id.get_chunk_info_by_coord((middle * step, 0, 0))
        low, high = (low, middle) if found.byte_offset is None else (middle + 1, high)
    return min(count, low * step)


def _rows(dataset: h5py.Dataset, low: int, high: int) -> np.ndarray:
    """Frames low…high of a dataset whose axes before the last two are the scan."""
    if dataset.ndim == 3:
        return np.asarray(dataset[low:high])
    inner = int(np.prod(dataset.shape[1:-2]))
    first_row, last_row = low // inner, -(-high // inner)
    block = np.asarray(dataset[first_row:last_row]).reshape(-1, *dataset.shape[-2:])
    return block[low - first_row * inner : high - first_row * inner]
