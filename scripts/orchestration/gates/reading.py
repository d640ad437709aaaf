"""What a guard reads and writes in its checkout, seen by the kernel (inotify(7)).

An audit hook in Python would miss compiled libraries and child processes; the kernel's watch on a
folder sees every open, through mounts and namespaces too. Where there is no inotify (not Linux)
nothing is seen; where there is one that lost something (its watches are used up, its queue ran
over), `lost` says so.
"""

from __future__ import annotations

import ctypes
import os
import select
import struct
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

OPENED = 0x20
WRITTEN = 0x2 | 0x40 | 0x80 | 0x100 | 0x200  # MODIFY, MOVED_FROM, MOVED_TO, CREATE, DELETE
_OVERFLOW = 0x4000
_HEAD = struct.Struct("=iIII")


class Watch:
    """Collects, while it is entered, which files below `root` are opened or written.

    Only the folders of `names` (paths below `root`) are watched. `opened` and `written` are paths
    below `root`; `lost` is true where the kernel could not watch or dropped events.
    """

    def __init__(self, root: Path, names: Iterable[str]) -> None:
        self.root, self.folders = root, sorted({os.path.dirname(name) for name in names})
        self.opened: set[str] = set()
        self.written: set[str] = set()
        self.lost = False
        self._places: dict[int, str] = {}
        self._handle = -1
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        if not sys.platform.startswith("linux"):
            return self
        libc = ctypes.CDLL(None, use_errno=True)
        self._handle = libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self._handle < 0:
            self.lost = True
            return self
        for folder in self.folders:
            place = self.root / folder
            if not place.is_dir():
                continue
            mask = ctypes.c_uint32(OPENED | WRITTEN)
            number = libc.inotify_add_watch(self._handle, os.fsencode(place), mask)
            if number < 0:
                self.lost = True
            else:
                self._places[number] = folder
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        if self._handle >= 0:
            self._take()
            os.close(self._handle)

    def _listen(self) -> None:
        while not self._over.is_set():
            if select.select([self._handle], [], [], 0.05)[0]:
                self._take()

    def _take(self) -> None:
        while True:
            try:
                data = os.read(self._handle, 1 << 16)
            except BlockingIOError:
                return
            at = 0
            while at < len(data):
                number, mask, _, length = _HEAD.unpack_from(data, at)
                at += _HEAD.size
                name = os.fsdecode(data[at : at + length].rstrip(b"\0"))
                at += length
                self._note(number, mask, name)

    def _note(self, number: int, mask: int, name: str) -> None:
        if mask & _OVERFLOW:
            self.lost = True
        elif name and number in self._places:
            path = os.path.join(self._places[number], name)
            if mask & OPENED:
                self.opened.add(path)
            if mask & WRITTEN:
                self.written.add(path)
