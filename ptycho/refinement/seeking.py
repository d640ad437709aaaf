"""Frames that are explained worst look for a better place around them. NumPy only.

A slope leads into the nearest valley only. A frame that is off by more than the detail of the
object stays where it is, and spoils the image that its neighbours are placed by; a few tries on a
grid bring it near enough for its slope.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

EVERY = 10
"""Passes between two searches."""
NEAR_SHARE, NEAR_PX = 0.25, 2
"""Of the frames, those explained worst, and how far along each axis they look."""
FAR_SHARE = 0.05
"""Of the frames, the very worst: these look as far as they may move."""


def seek(
    fits: Callable[[np.ndarray, np.ndarray], np.ndarray],
    positions_px: np.ndarray,
    home_px: np.ndarray,
    limit_px: float,
) -> np.ndarray:
    """(M, 2): the positions, where the frames explained worst have the best of the places tried.

    Args:
        fits: (indices (B,), positions (B, 2)) → (B,) how badly each frame is explained there.
        positions_px: (M, 2). home_px: (M, 2), around which each may move by `limit_px` an axis.
    """
    moved = positions_px.copy()
    order = np.argsort(fits(np.arange(len(moved)), moved))
    for share, reach in ((NEAR_SHARE, NEAR_PX), (FAR_SHARE, math.floor(limit_px))):
        worst = order[-math.ceil(share * len(order)) :]
        steps = np.indices((2 * reach + 1,) * 2).reshape(2, -1).T - float(reach)
        steps = steps[np.argsort((steps**2).sum(axis=1))]  # of equals the nearest
        home = home_px[worst, None]
        there = np.clip(moved[worst, None] + steps, home - limit_px, home + limit_px)
        found = fits(np.repeat(worst, len(steps)), there.reshape(-1, 2))
        best = np.argmin(found.reshape(len(worst), -1), axis=1)
        moved[worst] = there[np.arange(len(worst)), best]
    return moved
