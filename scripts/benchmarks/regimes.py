"""Who wins where: overlap × photons × method, on simulated scans with truth; a page and a map.

    .venv/bin/python scripts/benchmarks/regimes.py docs/evidence/regimes.md
    .venv/bin/python scripts/benchmarks/regimes.py docs/evidence/regimes.md --seeds 0 --minutes 0.5

Methods: the untrained estimate (20 steps); the network, trained for `--minutes` on another scan of
the same overlap and dose and applied to this one; the whole-scan refinement with its likelihood
alone, with total variation (its weight by held-out counts), and with the prior behind its gate.
Probe and positions are known to all. Results gather beside the page (`.jsonl`); the same command
goes on where it was stopped, `--again network` runs a method again; `tv` and `prior` only together,
whose images are one where the gate refuses. Judges: SSIM after the gauge, and the half-deviance of
counts that no method saw (a second draw of the same frames), less the truth's own.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from refinement import MARGIN

from ptycho import Reconstruction, RefineConfig, Scan, SimulationConfig, evaluate, refine, simulate
from ptycho.config import ReconstructConfig, TrainConfig
from ptycho.reconstruction import reconstruct
from ptycho.training import train

OVERLAPS = (0.8, 0.6, 0.4, 0.2, 0.0)
PHOTONS = (1e2, 1e3, 1e4, 1e5, 1e6, 1e7)
FRAMES, N, DIAMETER_PX = 144, 64, 28.0
METHODS = {
    "estimate": "untrained estimate",
    "network": "trained network",
    "plain": "refine, likelihood alone",
    "tv": "refine, total variation",
    "prior": "refine, prior behind its gate",
}
PICTURES = {
    "judged": (("astronaut", "coffee"), ("rocket", "moon"), ("text", "siemens")),
    "trained": (("camera", "coins"),),
}
"""Seed s judges pair s (in turn); the network is trained on another pair."""
OF_ONE_RUN = {"tv", "prior"}
"""Run together: of two machines, equal images differ in the last digit, and one would lead."""
MAP = "regimes.png"


def scan_of(overlap: float, photons: float, seed: int, use: str, draw: int = 0) -> Scan:
    """A scan of one cell; `draw` changes the counts only."""
    pairs = PICTURES[use]
    amplitude, phase = pairs[seed % len(pairs)]
    return simulate(
        SimulationConfig(
            N=N,
            n_frames=FRAMES,
            step_px=DIAMETER_PX * (1 - overlap),
            probe_diameter_px=DIAMETER_PX,
            amplitude=amplitude,
            phase=phase,
            photons=photons,
            kernel="fourier",
            seed=seed,
            noise_seed=2 * seed + draw,
        )
    )


def intensities(rec: Any, scan: Scan) -> np.ndarray:
    """(M, N, N) of an object (`.object`, `.origin_px`), read by a Fourier shift; no noise."""
    reach = scan.N + 2 * MARGIN
    corners = scan.positions_px - scan.N // 2 - np.asarray(rec.origin_px)
    before = np.maximum(0, MARGIN - np.floor(corners.min(axis=0)).astype(int))
    needed = np.floor(corners.max(axis=0)).astype(int) + reach
    after = np.maximum(0, needed - rec.object.shape)
    field = np.pad(rec.object, list(zip(before, after, strict=True)), mode="edge")
    frequency = np.fft.fftfreq(reach)
    probe = np.asarray(scan.probe)
    made = np.zeros((len(corners), scan.N, scan.N))
    for j, corner in enumerate(corners + before - MARGIN):
        row, col = np.floor(corner).astype(int)
        down, right = corner - (row, col)
        ramp = np.exp(2j * np.pi * (frequency[:, None] * down + frequency[None] * right))
        block = field[row : row + reach, col : col + reach]
        patch = np.fft.ifft2(np.fft.fft2(block) * ramp)[MARGIN:-MARGIN, MARGIN:-MARGIN]
        waves = np.fft.fftshift(np.fft.fft2(patch * probe, norm="ortho"), axes=(-2, -1))
        made[j] = np.sum(np.abs(waves) ** 2, axis=0)
    return made


def unseen_deviance(rec: Any, other: Scan) -> float:
    """Half-deviance a pixel of the other draw's counts, the image's scale fitted."""
    return float(unseen_deviances(rec, other).mean())


def unseen_deviances(rec: Any, other: Scan) -> np.ndarray:
    """(M,) of each frame."""
    model = intensities(rec, other)
    counts = np.asarray(other.counts, float)
    model = model * (counts.sum() / model.sum()) + 1e-6
    logs = np.where(counts > 0, counts * np.log(np.maximum(counts, 1) / model), 0)
    return np.asarray(np.mean(logs - (counts - model), axis=(1, 2)))


def images(
    overlap: float, photons: float, seed: int, minutes: float, methods: set[str]
) -> Iterator[tuple[str, Reconstruction, dict[str, Any]]]:
    """The image of each of these methods of one cell, and what it says of itself."""
    scan = scan_of(overlap, photons, seed, "judged")
    pairs = ReconstructConfig(gridsize=1)
    if "estimate" in methods:
        yield "estimate", reconstruct(None, scan, untrained=20, config=pairs), {}
    if "network" in methods:
        settings = TrainConfig(
            gridsize=1, seed=seed, epochs=1_000_000, time_budget_s=60 * minutes, checkpoint=False
        )
        with tempfile.TemporaryDirectory() as folder:
            known = scan_of(overlap, photons, seed, "trained")
            model = train([known], settings, Path(folder) / "run").model
        yield "network", reconstruct(model, scan, config=pairs), {}
    known_probe = RefineConfig(update_probe=False, clean="off")
    if "plain" in methods:
        plain = refine(scan, config=known_probe.model_copy(update={"regularise": 0.0}))
        yield "plain", plain.reconstruction, {}
    if not OF_ONE_RUN & methods:
        return
    both = refine(scan, config=known_probe.model_copy(update={"prior": "auto"})).reconstruction
    gate = both.meta["prior"]
    if "tv" in methods:
        yield "tv", both if both.plain is None else replace(both, object=both.plain), {}
    if "prior" in methods:
        yield "prior", both, {"gate": gate["chosen"]}


def cell(
    overlap: float, photons: float, seed: int, minutes: float, methods: set[str]
) -> Iterator[dict[str, Any]]:
    """One row a method."""
    other = scan_of(overlap, photons, seed, "judged", draw=1)
    assert other.truth is not None
    own = unseen_deviance(other.truth, other)
    begun = time.process_time()
    for method, rec, facts in images(overlap, photons, seed, minutes, methods):
        told = evaluate(rec, other)
        yield {
            "overlap": overlap,
            "photons": photons,
            "seed": seed,
            "method": method,
            "amplitude": float(told["amplitude"]["ssim"]),
            "phase": float(told["phase"]["ssim"]),
            "deviance": unseen_deviance(rec, other) - own,
            "cpu_s": time.process_time() - begun,
            **facts,
        }
        begun = time.process_time()


def gathered(rows: list[dict[str, Any]]) -> dict[tuple[float, float], dict[str, dict[str, float]]]:
    """(overlap, photons) → method → means over the seeds."""
    table: dict[tuple[float, float], dict[str, dict[str, float]]] = {}
    for overlap in OVERLAPS:
        for photons in PHOTONS:
            for method in METHODS:
                mine = [
                    row
                    for row in rows
                    if (row["overlap"], row["photons"], row["method"]) == (overlap, photons, method)
                ]
                if mine:
                    keys = "amplitude", "phase", "deviance"
                    means = {key: float(np.mean([row[key] for row in mine])) for key in keys}
                    table.setdefault((overlap, photons), {})[method] = means
    return table


def winners(of: dict[str, dict[str, float]]) -> tuple[str, str]:
    """By SSIM (amplitude and phase in equal parts), and by the unseen counts."""
    return (
        max(of, key=lambda name: of[name]["amplitude"] + of[name]["phase"]),
        min(of, key=lambda name: of[name]["deviance"]),
    )


def page(rows: list[dict[str, Any]], minutes: float) -> str:
    """The document, from what is there."""
    table = gathered(rows)
    lines = [
        "# Who wins where: overlap and photons",
        "",
        "`.venv/bin/python scripts/benchmarks/regimes.py docs/evidence/regimes.md` writes this",
        f"page and its map. {FRAMES} frames of {N}², a probe of {DIAMETER_PX:g} px, so that",
        f"overlap 80 … 0 % is a step of {DIAMETER_PX * 0.2:.3g} … {DIAMETER_PX:g} px; probe and",
        "positions known. Frames are read between pixels by a Fourier shift. Each cell: SSIM of",
        "amplitude / phase, and in brackets the half-deviance of unseen counts less the truth's",
        "own, ×10⁻³ a pixel; **bold**: the best by SSIM, *: the best by the unseen counts.",
        f"Means over seeds {sorted({row['seed'] for row in rows})}, of which each has other",
        f"pictures; networks were trained on another scan, for {minutes:g} minutes or until the",
        "deviance of held-out frames had stopped falling.",
        "",
        f"![who wins by SSIM](../images/{MAP})",
        "",
    ]
    for overlap in OVERLAPS:
        lines += [
            f"## Overlap {overlap:.0%}",
            "",
            "| photons a frame | " + " | ".join(METHODS.values()) + " |",
            "|---|" + "---|" * len(METHODS),
        ]
        for photons in PHOTONS:
            of = table.get((overlap, photons))
            if of is None:
                lines.append(f"| {photons:.0e} |" + " not run |" * len(METHODS))
                continue
            by_likeness, by_counts = winners(of)
            cells = []
            for method in METHODS:
                if method not in of:
                    cells.append("not run")
                    continue
                values = of[method]
                text = f"{values['amplitude']:.3f} / {values['phase']:.3f}"
                text = f"**{text}**" if method == by_likeness else text
                star = "*" if method == by_counts else ""
                cells.append(f"{text} ({1e3 * values['deviance']:.3g}{star})")
            lines.append(f"| {photons:.0e} | " + " | ".join(cells) + " |")
        lines.append("")
    gates = [row for row in rows if row["method"] == "prior"]
    taken = sum(row["gate"].startswith("prior") for row in gates)
    lines += [
        f"The gate took an image of the prior in {taken} of {len(gates)} scans.",
        "",
        f"Rows were run at the commits {', '.join(sorted({row['commit'] for row in rows}))}.",
    ]
    return "\n".join(lines) + "\n"


def draw_map(rows: list[dict[str, Any]], path: Path) -> None:
    """One square a cell, coloured and named by the winner by SSIM; its lead on the next image."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    table = gathered(rows)
    colours = {name: plt.get_cmap("Set2")(number) for number, name in enumerate(METHODS)}
    figure, axes = plt.subplots(figsize=(8, 4.6))
    for (overlap, photons), of in table.items():
        place = PHOTONS.index(photons), OVERLAPS.index(overlap)
        best = winners(of)[0]
        # Where the gate refuses, the prior's image is that of total variation: it leads on no one.
        ranks = sorted({(v["amplitude"] + v["phase"]) / 2 for v in of.values()})
        lead = ranks[-1] - ranks[-2] if len(ranks) > 1 else math.nan
        axes.add_patch(plt.Rectangle((place[0] - 0.5, place[1] - 0.5), 1, 1, color=colours[best]))
        axes.text(*place, f"{best}\n{ranks[-1]:.2f}\n+{lead:.3f}", ha="center", va="center", size=8)
    axes.set_xlim(-0.5, len(PHOTONS) - 0.5)
    axes.set_ylim(len(OVERLAPS) - 0.5, -0.5)
    axes.set_xticks(range(len(PHOTONS)), [f"{photons:.0e}" for photons in PHOTONS])
    axes.set_yticks(range(len(OVERLAPS)), [f"{overlap:.0%}" for overlap in OVERLAPS])
    axes.set_xlabel("photons a frame")
    axes.set_ylabel("overlap")
    axes.set_title("Best by SSIM: mean of amplitude and phase, lead on the next other image")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _place(row: dict[str, Any]) -> tuple[float, float, int]:
    return row["overlap"], row["photons"], row["seed"]


