"""The refinement on simulated scans with truth: writes docs/evidence/refinement.md.

    .venv/bin/python scripts/benchmarks/refinement.py docs/evidence/refinement.md [--rows NAME …]

Frames are read between pixels by a Fourier shift, the model by the cubic kernel: no row profits
from a shared kernel. Results gather in a file beside the page (`.jsonl`), and the page is written
from it after each run, so that a stop loses nothing and a row is repeated by naming it.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from faults import correlation
from scipy import ndimage

from ptycho import Reconstruction, RefineConfig, Scan, SimulationConfig, evaluate, refine, simulate
from ptycho.data import open_scan
from ptycho.evaluation.metrics import common
from ptycho.evaluation.scores import evaluate_images, split
from ptycho.refinement.rings import rings_of
from ptycho.refinement.run import prepare
from ptycho.refinement.takeover import take_over
from ptycho.studies.quality import star_path

A = {"N": 64, "n_frames": 484, "step_px": 6.4, "amplitude": "astronaut", "phase": "coffee"}
R = {**A, "amplitude": "rocket", "phase": "moon"}
T = {**A, "amplitude": "text", "phase": "siemens"}
D = {**A, "amplitude": "dead_leaves", "phase": "grf"}
FEW = 196
"""Frames of the rows on imperfect beams: three seeds of them cost what one large scan does."""
CURVATURE = 4.0
OPR = {"opr": "auto"}
MARGIN = 16
"""Pixels around a patch that a Fourier shift may wrap into."""
DOSE_GOALS = {
    1e6: (0.981, 0.975, 0.971, 0.967),
    1e5: (0.935, 0.930, 0.894, 0.858),
    1e4: (0.83, 0.82, 0.735, 0.663),
    1e3: (0.64, 0.63, 0.499, 0.340),
}
TRIED = {
    "dose-1e+06": "seed 0, one setting changed each: `kernel=lagrange6` .978/.979, `passes=240` "
    ".973/.977, `regularise=0.4` .981/.982, `regularise=0.65` .983/.983, `regularise=0.4` with "
    "`kernel=lagrange6` .982/.982. The weight that held-out counts choose is too small for SSIM "
    "(.25; .4 is worse by .8 standard errors). With the larger weight taken within one standard "
    "error: .981/.982 here, just below the goal, and dose-1e+03 as said there; not kept.",
    "dose-1e+03": "seed 0: `regularise=0.25` .603/.579, `regularise=0.4` .642/.626. With "
    "the larger weight taken within one standard error (.65): .653/.628, but likeness .952 to "
    ".943; not kept.",
    "eigenmode-off": "`opr: auto`, the row eigenmode; this one is its control.",
    "defocus-drift-off": "`opr: auto`, the row defocus-drift; this one is its control.",
}
"""What was tried where a goal is missed: settings of `RefineConfig` on the scan of the row."""
NOTES = [
    "## What the dose goals mean on these scans",
    "",
    "The goals and the figures of f264b61 were set on scans made with the model's own kernel. On",
    "scan A of the rows dose-…, made with a Fourier shift, `refine` of f264b61 (the better of its",
    "defaults and of 150 passes that nothing stops) and the reference's recipe (whole-scan Poisson",
    "descent with total variation, weight by held-out counts, bilinear kernel) give what is here:",
    "means of the seeds 0, 1, 2 by `scripts/benchmarks/refinement_tries.py before` at 6791b94,",
    "SSIM of amplitude/phase, known probe, 484 frames. The last column is the same margin over",
    "f264b61 on these scans. By it 1e6 and 1e3 are met; 1e5 and 1e4 are met in amplitude and miss",
    "the phase (.943 for .966, .843 for .847), where f264b61 is better than it was there.",
    "",
    "| photons | f264b61 there | f264b61 here | reference's recipe here | goal | same margin |",
    "|---|---|---|---|---|---|",
    "| 1e6 | .971/.967 | .952/.955 | .951/.960 | .981/.975 | .962/.963 |",
    "| 1e5 | .894/.858 | .899/.894 | .917/.924 | .935/.930 | .940/.966 |",
    "| 1e4 | .735/.663 | .747/.690 | .831/.827 | .830/.820 | .842/.847 |",
    "| 1e3 | .499/.340 | .496/.339 | .647/.638 | .640/.630 | .637/.629 |",
    "",
    "## Tried, and left out",
    "",
    "Averages of object and probe over the last passes of the last run, seed 0, by",
    "`scripts/benchmarks/refinement_tries.py averaging`. Whole-scan passes come to rest: there is",
    "no noise of batches to average out, and on the star, whose last run is ten passes, an average",
    "is an image of earlier. Nothing is averaged.",
    "",
    "| passes averaged | A, 1e4 photons: SSIM amplitude/phase | A, 1e3 | star: deviance of the "
    "other half · agreement .2–.3 · .3–.4 |",
    "|---|---|---|---|",
    "| 1 | .8490/.8471 | .6424/.6270 | .5319 · .655 · .362 |",
    "| 2 | .8490/.8471 | .6424/.6270 | .5321 · .655 · .361 |",
    "| 4 | .8491/.8471 | .6424/.6270 | .5327 · .653 · .358 |",
    "| 8 | .8491/.8470 | .6424/.6271 | .5341 · .649 · .349 |",
    "| 16 | .8491/.8464 | .6424/.6276 | – |",
    "| 32 | .8491/.8438 | .6425/.6279 | – |",
    "",
    "## Coarse to fine: where passes are few",
    "",
    "`refine --set coarse_passes=P` begins with P passes over the inner half of the detector,",
    "with pixels of the object twice as large. Scan A with a known probe and c = .25, means of",
    "the seeds 0, 1, 2 by `scripts/benchmarks/refinement_tries.py coarse` at e03a5ea: SSIM of",
    "amplitude/phase · likeness · processor seconds (loaded machine). P passes, and as many",
    "numbers transformed otherwise: P coarse ones and ¾ P after them. The phase gains where the",
    "budget ends before its long waves are there; with 120 passes, the default, they are, so",
    "that it is off unless asked for. It costs a compilation.",
    "",
    "| photons | P | P passes | P coarse, ¾ P fine |",
    "|---|---|---|---|",
    "| 1e5 | 30 | .937/.857 · .9883 · 7.4 | .937/.891 · .9927 · 6.3 |",
    "| 1e5 | 60 | .938/.919 · .9953 · 4.0 | .938/.935 · .9961 · 4.4 |",
    "| 1e5 | 120 | .938/.941 · .9968 · 7.5 | .938/.942 · .9968 · 8.3 |",
    "| 1e4 | 30 | .823/.767 · .9791 · 2.2 | .823/.797 · .9834 · 2.4 |",
    "| 1e4 | 60 | .824/.815 · .9858 · 4.0 | .824/.824 · .9864 · 4.5 |",
    "| 1e4 | 120 | .824/.824 · .9866 · 8.1 | .824/.824 · .9867 · 8.7 |",
    "",
    "## A background in rings: scatter, or what the object is short of",
    "",
    "What is told of it (`ptycho.refinement.scatter`), by",
    "`scripts/benchmarks/refinement_tries.py background`, seed 0: 120 simulated frames of 32²",
    "with and without scatter that is brighter outside, smoothed little, by held-out counts",
    "(auto), and far too much (c = 8). Photons a frame in the rings; the share of them in rings",
    "that are looked at (a ring of less than a twentieth of the light there is not: it keeps",
    "the 1 % that it began with); the share of those that the object is short of, by speckle",
    "and by growth with the object's light from frame to frame, with standard errors. At 1e3",
    "photons nothing is told. The star, two modes and positions: not told with total variation,",
    "scatter for two thirds without it, where the rings hold more.",
    "",
    "| photons, true scatter, smoothing | rings hold | looked at | short, by speckle | by frames "
    "| told |",
    "|---|---|---|---|---|---|",
    "| 1e5, scatter 4562, c = 0.1 | 4550 | 0.79 | 0.08 ± 0.01 | 0.00 ± 0.04 | scatter |",
    "| 1e5, scatter 4562, c = 8 | 2397 | 0.64 | 0.21 ± 0.01 | 0.00 ± 0.10 | scatter |",
    "| 1e5, none, c = 8 | 1570 | 0.42 | 1.00 ± 0.09 | 1.00 ± 0.11 | shrinkage |",
    "| 1e5, none, auto | 1106 | 0.08 | 1.00 ± 0.31 | 0.00 ± 0.33 | not told |",
    "| 1e4, scatter 456, c = 0.1 | 578 | 0.82 | 0.16 ± 0.09 | 0.00 ± 0.04 | scatter |",
    "| 1e4, scatter 456, c = 8 | 774 | 0.87 | 0.34 ± 0.06 | 0.31 ± 0.06 | scatter |",
    "| 1e4, none, c = 8 | 334 | 0.69 | 0.89 ± 0.13 | 1.00 ± 0.17 | shrinkage |",
    "| 1e4, none, auto | 138 | 0.26 | 1.00 ± 0.28 | 0.01 ± 0.38 | not told |",
    "| 1e3, scatter 46, auto | 168 | 0.93 | 0.69 ± 0.15 | 0.08 ± 0.10 | not told |",
    "| 1e3, none, c = 8 | 118 | 0.90 | 0.49 ± 0.21 | 1.00 ± 0.24 | not told |",
    "| star, 60 passes, auto | 12010 | 0.50 | 0.49 ± 0.03 | 0.50 ± 0.06 | not told |",
    "| star, 60 passes, off | 19250 | 0.68 | 0.31 ± 0.02 | 0.35 ± 0.06 | scatter |",
    "",
]
HEAD = "| row | what is asked | goal | seeds: figure | mean | met |"


@dataclass(frozen=True)
class Row:
    """One line of the table: what is run for a seed, and when its figure is good."""

    name: str
    asked: str
    goal: str
    run: Callable[[int], dict[str, float]]
    met: Callable[[dict[str, float]], bool]


def scan_of(base: dict[str, Any], photons: float, seed: int, **more: Any) -> Scan:
    """A scan read by a Fourier shift."""
    setting = {**base, **more}
    return simulate(
        SimulationConfig(**setting, photons=photons, kernel="fourier", seed=seed, noise_seed=seed)
    )


def small(seed: int, **more: Any) -> Scan:
    """Scan A with fewer frames at 1e5 photons."""
    return scan_of({**A, "n_frames": FEW}, 1e5, seed, **more)


def recounted(scan: Scan, probes: np.ndarray, light: np.ndarray, seed: int) -> Scan:
    """The same scan with a probe (M or 1, N, N) and a share of light (M,) of each frame."""
    reach = scan.N + 2 * MARGIN
    corners = scan.positions_px - scan.N // 2 - np.asarray(scan.truth.origin_px)
    truth = np.pad(scan.truth.object, MARGIN, mode="edge")  # so that a block begins at its corner
    frequency = np.fft.fftfreq(reach)
    counts = np.empty_like(scan.counts, np.float32)
    rng = np.random.default_rng((seed, 7))
    for j, corner in enumerate(corners):
        row, col = np.floor(corner).astype(int)
        down, right = corner - (row, col)
        ramp = np.exp(2j * np.pi * (frequency[:, None] * down + frequency[None] * right))
        block = truth[row : row + reach, col : col + reach]
        patch = np.fft.ifft2(np.fft.fft2(block) * ramp)[MARGIN:-MARGIN, MARGIN:-MARGIN]
        wave = np.fft.fft2(patch * probes[j % len(probes)], norm="ortho")
        counts[j] = rng.poisson(light[j] * np.abs(np.fft.fftshift(wave)) ** 2)
    return replace(scan, counts=counts)


def scores(scan: Scan, **settings: Any) -> dict[str, float]:
    """SSIM of amplitude and phase after the gauge, likeness and processor seconds."""
    begun = time.process_time()
    rec = refine(scan, config=RefineConfig(**settings)).reconstruction
    seconds = time.process_time() - begun
    return {**ssim(rec, scan), "likeness": likeness(rec, scan), "cpu_s": seconds}


def likeness(rec: Reconstruction, scan: Scan) -> float:
    """Modulus of the complex correlation with the truth over the scanned area, after the gauge."""
    pair = common(rec.object, rec.origin_px, rec.region(), scan.truth.object, scan.truth.origin_px)
    return correlation(pair.a, pair.b, pair.region)


def ssim(rec: Reconstruction, scan: Scan) -> dict[str, float]:
    """Amplitude and phase."""
    told = evaluate(rec, scan)
    return {part: float(told[part]["ssim"]) for part in ("amplitude", "phase")}


def curved(scan: Scan, radians: np.ndarray) -> np.ndarray:
    """(M, N, N) the probe with so much more quadratic phase at its edge."""
    square = np.sum((np.indices((scan.N,) * 2) - scan.N // 2) ** 2, axis=0)
    at_edge = square / (0.2 * scan.N) ** 2
    return scan.probe[0] * np.exp(1j * np.asarray(radians)[:, None, None] * at_edge)


def dose(photons: float) -> Row:
    amplitude, phase, was_amplitude, was_phase = DOSE_GOALS[photons]
    return Row(
        f"dose-{photons:.0e}",
        f"scan A, 484 frames, {photons:.0e} photons, known probe: SSIM amplitude/phase "
        f"(f264b61 {was_amplitude}/{was_phase}, there with the model's own kernel)",
        f"≥ {amplitude}/{phase}",
        lambda seed: scores(scan_of(A, photons, seed), update_probe=False),
        lambda mean: mean["amplitude"] >= amplitude and mean["phase"] >= phase,
    )


def wrong_defocus(seed: int) -> dict[str, float]:
    scan = small(seed)
    wrong = replace(scan, probe=curved(scan, [-0.2 * CURVATURE]).astype(np.complex64))
    known, found = scores(scan, update_probe=False), scores(wrong)
    return {"phase_lost": known["phase"] - found["phase"], **found}


def apart(found: np.ndarray, true: np.ndarray) -> tuple[float, float]:
    """R.m.s. distance in px without a common shift, and without the affine part as well."""
    away = (found - true) - (found - true).mean(axis=0)
    centred = true - true.mean(axis=0)
    rest = away - centred @ np.linalg.lstsq(centred, away, rcond=None)[0]
    return tuple(float(np.sqrt((each**2).sum(axis=1).mean())) for each in (away, rest))


def straightened(rec: Reconstruction, true: np.ndarray) -> Reconstruction:
    """The object without the affine part of the position error, which is nearly a gauge."""
    found = np.asarray(rec.positions_px)
    middles = found.mean(axis=0), true.mean(axis=0)
    by = np.linalg.lstsq(true - middles[1], found - middles[0], rcond=None)[0]
    place = np.indices(rec.object.shape).reshape(2, -1).T + np.asarray(rec.origin_px)
    at = (place - middles[1]) @ by + middles[0] - np.asarray(rec.origin_px)
    image, seen = (
        ndimage.map_coordinates(each, at.T, order=3, mode="nearest").reshape(each.shape)
        for each in (rec.object, rec.coverage)
    )
    return replace(rec, object=image.astype(np.complex64), coverage=np.maximum(seen, 0.0))


def star_halves(seed: int) -> dict[str, float]:
    """Even against odd frames of the measured star: how well each explains the other's frames."""
    scan = open_scan(star_path())
    begun = time.process_time()
    halves = split(scan, "frames", np.random.default_rng(seed))
    config = RefineConfig(passes=60, modes=2, positions="frames", background="rings", seed=seed)
    recs = [refine(half, config=config).reconstruction for half in halves]
    seconds = (time.process_time() - begun) / 2
    return {**on_the_other_half(halves, recs, config), "cpu_s_a_half": seconds}


