"""Timing of compiled functions, in alternation, so that a busy machine slows all of them alike."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ptycho.physics import backend

Function = Callable[[], Any]


def finished(result: Any) -> None:
    """Wait until every tensor of a result has been computed."""
    parts = result if isinstance(result, tuple | list) else [result]
    for part in parts:
        if isinstance(part, tuple | list):
            finished(part)
        elif backend.name() == "jax":
            part.block_until_ready()
        elif backend.name() == "tensorflow":
            part[(0,) * len(part.shape)].numpy()
        elif part.is_cuda:
            import torch

            torch.cuda.synchronize()


def alternate(
    functions: Mapping[str, Function],
    *,
    rounds: int = 15,
    warmup: int = 3,
    progress: Callable[[int, int, dict[str, Any]], None] | None = None,
) -> dict[str, float]:
    """Median milliseconds of each function; every round runs each of them once."""
    clocks = (time.perf_counter,)
    return by_clocks(functions, clocks, rounds=rounds, warmup=warmup, progress=progress)[0]


def by_clocks(
    functions: Mapping[str, Function],
    clocks: Sequence[Callable[[], float]],
    *,
    rounds: int,
    warmup: int = 3,
    progress: Callable[[int, int, dict[str, Any]], None] | None = None,
) -> list[dict[str, float]]:
    """`alternate` by each of several clocks (of seconds) in the same rounds."""
    taken: list[dict[str, list[float]]] = [{name: [] for name in functions} for _ in clocks]
    for number in range(warmup + rounds):
        for name, function in functions.items():
            start = [clock() for clock in clocks]
            finished(function())
            for each, clock, begun in zip(taken, clocks, start, strict=True):
                if number >= warmup:
                    each[name].append(1e3 * (clock() - begun))
        if progress is not None:
            progress(number + 1, warmup + rounds, {})
    return [{name: statistics.median(values) for name, values in each.items()} for each in taken]


def on_processor() -> bool:
    """Whether the work is done by the processor, so that its time counts the work of all cores."""
    return "cpu" in _device().lower()


def machine() -> dict[str, Any]:
    """The machine, the backend and its device, in words."""
    import keras
    import psutil

    found: dict[str, Any] = {
        "processor": _processor(),
        "cores": psutil.cpu_count(logical=True),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "python": platform.python_version(),
        "keras": keras.__version__,
        "backend": backend.name(),
        "device": _device(),
    }
    return found


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _device() -> str:
    if backend.name() == "tensorflow":
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
        details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
        return ", ".join(str(each.get("device_name", "GPU")) for each in details) or "CPU"
    if backend.name() == "jax":
        import jax

        return str(jax.devices()[0].device_kind)
    import torch

    return str(torch.cuda.get_device_name(0)) if torch.cuda.is_available() else "CPU"
