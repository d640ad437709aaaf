"""Arms of one shape and loss share a compiled graph, with fresh weights.

Tracing and compiling a training step takes longer than a short training. What decides the graph
is the shape of things and the loss; dose, seed and weights are variables of it. So a process keeps
one model for each graph, and every arm takes it over with the weights, the optimizer state and the
dose of a model of its own: the arm's numbers are those of a process in which it ran alone.
"""

from __future__ import annotations

import functools
import json
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ptycho.training import new_model

if TYPE_CHECKING:
    from ptycho.config import TrainConfig
    from ptycho.model import PtychoPINN
    from ptycho.training import TrainingData


@dataclass
class _Kept:
    model: PtychoPINN
    canvas_size: int
    compiled: tuple[Any, Any] = (None, None)


class SharedModels:
    """The compiled models of one process.

    Attributes:
        one_at_a_time: an arm holds it from building its model to the last use of it.
    """

    def __init__(self) -> None:
        self.one_at_a_time = threading.Lock()
        self._kept: dict[str, _Kept] = {}

    def build(self, data: TrainingData, config: TrainConfig) -> PtychoPINN:
        """As `new_model`, on a graph that is already compiled where there is one.

        On JAX what is not a weight is a constant of the graph, and PyTorch compiles nothing:
        there each arm has a model of its own.
        """
        from ptycho.physics import backend

        fresh = new_model(data, config)
        if backend.name() != "tensorflow":
            return fresh
        key = graph_key(fresh, config)
        kept = self._kept.get(key)
        if kept is None:
            self._kept[key] = _Kept(fresh, fresh.require_canvas())
            return fresh
        model = kept.model
        if model.canvas_size != kept.canvas_size:  # a test scan of the last arm made it grow
            model.canvas_size = kept.canvas_size
            model.train_function, model.test_function = kept.compiled
        model.adopt(fresh)
        return model

    def trained(self, model: PtychoPINN) -> None:
        """Keep the compiled steps of training, which a larger canvas would drop."""
        for kept in self._kept.values():
            if kept.model is model:
                kept.compiled = (model.train_function, model.test_function)


def graph_key(model: PtychoPINN, config: TrainConfig) -> str:
    """Everything that a compiled training step holds as a constant."""
    constants = {
        "N": model.N,
        "gridsize": model.gridsize,
        "network": [model.spec.name, model.network_options],
        "loss": model.loss_name,
        "canvas_size": model.require_canvas(),
        "estimate_steps": model.estimate_steps,
        "lit_px": model.lit_px,
        "background": model.scaling.background,
        "mask": model.mask.tobytes().hex(),
        "probe_shape": list(model.probe_weight.shape),
        "trainable": [bool(model.probe_weight.trainable), bool(model.log_scale.trainable)],
        "clip_norm": config.clip_norm,
        "deterministic": config.deterministic,
    }
    return json.dumps(constants, sort_keys=True)


@functools.cache
def of_this_process() -> SharedModels:
    """The one that all arms of this process use."""
    return SharedModels()
