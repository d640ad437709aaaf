"""The tests of this folder on the other backends, one process each, where they are installed."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
# JAX compiles each eager operation for each shape, so it gets the tests with few shapes.
PARTS = {
    "torch": [
        "test_operators.py",
        "test_gradients.py",
        "test_execution.py",
        "test_propagation.py",
    ],
    "jax": ["test_operators.py", "test_execution.py::test_no_gradient_from_one_group_to_another"],
}


@pytest.mark.parametrize(
    "backend", [pytest.param("torch", marks=pytest.mark.torch), pytest.param("jax")]
)
def test_the_operators_hold_on(backend):
    if os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow":
        pytest.skip("already inside such a process")
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed (pip install 'ptycho[{backend}]')")
    tests = [str(HERE / part) for part in PARTS[backend]]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests],
        env={**os.environ, "KERAS_BACKEND": backend},
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
        timeout=540,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
