"""Counts that no image saw: how each image explains them, and where; rows on the prior's page.

Beside total variation and the prior stands BM3D, where it is installed (`make baselines`).
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from regimes import unseen_deviance, unseen_deviances

from ptycho import Reconstruction, RefineConfig, Scan, SimulationConfig, evaluate
from ptycho.data import whole_file, write_json
from ptycho.pretraining import CASES, EMPTIED, judged_scan
from ptycho.prior import Estimate, Prior
from ptycho.refinement import (
    LONG_PASSES,
    Solved,
    fed_weight,
    prepare,
    solved,
    take_over,
    told_by_counts,
)

SIDE = 4
"""Parts of the scan, along each side, in which unseen counts are judged."""
BASELINES = Path(".venv-baselines/bin/python")
UNSEEN_PHOTONS = (1e3, 1e4)
UNSEEN_SEEDS = 3
Key = tuple[str, float, int]
Row = dict[str, Any]
IMAGES = "total variation", "prior", "prior + what counts tell", "bm3d"
STRENGTHS = (0.5, 0.7, 1.0, 1.4, 2.0, 2.8)
"""Of BM3D, in units of the counts' own error; it gets the best by the truth."""


def unseen(prior: Prior, folder: Path, weights: dict[Key, float], frames: int) -> list[Row]:
    """Each scan: SSIM and deviance of unseen counts of each of `IMAGES`.

    BM3D has its best strength by the truth; where it is not installed, it has no row. The prior's
    row says besides where on the scan the prior explains the counts better than total variation.

    Args:
        prior: that is judged. folder: where solved images are kept.
        weights: of total variation, by case, photons and seed.
        frames: of each scan.
    """
    rows = []
    for (case, photons, seed), weight in weights.items():
        scan, other = (judged_scan(case, photons, frames, seed, draw=draw) for draw in (0, 1))
        fed_with = f"{weight:g}-{fed_weight(weight):g}-{LONG_PASSES}"
        path = folder / f"unseen-{case}-{photons:g}-{fed_with}-{seed}-{frames}.npz"
        smooth, fed, origin = _kept(path, scan, weight)
        facts = {"case": case, "photons": photons, "seed": seed}
        usual = np.zeros(0)
        images = {"total variation": smooth, "prior": prior(fed)}
        images["prior + what counts tell"] = _told(scan, images["prior"])
        for name, image in images.items():
            rec = Reconstruction(image, fed.light, origin)
            each = unseen_deviances(rec, other)
            row = {**facts, "image": name, "ssim": _ssim(rec, scan), "deviance": float(each.mean())}
            if name == "total variation":
                usual = each
            elif name == "prior":
                row["regions"] = regions(usual - each, scan.positions_px)
                row |= halves(usual - each, scan) if case == EMPTIED else {}
            rows.append(row)
        if case != EMPTIED:
            path = folder / f"bm3d-{case}-{photons:g}-{seed}-{frames}.json"
            if not path.exists() and BASELINES.exists():
                write_json(path, {**facts, **_denoised(scan, other)})
            rows += [json.loads(path.read_text(encoding="utf-8"))] if path.exists() else []
    return rows


def _told(scan: Scan, image: np.ndarray) -> np.ndarray:
    """What the gate tries: the prior's image and what the counts tell of it."""
    known = RefineConfig(update_probe=False, clean="off", held_out_fraction=0)
    engine = prepare(scan, take_over(scan, None), known, least_px=0)
    return told_by_counts(engine, "poisson", image)


def _kept(path: Path, scan: Scan, weight: float) -> Solved:
    """`solved` after 60 passes, from the file where it is there."""
    if not path.exists():
        plain, fed, origin = solved(scan, weight, 60, least_px=0)
        parts = {"plain": plain, "image": fed.image, "freer": fed.freer, "light": fed.light}
        with whole_file(path) as temporary, temporary.open("wb") as file:
            np.savez(file, origin=np.array(origin), **parts)
    with np.load(path, allow_pickle=False) as file:
        row, col = file["origin"].tolist()
        fed = Estimate(file["image"], file["freer"], file["light"])
        return Solved(file["plain"], fed, (row, col))


def _denoised(scan: Scan, other: Scan) -> dict[str, Any]:
    """BM3D of 80 passes of the likelihood alone, at the best of `STRENGTHS` by the truth."""
    free, fed, origin = solved(scan, 0.0, 80, least_px=0)
    light = np.median(fed.light[fed.light > 0.05 * fed.light.max()])
    images = _bm3d(free, np.array(STRENGTHS) / (2 * np.sqrt(light)))
    several = [Reconstruction(each.astype(np.complex64), fed.light, origin) for each in images]
    best = max(several, key=lambda rec: sum(_ssim(rec, scan)))
    told = {"ssim": _ssim(best, scan), "deviance": unseen_deviance(best, other)}
    return {"image": "bm3d", **told, "commit": commit()}


def _ssim(rec: Reconstruction, scan: Scan) -> list[float]:
    told = evaluate(rec, scan)
    return [float(told[part]["ssim"]) for part in ("amplitude", "phase")]


def commit() -> str:
    return subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()