def on_the_other_half(
    halves: list[Scan], recs: list[Reconstruction], config: RefineConfig
) -> dict[str, float]:
    """How well each image explains the other half's frames, at the places found for them."""
    deviances = []
    for half, own, other in zip(halves, recs, recs[::-1], strict=True):
        given = replace(half, positions_px=own.positions_px)
        engine = prepare(given, take_over(given, replace(other, positions_px=None)), config)
        rings = np.asarray(other.meta["background_rings"], np.float32)
        engine.background = rings[rings_of(half.N)]
        deviances.append(engine.score().deviance_per_pixel)
    told = evaluate_images(*recs).metrics["frc"]["curve"]
    frequency, agreement = (np.array(told[key]) for key in ("cycles_per_px", "correlation"))
    bands = {
        f"agreement_{low:.1f}_{low + 0.1:.1f}": float(
            agreement[(frequency >= low) & (frequency < low + 0.1)].mean()
        )
        for low in (0.2, 0.3)
    }
    return {"deviance": float(np.mean(deviances)), **bands}


def places(kind: str) -> Callable[[int], dict[str, float]]:
    def run(seed: int) -> dict[str, float]:
        scan = small(seed)
        true, rng = scan.positions_px, np.random.default_rng((seed, 3))
        centred = true - true.mean(axis=0)
        time_ = np.linspace(-1, 1, len(true))[:, None]
        turn = np.deg2rad(4.0)
        spin = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        wrong = {
            "random": lambda: true + rng.normal(size=true.shape) * 1.5,
            "jitter": lambda: true + rng.normal(size=true.shape),
            "scale": lambda: true + 0.06 * centred,
            "rotation": lambda: true + centred @ (spin - np.eye(2)),
            "drift": lambda: true + 2 * time_ * [[0.8, 0.6]],
        }[kind]()
        result = refine(replace(scan, positions_px=wrong), config=RefineConfig(positions="all"))
        rec, clean = result.reconstruction, scores(scan)
        straight, ceiling = straightened(rec, true), clean["phase"]
        whole, rest = apart(rec.positions_px, true)
        shared = rec.meta["shared_positions"]
        return {
            "px": rest,
            "px_with_affine_part": whole,
            "px_at_start": apart(wrong, true)[0],
            "phase_lost": ceiling - ssim(straight, scan)["phase"],
            "likeness_lost": clean["likeness"] - likeness(straight, scan),
            "phase_lost_with_affine_part": ceiling - ssim(rec, scan)["phase"],
            # What all positions share, and what it gains where each frame then moves by itself.
            "shared_kept": float(shared["kept"]),
            "gain_of_frames": shared["deviance_gain_of_frames"] or 0.0,
        }

    return run


