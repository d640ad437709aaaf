"""Which format a file has is decided by its bytes, never by its name."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from ptycho.data import npz
from ptycho.errors import DataError
from ptycho.scan import Scan

Measurement = Literal["counts", "amplitude", "intensity"]


def open_scan(path: str | Path, *, measurement: Measurement | None = None) -> Scan:
    """Read a scan.

    Args:
        path: a file in a format that this version reads (NPZ, also bzip2-compressed).
        measurement: what the numbers of the frames are, for a file that does not say:
            'counts' (photons), 'intensity' (the same, as float), 'amplitude' (square root).

    Raises:
        DataError: no such file, an unknown format, or content that cannot be a scan.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            head = stream.read(8)
    except OSError as error:
        raise DataError(
            "the scan cannot be opened",
            where=path,
            got=error.strerror or error,
            fix="ls the folder and correct the name",
        ) from error
    if npz.recognises(head):
        return npz.read(path, measurement=measurement)
    raise DataError(
        "the file has no format that is known",
        where=path,
        expected="NPZ, or NPZ compressed with bzip2",
        got=f"first bytes {head!r}",
    )


def save_scan(scan: Scan, path: str | Path) -> Path:
    """Write a scan as NPZ: to a temporary file first, then renamed, never half a file."""
    return npz.write(scan, Path(path))
