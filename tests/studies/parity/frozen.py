"""Frozen reference values of the forward pass, and how they are made and checked.

A fixture holds its inputs (counts, offsets, probe), the values of every tap, and the versions
that made it. The weights are a formula. `python tests/studies/parity/frozen.py check` prints the
largest relative differences of the backend in KERAS_BACKEND as JSON; `… write` makes the values
again from the frozen inputs, which is right only when the model was changed on purpose.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).with_name("fixtures")
N, GRIDSIZE, BATCH, CANVAS_PX = 16, 2, 2, 24
CASES: dict[str, dict[str, Any]] = {
    "default_poisson": {
        "network": "default",
        "network_options": {"width": 4, "deep_blocks": 1},
        "loss": "poisson",
    },
    "cnn_mae": {"network": "cnn", "network_options": {"filter_scale": 1}, "loss": "mae"},
}
MODES = {"default_poisson": 2, "cnn_mae": 1}


def draw_inputs(case: str) -> dict[str, np.ndarray]:
    """Counts of a random object, offsets that are neither symmetric nor whole, curved modes."""
    rng = np.random.default_rng(list(case.encode()))
    row, col = np.indices((N, N)) - N // 2
    modes = [
        np.exp(-(((row - k) / 3.0) ** 2) - ((col + k) / 3.6) ** 2 + 0.08j * (row**2 - 2 * col * k))
        for k in range(MODES[case])
    ]
    probe = np.stack([mode * np.sqrt(2000.0 / 4**k) for k, mode in enumerate(modes)])
    offsets = rng.uniform(-3.5, 3.5, (BATCH, GRIDSIZE**2, 2))
    offsets -= offsets.mean(axis=1, keepdims=True)
    patches = rng.uniform(0.4, 1.0, (BATCH, GRIDSIZE**2, 1, N, N)) * np.exp(
        1j * rng.uniform(0, 1.5, (BATCH, GRIDSIZE**2, 1, N, N))
    )
    far = np.fft.fftshift(np.fft.fft2(patches * probe, norm="ortho"), axes=(-2, -1))
    counts = rng.poisson((np.abs(far) ** 2).sum(axis=2))
    return {
        "counts": counts.astype(np.uint16),
        "offsets_px": np.clip(offsets, -4, 4).astype(np.float32),
        "probe": probe.astype(np.complex64),
    }


def build_model(case: str, inputs: dict[str, np.ndarray]) -> Any:
    """The model of a case, its network's weights a formula of their place."""
    from ptycho.model.pinn import PtychoPINN
    from ptycho.physics.scaling import Scaling

    scaling = Scaling(float(np.sum(np.abs(inputs["probe"]) ** 2)), 5.0, 0.05)
    model = PtychoPINN(
        N,
        GRIDSIZE,
        inputs["probe"],
        scaling,
        canvas_size=CANVAS_PX,
        estimate_steps=2,
        **CASES[case],
    )
    for number, weight in enumerate(model.network.weights):
        size = int(np.prod(weight.shape))
        wave = np.sin(1.0 + number + 0.7 * np.arange(size) + 1e-3 * np.arange(size) ** 1.5)
        gain = np.sqrt(1.5 / max(size // weight.shape[-1], 1)) if len(weight.shape) == 4 else 0.02
        weight.assign((gain * wave).reshape(weight.shape).astype(np.float32))
    return model


def values(case: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every tap; of the gradients (sum, sum of moduli, weighted sum) of each weight."""
    from ptycho.studies.parity.forward import Forward

    model = build_model(case, inputs)
    taps = Forward(model, inputs["counts"].astype(np.float32), inputs["offsets_px"]).taps()
    sizes = [int(np.prod(w.shape)) for w in model.network.trainable_variables]
    parts = np.split(taps["gradients"].astype(np.float64), np.cumsum(sizes)[:-1])
    taps["gradients"] = np.array(
        [[p.sum(), np.abs(p).sum(), p @ np.cos(np.arange(p.size))] for p in parts]
    )
    return taps


def load(case: str) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, Any]]:
    """(inputs, expected taps, facts) of a fixture."""
    with np.load(FOLDER / f"{case}.npz", allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    facts = json.loads(str(arrays.pop("facts")))
    inputs = {k.removeprefix("input/"): v for k, v in arrays.items() if k.startswith("input/")}
    expected = {k.removeprefix("tap/"): v for k, v in arrays.items() if k.startswith("tap/")}
    return inputs, expected, facts


def differences(case: str) -> dict[str, float]:
    """Largest relative difference of each tap from its frozen values, on this backend."""
    from ptycho.studies.parity.compare import relative_difference

    inputs, expected, _ = load(case)
    found = values(case, inputs)
    return {name: relative_difference(found[name], expected[name]) for name in expected}


def write(case: str) -> None:
    """Make the values of a case again, from its frozen inputs where it has them."""
    from ptycho.studies.parity.worker import environment, versions

    path = FOLDER / f"{case}.npz"
    inputs = load(case)[0] if path.exists() else draw_inputs(case)
    facts = {"case": CASES[case], "versions": versions(), "environment": environment()}
    FOLDER.mkdir(exist_ok=True)
    arrays = {f"input/{name}": array for name, array in inputs.items()}
    arrays |= {f"tap/{name}": array for name, array in values(case, inputs).items()}
    np.savez_compressed(path, facts=np.array(json.dumps(facts)), **arrays)


if __name__ == "__main__":
    if sys.argv[1:] == ["write"]:
        for name in CASES:
            write(name)
    else:
        print(json.dumps({name: differences(name) for name in CASES}))