def against_clean(changed: Callable[[Scan, int], Scan], **settings: Any) -> Callable:
    """What a scan loses against the same without the fault."""

    def run(seed: int) -> dict[str, float]:
        scan = small(seed)
        clean = scores(scan)
        found = scores(changed(scan, seed), **settings)
        phase = clean["phase"] - found["phase"]
        return {"lost": clean["likeness"] - found["likeness"], "phase_lost": phase, **found}

    return run


def uneven(scan: Scan, seed: int) -> Scan:
    light = np.random.default_rng((seed, 5)).uniform(0.5, 1.5, scan.n_frames)
    return recounted(scan, scan.probe, light, seed)


def with_eigenmode(scan: Scan, seed: int) -> Scan:
    """A tenth of the light is that of a second shape, with a random weight in each frame."""
    probe = scan.probe[0].astype(complex)
    column = np.indices(probe.shape)[1] - scan.N // 2
    second = probe * column
    second -= probe * np.vdot(probe, second) / np.vdot(probe, probe)
    second *= np.sqrt(0.1) * np.linalg.norm(probe) / np.linalg.norm(second)
    weight = np.random.default_rng((seed, 5)).normal(size=scan.n_frames)
    probes = probe + weight[:, None, None] * second
    return recounted(scan, probes, np.ones(scan.n_frames), seed)


