"""How near the untrained estimate comes to the truth, by its steps.

`python scripts/benchmarks/estimate_bench.py [--frames 250]` prints SSIM of amplitude / phase for
each pair of photographs, dose and plan of steps (K at full resolution, or half,full): the table
of docs/evidence/performance.md.
"""

from __future__ import annotations

import argparse
import sys

from ptycho import evaluate, reconstruct, simulate
from ptycho.simulation import SimulationConfig

OBJECTS = (("camera", "gravel"), ("astronaut", "coffee"), ("page", "text"), ("brick", "grass"))
PLANS: tuple[int | tuple[int, ...], ...] = (1, 5, 20, (8, 2), (12, 2), (24, 2))


def main() -> None:
    """Measure and print one Markdown table."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--frames", type=int, default=250)
    parser.add_argument("--photons", type=float, nargs="+", default=[1e6, 1e4])
    parser.add_argument("--seed", type=int, default=5)
    options = parser.parse_args()
    names = [str(plan) if isinstance(plan, int) else ",".join(map(str, plan)) for plan in PLANS]
    print("| object | photons | " + " | ".join(names) + " |")
    print("|---" * (len(PLANS) + 2) + "|")
    for amplitude, phase in OBJECTS:
        for photons in options.photons:
            scan = simulate(
                SimulationConfig(
                    n_frames=options.frames,
                    photons=photons,
                    amplitude=amplitude,
                    phase=phase,
                    seed=options.seed,
                )
            )
            cells = []
            for name, plan in zip(names, PLANS, strict=True):
                print(f"{amplitude}/{phase} {photons:.0e} {name}", file=sys.stderr)
                found = evaluate(reconstruct(None, scan, untrained=plan), scan)
                cells.append(f"{found['amplitude']['ssim']:.3f} / {found['phase']['ssim']:.3f}")
            row = [f"{amplitude}, {phase}", f"{photons:.0e}", *cells]
            print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
