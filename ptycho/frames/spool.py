"""An array that lies in a file: what a pass leaves for the next one, or frames of an archive.

A memory map would do, were its pages not counted as memory of the process (a limit on address
space, or a batch system, ends the job). Rows are read and written with plain file calls instead.
"""

from __future__ import annotations

import math
import os
from io import FileIO
from pathlib import Path
from typing import IO, Any

import numpy as np

from ptycho.frames.views import runs


class FileArray:
    """Rows in a file; `[numbers]` reads or writes the rows of these numbers.

    Each call says where in the file it reads or writes, so that threads do not disturb one another.

    Args:
        file: a path, where a file is made whose rows are all 0; or an open file, which is taken as
            it is and whose owner closes it.
        shape: of the array.
        dtype: of the numbers.
        start: byte of an open file at which the first row begins.
    """

    def __init__(
        self, file: Path | IO[bytes] | FileIO, shape: tuple[int, ...], dtype: Any, start: int = 0
    ) -> None:
        self.shape, self.dtype, self._start = shape, np.dtype(dtype), start
        self._row_bytes = math.prod(shape[1:]) * self.dtype.itemsize
        if isinstance(file, Path):
            file = file.open("w+b", buffering=0)
            file.truncate(shape[0] * self._row_bytes)
        self._file: IO[bytes] | FileIO = file

    def __len__(self) -> int:
        return self.shape[0]

    def close(self) -> None:
        """Close the file; its owner removes it."""
        self._file.close()

    def __getitem__(self, key: Any) -> np.ndarray:
        numbers = self._numbers(key)
        flat = np.atleast_1d(numbers)
        out = np.empty((len(flat), *self.shape[1:]), self.dtype)
        for begin, end in runs(flat):
            place = self._start + int(flat[begin]) * self._row_bytes
            view = out[begin:end].reshape(-1).view(np.uint8).data
            while view:
                got = os.preadv(self._file.fileno(), [view], place)
                if not got:
                    raise OSError(f"{self._file.name} ended early")
                view, place = view[got:], place + got
        return out if np.ndim(numbers) else out[0]

    def __setitem__(self, key: Any, values: np.ndarray) -> None:
        flat = np.atleast_1d(self._numbers(key))
        rows = np.ascontiguousarray(np.broadcast_to(values, (len(flat), *self.shape[1:])))
        rows = rows.astype(self.dtype, copy=False)
        for begin, end in runs(flat):
            self._write(rows[begin:end], int(flat[begin]) * self._row_bytes)

    def write_columns(self, low: int, values: np.ndarray) -> None:
        """Columns low… of all rows of a table: `values` is (len(self), columns)."""
        rows = np.ascontiguousarray(values, self.dtype)
        for number, row in enumerate(rows):
            self._write(row, number * self._row_bytes + low * self.dtype.itemsize)

    def _numbers(self, key: Any) -> Any:
        if isinstance(key, slice):
            return np.arange(*key.indices(self.shape[0]))
        return np.arange(self.shape[0])[key]

    def _write(self, values: np.ndarray, place: int) -> None:
        view, place = values.reshape(-1).view(np.uint8).data, place + self._start
        while view:
            put = os.pwrite(self._file.fileno(), view, place)
            view, place = view[put:], place + put
