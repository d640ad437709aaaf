"""Which format a file has is decided by its bytes, never by its name."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from ptycho.data import cxi, hdf5, nexus, npz, ptychodus, ptyd, ptyr
from ptycho.errors import (
    MissingFileError,
    UnknownFormatError,
    UsageError,
)
from ptycho.scan import Scan

Measurement = Literal["counts", "amplitude", "intensity"]
Format = Literal["npz", "cxi", "ptychodus"]
WRITERS = {"npz": npz.write, "cxi": cxi.write, "ptychodus": ptychodus.write}


def open_scan(
    path: str | Path,
    *,
    measurement: Measurement | None = None,
    frames: str | Path | None = None,
) -> Scan:
    """Read a scan; frames of HDF5 files stay in the file and are read when they are used.

    Args:
        path: NPZ (also bzip2-compressed), CXI, NeXus NXcxi_ptycho, ptypy .ptyd, or a ptychodus
            product.
        measurement: what the numbers of the frames are, for a file that does not say:
            'counts' (photons), 'intensity' (the same, as float), 'amplitude' (square root).
        frames: a ptychodus diffraction file, for a product that has no frames.

    Raises:
        DataError: no such file, an unknown format, or content that cannot be a scan.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            head = stream.read(8)
    except OSError as error:
        raise MissingFileError(
            "the scan cannot be opened",
            where=path,
            got=error.strerror or error,
            fix="ls the folder and correct the name",
        ) from error
    if head == hdf5.MAGIC:
        return _open_hdf5(path, None if frames is None else Path(frames))
    if npz.recognises(head):
        return npz.read(path, measurement=measurement)
    raise UnknownFormatError(
        "the file has no format that is known",
        where=path,
        expected="NPZ (also bzip2-compressed), CXI, NeXus, ptyd or ptychodus HDF5",
        got=f"first bytes {head!r}",
    )


def _open_hdf5(path: Path, frames: Path | None) -> Scan:
    with hdf5.opened(path) as file:
        if nexus.recognises(file):
            return nexus.read(path, file)
        if ptychodus.recognises(file):
            return ptychodus.read(path, file, frames)
        if ptyd.recognises(file):
            return ptyd.read(path, file)
        if ptyr.recognises(file):
            raise ptyr.no_scan(path, file)
        if cxi.recognises(file):
            return cxi.read(path, file)
        found = ", ".join(list(file)[:12])
        is_result = hdf5.text(file.attrs.get("format")) == "ptycho-reconstruction"
    raise UnknownFormatError(
        "the file is a reconstruction, not a scan" if is_result else "no scan in this HDF5 file",
        where=path,
        expected="CXI, NeXus NXcxi_ptycho, ptypy .ptyd, or a ptychodus product",
        got=f"groups {found}",
    )


def save_scan(scan: Scan, path: str | Path, format: Format | None = None) -> Path:
    """Write a scan to a temporary file, then rename it: never half a file.

    Args:
        scan: what to write.
        path: where; folders are made.
        format: 'npz', 'cxi' or 'ptychodus'; None: by the name (.cxi, .h5/.hdf5, else NPZ).

    Raises:
        UsageError: an unknown format.
        UnitError: CXI and ptychodus need a geometry.
    """
    path = Path(path)
    by_name = {".cxi": "cxi", ".h5": "ptychodus", ".hdf5": "ptychodus"}
    chosen = format or by_name.get(path.suffix.lower(), "npz")
    if chosen not in WRITERS:
        raise UsageError("unknown format", where="format", expected=", ".join(WRITERS), got=chosen)
    path.parent.mkdir(parents=True, exist_ok=True)
    return WRITERS[chosen](scan, path)
