"""The contract for programs that embed the library: fit, predict, save, load, leave no trace."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import hashlib, json, logging, random, sys, warnings
import numpy as np

logging.basicConfig(level=logging.INFO, stream=sys.stderr)
random.seed(5)
np.random.seed(7)

def state():
    return {
        "random": hashlib.sha256(repr(random.getstate()).encode()).hexdigest(),
        "numpy": hashlib.sha256(repr(np.random.get_state()).encode()).hexdigest(),
        "level": logging.root.level,
        "handlers": [type(handler).__name__ for handler in logging.root.handlers],
        "warnings": repr(np.geterr()),
        "excepthook": sys.excepthook is sys.__excepthook__,
    }

before = state()
import ptycho
imported = state()
import keras  # draws from `random` when it is imported first (it imports rich), whoever does it
import tensorflow as tf
loaded = state()
scan = ptycho.simulate(ptycho.SimulationConfig(N=32, n_frames=64, photons=1e5))
config = ptycho.TrainConfig(epochs=1, batch_size=8, estimate_steps=2, validation_margin_px=4)
done = []
result = ptycho.train(scan, config, "run", progress=lambda *call: done.append(call[:2]))
counts = scan.frames(np.arange(8)).reshape(2, 4, 32, 32)
places = scan.positions_px[:8].reshape(2, 4, 2)
offsets = places - places.mean(axis=1, keepdims=True)
old = result.model.predict_objects(counts, offsets)[0]
new = ptycho.load("run").predict_objects(counts, offsets)[0]
rec = ptycho.reconstruct("run", scan)
ptycho.save_reconstruction(rec, "object.h5")
again = ptycho.load_reconstruction("object.h5")
try:
    ptycho.TrainConfig(epoch=3)
    refused = False
except Exception as error:
    refused = "epoch" in str(error)
print(json.dumps({
    "import changed": [key for key in before if before[key] != imported[key]],
    "use changed": [key for key in loaded if loaded[key] != state()[key]],
    "same prediction": bool(np.array_equal(old, new)),
    "same object": bool(np.array_equal(rec.object, again.object)),
    "keras model": isinstance(result.model, keras.Model),
    "unseeded op": list(tf.random.uniform((2,)).shape),
    "progress": done[-1][0] == done[-1][1],
    "refused": refused,
}))
"""


@pytest.mark.training
@pytest.mark.slow
def test_a_plain_program_fits_predicts_saves_loads(tmp_path: Path) -> None:
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1, "the library prints nothing on stdout"
    assert json.loads(done.stdout) == {
        "import changed": [],
        "use changed": [],
        "same prediction": True,
        "same object": True,
        "keras model": True,
        "unseeded op": [2],
        "progress": True,
        "refused": True,
    }
    assert {path.name for path in tmp_path.iterdir()} == {"run", "object.h5"}


def test_the_package_says_that_it_is_typed() -> None:
    import ptycho

    assert (Path(ptycho.__file__).parent / "py.typed").is_file()
    for name in ptycho.__all__:
        value = getattr(ptycho, name)
        assert name == "__version__" or value.__doc__, f"{name} has no documentation"


@pytest.mark.parametrize("asked", [False, True])
def test_the_start_of_tensorflow_is_silent_unless_its_variable_is_set(asked: bool) -> None:
    """A refinement in a fresh process; what TensorFlow says at its start goes to stderr."""
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    if asked:
        environment["TF_CPP_MIN_LOG_LEVEL"] = "0"
    code = "import ptycho; ptycho.refine; import tensorflow"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert bool(done.stderr.strip()) == asked
