"""`ptycho prior evaluate`: what the prior does to images of specimens that it never saw.

Each arm is a made scan of test pictures or of a generated pair, solved with total variation of one
weight. The prior is judged on the image whose weight held-out counts choose, as `ptycho refine`
chooses it; the best weight by the truth, which nobody knows who measures, stands beside it. The
invention test empties half of a specimen: where there is nothing, the prior must not put more than
the plain image has there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ptycho.config import Progress
from ptycho.data import load_own, own_file, whole_file
from ptycho.errors import ConfigError, DataError
from ptycho.evaluation import evaluate
from ptycho.pretraining.made import on_canvas, samples, turned
from ptycho.pretraining.training import VALIDATION_EVERY
from ptycho.prior import VIEWS, Estimate, Prior, lit
from ptycho.result import Reconstruction
from ptycho.scan import Scan, Truth
from ptycho.simulation import SimulationConfig, picture, simulate
from ptycho.studies import run_arms

CASES = {
    "A": ("astronaut", "coffee"),
    "R": ("rocket", "moon"),
    "T": ("text", "siemens"),
    "D": ("dead_leaves", "grf"),
}
EMPTIED = "emptied"
"""The case whose right half is an even field; the other half has structure."""
EMPTIED_WEIGHT = 0.5
"""That of what the prior sees, so that only its long waves and the prior make the difference."""
BY_COUNTS = "auto"
"""The weight of total variation that held-out counts choose."""
EMPTIED_LIMIT = 1.05
"""Error there of the prior's image over that of the plain one; above it, it invents structure."""
EDGE_PX = 8
"""Between the halves, where neither is judged."""
FIFTHS = 5
SPARSE_CASES = "A", "R"
SPARSE_PHOTONS, SPARSE_PASSES = 1e4, 150
"""Of the scans with little overlap: over as large an area, so that they have fewer frames."""


@dataclass(frozen=True)
class Judgement:
    """What is judged.

    Args:
        frames: of each scan, a square number. passes: of the solver.
        photons: a frame. weights: of total variation, beside the one that held-out counts choose.
        seeds: of each case, from 1 on. cases: of `CASES`.
        sparse: overlaps (shares of the probe's diameter) of scans that are judged besides.
    """

    frames: int = 144
    passes: int = 60
    photons: tuple[float, ...] = (1e3, 1e4)
    weights: tuple[float, ...] = (0.25, 0.4, 0.65)
    seeds: int = 1
    emptied_seeds: int = 3
    sparse: tuple[float, ...] = ()
    cases: tuple[str, ...] = tuple(CASES)

    def __post_init__(self) -> None:
        if math.isqrt(max(0, self.frames)) ** 2 != self.frames or self.frames < 64:
            raise ConfigError(
                "the frames lie on a square",
                where="frames",
                expected="64, 81, 100, 121, 144, …",
                got=self.frames,
            )
        for photons in self.photons:
            if not 0 < photons < math.inf:
                raise ConfigError(
                    "no frame has so many photons",
                    where="photons",
                    expected="a number above 0",
                    got=photons,
                )

    def arms(self, folder: Path) -> list[dict[str, Any]]:
        """One dict a solved image; its file's name says what the prior is fed."""
        from ptycho.refinement import FED_SHARE, FED_WEIGHT, LONG_PASSES

        fed = f"fed-{FED_WEIGHT:g}-{FED_SHARE:g}-{LONG_PASSES}"
        rows = [
            (case, photons, weight, seed)
            for photons in self.photons
            for case in self.cases
            for seed in range(1, self.seeds + 1)
            for weight in (BY_COUNTS, *self.weights)
        ]
        rows += [
            (EMPTIED, photons, EMPTIED_WEIGHT, seed)
            for photons in self.photons
            for seed in range(1, self.emptied_seeds + 1)
        ]
        keys = ("case", "photons", "weight", "seed")
        made = [
            dict(zip(keys, row, strict=True))
            | {"folder": str(folder), "frames": self.frames, "passes": self.passes}
            | {"name": f"{row[0]}-{row[1]:g}-{row[2]}-{row[3]}-{self.frames}-{self.passes}-{fed}"}
            for row in rows
        ]
        return made + [
            {"case": case, "photons": SPARSE_PHOTONS, "weight": BY_COUNTS, "seed": seed}
            | {"overlap": overlap, "folder": str(folder), "passes": SPARSE_PASSES}
            | {"frames": self.sparse_frames(overlap)}
            | {"name": f"{case}-{seed}-{self.frames}-overlap-{overlap:g}-{fed}"}
            for overlap in self.sparse
            for case in SPARSE_CASES
            for seed in range(1, self.seeds + 1)
        ]

    def sparse_frames(self, overlap: float) -> int:
        """The square number of frames that cover what `frames` do at the usual step."""
        usual = SimulationConfig()
        share = usual.spacing_px / (usual.diameter_px * (1 - overlap))
        return max(1, round(math.sqrt(self.frames) * share)) ** 2


