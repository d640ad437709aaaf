"""The refinement on simulated scans with truth: a table for docs/evidence/refinement.md.

    .venv/bin/python scripts/benchmarks/refinement.py OUT.md [--photons 1e4 …] [--seeds 3]

Scan A: astronaut and coffee, 484 frames of 64², step 6.4 px, known probe; it is read between pixels
by a Fourier shift, the model by the cubic kernel, so that no row profits from a shared kernel.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from ptycho import RefineConfig, SimulationConfig, evaluate, refine, simulate

SCAN = {"N": 64, "n_frames": 484, "step_px": 6.4, "amplitude": "astronaut", "phase": "coffee"}
ARMS = {
    "mini-batches, bilinear (the recipe of f264b61)": {
        "kernel": "bilinear",
        "regularise": "off",
        "passes": 60,
    },
    "mini-batches, cubic": {"regularise": "off", "passes": 60},
    "default": {},
}
HEAD = "photons per frame | seed | recipe | SSIM amplitude/phase | loss, weight | passes | s"


def main() -> int:
    """Run the arms; the table is written after each row, so that a stop loses nothing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--photons", type=float, nargs="+", default=[1e6, 1e5, 1e4, 1e3])
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    lines = [
        "# The refinement on simulated scans",
        "",
        f"`scripts/benchmarks/refinement.py {' '.join(sys.argv[1:])}`, {os.cpu_count()} cores",
        "",
        f"| {HEAD} |",
        "|" + "---|" * (HEAD.count("|") + 1),
    ]
    for photons in options.photons:
        for seed in range(options.seeds):
            config = SimulationConfig(
                **SCAN, photons=photons, kernel="fourier", seed=seed, noise_seed=seed
            )
            scan = simulate(config)
            for name, settings in ARMS.items():
                begun = time.monotonic()
                setting = RefineConfig(update_probe=False, **settings)
                result = refine(scan, config=setting)
                seconds = time.monotonic() - begun
                scores = evaluate(result.reconstruction, scan)
                ssim = "/".join(f"{scores[part]['ssim']:.3f}" for part in ("amplitude", "phase"))
                meta = result.reconstruction.meta
                chosen = f"{meta['loss']}, {meta['regularise']:g}" if "loss" in meta else "–"
                row = f"{photons:.0e} | {seed} | {name} | {ssim} | {chosen} | "
                lines.append(f"| {row}{result.iterations} | {seconds:.1f} |")
                options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
                print(lines[-1], flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
