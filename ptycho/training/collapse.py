"""A network that answers with a constant is an error, not a result."""

from __future__ import annotations

from typing import Any

import numpy as np

from ptycho.errors import CollapseError

COLLAPSE_RATIO = 0.05


def check_collapse(prediction: Any, reference: Any, weights: Any) -> float:
    """std(prediction) / std(reference) over the lit pixels of groups; below 0.05 is a collapse.

    A network that answers with a constant explains a little of everything, so its loss falls and
    nothing else shows that it has learned nothing. The reference is the truth where it is known,
    else the untrained physics estimate.

    Args:
        prediction, reference: (B, P, P) complex. weights: (B, P, P) ≥ 0.

    Returns:
        The ratio.

    Raises:
        CollapseError: it is below 0.05, or not finite.
    """
    spread = [_spread(np.asarray(field), np.asarray(weights)) for field in (prediction, reference)]
    ratio = spread[0] / max(spread[1], 1e-12)
    if not np.isfinite(ratio) or ratio < COLLAPSE_RATIO:
        raise CollapseError(
            "the network answers with a constant",
            where="std(prediction) / std(reference)",
            expected=f">= {COLLAPSE_RATIO}",
            got=f"{ratio:.4g}",
            fix="train longer or with a smaller learning rate; compare --untrained K",
        )
    return float(ratio)


def _spread(fields: np.ndarray, weights: np.ndarray) -> float:
    lit = weights > 0.1 * weights.max(axis=(1, 2), keepdims=True)
    share = lit / np.maximum(lit.sum(axis=(1, 2), keepdims=True), 1)
    mean = np.sum(fields * share, axis=(1, 2), keepdims=True)
    return float(np.sqrt(np.mean(np.sum(np.abs(fields - mean) ** 2 * share, axis=(1, 2)))))
