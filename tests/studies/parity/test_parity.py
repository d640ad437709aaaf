"""`ptycho parity` between real processes; every flipped sign is caught at the tap it enters."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import parity_frozen as frozen
import pytest
from typer.testing import CliRunner

from ptycho.cli.app import app
from ptycho.config import TrainConfig
from ptycho.data import save_scan
from ptycho.errors import UsageError
from ptycho.model.archive import save_run
from ptycho.physics import backend
from ptycho.studies.parity import run as parity_run
from ptycho.studies.parity.compare import compare, relative_difference, statistics
from ptycho.studies.parity.forward import Forward
from ptycho.studies.parity.taps import TAPS

HAS_TORCH = importlib.util.find_spec("torch") is not None
NAMES = [tap.name for tap in TAPS]


@pytest.fixture(scope="module")
def run_and_scan(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run folder (small network, random weights) and a scan file that fits it."""
    from ptycho.model.pinn import PtychoPINN
    from ptycho.physics.scaling import Scaling
    from ptycho.simulation import SimulationConfig, simulate

    folder = tmp_path_factory.mktemp("parity")
    scan = simulate(SimulationConfig(N=32, n_frames=25, photons=1e4, seed=3))
    options: dict[str, int | float | str | bool] = {"width": 8, "deep_blocks": 1}
    scaling = Scaling.from_counts(scan.counts)
    model = PtychoPINN(32, 2, scan.probe, scaling, network_options=options, estimate_steps=2)
    head = model.network.weights[-2]  # it starts at zero: give it something to say
    head.assign(np.random.default_rng(0).normal(0, 0.05, head.shape))
    model.fit_canvas(np.full((1, 4, 2), 6.0))
    save_run(model, TrainConfig(network_options=options), folder / "run")
    save_scan(scan, folder / "scan.npz")
    return folder / "run", folder / "scan.npz"


def _command(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ptycho", "parity", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.torch
@pytest.mark.skipif(not HAS_TORCH, reason="torch is not installed (ptycho[torch])")
def test_tensorflow_and_torch_agree(run_and_scan: tuple[Path, Path], tmp_path: Path) -> None:
    """The whole command, and everything that it writes."""
    run, scan = run_and_scan
    out = tmp_path / "parity"
    done = _command(run, scan, "--backends", "tensorflow,torch", "-o", out, "--json")
    assert done.returncode == 0, done.stderr
    stats = json.loads(done.stdout)
    assert stats == json.loads((out / "stats.json").read_text())
    assert stats["agree"] and stats["first_divergent"] is None and list(stats["taps"]) == NAMES
    for name, tap in stats["taps"].items():
        limit = 1e-3 if "gradient" in name else 1e-5
        assert tap["tolerance"] == limit and tap["tolerance_reason"]
        fields = {"shape", "dtype", "mean", "std", "min", "max", "var_zero_mean"}
        for each in (tap, *tap["backends"].values()):
            assert fields | {"max_relative_difference", "sha256"} <= each.keys()
        assert 0 <= tap["max_relative_difference"] <= limit
    # Two backends that really differed: not one of them twice.
    assert stats["taps"]["canvas"]["max_relative_difference"] > 0
    for name in ("tensorflow", "torch"):
        variables = stats["environment"][name]["variables"]
        assert variables["KERAS_BACKEND"] == name and stats["versions"][name]["keras"]
    with np.load(out / "inputs.npz") as arrays:
        for name in ("counts", "offsets_px"):
            digest = hashlib.sha256(arrays[name].tobytes()).hexdigest()
            assert stats["inputs_sha256"][name] == digest
    weights = hashlib.sha256((run / "weights.h5").read_bytes()).hexdigest()
    assert stats["inputs_sha256"]["weights"] == weights
    assert json.loads((out / "offsets.json").read_text())["count"] == 16
    assert json.loads((out / "canvas.json").read_text())["patch_size"] == 32
    _check_files(out)


def _check_files(out: Path) -> None:
    lines = (out / "artifact_inventory.txt").read_text().splitlines()
    noted = {line.split("  ", 1)[1]: line.split("  ", 1)[0] for line in lines}
    files = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()}
    assert set(noted) == files - {"artifact_inventory.txt"}
    for name, digest in noted.items():
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == digest
    pictures = [name for name in files if name.endswith(".png")]
    assert any(n.startswith("patches_torch") for n in pictures)
    assert any(n.startswith("difference_torch") for n in pictures)
    assert all((out / name).stat().st_size > 10_000 for name in pictures)


