"""One backend's half of a parity run, in a process of its own.

`KERAS_BACKEND=torch python -m ptycho.studies.parity.worker RUN INPUTS.npz OUT` writes
`OUT/taps.npz` and `OUT/worker.json`. `ptycho.studies.parity.run` starts it; a test
starts it with another `Forward`.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from ptycho.data import write_json
from ptycho.errors import PtychoError
from ptycho.provenance import versions

VARIABLES = (
    "KERAS_BACKEND",
    "USE_XLA_TRANSLATE",
    "TF_ENABLE_ONEDNN_OPTS",
    "TF_XLA_FLAGS",
    "XLA_FLAGS",
    "OMP_NUM_THREADS",
    "CUDA_VISIBLE_DEVICES",
    "NVIDIA_TF32_OVERRIDE",
    "JAX_PLATFORMS",
)


def main(arguments: list[str], forward: type[Any] | None = None) -> int:
    """Run the taps of this process's backend; a user's mistake is one JSON line on stderr."""
    run, inputs, out = (Path(argument) for argument in arguments)
    try:
        work(run, inputs, out, forward)
    except PtychoError as error:
        print(f"ptycho.studies.parity.worker: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def work(run: Path, inputs: Path, out: Path, forward: type[Any] | None = None) -> None:
    """Load the run, take the inputs through it, write what every tap saw."""
    begun = time.perf_counter()
    from ptycho.model import load_run
    from ptycho.physics import backend
    from ptycho.studies.parity.forward import Forward

    model = load_run(run).model
    with np.load(inputs, allow_pickle=False) as arrays, backend.deterministic():
        taps = (forward or Forward)(model, arrays["counts"], arrays["offsets_px"]).taps()
    out.mkdir(parents=True, exist_ok=True)
    np.savez(out / "taps.npz", **taps)
    facts = {
        "backend": backend.name(),
        "canvas_size": model.require_canvas(),
        "versions": versions(),
        "environment": environment(),
        "seconds": round(time.perf_counter() - begun, 3),
    }
    write_json(out / "worker.json", facts)


def environment() -> dict[str, Any]:
    """The machine, and the variables that choose how numbers are computed."""
    return {
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