def regions(gain: np.ndarray, positions_px: np.ndarray) -> list[list[tuple[float, float]]]:
    """`SIDE` × `SIDE` parts of the scan: mean of `gain` (frames,) and its standard error."""
    low, high = positions_px.min(axis=0), positions_px.max(axis=0)
    place = np.minimum((positions_px - low) / (high - low) * SIDE, SIDE - 1).astype(int)
    return [
        [_mean(gain[(place == (row, col)).all(axis=1)]) for col in range(SIDE)]
        for row in range(SIDE)
    ]


def halves(gain: np.ndarray, scan: Scan) -> dict[str, tuple[float, float]]:
    """Mean and standard error over the frames that lie in one half of the specimen."""
    truth = scan.truth
    assert truth is not None
    reach = SimulationConfig().diameter_px / 2
    beyond = scan.positions_px[:, 1] - truth.origin_px[1] - truth.object.shape[1] // 2
    return {"full": _mean(gain[beyond < -reach]), "emptied": _mean(gain[beyond > reach])}


def _mean(values: np.ndarray) -> tuple[float, float]:
    return float(values.mean()), float(values.std() / np.sqrt(len(values)))


def region_words(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Where on the scan the prior explains unseen counts better or worse than total variation."""
    yield "| photons | case | seeds | parts better | worse | best part | worst part |"
    yield "|---|---|---|---|---|---|---|"
    mine = [row for row in rows if "regions" in row and row["case"] != EMPTIED]
    for photons in sorted({row["photons"] for row in mine}):
        for case in CASES:
            found = [r["regions"] for r in mine if (r["photons"], r["case"]) == (photons, case)]
            gain, error = np.moveaxis(np.array(found), -1, 0)
            counted = [int((side * gain > 2 * error).sum()) for side in (1, -1)]
            ends = [f"{1e5 * end:+.1f}" for end in (gain.max(), gain.min())]
            cells = [f"{photons:.0e}", case, str(len(found))]
            cells += [f"{number} of {gain.size}" for number in counted] + ends
            yield f"| {' | '.join(cells)} |"
    yield ""
    first = next(r for r in mine if (r["case"], r["photons"]) == ("T", max(UNSEEN_PHOTONS)))
    yield f"T at {first['photons']:.0e} photons, seed {first['seed']}, gain in each part:"
    yield ""
    yield "|" + " |" * SIDE
    yield "|" + "---|" * SIDE
    for line in first["regions"]:
        yield "| " + " | ".join(f"{1e5 * gain:+.1f} ± {1e5 * e:.1f}" for gain, e in line) + " |"
    yield ""
    for row in rows:
        if row["case"] == EMPTIED and row["image"] == "prior":
            told = [
                f"{name} half {1e5 * gain:+.1f} ± {1e5 * error:.1f}"
                for name, (gain, error) in ((name, row[name]) for name in ("full", "emptied"))
            ]
            scan = f"half of A emptied, {row['photons']:.0e} photons, seed {row['seed']}"
            yield f"- {scan}: {', '.join(told)}."


def _bm3d(image: np.ndarray, sigmas: np.ndarray) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder) / "in.npz", Path(folder) / "out.npz"
        np.savez(given, image=image, sigmas=sigmas)
        program = Path(__file__).with_name("bm3d_of.py")
        subprocess.run([BASELINES.absolute(), program, given, made], check=True)
        with np.load(made, allow_pickle=False) as file:
            return np.asarray(file["images"])


def bm3d_words(rows: list[dict[str, Any]]) -> Iterator[str]:
    """SSIM and deviance of `IMAGES`, means over the seeds; bold: the best."""
    yield "| photons | case | total variation | prior | prior + what counts tell | BM3D |"
    yield "|---|---|---|---|---|---|"
    leads = []
    for photons in sorted({row["photons"] for row in rows}):
        for case in CASES:
            mine = [r for r in rows if (r["photons"], r["case"]) == (photons, case)]
            ssim = {n: np.mean([r["ssim"] for r in mine if r["image"] == n], 0) for n in IMAGES}
            unseen = {n: np.mean([r["deviance"] for r in mine if r["image"] == n]) for n in IMAGES}
            least = min(unseen.values())
            best = np.max(list(ssim.values()), axis=0)
            cells = [
                " / ".join(
                    f"**{value:.3f}**" if value == most else f"{value:.3f}"
                    for value, most in zip(ssim[n], best, strict=True)
                )
                + (f" (**{unseen[n]:.5f}**)" if unseen[n] == least else f" ({unseen[n]:.5f})")
                for n in IMAGES
            ]
            yield f"| {' | '.join([f'{photons:.0e}', case, *cells])} |"
            ours, theirs = IMAGES[2:]
            lead = *(ssim[ours] - ssim[theirs]), 1 - unseen[ours] / unseen[theirs]
            leads.append(lead)
    ahead, least = np.sum(np.array(leads) > 0, axis=0), np.min(leads, axis=0)
    yield ""
    yield (
        "With what counts tell the prior is ahead of BM3D in amplitude in"
        f" {ahead[0]} of {len(leads)} cases (least lead {least[0]:+.4f}), in phase in"
        f" {ahead[1]} ({least[1]:+.4f}), in unseen counts in {ahead[2]} ({100 * least[2]:+.2f} %)."
    )


def commits(rows: list[Row]) -> str:
    return ", ".join(sorted({row["commit"] for row in rows if "commit" in row})) or "no commit"
