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
        layers: (L, H, W) complex64 or None; where the specimen is thick, its layers in the order
            of the light. `object` is then their product.
        layer_distances_m: (L − 1,) float64 or None; the gaps between them.
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
    layers: np.ndarray | None = None
    layer_distances_m: np.ndarray | None = None

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
        if self.layers is not None:
            set_(self, "layers", np.asarray(self.layers, np.complex64))
        if self.layer_distances_m is not None:
            set_(self, "layer_distances_m", np.asarray(self.layer_distances_m, np.float64))
        _check(self)

    def probe_of(self, index: int) -> np.ndarray | None:
        """(K, N, N) the modes at frame `index`, where the first varies; or None."""
        if self.probe is None or self.eigenprobes is None or self.probe_weights is None:
            return self.probe
        own = np.tensordot(self.probe_weights[index], self.eigenprobes, axes=1)
        return np.concatenate([self.probe[:1] + own, self.probe[1:]])

    def each_layer(self) -> list[Reconstruction]:
        """Each layer by itself; none where there is one only."""
        layers: Any = () if self.layers is None else self.layers
        return [
            replace(self, object=layer, plain=None, layers=None, layer_distances_m=None)
            for layer in layers
        ]

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
    layers, gaps = rec.layers, rec.layer_distances_m
    if (layers is None) != (gaps is None) or (
        layers is not None
        and gaps is not None
        and (
            layers.ndim != 3
            or layers.shape[1:] != rec.object.shape
            or gaps.shape != (len(layers) - 1,)
        )
    ):
        raise ShapeError(
            "layers and the distances between them do not fit",
            expected=f"(L, {rec.object.shape[0]}, {rec.object.shape[1]}) and (L - 1,), or neither",
            got=f"layers {None if layers is None else layers.shape}, "
            f"layer_distances_m {None if gaps is None else gaps.shape}",
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
