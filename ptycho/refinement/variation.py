"""Total variation of a complex image: its proximal map, by accelerated steps on the dual.

    prox(Y) = argmin_O ½·Σ|O − Y|² + λ·Σ_pixels √(Σ over row and column, re and im, of ∇O²)

The norm is vectorial: real and imaginary part have one edge, at one place. The dual field is kept
between calls (a warm start), so that few steps do (fast gradient projection: Beck and Teboulle
2009, doi:10.1109/TIP.2009.2028250).
"""

from __future__ import annotations

from typing import Any

from ptycho.physics import backend
from ptycho.quiet import ops

DUAL_STEPS = 8


def prox(image: Any, dual: Any, weight: Any) -> tuple[Any, Any]:
    """(image (H, W) complex64, dual (4, H, W) float32, λ) → image, dual."""
    planes = ops.stack(backend.planes(image))
    weight = ops.maximum(weight, 1e-12)
    p = ahead = dual
    t = 1.0
    for _ in range(DUAL_STEPS):
        # 8 bounds the squared norm of the gradient in two dimensions.
        step = ahead + _gradient(planes - weight * _divergence(ahead)) / (8.0 * weight)
        new = step / ops.maximum(ops.sqrt(ops.sum(step * step, axis=0)), 1.0)
        following = (1.0 + (1.0 + 4.0 * t * t) ** 0.5) / 2.0
        ahead = new + ((t - 1.0) / following) * (new - p)
        p, t = new, following
    re, im = ops.unstack(planes - weight * _divergence(p))
    return backend.joined((re, im)), p


def _gradient(planes: Any) -> Any:
    """(2, H, W) → (4, H, W): forward differences down and across; none over the border."""
    down = ops.pad(planes[:, 1:] - planes[:, :-1], ((0, 0), (0, 1), (0, 0)))
    across = ops.pad(planes[:, :, 1:] - planes[:, :, :-1], ((0, 0), (0, 0), (0, 1)))
    return ops.concatenate([down, across])


def _divergence(dual: Any) -> Any:
    """The adjoint of `_gradient`: (4, H, W) → (2, H, W)."""
    down, across = dual[:2, :-1], dual[2:, :, :-1]
    return (
        ops.pad(down, ((0, 0), (1, 0), (0, 0)))
        - ops.pad(down, ((0, 0), (0, 1), (0, 0)))
        + ops.pad(across, ((0, 0), (0, 0), (1, 0)))
        - ops.pad(across, ((0, 0), (0, 0), (0, 1)))
    )
