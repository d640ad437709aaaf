"""What a reconstruction is: an object in the scan frame, and the light that made it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ptycho.errors import ShapeError


@dataclass(frozen=True)
class Reconstruction:
    """An object in the scan frame, with the illumination that made it.

    Args:
        object: (H, W) complex64, the object's complex transmission.
        coverage: (H, W) float32 ≥ 0, how much light each pixel saw; 0 outside the scan.
        origin_px: (row, col), scan-frame coordinate of array pixel [0, 0].
        probe: (K, N, N) complex64 or None; incoherent modes, strongest first.
        meta: JSON-able facts about how it was made.
        positions_px: (M, 2) float64 or None; positions (row, col) if they were refined.
        plain: (H, W) complex64 or None; the object without the prior, where `object` is with it.
        eigenprobes: (E, N, N) complex64 or None; how the first mode varies from frame to frame.
        probe_weights: (M, E) float32 or None, of each frame; mean 0, mean square 1.
    """

    object: np.ndarray
    coverage: np.ndarray
    origin_px: tuple[float, float]
    probe: np.ndarray | None = None
    meta: dict[str, Any] = field(default_factory=dict)
    positions_px: np.ndarray | None = None
    plain: np.ndarray | None = None
    eigenprobes: np.ndarray | None = None
    probe_weights: np.ndarray | None = None

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        set_(self, "object", np.asarray(self.object, np.complex64))
        set_(self, "coverage", np.asarray(self.coverage, np.float32))
        row, col = (float(value) for value in self.origin_px)
        set_(self, "origin_px", (row, col))
        if self.probe is not None:
            probe = np.asarray(self.probe, np.complex64)
            set_(self, "probe", probe[None] if probe.ndim == 2 else probe)
        if self.positions_px is not None:
            set_(self, "positions_px", np.asarray(self.positions_px, np.float64))
        if self.plain is not None:
            set_(self, "plain", np.asarray(self.plain, np.complex64))
        if self.eigenprobes is not None:
            set_(self, "eigenprobes", np.asarray(self.eigenprobes, np.complex64))
        if self.probe_weights is not None:
            set_(self, "probe_weights", np.asarray(self.probe_weights, np.float32))
        _check(self)

    def probe_of(self, index: int) -> np.ndarray | None:
        """(K, N, N) the modes at frame `index`, where the first varies; or None."""
        if self.probe is None or self.eigenprobes is None or self.probe_weights is None:
            return self.probe
        own = np.tensordot(self.probe_weights[index], self.eigenprobes, axes=1)
        return np.concatenate([self.probe[:1] + own, self.probe[1:]])

    def region(self, threshold: float = 0.1) -> np.ndarray:
        """(H, W) bool: pixels that saw at least `threshold` of the (robust) maximum coverage."""
        lit = self.coverage[self.coverage > 0]
        if lit.size == 0:
            return np.zeros(self.coverage.shape, bool)
        return self.coverage >= threshold * np.quantile(lit, 0.95)

    def with_meta(self, **facts: Any) -> Reconstruction:
        """The same reconstruction with these facts added to `meta`."""
        return replace(self, meta={**self.meta, **facts})


def _check(rec: Reconstruction) -> None:
    if rec.object.ndim != 2 or rec.coverage.shape != rec.object.shape:
        raise ShapeError(
            "object and coverage of a reconstruction must be two images of one shape",
            expected="object (H, W), coverage (H, W)",
            got=f"object {rec.object.shape}, coverage {rec.coverage.shape}",
        )
    if rec.plain is not None and rec.plain.shape != rec.object.shape:
        raise ShapeError(
            "the plain object of a reconstruction must have the object's shape",
            expected=rec.object.shape,
            got=rec.plain.shape,
        )
    if rec.probe is not None and (
        rec.probe.ndim != 3 or rec.probe.shape[-1] != rec.probe.shape[-2]
    ):
        raise ShapeError(
            "the probe of a reconstruction must be a stack of square modes",
            expected="(K, N, N)",
            got=rec.probe.shape,
        )
    weights, varying = rec.probe_weights, rec.eigenprobes
    if (weights is None) != (varying is None) or (
        weights is not None
        and varying is not None
        and (
            weights.ndim != 2
            or rec.probe is None
            or varying.shape != (weights.shape[1], *rec.probe.shape[1:])
        )
    ):
        raise ShapeError(
            "eigenprobes and their weights do not fit",
            expected="(E, N, N) like the probe, and (M, E), or neither",
            got=f"eigenprobes {None if varying is None else varying.shape}, "
            f"weights {None if weights is None else weights.shape}",
        )
    if rec.positions_px is not None and (
        rec.positions_px.ndim != 2 or rec.positions_px.shape[1] != 2
    ):
        raise ShapeError(
            "positions must be (row, col) pairs", expected="(M, 2)", got=rec.positions_px.shape
        )
