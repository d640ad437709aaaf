"""The dose study: how the loss and the number of photons decide what a reconstruction shows.

Every arm sees the same object, probe and positions; only the photons, the loss and (on the
ladder) the seed of noise and weights differ. Each arm simulates its own training and test scan
at its dose, trains its own model, reconstructs the test scan and is measured against the truth.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from ptycho.config import Settings
from ptycho.data import write_json
from ptycho.errors import DataError, PtychoError, UsageError
from ptycho.provenance import versions
from ptycho.studies import dose_report
from ptycho.studies.dose_arm import ROW, run_arm
from ptycho.studies.runner import Outcome, run_arms

FULL_LADDER = (1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9)
SHORT_LADDER = (1e3, 1e5, 1e7, 1e9)
COMPARISON_DOSES = (1e9, 1e4)
LOSSES = ("mae", "poisson")
_ROW_KEYS = ("config", "row")


class DoseStudyConfig(Settings):
    """One study; the same configuration and seeds give the same numbers on the same machine."""

    N: Literal[64, 128] = 64
    gridsize: Literal[1, 2] = 2
    n_train: int = Field(1024, ge=16)
    n_test: int = Field(256, ge=16)
    nepochs: int = Field(20, ge=1)
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field((0, 1, 2), min_length=1)
    ladder: tuple[Annotated[float, Field(ge=1, le=1e15)], ...] | None = None

    def ladder_photons(self) -> tuple[float, ...]:
        """The doses of the ladder: as given, else short for short trainings; () for none."""
        if self.ladder is not None:
            return self.ladder
        return SHORT_LADDER if self.nepochs <= 5 else FULL_LADDER


def dose_arms(config: DoseStudyConfig) -> list[dict[str, Any]]:
    """Every arm once: two doses × two losses at the first seed, and the ladder (Poisson)."""
    pairs = [(dose, loss, config.seeds[0]) for dose in COMPARISON_DOSES for loss in LOSSES]
    pairs += [(dose, "poisson", seed) for dose in config.ladder_photons() for seed in config.seeds]
    return [
        {
            "name": f"{loss}-{_power(dose)}-seed{seed}",
            "photons": dose,
            "loss": loss,
            "seed": seed,
        }
        for dose, loss, seed in dict.fromkeys(pairs)
    ]


def _power(dose: float) -> str:
    """1e9 → 1e09, 25000 → 2.5e04: part of a folder's name."""
    digits, exponent = f"{dose:.6e}".split("e")
    return f"{digits.rstrip('0').rstrip('.')}e{exponent.removeprefix('+')}"


