"""How a run ends by a signal, and how its words survive a reader that is gone."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

from orchestration.core import Interrupted
from orchestration.documents.grammar import printable_lines

SIGNALS = (signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Within, SIGTERM and SIGHUP raise Interrupted, once; one that is ignored (nohup) stays so."""
    found = {number: signal.getsignal(number) for number in SIGNALS}
    mine = [number for number in SIGNALS if found[number] is signal.SIG_DFL]

    def end(number: int, frame: FrameType | None) -> None:
        for other in mine:  # ending takes a moment and is not to be cut off by the same word again
            signal.signal(other, signal.SIG_IGN)
        raise Interrupted(signal.Signals(number).name, 128 + number)

    def swallowed(unraisable: sys.UnraisableHookArgs) -> None:
        asked = unraisable.exc_value
        if not isinstance(asked, Interrupted):
            hook(unraisable)
            return
        # Python was in a finaliser, which drops what is raised in it: the word is said once more,
        # a moment later, since it would be dropped in this hook too.
        number, main = asked.code - 128, threading.get_ident()
        signal.signal(number, end)
        threading.Timer(0.05, signal.pthread_kill, (main, number)).start()

    hook = sys.unraisablehook
    for number in mine:
        signal.signal(number, end)
    sys.unraisablehook = swallowed
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for number in mine:
            signal.signal(number, found[number])


def tell(text: str) -> None:
    """Print; a reader that is gone changes nothing about the work or its code."""
    try:
        print(printable_lines(text), flush=True)
    except OSError:
        mute(sys.stdout.fileno())


def mute(descriptor: int) -> None:
    """Let what is still written there go nowhere, without an error."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
