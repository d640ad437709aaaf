"""The demonstration stays in step with the code: its defect, its cure, its ledger, its evidence."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from orchestration.documents.ledger import Status, check_ledger, parse_ledger

from demo import evidence, harness, library

ROOT = Path(__file__).resolve().parents[2]
GUARD = "tests/tf_helper/test_merge_guard.py"
BROKEN = "ptycho/physics/patches.py"
REMAKE = (
    "ptycho/physics/patches.py changed around merge(): make both patches of demo/defect/ again "
    "(git diff -U2, and the same with -R)"
)


def apply(checkout: Path, patch: str) -> None:
    done = subprocess.run(
        ["git", "apply", str(ROOT / patch)], cwd=checkout, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{REMAKE}\n{done.stderr}"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The library and the guard of today, in a repository of their own."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "ptycho", tmp_path / "ptycho", ignore=ignored)
    (tmp_path / "tests/tf_helper").mkdir(parents=True)
    shutil.copyfile(ROOT / GUARD, tmp_path / GUARD)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    return tmp_path


def recipe_patch() -> str:
    ledger = parse_ledger((ROOT / "demo/ledger.md").read_text(), "demo/ledger.md")
    item = ledger.item("FIX-GRIDSIZE-TRANSLATE-BATCH-001")
    assert item is not None and [recipe.kind for recipe in item.recipes] == ["apply"]
    assert item.recipes[0].patch is not None
    return item.recipes[0].patch


def test_defect_applies_and_the_recipe_restores_the_original_bytes(checkout: Path) -> None:
    original = (checkout / BROKEN).read_bytes()
    apply(checkout, harness.DEFECT)
    assert (checkout / BROKEN).read_bytes() != original
    apply(checkout, recipe_patch())
    assert (checkout / BROKEN).read_bytes() == original


def test_defect_turns_the_guard_red(checkout: Path) -> None:
    apply(checkout, harness.DEFECT)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", GUARD],
        cwd=checkout,
        env=os.environ | {"PYTHONPATH": str(checkout), "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stdout[-3000:] + done.stderr[-3000:]
    # The values are wrong, not the shapes: the defect is silent but for this guard.
    assert "test_groups_do_not_share_a_canvas" in done.stdout and "AssertionError" in done.stdout
    assert " passed" not in done.stdout.splitlines()[-1]


def test_ledger_has_four_items_that_end_as_expected(tmp_path: Path) -> None:
    for name in ("demo/defect", "demo/ledger.md", "docs/fix_plan.md", BROKEN):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
        copy(ROOT / name, tmp_path / name)
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    folder = tmp_path / "a folder; with 'signs"
    harness.plant(tmp_path, folder)
    text = (tmp_path / "docs/fix_plan.md").read_text()
    assert "{" not in text.split("## Items")[1]
    ledger = parse_ledger(text)
    assert [d.render() for d in check_ledger(ledger, datetime.now(UTC))] == []
    assert [item.id for item in ledger.items] == list(harness.EXPECTED)
    by_id = {item.id: item for item in ledger.items}
    study = by_id["STUDY-SYNTH-DOSE-COMPARISON-001"]
    assert study.depends == ["FIX-GRIDSIZE-TRANSLATE-BATCH-001"]
    collect = study.recipes[1].command
    assert collect is not None and collect.argv[3] == str(folder)
    waiting = by_id["DATA-BEAMLINE-RELEASE-001"]
    assert waiting.status is Status.WAITING and waiting.waiting is not None
    assert waiting.waiting.check.argv == ("test", "-e", "data/beamline-release.h5")
    assert by_id["ARCH-PROBE-POSITIONS-001"].needs == "agent"


def view(**groups: str) -> dict[str, object]:
    items = [{"id": name, "group": group} for name, group in (harness.EXPECTED | groups).items()]
    return {"items": items, "turns": []}


def test_check_accepts_only_the_expected_outcome() -> None:
    harness.check(view())
    with pytest.raises(harness.DemoError, match="FIX-GRIDSIZE-TRANSLATE-BATCH-001 is open"):
        harness.check(view(**{"FIX-GRIDSIZE-TRANSLATE-BATCH-001": "open"}))
    spent = view() | {"turns": [{"item": "DATA-BEAMLINE-RELEASE-001"}]}
    with pytest.raises(harness.DemoError, match="DATA-BEAMLINE-RELEASE-001 got a turn"):
        harness.check(spent)


MEASURES = {"amplitude_ssim": 0.8, "phase_ssim": 0.7, "frc_resolution_px": 2.1}


def library_files(folder: Path, **refine: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "library.png").write_bytes(evidence.PNG_START + b"rest")
    metrics = {"reconstruct": MEASURES, "refine": MEASURES | refine}
    (folder / "library.json").write_text(json.dumps({"metrics": metrics}))


def test_library_evidence_must_be_complete_and_finite(tmp_path: Path) -> None:
    library_files(tmp_path / "from")
    assert evidence.main(["collect", str(tmp_path / "from"), str(tmp_path / "to")]) == 0
    assert evidence.check_library(tmp_path / "to") == []
    library_files(tmp_path / "to", phase_ssim=float("nan"))
    assert "refine.phase_ssim" in evidence.check_library(tmp_path / "to")[0]
    (tmp_path / "to/library.png").write_bytes(b"GIF89a")
    assert "no PNG" in evidence.check_library(tmp_path / "to")[0]
    assert evidence.main(["check-library", str(tmp_path / "nothing")]) == 1
    assert evidence.main(["check-library"]) == 2


def study_files(folder: Path, rows: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / evidence.STUDY_FIGURE).write_bytes(evidence.PNG_START)
    head = "name,photons,loss,amplitude_ssim,phase_ssim"
    (folder / evidence.STUDY_TABLE).write_text("\n".join([head, *rows]) + "\n")


def test_study_evidence_needs_two_doses_and_two_losses(tmp_path: Path) -> None:
    rows = [f"{loss}-{dose},{dose},{loss},0.5,0.4" for dose in ("1e9", "1e4") for loss in "ab"]
    study_files(tmp_path, rows)
    assert evidence.check_study(tmp_path) == []
    study_files(tmp_path, rows[:3])
    assert "two doses" in evidence.check_study(tmp_path)[0]
    study_files(tmp_path, [*rows[:3], "b-1e4,1e4,b,,0.4"])
    assert evidence.check_study(tmp_path) == ["metrics.csv: b-1e4 has no amplitude_ssim"]


def test_table_fits_into_80_columns(tmp_path: Path) -> None:
    half = library.LibraryHalf(tmp_path)
    half.seconds = {"simulate": 1.2, "train": 31.0, "reconstruct": 9.9, "refine": 12.0}
    half.seconds |= {"evaluate reconstruct": 3.0, "evaluate refine": 3.5}
    said = {
        "amplitude": {"ssim": 0.81234, "psnr_db": 24.12},
        "phase": {"ssim": 0.5, "psnr_db": 18.0},
        "frc": {"cycles_per_px": 0.31, "resolution_px": 3.22},
    }
    half.metrics = dict.fromkeys(("reconstruct", "refine"), library.chosen_metrics(said))
    lines = library.table(half).splitlines()
    assert all(len(line) <= 80 for line in lines[:-1])
    assert sum("0.812" in line and "3.22" in line for line in lines) == 2
    assert any(line.startswith("evaluate") and " 6.5 " in line for line in lines)


def test_tensorflow_log_lines_are_noise_and_ours_are_not() -> None:
    noise = [
        "E0000 00:00:1795388878.728146   22142 meta_optimizer.cc:967] remapper failed",
        "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR",
    ]
    ours = ["train 1/30 epoch 1  deviance/px 0.2", "ptycho: the file is missing", "Error: 2026"]
    assert [bool(library.NOISE.match(line)) for line in noise + ours] == [True] * 2 + [False] * 3


def test_a_failing_command_is_told_in_its_own_words(tmp_path: Path) -> None:
    with pytest.raises(harness.DemoError, match="ptycho inspect ended with exit code"):
        library.run_ptycho(["inspect", str(tmp_path / "missing.npz"), "--json"])
