"""The table of image quality: which arms there are, what counts as done, what is written where."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ptycho.errors import DataError, UsageError
from ptycho.studies.quality import QualityConfig, finished, quality_arms, run_arm, settings_of
from ptycho.studies.quality_table import BEGIN, END, markdown, write_section

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "benchmarks" / "quality.py"
SMALL = QualityConfig(seeds=1, photons=(1e5,), frames=36, N=32, families=("control",))


def test_arms_are_every_method_dose_and_seed_once() -> None:
    arms = quality_arms(QualityConfig())
    names = [arm["name"] for arm in arms]
    assert len(set(names)) == len(names) == 3 * 2 * (5 + 2 * 2 + 2) + 3
    assert "default-thinned-1e4-s2" in names and "control-K20-1e6-s0" in names
    # A refinement that starts from a run comes after the run.
    assert names.index("default-thinned-1e6-s1") < names.index("refine-default-1e6-s1")
    with pytest.raises(UsageError, match="cnm"):
        quality_arms(QualityConfig(families=("cnm",)))


def test_an_arm_is_run_recorded_and_not_run_again(tmp_path: Path) -> None:
    arm = quality_arms(SMALL)[2]
    assert finished(tmp_path, arm, SMALL) is None
    record = run_arm(arm, SMALL, tmp_path, lambda *_: None)
    assert record["arm"]["name"] == "control-K5-1e5-s0"
    assert 0.3 < record["metrics"]["amplitude"]["ssim"] < 1
    assert finished(tmp_path, arm, SMALL) == json.loads(json.dumps(record))
    with pytest.raises(DataError, match="other settings"):
        finished(tmp_path, arm, SMALL.model_copy(update={"frames": 49}))
    text = markdown(SMALL, {arm["name"]: record}, {}, {"cores": 2})
    row = next(line for line in text.splitlines() if "K = 5" in line)
    assert f"{record['metrics']['phase']['ssim']:.3f}" in row and "1 of 1" in row
    assert text.count("not run") >= 5 + 6 + 3  # four more controls, six others, three stars


def test_seeds_are_averaged_and_failures_named() -> None:
    config = QualityConfig(seeds=2, photons=(1e4,), families=("control", "star"))
    arms = [arm for arm in quality_arms(config) if arm["method"] == "control-K1"]
    records: dict[str, Any] = {}
    for arm, ssim in zip(arms, (0.5, 0.7), strict=True):
        part = {"ssim": ssim, "std_ratio": 2 * ssim}
        records[arm["name"]] = {
            "metrics": {"amplitude": part, "phase": part},
            "seconds": 1.0,
            "load_before": 0.1,
        }
    star = {"residual": 0.15, "seconds": 15.0, "load_before": 2.5}
    records["star-whole"] = star
    text = markdown(config, records, {"control-K2-1e4-s0": "failed (no)"}, {})
    assert "| 1e4 | 0.600 ± 0.141 | 1.20 | 0.600 ± 0.141 | 1.20 | 1.0 | 2 of 2 |" in text
    assert "K = 2 | 1e4 | failed" in text and "control-K2-1e4-s0: failed (no)" in text
    assert "| 0.1500 | ≤ 0.149 | no |" in text
    assert "control-K2-1e4-s1: not run" in text


def test_only_what_is_between_the_marks_changes(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# A\n\nbefore\n\n{BEGIN}\nold\n{END}\n\nafter\n")
    write_section(page, "new")
    assert page.read_text() == f"# A\n\nbefore\n\n{BEGIN}\nnew\n{END}\n\nafter\n"
    page.write_text("# A\n")
    write_section(page, "one")
    write_section(page, "two")
    assert page.read_text().count(BEGIN) == 1 and "two" in page.read_text()
    assert page.read_text().startswith("# A\n") and "one" not in page.read_text()
    page.write_text(BEGIN)
    with pytest.raises(DataError, match="mark"):
        write_section(page, "new")


def test_what_decides_an_arm_is_what_it_depends_on() -> None:
    config = QualityConfig()
    longer = config.model_copy(update={"minutes": 9.0})
    changed = {
        arm["method"]
        for arm in quality_arms(config)
        if settings_of(arm, config) != settings_of(arm, longer)
    }
    assert changed == {
        "cnn-thinned",
        "cnn-plain",
        "default-thinned",
        "default-plain",
        "refine-default",
    }


def test_wrong_words_are_an_exit_code(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "--output", str(tmp_path / "q"), "--table-only"]
    page = ["--page", str(tmp_path / "page.md")]
    for words in (["--arms", "cnm"], ["--photons", "many"], ["--seeds", "0"]):
        done = subprocess.run(
            [*command, *page, *words], capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert not (tmp_path / "page.md").exists()