def evaluate_prior(
    prior: Prior,
    folder: Path,
    config: Judgement,
    *,
    scheduler: str | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Judge `prior`; solved images are kept in `folder`, and serve the next prior too.

    Returns:
        `cases`, `sparse`: one row a case, dose and seed with the weight that held-out counts chose,
        SSIM (amplitude, phase) of its image (`plain`), the same after as many passes more as the
        prior takes (`longer`), of what the prior sees of it (`fed`) and of the prior's answer
        (`prior`), and in `cases` of the best weight by the truth (`best`);
        `emptied`: r.m.s. error in the emptied half before and after.

    Raises:
        DataError: a scan could not be made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    arms = config.arms(folder)
    missing = [arm for arm in arms if not _path(arm).exists()]
    for outcome in run_arms(missing, solve_arm, scheduler=scheduler, progress=progress):
        if outcome.error:
            raise DataError(
                "a scan could not be made", where=outcome.arm["name"], got=outcome.error
            )
    cases: dict[tuple[Any, ...], dict[str, Any]] = {}
    emptied, sparse = [], []
    for arm in arms:
        found = _read(_path(arm))
        image, estimate, truth, weight, _ = found
        if arm["case"] == EMPTIED:
            emptied.append(_emptied_row(arm, (image, prior(estimate)), estimate, truth))
            continue
        plain = _ssim(image, estimate, truth)
        if "overlap" in arm:
            facts = {name: arm[name] for name in ("case", "photons", "seed", "overlap", "frames")}
            sparse.append(facts | _judged(prior, found) | {"plain": plain, "weight": weight})
            continue
        key = tuple(arm[name] for name in ("case", "photons", "seed"))
        row = cases.setdefault(key, dict(zip(("case", "photons", "seed"), key, strict=True)))
        row["best"] = max(row.get("best", plain), plain, key=sum)
        if arm["weight"] == BY_COUNTS:
            row |= _judged(prior, found) | {"plain": plain, "weight": weight}
    rows = {"cases": list(cases.values()), "sparse": sparse, "emptied": emptied}
    return {"record": prior.record, **rows}


def _judged(prior: Prior, found: Solution) -> dict[str, Any]:
    """SSIM without the prior after as many passes, of what it sees, and of its answer."""
    images = {"fed": found.estimate.image, "prior": prior(found.estimate)}
    if found.longer is not None:
        images["longer"] = found.longer
    return {name: _ssim(image, found.estimate, found.truth) for name, image in images.items()}


def judge_apart(prior: Prior, data: Path) -> list[dict[str, Any]]:
    """SSIM without and with the prior of the scans in `data` that its training kept apart.

    `single` is that of one view of the image (`Prior.__call__`). The draws were never trained on;
    their kinds, and the photographs that they are cut from, were. `probe` is the kind of theirs.
    """
    rows = []
    for path, sample in samples(data):
        if int(path.stem) % VALIDATION_EVERY:
            continue
        estimate, truth = sample.estimate, (sample.target, 0)
        facts = {"scan": path.stem, "kinds": sample.recipe["specimen"]["kinds"]}
        facts["probe"] = sample.recipe["simulation"]["probe"]
        light = float(np.median(estimate.light[lit(estimate.light)]))
        images = {"plain": estimate.image, "prior": prior(estimate)}
        images["single"] = prior(estimate, views=1)
        scores = {name: _ssim(image, estimate, truth) for name, image in images.items()}
        rows.append(facts | {"light": light} | scores)
    return rows


def judge_spread(prior: Prior, folder: Path, config: Judgement) -> list[dict[str, Any]]:
    """Whether the spread of the prior's views tells its error, on images that are solved already.

    Returns:
        One row a dose and fifth of the lit pixels, by their spread over the views (standard
        deviation of the complex answer): `spread` and `error` (of the mean of the views against the
        truth in its scale, long waves of the phase aside), each an r.m.s. over all cases and seeds.
    """
    rows = []
    for photons in config.photons:
        spreads, errors = [], []
        for arm in config.arms(folder):
            if arm["photons"] != photons or arm["weight"] != BY_COUNTS or "overlap" in arm:
                continue
            _, estimate, truth, *_ = _read(_path(arm))
            answers = prior.answers(estimate)
            image, inside = answers.mean(axis=0), lit(estimate.light)
            wanted = turned(truth[0], image, estimate.light)
            spreads.append(np.sqrt(np.mean(np.abs(answers - image) ** 2, axis=0))[inside])
            errors.append(np.abs(image - wanted)[inside])
        spread, error = np.concatenate(spreads), np.concatenate(errors)
        edges = np.quantile(spread, np.linspace(0, 1, FIFTHS + 1)[1:-1])
        fifth = np.searchsorted(edges, spread, side="right")
        for number in range(FIFTHS):
            mine = fifth == number
            if mine.any():
                told = [float(np.sqrt(np.mean(each[mine] ** 2))) for each in (spread, error)]
                facts = {"photons": photons, "fifth": number + 1}
                rows.append(facts | dict(zip(("spread", "error"), told, strict=True)))
    return rows


def judge_views(prior: Prior, folder: Path, config: Judgement) -> list[dict[str, Any]]:
    """What each view of an image adds, on images that are solved already.

    Returns:
        One row a dose and number of views: `gain`, mean over cases and seeds of SSIM (amplitude,
        phase) of the mean answer of so many views less that of the image.
    """
    rows = []
    for photons in config.photons:
        gains: dict[int, list[np.ndarray]] = {}
        for arm in config.arms(folder):
            if arm["photons"] != photons or arm["weight"] != BY_COUNTS or "overlap" in arm:
                continue
            plain, estimate, truth, *_ = _read(_path(arm))
            before = np.array(_ssim(plain, estimate, truth))
            answers = prior.answers(estimate, views=VIEWS)
            for views in (1, 2, 4, 8, 16):
                after = _ssim(answers[:views].mean(axis=0), estimate, truth)
                gains.setdefault(views, []).append(np.array(after) - before)
        for views, each in gains.items():
            facts = {"photons": photons, "views": views, "scans": len(each)}
            rows.append(facts | {"gain": np.mean(each, axis=0).tolist()})
    return rows


def judged_scan(
    case: str,
    photons: float,
    frames: int,
    seed: int,
    *,
    draw: int = 0,
    overlap: float | None = None,
) -> Scan:
    """A scan of test pictures, with its truth, read between pixels by the Fourier shift.

    Args:
        case: of `CASES`, or `EMPTIED`. photons: a frame. frames: a square number.
        seed: of specimen, positions and counts. draw: another one has other counts only.
        overlap: of neighbouring frames, a share of the probe's diameter; None: 0.75.
    """
    names = CASES.get(case, CASES["A"])

    def specimen(shape: tuple[int, int]) -> np.ndarray:
        rngs = [np.random.default_rng((seed, 2, part)) for part in range(2)]
        amplitude, phase = (
            picture(name, shape, rng) for name, rng in zip(names, rngs, strict=True)
        )
        made: np.ndarray = (0.5 + 0.5 * amplitude) * np.exp(1j * phase)
        if case == EMPTIED:
            made[:, shape[1] // 2 :] = 0.75 * np.exp(0.5j)
        return made

    step_px = None if overlap is None else (1 - overlap) * SimulationConfig().diameter_px
    config = SimulationConfig(
        N=64,
        step_px=step_px,
        n_frames=frames,
        photons=photons,
        kernel="fourier",
        seed=seed,
        noise_seed=seed + 1000 * draw,
    )
    return simulate(config, specimen=specimen)


def solve_arm(arm: dict[str, Any]) -> dict[str, Any]:
    """Simulate and solve one scan, and keep the images."""
    from ptycho.refinement import FED_PASSES, LONG_PASSES, solved

    names = ("case", "photons", "frames", "seed")
    scan = judged_scan(*(arm[name] for name in names), overlap=arm.get("overlap"))
    assert scan.truth is not None
    weight = chosen_weight(scan) if arm["weight"] == BY_COUNTS else arm["weight"]
    plain, fed, origin = solved(scan, weight, arm["passes"], least_px=0)
    truth = on_canvas(scan.truth, origin, plain.shape)
    half = scan.truth.object.shape[1] // 2 + scan.truth.origin_px[1] - origin[1]
    parts: dict[str, Any] = {
        "plain": plain,
        "image": fed.image,
        "freer": fed.freer,
        "light": fed.light,
        "weight": np.array(weight),
    }
    if arm["weight"] == BY_COUNTS:
        passes = arm["passes"] + FED_PASSES + LONG_PASSES
        parts["longer"] = solved(scan, weight, passes, least_px=0).image
    with whole_file(_path(arm)) as temporary, temporary.open("wb") as file:
        np.savez(file, truth=truth, half=np.array(half), **parts)
    return {"solved": arm["name"]}


def chosen_weight(scan: Scan) -> float:
    """The weight of total variation that a refinement with a known probe chooses for `scan`."""
    from ptycho.refinement import RefineConfig, refine

    found = refine(scan, config=RefineConfig(update_probe=False, clean="off"))
    return float(found.reconstruction.meta["regularise"])


def _path(arm: dict[str, Any]) -> Path:
    return Path(arm["folder"]) / f"{arm['name']}.npz"


class Solution(NamedTuple):
    """A solved arm: its image, what the prior sees of it, the truth with the column where the
    emptied half begins, the weight of total variation, and, where counts chose it, the image after
    as many passes more as the prior's input takes."""

    plain: np.ndarray
    estimate: Estimate
    truth: tuple[np.ndarray, int]
    weight: float
    longer: np.ndarray | None


def _read(path: Path) -> Solution:
    what, fix = "a solved image cannot be read", f"rm {path}, and the same command again"
    with own_file(path, what, writer="ptycho prior evaluate", fix=fix):
        found, _ = load_own(path, None)
        estimate = Estimate(found["image"], found["freer"], found["light"])
        truth, weight = (found["truth"], int(found["half"])), float(found["weight"])
        return Solution(found["plain"], estimate, truth, weight, found.get("longer"))


def _ssim(
    image: np.ndarray, estimate: Estimate, truth: tuple[np.ndarray, int]
) -> tuple[float, float]:
    """SSIM of amplitude and phase after the library's gauge."""
    rec = Reconstruction(image, estimate.light, (0.0, 0.0))
    scores = evaluate(rec, Truth(truth[0]))
    return float(scores["amplitude"]["ssim"]), float(scores["phase"]["ssim"])


def _emptied_row(
    arm: dict[str, Any],
    images: tuple[np.ndarray, np.ndarray],
    estimate: Estimate,
    truth: tuple[np.ndarray, int],
) -> dict[str, Any]:
    """r.m.s. of what stands in the emptied half besides a constant: before, in what the prior sees,
    and with it."""
    inside = lit(estimate.light)
    inside[:, : truth[1] + EDGE_PX] = False
    errors = (float(np.std(each[inside])) for each in (images[0], estimate.image, images[1]))
    before, fed, after = errors
    facts = {name: arm[name] for name in ("photons", "seed")}
    return facts | {"plain": before, "fed": fed, "prior": after, "ratio": after / before}
