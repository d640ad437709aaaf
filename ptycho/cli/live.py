"""`--live DIR`: a page that follows the work of a command."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ptycho.cli import console
from ptycho.cli.outputs import check_page

if TYPE_CHECKING:
    from ptycho.report import Contents, Live


def live_option() -> Any:
    """The option, which is a folder."""
    return typer.Option(
        None,
        "--live",
        metavar="DIR",
        help="Keep page.html and its pictures in this folder current while the work goes on.",
    )


class Following:
    """What a command hands to the work: `progress` around its own, and `watch`.

    Args:
        live: the page, or None where none is wanted. of: makes contents of what the work hands out.
    """

    def __init__(self, live: Live | None, of: Callable[[Any], Contents]) -> None:
        self.live, self.of = live, of

    def watch(self, made: Callable[[], Any]) -> None:
        """After each piece of work."""
        if self.live is not None:
            self.live.update(lambda: self.of(made()))

    def progress(self, bar: console.ProgressFunction) -> console.ProgressFunction:
        """The bar, whose words the page says too."""
        if self.live is None:
            return bar
        live = self.live

        def both(done: int, total: int, info: dict[str, Any]) -> None:
            bar(done, total, info)
            live.progress(done, total, info)

        return both

    @property
    def facts(self) -> dict[str, str]:
        """Where the page lies, for the result of the command."""
        return {} if self.live is None else {"live": str(self.live.page)}

    def finish(self, contents: Callable[[], Contents]) -> None:
        """The last page."""
        if self.live is not None:
            self.live.finish(contents)


@contextmanager
def following(
    folder: Path | None,
    before: Callable[[], Contents],
    of: Callable[[Any], Contents],
) -> Iterator[Following]:
    """Follow the work of the block with a page in `folder`; None: with none.

    Where the block ends early, the page says so and loads itself no more.

    Args:
        folder: of `--live`. before: what the page shows until there is something.
        of: makes contents of what the work hands to `watch`.
    """
    if folder is None:
        yield Following(None, of)
        return
    from ptycho.report import Live

    def say(words: str) -> None:
        console.stderr.print(f"--live: {words}", markup=False, highlight=False, soft_wrap=True)

    live, last = Live(folder, say), before
    check_page(live.page, "--live")
    live.update(before)

    def noted(found: Any) -> Contents:
        nonlocal last
        contents = of(found)
        last = lambda: contents  # noqa: E731
        return contents

    try:
        yield Following(live, noted)
    except BaseException as problem:
        why = "interrupted" if isinstance(problem, KeyboardInterrupt) else "it failed"
        live.finish(last, f"Ended early: {why}")
        raise
