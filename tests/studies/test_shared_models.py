"""Arms share a compiled graph: nothing is traced again, and no number of an arm changes by it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from ptycho.config import TrainConfig
from ptycho.model.pinn import PtychoPINN
from ptycho.physics.scaling import Scaling
from ptycho.studies.dose import DoseStudyConfig
from ptycho.studies.dose_arm import run_arm
from ptycho.studies.shared_models import SharedModels, graph_key

CONFIG = DoseStudyConfig(n_train=64, n_test=36, nepochs=1, gridsize=2, seeds=(0,), ladder=())
BEFORE, ARM, OTHER_LOSS = (1e9, "poisson", 0), (1e4, "poisson", 1), (1e4, "mae", 1)
ALONE = """
import json, sys
from ptycho.studies.dose_arm import run_arm
run_arm(json.loads(sys.argv[1]))
"""


def _task(folder: Path, photons: float, loss: str, seed: int) -> dict[str, Any]:
    return {
        "name": f"{loss}-{photons:.0e}-{seed}",
        "photons": photons,
        "loss": loss,
        "seed": seed,
        "config": CONFIG.model_dump(mode="json"),
        "folder": str(folder),
    }


def _weights(folder: Path, name: str) -> list[np.ndarray]:
    with h5py.File(folder / name / "run" / "weights.h5") as file:
        return [file["weights"][key][()] for key in sorted(file["weights"])]


@pytest.mark.training
def test_an_arm_after_another_is_bit_equal_to_the_arm_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another dose and seed first, in this process; then the arm, here and in a new process."""
    traced: list[str] = []
    compute_loss = PtychoPINN.compute_loss

    def counting(self: PtychoPINN, *args: Any, **kwargs: Any) -> Any:
        traced.append(self.loss_name)
        return compute_loss(self, *args, **kwargs)

    shared = SharedModels()
    monkeypatch.setattr(PtychoPINN, "compute_loss", counting)
    monkeypatch.setattr("ptycho.studies.shared_models.of_this_process", lambda: shared)
    here, alone = tmp_path / "here", tmp_path / "alone"
    before = run_arm(_task(here, *BEFORE))
    once = len(traced)
    (kept,) = shared._kept.values()
    kept.model.fit_canvas(np.full((1, 4, 2), 24.0))  # as a wider test scan would
    row = run_arm(_task(here, *ARM))
    assert once > 0 and len(traced) == once, "dose and seed do not trace a graph again"
    assert len(shared._kept) == 1
    task = _task(alone, *ARM)
    subprocess.run([sys.executable, "-c", ALONE, json.dumps(task)], check=True, timeout=300)
    name = task["name"]
    for left, right in zip(_weights(here, name), _weights(alone, name), strict=True):
        np.testing.assert_array_equal(left, right)
    with np.load(here / name / "arrays.npz") as a, np.load(alone / name / "arrays.npz") as b:
        for key in a.files:
            np.testing.assert_array_equal(a[key], b[key])
    saved = json.loads((alone / name / "metrics.json").read_text())["row"]
    same = [key for key in saved if not key.startswith("seconds")]
    assert {key: saved[key] for key in same} == {key: row[key] for key in same}
    others = zip(_weights(here, name), _weights(here, before["name"]), strict=True)
    assert any(not np.array_equal(a, b) for a, b in others)


def test_what_a_graph_depends_on() -> None:
    """Seed and dose share one; loss, network, size and mask do not."""
    probe = np.ones((1, 32, 32), np.complex64)

    def key(photons: float = 1e4, **options: Any) -> str:
        scaling = Scaling(photons, photons**0.5 / 32)
        arguments = {"canvas_size": 40, "estimate_steps": 2, "seed": 0} | options
        model = PtychoPINN(32, 2, probe * photons**0.5 / 32, scaling, **arguments)
        return graph_key(model, TrainConfig())

    assert key() == key(photons=1e8, seed=5)
    mask = np.ones((32, 32), bool)
    mask[3, 4] = False
    others = [
        {"loss": "mae"},
        {"canvas_size": 44},
        {"estimate_steps": 3},
        {"mask": mask},
        {"probe_trainable": True},
        {"network_options": {"width": 8}},
    ]
    assert len({key(), *(key(**options) for options in others)}) == 1 + len(others)
