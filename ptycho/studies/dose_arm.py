"""One arm of the dose study: simulate, train, reconstruct, measure, and keep what figures need."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ptycho.data import whole_file, write_json

if TYPE_CHECKING:
    from ptycho.evaluation.metrics import Comparison
    from ptycho.scan import Scan

ROW, ARRAYS = "metrics.json", "arrays.npz"
TRAINING, TEST = 0, 1


def run_arm(task: dict[str, Any]) -> dict[str, Any]:
    """One arm; writes `metrics.json` and `arrays.npz` into its folder.

    Args:
        task: `name`, `photons`, `loss`, `seed`, the study's `config` (a dict) and `folder`.

    Returns:
        The row of the study's table.
    """
    from ptycho.studies.shared_models import of_this_process

    shared = of_this_process()
    with shared.one_at_a_time:
        return _run(task, shared)


def _run(task: dict[str, Any], shared: Any) -> dict[str, Any]:
    from ptycho.config import ReconstructConfig
    from ptycho.evaluation import evaluate, evaluate_images
    from ptycho.reconstruction import reconstruct
    from ptycho.training import train

    clock = _Clock()
    folder = Path(task["folder"]) / task["name"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ROW).unlink(missing_ok=True)
    training_scan, test_scan = (_scan(task, part) for part in (TRAINING, TEST))
    clock.lap("simulate")
    _forget_run(folder / "run")
    result = train([training_scan], _train_config(task), folder / "run", build=shared.build)
    shared.trained(result.model)
    clock.lap("train")
    rec = reconstruct(result.model, test_scan)
    clock.lap("reconstruct")
    comparison = evaluate_images(rec, test_scan)
    settings = ReconstructConfig(gridsize=task["config"]["gridsize"])
    control = reconstruct(None, test_scan, untrained=result.model.estimate_steps, config=settings)
    row = {
        **{key: task[key] for key in ("name", "photons", "loss", "seed")},
        "photons_measured": float(np.mean(test_scan.photons_per_frame())),
        **_numbers(comparison.metrics),
        **{f"untrained_{key}": v for key, v in _numbers(evaluate(control, test_scan)).items()},
    }
    _write_arrays(folder / ARRAYS, test_scan, comparison)
    clock.lap("evaluate")
    row |= clock.seconds()
    write_json(folder / ROW, {"row": row, "config": task["config"]})
    return row


class _Clock:
    def __init__(self) -> None:
        self.last = time.perf_counter()
        self.laps: dict[str, float] = {}

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name], self.last = now - self.last, now

    def seconds(self) -> dict[str, float]:
        """`seconds`, and `seconds_<lap>` of each part."""
        parts = {f"seconds_{name}": round(taken, 2) for name, taken in self.laps.items()}
        return {"seconds": round(sum(self.laps.values()), 2), **parts}


def _numbers(metrics: dict[str, Any]) -> dict[str, float]:
    return {
        "amplitude_ssim": metrics["amplitude"]["ssim"],
        "amplitude_psnr_db": metrics["amplitude"]["psnr_db"],
        "amplitude_mae": metrics["amplitude"]["mae"],
        "amplitude_std_ratio": metrics["amplitude"]["std_ratio"],
        "phase_ssim": metrics["phase"]["ssim"],
        "phase_psnr_db": metrics["phase"]["psnr_db"],
        "frc_cycles_per_px": metrics["frc"]["cycles_per_px"],
    }


def _scan(task: dict[str, Any], part: int) -> Scan:
    """The training or the test scan: every arm has the same object, probe and positions."""
    from ptycho.simulation import SimulationConfig, simulate

    config = task["config"]
    return simulate(
        SimulationConfig(
            N=config["N"],
            n_frames=config["n_train"] if part == TRAINING else config["n_test"],
            photons=task["photons"],
            seed=17 + part,
            noise_seed=1000 * task["seed"] + part,
        )
    )


def _train_config(task: dict[str, Any]) -> Any:
    from ptycho.config import TrainConfig

    config = task["config"]
    return TrainConfig(
        gridsize=config["gridsize"],
        epochs=config["nepochs"],
        loss=task["loss"],
        seed=task["seed"],
        checkpoint=False,
    )


def _forget_run(run: Path) -> None:
    """An arm that was cut off begins anew: its run is a few seconds, and has no checkpoint."""
    for name in ("manifest.json", "checkpoint.h5"):
        (run / name).unlink(missing_ok=True)


def _write_arrays(path: Path, scan: Scan, comparison: Comparison) -> None:
    """A frame, and the amplitudes in the gauge of the truth, where the scan saw them."""
    with whole_file(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(
            stream,
            frame=scan.frames(np.array([scan.n_frames // 2]))[0],
            amplitude=np.abs(comparison.aligned).astype(np.float32),
            truth_amplitude=np.abs(comparison.reference).astype(np.float32),
            region=comparison.region,
        )
