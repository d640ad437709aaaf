"""Do the frames lie as the positions say? Told without a reconstruction, where patterns move.

The centre of mass of a frame is, but for the amplitude, the mean gradient g of the object's phase
under the probe. A gradient has no curl: ∂g_row/∂col = ∂g_col/∂row. Where rows and columns of the
positions are exchanged ∂g_row/∂row = ∂g_col/∂col holds instead; where one axis is reversed the
curl's two terms are opposite, and with both the divergence vanishes. Half a turn changes nothing.
(Electron microscopes find the rotation of their detector so: Savitzky et al. 2021, py4DSTEM,
doi:10.1017/S1431927621000477.)
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from ptycho.frames.findings import Finding

NEIGHBOURS = 6
FEW_PLACES = 30
WELL_SPREAD = 10.0  # largest condition of the places around a frame
LARGEST_SHARE = 0.9  # quantile above which single places do not count more
TURNED = 0.35  # what remains of the other way's sum, over what remains as it is
WAYS = ("--flip rows", "--transpose", "--transpose --flip rows")
MEANINGS = (
    "an axis of the frames or of the positions has the other sign",
    "rows and columns of the frames or of the positions are exchanged",
    "rows and columns are exchanged and one of them has the other sign",
)


def judge_turn(centre_px: np.ndarray, positions_px: np.ndarray) -> list[Finding]:
    """Whether the patterns move as if the frames lay another way.

    Args:
        centre_px: (M, 2) centre of mass of each frame, (row, col). positions_px: (M, 2), finite.

    Returns:
        A finding where one other way explains the movement beyond doubt; nothing is done, since
        a format's word is stronger than thirty frames.
    """
    sums = _vanishing(np.asarray(centre_px, float), np.asarray(positions_px, float))
    if len(sums) < FEW_PLACES:
        return []
    squares = sums**2
    even = np.minimum(squares, np.quantile(squares, LARGEST_SHARE)).mean(axis=0)
    remains = np.stack([squares.mean(axis=0), even])
    if not remains[:, 0].all():
        return []
    shares = (remains[:, 1:] / remains[:, :1]).max(axis=0)
    best = int(shares.argmin())
    if not shares[best] < TURNED:
        return []
    told = {
        "curl_left": float(shares[best]),
        "perhaps": MEANINGS[best],
        "try": f"{WAYS[best]}, or --orientation auto",
    }
    return [Finding("frames-turned", told)]


def _vanishing(centre: np.ndarray, places: np.ndarray) -> np.ndarray:
    """(M, 4): what vanishes as it is, with an axis reversed, exchanged, and with both.

    The derivatives are those of a plane through each frame and its nearest neighbours; frames
    whose neighbours lie on a line tell nothing.
    """
    if len(places) <= NEIGHBOURS:
        return np.zeros((0, 4))
    near = cKDTree(places).query(places, k=NEIGHBOURS + 1)[1]
    x = places[near] - places[near].mean(axis=1, keepdims=True)
    y = centre[near] - centre[near].mean(axis=1, keepdims=True)
    normal, right = np.einsum("mki,mkj->mij", x, x), np.einsum("mki,mkj->mij", x, y)
    spread = np.linalg.eigvalsh(normal)
    told = spread[:, 1] < WELL_SPREAD * spread[:, 0]
    slope = np.linalg.solve(normal[told], right[told])  # [m, along, of]
    row_row, row_col = slope[:, 0, 0], slope[:, 0, 1]
    col_row, col_col = slope[:, 1, 0], slope[:, 1, 1]
    return np.stack(
        [row_col - col_row, row_col + col_row, row_row - col_col, row_row + col_col], axis=1
    )
