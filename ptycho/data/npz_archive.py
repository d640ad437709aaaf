"""An NPZ archive, plain or bzip2-compressed, and its arrays one by one; never unpickled.

Frames that memory need not hold stay in the file. A stored array is read where it lies. A
compressed one cannot be read at random, and one whose frames do not lie one after the other not
in reasonable time: they are unpacked once, a piece at a time, into a temporary file without a
name, of which nothing remains however the process ends (`TMPDIR` says in which folder). Either
way all of it is read once before the first frame is given out: that is when the archive's
checksum is compared.
"""

from __future__ import annotations

import bz2
import io
import lzma
import math
import os
import struct
import tempfile
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import numpy as np

from ptycho.data.limits import likely_bytes, require_likely, require_room
from ptycho.errors import DamagedFileError, PtychoError
from ptycho.frames import FileArray, block_bytes, fits_in_memory

ZIP, BZIP2 = b"PK\x03\x04", b"BZh"
SUFFIX = ".npy"
HEAD_BYTES = 1 << 14  # NumPy refuses headers above 10 000 bytes
LOCAL_HEADER = struct.Struct("<26xHH")  # of a zip entry: the lengths of its name and extra field
BAD_FILE = (
    OSError,
    EOFError,
    MemoryError,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    tokenize.TokenError,  # NumPy, of a header that ends early
    ValueError,
    KeyError,
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
    SyntaxError,
    TypeError,
)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """What reading an archive raises, as a DamagedFileError with its path."""
    try:
        yield
    except PtychoError:
        raise
    except BAD_FILE as error:
        raise DamagedFileError(
            "the NPZ file cannot be read",
            where=path,
            expected="a complete NPZ archive",
            got=f"{type(error).__name__}: {error}",
            fix="copy the file again, or write it again with np.savez",
        ) from error


class Held(io.FileIO):
    """An open file that closes when nobody holds it any more."""

    def __del__(self) -> None:
        self.close()


def opened(path: Path) -> Held:
    """The archive as an open file: of bzip2, what it holds, in a temporary file."""
    source = Held(path, "r")
    if source.read(3) != BZIP2:
        return source
    with source:
        source.seek(0)
        return _unbzip(source, path)


def _unbzip(stream: Held, path: Path) -> Held:
    size = path.stat().st_size
    limit, total = likely_bytes(size) // 2, 0  # the arrays in it may be compressed again
    spool = _temporary()
    with bz2.open(stream) as plain:
        while piece := plain.read(block_bytes()):
            total += len(piece)
            require_likely(total if total <= limit else math.inf, size, path)
            require_room(len(piece), path)
            while piece:
                piece = piece[spool.write(piece) :]
    return spool


def _temporary() -> Held:
    """A file without a name."""
    with tempfile.TemporaryFile(prefix="ptycho-") as made:
        return Held(os.dup(made.fileno()), "r+")


def members(archive: zipfile.ZipFile, source: Held, path: Path) -> dict[str, Member]:
    """The arrays of an open archive by name; each header is compared with the archive's word.

    Raises:
        TooLargeError: the archive declares more than is likely. ValueError: two arrays of a name.
    """
    entries = [entry for entry in archive.infolist() if entry.filename.endswith(SUFFIX)]
    size = source.seek(0, io.SEEK_END)
    require_likely(float(sum(entry.file_size for entry in entries)), size, path)
    found: dict[str, Member] = {}
    for entry in entries:
        name = entry.filename.removesuffix(SUFFIX)
        if name in found:
            raise ValueError(f"two arrays are named {name!r}")
        found[name] = Member.of(archive, source, path, entry)
    return found


def member(path: Path, name: str) -> Member:
    """One array of an archive, in whatever process."""
    with readable(path):
        source = opened(path)
        with zipfile.ZipFile(source) as archive:
            return members(archive, source, path)[name]


