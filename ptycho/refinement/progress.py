"""What is told of the passes while they run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ptycho.config import Progress, Watch
from ptycho.result import Reconstruction


def named(progress: Progress | None, words: str) -> Progress | None:
    """The same progress with the name of the trial in front."""
    if progress is None:
        return None
    return lambda done, total, info: progress(done, total, {"trial": words, **info})


def watched(
    progress: Progress | None, watch: Watch | None, made: Callable[[], Reconstruction]
) -> Progress | None:
    """Progress that also hands `made` to `watch`."""
    if watch is None:
        return progress

    def both(done: int, total: int, info: dict[str, Any]) -> None:
        if progress is not None:
            progress(done, total, info)
        watch(made)

    return both


def last_held_out(history: list[dict[str, Any]]) -> dict[str, Any]:
    """The held-out deviance as it was last looked at."""
    values = [row["held_out_deviance"] for row in history if row["held_out_deviance"] is not None]
    return {"held-out": values[-1]} if values else {}
