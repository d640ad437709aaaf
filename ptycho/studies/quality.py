"""Image quality of every method on one simulated task, and of refinement on the measured star.

The task: 1024 frames of 64², groups of 4, a known probe; the network learns on one pair of
photographs (amplitude, phase) and is judged on another pair that it has never seen. Each arm is a
dict, runs in a process of its own, and leaves `<arm>.json`; what is finished is not run again.
The driver is `scripts/benchmarks/quality.py`, the table `ptycho.studies.quality_table`.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from pydantic import Field

from ptycho.config import Progress, Settings
from ptycho.data import write_json
from ptycho.errors import DataError, UsageError

TRAIN_PICTURES, TEST_PICTURES = ("camera", "gravel"), ("astronaut", "coffee")
# K steps at full resolution, and what the default network is fed: 12 at half, 2 at full.
CONTROL_STEPS: tuple[int | list[int], ...] = (1, 2, 5, 20, [12, 2])
NETWORKS = ("cnn", "default")
FAMILIES = ("control", "cnn", "default", "refine", "star")
STAR_FILE = "siemens-star-small.npz.bz2"


class QualityConfig(Settings):
    """The whole task; seeds, doses and families choose arms, the rest decides what an arm is."""

    seeds: int = Field(3, ge=1)
    photons: tuple[float, ...] = (1e6, 1e4)
    families: tuple[str, ...] = FAMILIES
    minutes: float = Field(4.0, gt=0, description="of each training")
    refine_seconds: float = Field(20.0, gt=0)
    star_seconds: tuple[float, float] = Field((15.0, 12.0), description="whole set, each half")
    frames: int = Field(1024, ge=16, description="of the training and of the test scan")
    N: int = Field(64, ge=16)
    gridsize: int = Field(2, ge=1)
    cores: int = Field(2, ge=1)
    settings: tuple[str, ...] = Field((), description="key=value for every training")


def quality_arms(config: QualityConfig) -> list[dict[str, Any]]:
    """Every arm in the order of running; one that needs another's run comes after it.

    Raises:
        UsageError: an unknown family.
    """
    unknown = sorted(set(config.families) - set(FAMILIES))
    if unknown:
        raise UsageError(
            "unknown arms", where="--arms", expected=", ".join(FAMILIES), got=", ".join(unknown)
        )
    arms: list[dict[str, Any]] = []
    for seed in range(config.seeds):
        for dose in config.photons:
            arms += _arms_at(dose, seed)
    arms += [
        {"family": "star", "method": "star-whole", "modes": 1},
        {"family": "star", "method": "star-halves-1", "modes": 1},
        {"family": "star", "method": "star-halves-2", "modes": 2},
    ]
    for arm in arms:
        arm["name"] = _name(arm)
    return [arm for arm in arms if arm["family"] in config.families]


def _arms_at(dose: float, seed: int) -> list[dict[str, Any]]:
    shared = {"photons": dose, "seed": seed}
    arms: list[dict[str, Any]] = [
        {"family": "control", "method": _control_name(steps), "steps": steps, **shared}
        for steps in CONTROL_STEPS
    ]
    arms += [
        {
            "family": network,
            "method": f"{network}-{'thinned' if thinned else 'plain'}",
            "network": network,
            "thinned": thinned,
            **shared,
        }
        for network in NETWORKS
        for thinned in (True, False)
    ]
    arms += [
        {"family": "refine", "method": f"refine-{start}", "start": start, **shared}
        for start in ("scratch", "default")
    ]
    return arms


def _control_name(steps: int | list[int]) -> str:
    if isinstance(steps, int):
        return f"control-K{steps}"
    return "control-" + "-".join(map(str, steps))


def _name(arm: dict[str, Any]) -> str:
    if "photons" not in arm:
        return str(arm["method"])
    return f"{arm['method']}-{arm['photons']:.0e}-s{arm['seed']}".replace("e+0", "e")


def settings_of(arm: dict[str, Any], config: QualityConfig) -> dict[str, Any]:
    """What a finished arm must agree in before it is taken as done."""
    common: dict[str, Any] = {"frames": config.frames, "N": config.N, "gridsize": config.gridsize}
    trained: dict[str, Any] = {"cores": config.cores}
    if arm["family"] == "star":
        whole, half = config.star_seconds
        return {"seconds": whole if arm["method"] == "star-whole" else half, "cores": config.cores}
    if arm["family"] == "control":
        return common
    if arm["family"] in NETWORKS:
        return common | trained | {"training": _training(arm, config)}
    refined = common | {"refine_seconds": config.refine_seconds, "cores": config.cores}
    if arm["start"] == "default":
        start = arm | {"network": "default", "thinned": True}
        refined |= {"training": _training(start, config)}
    return refined


def finished(folder: Path, arm: dict[str, Any], config: QualityConfig) -> dict[str, Any] | None:
    """The record of this arm if it is done; None if not.

    Raises:
        DataError: it was done with other settings.
    """
    path = folder / f"{arm['name']}.json"
    if not path.is_file():
        return None
    record = json.loads(path.read_text(encoding="utf-8"))
    wanted = settings_of(arm, config)
    if record["settings"] != wanted:
        raise DataError(
            "this arm was run with other settings",
            where=path,
            expected=wanted,
            got=record["settings"],
            fix=f"choose another --output, or remove {path}",
        )
    return dict(record)


def run_arm(
    arm: dict[str, Any], config: QualityConfig, folder: Path, progress: Progress
) -> dict[str, Any]:
    """Run one arm in this process and write `<arm>.json`; returns its record."""
    load = os.getloadavg()[0]
    begun = time.perf_counter()
    if arm["family"] == "star":
        found = _star(arm, config, progress)
    else:
        found = _simulated(arm, config, folder, progress)
    record = {
        "arm": arm,
        "settings": settings_of(arm, config),
        **found,
        "wall_seconds": round(time.perf_counter() - begun, 2),
        "load_before": round(load, 2),
        "load_after": round(os.getloadavg()[0], 2),
        "ended": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    write_json(folder / f"{arm['name']}.json", record)
    return record


def keep_cores(count: int) -> None:
    """Let this process use `count` cores only; before TensorFlow counts them."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:count]))