def run_dose_study(
    config: DoseStudyConfig,
    folder: Path,
    *,
    resume: bool = False,
    skip_training: bool = False,
    scheduler: str | None = None,
    progress: Callable[[int, int, dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Run all arms and write table, figures and page under `folder`.

    Args:
        config: what to study.
        folder: everything is written here; made if missing.
        resume: arms that are finished with the same configuration are not run again.
        skip_training: run nothing; make the report from the finished arms.
        scheduler: address of a Dask scheduler, or None for this process.
        progress: called after each arm.

    Returns:
        The content of `study.json`; `failed` names the arms that did not finish, and why.

    Raises:
        DataError: the folder holds another study, or nothing is there to report.
    """
    begun = time.perf_counter()
    folder = _folder(folder)
    settings = config.model_dump(mode="json")
    arms = dose_arms(config)
    finished = _finished(folder, arms, settings) if resume or skip_training else {}
    missing = [arm for arm in arms if arm["name"] not in finished]
    outcomes: list[Outcome] = []
    if missing and not skip_training:
        tasks = [{**arm, "config": settings, "folder": str(folder)} for arm in missing]
        outcomes = run_arms(tasks, run_arm, scheduler=scheduler, progress=progress)
    rows = finished | {o.arm["name"]: o.result for o in outcomes if o.result is not None}
    if not rows:
        raise _nothing(folder, outcomes)
    study = {
        "config": settings,
        "ladder_photons": list(config.ladder_photons()),
        "seeds": list(config.seeds),
        "versions": versions(),
        "environment": {"machine": platform.machine(), "cpus": os.cpu_count()},
        "seconds": round(time.perf_counter() - begun, 2),
        "arms": [rows[arm["name"]] for arm in arms if arm["name"] in rows],
        "failed": {o.arm["name"]: o.error for o in outcomes if o.error is not None}
        | ({arm["name"]: "not run" for arm in missing} if skip_training else {}),
    }
    _report(study, config, folder)
    return study


def _nothing(folder: Path, outcomes: list[Outcome]) -> DataError:
    if not outcomes:
        return DataError(
            "the study has nothing to report",
            where=folder,
            got="no finished arm",
            fix=f"ptycho study dose --output-dir {folder}   (without --skip-training)",
        )
    reasons = list(dict.fromkeys(str(outcome.error) for outcome in outcomes))
    return DataError(
        f"none of the {len(outcomes)} arms finished",
        where=", ".join(outcome.arm["name"] for outcome in outcomes),
        got="; and: ".join(reasons[:3]),
        fix="correct this and run the command again",
    )


def _folder(folder: Path) -> Path:
    if folder.exists() and not folder.is_dir():
        raise UsageError(
            "the output directory is a file", where=folder, expected="a folder", got="file"
        )
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _row_of(path: Path) -> dict[str, Any]:
    """What a finished arm wrote; DataError names a file that is damaged."""
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _damaged(path, error) from error
    if not (isinstance(saved, dict) and all(isinstance(saved.get(k), dict) for k in _ROW_KEYS)):
        raise _damaged(path, "something else")
    return saved


def _damaged(path: Path, got: object) -> DataError:
    return DataError(
        "the result of a finished arm cannot be read",
        where=path,
        expected=f"a JSON object with {' and '.join(_ROW_KEYS)}",
        got=got,
        fix=f"rm -r {path.parent}, then --resume runs this arm again",
    )


def _finished(
    folder: Path, arms: list[dict[str, Any]], settings: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    rows = {}
    for arm in arms:
        path = folder / arm["name"] / ROW
        if not path.exists():
            continue
        saved = _row_of(path)
        # The ladder and the seeds choose arms, they do not change one.
        same = {k: v for k, v in settings.items() if k not in ("ladder", "seeds")}
        if {k: saved["config"].get(k) for k in same} != same:
            raise DataError(
                "this folder holds arms of another configuration",
                where=path,
                expected=same,
                got=saved["config"],
                fix="choose another --output-dir, or leave out --resume",
            )
        rows[arm["name"]] = saved["row"]
    return rows


def _report(study: dict[str, Any], config: DoseStudyConfig, folder: Path) -> None:
    rows = study["arms"]
    first = config.seeds[0]
    compared = [r for r in rows if r["photons"] in COMPARISON_DOSES and r["seed"] == first]
    dose_report.write_csv(rows, folder / "metrics.csv")
    if compared:
        dose_report.comparison_figure(compared, folder, folder / "dose_comparison.png")
    ladder = config.ladder_photons()
    on_ladder = [r for r in rows if r["photons"] in ladder and r["loss"] == "poisson"]
    if on_ladder:
        dose_report.ladder_figure(on_ladder, folder / "dose_ladder.png")
    write_json(folder / "study.json", study)
    dose_report.write_page(study, folder, folder / "index.html")


def require_success(study: dict[str, Any]) -> None:
    """Raise when an arm failed: the others are finished and reported, the command is not."""
    if study["failed"]:
        names = ", ".join(study["failed"])
        raise PtychoError(
            f"{len(study['failed'])} of {len(study['arms']) + len(study['failed'])} arms failed",
            where=names,
            got="; ".join(f"{name}: {why}" for name, why in study["failed"].items()),
            fix="the same command with --resume runs only these again",
        )
