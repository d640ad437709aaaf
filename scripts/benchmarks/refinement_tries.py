#!/usr/bin/env python
"""What was tried on the refinement beside its rows: averages of the last passes, the background.

    .venv/bin/python scripts/benchmarks/refinement_tries.py averaging
    .venv/bin/python scripts/benchmarks/refinement_tries.py background

`averaging`: scan A at 1e4 and 1e3 photons with a known probe, and the halves of the measured star,
with object and probe averaged over the last passes. `background`: what is told of a background in
rings on simulated scans of 32² with scatter, without it and smoothed too much, and on the star.
Prints Markdown tables; the figures stand on docs/evidence/refinement.md.
"""

from __future__ import annotations

import argparse
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from refinement import A, on_the_other_half, scan_of, ssim

from ptycho.data import open_scan
from ptycho.evaluation.scores import split
from ptycho.refinement import RefineConfig, refine
from ptycho.result import Reconstruction
from ptycho.scan import Scan
from ptycho.simulation import SimulationConfig, simulate
from ptycho.studies.quality import star_path

COUNTS = (1, 2, 4, 8, 16, 32)
M, N = 120, 32


def averaged(scan: Scan, config: RefineConfig, most: int) -> dict[int, Reconstruction]:
    """The result with object and probe averaged over its last passes, as many as the key says."""
    last: deque[Reconstruction] = deque(maxlen=most)

    def note(made: Callable[[], Reconstruction]) -> None:
        last.append(made())

    end = refine(scan, config=config, watch=note).reconstruction
    return {
        count: replace(
            end,
            object=np.mean([rec.object for rec in list(last)[-count:]], axis=0),
            probe=np.mean([rec.probe for rec in list(last)[-count:]], axis=0),
        )
        for count in COUNTS
        if count <= most
    }


def averaging() -> None:
    """One row for each number of passes."""
    for photons in (1e4, 1e3):
        scan = scan_of(A, photons, 0)
        for count, rec in averaged(scan, RefineConfig(update_probe=False), 32).items():
            told = ssim(rec, scan)
            print(f"| {photons:.0e} | {count} | {told['amplitude']:.4f}/{told['phase']:.4f} |")
    halves = split(open_scan(star_path()), "frames", np.random.default_rng(0))
    config = RefineConfig(passes=60, modes=2, positions="frames", background="rings")
    found = [averaged(half, config, 8) for half in halves]
    for count in found[0]:
        told = on_the_other_half(halves, [each[count] for each in found], config)
        words = " · ".join(f"{value:.4f}" for value in told.values())
        print(f"| star | {count} | {words} |", flush=True)


def background() -> None:
    """One row for each scan and setting."""
    ring = np.round(np.hypot(*(np.indices((N, N)) - N // 2))).astype(int)
    settings: dict[str, dict[str, Any]] = {
        "c = 0.1": {"regularise": 0.1},
        "c = 8": {"regularise": 8.0},
        "auto": {},
    }
    for photons in (1e5, 1e4, 1e3):
        made = SimulationConfig(
            N=N, n_frames=M, photons=photons, probe_diameter_px=16, kernel="fourier"
        )
        clean = simulate(made)
        light = (0.5 + 6.0 * (ring > 10)) * photons / 1e5
        extra = np.random.default_rng(3).poisson(light, (M, N, N))
        for scatter, counts in ((light.sum(), clean.counts + extra), (0.0, clean.counts)):
            scan = replace(clean, counts=np.asarray(counts, np.float32))
            for words, more in settings.items():
                config = RefineConfig(
                    background="rings", passes=80, held_out_fraction=0.3, clean="off", **more
                )
                row(f"{photons:.0e}, scatter {scatter:.0f}, {words}", scan, config)
    for words in ("auto", "off"):
        config = RefineConfig(
            passes=60, modes=2, positions="frames", background="rings", regularise=words
        )
        row(f"star, 60 passes, {words}", open_scan(star_path()), config)


def row(name: str, scan: Scan, config: RefineConfig) -> None:
    """What is told of the background of one refinement."""
    told = refine(scan, config=config).reconstruction.meta["background_told"]
    shares = " | ".join(
        f"{told[key]:.2f} ± {told[key + '_error']:.2f}" for key in ("by_speckle", "by_frames")
    )
    print(
        f"| {name} | {told['photons']:.0f} | {told['looked_at']:.2f} | {shares} "
        f"| {told['verdict']} |",
        flush=True,
    )


def main() -> int:
    """Run one of them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("averaging", "background"))
    {"averaging": averaging, "background": background}[parser.parse_args().what]()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
