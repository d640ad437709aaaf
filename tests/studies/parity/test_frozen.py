"""Frozen values of the forward pass hold on this backend, on PyTorch, and in float64 NumPy."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import parity_frozen as frozen
import parity_oracle as oracle
import pytest

from ptycho.studies.parity.compare import relative_difference
from ptycho.studies.parity.taps import TAPS

CASES = list(frozen.CASES)


def _assert_within(found: dict[str, float]) -> None:
    assert list(found) == [tap.name for tap in TAPS]
    for tap in TAPS:
        assert found[tap.name] <= tap.tolerance, f"{tap.name} moved by {found[tap.name]:.3g}"


@pytest.mark.parametrize("case", CASES)
def test_values_are_those_of_the_recorded_versions(case: str) -> None:
    _assert_within(frozen.differences(case))


@pytest.mark.torch
def test_values_hold_on_torch() -> None:
    if importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed (pip install 'ptycho[torch]')")
    done = subprocess.run(
        [sys.executable, str(Path(frozen.__file__)), "check"],
        env={**os.environ, "KERAS_BACKEND": "torch"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    for case in CASES:
        _assert_within(found[case])


@pytest.mark.parametrize("case", CASES)
def test_frozen_values_are_right_and_not_only_old(case: str) -> None:
    """From the frozen canvas on, the float64 oracle gives every later tap."""
    inputs, taps, facts = frozen.load(case)
    patches = oracle.extract(taps["canvas"], inputs["offsets_px"], frozen.N)
    rate = oracle.diffract(patches, inputs["probe"], 0.05)
    counts = inputs["counts"].astype(float)
    if case == "default_poisson":
        loss = oracle.poisson_deviance(rate, counts) / 5.0**2
    else:
        loss = np.mean(np.abs(np.sqrt(rate) - np.sqrt(counts))) / 5.0
    computed = {
        "extracted_patches": patches,
        "exit_wave": patches[:, :, None] * inputs["probe"],
        "amplitude": np.sqrt(oracle.diffract(patches, inputs["probe"])),
        "rate": rate,
        "loss": np.float64(loss),
    }
    for name, expected in computed.items():
        assert relative_difference(taps[name], expected) < 3e-6, name
    assert {"keras", "numpy", "python"} <= facts["versions"].keys()


def test_fixtures_are_small() -> None:
    assert sum(path.stat().st_size for path in frozen.FOLDER.iterdir()) < 200_000