def scan_of(config: QualityConfig, photons: float, seed: int, *, test: bool) -> Any:
    """The training or the test scan: other photographs, other positions, other noise."""
    from ptycho.simulation import SimulationConfig, simulate

    amplitude, phase = TEST_PICTURES if test else TRAIN_PICTURES
    return simulate(
        SimulationConfig(
            N=config.N,
            n_frames=config.frames,
            photons=photons,
            amplitude=amplitude,
            phase=phase,
            amplitude_range=(0.5, 1.0),
            phase_range_rad=1.0,
            seed=2 * seed + int(test),
            noise_seed=2 * seed + int(test),
        )
    )


def _simulated(
    arm: dict[str, Any], config: QualityConfig, folder: Path, progress: Progress
) -> dict[str, Any]:
    from ptycho.evaluation import evaluate

    test = scan_of(config, arm["photons"], arm["seed"], test=True)
    if arm["family"] == "control":
        rec, facts = _control(arm, config, test)
    elif arm["family"] in NETWORKS:
        rec, facts = _trained(arm, config, folder, test, progress)
    else:
        rec, facts = _refined(arm, config, folder, test, progress)
    metrics = evaluate(rec, test)
    metrics["frc"] = {key: value for key, value in metrics["frc"].items() if key != "curve"}
    return {"metrics": metrics, **facts}


def _reconstruct(source: Any, config: QualityConfig, scan: Any, untrained: Any) -> Any:
    from ptycho.config import ReconstructConfig
    from ptycho.reconstruction import reconstruct

    settings = ReconstructConfig(gridsize=config.gridsize)
    return reconstruct(source, scan, untrained=untrained, config=settings)


def _control(arm: dict[str, Any], config: QualityConfig, test: Any) -> tuple[Any, dict[str, Any]]:
    rec = _reconstruct(None, config, test, arm["steps"])
    return rec, {"seconds": rec.meta["seconds"]}


def _training(arm: dict[str, Any], config: QualityConfig) -> dict[str, Any]:
    """The whole training configuration of an arm: defaults too, so that a change of them shows."""
    from ptycho.config import TrainConfig, resolve

    base = {
        "network": arm["network"],
        "gridsize": config.gridsize,
        "thinning": TrainConfig().thinning if arm["thinned"] else None,
        "seed": arm["seed"],
        "epochs": 1_000_000,
        "time_budget_s": 60 * config.minutes,
        "patience": None,
        "checkpoint": False,
    }
    return resolve(TrainConfig, base=base, overrides=config.settings).model_dump(mode="json")


