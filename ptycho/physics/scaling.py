"""The scaling record: what turns counts into network inputs, computed once on the training data."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ptycho.config import BACKGROUND_FLOOR
from ptycho.errors import DataError


@dataclass(frozen=True, slots=True)
class Scaling:
    """Units of a model. Two models of different dose in one process share nothing.

    Attributes:
        probe_photons: expected photons of a frame where the object is 1 (sum of |probe|^2).
        input_rms: root mean square of sqrt(counts); network input = sqrt(counts) / input_rms.
        background: expected counts per pixel besides the specimen's, at least 1e-3.
    """

    probe_photons: float
    input_rms: float
    background: float = BACKGROUND_FLOOR

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not (math.isfinite(value) and value > 0):
                raise DataError(
                    "a scale must be finite and positive",
                    where=f"Scaling.{name}",
                    expected="> 0",
                    got=value,
                    fix="use frames that contain counts",
                )
        object.__setattr__(self, "background", max(self.background, BACKGROUND_FLOOR))

    @classmethod
    def from_counts(
        cls,
        counts: Any,
        *,
        mask: Any = None,
        probe_photons: float | None = None,
        background: float = 0.0,
    ) -> Scaling:
        """Measure the scales on the training split.

        Args:
            counts: (..., N, N) photons per pixel.
            mask: (N, N), True = valid; masked pixels count neither as signal nor as area.
            probe_photons: of the calibrated probe; default the mean photons of a frame.
            background: expected counts per pixel; raised to 1e-3.
        """
        frames = np.asarray(counts)
        valid = np.ones(frames.shape[-2:], bool) if mask is None else np.asarray(mask, bool)
        if valid.shape != frames.shape[-2:]:
            raise DataError(
                "mask and counts differ in size",
                where="mask, counts",
                expected=frames.shape[-2:],
                got=valid.shape,
            )
        photons = np.where(valid, frames, 0).sum(axis=(-2, -1), dtype=np.float64)
        mean = float(photons.mean()) if photons.size else 0.0
        rms = math.sqrt(mean / valid.sum()) if valid.any() and mean >= 0 else 0.0
        dose = mean if probe_photons is None else float(probe_photons)
        return cls(dose, rms, max(float(background), BACKGROUND_FLOOR))

    def normalise(self, counts: Any) -> Any:
        """sqrt(counts) / input_rms, what a network sees."""
        from keras import ops

        return ops.sqrt(ops.cast(counts, "float32")) / self.input_rms

    def to_dict(self) -> dict[str, float]:
        """Plain numbers for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, numbers: dict[str, Any]) -> Scaling:
        """The inverse of `to_dict`."""
        return cls(**{key: float(value) for key, value in numbers.items()})
