"""`Prior`: the network with its weights, applied to images of any size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ptycho.errors import UsageError
from ptycho.nn import PRIOR_REACH_PX, PRIOR_STRIDE, PRIOR_WIDTH, build_prior_net
from ptycho.prior.estimate import Estimate
from ptycho.prior.features import CHANNELS, Gauged, box, channels, correction, gauged
from ptycho.prior.ripple import without_ripple

TILE_PX = 512
VIEWS = 16
VIEWED_PX = VIEWS * 160**2
"""So many pixels a network of the usual width looks at, or each pixel once; a wider one at as many
as cost as much (`docs/evidence/prior.md`, Cost, says what a view adds)."""
_VIEWS = (0, False), (2, True), (1, False), (3, True), (2, False), (0, True), (3, False), (1, True)
"""Quarter turns, and whether of the conjugate; once more of the image moved by `MOVED_PX`."""
MOVED_PX = 3
"""The network works on squares of 2, 4 and 8 pixels: by an odd shift others lie in one."""
_CONJUGATE = np.array([1, -1, 1, -1, 1, 1, 1, -1, 1, -1], np.float32)  # of the channels


class Prior:
    """Weights of one training.

    Args:
        weights: arrays in the order of the layers, as in the file; the first tells the width.
        record: where they come from; JSON-able.
    """

    def __init__(self, weights: list[np.ndarray], record: dict[str, Any]) -> None:
        self.record = record
        self.width = int(np.shape(weights[0])[-1])
        self._net = build_prior_net(CHANNELS, width=self.width)
        self._net.set_weights(weights)
        # One program a shape would be compiled under XLA, which takes longer than the answer.
        self._net.compile(jit_compile=False)

    @property
    def weights(self) -> list[np.ndarray]:
        """Arrays in the order of the layers."""
        return list(self._net.get_weights())

    def __call__(
        self, estimate: Estimate, *, views: int | None = None, tile_px: int = TILE_PX
    ) -> np.ndarray:
        """(H, W) complex64: what the prior makes of an estimate, in the estimate's own scale.

        Args:
            estimate: of a whole-scan descent.
            views: of the image whose answers are averaged, 1 to 16: its quarter turns, those of its
                conjugate between them, then all of them of the image moved by three pixels. None:
                16 where the image is small, fewer from 160² on, one above 450².
            tile_px: larger images go through in tiles of this side, with halos as wide as the
                network reaches: the result is the same, the memory limited.

        Raises:
            DataError: an estimate without light, or not finite. UsageError: no such `views`.
        """
        own = gauged(estimate)
        changed = self._corrections(estimate, own, views, tile_px).mean(axis=0)
        return without_ripple(estimate.image + changed, changed, own)

    def answers(
        self, estimate: Estimate, *, views: int | None = None, tile_px: int = TILE_PX
    ) -> np.ndarray:
        """(views, H, W) complex64: what the network makes of each view, brought back."""
        corrections = self._corrections(estimate, gauged(estimate), views, tile_px)
        return np.asarray(estimate.image + corrections)

    def _corrections(
        self, estimate: Estimate, own: Gauged, views: int | None, tile_px: int
    ) -> np.ndarray:
        if views is not None and not 1 <= views <= VIEWS:
            raise UsageError(
                "an image has no such number of views",
                where="views",
                expected=f"1 to {VIEWS}",
                got=views,
            )
        at = box(own.lit)
        planes = channels(*(part[at] for part in (own.image, own.freer, own.blocks, own.sigma)))
        planes[~own.lit[at]] = 0
        afford = VIEWED_PX * (PRIOR_WIDTH / self.width) ** 2 / own.lit[at].size
        views = views or int(np.clip(afford, 1, VIEWS))
        found = np.zeros((views, *own.image.shape, 2), np.float32)
        for view in range(views):
            turn, conjugate = _VIEWS[view % len(_VIEWS)]
            moved = MOVED_PX * (view // len(_VIEWS))
            # Turning the planes turns re and im of a pixel along: a scalar field has no direction.
            seen = np.rot90(planes * _CONJUGATE if conjugate else planes, turn)
            if moved:
                seen = np.pad(seen, [(moved, 0), (moved, 0), (0, 0)])
            answer = self._tiled(np.ascontiguousarray(seen), tile_px)[moved:, moved:]
            answer = np.rot90(answer, -turn)
            found[view][at] = answer * _CONJUGATE[:2] if conjugate else answer
        return np.stack([correction(own, answer) for answer in found])

    def _tiled(self, planes: np.ndarray, tile_px: int) -> np.ndarray:
        """(H, W, F) → (H, W, 2)."""
        height, width = planes.shape[:2]
        ends = [(0, -side % PRIOR_STRIDE) for side in (height, width)]
        if any(end for _, end in ends):  # a copy of what is the largest array here
            planes = np.pad(planes, [*ends, (0, 0)], mode="edge")
        answer = np.empty((*planes.shape[:2], 2), np.float32)
        for rows, take_rows, keep_rows in _tiles(planes.shape[0], tile_px):
            for cols, take_cols, keep_cols in _tiles(planes.shape[1], tile_px):
                part = self._net.predict_on_batch(planes[None, take_rows, take_cols])
                answer[rows, cols] = np.asarray(part)[0, keep_rows, keep_cols]
        return answer[:height, :width]


def _tiles(side: int, tile_px: int) -> Iterator[tuple[slice, slice, slice]]:
    """Of each tile: the pixels it answers, those it takes with the halo, and where they lie."""
    tile_px = max(PRIOR_STRIDE, tile_px - tile_px % PRIOR_STRIDE)
    for first in range(0, side, tile_px):
        last = min(first + tile_px, side)
        low, high = max(0, first - PRIOR_REACH_PX), min(side, last + PRIOR_REACH_PX)
        yield slice(first, last), slice(low, high), slice(first - low, last - low)
