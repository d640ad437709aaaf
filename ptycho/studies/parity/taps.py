"""Where the forward pass is tapped, what the numbers mean, and how far they may differ."""

from __future__ import annotations

from dataclasses import dataclass

TOLERANCE = 1e-5
_ROUNDING = "float32: the same sums in another order"
_STEEP = (
    "the derivative 1 − y/I (or 1/√I) of a dim pixel magnifies the rounding of its rate; "
    "measured up to 2e-4 at 1e9 photons (docs/evidence/parity.md)"
)


@dataclass(frozen=True)
class Tap:
    """One place of comparison.

    Attributes:
        name: key in `stats.json`.
        meaning: what the numbers are, with axes and units.
        tolerance: largest allowed |difference| over the largest |value| of the reference.
        reason: why the tolerance is what it is.
    """

    name: str
    meaning: str
    tolerance: float = TOLERANCE
    reason: str = _ROUNDING


TAPS = (
    Tap("input", "what the network sees: amplitudes (B, N, N, C), or the estimate (B, W, W, 5)"),
    Tap("object_patches", "the network's object: (B, C, N, N), or (B, 1, W, W) of each canvas"),
    Tap("canvas", "object of each group (B, P, P)"),
    Tap("extracted_patches", "object under each frame (B, C, N, N)"),
    Tap("exit_wave", "probe mode times object (B, C, K, N, N), √photons"),
    Tap("amplitude", "far field √(Σ_k |F ψ_k|²) (B, C, N, N), √photons"),
    Tap("rate", "expected counts with background (B, C, N, N), photons"),
    Tap("loss", "the training loss, per mean count (scalar)"),
    Tap("canvas_gradient", "d loss / d canvas, re + i im (B, P, P)", 1e-3, _STEEP),
    Tap("gradients", "d loss / d network weights, all of them in one vector", 1e-3, _STEEP),
)
