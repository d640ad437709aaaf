"""An array that waits in a file: for results of a pass that the next pass needs, but not at once.

A memory map would do, were its pages not counted as memory of the process (a limit on address
space, or a batch system, ends the job). Rows are read and written with plain file calls instead.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ptycho.frames.views import runs


class FileArray:
    """Rows in a file; `[numbers]` reads or writes the rows of these numbers.

    Args:
        path: a file to make.
        shape: of the array; all rows begin as 0.
        dtype: of the numbers.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: Any) -> None:
        self.shape, self.dtype = shape, np.dtype(dtype)
        self._row_bytes = int(np.prod(shape[1:])) * self.dtype.itemsize
        self._file = path.open("w+b", buffering=0)
        self._file.truncate(shape[0] * self._row_bytes)

    def __len__(self) -> int:
        return self.shape[0]

    def close(self) -> None:
        """Close the file; its owner removes it."""
        self._file.close()

    def __getitem__(self, key: Any) -> np.ndarray:
        numbers = np.arange(self.shape[0])[key]
        flat = np.atleast_1d(numbers)
        out = np.empty((len(flat), *self.shape[1:]), self.dtype)
        for begin, end in runs(flat):
            self._file.seek(int(flat[begin]) * self._row_bytes)
            view = out[begin:end].reshape(-1).view(np.uint8).data
            while view:
                got = self._file.readinto(view)
                if not got:
                    raise OSError(f"{self._file.name} ended early")
                view = view[got:]
        return out if np.ndim(numbers) else out[0]

    def __setitem__(self, key: Any, values: np.ndarray) -> None:
        flat = np.atleast_1d(np.arange(self.shape[0])[key])
        rows = np.ascontiguousarray(np.broadcast_to(values, (len(flat), *self.shape[1:])))
        rows = rows.astype(self.dtype, copy=False)
        for begin, end in runs(flat):
            self._file.seek(int(flat[begin]) * self._row_bytes)
            view = rows[begin:end].reshape(-1).view(np.uint8).data
            while view:
                view = view[self._file.write(view) :]
