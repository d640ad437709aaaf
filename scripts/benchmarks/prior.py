"""The shipped prior judged: writes docs/evidence/prior.md.

    .venv/bin/python scripts/benchmarks/prior.py runs/prior docs/evidence/prior.md
    .venv/bin/python scripts/benchmarks/prior.py runs/prior docs/evidence/prior.md --seeds 1

Solved scans are kept in the folder and serve the next prior. Trainings that left a kind of specimen
out are judged where they are there (`ptycho prior train DATA -o runs/prior/without-KIND --without
KIND`). The measured star is looked for in PTYCHO_DATA_DIR.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from faults import correlation

from ptycho import Reconstruction, RefineConfig, refine
from ptycho.data import open_scan
from ptycho.evaluation.metrics import common
from ptycho.pretraining import KINDS, Judgement, evaluate_prior
from ptycho.prior import load_prior
from ptycho.studies.quality import star_path

GOALS = {1e3: (0.06, 0.04), 1e4: (0.05, 0.03), 1e6: (-0.003, -0.003)}
"""Mean gain of A, R, T, D that is asked for, amplitude and phase, at each dose."""
LEAST = -0.005
KIND_CASES = {"letters": "T", "siemens": "T", "dead_leaves": "D", "grf": "D", "photographs": "AR"}
"""A kind that is left out, and the cases that show it."""
STAR_SHARES = (0.02, 0.2)


def cases(table: dict[str, Any]) -> Iterator[str]:
    """The rows of SSIM without and with the prior, and their mean gains against the goals."""
    yield "| photons | case | seeds | total variation | prior | gain |"
    yield "|---|---|---|---|---|---|"
    doses = sorted({row["photons"] for row in table["cases"]})
    for photons in doses:
        gains = []
        for case in "ARTD":
            mine = [r for r in table["cases"] if (r["photons"], r["case"]) == (photons, case)]
            before, after = (np.mean([r[key] for r in mine], axis=0) for key in ("plain", "prior"))
            gains.append(after - before)
            texts = " | ".join(f"{a:.3f} / {b:.3f}" for a, b in (before, after))
            gain = f"{gains[-1][0]:+.3f} / {gains[-1][1]:+.3f}"
            yield f"| {photons:.0e} | {case} | {len(mine)} | {texts} | {gain} |"
        mean, least = np.mean(gains, axis=0), float(np.min(gains))
        goal = GOALS.get(photons)
        met = "" if goal is None else _verdict(mean, least, goal, photons)
        yield f"| {photons:.0e} | mean | | | | **{mean[0]:+.3f} / {mean[1]:+.3f}**{met} |"


def _verdict(mean: Any, least: float, goal: tuple[float, float], photons: float) -> str:
    floor = goal[0] if photons >= 1e6 else LEAST
    met = least >= floor and (photons >= 1e6 or bool((mean >= goal).all()))
    asked = f"never below {floor:+.3f}" + (
        "" if photons >= 1e6 else f", mean {goal[0]:+.2f} / {goal[1]:+.2f}"
    )
    return f" (asked: {asked}; least {least:+.3f}: {'met' if met else 'missed'})"


def emptied(table: dict[str, Any]) -> Iterator[str]:
    """What the prior puts where there is nothing."""
    for photons in sorted({row["photons"] for row in table["emptied"]}):
        ratios = [row["ratio"] for row in table["emptied"] if row["photons"] == photons]
        yield (
            f"- {photons:.0e} photons: the error in the emptied half is "
            f"{', '.join(f'{ratio:.2f}' for ratio in ratios)} times that of total variation "
            f"(asked: at most 1.05 in every seed)."
        )


def star(prior: str, share: float, seed: int) -> dict[str, Any]:
    """The measured star with a share of its photons; judged by all the others."""
    path = star_path()
    assert path is not None
    whole = open_scan(path)
    counts = np.asarray(whole.counts)
    rng = np.random.default_rng(seed)
    kept = rng.binomial(np.round(counts).astype(np.int64), share).astype(np.float32)
    fixed = RefineConfig(passes=60, clean="off", background="rings", seed=seed)
    other = refine(replace(whole, counts=counts - kept), config=fixed).reconstruction
    dim = replace(whole, counts=kept)
    found = refine(dim, config=fixed.model_copy(update={"prior": prior})).reconstruction
    gate = found.meta["prior"]
    images = {"chosen": found}
    if found.plain is not None:
        images["total variation"] = replace(found, object=found.plain)
    likeness = {name: likeness_of(rec, other) for name, rec in images.items()}
    return {"share": share, "gate": gate, "likeness": likeness}


def likeness_of(rec: Reconstruction, other: Reconstruction) -> float:
    """Modulus of the complex correlation over what both saw, after the gauge."""
    pair = common(rec.object, rec.origin_px, rec.region(), other.object, other.origin_px)
    return float(correlation(pair.a, pair.b, pair.region))


def star_words(row: dict[str, Any]) -> str:
    gate = row["gate"]
    if "why" in gate:
        return f"- {row['share']:.0%} of the photons: the prior was not used: {gate['why']}."
    arms = ", ".join(
        f"{arm['image']}{' (' + format(arm['pull']) + ')' if 'pull' in arm else ''} "
        f"{arm['held_out_deviance']:.5f}"
        for arm in gate["candidates"]
    )
    likeness = ", ".join(f"{name} {value:.4f}" for name, value in row["likeness"].items())
    return (
        f"- {row['share']:.0%} of the photons: the gate took **{gate['chosen']}** (gain "
        f"{gate['gain']:.2g} ± {gate['standard_error']:.1g}). Half-deviance of held-out counts: "
        f"{arms}. Likeness to the image of the other photons: {likeness}."
    )


def page(found: dict[str, Any]) -> str:
    """The document."""
    record = found["table"]["record"]
    lines = [
        "# The shipped prior, judged",
        "",
        "`.venv/bin/python scripts/benchmarks/prior.py runs/prior docs/evidence/prior.md` writes",
        f"this page. Weights: data {record['data_sha256'][:8]}…, {record['scans']} scans, "
        f"{record['steps']} steps,",
        f"seed {record['seed']}, {record['cpu_hours']:.2f} hours of processor time, commit "
        f"{record.get('commit', 'unknown')}.",
        "",
        f"Specimens that no training saw, {found['frames']} frames of 64², Fourier shift, SSIM of",
        "amplitude / phase after the gauge. Total variation has the best of three weights **by the",
        "truth**, more than held-out counts could choose; the prior is applied to that image, and",
        "its own is counted whatever the gate would say.",
        "",
        *cases(found["table"]),
        "",
        "## Does it invent?",
        "",
        *emptied(found["table"]),
        "",
        "## Kinds that were left out of training",
        "",
    ]
    for kind, table in found["without"].items():
        if table is None:
            lines.append(f"- {kind}: not run.")
            continue
        for row in table["cases"]:
            gain = np.subtract(row["prior"], row["plain"])
            lines.append(
                f"- without {kind}, {row['case']}, {row['photons']:.0e} photons, seed "
                f"{row['seed']}: {gain[0]:+.3f} / {gain[1]:+.3f} "
                f"({table['record']['steps']} steps)."
            )
    lines += ["", "## The measured star", ""]
    lines += [star_words(row) for row in found["star"]] or ["Not run: PTYCHO_DATA_DIR is not set."]
    return "\n".join([*lines, "", f"Run at commit {found['commit']}."]) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="solved scans and results")
    parser.add_argument("out", type=Path)
    parser.add_argument("--prior", default="auto")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--frames", type=int, default=484)
    options = parser.parse_args()
    config = Judgement(
        frames=options.frames, photons=tuple(GOALS), seeds=options.seeds, emptied_seeds=3
    )
    solved = options.folder / "solved"
    table = evaluate_prior(load_prior(options.prior), solved, config, progress=_tell)
    without: dict[str, Any] = {}
    for kind, wanted in KIND_CASES.items():
        path = options.folder / f"without-{kind}" / "prior.npz"
        assert kind in KINDS
        if not path.exists():
            without[kind] = None
            continue
        judged = evaluate_prior(load_prior(path), solved, config)
        rows = [row for row in judged["cases"] if row["case"] in wanted]
        without[kind] = {"record": judged["record"], "cases": rows}
    shares = STAR_SHARES if star_path() is not None else ()
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    found = {
        "table": table,
        "frames": options.frames,
        "without": without,
        "star": [star(options.prior, share, 0) for share in shares],
        "commit": commit,
    }
    options.out.with_suffix(".json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    options.out.write_text(page(found), encoding="utf-8")
    return 0


def _tell(done: int, total: int, info: dict[str, Any]) -> None:
    print(f"solved {done}/{total} {info['arm']}", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