def drifting_defocus(scan: Scan, seed: int) -> Scan:
    more = np.linspace(-0.25, 0.25, scan.n_frames) * CURVATURE
    return recounted(scan, curved(scan, more), np.ones(scan.n_frames), seed)


def no_probe(base: dict[str, Any], photons: float) -> Callable[[int], dict[str, float]]:
    def run(seed: int) -> dict[str, float]:
        scan = scan_of({**base, "n_frames": FEW}, photons, seed)
        with_it, without = scores(scan), scores(replace(scan, probe=None))
        return {"share": without["likeness"] / with_it["likeness"], **without}

    return run


def raster(seed: int) -> dict[str, float]:
    scan = small(seed, trajectory="raster")
    wrong = replace(scan, probe=curved(scan, [-0.5 * CURVATURE]).astype(np.complex64))
    rec = refine(wrong, config=RefineConfig()).reconstruction
    lit = np.argwhere(rec.region())
    middle, side = lit.mean(axis=0), int(0.6 * (lit.max(axis=0) - lit.min(axis=0)).min())
    first = np.round(middle - side / 2).astype(int)
    cut = tuple(slice(k, k + side) for k in first)
    place = first + np.round(np.subtract(rec.origin_px, scan.truth.origin_px)).astype(int)
    true = scan.truth.object[tuple(slice(k, k + side) for k in place)]
    mine, own = (at_scan_frequency(each, A["step_px"]) for each in (rec.object[cut], true))
    return {"over_truth": mine / own, "power": mine, "of_truth": own, **ssim(rec, scan)}


