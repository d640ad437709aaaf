"""What to simulate: one frozen record, unknown keys refused."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

PHOTOGRAPHS = (
    "astronaut",
    "brick",
    "camera",
    "chelsea",
    "coffee",
    "coins",
    "grass",
    "gravel",
    "moon",
    "page",
    "rocket",
    "text",
)


class SimulationConfig(BaseModel):
    """One simulated scan; the same record gives the same scan, bit for bit.

    `seed` draws the positions, `noise_seed` the photons, so that two doses or two noise
    realisations of the same scan differ in nothing else.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    N: int = Field(64, ge=8, le=1024, description="frame side in pixels")
    n_frames: int = Field(400, ge=1, le=1_000_000)
    photons: float = Field(1e6, gt=0, description="mean photons measured in a frame")
    amplitude: str = Field("camera", description="photograph, generated object, or picture file")
    phase: str = Field("gravel", description="likewise, for the phase")
    amplitude_range: tuple[float, float] = (0.5, 1.0)
    phase_range_rad: float = Field(1.0, ge=0, description="phase contrast, from 0 to this")
    probe: Literal["disk", "gaussian", "focused"] = "disk"
    probe_diameter_px: float | None = Field(None, gt=0, description="None: 0.4 N")
    probe_curvature_rad: float = Field(4.0, description="quadratic phase at the probe's edge")
    trajectory: Literal["raster", "jittered", "fermat", "random"] = "jittered"
    step_px: float | None = Field(None, gt=0, description="None: a quarter of the probe diameter")
    background: float = Field(0.0, ge=0, description="counts per pixel")
    poisson: bool = True
    seed: int = Field(0, ge=0)
    noise_seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _agree(self) -> SimulationConfig:
        low, high = self.amplitude_range
        if not 0 <= low <= high:
            raise ValueError(f"amplitude_range must be 0 ≤ low ≤ high, got {low}, {high}")
        if self.N % 2:
            raise ValueError(f"N must be even (the patch centre is a pixel), got {self.N}")
        if self.diameter_px > self.N:
            raise ValueError(f"the probe ({self.diameter_px} px) is larger than a frame ({self.N})")
        return self

    @property
    def diameter_px(self) -> float:
        """The probe's diameter in object pixels."""
        return 0.4 * self.N if self.probe_diameter_px is None else self.probe_diameter_px

    @property
    def spacing_px(self) -> float:
        """Mean distance of neighbouring positions."""
        return self.diameter_px / 4 if self.step_px is None else self.step_px