def main() -> int:
    """Run the cells that are missing and write page and map after each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--minutes", type=float, default=1.0, help="of a training; 0: none")
    parser.add_argument("--overlaps", type=float, nargs="*", default=OVERLAPS)
    parser.add_argument("--photons", type=float, nargs="*", default=PHOTONS)
    parser.add_argument(
        "--methods", nargs="*", default=list(METHODS), choices=list(METHODS), metavar="METHOD"
    )
    parser.add_argument("--again", nargs="*", default=[], choices=list(METHODS), metavar="METHOD")
    options = parser.parse_args()
    store = options.out.with_suffix(".jsonl")
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    lines = store.read_text(encoding="utf-8").splitlines() if store.is_file() else []
    rows = [json.loads(line) for line in lines]
    again = set(options.again)
    if again & OF_ONE_RUN:
        again |= OF_ONE_RUN
    wanted = set(options.methods) - (set() if options.minutes > 0 else {"network"})
    images_folder = options.out.parent.parent / "images"

    def write() -> None:
        options.out.write_text(page(rows, options.minutes), encoding="utf-8")
        draw_map(rows, images_folder / MAP)

    if rows:
        write()
    for seed in options.seeds:
        for overlap in options.overlaps:
            for photons in options.photons:
                here = [r for r in rows if _place(r) == (overlap, photons, seed)]
                kept = [r for r in here if r["method"] not in again or r["commit"] == commit]
                missing = wanted - {row["method"] for row in kept}
                if not missing:
                    continue
                new = list(cell(overlap, photons, seed, options.minutes, missing))
                rows = [row for row in rows if row not in here] + kept
                rows += [{**row, "commit": commit} for row in new]
                store.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
                write()
                best = winners({row["method"]: row for row in kept + new})
                print(f"{overlap:.0%} {photons:.0e} seed {seed}: {best[0]}, {best[1]}", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
