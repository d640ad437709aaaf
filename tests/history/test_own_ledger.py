"""This repository's own ledger: its landings verify in a fresh clone, its evidence is what it says.

`docs/history/log.jsonl` is the log of the run that closed the initiatives of `docs/fix_plan.md`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOG = ROOT / "docs/history/log.jsonl"
CHECK = ROOT / "scripts/tools/check_evidence.py"
ITEMS = {
    "REFACTOR-MODEL-SINGLETON-001",
    "FIX-GRIDSIZE-TRANSLATE-BATCH-001",
    "STUDY-SYNTH-DOSE-COMPARISON-001",
    "FIX-PYTORCH-FORWARD-PARITY-001",
    "FIX-TF-C1D-SCALED-RERUN-001",
}


def git(*words: str, cwd: Path = ROOT) -> str:
    done = subprocess.run(["git", *words], cwd=cwd, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh clone at this commit, nothing imported; its state folder lies beside it."""
    if not (ROOT / ".git").exists():
        pytest.skip("no git repository here (an unpacked archive): nothing to clone")
    if git("rev-parse", "--is-shallow-repository") == "true":
        pytest.skip("a shallow checkout lacks the commits that the receipts are about")
    folder = tmp_path_factory.mktemp("own") / "clone"
    git("clone", "--quiet", "--no-hardlinks", str(ROOT), str(folder))
    git("switch", "--quiet", "-C", "main", git("rev-parse", "HEAD"), cwd=folder)
    return folder


def orchestrate(clone: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    return subprocess.run(
        [sys.executable, "-c", "from orchestration.cli import main; main()", *words],
        cwd=clone,
        env=env | {"XDG_STATE_HOME": str(clone.parent / "state")},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_every_landing_verifies_in_a_fresh_clone(clone: Path) -> None:
    done = orchestrate(clone, "verify", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    landings = json.loads(done.stdout)["landings"]
    assert len(landings) == len(ITEMS)
    assert all(not landing["problems"] for landing in landings)
    said = orchestrate(clone, "verify").stdout
    assert "whoever may commit to this branch could have written it" in said


def test_a_committed_log_that_was_changed_is_refused_in_words(clone: Path) -> None:
    other = clone.parent / "changed"
    git("clone", "--quiet", str(clone), str(other))
    log = other / "docs/history/log.jsonl"
    log.write_text(log.read_text("utf-8").replace('"cycle":2', '"cycle":3', 1), encoding="utf-8")
    git("-c", "user.name=t", "-c", "user.email=t@e", "commit", "-qam", "changed", cwd=other)
    for words in (["verify"], ["stats"], ["status"]):
        done = orchestrate(other, *words)
        assert done.returncode == 2 and "Traceback" not in done.stderr
        assert "docs/history/log.jsonl:" in done.stderr and "log export -o" in done.stderr


def test_the_log_can_be_taken_over_as_that_of_a_checkout(clone: Path) -> None:
    other = clone.parent / "taken"
    git("clone", "--quiet", str(clone), str(other))
    imported = orchestrate(other, "log", "import", str(LOG))
    assert imported.returncode == 0, imported.stderr
    done = orchestrate(other, "verify")
    assert done.returncode == 0 and "could have written" not in done.stdout, done.stdout


def test_stats_and_report_are_rebuilt_from_the_log(clone: Path) -> None:
    stats = json.loads(orchestrate(clone, "stats", "--json").stdout)
    assert set(stats["items"]) == ITEMS
    assert stats["landed"] == len(ITEMS)
    page = clone.parent / "page.html"
    made = orchestrate(clone, "report", "-o", str(page))
    assert made.returncode == 0, made.stderr
    text = page.read_text(encoding="utf-8")
    assert all(name in text for name in ITEMS)


@pytest.mark.parametrize(
    ("item", "check"),
    [("FIX-TF-C1D-SCALED-RERUN-001", "rerun"), ("FIX-PYTORCH-FORWARD-PARITY-001", "parity")],
)
def test_the_evidence_still_is_what_its_criterion_asks_for(
    item: str, check: str, tmp_path: Path
) -> None:
    (evidence,) = (ROOT / "plans/active" / item / "reports").glob("*/analysis")
    assert _check(check, evidence) == (0, "")
    other = tmp_path / "analysis"
    shutil.copytree(evidence, other)
    stats = next(other.rglob("stats.json"))
    stats.write_text(stats.read_text(encoding="utf-8").replace("float32", "float64"))
    if check == "parity":
        changed = json.loads(stats.read_text(encoding="utf-8"))
        changed["taps"]["rate"]["max_relative_difference"] = 1.0
        stats.write_text(json.dumps(changed))
    code, said = _check(check, other)
    assert code == 1 and "stats.json" in said
    stats.unlink()
    assert _check(check, other)[0] == 1


def _check(name: str, folder: Path) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, str(CHECK), name, str(folder)], capture_output=True, text=True, timeout=60
    )
    return done.returncode, done.stdout
