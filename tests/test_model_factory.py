"""The factory: many models in one process, no import side effects, XLA really on.

The node ids of this file are used by name from outside; they stay.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest


def _inputs(N: int, batch: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(N)
    amplitudes = rng.uniform(0, 2, (20, N, N, 4)).astype(np.float32)[:batch]
    positions = rng.uniform(-6, 6, (20, 1, 2, 4)).astype(np.float32)
    positions -= positions.mean(axis=-1, keepdims=True)
    return amplitudes, positions[:batch]


def _predict(N: int, batch: int) -> np.ndarray:
    from ptycho.model import create_model_with_gridsize

    # One canvas for all batches, so that all runs compute on the same grid.
    _, to_object = create_model_with_gridsize(2, N, seed=3, estimate_steps=2, canvas_size=N + 16)
    kernel = to_object.pinn.network.weights[-2]
    kernel.assign(np.random.default_rng(1).normal(0, 0.02, kernel.shape))  # head starts at zero
    return np.asarray(to_object.predict_on_batch(list(_inputs(N, batch))))


def _fresh_process(N: int, batch: int, target: Path) -> subprocess.Popen[bytes]:
    """A process of its own that writes what `_predict` gives there into `target`."""
    code = (
        "import importlib.util, sys, numpy as np;"
        f"spec = importlib.util.spec_from_file_location('factory_test', {str(Path(__file__))!r});"
        "module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module);"
        f"np.save({str(target)!r}, module._predict({N}, {batch}))"
    )
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"}
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@pytest.mark.slow
def test_multi_n_model_creation(tmp_path: Path) -> None:
    """N = 128, then 64, B·C below, at and above 64: every group as in a fresh process."""
    fresh = {N: _fresh_process(N, 20, tmp_path / f"{N}.npy") for N in (128, 64)}
    try:
        here = {(N, batch): _predict(N, batch) for N in fresh for batch in (15, 16, 20)}
        assert [process.wait(300) for process in fresh.values()] == [0, 0]
    finally:
        for process in fresh.values():
            process.kill()
            process.wait()
    for (N, batch), objects in here.items():
        alone = np.load(tmp_path / f"{N}.npy")
        assert alone.shape == (20, N, N, 1)
        assert np.std(alone) > 1e-3
        assert objects.shape == (batch, N, N, 1)
        np.testing.assert_allclose(objects, alone[:batch], rtol=0, atol=2e-4)


def test_import_no_side_effects(tmp_path: Path) -> None:
    """Importing the model writes no file, builds nothing and draws no random number."""
    code = """
import json, logging, os, random, sys
import numpy as np
import keras  # what the backend itself does on import is not ours
before = (random.getstate(), np.random.get_state()[1].tolist(), logging.getLogger().handlers[:])
import ptycho.model, ptycho.training, ptycho.reconstruction
ptycho.model.PtychoPINN, ptycho.training.train, ptycho.reconstruction.reconstruct  # loads them
after = (random.getstate(), np.random.get_state()[1].tolist(), logging.getLogger().handlers[:])
messages = []
for name in ("autoencoder", "diffraction_to_obj"):
    try:
        getattr(ptycho.model, name)
    except AttributeError as error:
        messages.append(str(error))
print(json.dumps({"random": before[:2] == after[:2], "logging": before[2] == after[2],
                  "files": os.listdir("."), "messages": messages,
                  "layers": [k for k, v in vars(sys.modules["ptycho.model.pinn"]).items()
                             if isinstance(v, keras.layers.Layer)]}))
"""
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        check=True,
        timeout=120,
        capture_output=True,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"},
        text=True,
    )
    facts = json.loads(result.stdout.splitlines()[-1])
    assert facts["random"] and facts["logging"]
    assert facts["files"] == [] and facts["layers"] == []
    assert len(facts["messages"]) == 2
    assert all("create_model_with_gridsize" in message for message in facts["messages"])


class TestXLAReenablement:
    """XLA is on by default, for every N in one process, and changes no value."""

    def test_multi_n_with_xla_enabled(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from ptycho.physics import backend
        from ptycho.physics.forward import expected_counts

        if backend.name() != "tensorflow":
            pytest.skip("XLA through tf.function is TensorFlow's")
        import tensorflow as tf

        rng = np.random.default_rng(5)
        for N in (128, 64):
            planes = rng.normal(size=(2, 3, N + 8, N + 8)).astype(np.float32)
            probe = (rng.normal(size=(1, N, N)) + 0j).astype(np.complex64)
            offsets = rng.uniform(-4, 4, (3, 4, 2)).astype(np.float32)
            arguments = [
                tf.constant(value)
                for value in (planes[0] + 1j * planes[1], offsets, probe, np.float32(1e-3))
            ]
            function = expected_counts(N)
            monkeypatch.setenv("USE_XLA_TRANSLATE", "1")
            compiled = function(*arguments)
            hlo = function.compiled.experimental_get_compiler_ir(*arguments)(stage="hlo")
            assert "HloModule" in hlo and "fft" in hlo
            monkeypatch.setenv("USE_XLA_TRANSLATE", "0")
            plain = function(*arguments)
            np.testing.assert_allclose(compiled, plain, rtol=2e-4, atol=1e-3)
