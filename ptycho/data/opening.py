"""Which format a file has is decided by its bytes, never by its name."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields, replace
from pathlib import Path
from typing import Literal

import h5py
import numpy as np

from ptycho.data import busy, cxi, hdf5, nexus, npz, physical, ptychodus, ptyd, ptylab, ptyr
from ptycho.data.lazy_frames import LazyFrames
from ptycho.data.masks import read_mask
from ptycho.data.measurement import agreed
from ptycho.errors import (
    DamagedFileError,
    DuplicatePositionsError,
    MissingFileError,
    MissingKeyError,
    PositionsOutsideObjectError,
    PtychoError,
    UnknownFormatError,
    UsageError,
)
from ptycho.frames import Ways, clean_scan, fit, select
from ptycho.scan import Measured, Scan, check_shapes, require_stacks

Measurement = Literal["counts", "amplitude", "intensity"]
Format = Literal["npz", "cxi", "ptychodus"]
ACCEPTABLE = ("duplicate-positions", "integer-positions")
# What h5py and NumPy raise on content that no check of ours foresaw. AttributeError and
# AssertionError are not among them: those are mistakes of ours, and keep their traceback.
UNFORESEEN = (
    OSError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    RuntimeError,
    OverflowError,
    MemoryError,
)
WRITERS = {"npz": npz.write, "cxi": cxi.write, "ptychodus": ptychodus.write}


def open_scan(
    path: str | Path,
    *,
    measurement: Measurement | None = None,
    frames: str | Path | None = None,
    accept: Collection[str] = (),
    ways: Ways | None = None,
) -> Scan:
    """Read a scan; frames of HDF5 files stay in the file and are read when they are used.

    Args:
        path: NPZ (also bzip2-compressed), CXI, NeXus NXcxi_ptycho, ptypy .ptyd, or a ptychodus
            product.
        measurement: what the numbers of the frames are, for a file that does not say:
            'counts' (photons), 'intensity' (the same, as float), 'amplitude' (square root).
        frames: a ptychodus diffraction file, for a product that has no frames.
        accept: what is an error without the caller's word: 'duplicate-positions',
            'integer-positions'.
        ways: which frames and pixels are used and how they lie, and whether bad ones are masked
            and left out at once (`clean`); None: as they are, and the engines look themselves.

    Raises:
        DataError, ShapeError: no such file, an unknown format, or content that cannot be a
            scan; the class names the mistake (`docs/formats.md`).
    """
    path = Path(path)
    unknown = set(accept) - set(ACCEPTABLE)
    if unknown:
        raise UsageError(
            "nothing of this name can be accepted",
            where="accept",
            expected=", ".join(ACCEPTABLE),
            got=", ".join(sorted(unknown)),
        )
    agreed(None, measurement, "measurement")
    if frames is not None and not Path(frames).is_file():
        raise MissingFileError(
            "the file with the frames cannot be opened",
            where=f"{path}: --frames {frames}",
            expected="a file, or START:STOP:STEP for numbers of frames",
            got="a folder" if Path(frames).is_dir() else "no such file",
            fix="ls the folder and correct the name",
        )
    ways = ways or Ways()
    try:
        scan = _read(path, measurement, None if frames is None else Path(frames), accept, ways)
    except (DamagedFileError, UnknownFormatError, MissingKeyError) as error:
        raise _naming(busy.of_a_part(error, path, frames), path) from error
    except PtychoError as error:
        raise _naming(error, path) from error
    except UNFORESEEN as error:
        raise DamagedFileError(
            "the content of the file makes no sense",
            where=path,
            expected="a scan in one of the formats of docs/formats.md",
            got=f"{type(error).__name__}: {error}",
            fix="h5ls -r or numpy.load show what the file holds; please report it",
        ) from error
    try:
        return _finished(scan, path, ways, accept)
    except PtychoError as error:
        raise _naming(error, path) from error


def _finished(scan: Measured, path: Path, ways: Ways, accept: Collection[str]) -> Scan:
    """From what a file holds to a scan: selected, looked at, cut."""
    require_stacks(scan)
    notes = _changes(scan, ways)
    mask = None if ways.mask is None else read_mask(ways.mask)
    scan = select(scan, ways, mask)
    check_shapes(scan)
    metadata = dict(scan.metadata)
    if ways.clean is not None:
        scan = clean_scan(scan, ways.clean)
    scan = fit(scan, ways)
    if asked := ways.asked():
        metadata["ways"] = asked
    if notes:
        metadata["notes"] = [*metadata.get("notes", ()), *notes]
    values = {f.name: getattr(scan, f.name) for f in fields(Scan)} | {"metadata": metadata}
    found = Scan(**values)
    require_on_truth(found, path)
    if "duplicate-positions" not in accept and not found.metadata.get(hdf5.KEPT):
        require_distinct(found, path)
    return found


def _changes(scan: Measured, ways: Ways) -> list[str]:
    """What is done to frames and positions without having been asked for in so many words."""
    count, rows, cols = scan.counts.shape
    places, notes = len(scan.positions_px), []
    if count != places:
        notes.append(f"{count} frames and {places} positions, matched by --match {ways.match}")
    if rows != cols:
        notes.append(f"oblong frames ({rows} × {cols}): padded to squares, the rest masked")
    if max(rows, cols) % 2 and ways.crop is None and ways.bin == 1:
        notes.append("frames of odd side: the last row and column are left away")
    return notes


def _naming(error: PtychoError, path: Path) -> PtychoError:
    """The same error with the file, and a way out that exists."""
    named = path.name in str(error.where)
    if error.fix is not None and named:
        return error
    where = error.where if named else path if error.where is None else f"{path}: {error.where}"
    fix = error.fix or "correct the file; `ptycho inspect --help` lists what can be said beside it"
    return type(error)(error.what, where=where, expected=error.expected, got=error.got, fix=fix)


def _read(
    path: Path,
    measurement: str | None,
    frames: Path | None,
    accept: Collection[str],
    ways: Ways,
) -> Measured:
    if path.is_dir() or path.is_fifo() or path.is_socket():
        raise MissingFileError(
            "this is no scan file",
            where=path,
            expected="a file",
            got="a folder" if path.is_dir() else "a pipe",
        )
    try:
        with path.open("rb") as stream:
            head = stream.read(8)
    except (OSError, ValueError) as error:
        raise MissingFileError(
            "the scan cannot be opened",
            where=path,
            got=getattr(error, "strerror", None) or error,
            fix="ls the folder and correct the name",
        ) from error
    if head == hdf5.MAGIC or h5py.is_hdf5(path):  # a user block may come first
        return _open_hdf5(path, frames, measurement, ways.follow_links)
    if npz.recognises(head):
        return npz.read(
            path,
            measurement=measurement,
            accept=accept,
            frames=frames,
            follow_links=ways.follow_links,
        )
    raise UnknownFormatError(
        "the file is empty" if not head else "the file has no format that is known",
        where=path,
        expected="NPZ (also bzip2-compressed), CXI, NeXus, ptyd or ptychodus HDF5",
        got=f"first bytes {head!r}",
    )


def _open_hdf5(
    path: Path, frames: Path | None, measurement: str | None, follow_links: bool
) -> Measured:
    with hdf5.opened(path, follow_links=follow_links) as file:
        scan = _of_file(path, file, frames, measurement)
        return _what_is_there(scan) if file.being_written else scan


def _what_is_there(scan: Measured) -> Measured:
    """The frames of a growing file that are written and have a position; that is said.

    Raises:
        MissingKeyError: there is none yet.
    """
    placed = np.isfinite(scan.positions_px).all(axis=1)
    counts = scan.counts
    written = counts.written() if isinstance(counts, LazyFrames) else len(counts)
    found = min(written, len(placed))
    count = int(np.argmin([*placed[:found], False]))  # up to the first without a position
    if count == 0:
        raise MissingKeyError(
            "no frame with a position is there yet", where="frames", expected="1 or more", got=0
        )
    said = f"the file is being written now: the {count} frames that are there are read"
    metadata = {**scan.metadata, "notes": [*scan.metadata.get("notes", ()), said]}
    return replace(scan, **scan.rows_of(np.arange(count)), metadata=metadata)


def _of_file(
    path: Path, file: hdf5.ScanFile, frames: Path | None, measurement: str | None
) -> Measured:
    if nexus.recognises(file):
        return nexus.read(path, file, measurement)
    if ptychodus.recognises(file):
        return ptychodus.read(path, file, frames, measurement)
    if ptyd.recognises(file):
        return ptyd.read(path, file, measurement)
    if ptylab.recognises(file):
        return ptylab.read(path, file, measurement)
    if ptyr.recognises(file):
        return ptyr.read(path, file, frames, measurement)
    if cxi.recognises(file):
        return cxi.read(path, file, measurement, frames)
    found = ", ".join(list(file)[:12])
    is_result = hdf5.text(file.attrs.get("format")) == "ptycho-reconstruction"
    raise UnknownFormatError(
        "the file is a reconstruction, not a scan" if is_result else "no scan in this HDF5 file",
        where=path,
        expected="CXI, NeXus NXcxi_ptycho, ptypy .ptyd, or a ptychodus product",
        got=f"groups {found}",
    )


def require_distinct(scan: Scan, where: object) -> None:
    """Raise DuplicatePositionsError if two frames have the very same position."""
    places, first, counts = np.unique(
        scan.positions_px, axis=0, return_index=True, return_counts=True
    )
    if (counts > 1).any():
        worst = int(np.argmax(counts))
        raise DuplicatePositionsError(
            f"{int((counts - 1).sum())} frames repeat the position of another",
            where=f"{where}: first at frame {int(first[worst])}",
            expected="one position for each frame",
            got=f"{int(counts[worst])} frames at ({places[worst, 0]:.6g}, {places[worst, 1]:.6g})",
            fix="ptycho convert IN OUT --accept duplicate-positions, if they were so measured",
        )


def require_on_truth(scan: Scan, where: object) -> None:
    """Raise PositionsOutsideObjectError if a patch has its centre beside the scan's object."""
    if scan.truth is None:
        return
    local = scan.positions_px - np.array(scan.truth.origin_px)
    outside = ((local < 0) | (local > np.array(scan.truth.object.shape))).any(axis=1)
    if outside.any():
        row = int(outside.argmax())
        raise PositionsOutsideObjectError(
            f"{int(outside.sum())} positions lie outside the object that comes with them",
            where=f"{where}: frame {row}",
            expected=f"within an object of {scan.truth.object.shape} px "
            f"from {scan.truth.origin_px}",
            got=f"({scan.positions_px[row, 0]:.6g}, {scan.positions_px[row, 1]:.6g})",
            fix="check axis order and units of the positions, or remove the object",
        )


