"""A pass of the refinement beside the Fourier transforms that it cannot do without."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ptycho.config import Progress
from ptycho.physics import backend
from ptycho.studies.bench.timing import by_clocks, on_processor

PHOTONS, WEIGHT = 1e6, 0.25


def measure_refine(
    *,
    sides: tuple[int, ...] = (64, 128),
    frames: int = 256,
    rounds: int = 15,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, float]:
    """Passes a second, and what a pass takes over its Fourier transforms alone.

    A simulated scan, one probe mode, object and probe free, the default kernel. The transforms
    are two a frame (to the detector and back), of the same frames in the same parts: the fastest
    of the backend's own under its compiler, the backend's outside it, and SciPy's. Ratios are of
    processor time where the processor does the work (a busy machine makes its threads wait for
    one another), of time on a clock where a GPU does.

    Args:
        sides: N of the frames. frames: of the scan. rounds: timed, after three that are not.
        seed: of the scan.

    Returns:
        For each N: `refine_passes_per_s_N` and `refine_over_fft_N` of mini-batch passes,
        `whole_passes_per_s_N` and `whole_over_fft_N` of whole-scan ones with total variation;
        `refine_ms_N`, `whole_ms_N` and `pass_fft_ms_N`, milliseconds a frame, of which the ratios
        are.
    """
    found: dict[str, float] = {}
    for number, side in enumerate(sides):
        wall, busy = by_clocks(
            _passes(side, frames, seed),
            (time.perf_counter, time.process_time if on_processor() else time.perf_counter),
            rounds=rounds,
            progress=_part(progress, number, len(sides)),
        )
        fft = min(ms for name, ms in busy.items() if name.startswith("fft"))
        for name in ("refine", "whole"):
            found[f"{name}_passes_per_s_{side}"] = 1e3 / wall[name]
            found[f"{name}_over_fft_{side}"] = busy[name] / fft
            found[f"{name}_ms_{side}"] = busy[name] / frames
        found[f"pass_fft_ms_{side}"] = fft / frames
    return found


def _part(progress: Progress | None, stage: int, stages: int) -> Progress | None:
    if progress is None:
        return None
    return lambda done, total, info: progress(stage * total + done, stages * total, info)


def _passes(side: int, frames: int, seed: int) -> dict[str, Callable[[], Any]]:
    import scipy.fft

    from ptycho.refinement import RefineConfig, prepare, take_over
    from ptycho.simulation import SimulationConfig, simulate

    scan = simulate(SimulationConfig(N=side, n_frames=frames, photons=PHOTONS, seed=seed))
    config = RefineConfig(modes=1, clean="off", held_out_fraction=0)
    engines = [prepare(scan, take_over(scan, None), config) for _ in range(2)]
    order = np.arange(frames)
    parts = np.array_split(order, range(engines[0].batch, frames, engines[0].batch))
    rng = np.random.default_rng(seed)
    waves = [_field(rng, len(part), side) for part in parts]
    fields = [backend.tensor(wave) for wave in waves]

    def transforms(wave: Any) -> Any:
        return backend.ifft2(backend.fft2(wave))

    both = backend.jit(transforms)

    def by_scipy() -> tuple[()]:
        for wave in waves:
            scipy.fft.ifft2(scipy.fft.fft2(wave))
        return ()

    def batches() -> tuple[()]:
        engines[0].run_pass(order, 1.0, move=False)  # it ends with a read from the device
        return ()

    def whole() -> tuple[()]:
        engines[1].run_whole("poisson", WEIGHT)
        return ()

    return {
        "refine": batches,
        "whole": whole,
        "fft_compiled": lambda: [both(field) for field in fields],
        "fft_plain": lambda: [transforms(field) for field in fields],
        "fft_scipy": by_scipy,
    }


def _field(rng: np.random.Generator, frames: int, side: int) -> np.ndarray:
    shape = (frames, side, side)
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)
