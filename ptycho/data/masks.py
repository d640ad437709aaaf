"""A mask in a file of its own: NPY, NPZ, HDF5 or a picture; True (or nonzero) = valid."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ptycho.data import hdf5, npz, npz_archive, npz_arrays, physical
from ptycho.errors import (
    DamagedFileError,
    MissingFileError,
    MissingKeyError,
    ShapeError,
    UnknownFormatError,
    WrongTypeError,
)

NAMES = ("mask", "pixel_mask", "valid", "good")
BAD_NAMES = ("pixel_mask", "bad_pixels")  # 0 = good, as CXI, NeXus and ptychodus store it


def read_mask(path: str | Path) -> np.ndarray:
    """(rows, cols) bool, True = valid.

    Args:
        path: NPY or NPZ (`mask`), a picture (nonzero = valid), or HDF5 as FILE or FILE:/DATASET.
            A dataset named `pixel_mask` or `bad_pixels`, or in a CXI file, marks bad pixels.

    Raises:
        MissingFileError, MissingKeyError, UnknownFormatError, ShapeError.
    """
    name, _, key = str(path).partition(":")
    file = Path(name)
    if not file.is_file():
        raise MissingFileError(
            "the mask cannot be opened", where=file, expected="a file", got="none"
        )
    with file.open("rb") as stream:
        head = stream.read(8)
    if head == hdf5.MAGIC:
        mask = _from_hdf5(file, key)
    elif head.startswith(b"\x93NUMPY"):
        try:
            mask = np.load(file, allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            raise _damaged(path, error) from error
    elif head.startswith(npz_archive.ZIP):
        arrays = npz_arrays.load_arrays(file, npz.STACKS)  # beside frames, perhaps
        chosen = next((n for n in (key, *NAMES) if n in arrays), None)
        if chosen is None:
            raise MissingKeyError(
                "the file has no mask",
                where=file,
                expected=" or ".join(NAMES),
                got=", ".join(arrays),
            )
        mask = arrays[chosen]
    elif head.startswith((b"\x89PNG", b"II*", b"MM\0*")):
        from skimage.io import imread

        try:
            mask = imread(file)
        except Exception as error:  # its plugins raise what they like
            raise _damaged(path, error) from error
    else:
        raise UnknownFormatError(
            "the mask has no format that is known",
            where=file,
            expected="NPY, NPZ, HDF5 (FILE:/DATASET), PNG or TIFF",
            got=f"first bytes {head!r}",
        )
    mask = np.asarray(mask)
    if mask.dtype.kind not in "biuf" or not np.isfinite(mask).all():
        wrong = mask.dtype if mask.dtype.kind not in "biuf" else "NaN or infinity"
        raise WrongTypeError(
            "a mask holds true and false, or whole numbers",
            where=path,
            expected="bool, or numbers of which 0 is not valid",
            got=wrong,
            fix="numpy.save('mask.npy', good.astype(bool))",
        )
    if mask.ndim != 2:
        raise ShapeError("a mask is one image", where=path, expected="(rows, cols)", got=mask.shape)
    return mask != 0


def _damaged(path: str | Path, error: Exception) -> DamagedFileError:
    return DamagedFileError(
        "the mask cannot be read",
        where=path,
        expected="NPY, NPZ, HDF5 (FILE:/DATASET), PNG or TIFF, without pickles",
        got=str(error).splitlines()[0],
        fix="numpy.save('mask.npy', good.astype(bool))",
    )


def _from_hdf5(file: Path, key: str) -> np.ndarray:
    with hdf5.opened(file) as opened:
        cxi = ("entry_1/instrument_1/detector_1/mask", "entry/instrument/detector/pixel_mask")
        found = hdf5.need(opened, *((key,) if key else (*NAMES, *BAD_NAMES, *cxi)))
        values = hdf5.array(found, np.uint32)
        marks_bad = found.name.rsplit("/", 1)[-1] in BAD_NAMES or found.name.lstrip("/") in cxi
        return physical.cxi_good(values) if marks_bad else values != 0
