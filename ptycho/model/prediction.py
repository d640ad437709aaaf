"""Counts to objects in one compiled call: the whole of prediction, without copies in between."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ptycho.physics import backend

if TYPE_CHECKING:
    from ptycho.model.inputs import Detector
    from ptycho.model.pinn import PtychoPINN

KEPT = 8


class Prediction:
    """The compiled predictions of one model, one for each canvas, detector and setting of XLA.

    Weights are variables of the graph, so that training goes on without a new compilation.
    """

    def __init__(self) -> None:
        self._compiled: dict[tuple[Any, ...], Callable[..., Any]] = {}

    def __call__(
        self,
        model: PtychoPINN,
        counts: Any,
        offsets: Any,
        probe: Any,
        unit: Any,
        detector: Detector,
    ) -> tuple[Any, Any]:
        """Canvases (B, P, P) and coverage (B, P, P) of groups.

        Args:
            model: whose prediction this is.
            counts: (B, C, N, N) photons. offsets: (B, C, 2) px.
            probe: (K, N, N) complex; None: the model's, read from its weights in the graph.
            unit: r.m.s. of amplitudes at the probe's dose, for a network that sees amplitudes.
            detector: of these counts; a constant of the graph.
        """
        given = [array for array in (counts, offsets, probe, unit) if array is not None]
        key = (model.require_canvas(), detector.key, backend.xla_enabled(), len(given))
        if key not in self._compiled:

            def predict(counts: Any, offsets: Any, probe: Any = None, unit: Any = None) -> Any:
                seen, features = model.network_input(
                    (counts, offsets), probe=probe, unit=unit, detector=detector
                )
                return model.assemble(model.network(seen, training=False), features, offsets)

            while len(self._compiled) >= KEPT:  # many scans, each with a detector of its own
                del self._compiled[next(iter(self._compiled))]
            self._compiled[key] = backend.graph(predict)
        return self._compiled[key](*(backend.tensor(array) for array in given))