@pytest.mark.torch
@pytest.mark.skipif(not HAS_TORCH, reason="torch is not installed (ptycho[torch])")
def test_a_flipped_sign_on_one_backend_ends_with_1_and_names_the_tap(
    run_and_scan: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exit wave of PyTorch negated: its far field is right, and the tap tells."""
    worker = (str(Path(__file__).with_name("flipped_worker.py")),)
    monkeypatch.setattr(parity_run, "WORKER", worker)
    command = ["parity", *map(str, run_and_scan), "--backends", "tensorflow,torch"]
    done = CliRunner().invoke(app, [*command, "-o", str(tmp_path / "out"), "--groups", "2"])
    assert done.exit_code == 1
    assert "part at the tap exit_wave" in " ".join(done.stderr.split())
    stats = json.loads((tmp_path / "out/stats.json").read_text())
    assert stats["first_divergent"]["tap"] == "exit_wave"
    assert stats["first_divergent"]["backend"] == "torch"
    assert stats["taps"]["exit_wave"]["max_relative_difference"] == pytest.approx(2.0, rel=1e-4)
    assert stats["taps"]["rate"]["within_tolerance"]


def _negative(field: Any) -> Any:
    return backend.joined(tuple(-plane for plane in backend.planes(field)))


def _negative_slope(field: Any) -> Any:
    """The field itself; its derivative has the wrong sign."""
    op = backend.with_gradient(
        lambda *planes: tuple(1.0 * plane for plane in planes),
        lambda planes, upstream: tuple(-slope for slope in upstream),
    )
    return backend.joined(op(*backend.planes(field)))


FLIPS = {
    "input": ("input", lambda pair: (-pair[0], pair[1])),
    "object_patches": ("object_patches", _negative),
    "canvas": ("canvas", _negative),
    "extracted_patches": ("extracted_patches", _negative),
    "exit_wave": ("exit_wave", _negative),
    "amplitude": ("power", _negative),
    "rate": ("rate", _negative),
    "loss": ("loss", _negative),
    "canvas_gradient": ("extracted_patches", _negative_slope),
    "gradients": ("canvas", _negative_slope),
}


@pytest.fixture(scope="module")
def right() -> dict[str, np.ndarray]:
    """The taps of the frozen model, unspoilt."""
    inputs = frozen.load("default_poisson")[0]
    return _taps(Forward, inputs)


def _taps(kind: type[Forward], inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    model = frozen.build_model("default_poisson", inputs)
    return kind(model, inputs["counts"].astype(np.float32), inputs["offsets_px"]).taps()


@pytest.mark.parametrize("name", NAMES)
def test_a_sign_flipped_in_any_stage_is_caught_at_its_tap(
    name: str, right: dict[str, np.ndarray]
) -> None:
    stage, spoil = FLIPS[name]
    original = getattr(Forward, stage)
    unchecked = {"check": lambda self, rate: 0.0}
    wrong = type("Wrong", (Forward,), unchecked | {stage: lambda *a: spoil(original(*a))})
    inputs = frozen.load("default_poisson")[0]
    _, first = compare({"right": right, "wrong": _taps(wrong, inputs)}, TAPS)
    assert first is not None and first["tap"] == name


def test_a_flipped_offset_is_caught_in_the_extracted_patches(right: dict[str, np.ndarray]) -> None:
    """The sign that earlier ports got wrong: offset against minus offset."""

    class Wrong(Forward):
        def extracted_patches(self, canvas: Any) -> Any:
            self.offsets = -self.offsets
            return super().extracted_patches(canvas)

        def check(self, rate: np.ndarray) -> float:
            return 0.0

    inputs = frozen.load("default_poisson")[0]
    _, first = compare({"right": right, "wrong": _taps(Wrong, inputs)}, TAPS)
    assert first is not None and first["tap"] == "extracted_patches"


def test_stages_that_are_not_the_model_are_refused() -> None:
    from ptycho.errors import ModelError

    class Wrong(Forward):
        def rate(self, power: Any) -> Any:
            return 1.001 * super().rate(power)

    with pytest.raises(ModelError, match="not the model"):
        _taps(Wrong, frozen.load("default_poisson")[0])


def test_differences_are_relative_to_the_largest_value() -> None:
    reference = np.array([[1e-9, 4.0]])
    assert relative_difference(reference + np.array([[4e-5, 0]]), reference) == pytest.approx(1e-5)
    assert relative_difference(reference[0], reference) == np.inf
    assert relative_difference(reference * np.nan, reference) == np.inf
    assert relative_difference(0 * reference, 0 * reference) == 0.0
    assert relative_difference(1j * reference, 1j * reference) == 0.0
    facts = statistics(np.stack([np.full((4, 4), v, np.complex64) for v in (1j, -3.0)]))
    assert facts["var_zero_mean"] == 0.0 and facts["std"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("backends", "code", "words"),
    [
        ("tensorflow,mxnet", 2, "unknown backend"),
        ("tensorflow", 2, "at least two"),
        ("torch,torch", 2, "at least two"),
        ("", 2, "unknown backend"),
    ],
)
def test_wrong_names_are_usage_errors(
    run_and_scan: tuple[Path, Path], tmp_path: Path, backends: str, code: int, words: str
) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        parity_run.checked(backends.split(","))
    assert caught.value.exit_code == code


def test_only_what_a_parity_run_wrote_is_removed(tmp_path: Path) -> None:
    """A source folder named like a backend once was an output folder of somebody."""
    for name in ("torch/worker.log", "stats.json", "patches_torch_phase.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("old")
    (tmp_path / "torch/mine.py").write_text("work")
    with pytest.raises(UsageError, match=r"mine\.py"):
        parity_run._clean(tmp_path)
    assert (tmp_path / "stats.json").exists() and (tmp_path / "torch/worker.log").exists()
    (tmp_path / "torch/mine.py").unlink()
    parity_run._clean(tmp_path)
    assert [path.name for path in tmp_path.rglob("*")] == ["torch"]


@pytest.mark.skipif(importlib.util.find_spec("jax") is not None, reason="jax is installed")
def test_a_missing_backend_is_an_error_with_the_command_that_installs_it(
    run_and_scan: tuple[Path, Path], tmp_path: Path
) -> None:
    run, scan = run_and_scan
    done = _command(run, scan, "--backends", "tensorflow,jax", "-o", tmp_path / "out")
    assert done.returncode == 1
    assert "jax is not installed" in done.stderr
    assert "-m pip install 'ptycho[jax]'" in done.stderr
    assert not (tmp_path / "out").exists()
