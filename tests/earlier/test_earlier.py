"""The earlier package's programs under their names: translated, run, and honest about the rest."""

from __future__ import annotations

import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from ptycho.config import TrainConfig
from ptycho.earlier import commands as earlier
from ptycho.earlier.flags import GONE, SETTINGS
from ptycho.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]
NAMES = {"ptycho_train": "train", "ptycho_inference": "inference", "ptycho_evaluate": "evaluate"}


def program(name: str, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    code = f"import sys; from ptycho.earlier.commands import {NAMES[name]} as run; run()"
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_names_are_entry_points_of_the_package() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    for name, function in NAMES.items():
        module, _, attribute = scripts[name].partition(":")
        assert attribute == function
        assert callable(getattr(importlib.import_module(module), attribute))


def test_train_becomes_train_and_reconstruct(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(
        "train_data_file: a.npz\ntest_data_file: b.npz\noutput_dir: out\nnepochs: 3\n"
        "model: {gridsize: 1}\npatience: null\nseed: 4\n"
    )
    words = ["--config", str(tmp_path / "c.yaml"), "--do-stitching", "--nepochs", "7"]
    train, reconstruct = earlier._train_commands("ptycho_train", words)
    assert train[:4] == ["train", "a.npz", "-o", "out"]
    settings = [word for word in train[4:] if word != "--set"]
    assert settings == ["patience=null", "seed=4", "epochs=7", "gridsize=1"]
    assert reconstruct == ["reconstruct", "out", "b.npz", "-o", "out/reconstructed.h5"]


def test_inference_and_evaluate_take_hyphens_and_underscores() -> None:
    words = ["--model_path", "run", "--test-data", "s.npz", "--output_dir", "o", "--debug_dump"]
    (command,) = earlier._inference_commands("ptycho_inference", words)
    assert command == [
        "reconstruct",
        "run",
        "s.npz",
        "-o",
        "o/reconstructed.h5",
        "--debug-dump",
        "o/debug_dump",
    ]
    words = ["--model-dir", "run", "--test-data", "s.npz", "--output-dir", "o"]
    first, second = earlier._evaluate_commands("ptycho_evaluate", words)
    assert first[-1] == "o/reconstructed.h5"
    assert second == ["evaluate", "o/reconstructed.h5", "--truth", "s.npz"]


def test_every_translated_setting_exists_here() -> None:
    assert set(SETTINGS.values()) <= set(TrainConfig.model_fields)
    assert not set(SETTINGS) & set(GONE)
    assert all(words for words in GONE.values())


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--nphotons", "1e9"], "--nphotons → nothing: it is read from the scan"),
        (["--nll_weight", "0", "--mae-weight=1"], "--mae_weight → --set loss=poisson"),
        (["--torch-accelerator", "cuda"], "KERAS_BACKEND=torch"),
        (["--colour", "red"], "--colour → unknown here and there"),
    ],
)
def test_a_flag_without_meaning_names_its_replacement(words: list[str], named: str) -> None:
    with pytest.raises(UsageError) as caught:
        earlier._train_commands("ptycho_train", ["--train_data_file", "a.npz", *words])
    assert named in str(caught.value)


def test_keys_of_a_file_are_refused_likewise(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("train_data_file: a.npz\nnphotons: 1e9\nn_groups: 512\n")
    done = program("ptycho_train", "--config", "c.yaml", cwd=tmp_path)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "nphotons → " in done.stderr and "n_groups → " in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["c.yaml"]


def test_wrong_words_are_exit_codes(tmp_path: Path) -> None:
    for name, words in (
        ("ptycho_inference", ["--test_data", "s.npz"]),
        ("ptycho_evaluate", ["--model-dir", "no-run", "--test-data", "s.npz", "out"]),
        ("ptycho_train", []),
    ):
        done = program(name, *words, cwd=tmp_path)
        assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.training
@pytest.mark.slow
def test_the_programs_work_one_after_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from ptycho.data import save_scan
    from ptycho.simulation import SimulationConfig, simulate

    monkeypatch.chdir(tmp_path)
    save_scan(simulate(SimulationConfig(N=32, n_frames=64, photons=1e5)), tmp_path / "s.npz")
    (tmp_path / "c.yaml").write_text(
        "train_data_file: s.npz\nnepochs: 1\nbatch_size: 8\nestimate_steps: 2\n"
        "validation_margin_px: 4\noutput_dir: run\n"
    )
    monkeypatch.setattr(sys, "argv", ["ptycho_train", "--config", "c.yaml", "--do_stitching"])
    earlier.train()
    assert "ptycho_train: ptycho train s.npz -o run" in capfd.readouterr().err
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names >= {"manifest.json", "reconstructed_amplitude.png", "reconstructed_phase.png"}
    words = ["--model-dir", "run", "--test-data", "s.npz", "--output-dir", "judged"]
    monkeypatch.setattr(sys, "argv", ["ptycho_evaluate", *words])
    earlier.evaluate()
    assert "amplitude SSIM" in capfd.readouterr().out
    assert (tmp_path / "judged/reconstructed-truth.png").exists()
