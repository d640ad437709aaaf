"""A page that follows work while it goes on, and never stops it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from ptycho.data import whole_file
from ptycho.report.contents import Contents
from ptycho.report.page import Now, write_page

PAGE = "page.html"
EVERY_S = 5.0
"""Seconds between two pages at least."""
SHARE = 0.05
"""Of the time that pages may take: a page that took a second is followed by twenty without."""


class Live:
    """`page.html` and its pictures as PNG in a folder, written anew as the work goes on.

    A page that cannot be made is said once; the work goes on without it.
    """

    def __init__(
        self,
        folder: Path,
        say: Callable[[str], None],
        *,
        every_s: float = EVERY_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is written yet.

        Args:
            folder: made when the first page is written.
            say: called with a sentence when a page cannot be made, once.
            every_s: seconds between two pages at least.
            clock: seconds.
        """
        self.folder, self.page = folder, folder / PAGE
        self.spent_s, self.written = 0.0, 0
        self._say, self._every_s, self._clock = say, every_s, clock
        self._next: float | None = None
        self._line, self._failed = "", False

    def progress(self, done: int, total: int, info: dict[str, Any]) -> None:
        """Note how far the work is; the next page says it."""
        share = f"{done / total:.0%}" if total else ""
        words = (
            f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
            for key, value in info.items()
        )
        self._line = " · ".join(filter(None, (share, *words)))

    def update(self, made: Callable[[], Contents]) -> None:
        """Write the page if it is time; `made` is called only then."""
        if self._next is None or self._clock() >= self._next:
            self._write("Running", made, running=True)

    def finish(self, made: Callable[[], Contents], headline: str = "Finished") -> None:
        """Write the last page, which does not load itself anew."""
        self._line = ""
        self._write(headline, made, running=False)

    def _write(self, headline: str, made: Callable[[], Contents], *, running: bool) -> None:
        begun = self._clock()
        try:
            self._replace(made(), headline, running)
            self.written += 1
        except Exception as problem:  # whatever it is: the work is worth more than its page
            if not self._failed:
                self._failed = True
                words = " ".join(str(problem).split()) or type(problem).__name__
                self._say(f"the page {self.page} cannot be written: {words}; the work goes on")
        cost = self._clock() - begun
        self.spent_s += cost
        self._next = self._clock() + max(self._every_s, cost * (1 / SHARE - 1))

    def _replace(self, contents: Contents, headline: str, running: bool) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for part in contents.parts.values():
            for picture in part.pictures:
                with whole_file(self.folder / f"{picture.name}.png") as temporary:
                    temporary.write_bytes(picture.png)
        at = datetime.now().astimezone().isoformat(" ", "seconds")
        every = max(1, round(self._every_s))
        now = Now(headline, self._line, at, running, every)
        write_page([contents], self.page, now)
