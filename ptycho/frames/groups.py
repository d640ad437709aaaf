"""Neighbour groups of C = g² frames, and a spatially disjoint train/validation split.

A group is a seed frame and its nearest neighbours, so that its frames overlap. The seed is a
member, members are ordered by row and then column, and every draw comes from the caller's
generator: the same seed gives the same groups, another seed others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from ptycho.errors import ShapeError, UsageError


@dataclass(frozen=True, eq=False)
class Groups:
    """G groups of C frames.

    Args:
        indices: (G, C) int64, frame numbers.
        centres_px: (G, 2) float64 (row, col), mean position of the group.
        offsets_px: (G, C, 2) float64, position − centre.
    """

    indices: np.ndarray
    centres_px: np.ndarray
    offsets_px: np.ndarray

    def __len__(self) -> int:
        return len(self.indices)


def make_groups(
    positions_px: np.ndarray,
    gridsize: int,
    *,
    neighbours: int | None = None,
    min_distance_px: float = 0.0,
    max_distance_px: float | None = None,
    n_groups: int | None = None,
    oversample: int = 1,
    rng: np.random.Generator,
) -> Groups:
    """Group each frame with C − 1 of its neighbours.

    Args:
        positions_px: (M, 2) (row, col).
        gridsize: g; C = g².
        neighbours: K ≥ C − 1 nearest frames to draw from; None: exactly the C − 1 nearest.
        min_distance_px: members nearer than this to the seed are not taken (repeated exposures).
        max_distance_px: members farther than this from the seed are not taken; a seed with too
            few members forms no group. None: no bound.
        n_groups: number of seeds drawn (without replacement); None: every frame.
        oversample: groups drawn for each seed, of which some may be the same; needs K > C − 1.
        rng: of all draws.

    Raises:
        UsageError: K < C − 1, too few frames, bounds or numbers without a meaning, or no group
            within the distance bounds.
    """
    positions = np.asarray(positions_px, np.float64)
    if positions.ndim != 2 or positions.shape[1] != 2:
        raise ShapeError("positions are no list of pairs", expected="(M, 2)", got=positions.shape)
    size, count = gridsize**2, len(positions)
    wanted = size - 1 if neighbours is None else neighbours
    _check_size(size, wanted, count)
    _check_draws(size, wanted, n_groups, oversample, min_distance_px, max_distance_px)
    seeds = np.arange(count)
    if n_groups is not None and n_groups < count:
        seeds = np.sort(rng.choice(count, n_groups, replace=False))
    seeds = np.repeat(seeds, oversample)
    near, distance = _nearest(positions, seeds, wanted)
    present = distance >= min_distance_px
    if max_distance_px is not None:
        present &= distance <= max_distance_px
    members = _draw(seeds, near, present, size, rng)
    if len(members) == 0:
        raise UsageError(
            "no frame has enough neighbours within the distance",
            where="min_distance_px, max_distance_px",
            expected=f"{size - 1} neighbours of {wanted} from {min_distance_px} to "
            f"{max_distance_px} px",
            got="none",
            fix="a larger max_distance_px, more neighbours, or gridsize 1",
        )
    return _finish(positions, members)


def _check_size(size: int, wanted: int, count: int) -> None:
    if wanted < size - 1:
        raise UsageError(
            "too few neighbours to fill a group",
            where="neighbours",
            expected=f"at least gridsize² − 1 = {size - 1}",
            got=wanted,
        )
    if count <= wanted:
        raise UsageError(
            "too few frames for groups of this size",
            where="gridsize",
            expected=f"more than {wanted} frames",
            got=count,
            fix="a smaller gridsize, or more frames",
        )


def _check_draws(
    size: int,
    wanted: int,
    n_groups: int | None,
    oversample: int,
    min_distance_px: float,
    max_distance_px: float | None,
) -> None:
    if (n_groups is not None and n_groups < 1) or oversample < 1:
        raise UsageError(
            "a number of groups is at least 1",
            where="n_groups, oversample",
            got=f"{n_groups}, {oversample}",
        )
    if oversample > 1 and wanted == size - 1:
        raise UsageError(
            "there is nothing to draw from: all groups of a seed would be the same",
            where="oversample",
            expected=f"neighbours > {size - 1}, or oversample = 1",
            got=f"neighbours = {wanted}, oversample = {oversample}",
        )
    low, high = min_distance_px, np.inf if max_distance_px is None else max_distance_px
    if not 0 <= low <= high:
        raise UsageError(
            "the bounds of the distance contradict each other",
            where="min_distance_px, max_distance_px",
            expected="0 ≤ min ≤ max",
            got=f"{low}, {high}",
        )


def _nearest(
    positions: np.ndarray, seeds: np.ndarray, wanted: int
) -> tuple[np.ndarray, np.ndarray]:
    """(S, K) nearest neighbours of each seed without itself, and their distances."""
    if wanted == 0:
        return np.empty((len(seeds), 0), np.int64), np.empty((len(seeds), 0))
    distance, near = cKDTree(positions).query(positions[seeds], k=wanted + 1)
    # A duplicated position may push the seed from the first place, or out of the hits entirely.
    own = near == seeds[:, None]
    own[~own.any(axis=1), -1] = True
    order = np.argsort(~own, axis=1, kind="stable")[:, 1:]
    near = np.take_along_axis(near, order, axis=1)
    distance = np.take_along_axis(distance, order, axis=1)
    return near, distance


def _draw(
    seeds: np.ndarray,
    near: np.ndarray,
    present: np.ndarray,
    size: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """(G, C) members: the seed and C − 1 of its neighbours, drawn where there are more."""
    keys = rng.random(near.shape) if near.shape[1] > size - 1 else np.zeros(near.shape)
    order = np.argsort(np.where(present, keys, 2.0), axis=1, kind="stable")[:, : size - 1]
    chosen = np.take_along_axis(near, order, axis=1)
    complete = np.take_along_axis(present, order, axis=1).all(axis=1)
    return np.column_stack([seeds, chosen])[complete]


def _finish(positions: np.ndarray, members: np.ndarray) -> Groups:
    place = positions[members]
    order = np.lexsort((members, place[..., 1], place[..., 0]), axis=1)
    members = np.take_along_axis(members, order, axis=1)
    place = positions[members]
    centres = place.mean(axis=1)
    return Groups(members.astype(np.int64), centres, place - centres[:, None])


def split_spatially(
    positions_px: np.ndarray, *, validation_fraction: float, margin_px: float
) -> tuple[np.ndarray, np.ndarray]:
    """Cut the scan along its longer side: (train, validation) frame numbers.

    The validation frames are those at the far end; frames within `margin_px` of the cut belong
    to neither part, so that no train patch overlaps a validation patch by more than the caller
    allows (margin = N: not at all).

    Raises:
        UsageError: the fraction is not between 0 and 1, or the margin leaves no training frame.
    """
    positions = np.asarray(positions_px, np.float64)
    if not 0 < validation_fraction < 1:
        raise UsageError(
            "not a share",
            where="validation_fraction",
            expected="0 < value < 1",
            got=validation_fraction,
        )
    axis = int(np.argmax(np.ptp(positions, axis=0)))
    along = positions[:, axis]
    count = max(1, round(validation_fraction * len(along)))
    order = np.argsort(along, kind="stable")
    validation = np.sort(order[-count:])
    cut = along[order[-count]]
    train = np.sort(order[:-count][along[order[:-count]] < cut - margin_px])
    if len(train) == 0:
        raise UsageError(
            "the margin leaves no frame to train on",
            where="margin_px",
            expected=f"less than {np.ptp(along):.1f} px",
            got=margin_px,
        )
    return train, validation
