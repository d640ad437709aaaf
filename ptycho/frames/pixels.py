"""Which pixels cannot be believed, judged from a `Census`. Thresholds know the dose.

Measured false alarms: `docs/evidence/data.md` (`scripts/benchmarks/faults.py --alarms`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage, special

from ptycho.frames.census import Census, neighbours8
from ptycho.frames.findings import Finding

OFTEN = 0.02  # share of the frames from which a pixel is masked in all of them
NEVER = 1e-9  # a chance that is evidence beyond doubt
HOT_RATIO = 12.0  # times the brightest neighbour
FLASH_RATIO = 20.0
DEAD_COUNTS = 100.0  # counts in every lit neighbour of a dead region
DEAD_COUNTS_BLIND = 1000.0  # the same where no probe says where its light is dark
NULL = 0.1  # of the darkest neighbour: a zero of the far field
GAP_COUNTS = 1000.0  # counts in the lines on both sides of a dark line
CLIP_FROM = 30.0
CLIP_TIES = 8
LEAPS = 10  # over most of the type's range, where it is filled to the top
MOST = 0.3  # share of the lit pixels above which it is no matter of single pixels
DEAD_PX = 25
GAP_PX = 6


@dataclass(frozen=True)
class Pixels:
    """What is to be masked, what is wrong in single frames, and from which count on.

    Args:
        bad: (N, N) bool, to be masked in all frames.
        flashes: [frame, row, col] of single values.
        clip: values from here on are no measurement; infinity: all are.
        findings: why.
    """

    bad: np.ndarray
    flashes: list[tuple[int, int, int]]
    clip: float
    findings: list[Finding]


def judge_pixels(census: Census, mask: np.ndarray, far: np.ndarray | None) -> Pixels:
    """Look at every pixel that `mask` (N, N; True = valid) believes so far.

    Args:
        census: of the frames. mask: (N, N) bool.
        far: (N, N) light of the probe on the detector, or None.
    """
    bad = np.zeros(census.shape, bool)
    findings: list[Finding] = []

    def note(code: str, pixels: np.ndarray, **evidence: float | str) -> None:
        pixels = pixels & mask & ~bad
        if pixels.any():
            bad[pixels] = True
            findings.append(Finding(code, evidence, "masked", np.argwhere(pixels).tolist()))

    count = census.frames
    for code, hits in (
        ("pixel-at-maximum", census.high),
        ("pixel-not-finite", census.not_finite),
        ("pixel-negative", census.negative),
    ):
        often = hits >= (1 if census.overflow else max(1, OFTEN * count))
        share = float(hits[often & mask].max(initial=0)) / count
        extra = {"maximum": census.ceiling} if code == "pixel-at-maximum" else {}
        note(code, often, most_frames=f"{share:.0%}", **extra)
    if census.jumps >= LEAPS and census.near_top > census.high.sum():
        evidence = {
            "largest": float(census.highest.max()),
            "leaps_between_neighbours": census.jumps,
        }
        findings.append(Finding("counts-wrapped", evidence))
    constant = _constant(census)
    lit = mask & (census.total > 0)
    if (constant & lit).sum() <= MOST * lit.sum():
        note("pixel-constant", constant, least=_least(census, constant), frames=count)
    sharpest = _sharpest(far)
    note("pixel-hot", _hot(census, mask & ~bad, sharpest), times_the_brightest_neighbour=HOT_RATIO)
    clip, clipped = _clip(census, mask & ~bad)
    if np.isfinite(clip):
        often = clipped & (census.ties >= max(2, OFTEN * count))
        note("pixel-clipped", often, count=clip, times=int(census.ties[clipped].sum()))
    note(
        "pixel-dead",
        _dead(census, mask & ~bad, far),
        counts_in_neighbours=f">= {DEAD_COUNTS:.0f}",
    )
    flashes = _flashes(census, mask & ~bad, sharpest)
    if flashes:
        values = [float(census.highest[r, c]) for _, r, c in flashes]
        findings.append(
            Finding("pixel-flash", {"largest": max(values)}, "masked", [list(f) for f in flashes])
        )
    return Pixels(bad, flashes, clip, findings)


def _least(census: Census, pixels: np.ndarray) -> float:
    return float(census.lowest[pixels].min()) if pixels.any() else 0.0


def _constant(census: Census) -> np.ndarray:
    """Always the same count c > 0: Poisson light of that mean hardly ever does so.

    The chance is pmf(c | c)^M for each pixel, times the number of pixels.
    """
    same = (census.lowest == census.highest) & (census.highest > 0)
    c = np.where(same, census.highest, 1.0)
    log_pmf = c * np.log(c) - c - special.gammaln(c + 1)
    chance = census.frames * log_pmf + np.log(census.total.size)
    return np.asarray(same & (chance < np.log(NEVER)))


def _sharpest(far: np.ndarray | None) -> float:
    """How far a pixel of the light of the probe may stand out from its brightest neighbour.

    Every diffraction pattern is made of shifted copies of this one.
    """
    if far is None:
        return np.inf
    around = neighbours8(far, np.maximum, 0.0)
    bright = far > 1e-3 * far.max()
    return float((far[bright] / np.maximum(around[bright], 1e-30)).max())


def _hot(census: Census, mask: np.ndarray, sharpest: float) -> np.ndarray:
    around = neighbours8(np.where(mask, census.total, 0.0), np.maximum, 0.0)
    margin = 3 * np.sqrt(around) + 20.0
    once = (census.ties == 1) & (census.frames > 1)  # a single flash is another matter
    steady = census.total - np.where(once, census.highest, 0.0)
    ratio = HOT_RATIO if not np.isfinite(sharpest) else max(HOT_RATIO, 4 * sharpest)
    hot = mask & (steady > ratio * (around + margin))
    if not np.isfinite(sharpest):  # without a probe the direct beam may be one pixel wide
        row, col = np.unravel_index(np.argmax(_smooth(census.total * mask)), census.shape)
        hot[max(0, row - 2) : row + 3, max(0, col - 2) : col + 3] = False
    return hot


def _smooth(image: np.ndarray) -> np.ndarray:
    """Median of 3 × 3 plus a little of the mean: bright where light is, not where one pixel is."""
    return np.asarray(ndimage.uniform_filter(ndimage.median_filter(image, 3), 5))


def _dead(census: Census, mask: np.ndarray, far: np.ndarray | None) -> np.ndarray:
    """Small regions without a single count whose whole rim is lit, and dark lines through light.

    What touches the border may be the dark around the light, and a large region a central stop.
    """
    dark = mask & (census.total == 0)
    labels, number = ndimage.label(np.pad(dark, 1, constant_values=True), np.ones((3, 3)))
    inner, lit = labels[1:-1, 1:-1], mask & ~dark
    least = neighbours8(np.where(lit, census.total, np.inf), np.minimum, np.inf)
    every = np.arange(number + 1)
    rim = ndimage.minimum(least, inner, every)
    size = ndimage.sum_labels(dark, inner, every)
    least_counts = DEAD_COUNTS_BLIND if far is None else DEAD_COUNTS
    good = np.isfinite(rim) & (np.asarray(rim) >= least_counts) & (size <= DEAD_PX)
    good[[0, labels[0, 0]]] = False
    dead = good[inner] & dark
    if far is not None:
        dead &= far > NULL * neighbours8(far, np.minimum, np.inf)
    for axis in (0, 1):
        line = np.moveaxis(np.where(mask, census.total, 0.0), axis, 0).sum(axis=1)
        known = np.moveaxis(mask, axis, 0).any(axis=1)
        stretches, count = ndimage.label((line == 0) & known)
        for number in range(1, count + 1):
            at = np.flatnonzero(stretches == number)
            edges = line[[max(at[0] - 1, 0), min(at[-1] + 1, len(line) - 1)]]
            if len(at) <= GAP_PX and edges.min() >= GAP_COUNTS:
                np.moveaxis(dead, axis, 0)[at] = True
    return dead & dark


def _clip(census: Census, mask: np.ndarray) -> tuple[float, np.ndarray]:
    """The count at which the detector stops, and the pixels that reach it.

    At the largest counts of Poisson light fewer and fewer values stand; at a stop they pile up.
    Single pixels that lie far above all others are left out first.
    """
    nothing = np.zeros(census.shape, bool)
    highest = np.where(mask, census.highest, -np.inf)
    tops = np.unique(highest[np.isfinite(highest)])
    for level in tops[::-1][:64]:
        if level < CLIP_FROM:
            break
        at = highest == level
        ties = float(census.ties[at].sum())
        if ties < CLIP_TIES:
            continue
        near = level - max(1.0, 2 * np.sqrt(level))
        below = census.second_ties[at & (census.second >= near)].sum()
        below += census.ties[(highest < level) & (highest >= near)].sum()
        varies = census.lowest[at].min() < level
        above = highest > level
        few = np.count_nonzero(above) <= 3 and (census.ties[above] == 1).all()
        if varies and few and ties >= 4 * below + CLIP_TIES:
            return float(level), at
    return np.inf, nothing


def _flashes(census: Census, mask: np.ndarray, sharpest: float) -> list[tuple[int, int, int]]:
    """Single values far above all others of their pixel and above their neighbours in the frame."""
    if census.frames < 8 or not np.isfinite(sharpest):
        return []
    second = np.where(np.isfinite(census.second), census.second, 0.0)
    ratio = max(FLASH_RATIO, 4 * sharpest)
    usual = ratio * (second + 3 * np.sqrt(second) + 10)
    alone = ratio * (census.around + 3 * np.sqrt(census.around) + 10)
    flash = mask & (census.ties == 1) & (census.highest > np.maximum(usual, alone))
    return [(int(census.where[r, c]), int(r), int(c)) for r, c in np.argwhere(flash)]
