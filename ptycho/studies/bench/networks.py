"""One network's speed, measured in a process of its own: training, prediction, memory, start.

`python -m ptycho.studies.bench.networks NAME` prints one JSON object; `compare_networks` runs the
networks in alternation, each time in a fresh process, and takes medians.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from ptycho.config import Progress
from ptycho.errors import ModelError

N, GRIDSIZE, BATCH = 64, 2, 16
GROUPS = 4 * BATCH
CNN_PARAMETERS, CNN_TOLERANCE = 2.26e6, 0.01  # the published autoencoder at N=64, g=2
TIME_LIMIT_S = 600.0


def compare_networks(
    names: tuple[str, ...] = ("cnn", "default"),
    *,
    repeats: int = 3,
    steps: int = 12,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Medians for each network, and `train_ratio` and `predict_ratio` of the last over the first.

    Raises:
        ModelError: a process failed, or `cnn` is not the published network.
    """
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for number in range(repeats):
        for place, name in enumerate(names):
            runs[name].append(_in_fresh_process(name, steps))
            if progress is not None:
                progress(number * len(names) + place + 1, repeats * len(names), {"network": name})
    found = {
        name: {key: statistics.median(run[key] for run in each) for key in each[0]}
        for name, each in runs.items()
    }
    if "cnn" in found:
        _require_published(found["cnn"]["parameters"])
    first, last = found[names[0]], found[names[-1]]
    return {
        "train_ratio": last["train_patterns_per_s"] / first["train_patterns_per_s"],
        "predict_ratio": last["predict_patterns_per_s"] / first["predict_patterns_per_s"],
        "networks": found,
    }


def import_seconds(module: str = "ptycho") -> float:
    """Median time that importing `module` takes in a fresh interpreter."""
    code = f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
    taken = [
        float(
            subprocess.run(
                [sys.executable, "-c", code],
                capture_output=True,
                text=True,
                check=True,
                timeout=TIME_LIMIT_S,
            ).stdout
        )
        for _ in range(3)
    ]
    return statistics.median(taken)


def measure_network(name: str, *, steps: int = 12) -> dict[str, float]:
    """Measure one network in this process, from the first import on.

    Returns:
        `parameters`; `first_step_s`, building and the first training step after the imports;
        `step_patterns_per_s`, training steps alone; `estimate_patterns_per_s`, the physics
        estimate that feeds the default network (0 where there is none);
        `train_patterns_per_s`, both together as `ptycho train` spends them (an estimate serves
        `rethin_epochs` epochs); `predict_patterns_per_s`, counts to objects, estimate included;
        `peak_rss_mib`.
    """
    from ptycho.config import TrainConfig
    from ptycho.model import PtychoPINN
    from ptycho.nn import network_spec

    network_spec(name)  # an unknown name is refused before any work
    data, probe, scaling = _workload()
    begun = time.perf_counter()
    model = PtychoPINN(N, GRIDSIZE, probe, scaling, network=name, seed=0)
    model.fit_canvas(data.offsets)
    model.compile("adam")
    estimate_s = 0.0
    batches = _batches(data, model)
    model.train_on_batch(*batches[0])
    first_step_s = time.perf_counter() - begun
    patterns = BATCH * GRIDSIZE**2
    step_s = _median_seconds(
        lambda number: float(model.train_on_batch(*batches[number % len(batches)])), steps
    )
    frames, offsets = data.counts[data.indices[:BATCH]], data.offsets[:BATCH]
    if model.sight.estimates:
        estimate_s = _median_seconds(lambda _: _wait(model.features(frames, offsets)), steps)
    predict_s = _median_seconds(lambda _: model.predict_objects(frames, offsets), steps)
    train_s = step_s + estimate_s / TrainConfig().rethin_epochs
    return {
        "parameters": float(model.network.count_params()),
        "first_step_s": first_step_s,
        "step_patterns_per_s": patterns / step_s,
        "estimate_patterns_per_s": patterns / estimate_s if estimate_s else 0.0,
        "train_patterns_per_s": patterns / train_s,
        "predict_patterns_per_s": patterns / predict_s,
        "peak_rss_mib": _peak_rss_mib(),
    }


def _workload() -> tuple[Any, Any, Any]:
    """A simulated scan in groups: real offsets, real counts."""
    import numpy as np

    from ptycho.frames import make_groups
    from ptycho.physics import Scaling
    from ptycho.simulation import SimulationConfig, simulate
    from ptycho.training import GroupSet

    scan = simulate(SimulationConfig(N=N, n_frames=2 * GROUPS, photons=1e5, seed=0))
    rng = np.random.default_rng(0)
    groups = make_groups(scan.positions_px, GRIDSIZE, n_groups=GROUPS, rng=rng)
    counts = scan.frames(np.arange(scan.n_frames)).astype(np.float32)
    data = GroupSet(counts, groups.indices, groups.offsets_px.astype(np.float32))
    data.thin(0.5, rng)
    assert scan.probe is not None  # a simulated scan has one
    dose = float(np.sum(np.abs(scan.probe) ** 2))
    return data, scan.probe, Scaling.from_counts(counts, probe_photons=dose)


def _batches(data: Any, model: Any) -> list[Any]:
    import numpy as np

    data.prepare(model.prepared, BATCH)
    chosen = np.arange(GROUPS).reshape(-1, BATCH)
    return [data.batch(model.prepared, groups) for groups in chosen]


def _median_seconds(action: Callable[[int], Any], steps: int, warmup: int = 2) -> float:
    taken = []
    for number in range(warmup + steps):
        start = time.perf_counter()
        action(number)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken[warmup:])


def _wait(tensor: Any) -> None:
    from ptycho.studies.bench.timing import finished

    finished(tensor)


def _peak_rss_mib() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def _in_fresh_process(name: str, steps: int) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "ptycho.studies.bench.networks", name, "--steps", str(steps)],
        env={"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ},
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT_S,
        check=False,
    )
    if done.returncode != 0:
        raise ModelError(
            f"the benchmark of {name!r} failed",
            where="a process of its own",
            got=done.stderr.strip()[-2000:],
        )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _require_published(parameters: float) -> None:
    if abs(parameters / CNN_PARAMETERS - 1) > CNN_TOLERANCE:
        raise ModelError(
            "'cnn' is not the published autoencoder, so a ratio to it means nothing",
            where="parameters at N=64, g=2",
            expected=f"{CNN_PARAMETERS:.3g} ± {CNN_TOLERANCE:.0%}",
            got=f"{parameters:.4g}",
        )


def main() -> None:
    """Entry of the process that `compare_networks` starts."""
    parser = argparse.ArgumentParser(description="Measure one network in this process.")
    parser.add_argument("name")
    parser.add_argument("--steps", type=int, default=12)
    options = parser.parse_args()
    print(json.dumps(measure_network(options.name, steps=options.steps)))


if __name__ == "__main__":
    main()