def at_scan_frequency(image: np.ndarray, step_px: float) -> float:
    """Power of the phase at one period a step, over the median of the power around it."""
    angle = np.angle(image * np.conj(image.mean()))
    window = np.hanning(len(image))
    spectrum = np.abs(np.fft.fft2((angle - angle.mean()) * window[:, None] * window)) ** 2
    at, worst = round(len(image) / step_px), 0.0
    for row, col in ((at, 0), (0, at)):
        around = [(row + a, col + b) for a in range(-5, 6) for b in range(-5, 6)]
        near = [spectrum[r, c] for r, c in around if max(abs(r - row), abs(c - col)) <= 1]
        far = [spectrum[r, c] for r, c in around if max(abs(r - row), abs(c - col)) > 1]
        worst = max(worst, max(near) / float(np.median(far)))
    return worst


def rows() -> Iterator[Row]:
    """All lines of the table, in the order in which they are run."""
    yield from (dose(photons) for photons in (1e5, 1e4, 1e3, 1e6))
    what = "position error of {}, probe free: px r.m.s. and phase SSIM lost, after an affine fit"
    for kind, words, goal in (
        ("random", "1.5 px at random (each axis)", 0.15),
        ("scale", "6 % of scale", 0.1),
        ("rotation", "4° of rotation", 0.1),
        ("drift", "4 px of drift", 0.1),
    ):
        yield Row(
            f"positions-{kind}",
            what.format(words),
            f"≤ {goal} px, ≤ .03",
            places(kind),
            lambda mean, goal=goal: mean["px"] <= goal and mean["phase_lost"] <= 0.03,
        )
    yield Row(
        "probe-jitter",
        "the probe jitters by 1 px an axis (the same as positions that do), `positions: all`: "
        "likeness lost",
        "≤ .01",
        places("jitter"),
        lambda mean: mean["likeness_lost"] <= 0.01,
    )
    lost = "likeness lost against the clean scan"
    for name, words, changed, settings, goal in (
        ("flux", "light of .5 to 1.5 a frame, defaults", uneven, {}, 0.01),
        ("eigenmode-off", "a 10 % eigenmode, defaults", with_eigenmode, {}, 0.02),
        ("defocus-drift-off", "defocus that drifts by half, defaults", drifting_defocus, {}, 0.02),
        ("eigenmode", "a 10 % eigenmode, `opr: auto`", with_eigenmode, OPR, 0.02),
        ("defocus-drift", "defocus that drifts by half, `opr: auto`", drifting_defocus, OPR, 0.02),
        ("clean-auto", "no fault, `opr: auto`", lambda scan, _: scan, OPR, 0.002),
    ):
        yield Row(
            name,
            f"{words}: {lost}",
            f"≤ {goal}",
            against_clean(changed, **settings),
            lambda mean, goal=goal: mean["lost"] <= goal,
        )
    for name, base, photons in (("A", A, 1e5), ("R", R, 1e6), ("T", T, 1e5), ("D", D, 1e5)):
        yield Row(
            f"no-probe-{name}",
            f"scan {name}, {photons:.0e} photons, no probe guess: likeness over that with it",
            "≥ .98",
            no_probe(base, photons),
            lambda mean: mean["share"] >= 0.98,
        )
    yield Row(
        "raster",
        "raster without jitter, probe start half out of focus: power at the scan frequency over "
        "its surroundings, divided by the truth's own",
        "≤ 1.3",
        raster,
        lambda mean: mean["over_truth"] <= 1.3,
    )
    yield Row(
        "wrong-defocus",
        "probe recovered from a 20 % wrong defocus: phase SSIM lost against the known probe",
        "≤ .03",
        wrong_defocus,
        lambda mean: mean["phase_lost"] <= 0.03,
    )
    yield Row(
        "star-halves",
        "measured star, even against odd frames, two modes, positions, rings, 60 passes: "
        "half-deviance a pixel of the other half's frames, at the positions found for them",
        "≤ .55",
        star_halves,
        lambda mean: mean["deviance"] <= 0.55,
    )


