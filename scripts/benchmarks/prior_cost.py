"""What one application of a prior costs: JSON on stdout.

    .venv/bin/python scripts/benchmarks/prior_cost.py auto

An image of 512² in a process of its own: views, processor seconds and seconds of the best of five
calls, and by how many MiB the process grew above the loaded weights and the image.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import numpy as np

from ptycho import quiet
from ptycho.prior import Estimate, load_prior

SIDE_PX, CALLS = 512, 5


def main() -> int:
    quiet.load_tensorflow()
    prior = load_prior(sys.argv[1])
    shape = (SIDE_PX, SIDE_PX)
    image = (0.8 + 0.1 * np.random.default_rng(0).standard_normal(shape)).astype(np.complex64)
    estimate = Estimate(image, 1.01 * image, np.full(shape, 300.0))
    before = _peak_mib()
    views = len(prior.answers(estimate))
    rows = []
    for _ in range(CALLS):
        began, cpu = time.monotonic(), time.process_time()
        prior(estimate)
        rows.append((time.monotonic() - began, time.process_time() - cpu))
    seconds, cpu_seconds = np.min(rows, axis=0).tolist()
    facts = {"side_px": SIDE_PX, "views": views, "seconds": seconds, "cpu_seconds": cpu_seconds}
    facts |= {"cores": os.cpu_count(), "load": os.getloadavg()[0], "mib": _peak_mib() - before}
    print(json.dumps(facts))
    return 0


def _peak_mib() -> float:
    """Of this program alone: `getrusage` begins with the peak of the process that started it."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return float(status.split("VmHWM:")[1].split()[0]) / 1024


if __name__ == "__main__":
    raise SystemExit(main())
