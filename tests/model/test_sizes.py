"""Frame sizes, sparse counts, no second compilation, and the model on the other backends."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from typing import Any

import keras
import numpy as np
import pytest

from ptycho.config import TrainConfig
from ptycho.model.pinn import PtychoPINN
from ptycho.physics import backend
from ptycho.physics.scaling import Scaling
from ptycho.reconstruction.predict import reconstruct
from ptycho.simulation import SimulationConfig, simulate
from ptycho.training.collapse import check_collapse
from ptycho.training.loop import train


def _probe(N: int, photons: float) -> np.ndarray:
    row, col = np.indices((N, N)) - N // 2
    radius = np.hypot(row, col)
    field = (radius < 0.2 * N) * np.exp(0.4j * (radius / (0.1 * N)) ** 2)
    return (field * np.sqrt(photons / np.sum(np.abs(field) ** 2))).astype(np.complex64)


def _model(N: int, gridsize: int = 2, photons: float = 1e4, **options: Any) -> PtychoPINN:
    scaling = Scaling(photons, float(np.sqrt(photons)) / N)
    return PtychoPINN(N, gridsize, _probe(N, photons), scaling, **options)


def _data(N: int, gridsize: int, seed: int = 0, batch: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    counts = rng.poisson(3.0, (batch, gridsize**2, N, N)).astype(np.float32)
    offsets = rng.uniform(-3, 3, (batch, gridsize**2, 2))
    return counts, (offsets - offsets.mean(axis=1, keepdims=True)).astype(np.float32)


def test_sparse_counts_at_128_do_not_collapse(tmp_path: Any) -> None:
    """300 photons over 16384 pixels; the published network answers such frames with a constant."""
    scan = simulate(SimulationConfig(N=128, n_frames=64, photons=300, seed=2))
    frames = scan.frames(np.arange(scan.n_frames))
    assert np.mean(frames == 0) > 0.95
    config = TrainConfig(
        epochs=3, batch_size=8, learning_rate=2e-3, validation_fraction=0, patience=None
    )
    result = train([scan], config, tmp_path / "run")  # refuses a collapsed network by itself
    losses = [row["loss"] for row in result.history if row["loss"] is not None]
    assert np.all(np.isfinite(losses)) and losses[-1] < losses[0]
    found = reconstruct(result.model, scan)
    control = reconstruct(None, scan, untrained=result.model.estimate_steps)
    lit = found.region(0.3) & control.region(0.3)
    assert np.std(found.object[lit]) > 0.2 * np.std(control.object[lit])


@pytest.mark.parametrize(
    ("N", "gridsize", "network"), [(96, 2, "default"), (256, 1, "default"), (96, 1, "cnn")]
)
def test_frame_sizes_build_train_and_predict(N: int, gridsize: int, network: str) -> None:
    model = _model(N, gridsize, network=network)
    model.compile("adam")
    counts, offsets = _data(N, gridsize, batch=2)
    before = model.get_weights()
    assert np.isfinite(float(model.train_on_batch((counts, offsets), counts)))
    moved = [not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)]
    assert any(moved)
    canvas, coverage = model.predict_objects(counts, offsets)
    assert canvas.shape == (2, model.canvas_size, model.canvas_size) == coverage.shape
    assert canvas.dtype == np.complex64 and np.all(np.isfinite(canvas))


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="counts TensorFlow's traces")
def test_new_values_compile_nothing_again() -> None:
    """An offset that became a constant of the program once cost a compilation for every batch."""
    traced = []

    class Counted(PtychoPINN):
        def call(self, inputs: Any, training: bool = False) -> Any:
            traced.append(1)
            return super().call(inputs, training=training)

    model = Counted(32, 2, _probe(32, 1e4), Scaling(1e4, 3.0), canvas_size=48)
    model.compile("adam")
    seen: list[tuple[int, ...]] = []
    for seed in range(4):
        counts, offsets = _data(32, 2, seed)
        model.train_on_batch((counts, offsets), counts)
        model.predict_objects(counts, offsets, probe=(1 + seed) * _probe(32, 1e4))
        compiled = list(model._prediction._compiled.values())
        assert len(compiled) == 1
        seen.append((len(traced), compiled[0].experimental_get_tracing_count()))
    assert len(set(seen)) == 1, seen


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="counts TensorFlow's traces")
def test_physics_compiles_once_for_a_shape() -> None:
    from ptycho.physics import diffract, extract

    traced = []

    def expected(canvas: Any, offsets: Any, probe: Any) -> Any:
        traced.append(1)
        return diffract(extract(canvas, offsets, 32), probe)

    compiled = backend.jit(expected)
    for seed in range(3):
        _, offsets = _data(32, 2, seed)
        canvas = np.full((4, 48, 48), 1 + seed, np.complex64)
        compiled(canvas, offsets, (1 + seed) * _probe(32, 1e4)[None])
    hlo = compiled.compiled.experimental_get_compiler_ir(  # type: ignore[attr-defined]
        *(backend.tensor(a) for a in (canvas, offsets, _probe(32, 1e4)[None]))
    )(stage="hlo")
    assert "fft" in hlo
    assert len(traced) == 1


_OTHER = """
import sys, numpy as np
from ptycho.model.pinn import PtychoPINN
from ptycho.physics.scaling import Scaling
case = np.load(sys.argv[1])
model = PtychoPINN(32, 2, case["probe"], Scaling(1e4, 3.0), canvas_size=48, seed=3)
model.set_weights([case[f"w{i:02d}"] for i in range(len(model.weights))])
counts, offsets = case["counts"], case["offsets"]
canvas, _ = model.predict_objects(counts, offsets)
model.compile("adam")
losses = [float(model.train_on_batch((counts, offsets), counts)) for _ in range(3)]
np.savez(sys.argv[2], canvas=canvas, losses=losses)
"""


@pytest.mark.parametrize("name", [pytest.param("torch", marks=pytest.mark.torch), "jax"])
def test_the_model_is_the_same_on(name: str, tmp_path: Any) -> None:
    """Fixed weights: equal objects, equal losses of three training steps."""
    if keras.backend.backend() != "tensorflow":
        pytest.skip("compares with TensorFlow")
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed (pip install 'ptycho[{name}]')")
    counts, offsets = _data(32, 2, batch=8)
    model = PtychoPINN(32, 2, _probe(32, 1e4), Scaling(1e4, 3.0), canvas_size=48, seed=3)
    rng = np.random.default_rng(0)
    for weight in model.network.weights[-2:]:  # the head starts at zero
        weight.assign(rng.normal(0, 0.02, weight.shape))
    weights = {f"w{i:02d}": np.asarray(w) for i, w in enumerate(model.weights)}
    case = {"probe": _probe(32, 1e4), "counts": counts, "offsets": offsets, **weights}
    np.savez(tmp_path / "case.npz", **case)
    canvas, coverage = model.predict_objects(counts, offsets)
    model.compile("adam")
    losses = [float(model.train_on_batch((counts, offsets), counts)) for _ in range(3)]
    done = subprocess.run(
        [sys.executable, "-c", _OTHER, str(tmp_path / "case.npz"), str(tmp_path / "found.npz")],
        env={**os.environ, "KERAS_BACKEND": name},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = np.load(tmp_path / "found.npz")
    lit = coverage > 0.1
    np.testing.assert_allclose(found["canvas"][lit], canvas[lit], atol=2e-3 * np.abs(canvas).max())
    np.testing.assert_allclose(found["losses"], losses, rtol=2e-3)
    assert check_collapse(found["canvas"], canvas, coverage) > 0.9