def _trained(
    arm: dict[str, Any], config: QualityConfig, folder: Path, test: Any, progress: Progress
) -> tuple[Any, dict[str, Any]]:
    from ptycho.config import TrainConfig
    from ptycho.training import train

    settings = TrainConfig(**_training(arm, config))
    scan = scan_of(config, arm["photons"], arm["seed"], test=False)
    run = _run_folder(folder, arm["network"], arm)
    _remove_old(run)
    result = train([scan], settings, run, progress=progress)
    rec = _reconstruct(result.model, config, test, None)
    return rec, {
        "seconds": round(result.seconds, 2),
        "reconstruct_seconds": rec.meta["seconds"],
        "epochs": len(result.history) - 1,
        "best_epoch": result.best_epoch,
        "steps": result.history[-1]["step"],
        "held_out_deviance": [
            result.history[index]["held_out_deviance_per_px"] for index in (0, result.best_epoch)
        ],
    }


def _run_folder(folder: Path, network: str, arm: dict[str, Any], thinned: bool = True) -> Path:
    thinned = arm.get("thinned", thinned)
    method = f"{network}-{'thinned' if thinned else 'plain'}"
    return folder / "runs" / _name({**arm, "method": method})


def _remove_old(run: Path) -> None:
    """A run that ended without its record (a kill) is made again."""
    if run.is_dir():
        for file in run.iterdir():
            file.unlink()


def _refined(
    arm: dict[str, Any], config: QualityConfig, folder: Path, test: Any, progress: Progress
) -> tuple[Any, dict[str, Any]]:
    from ptycho.refinement import RefineConfig, refine

    start = None
    if arm["start"] == "default":
        run = _run_folder(folder, "default", arm)
        if not (run / "manifest.json").is_file():
            raise DataError(
                "the refinement starts from a run that is not there",
                where=run,
                fix="run the arms `default` first: --arms default,refine",
            )
        start = _reconstruct(run, config, test, None)
    # The probe is known: it is not refined, and the gauge has no ramp that could be hidden there.
    settings = RefineConfig(seconds=config.refine_seconds, passes=1_000_000, update_probe=False)
    result = refine(test, start=start, config=settings, progress=progress)
    return result.reconstruction, {
        "seconds": round(result.seconds, 2),
        "passes": result.iterations,
        "stopped_by": result.reconstruction.meta["stopped_by"],
        "residual": result.residual,
        "deviance_per_pixel": result.deviance_per_pixel,
        "held_out_deviance": result.reconstruction.meta["held_out_deviance"],
    }


def star_path() -> Path | None:
    """The measured Siemens star (folder in PTYCHO_DATA_DIR), or None."""
    folder = os.environ.get("PTYCHO_DATA_DIR")
    path = Path(folder) / STAR_FILE if folder else None
    return path if path is not None and path.is_file() else None


def _star(arm: dict[str, Any], config: QualityConfig, progress: Progress) -> dict[str, Any]:
    from ptycho.data import open_scan
    from ptycho.evaluation import evaluate_half_sets
    from ptycho.refinement import RefineConfig, refine

    path = star_path()
    if path is None:
        raise DataError(
            "the measured frames are absent", where="PTYCHO_DATA_DIR", expected=STAR_FILE
        )
    scan = open_scan(path)
    whole, half = config.star_seconds
    seconds = whole if arm["method"] == "star-whole" else half
    settings = RefineConfig(seconds=seconds, passes=1_000_000, modes=arm["modes"])
    if arm["method"] == "star-whole":
        result = refine(scan, config=settings, progress=progress)
        return {
            "residual": result.residual,
            "deviance_per_pixel": result.deviance_per_pixel,
            "seconds": round(result.seconds, 2),
            "passes": result.iterations,
        }
    metrics = evaluate_half_sets(scan, settings, progress=progress).metrics
    return {
        "cycles_per_px": metrics["frc"]["cycles_per_px"],
        "crossed": metrics["frc"]["crossed"],
        "seconds": [round(value, 2) for value in metrics["seconds"]],
        "residuals": metrics["residuals"],
    }