def page(results: list[dict[str, Any]]) -> str:
    """The document, from what is there."""
    lines = [
        "# The refinement on simulated scans",
        "",
        "`.venv/bin/python scripts/benchmarks/refinement.py docs/evidence/refinement.md`",
        "writes this page; `--rows NAME` repeats a row, `--seeds 0` takes one seed. Frames of 64²,",
        f"step 6.4 px, {FEW} frames and 1e5 photons unless said; scan A is astronaut and coffee,",
        "R rocket and moon, T text and a star, D dead leaves and a random field. Counts are made",
        "with a Fourier shift between pixels, the model reads by its cubic kernel. All settings",
        "are the defaults unless said; the gauge of `ptycho evaluate` is taken out before SSIM.",
        "Likeness is the modulus of the complex correlation with the truth over the scanned",
        "area, means removed. CPU seconds are of a loaded machine, compilation included. A mean",
        "of one seed is a lead, not a proof.",
        "",
        HEAD,
        "|" + "---|" * (HEAD.count("|") - 1),
    ]
    missed, absent = [], []
    for row in rows():
        mine = sorted((r for r in results if r["row"] == row.name), key=lambda r: r["seed"])
        if not mine:
            lines.append(f"| {row.name} | {row.asked} | {row.goal} | not run | – | – |")
            absent.append(f"`{row.name}`")
            continue
        keys = list(mine[0]["figures"])
        each = "; ".join(f"{r['seed']}: {_words(r['figures'])}" for r in mine)
        mean = {key: float(np.mean([r["figures"][key] for r in mine])) for key in keys}
        met = row.met(mean)
        if not met:
            tried = f". Tried: {TRIED[row.name]}" if row.name in TRIED else ""
            missed.append(f"- `{row.name}`: goal {row.goal}, measured {_words(mean)}{tried}")
        lines.append(
            f"| {row.name} | {row.asked} | {row.goal} | {each} | {_words(mean)} | "
            f"{'yes' if met else '**no**'} |"
        )
    lines += ["", "## Missed", "", *(missed or ["None of the rows that were run."]), ""]
    if absent:
        lines += [
            "## Not run yet",
            "",
            f"{', '.join(absent)}: these goals are not measured here.",
            "",
        ]
    lines += NOTES
    made = sorted({r["commit"] for r in results})
    lines += [f"Rows were run at the commits {', '.join(made)}."]
    return "\n".join(lines) + "\n"


def _words(figures: dict[str, float]) -> str:
    return ", ".join(f"{key.replace('_', ' ')} {value:.3g}" for key, value in figures.items())


def main() -> int:
    """Run the rows that are named, seed by seed, and write the page after each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--rows", nargs="*", default=["*"], help="names or patterns")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    options = parser.parse_args()
    store = options.out.with_suffix(".jsonl")
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    for seed in options.seeds:
        for row in rows():
            if not any(fnmatch.fnmatch(row.name, pattern) for pattern in options.rows):
                continue
            if row.run is star_halves and star_path() is None:
                print(row.name, "not run: the measured star is looked for in PTYCHO_DATA_DIR")
                continue
            figures = row.run(seed)
            lines = store.read_text(encoding="utf-8").splitlines() if store.is_file() else []
            results = [json.loads(line) for line in lines]
            results = [r for r in results if (r["row"], r["seed"]) != (row.name, seed)]
            results.append({"row": row.name, "seed": seed, "commit": commit, "figures": figures})
            store.write_text("".join(json.dumps(r) + "\n" for r in results), encoding="utf-8")
            options.out.write_text(page(results), encoding="utf-8")
            print(row.name, seed, _words(figures), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
