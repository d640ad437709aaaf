"""Taps of several backends against those of the first: numbers, differences, the verdict."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

Taps = Mapping[str, np.ndarray]


def relative_difference(values: np.ndarray, reference: np.ndarray) -> float:
    """max |values − reference| / max |reference|; infinite where shapes or finiteness differ.

    Relative to the largest value of the tap, not to each value: where a far field is dark its
    own size is rounding, and the ratio of two roundings says nothing.
    """
    values, reference = np.asarray(values), np.asarray(reference)
    if values.shape != reference.shape:
        return float("inf")
    if not (np.isfinite(values).all() and np.isfinite(reference).all()):
        return float("inf")
    kind = np.complex128 if np.iscomplexobj(reference) or np.iscomplexobj(values) else np.float64
    wide, against = values.astype(kind), reference.astype(kind)
    largest = float(np.abs(against).max(initial=0.0))
    difference = float(np.abs(wide - against).max(initial=0.0))
    if largest == 0.0:
        return 0.0 if difference == 0.0 else float("inf")
    return difference / largest


def statistics(values: np.ndarray) -> dict[str, Any]:
    """Shape, dtype and the usual numbers; of complex values those of the modulus.

    `var_zero_mean`: variance about the mean of each image, averaged over the images (near zero
    where a network answers with flat patches); of a list or a scalar its plain variance.
    """
    values = np.asarray(values)
    real = np.abs(values) if np.iscomplexobj(values) else values
    real = real.astype(np.float64)
    facts: dict[str, Any] = {
        "shape": list(values.shape),
        "dtype": str(values.dtype),
        "of": "modulus" if np.iscomplexobj(values) else "value",
        "mean": float(real.mean()),
        "std": float(real.std()),
        "min": float(real.min()),
        "max": float(real.max()),
        "var_zero_mean": float(images(real).var(axis=(-2, -1)).mean()),
        "sha256": hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest(),
    }
    if np.iscomplexobj(values):
        facts["mean_re"], facts["mean_im"] = float(values.real.mean()), float(values.imag.mean())
    return facts


def images(values: np.ndarray) -> np.ndarray:
    """(…, H, W) of any tap: channels that come last are images of their own."""
    if values.ndim == 4 and values.shape[1] == values.shape[2] != values.shape[3]:
        return np.moveaxis(values, -1, 1)
    return values if values.ndim >= 3 else values.reshape(1, 1, -1)


def compare(found: Mapping[str, Taps], taps: Any) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """(entry of each tap, the first divergent one or None); the first backend is the reference.

    Args:
        found: taps by backend.
        taps: the `Tap`s in the order of the forward pass.
    """
    reference, *others = found
    entries: dict[str, Any] = {}
    first: dict[str, Any] | None = None
    for tap in taps:
        expected = found[reference][tap.name]
        each = {name: statistics(found[name][tap.name]) for name in found}
        for name in found:
            difference = relative_difference(found[name][tap.name], expected)
            within = bool(difference <= tap.tolerance)
            each[name] |= {"max_relative_difference": difference, "within_tolerance": within}
            if first is None and name != reference and not within:
                first = {
                    "tap": tap.name,
                    "backend": name,
                    "reference": reference,
                    "max_relative_difference": difference,
                    "tolerance": tap.tolerance,
                }
        worst = max(each[name]["max_relative_difference"] for name in others)
        entries[tap.name] = {
            "meaning": tap.meaning,
            **each[reference],
            "tolerance": tap.tolerance,
            "tolerance_reason": tap.reason,
            "max_relative_difference": worst,
            "within_tolerance": bool(worst <= tap.tolerance),
            "backends": each,
        }
    return entries, first
