"""train → reconstruct → refine → evaluate as commands: files, JSON, exit codes, mistakes.

One trained run serves all tests; the commands run in this process, as the program runs them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from ptycho.cli import app
from ptycho.config import TrainConfig
from ptycho.data import save_scan
from ptycho.simulation import SimulationConfig, simulate

pytestmark = pytest.mark.training  # the run that all tests share

SIMULATION = {"N": 32, "n_frames": 64, "photons": 1e5, "probe_diameter_px": 16.0}


def call(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of `ptycho WORDS`."""
    capfd.readouterr()
    code = 0
    try:
        app.main(list(words))
    except SystemExit as done:
        code = int(done.code or 0)
    said = capfd.readouterr()
    return code, said.out, said.err


def facts(capfd: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """The JSON object that a command prints, which is all that it prints on stdout."""
    code, out, err = call(capfd, *words, "--json")
    assert code == 0, err
    return dict(json.loads(out))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scans of one probe, `a.npz` and `b.npz`, and a run trained on both in `run`."""
    place = tmp_path_factory.mktemp("workflow")
    for seed, name in enumerate(("a", "b")):
        scan = simulate(SimulationConfig(**SIMULATION, seed=seed, noise_seed=seed))  # type: ignore[arg-type]
        save_scan(scan, place / f"{name}.npz")
    (place / "c.yaml").write_text(
        "epochs: 9\nbatch_size: 8\nestimate_steps: 2\nvalidation_margin_px: 4\n"
        "learning_rate: 2e-3\n"
    )
    words = ["train", str(place / "a.npz"), str(place / "b.npz"), "-o", str(place / "run")]
    app_words = [*words, "--config", str(place / "c.yaml"), "--set", "epochs=2", "--json"]
    with pytest.raises(SystemExit) as done:
        app.main(app_words)
    assert not done.value.code
    return place


def test_the_run_tells_how_it_was_made(folder: Path) -> None:
    """Defaults < file < --set, and all of it is in the run."""
    config = json.loads((folder / "run/config.json").read_text())
    wanted = {"epochs": 2, "batch_size": 8, "learning_rate": 2e-3, "seed": TrainConfig().seed}
    assert {key: config[key] for key in wanted} == wanted
    assert set(config) == set(TrainConfig.model_fields)
    names = {path.name for path in (folder / "run").iterdir()}
    assert {"history.csv", "history.png", "checkpoint.h5", "manifest.json"} <= names
    assert len((folder / "run/history.csv").read_text().splitlines()) == 1 + 1 + 2


def test_a_run_is_not_overwritten_and_resuming_a_finished_one_changes_nothing(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["train", f"{folder}/a.npz", f"{folder}/b.npz", "-o", f"{folder}/run"]
    words += ["--config", f"{folder}/c.yaml", "--set", "epochs=2"]
    before = (folder / "run/weights.h5").read_bytes()
    code, out, err = call(capfd, *words)
    assert code == 2 and "already holds a run" in err and "--resume" in err and not out
    found = facts(capfd, *words, "--resume")
    assert found["epochs"] == 2
    with h5py.File(folder / "run/weights.h5") as now:
        again = {name: value[()] for name, value in now["weights"].items()}
    (folder / "before.h5").write_bytes(before)
    with h5py.File(folder / "before.h5") as old:
        assert all(np.array_equal(old["weights"][name][()], again[name]) for name in again)
    code, _, err = call(capfd, *words, "--resume", "--set", "seed=3")
    assert code == 2 and "seed: 0 then, 3 now" in err


def test_several_scans_are_reconstructed_into_a_folder(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["reconstruct", f"{folder}/run", f"{folder}/a.npz", f"{folder}/b.npz"]
    found = facts(capfd, *words, "-o", f"{folder}/out", "--debug-dump", f"{folder}/dump")
    rows = found["reconstructions"]
    assert [Path(row["output"]).name for row in rows] == ["a.h5", "b.h5"]
    assert all(len(row["config_hash"]) == 16 and row["seconds"] > 0 for row in rows)
    for row in rows:
        assert {Path(path).suffix for path in row["figures"]} == {".png", ".tiff"}
        assert (Path(row["debug_dump"]) / "artifact_inventory.txt").is_file()
        with h5py.File(row["output"]) as file:
            assert {"object", "coverage", "origin_px", "probe", "meta"} <= set(file)
            meta = json.loads(file["meta"][()])
            assert meta["config_hash"] == row["config_hash"] and meta["seconds"] == row["seconds"]
    stats = json.loads((folder / "dump/a/stats.json").read_text())
    assert stats["estimate"]["shape"][-1] == 5


def test_refine_from_it_and_evaluate_both(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    start, out, scan = f"{folder}/u.h5", f"{folder}/r.h5", f"{folder}/a.npz"
    found = facts(capfd, "reconstruct", "--untrained", "3", scan, "-o", start)
    assert found["method"] == "untrained" and found["estimate_steps"] == 3
    found = facts(capfd, "refine", scan, "--start", start, "-o", out, "--passes", "8")
    assert list(found)[-4:] == ["residual", "deviance_per_pixel", "seconds", "iterations"]
    assert found["started_from"] == "untrained" and 0 < found["residual"] < 0.3
    truth = facts(capfd, "evaluate", out, "--truth", scan)
    assert truth["kind"] == "truth" and 0.3 < truth["phase"]["ssim"] <= 1
    assert facts(capfd, "evaluate", out, "--against", start)["kind"] == "against"
    halves = facts(capfd, "evaluate", out, "--half-sets")
    assert halves["kind"] == "half-sets" and halves["iterations"] == [8, 8]
    assert "settings of this file" in halves["halves"]
    for name in ("r-truth.png", "r-against.png", "r-half-sets.png"):
        assert (folder / name).read_bytes()[:4] == b"\x89PNG"
    code, text, _ = call(capfd, "evaluate", out, "--truth", scan)
    assert code == 0 and "FRC half bit" in text
    assert max(len(line) for line in text.splitlines()) <= 80


MISTAKES = {
    "second scan missing": (["train", "a.npz", "no.npz", "-o", "new"], 3, "no.npz"),
    "unknown key": (["train", "a.npz", "-o", "new", "--set", "epoch=3"], 2, "did you mean epochs"),
    "contradiction": (["train", "a.npz", "-o", "new", "--set", "neighbours=1"], 2, "contradict"),
    "not a number": (["train", "a.npz", "-o", "new", "--set", "epochs=x"], 2, "--set epochs=x"),
    "folder is a file": (["train", "a.npz", "-o", "c.yaml"], 2, "is a file"),
    "no run": (["reconstruct", "nowhere", "a.npz", "-o", "new.h5"], 3, "no finished run"),
    "only a run": (["reconstruct", "run", "-o", "new.h5"], 2, "RUN SCAN"),
    "same names": (["reconstruct", "run", "a.npz", "./a.npz", "-o", "new"], 2, "one file"),
    "zero steps": (["reconstruct", "--untrained", "0", "a.npz", "-o", "new.h5"], 2, "--untrained"),
    "no geometry": (
        ["reconstruct", "--untrained", "1", "a.npz", "-o", "new.h5", "--product"],
        3,
        "geometry",
    ),
    "output is a scan": (
        ["reconstruct", "--untrained", "1", "a.npz", "-o", "b.npz"],
        2,
        "would be overwritten",
    ),
    "modes in words": (["refine", "a.npz", "-o", "new.h5", "--modes", "two"], 2, "'auto'"),
    "start is a scan": (["refine", "a.npz", "-o", "new.h5", "--start", "b.npz"], 3, "b.npz"),
    "output is a folder": (["refine", "a.npz", "-o", "run"], 2, "must be a file"),
    "output is the scan": (["refine", "a.npz", "-o", "a.npz"], 2, "would be overwritten"),
    "result named like a picture": (["refine", "a.npz", "-o", "new.png"], 2, "HDF5 file"),
    "figure over the scan": (["inspect", "a.npz", "--figure", "a.npz"], 2, "ends in .png"),
    "figure is a folder": (["inspect", "a.npz", "--figure", "run"], 2, "ends in .png"),
    "folder below a file": (["simulate", "-o", "c.yaml/x.npz"], 2, "nothing can be written"),
    "nothing to write to": (["convert", "a.npz", "/sys/x.npz"], 2, "nothing can be written"),
    "scan is a folder": (["simulate", "-o", "run"], 2, "must be a file"),
    "convert onto itself": (["convert", "a.npz", "a.npz"], 2, "it is an input"),
    "CXI without metres": (["simulate", "-o", "new.cxi"], 3, "geometry"),
    "unknown measurement": (["inspect", "a.npz", "--measurement", "count"], 3, "not a kind"),
    "nothing to compare": (["evaluate", "r.h5"], 2, "exactly one"),
    "no such result": (["evaluate", "new.h5", "--truth", "a.npz"], 3, "new.h5"),
}


def test_what_is_written_beside_a_result_replaces_no_measurement(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """`star.h5` has `star_product.h5` beside it, which may be the scan itself, or another one."""
    lengths = ("wavelength_m=1e-10", "distance_m=2", "detector_pixel_m=75e-6")
    small = [word for s in (*lengths, "N=32", "n_frames=25") for word in ("--set", s)]
    product, scan = tmp_path / "star_product.h5", tmp_path / "scan.cxi"
    for path in (product, scan):
        assert call(capfd, "simulate", "-o", str(path), *small)[0] == 0
    before = product.read_bytes()
    for source, words in ((product, "it is an input"), (scan, "it holds frames")):
        reconstruct = ["reconstruct", "--untrained", "1", str(source), "-o"]
        code, _, err = call(capfd, *reconstruct, str(tmp_path / "star.h5"))
        assert code == 2 and words in " ".join(err.split())
    assert product.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("s_0.5um.npz.bz2", "s_0.5um"),
        ("2026.11.23-a.NPZ", "2026.11.23-a"),
        ("x.cxi", "x"),
        ("run.7", "run.7"),
        (".h5", ".h5"),
    ],
)
def test_dots_inside_a_name_belong_to_it(name: str, stem: str) -> None:
    from ptycho.data.names import scan_stem

    assert scan_stem(Path("folder") / name) == stem


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_words_and_nothing_is_written(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    words, code, named = MISTAKES[name]
    before = sorted(folder.rglob("*"))
    found, out, err = call(capfd, *words)
    assert (found, out) == (code, "") and named in " ".join(err.split())
    assert sorted(folder.rglob("*")) == before
    found, out, _ = call(capfd, *words, "--json")
    assert found == code and json.loads(out)["error"].endswith("Error")


def test_settings_are_listed_without_a_scan(capfd: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capfd, "train", "--list-settings")
    assert code == 0 and all(key in out for key in TrainConfig.model_fields)
    assert max(len(line) for line in out.splitlines()) <= 80
