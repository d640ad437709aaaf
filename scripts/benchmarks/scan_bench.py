"""Seconds for 10⁵ groups and for 10 000 simulated frames, with their CPU time, as JSON."""

from __future__ import annotations

import json
import resource
import time

import numpy as np

from ptycho.frames import make_groups
from ptycho.simulation import SimulationConfig, simulate


def main() -> None:
    """Print one JSON object with seconds."""
    rng = np.random.default_rng(0)
    positions = rng.uniform(0, 3000, (100_000, 2))
    start, cpu = time.perf_counter(), time.process_time()
    groups = make_groups(positions, 2, neighbours=7, max_distance_px=40, rng=rng)
    grouped, grouped_cpu = time.perf_counter() - start, time.process_time() - cpu
    start, cpu = time.perf_counter(), time.process_time()
    scan = simulate(SimulationConfig(N=64, n_frames=10_000, step_px=3.0))
    simulated, simulated_cpu = time.perf_counter() - start, time.process_time() - cpu
    print(
        json.dumps(
            {
                "grouping_100000_positions_s": round(grouped, 3),
                "grouping_cpu_s": round(grouped_cpu, 3),
                "groups": len(groups),
                "simulate_10000_frames_64_s": round(simulated, 2),
                "simulate_cpu_s": round(simulated_cpu, 2),
                "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
                "photons_per_frame_mean": float(scan.photons_per_frame().mean()),
            }
        )
    )


if __name__ == "__main__":
    main()
