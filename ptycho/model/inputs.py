"""What a model is told besides its weights: probe, detector, and the units of its dose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ptycho.errors import ShapeError
from ptycho.physics import Scaling
from ptycho.quiet import keras


class Dose:
    """The units of a model, as numbers and as variables, so that a graph serves every dose.

    No attribute of the model itself: these are no weights, and no archive holds them as such.
    """

    scaling: Scaling
    probe_unit: float

    def __init__(self) -> None:
        self.input_rms, self.probe_rms = (
            keras.Variable(1.0, dtype="float32", trainable=False, name=name)
            for name in ("input_rms", "probe_rms")
        )


@dataclass(frozen=True)
class Detector:
    """Where frames count (`mask`, (N, N) float32, 1 or 0), and what they count without light."""

    mask: np.ndarray
    background: float

    @property
    def key(self) -> tuple[bytes, float]:
        """Equal for equal detectors: both are constants of a compiled graph."""
        return self.mask.tobytes(), self.background


def probe_array(probe: Any, N: int) -> np.ndarray:
    """(K, N, N) complex64 of a probe with or without an axis of modes."""
    array = np.asarray(probe, np.complex64)
    array = array[None] if array.ndim == 2 else array
    if array.ndim != 3 or array.shape[1:] != (N, N):
        raise ShapeError(
            "the probe does not fit the frames",
            where="probe",
            expected=f"(K, {N}, {N}) complex",
            got=np.shape(probe),
        )
    return array


def mask_array(mask: Any, N: int) -> np.ndarray:
    """(N, N) float32, 1 where the detector counts; None: everywhere."""
    if mask is None:
        return np.ones((N, N), np.float32)
    array = np.asarray(mask, np.float32)
    if array.shape != (N, N):
        raise ShapeError(
            "the mask does not fit the frames", where="mask", expected=(N, N), got=array.shape
        )
    return array
