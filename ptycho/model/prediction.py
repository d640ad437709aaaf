"""Counts to objects in one compiled call: the whole of prediction, without copies in between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ptycho.physics import backend

KEPT = 8


class Prediction:
    """The compiled predictions of one model, one for each canvas, detector and setting of XLA.

    Weights are variables of the graph, so that training goes on without a new compilation.
    """

    def __init__(self) -> None:
        self._compiled: dict[tuple[Any, ...], Callable[..., Any]] = {}

    def __call__(self, predict: Callable[..., Any], key: tuple[Any, ...], *arrays: Any) -> Any:
        """`predict(*arrays)`, without those that are None.

        Args:
            predict: the function that is compiled where nothing is for `key` yet.
            key: of what is a constant of the graph: canvas and detector.
            arrays: its arguments; a trailing None (no probe of the scan's own) is left out.
        """
        given = [array for array in arrays if array is not None]
        key = (*key, backend.xla_enabled(), len(given))
        if key not in self._compiled:
            while len(self._compiled) >= KEPT:  # many scans, each with a detector of its own
                del self._compiled[next(iter(self._compiled))]
            self._compiled[key] = backend.graph(predict)
        return self._compiled[key](*(backend.tensor(array) for array in given))
