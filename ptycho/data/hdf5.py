"""HDF5 as a source of frames: read-only, a block at a time, never outside the file.

Every path is followed link by link, so that raw external storage, an external link without the
caller's word, or one or a virtual dataset that points out of the folder is an error and not a
silent read (or fill value). A file that is being written is read as far as it is there. Nothing is
unpickled: attributes and datasets are plain numbers and strings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401  (registers the filters of detector files)
import numpy as np

from ptycho.data import physical
from ptycho.data.atomic import whole_file
from ptycho.data.busy import being_written
from ptycho.data.limits import SMALL_BYTES, require_small
from ptycho.errors import (
    DamagedFileError,
    LinkError,
    MissingKeyError,
    ShapeError,
    TooLargeError,
    WrongTypeError,
)

KEPT = "duplicate_positions_kept"
CACHE_BYTES = 64 << 20
FOLLOW = "--follow-links takes data from files in the same folder, if you trust them"
ONE_FILE = "h5repack or h5copy the linked data into one file"
MAGIC = b"\x89HDF\r\n\x1a\n"


class ScanFile(h5py.File):
    """An HDF5 file with what its reader was told of it.

    Attributes:
        follow_links: external links to files of the same folder are followed.
        being_written: another program writes it now; what is there is read.
        beside: files that links led to, open as long as this one.
    """

    follow_links = False
    being_written = False
    beside: dict[Path, ScanFile]


@contextmanager
def opened(path: Path, *, follow_links: bool = False) -> Iterator[ScanFile]:
    """The file, read-only; closed in any case, with those that links led to.

    Raises:
        DamagedFileError: the file cannot be opened or a dataset cannot be decoded.
        BusyFileError: another program writes it now, and what is there makes no sense yet.
    """
    file = _open(path, follow_links)
    try:
        with file:
            yield file
    except (OSError, RuntimeError) as error:
        raise (
            being_written(path, error) if file.being_written else _damaged(path, error)
        ) from error
    except (MissingKeyError, ShapeError, WrongTypeError) as error:
        if file.being_written:
            raise being_written(path, f"{error.what} ({error.where})") from error
        raise
    finally:
        for other in file.beside.values():
            other.close()


def also(file: ScanFile, path: Path) -> ScanFile:
    """Another file that belongs to `file` and is closed with it."""
    if path not in file.beside:
        other = file.beside[path] = _open(path, file.follow_links)
        other.beside = file.beside
        file.being_written = file.being_written or other.being_written
    return file.beside[path]


def _open(path: Path, follow_links: bool) -> ScanFile:
    """Read-only; while another program writes, as far as HDF5 lets a reader in (SWMR, no lock)."""
    try:
        return _ready(ScanFile(path, "r", rdcc_nbytes=CACHE_BYTES), follow_links)
    except (OSError, RuntimeError) as error:
        # The third is said where this process has the file open in one of the ways below.
        if not any(words in str(error) for words in ("lock file", "open for write", "flag values")):
            raise _damaged(path, error) from error
        first = error
    ways: tuple[dict[str, Any], ...] = ({"libver": "latest", "swmr": True}, {"locking": False})
    for way in ways:
        try:
            file = _ready(ScanFile(path, "r", rdcc_nbytes=CACHE_BYTES, **way), follow_links)
        except (OSError, RuntimeError):
            continue
        file.being_written = True
        return file
    raise being_written(path, first)


def _ready(file: ScanFile, follow_links: bool) -> ScanFile:
    file.follow_links, file.beside = follow_links, {}
    return file


def _damaged(path: Path, error: object) -> DamagedFileError:
    return DamagedFileError(
        "the HDF5 file is damaged or incomplete",
        where=path,
        expected="a complete HDF5 file",
        got=error,
        fix="copy or write the file again; `h5ls` shows how far it can be read",
    )


def find(file: h5py.File, path: str, *, beside: bool = False) -> Any:
    """The object at `path`, or None. Soft links are followed inside the file.

    Args:
        file: opened by `opened`, or any other (then no external link is followed).
        path: from the root.
        beside: take a linked file from the folder of this one, whatever folder the link names.

    Raises:
        LinkError: the path leads out of the file, and `follow_links` was not said; or out of its
            folder.
    """
    place: Any = file
    walked, parts, hops = "", [part for part in path.split("/") if part], 0
    while parts:
        part = parts.pop(0)
        if not isinstance(place, h5py.Group):
            return None
        link = place.get(part, getlink=True)
        if link is None:
            return None
        if isinstance(link, h5py.SoftLink | h5py.ExternalLink):
            hops += 1
            if hops > 32:
                return None
            if isinstance(link, h5py.ExternalLink):
                place = _linked(file, f"{walked}/{part}", link, beside)
                target, walked = link.path, ""
            elif link.path.startswith("/"):
                target = link.path
            else:
                target = f"{walked}/{link.path}"
            parts = [piece for piece in target.split("/") if piece] + parts
            place, walked = place.file, ""
            continue
        place, walked = place[part], f"{walked}/{part}"
    if isinstance(place, h5py.Dataset):
        _stays_inside(file, place)
    return place


def _linked(file: h5py.File, name: str, link: h5py.ExternalLink, beside: bool) -> ScanFile:
    """The file of an external link, if it may be opened: it lies in the folder of this one."""
    if not isinstance(file, ScanFile):
        raise _leaves(file, name, f"{link.filename}:{link.path}")
    folder = Path(file.filename).resolve().parent
    target = folder / (Path(link.filename).name if beside else link.filename)
    if not beside and not file.follow_links:
        raise _leaves(file, name, f"{link.filename}:{link.path}")
    if target.resolve().parent != folder or not target.name:
        raise LinkError(
            "a link leads out of the folder of the file",
            where=f"{file.filename}:{name}",
            expected=f"a file in {folder}",
            got=link.filename,
            fix="copy that file beside this one and let the link name it without a folder",
        )
    target = target.resolve()
    if not target.is_file():
        raise LinkError(
            "the file of a link is not beside this one",
            where=f"{file.filename}:{name}",
            expected=target,
            got="no such file",
            fix="copy it into the same folder",
        )
    return also(file, target)


def _stays_inside(file: h5py.File, dataset: h5py.Dataset) -> None:
    if dataset.external:
        raise _leaves(file, dataset.name, dataset.external[0][0], ONE_FILE)
    if not dataset.is_virtual:
        return
    folder = Path(dataset.file.filename).resolve().parent
    for source in dataset.virtual_sources():
        if source.file_name == ".":
            continue
        target = (folder / source.file_name).resolve()
        if target.parent != folder:
            raise _leaves(file, dataset.name, source.file_name, ONE_FILE)
        if not target.is_file():
            raise LinkError(
                "the frames are in another file, which is not beside this one",
                where=f"{file.filename}:{dataset.name}",
                expected=target,
                got="no such file; HDF5 would return fill values",
                fix="copy the data file into the same folder",
            )


def _leaves(file: h5py.File, name: str, target: object, fix: str = FOLLOW) -> LinkError:
    return LinkError(
        "a link leads out of the file",
        where=f"{file.filename}:{name}",
        expected="data inside the file",
        got=target,
        fix=fix,
    )


def first(file: h5py.File, paths: Sequence[str], *, beside: bool = False) -> Any:
    """The first object that exists among `paths`, or None."""
    for path in paths:
        found = find(file, path, beside=beside)
        if found is not None:
            return found
    return None


def need(file: h5py.File, *paths: str, beside: bool = False) -> Any:
    """The first dataset among `paths`.

    Raises:
        MissingKeyError: none of them exists.
    """
    found = first(file, paths, beside=beside)
    if isinstance(found, h5py.Group):
        raise WrongTypeError(
            "a group stands where a dataset is expected",
            where=f"{file.filename}:{found.name}",
            expected="a dataset",
            got="a group",
        )
    if not isinstance(found, h5py.Dataset):
        raise MissingKeyError(
            "a dataset is missing", where=file.filename, expected=" or ".join(paths), got="none"
        )
    return found


def frame_stack(file: h5py.File, *paths: str, beside: bool = False) -> h5py.Dataset:
    """The first of `paths` as a stack of frames, (scan…, rows, cols) of real numbers.

    What one frame and one compressed chunk declare is looked at before anything is read.

    Raises:
        MissingKeyError: none of them exists. WrongTypeError: no real numbers.
        ShapeError: no stack of frames. TooLargeError: a frame or chunk above 1 GiB.
    """
    data = need(file, *paths, beside=beside)
    where = f"{file.filename}:{data.name}"
    if data.dtype.kind not in "iuf":
        raise WrongTypeError(
            "frames are no real numbers", where=where, expected="counts", got=data.dtype
        )
    if data.ndim < 3 or 0 in data.shape:
        raise ShapeError(
            "frames are no stack", where=where, expected="(scan, y, x)", got=data.shape
        )
    shapes = {"frame": data.shape[-2:], "chunk": data.chunks or (1,)}
    for name, shape in shapes.items():
        require_small(name, shape, data.dtype, where)
    return data


def array(dataset: h5py.Dataset, dtype: Any = np.float64) -> np.ndarray:
    """A small dataset as an array; its declared size is looked at before it is read."""
    if not isinstance(dataset, h5py.Dataset):
        raise WrongTypeError(
            "a group stands where a dataset is expected",
            where=f"{dataset.file.filename}:{dataset.name}",
            expected="a dataset",
            got=type(dataset).__name__,
        )
    size = float(np.prod(dataset.shape or (), dtype=np.float64)) * dataset.dtype.itemsize
    if size > SMALL_BYTES:
        raise TooLargeError(
            "a dataset that should be small declares a huge size",
            where=f"{dataset.file.filename}:{dataset.name}",
            expected=f"≤ {SMALL_BYTES} bytes",
            got=f"{dataset.shape} {dataset.dtype}, {size:.3g} bytes",
        )
    if dataset.dtype.kind not in "iufcb":
        raise WrongTypeError(
            "a dataset does not hold numbers",
            where=f"{dataset.file.filename}:{dataset.name}",
            expected=np.dtype(dtype),
            got=dataset.dtype,
        )
    if dataset.shape is None:
        raise WrongTypeError(
            "a dataset is empty", where=f"{dataset.file.filename}:{dataset.name}", got="H5S_NULL"
        )
    values = np.asarray(dataset[()])
    if values.dtype.kind == "c" and np.dtype(dtype).kind != "c":
        raise WrongTypeError(
            "complex numbers stand where real ones are expected",
            where=f"{dataset.file.filename}:{dataset.name}",
            expected=np.dtype(dtype),
            got=dataset.dtype,
        )
    if np.dtype(dtype).kind in "iu" and not np.isfinite(values).all():
        raise WrongTypeError(
            "whole numbers are expected, and some are NaN or infinite",
            where=f"{dataset.file.filename}:{dataset.name}",
            expected=np.dtype(dtype),
            got=f"{int((~np.isfinite(values)).sum())} of {values.size} values",
        )
    return values.astype(dtype)


def vectors(dataset: h5py.Dataset, *lengths: int) -> np.ndarray:
    """(M, length) float64: a list of vectors, or a raster of them, of one of these lengths."""
    values = array(dataset)
    if values.ndim < 2 or values.shape[-1] not in lengths:
        raise ShapeError(
            "positions are no list of vectors",
            where=f"{dataset.file.filename}:{dataset.name}",
            expected=" or ".join(f"(M, {length})" for length in lengths),
            got=values.shape,
        )
    return values.reshape(-1, values.shape[-1])


def number(dataset: h5py.Dataset) -> float:
    """One number, whether stored as a scalar or as an array of one."""
    values = array(dataset).ravel()
    if values.size != 1:
        raise WrongTypeError(
            "one number is expected",
            where=f"{dataset.file.filename}:{dataset.name}",
            got=f"shape {dataset.shape}",
        )
    return float(values[0])


def units(node: Any) -> str:
    """The units attribute of a dataset, or ''."""
    return text(node.attrs.get("units", node.attrs.get("unit")))


def length_m(dataset: h5py.Dataset) -> float:
    """One length in metres, by its units attribute (none: metres)."""
    return float(
        physical.metres(
            number(dataset), units(dataset), f"{dataset.file.filename}:{dataset.name}@units"
        )
    )


def lengths_m(dataset: h5py.Dataset, values: np.ndarray) -> np.ndarray:
    """`values` of `dataset` in metres, by its units attribute (none: metres)."""
    return physical.metres(values, units(dataset), f"{dataset.file.filename}:{dataset.name}@units")


def wavelength_m(dataset: h5py.Dataset) -> float:
    """The wavelength of a photon energy, by its units attribute (none: joules)."""
    where = f"{dataset.file.filename}:{dataset.name}"
    joule = physical.energy_j(number(dataset), units(dataset), f"{where}@units")
    return physical.wavelength_from_joule(joule, where)


def attribute(node: Any, name: str, default: float) -> float:
    """A number among the attributes of a file, group or dataset."""
    value = node.attrs.get(name)
    if value is None:
        return default
    array = np.asarray(value)
    if array.dtype.kind not in "iufb" or array.size != 1:
        raise WrongTypeError(
            "an attribute is no number",
            where=f"{node.file.filename}:{node.name}@{name}",
            expected="one number",
            got=repr(value)[:60],
        )
    return float(array.ravel()[0])


def text(value: Any) -> str:
    """An attribute or scalar dataset as text ('' for None)."""
    if isinstance(value, h5py.Dataset):
        small = value.shape is not None and value.size <= 1
        value = value[()] if small else None
    if isinstance(value, np.ndarray) and value.size and (value == value.flat[0]).all():
        value = value.flat[0]  # one, or the same for each axis
    if value is None or isinstance(value, h5py.Group):
        return ""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def note_duplicates(file: h5py.File, metadata: Mapping[str, Any]) -> None:
    """Write down that two frames at one position are meant."""
    if metadata.get(KEPT):
        file.attrs[f"ptycho_{KEPT}"] = True


def kept_duplicates(file: h5py.File) -> dict[str, Any]:
    """What `note_duplicates` wrote, as metadata."""
    return {KEPT: True} if file.attrs.get(f"ptycho_{KEPT}") else {}


def write_atomically(path: Path, write: Callable[[h5py.File], None]) -> Path:
    """Fill a temporary HDF5 file beside `path` and rename it: whole or not at all."""
    with whole_file(path) as temporary, h5py.File(temporary, "w") as file:
        write(file)
    return path
