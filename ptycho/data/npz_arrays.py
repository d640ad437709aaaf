"""The arrays of an NPZ file, plain or bzip2-compressed; sizes first, and never unpickled.

Each member's own header is compared with what the archive declares, and the sum with what the
file and the memory can justify, before any array is allocated.
"""

from __future__ import annotations

import json
import os
import pickletools
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ptycho.data import npz_archive
from ptycho.data.lazy_frames import LazyFrames
from ptycho.data.limits import require_allowed, require_small
from ptycho.data.npz_archive import Member, MemberFrames
from ptycho.errors import MissingKeyError, WrongTypeError

METADATA = "_metadata"
MAX_METADATA_BYTES = 1 << 20


def load_arrays(
    path: Path, stacks: Collection[str] = (), *, most_bytes: int | None = None
) -> dict[str, Any]:
    """All arrays of the file; `_metadata` of the earlier package comes as a text array.

    Args:
        path: the file.
        stacks: names of arrays with one image a frame; they stay in the file as a `Member` where
            memory need not hold them (`ptycho.frames.fits_in_memory`).
        most_bytes: that all entries may unpack to; None: what is likely, and memory takes.

    Raises:
        DamagedFileError: no complete archive. TooLargeError: more is declared than is read.
        WrongTypeError: an array of Python objects.
    """
    with npz_archive.readable(path):
        source = npz_archive.opened(path)
        stay: set[str] = set()
        try:
            with zipfile.ZipFile(source) as archive:
                declared = sum(entry.file_size for entry in archive.infolist())
                if most_bytes is not None and declared > most_bytes:
                    raise ValueError(f"unpacks to {declared} bytes, more than {most_bytes}")
                found = npz_archive.members(archive, source, path)
                _refuse_objects(found, path)
                large = {key for key in found if key in stacks and not found[key].fits_in_memory}
                small = [member.size_bytes for key, member in found.items() if key not in large]
                require_allowed(float(sum(small)), source.seek(0, os.SEEK_END), path)
                arrays = {
                    key: member if key in large else _in_memory(member, archive)
                    for key, member in found.items()
                }
                stay = large
                return arrays
        finally:
            if not stay:
                source.close()


def _refuse_objects(found: Mapping[str, Member], path: Path) -> None:
    for key, member in found.items():
        if member.dtype.hasobject and key != METADATA:
            raise WrongTypeError(
                f"the array {key!r} holds Python objects, which are never unpickled",
                where=f"{path}:{key}",
                expected="an array of numbers or text",
                got=member.dtype,
                fix=f"save {key!r} anew as numbers",
            )


def _in_memory(member: Member, archive: zipfile.ZipFile) -> np.ndarray:
    if member.dtype.hasobject:
        return np.array(_text_of_pickle(member.content(archive, MAX_METADATA_BYTES)))
    return member.read(archive)


def _text_of_pickle(data: bytes) -> str:
    """The JSON text inside a pickled array of one string, found by disassembly.

    `pickletools` lists the opcodes and runs none of them; the first string that is a JSON object
    is the metadata. Nothing found: an empty object.
    """
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if "UNICODE" in opcode.name and isinstance(argument, str) and argument[:1] == "{":
                json.loads(argument)
                return argument
    except ValueError:
        pass
    return "{}"


def need(arrays: Mapping[str, np.ndarray], path: Path, *keys: str) -> np.ndarray:
    """The first of `keys`, or a MissingKeyError that lists what the file has."""
    for key in keys:
        if key in arrays:
            return arrays[key]
    raise MissingKeyError(
        f"the key {keys[0]!r} is missing",
        where=path,
        expected=" or ".join(keys),
        got=", ".join(sorted(arrays)) or "no arrays",
    )


def numbers(array: np.ndarray, where: object, kinds: str = "iufb") -> np.ndarray:
    """`array` if its type is among `kinds`, or a WrongTypeError."""
    if array.dtype.kind not in kinds:
        raise WrongTypeError(
            "an array does not hold what it should",
            where=where,
            expected="complex numbers" if "c" in kinds else "real numbers",
            got=array.dtype,
        )
    return array


def frames(
    array: Any,
    where: object,
    shape: tuple[int, ...] | None = None,
    *,
    last: bool = False,
    corner: bool = False,
) -> Any:
    """(M, rows, cols) of an array, or a view of a `Member` that is read as it is used.

    Args:
        array: of `load_arrays`. where: for a person.
        shape: of its axes that count; None: all.
        last: the frames lie along the last axis.
        corner: the zero frequency lies in the corner, and is put into the centre.

    Raises:
        WrongTypeError: no real numbers. TooLargeError: a frame above 1 GiB.
    """
    shape = tuple(array.shape) if shape is None else shape
    numbers(array, where)
    if not isinstance(array, Member):
        found = array.reshape(shape)
        found = np.moveaxis(found, -1, 0) if last else found
        return np.fft.fftshift(found, axes=(-2, -1)) if corner else found
    if len(shape) != 3 or 0 in shape:
        return array  # whose shape the caller will refuse
    part = MemberFrames(array, shape, last, corner)
    require_small("frame", part.side, array.dtype, where)
    return LazyFrames((part,), part.side)


def json_object(array: np.ndarray | None, where: object) -> dict[str, Any]:
    """A JSON object from a text array; {} for None."""
    if array is None:
        return {}
    try:
        found = json.loads(str(array))
    except ValueError as error:
        raise WrongTypeError("metadata are no JSON", where=where, got=error) from error
    return found if isinstance(found, dict) else {"value": found}
