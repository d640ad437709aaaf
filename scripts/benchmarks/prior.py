"""The shipped prior judged: writes docs/evidence/prior.md.

    .venv/bin/python scripts/benchmarks/prior.py runs/prior docs/evidence/prior.md
    .venv/bin/python scripts/benchmarks/prior.py runs/prior docs/evidence/prior.md --seeds 1
    .venv/bin/python scripts/benchmarks/prior.py runs/prior docs/evidence/prior.md --only probe

Solved scans are kept in the folder and serve the next prior. Trainings that left a kind of specimen
or the judged scans' probe out are judged where they are there (`ptycho prior train DATA -o
runs/prior/without-KIND --without KIND`, and one that left nothing out: runs/prior/without-nothing).
The measured star is looked for in PTYCHO_DATA_DIR. `--only` takes the page's other parts from the
JSON beside it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from faults import correlation
from prior_fed import fed_rows, fed_words
from prior_unseen import (
    SIDE,
    UNSEEN_PHOTONS,
    UNSEEN_SEEDS,
    bm3d_words,
    commit,
    commits,
    region_words,
    unseen,
)
from prior_without import KIND_CASES, PROBE, PROBE_TRAININGS, probe_words, without_words

from ptycho import Reconstruction, RefineConfig, refine
from ptycho.data import open_scan
from ptycho.evaluation.metrics import common
from ptycho.pretraining import (
    CASES,
    EMPTIED,
    EMPTIED_WEIGHT,
    KINDS,
    SPARSE_CASES,
    Judgement,
    evaluate_prior,
    judge_apart,
    judge_spread,
    judge_views,
)
from ptycho.prior import load_prior
from ptycho.refinement import (
    FED_PASSES,
    FED_SHARE,
    FED_WEIGHT,
    LONG_PASSES,
    TOLD_PASSES,
)
from ptycho.studies.quality import star_path

GOALS = {1e3: (0.06, 0.04), 1e4: (0.05, 0.03), 1e6: (-0.003, -0.003)}
"""Mean gain of A, R, T, D that is asked for, amplitude and phase, at each dose."""
LEAST = -0.005
SPARSE, SPARSE_GOAL = (0.4, 0.2), 0.05
"""Overlaps, and the gain in amplitude that is asked for in each."""
STAR_SHARES = (0.02, 0.2)
STAR_ASKED = {0.02: "the prior below every other arm", 0.2: "plain or total variation"}
Row = dict[str, Any]


def cases(table: dict[str, Any]) -> Iterator[str]:
    """The rows of SSIM without and with the prior, and their mean gains against the goals."""
    yield (
        "| photons | case | seeds | total variation | as many passes | fed | prior | gain "
        "| best by the truth |"
    )
    yield "|---|---|---|---|---|---|---|---|---|"
    doses = sorted({row["photons"] for row in table["cases"]})
    for photons in doses:
        gains, even = [], []
        for case in "ARTD":
            mine = [r for r in table["cases"] if (r["photons"], r["case"]) == (photons, case)]
            keys = "plain", "longer", "fed", "prior", "best"
            images = [np.mean([r[key] for r in mine], axis=0) for key in keys]
            gains.append(images[3] - images[0])
            even.append(images[3] - images[1])
            texts = [f"{a:.3f} / {b:.3f}" for a, b in images]
            gain = f"{gains[-1][0]:+.3f} / {gains[-1][1]:+.3f}"
            row = " | ".join([f"{photons:.0e}", case, str(len(mine)), *texts[:4], gain, texts[4]])
            yield f"| {row} |"
        mean, least = np.mean(gains, axis=0), float(np.min(gains))
        goal = GOALS.get(photons)
        met = "" if goal is None else _verdict(mean, least, goal, photons)
        beside = "{:+.3f} / {:+.3f}".format(*np.mean(even, axis=0))
        yield (
            f"| {photons:.0e} | mean | | | | | | **{mean[0]:+.3f} / {mean[1]:+.3f}**{met}; "
            f"{beside} over as many passes | |"
        )


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


def spread_words(rows: list[Row]) -> Iterator[str]:
    """r.m.s. spread of the views and r.m.s. error, by fifths of the pixels."""
    doses = sorted({row["photons"] for row in rows})
    yield (
        "| fifth of the pixels, by spread | " + " | ".join(f"{d:.0e} photons" for d in doses) + " |"
    )
    yield "|---|" + "---|" * len(doses)
    for fifth in sorted({row["fifth"] for row in rows}):
        mine = {row["photons"]: row for row in rows if row["fifth"] == fifth}
        cells = [
            f"{mine[d]['spread']:.4f}, {mine[d]['error']:.4f} "
            f"({mine[d]['error'] / mine[d]['spread']:.1f})"
            for d in doses
        ]
        yield f"| {' | '.join([str(fifth), *cells])} |"


def sparse_words(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Gains where frames overlap little, against what is asked for amplitude."""
    yield (
        "| overlap | frames | case | seeds | total variation | as many passes | fed | prior | gain "
        "| asked |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for overlap in sorted({row["overlap"] for row in rows}, reverse=True):
        for case in SPARSE_CASES:
            mine = [r for r in rows if (r["overlap"], r["case"]) == (overlap, case)]
            keys = "plain", "longer", "fed", "prior"
            images = [np.mean([r[key] for r in mine], axis=0) for key in keys]
            gain = images[3] - images[0]
            met = "met" if gain[0] >= SPARSE_GOAL else "missed"
            cells = [f"{overlap:.0%}", str(mine[0]["frames"]), case, str(len(mine))]
            cells += [f"{a:.3f} / {b:.3f}" for a, b in images]
            cells += [f"{gain[0]:+.3f} / {gain[1]:+.3f}", f"{SPARSE_GOAL:+.2f} / -: {met}"]
            yield f"| {' | '.join(cells)} |"


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
    arms = ", ".join(f"{arm['image']} {arm['held_out_deviance']:.5f}" for arm in gate["candidates"])
    likeness = ", ".join(f"{name} {value:.4f}" for name, value in row["likeness"].items())
    false, waves = (
        max(arm.get(name, -np.inf) for arm in gate["candidates"])
        for name in ("false_gain", "long_waves_gain")
    )
    return (
        f"- {row['share']:.0%} of the photons: the gate took **{gate['chosen']}** (gain "
        f"{gate['gain']:.2g} ± {gate['standard_error']:.1g}; an answer of nothing gains at most "
        f"{false:.1g}, with the long waves {waves:.1g}; asked: "
        f"{STAR_ASKED[row['share']]}). Half-deviance of held-out counts: {arms}. "
        f"Likeness to the image of the other photons: {likeness}."
    )


def cost(prior: str) -> dict[str, Any]:
    """`prior_cost.py` of this prior, in a process of its own."""
    program = Path(__file__).with_name("prior_cost.py")
    told = subprocess.run(
        [sys.executable, program, prior], capture_output=True, text=True, check=True
    )
    return dict(json.loads(told.stdout.splitlines()[-1]))


def cost_words(row: dict[str, Any]) -> str:
    return (
        f"{row['side_px']}² pixels, {row['views']} view{'s' * (row['views'] > 1)}: "
        f"{row['cpu_seconds']:.2f} s of processor "
        f"time, {row['seconds']:.2f} s on {row['cores']} cores at a load of {row['load']:.1f} "
        f"(asked: at most 0.2 s on two idle cores), {row['mib']:.0f} MiB above the loaded weights "
        "(asked: at most 0.3 GB)."
    )


def views_words(rows: list[Row]) -> Iterator[str]:
    """What each view adds, a row a dose."""
    views = sorted({row["views"] for row in rows})
    yield f"| photons | scans | {' | '.join(map(str, views))} |"
    yield "|---|---|" + "---|" * len(views)
    for photons in sorted({row["photons"] for row in rows}):
        mine = {row["views"]: row for row in rows if row["photons"] == photons}
        cells = ["{:+.4f} / {:+.4f}".format(*mine[each]["gain"]) for each in views]
        yield f"| {photons:.0e} | {mine[views[0]]['scans']} | {' | '.join(cells)} |"


def _begun(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The records of the trainings that a training went on from, the latest first."""
    while record := record.get("start") or {}:
        yield record


def page(found: dict[str, Any]) -> str:
    """The document."""
    record = found["table"]["record"]
    before = [
        f"They began with weights of data {begun['data_sha256'][:8]}…, {begun['scans']} scans,\n"
        f"{begun['steps']} steps, seed {begun['seed']}, {begun['cpu_hours']:.2f} hours."
        for begun in _begun(record)
    ]
    lines = [
        "# The shipped prior, judged",
        "",
        "`.venv/bin/python scripts/benchmarks/prior.py runs/prior docs/evidence/prior.md` writes",
        f"this page. Weights: data {record['data_sha256'][:8]}…, {record['scans']} scans, "
        f"{record['steps']} steps,",
        f"seed {record['seed']}, {record['cpu_hours']:.2f} hours of processor time, commit "
        f"{record.get('commit', 'unknown')}.",
        *before,
        "",
        f"Specimens that no training saw, {found['frames']} frames of 64², Fourier shift, SSIM of",
        "amplitude / phase after the gauge. Total variation has the weight that held-out counts",
        "choose, as in `ptycho refine`; the prior is applied to that image after "
        f"{FED_PASSES} passes of",
        f"weight {FED_WEIGHT}, or {FED_SHARE} of the chosen one where that is more, with the long "
        "waves of the",
        f"phase from {LONG_PASSES} of the likelihood alone (fed: what an answer of nothing would "
        "leave), and its own",
        "is counted whatever the gate would say. Total variation after as many passes more stands",
        "beside it. The last column is the best of four weights **by the truth**, which nobody "
        "knows who",
        "measures.",
        "",
        *cases(found["table"]),
        "",
        "## Little overlap",
        "",
        "1e4 photons a frame over as large an area, the weight by held-out counts, 150 passes.",
        "",
        *sparse_words(found["table"]["sparse"]),
        "",
        "## What it is fed",
        "",
        f"Why weight {FED_WEIGHT}, and {FED_SHARE} of a heavy one: mean gains in SSIM of amplitude "
        "/ phase",
        "over the image of the weight that held-out counts chose, of draws that the training kept",
        "apart, by the weight of total variation in the prior's input. Test specimens were not "
        "asked.",
        "",
        *fed_words(found.get("fed", [])),
        "",
        "## Cost",
        "",
        cost_words(found["cost"]),
        "",
        "Mean gain in SSIM of amplitude / phase by the number of views, with the ripple that the",
        "answer as it is used has no more:",
        "",
        *views_words(found["views"]),
        "",
        "## Does it invent?",
        "",
        *emptied(found["table"]),
        "",
        "## Kinds that were left out of training",
        "",
    ]
    lines += without_words(found["without"])
    lines += [
        "",
        "## A probe that was left out of training",
        "",
        f"All judged scans above have the same kind of probe ({PROBE}). Means over seeds of the",
        "gain over total variation, SSIM of amplitude / phase, and the least one; both trainings",
        "have as many steps, and the one that left the probe out has fewer scans.",
        "",
        *probe_words(found.get("probe", {})),
    ]
    lines += [
        "",
        "## Beside BM3D",
        "",
        "SSIM of amplitude / phase, in brackets the half-deviance a pixel of counts that no image",
        "saw. `refine` tries the prior's image as it is, and with what its own counts tell apart",
        f"from noise of what {TOLD_PASSES} passes of the likelihood change of it. BM3D denoises",
        "real and imaginary part of 80 passes of the likelihood alone and has, of six strengths,",
        "the best **by the truth**; the other three know nothing of it. Its rows were run at",
        f"{commits(found['unseen'])}.",
        "",
        *(
            bm3d_words(found["unseen"])
            if any(row["image"] == "bm3d" for row in found["unseen"])
            else ["Not run: `make baselines`."]
        ),
        "",
        "## Where on the scan",
        "",
        "Half-deviance a pixel of counts that no image saw, that of total variation less that of",
        f"the prior (above 0: the prior explains them better), ×10⁻⁵, in {SIDE} × {SIDE} parts of",
        "each scan; better and worse are told from two standard errors over a part's frames on.",
        "",
        *region_words(found["unseen"]),
    ]
    lines += [
        "",
        "## Is the spread of the views an uncertainty?",
        "",
        "r.m.s. over A, R, T, D and all seeds of the spread over the views, of the error against",
        "the truth, and in brackets their ratio, which an uncertainty would have the same in all",
        "fifths and at all doses:",
        "",
        *spread_words(found["spread"]),
    ]
    lines += ["", "## The measured star", ""]
    lines += [star_words(row) for row in found["star"]] or ["Not run: PTYCHO_DATA_DIR is not set."]
    return "\n".join([*lines, "", _run_at(found["commits"])]) + "\n"


def _run_at(commits: dict[str, str]) -> str:
    """At which commit the table was run, and each part that was run at another one."""
    most = commits["table"]
    others = [f"{part} at {commit}" for part, commit in commits.items() if commit != most]
    return f"Run at commit {most}" + (f" ({', '.join(others)})." if others else ".")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="solved scans and results")
    parser.add_argument("out", type=Path)
    parser.add_argument("--prior", default="auto")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--frames", type=int, default=484)
    parser.add_argument(
        "--data", type=Path, help="scans of make-data: other probes, and what the prior is fed"
    )
    parser.add_argument("--only", nargs="+", help="parts that are run again; the rest stays")
    options = parser.parse_args()
    parts = _parts(options)
    record = options.out.with_suffix(".json")
    if options.only and not record.is_file():
        parser.error(f"--only: the other parts stand in {record}, which is not there")
    if unknown := set(options.only or ()) - set(parts):
        parser.error(f"--only {' '.join(sorted(unknown))}: the parts are {' '.join(parts)}")
    found = json.loads(record.read_text(encoding="utf-8")) if options.only else {}
    found |= {"frames": options.frames}
    for name in options.only or parts:
        found[name] = parts[name](found)
        found.setdefault("commits", {})[name] = commit()
    record.write_text(json.dumps(found, indent=1), encoding="utf-8")
    options.out.write_text(page(found), encoding="utf-8")
    return 0


def _parts(options: argparse.Namespace) -> dict[str, Callable[[dict[str, Any]], Any]]:
    """The parts of the page by name, in order; each is given those that are there."""
    images = options.folder / "solved"
    doses = Judgement(frames=options.frames, photons=tuple(GOALS), seeds=options.seeds)
    whole = replace(doses, emptied_seeds=3, sparse=SPARSE)

    def table(_: dict[str, Any]) -> dict[str, Any]:
        return evaluate_prior(load_prior(options.prior), images, whole, progress=_tell)

    def trained(name: str, wanted: tuple[str, ...]) -> dict[str, Any] | None:
        path = options.folder / f"without-{name}" / "prior.npz"
        if not path.exists():
            return None
        few = replace(doses, weights=(), emptied_seeds=0, cases=wanted)
        judged = evaluate_prior(load_prior(path), images, few, progress=_tell)
        return {"record": judged["record"], "cases": judged["cases"]}

    def without(_: dict[str, Any]) -> dict[str, Any]:
        assert set(KIND_CASES) <= set(KINDS)
        return {kind: trained(kind, tuple(wanted)) for kind, wanted in KIND_CASES.items()}

    def probe(_: dict[str, Any]) -> dict[str, Any]:
        both = {name: trained(name, tuple(CASES)) for name in PROBE_TRAININGS}
        for name, each in both.items():
            if each is not None:
                mine = load_prior(options.folder / f"without-{name}" / "prior.npz")
                each["apart"] = judge_apart(mine, options.data) if options.data else []
        return both

    def explained(found: dict[str, Any]) -> list[Row]:
        weights = {
            (row["case"], row["photons"], row["seed"]): row["weight"]
            for row in found["table"]["cases"]
            if row["photons"] in UNSEEN_PHOTONS and row["seed"] <= UNSEEN_SEEDS
        }
        weights |= {
            (EMPTIED, photons, seed): EMPTIED_WEIGHT
            for photons in UNSEEN_PHOTONS
            for seed in range(1, UNSEEN_SEEDS + 1)
        }
        return unseen(load_prior(options.prior), images, weights, options.frames)

    return {
        "table": table,
        "fed": lambda _: fed_rows(load_prior(options.prior), options.data) if options.data else [],
        "without": without,
        "probe": probe,
        "unseen": explained,
        "spread": lambda _: judge_spread(load_prior(options.prior), images, whole),
        "views": lambda _: judge_views(load_prior(options.prior), images, doses),
        "cost": lambda _: cost(options.prior),
        "star": lambda _: [
            star(options.prior, share, 0) for share in STAR_SHARES if star_path() is not None
        ],
    }


def _tell(done: int, total: int, info: dict[str, Any]) -> None:
    print(f"solved {done}/{total} {info['arm']}", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
