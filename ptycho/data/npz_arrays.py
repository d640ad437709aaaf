"""The arrays of an NPZ file, plain or bzip2-compressed; sizes first, and never unpickled.

Each member's own header is compared with what the archive declares, and the sum with what the
file and the memory can justify, before any array is allocated.
"""

from __future__ import annotations

import bz2
import io
import json
import math
import pickletools
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ptycho.data.limits import allowed_bytes, require_allowed
from ptycho.errors import DamagedFileError, MissingKeyError, WrongTypeError

ZIP, BZIP2 = b"PK\x03\x04", b"BZh"
METADATA = "_metadata"
MAX_METADATA_BYTES = 1 << 20
BAD_FILE = (
    OSError,
    EOFError,
    MemoryError,
    zlib.error,
    ValueError,
    KeyError,
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
    SyntaxError,
    TypeError,
)


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of the file; `_metadata` of the earlier package comes as a text array.

    Raises:
        DamagedFileError: no complete archive. TooLargeError: more is declared than is read.
        WrongTypeError: an array of Python objects.
    """
    try:
        with path.open("rb") as stream:
            source: Any = stream
            if stream.read(3) == BZIP2:
                stream.seek(0)
                source = _unbzip(stream, path)
            source.seek(0)
            with zipfile.ZipFile(source) as archive:
                return _members(archive, path)
    except BAD_FILE as error:
        raise DamagedFileError(
            "the NPZ file cannot be read",
            where=path,
            expected="a complete NPZ archive",
            got=f"{type(error).__name__}: {error}",
            fix="copy the file again, or write it again with np.savez",
        ) from error


def _unbzip(stream: BinaryIO, path: Path) -> BinaryIO:
    """Decompress in bounded memory."""
    size = path.stat().st_size
    limit = allowed_bytes(size) // 2  # the arrays come on top
    with bz2.open(stream) as plain:
        content = plain.read(limit + 1)
    if len(content) > limit:
        require_allowed(math.inf, size, path)
    return io.BytesIO(content)


def _members(archive: zipfile.ZipFile, path: Path) -> dict[str, np.ndarray]:
    entries = [entry for entry in archive.infolist() if entry.filename.endswith(".npy")]
    source = archive.fp
    assert source is not None
    size = source.seek(0, io.SEEK_END)
    require_allowed(float(sum(entry.file_size for entry in entries)), size, path)
    arrays: dict[str, np.ndarray] = {}
    for entry in entries:
        key = entry.filename.removesuffix(".npy")
        with archive.open(entry) as member:
            shape, fortran, dtype = _header(member)
            if dtype.hasobject:
                if key != METADATA:
                    raise WrongTypeError(
                        f"the array {key!r} holds Python objects, which are never unpickled",
                        where=f"{path}:{key}",
                        expected="an array of numbers or text",
                        got=dtype,
                        fix=f"save {key!r} anew as numbers",
                    )
                arrays[key] = np.array(_text_of_pickle(member.read(MAX_METADATA_BYTES)))
                continue
            declared = math.prod(shape) * dtype.itemsize
            if declared != entry.file_size - member.tell():
                raise ValueError(
                    f"{key}: header says {shape} {dtype}, the archive {entry.file_size} bytes"
                )
            values = np.empty(math.prod(shape), dtype)
            _fill(member, values)
            arrays[key] = values.reshape(shape[::-1]).T if fortran else values.reshape(shape)
    return arrays


def _header(member: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(member)
    read = np.lib.format.read_array_header_1_0
    if version != (1, 0):
        read = np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(member)
    if any(side < 0 for side in shape):
        raise ValueError(f"negative shape {shape}")
    return shape, fortran, dtype


def _fill(member: Any, values: np.ndarray) -> None:
    view: memoryview = memoryview(values.view(np.uint8).data) if values.size else memoryview(b"")
    while view:
        got = member.readinto(view[: 16 << 20])
        if not got:
            raise EOFError("the data end early")
        view = view[got:]


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


def json_object(array: np.ndarray | None, where: object) -> dict[str, Any]:
    """A JSON object from a text array; {} for None."""
    if array is None:
        return {}
    try:
        found = json.loads(str(array))
    except ValueError as error:
        raise WrongTypeError("metadata are no JSON", where=where, got=error) from error
    return found if isinstance(found, dict) else {"value": found}
