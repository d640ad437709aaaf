"""Does each frame belong to its position? Told by whether neighbours hold like patterns.

Frames that overlap see much of the same specimen, so their patterns are more alike than those of
frames far apart. Where a list of positions begins a frame too late, or runs backwards, the same
comparison with the frames moved along fits better. On a raster a frame moved along lands beside
the same neighbours again, and a raster read backwards is its own half turn: there the comparison
says little, and little is lost.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from ptycho.frames.findings import Finding

NEIGHBOURS = 3
FEW_PLACES = 30
MOST_SEEDS = 1000
SHIFTS = 10
BETTER = 1.1  # how much more alike, and by how many standard errors
ERRORS = 4.5
AS_ANY_TWO = (0.85, 1.08)  # neighbours are as alike as any two frames
ELSEWHERE = 1.6  # how much more alike frames are that lie elsewhere
OFTEN = 0.7  # the measured star shows 0.61 as it is, and 0.96 mixed up
OVERLAP = 0.5


def judge_order(
    looks: np.ndarray, positions_px: np.ndarray, usable: np.ndarray, lit_px: float
) -> list[Finding]:
    """Whether patterns and positions belong together; nothing is done.

    Args:
        looks: (M, F) what each frame looks like (`Census.looks`), in the order of the file.
        positions_px: (M, 2). usable: (M,) bool, frames and positions that can be believed.
        lit_px: diameter of the light; frames more than half of it apart say nothing.
    """
    good = np.flatnonzero(usable)
    if len(good) < FEW_PLACES:
        return []
    near, distance = _neighbours(positions_px, good)
    if np.median(distance) > OVERLAP * lit_px:
        return []
    seeds = np.unique(np.linspace(0, len(good) - 1, min(len(good), MOST_SEEDS)).astype(int))
    seed, near = good[seeds], near[seeds]
    # The light of a frame tells much where the beam is steady, its form tells where it is not.
    form = looks / np.maximum(np.linalg.norm(looks, axis=1, keepdims=True), 1e-30)
    found = _moved(looks, usable, seed, near) or _moved(form, usable, seed, near)
    return found or _unrelated(looks, good, usable, seed, near)


def _moved(
    looks: np.ndarray, usable: np.ndarray, seed: np.ndarray, near: np.ndarray
) -> list[Finding]:
    """Whether neighbours are more alike with the frames moved along the list, or reversed."""
    every = np.arange(len(looks))
    here = _apart(looks, usable, every, seed, near)
    best, errors, words = 1.0, 0.0, ""
    for back in (False, True):
        for shift in range(-SHIFTS, SHIFTS + 1):
            if not (shift or back):
                continue
            moved = _apart(looks, usable, (every[::-1] if back else every) + shift, seed, near)
            both = np.isfinite(here) & np.isfinite(moved)
            if both.sum() < FEW_PLACES:
                continue
            gain = np.log(here[both]) - np.log(moved[both])
            certain = float(gain.mean() / (gain.std() / np.sqrt(len(gain)) + 1e-9))
            if certain > errors:
                best, errors = float(np.exp(gain.mean())), certain
                words = _words(back, shift)
    if best < BETTER or errors < ERRORS:
        return []
    evidence = {"times_more_alike": best, "standard_errors": errors, "perhaps": words}
    return [Finding("frames-order", evidence)]


def _words(back: bool, shift: int) -> str:
    order = "the positions in reverse order, " if back else ""
    return f"{order}the pattern of frame k + {shift} belongs to the position of frame k".replace(
        "+ -", "- "
    )


def _neighbours(positions_px: np.ndarray, good: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(P, K) numbers of the nearest usable frames, and their distances."""
    places = positions_px[good]
    distance, index = cKDTree(places).query(places, k=NEIGHBOURS + 1)
    return good[index[:, 1:]], distance[:, 1:]


def _apart(
    looks: np.ndarray, usable: np.ndarray, at: np.ndarray, seed: np.ndarray, near: np.ndarray
) -> np.ndarray:
    """(S,) mean squared distance of the patterns `at` a position and around it; NaN: not all."""
    one, some = at[seed], at[near]
    inside = (one >= 0) & (one < len(looks)) & ((some >= 0) & (some < len(looks))).all(axis=1)
    one, some = np.where(inside, one, 0), np.where(inside[:, None], some, 0)
    inside &= usable[one] & usable[some].all(axis=1)
    found = _each(looks, one, some).mean(axis=1)
    return np.where(inside & (found > 0), found, np.nan)


def _unrelated(
    looks: np.ndarray, good: np.ndarray, usable: np.ndarray, seed: np.ndarray, near: np.ndarray
) -> list[Finding]:
    """No frame is like its neighbours, though most are like frames elsewhere."""
    here = _apart(looks, usable, np.arange(len(looks)), seed, near)
    if np.isfinite(here).sum() < FEW_PLACES:  # without light, say
        return []
    own = good[None, :] == seed[:, None]
    squared = _squared(looks, seed, good)
    alike = float(np.nanmean(here)) / max(float(squared[~own].mean()), 1e-30)
    close = own | (good[None, :, None] == near[:, None, :]).any(axis=2)
    elsewhere = np.sort(np.where(close, np.inf, squared), axis=1)[:, :2].mean(axis=1)
    beside = np.sort(_each(looks, seed, near), axis=1)[:, :2].mean(axis=1)
    share = float((beside > ELSEWHERE * elsewhere).mean())
    if not AS_ANY_TWO[0] < alike < AS_ANY_TWO[1] or share < OFTEN:
        return []
    evidence = {
        "neighbours_apart_over_any_two": alike,
        "share_more_alike_elsewhere": share,
        "perhaps": "frames or positions in another order",
    }
    return [Finding("frames-order", evidence)]


def _squared(looks: np.ndarray, seed: np.ndarray, good: np.ndarray) -> np.ndarray:
    """(S, P) squared distances of the patterns of `seed` and `good`."""
    size = (looks**2).sum(axis=1)
    return np.asarray(size[seed][:, None] + size[good] - 2 * looks[seed] @ looks[good].T)


def _each(looks: np.ndarray, seed: np.ndarray, near: np.ndarray) -> np.ndarray:
    return np.stack(
        [((looks[seed] - looks[near[:, k]]) ** 2).sum(axis=1) for k in range(near.shape[1])], 1
    )
