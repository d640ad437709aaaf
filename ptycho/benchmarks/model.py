"""How fast one network trains and predicts, in this process: run each network in its own.

The whole path is timed as a user meets it. Training: batches in shuffled order from the training
set (the default network's estimates are kept in memory, as `train` keeps them; their making is
timed apart and spread over `rethin_epochs`). Prediction: counts in, objects out, so the default
network pays for its physics estimate of every group.
"""

from __future__ import annotations

import os
import resource
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

_REPEATS = 12


def bench_model(
    network: str,
    *,
    N: int = 64,
    gridsize: int = 2,
    batch_size: int = 16,
    frames: int = 256,
    progress: Callable[[int, int, dict[str, Any]], None] | None = None,
) -> dict[str, float]:
    """Measure the network `network` on a simulated scan.

    Returns:
        `train_patterns_per_s` and `predict_patterns_per_s` (medians over 12 batches),
        `train_patterns_per_s_with_estimates` (the making of the estimates included),
        `first_step_s` (from building the model, imports done, to the end of its first step),
        `peak_rss_mib` of this process after training (before prediction), `parameters`.
    """
    import keras  # noqa: F401  — the import is timed elsewhere (import_s)

    from ptycho.config import TrainConfig
    from ptycho.simulation import SimulationConfig, simulate
    from ptycho.training import new_model
    from ptycho.training_data import assemble, generator

    report = progress or (lambda done, total, info: None)
    config = TrainConfig(
        network=network, gridsize=gridsize, batch_size=batch_size,
        validation_fraction=0, patience=None,
    )  # fmt: skip
    scan = simulate(SimulationConfig(N=N, n_frames=frames, photons=1e6))
    data = assemble([scan], config)
    data.training.thin(config.thinning, generator(0, 1))
    patterns = batch_size * gridsize**2
    begun = time.perf_counter()
    model = new_model(data, config)
    rng = np.random.default_rng(0)
    first = rng.integers(0, len(data.training), batch_size)
    model.train_on_batch(*data.training.batch(model, first))
    first_step = time.perf_counter() - begun
    report(1, 3, {"network": network})
    begun = time.perf_counter()
    data.training.estimate(model, batch_size, config.estimate_cache_mib)
    per_group = (time.perf_counter() - begun) / len(data.training)

    def step() -> None:
        groups = rng.integers(0, len(data.training), batch_size)
        model.train_on_batch(*data.training.batch(model, groups))

    train_s = _median(step)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if os.name == "posix" else 1)
    report(2, 3, {"network": network})

    def predict() -> None:
        groups = rng.integers(0, len(data.training), batch_size)
        counts = data.training.counts[data.training.indices[groups]]
        model.predict_objects(counts, data.training.offsets[groups])

    predict_s = _median(predict)
    report(3, 3, {"network": network})
    with_estimates = train_s + per_group * batch_size / config.rethin_epochs
    return {
        "train_patterns_per_s": patterns / train_s,
        "train_patterns_per_s_with_estimates": patterns / with_estimates,
        "predict_patterns_per_s": patterns / predict_s,
        "first_step_s": first_step,
        "peak_rss_mib": peak,
        "parameters": float(model.network.count_params()),
    }


def _median(call: Callable[[], None]) -> float:
    for _ in range(2):
        call()
    times = []
    for _ in range(_REPEATS):
        begun = time.perf_counter()
        call()
        times.append(time.perf_counter() - begun)
    return statistics.median(times)
