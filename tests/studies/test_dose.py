"""The dose study on real (tiny) trainings: what it writes, what a failed arm does, what resumes."""

from __future__ import annotations

import csv
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ptycho.cli.app import app
from ptycho.errors import ConfigError, DataError, PtychoError
from ptycho.studies.dose import DoseStudyConfig, dose_arms, require_success, run_dose_study

TINY = DoseStudyConfig(n_train=36, n_test=36, nepochs=1, gridsize=1, seeds=(0,), ladder=())

SCRIPT = Path(__file__).parents[2] / "scripts" / "studies" / "dose_response_study.py"


def test_arms_are_unique_and_complete() -> None:
    """Two doses × two losses, and the ladder; an arm that belongs to both is run once."""
    names = [arm["name"] for arm in dose_arms(DoseStudyConfig(nepochs=5))]
    assert len(names) == len(set(names)) == 4 + 4 * 3 - 1  # 1e9, seed 0 is on both
    assert len(dose_arms(DoseStudyConfig(nepochs=6))) == 4 + 7 * 3 - 2
    assert {(a["photons"], a["loss"]) for a in dose_arms(TINY)} == {
        (1e9, "mae"),
        (1e9, "poisson"),
        (1e4, "mae"),
        (1e4, "poisson"),
    }


@pytest.mark.training
def test_a_failed_arm_is_named_the_others_finish_and_resume_runs_it_alone(tmp_path: Path) -> None:
    """A file where an arm's folder must be makes that arm fail; without it, --resume runs it."""
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
    assert [row["name"] for row in rows] == [arm["name"] for arm in dose_arms(TINY)]
    photons = {row["name"]: float(row["photons_measured"]) for row in rows}
    assert abs(photons["mae-1e09-seed0"] / 1e9 - 1) < 0.01
    assert abs(photons["mae-1e04-seed0"] / 1e4 - 1) < 0.01
    saved = json.loads((tmp_path / "study.json").read_text())
    assert saved["config"]["nepochs"] == 1 and saved["versions"]["keras"]
    assert (tmp_path / "dose_comparison.png").stat().st_size > 10_000
    assert "data:image/png;base64" in (tmp_path / "index.html").read_text()
    with pytest.raises(DataError, match="another configuration"):
        run_dose_study(TINY.model_copy(update={"nepochs": 2}), tmp_path, resume=True)


def test_doses_are_named_apart_and_must_be_doses() -> None:
    """Two doses that round to one power of ten are two arms; zero photons are none."""
    config = DoseStudyConfig(ladder=(2.4e4, 1.6e4, 1e5), seeds=(0,))
    names = [arm["name"] for arm in dose_arms(config)]
    assert "poisson-2.4e04-seed0" in names and "poisson-1.6e04-seed0" in names
    for wrong in (0.0, -5.0, math.nan, math.inf):
        with pytest.raises(ConfigError):
            DoseStudyConfig(ladder=(wrong,))


def test_arms_that_all_fail_say_why(tmp_path: Path) -> None:
    """Sixteen frames cannot be split; with --json there is one object on stdout and exit code 3."""
    done = subprocess.run(
        [
            sys.executable,
            str(SCRIPT),
            "--output-dir",
            str(tmp_path),
            "--nepochs",
            "1",
            "--n-train",
            "16",
            "--n-test",
            "16",
            "--N",
            "64",
            "--gridsize",
            "1",
            "--verbose",
            "--ladder",
            "none",
            "--json",
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 3 and "Traceback" not in done.stderr
    answer = json.loads(done.stdout)
    assert "none of the 4 arms finished" in answer["what"] and "margin" in answer["got"]


def test_one_json_object_when_an_arm_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The study on stdout, the failed arm on stderr, exit code 1."""
    rows = {"name": "mae-1e09-seed0", "amplitude_ssim": 0.5, "phase_ssim": 0.5, "seconds": 1.0}
    study = {"arms": [rows], "failed": {"poisson-1e09-seed0": "no power"}}
    monkeypatch.setattr("ptycho.studies.dose.run_dose_study", lambda *a, **k: study)
    done = CliRunner().invoke(app, ["study", "dose", "-o", str(tmp_path), "--json"])
    assert done.exit_code == 1 and json.loads(done.stdout) == study
    assert "poisson-1e09-seed0" in done.stderr


def test_a_report_of_nothing_is_an_error(tmp_path: Path) -> None:
    """--skip-training in an empty folder says how to train."""
    with pytest.raises(DataError, match="without --skip-training"):
        run_dose_study(TINY, tmp_path, skip_training=True)


@pytest.mark.parametrize(
    "content", ["", '{"row": {}', "[1]", '{"row": {}}', '{"row": 1, "config": {}}']
)
def test_a_damaged_result_of_an_arm_is_named(tmp_path: Path, content: str) -> None:
    """A full disk or an edit: words and the way on, with --resume and with --skip-training."""
    folder = tmp_path / dose_arms(TINY)[0]["name"]
    folder.mkdir()
    (folder / "metrics.json").write_text(content)
    with pytest.raises(DataError, match=r"cannot be read[\s\S]*metrics\.json[\s\S]*rm -r"):
        run_dose_study(TINY, tmp_path, skip_training=True)