class Member:
    """One array of an archive, which is open as long as there is one of its members.

    Args:
        path: the archive, for a person. name: of the array. source: the archive, open.
        entry: what the archive says of it. start: bytes of the array's own header.
        shape, fortran, dtype: what that header says.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        source: Held,
        entry: zipfile.ZipInfo,
        start: int,
        shape: tuple[int, ...],
        fortran: bool,
        dtype: np.dtype,
    ) -> None:
        self.path, self.name, self.shape, self.dtype = path, name, shape, dtype
        self.fortran = fortran
        self._source, self._entry, self._start = source, entry, start

    @classmethod
    def of(
        cls, archive: zipfile.ZipFile, source: Held, path: Path, entry: zipfile.ZipInfo
    ) -> Member:
        """The array of this entry.

        Raises:
            ValueError: its header is none, or says another size than the archive.
        """
        with archive.open(entry) as stream:
            head = io.BytesIO(stream.read(HEAD_BYTES))
        version = np.lib.format.read_magic(head)
        read = np.lib.format.read_array_header_1_0
        if version != (1, 0):
            read = np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(head)
        if any(side < 0 for side in shape):
            raise ValueError(f"negative shape {shape}")
        name, start = entry.filename.removesuffix(SUFFIX), head.tell()
        declared = math.prod(shape) * dtype.itemsize
        if not dtype.hasobject and declared != entry.file_size - start:
            raise ValueError(
                f"{name}: header says {shape} {dtype}, the archive {entry.file_size} bytes"
            )
        return cls(path, name, source, entry, start, shape, fortran, dtype)

    def __len__(self) -> int:
        return self.shape[0]

    def __reduce__(self) -> tuple[Any, ...]:
        return member, (self.path, self.name)

    @property
    def ndim(self) -> int:
        """Axes."""
        return len(self.shape)

    @property
    def size_bytes(self) -> int:
        """What the archive says that it holds, the header included."""
        return self._entry.file_size

    @property
    def fits_in_memory(self) -> bool:
        """Whether float32 numbers of this shape do; see `ptycho.frames.fits_in_memory`."""
        return fits_in_memory(math.prod(self.shape), 1)

    def content(self, archive: zipfile.ZipFile, limit: int = -1) -> bytes:
        """What follows the header, at most `limit` bytes of it."""
        with self._after_header(archive) as stream:
            return stream.read(limit)

    def read(self, archive: zipfile.ZipFile) -> np.ndarray:
        """All of it in memory."""
        values = np.empty(math.prod(self.shape), self.dtype)
        with self._after_header(archive) as stream:
            if values.size:
                _fill(stream, values)
            else:
                stream.read()  # the checksum
        if self.fortran:
            return values.reshape(self.shape[::-1]).T
        return values.reshape(self.shape)

    @contextmanager
    def _after_header(self, archive: zipfile.ZipFile) -> Iterator[IO[bytes]]:
        with archive.open(self._entry) as stream:
            stream.read(self._start)
            yield stream

    def laid_out(self, side: tuple[int, int], first: bool) -> FileArray:
        """(M, …) frames of the bytes one after the other; `MemberFrames` says what is what.

        Args:
            side: of a frame as its pixels lie there.
            first: the bytes are those of a C array (M, *side); else of (*side, M).
        """
        pixels = math.prod(side)
        count = math.prod(self.shape) // pixels
        with zipfile.ZipFile(self._source) as archive, self._after_header(archive) as stream:
            if first and self._entry.compress_type == zipfile.ZIP_STORED:
                _pass_over(stream, self.size_bytes - self._start)
                return FileArray(self._source, (count, *side), self.dtype, self._place())
            require_room(self.size_bytes, f"{self.path}:{self.name}")
            spool = _temporary()
            frames = FileArray(spool, (count, pixels), self.dtype)
            if first:
                _unpack_frames(stream, frames)
            else:
                _unpack_pixels(stream, frames)
            return FileArray(spool, (count, *side), self.dtype)

    def _place(self) -> int:
        """Where the numbers of a stored array begin in the archive."""
        self._source.seek(self._entry.header_offset)
        name, extra = LOCAL_HEADER.unpack(self._source.read(LOCAL_HEADER.size))
        return int(self._entry.header_offset + LOCAL_HEADER.size + name + extra + self._start)


@dataclass(frozen=True, eq=False)
class MemberFrames:
    """The frames of a member, for `LazyFrames`; see `ptycho.data.lazy_frames.Part`.

    Args:
        member: the array. shape: (M, rows, cols), its axes that are not of length 1.
        last: the shape is (rows, cols, M).
        corner: the zero frequency lies in the corner, and is put into the centre.
    """

    member: Member
    shape: tuple[int, ...]
    last: bool = False
    corner: bool = False

    def __reduce__(self) -> tuple[Any, ...]:
        return MemberFrames, (self.member, self.shape, self.last, self.corner)

    @property
    def path(self) -> Path:
        """See `Part.path`."""
        return self.member.path

    @property
    def name(self) -> str:
        """See `Part.name`."""
        return self.member.name

    @property
    def dtype(self) -> np.dtype:
        """See `Part.dtype`."""
        return self.member.dtype

    @property
    def count(self) -> int:
        """See `Part.count`."""
        return self.shape[-1 if self.last else 0]

    @property
    def side(self) -> tuple[int, int]:
        """(rows, cols)."""
        rows, cols = self.shape[:2] if self.last else self.shape[1:]
        return rows, cols

    def there(self) -> int:
        """See `Part.there`."""
        return self.count

    @cached_property
    def _laid_out(self) -> FileArray:
        # In Fortran's order the bytes are those of the reversed axes, so that frames lie across.
        side = self.side[::-1] if self.member.fortran else self.side
        with readable(self.path):
            return self.member.laid_out(side, self.last == self.member.fortran)

    @contextmanager
    def opened(self) -> Iterator[Callable[[int, int], np.ndarray]]:
        """See `Part.opened`."""
        rows = self._laid_out
        with readable(self.path):
            yield lambda low, high: self._turned(rows[low:high])

    def _turned(self, block: np.ndarray) -> np.ndarray:
        if self.member.fortran:
            block = np.swapaxes(block, -1, -2)
        return np.fft.fftshift(block, axes=(-2, -1)) if self.corner else block


def _fill(stream: IO[bytes], values: np.ndarray) -> None:
    view = memoryview(values.reshape(-1).view(np.uint8).data)
    while view:
        got = stream.readinto(view[: block_bytes()])  # type: ignore[attr-defined]
        if not got:
            raise EOFError("the data end early")
        view = view[got:]


def _pass_over(stream: IO[bytes], size: int) -> None:
    """Read and forget: the archive's checksum is compared at the end."""
    while size:
        got = len(stream.read(min(size, block_bytes())))
        if not got:
            raise EOFError("the data end early")
        size -= got


def _unpack_frames(stream: IO[bytes], frames: FileArray) -> None:
    """From (M, pixels) to the same in a file."""
    count, pixels = frames.shape
    rows = max(1, block_bytes() // (pixels * frames.dtype.itemsize))
    for low in range(0, count, rows):
        block = np.empty((min(rows, count - low), pixels), frames.dtype)
        _fill(stream, block)
        frames[low : low + rows] = block


def _unpack_pixels(stream: IO[bytes], frames: FileArray) -> None:
    """From (pixels, M) to (M, pixels) in a file."""
    count, pixels = frames.shape
    across = max(1, 2 * block_bytes() // (count * frames.dtype.itemsize))
    for low in range(0, pixels, across):
        block = np.empty((min(across, pixels - low), count), frames.dtype)
        _fill(stream, block)
        frames.write_columns(low, block.T)