def require_format(path: Path, format: str | None = None, *, has_geometry: bool) -> str:
    """The format that a scan is written in; the errors of `save_scan`, before there is a scan."""
    by_name = {".npz": "npz", ".cxi": "cxi", ".h5": "ptychodus", ".hdf5": "ptychodus"}
    ending = path.suffix.lower()
    chosen = format or by_name.get(ending, "npz")
    if format is None and ending not in ("", *by_name):
        raise UsageError(
            f"no {ending} file is written",
            where=path,
            expected=f"a name that ends in {', '.join(by_name)}",
            got=ending,
            fix=f"for example {path.with_suffix('.npz').name}",
        )
    if chosen not in WRITERS:
        raise UsageError("unknown format", where="format", expected=", ".join(WRITERS), got=chosen)
    if chosen != "npz" and not has_geometry:
        raise physical.no_geometry(chosen.upper() if chosen == "cxi" else chosen, path, "write NPZ")
    return chosen


def save_scan(scan: Scan, path: str | Path, format: Format | None = None) -> Path:
    """Write a scan to a temporary file, then rename it: never half a file.

    Args:
        scan: what to write.
        path: where; folders are made.
        format: 'npz', 'cxi' or 'ptychodus'; None: by the name (.npz or none, .cxi, .h5/.hdf5).

    Raises:
        UsageError: an unknown format, or a name with another ending.
        UnitError: CXI and ptychodus need a geometry.
    """
    path = Path(path)
    chosen = require_format(path, format, has_geometry=scan.geometry is not None)
    path.parent.mkdir(parents=True, exist_ok=True)
    if len(np.unique(scan.positions_px, axis=0)) < scan.n_frames:
        scan = replace(scan, metadata={**scan.metadata, hdf5.KEPT: True})
    return WRITERS[chosen](scan, path)
