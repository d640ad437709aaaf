"""The dose study on real (tiny) trainings: what it writes, what a failed arm does, what resumes."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from ptycho.errors import DataError, PtychoError
from ptycho.studies.dose import DoseStudyConfig, arms_of, require_success, run_dose_study

TINY = DoseStudyConfig(n_train=36, n_test=36, nepochs=1, gridsize=1, seeds=(0,), ladder=())


def test_arms_are_unique_and_complete() -> None:
    """Two doses × two losses, and the ladder; an arm that belongs to both is run once."""
    names = [arm["name"] for arm in arms_of(DoseStudyConfig(nepochs=5))]
    assert len(names) == len(set(names)) == 4 + 4 * 3 - 1  # 1e9, seed 0 is on both
    assert len(arms_of(DoseStudyConfig(nepochs=6))) == 4 + 7 * 3 - 2
    assert {(a["photons"], a["loss"]) for a in arms_of(TINY)} == {
        (1e9, "mae"), (1e9, "poisson"), (1e4, "mae"), (1e4, "poisson"),
    }  # fmt: skip


def test_a_failed_arm_is_named_the_others_finish_and_resume_runs_it_alone(tmp_path: Path) -> None:
    """A file where an arm's folder must be makes that arm fail; without it, --resume mends."""
    blocked = tmp_path / "mae-1e04-seed0"
    blocked.write_text("in the way")
    study = run_dose_study(TINY, tmp_path)
    assert list(study["failed"]) == ["mae-1e04-seed0"] and len(study["arms"]) == 3
    with pytest.raises(PtychoError, match="mae-1e04-seed0"):
        require_success(study)
    blocked.unlink()
    seen: list[str] = []
    study = run_dose_study(
        TINY, tmp_path, resume=True, progress=lambda done, total, info: seen.append(info["arm"])
    )
    assert seen == ["mae-1e04-seed0"] and study["failed"] == {}
    require_success(study)
    rows = list(csv.DictReader((tmp_path / "metrics.csv").open()))
    assert [row["name"] for row in rows] == [arm["name"] for arm in arms_of(TINY)]
    photons = {row["name"]: float(row["photons_measured"]) for row in rows}
    assert abs(photons["mae-1e09-seed0"] / 1e9 - 1) < 0.01
    assert abs(photons["mae-1e04-seed0"] / 1e4 - 1) < 0.01
    saved = json.loads((tmp_path / "study.json").read_text())
    assert saved["config"]["nepochs"] == 1 and saved["versions"]["keras"]
    assert (tmp_path / "dose_comparison.png").stat().st_size > 10_000
    assert "data:image/png;base64" in (tmp_path / "index.html").read_text()
    with pytest.raises(DataError, match="another configuration"):
        run_dose_study(TINY.model_copy(update={"nepochs": 2}), tmp_path, resume=True)


def test_a_report_of_nothing_is_an_error(tmp_path: Path) -> None:
    """--skip-training in an empty folder says how to train."""
    with pytest.raises(DataError, match="without --skip-training"):
        run_dose_study(TINY, tmp_path, skip_training=True)
