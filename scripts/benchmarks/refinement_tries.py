#!/usr/bin/env python
"""What was tried on the refinement beside its rows: averages of the last passes, the background.

    .venv/bin/python scripts/benchmarks/refinement_tries.py averaging
    .venv/bin/python scripts/benchmarks/refinement_tries.py background
    .venv/bin/python scripts/benchmarks/refinement_tries.py coarse
    git worktree add ../before f264b61
    .venv/bin/python scripts/benchmarks/refinement_tries.py before --checkout ../before

`averaging`: scan A at 1e4 and 1e3 photons with a known probe, and the halves of the measured star,
with object and probe averaged over the last passes. `background`: what is told of a background in
rings on simulated scans of 32² with scatter, without it and smoothed too much, and on the star.
`coarse`: scan A with P passes, and with P at half the resolution and ¾ P after them, which
transform as many numbers. `before`: scan A of the rows dose-…, made with a Fourier shift, as
`refine` of an earlier commit solves it (the better of its defaults and of passes that nothing stops
early), and the reference's whole-scan Poisson descent with total variation and the bilinear kernel:
what the goals mean here.
Prints Markdown tables; the figures stand on docs/evidence/refinement.md.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from refinement import DOSE_GOALS, A, likeness, on_the_other_half, scan_of, ssim

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


def coarse(seeds: tuple[int, ...]) -> None:
    """One row for each dose and number of passes: means of the seeds."""
    for photons in (1e5, 1e4):
        for passes in (30, 60, 120):
            found: dict[int, list[list[float]]] = {0: [], passes: []}
            for seed in seeds:
                scan = scan_of(A, photons, seed)
                for first, told in found.items():
                    config = RefineConfig(
                        update_probe=False,
                        regularise=0.25,
                        passes=passes * 3 // 4 if first else passes,
                        coarse_passes=first,
                    )
                    begun = time.process_time()
                    rec = refine(scan, config=config).reconstruction
                    seconds = time.process_time() - begun
                    told.append([*ssim(rec, scan).values(), likeness(rec, scan), seconds])
            cells = (
                "{:.3f}/{:.3f} · {:.4f} · {:.1f}".format(*np.mean(told, axis=0))
                for told in found.values()
            )
            print(f"| {photons:.0e} | {passes} | {' | '.join(cells)} |", flush=True)


BEFORE = """
import sys
import numpy as np
from ptycho import RefineConfig, Scan, refine
given = dict(np.load(sys.argv[1]))
scan = Scan(counts=given["counts"], positions_px=given["positions_px"], probe=given["probe"])
config = RefineConfig(update_probe=False, passes=int(sys.argv[3]), patience=int(sys.argv[4]))
rec = refine(scan, config=config).reconstruction
np.savez(sys.argv[2], object=rec.object, coverage=rec.coverage, origin_px=rec.origin_px)
"""


def solved_by(checkout: Path, scan: Scan, passes: int, patience: int) -> Reconstruction:
    """What `refine` of another commit finds, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "scan.npz", Path(folder) / "found.npz"
        np.savez(source, counts=scan.counts, positions_px=scan.positions_px, probe=scan.probe)
        words = map(str, (source, target, passes, patience))
        environment = {**os.environ, "PYTHONPATH": str(checkout), "TF_CPP_MIN_LOG_LEVEL": "3"}
        subprocess.run(
            [sys.executable, "-c", BEFORE, *words], check=True, env=environment, cwd=checkout
        )
        with np.load(target) as found:
            origin_px = tuple(float(each) for each in found["origin_px"])
            return Reconstruction(found["object"], found["coverage"], origin_px)


def before(checkout: Path, seeds: tuple[int, ...]) -> None:
    """One row for each dose: means of the seeds."""
    whole = RefineConfig(
        kernel="bilinear", loss="poisson", whole_share=1.0, passes=160, update_probe=False
    )
    for photons, (*goal, was_amplitude, was_phase) in DOSE_GOALS.items():
        was: list[dict[str, float]] = []
        tvp: list[dict[str, float]] = []
        for seed in seeds:
            scan = scan_of(A, photons, seed)
            both = [ssim(solved_by(checkout, scan, *each), scan) for each in ((60, 10), (150, 999))]
            was.append(max(both, key=lambda told: told["amplitude"] + told["phase"]))
            tvp.append(ssim(refine(scan, config=whole).reconstruction, scan))
        mean = [
            np.mean([[told[part] for part in ("amplitude", "phase")] for told in each], axis=0)
            for each in (was, tvp)
        ]
        means = mean[0] + np.array(goal) - (was_amplitude, was_phase)
        cells = (
            f"{amplitude:.3f}/{phase:.3f}"
            for amplitude, phase in ((was_amplitude, was_phase), mean[0], mean[1], goal, means)
        )
        print(f"| {photons:.0e} | {' | '.join(cells)} |", flush=True)


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
    parser.add_argument("what", choices=("averaging", "background", "coarse", "before"))
    parser.add_argument("--checkout", type=Path, help="of the earlier commit, for `before`")
    parser.add_argument("--seeds", type=int, nargs="*", default=(0, 1, 2), help="for the last two")
    wanted = parser.parse_args()
    if wanted.what == "coarse":
        coarse(tuple(wanted.seeds))
    elif wanted.what != "before":
        {"averaging": averaging, "background": background}[wanted.what]()
    elif wanted.checkout is None:
        parser.error("before: --checkout DIR (git worktree add DIR f264b61)")
    else:
        before(wanted.checkout.resolve(), tuple(wanted.seeds))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
