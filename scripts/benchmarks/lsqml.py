"""pty-chi's LSQML on one job file; runs inside .venv-baselines and knows nothing of ptycho.

    .venv-baselines/bin/python scripts/benchmarks/lsqml.py JOB.npz OUT.npz

JOB holds `counts` (M, N, N) with DC in the middle, `positions` (M, 2) as (row, col) from the
corner of `object` (H, W) with the pixel N/2 as a patch's centre, `probe` (K, N, N), `mask` (N, N)
or nothing, and `settings`, a JSON object: epochs, batch, positions, tv, noise, momentum, seed,
snapshots. OUT holds the fields after each epoch of `snapshots` and the processor seconds that had
gone by then; imports and the building of the task are counted apart.
"""

from __future__ import annotations

import json
import sys
import time
import types
from typing import Any

import numpy as np

HALF_PIXEL = -0.5
"""pty-chi begins a patch at position + origin − (N − 1)/2, we at position − N/2."""


def without_torchvision() -> None:
    """A torchvision that fails beside this torch is replaced: one filter is all that is missed."""
    try:
        import torchvision  # noqa: F401
    except Exception:
        for name in [each for each in sys.modules if each.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        package, transforms = (
            types.ModuleType(name) for name in ("torchvision", "torchvision.transforms")
        )

        class GaussianBlur:
            def __init__(self, *_: Any, **__: Any) -> None:
                raise RuntimeError("torchvision could not be imported; no filter is used here")

        transforms.GaussianBlur = GaussianBlur  # type: ignore[attr-defined]
        package.transforms = transforms  # type: ignore[attr-defined]
        sys.modules.update({"torchvision": package, "torchvision.transforms": transforms})


def task_of(job: dict[str, np.ndarray], want: dict[str, Any]) -> Any:
    """The task, on the CPU."""
    import ptychi.api as api
    from ptychi.api import enums
    from ptychi.api.task import PtychographyTask

    options = api.LSQMLOptions()
    run = options.reconstructor_options
    run.num_epochs, run.batch_size = max(want["snapshots"]), want["batch"]
    run.default_device, run.random_seed = enums.Devices.CPU, want["seed"]
    run.noise_model = enums.NoiseModels(want["noise"])
    run.momentum_acceleration_gain = want["momentum"]
    run.batching_mode = enums.BatchingModes(want["batching"])
    run.displayed_loss_function = None
    fields = options.object_options
    fields.determine_position_origin_coords_by = enums.ObjectPosOriginCoordsMethods.SPECIFIED
    fields.position_origin_coords = [HALF_PIXEL, HALF_PIXEL]
    if want["tv"]:
        fields.total_variation.enabled, fields.total_variation.weight = True, want["tv"]
    places = options.probe_position_options
    places.optimizable = bool(want["positions"])
    if places.optimizable:
        places.optimization_plan.start = round(0.2 * run.num_epochs)
    data = {
        "diffraction_data": job["counts"].astype(np.float32),
        "object_data": job["object"][None].astype(np.complex64),
        "probe_data": job["probe"][None].astype(np.complex64),
        "probe_position_y_px": job["positions"][:, 0],
        "probe_position_x_px": job["positions"][:, 1],
    }
    if "mask" in job:
        data["valid_pixel_mask"] = job["mask"].astype(bool)
    return PtychographyTask(options, **data)


def main() -> int:
    source, target = sys.argv[1:]
    import torch

    torch.set_num_threads(1)
    without_torchvision()
    job = dict(np.load(source))
    want = json.loads(str(job.pop("settings")))
    began = time.process_time()
    task = task_of(job, want)
    out: dict[str, Any] = {"build_s": time.process_time() - began}
    seconds, wall, done = [], [], 0
    spent = lived = 0.0
    for number, epoch in enumerate(want["snapshots"]):
        began, clock = time.process_time(), time.monotonic()
        task.run(epoch - done)
        spent, lived, done = (
            spent + time.process_time() - began,
            lived + time.monotonic() - clock,
            epoch,
        )
        seconds.append(spent)
        wall.append(lived)
        out[f"object_{number}"] = task.get_data_to_cpu("object", as_numpy=True)[0]
        out[f"probe_{number}"] = task.get_data_to_cpu("probe", as_numpy=True)[0]
        out[f"positions_{number}"] = task.get_data_to_cpu("probe_positions", as_numpy=True)
    np.savez(target, cpu_s=seconds, wall_s=wall, passes=want["snapshots"], **out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
