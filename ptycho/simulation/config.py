"""What to simulate: one frozen record, unknown keys refused."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ptycho.config import Settings

PHOTOGRAPHS = (
    "astronaut", "binary_blobs", "brick", "camera", "cat", "cell", "checkerboard", "chelsea",
    "clock", "coffee", "coins", "colorwheel", "grass", "gravel", "horse", "hubble_deep_field",
    "immunohistochemistry", "lfw_subset", "logo", "microaneurysms", "moon", "page", "retina",
    "rocket", "shepp_logan_phantom", "stereo_motorcycle", "text",
)  # fmt: skip


class SimulationConfig(Settings):
    """One simulated scan; the same record gives the same scan, bit for bit.

    `seed` draws the positions, `noise_seed` the photons, so that two doses or two noise
    realisations of the same scan differ in nothing else.
    """

    N: int = Field(64, ge=8, le=1024, description="frame side in pixels")
    n_frames: int = Field(400, ge=1, le=1_000_000, description="number of positions")
    photons: float = Field(1e6, gt=0, le=1e15, description="mean photons measured in a frame")
    amplitude: str = Field("camera", description="photograph, generated object, or picture file")
    phase: str = Field("gravel", description="likewise, for the phase")
    amplitude_range: tuple[float, float] = Field((0.5, 1.0), description="amplitude contrast")
    phase_range_rad: float = Field(1.0, ge=0, description="phase contrast, from 0 to this")
    probe: Literal["disk", "gaussian", "focused"] = Field(
        "disk", description="focused: Airy pattern, defocused by the curvature"
    )
    probe_diameter_px: float | None = Field(None, gt=0, description="None: 0.4 N")
    probe_curvature_rad: float = Field(4.0, description="quadratic phase at the probe's edge")
    probe_file: str | None = Field(None, description="NPY, or NPZ with `probe`; instead of a shape")
    probe_modes: tuple[float, ...] = Field((1.0,), description="energy shares, sum 1")
    trajectory: Literal["raster", "jittered", "fermat", "random"] = Field(
        "jittered", description="random: no two closer than half a step"
    )
    step_px: float | None = Field(None, gt=0, description="None: a quarter of the probe diameter")
    kernel: Literal["bilinear", "cubic", "lagrange6", "fourier"] = Field(
        "bilinear", description="how patches between pixels are read"
    )
    background: float = Field(0.0, ge=0, description="counts per pixel")
    poisson: bool = Field(True, description="photon noise")
    read_noise: float = Field(0.0, ge=0, description="sigma in counts")
    clip_negative: bool = Field(False, description="cut at 0 what read noise takes below it")
    saturation: float | None = Field(None, gt=0, description="largest count; reached = masked")
    dead_fraction: float = Field(0.0, ge=0, le=0.5, description="of the pixels")
    gap_px: int = Field(0, ge=0, description="width of the gaps between modules")
    module_px: int | None = Field(None, ge=1, description="side of a module; None: 3/8 N")
    beam_stop_diameter_px: float = Field(0.0, ge=0, description="round, in the centre")
    wavelength_m: float | None = Field(None, gt=0, description="with the next two: geometry")
    distance_m: float | None = Field(None, gt=0, description="specimen to detector")
    detector_pixel_m: float | None = Field(None, gt=0, description="pitch of square pixels")
    near_field: bool = Field(
        False, description="the detector stands in the near field; needs the geometry"
    )
    layers_behind: tuple[str, ...] = Field(
        (),
        max_length=7,
        description="thick specimen: amplitude:phase of each layer behind the first",
    )
    layer_distance_m: float | None = Field(
        None, gt=0, description="between two layers; needs the geometry"
    )
    seed: int = Field(0, ge=0, description="positions, patterns, dead pixels")
    noise_seed: int = Field(0, ge=0, description="photons and read noise")

    @model_validator(mode="after")
    def _agree(self) -> SimulationConfig:
        low, high = self.amplitude_range
        if not 0 <= low <= high:
            raise ValueError(f"amplitude_range must be 0 ≤ low ≤ high, got {low}, {high}")
        if self.N % 2:
            raise ValueError(f"N must be even (the patch centre is a pixel), got {self.N}")
        if self.diameter_px > self.N:
            raise ValueError(f"the probe ({self.diameter_px} px) is larger than a frame ({self.N})")
        if self.read_noise and not self.clip_negative:
            raise ValueError(
                "read_noise takes counts below zero and a scan holds none: set clip_negative, "
                "knowing that an empty pixel then has mean 0.4 read_noise"
            )
        lengths = (self.wavelength_m, self.distance_m, self.detector_pixel_m)
        if lengths.count(None) not in (0, 3):
            raise ValueError("wavelength_m, distance_m and detector_pixel_m: all three or none")
        if self.near_field:
            self._require_near_field()
        self._require_gaps()
        shares = self.probe_modes
        if not shares or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
            raise ValueError(f"probe_modes must be positive and sum to 1, got {shares}")
        if len(shares) > 15:
            raise ValueError(f"probe_modes: at most 15, got {len(shares)}")
        return self

    def _require_near_field(self) -> None:
        wavelength, distance, pixel = self.wavelength_m, self.distance_m, self.detector_pixel_m
        if wavelength is None or distance is None or pixel is None:
            raise ValueError("near_field needs wavelength_m, distance_m and detector_pixel_m")
        most = self.N * pixel**2 / wavelength
        if distance > most:
            raise ValueError(
                f"near_field: distance_m is at most N·pixel²/wavelength = {most:.4g}, "
                f"got {distance:g}"
            )

    def _require_gaps(self) -> None:
        if bool(self.layers_behind) != (self.layer_distance_m is not None):
            raise ValueError("layers_behind and layer_distance_m: both or neither")
        if not all(":" in pair for pair in self.layers_behind):
            raise ValueError(
                f"layers_behind: amplitude:phase, as coins:cells, {self.layers_behind}"
            )
        if self.layers_behind and self.wavelength_m is None:
            raise ValueError(
                "layers_behind needs wavelength_m, distance_m and detector_pixel_m: a gap is in "
                "metres, and so must be the pixel of the object"
            )
        pixel = self.object_pixel_m
        if self.layer_distance_m and pixel and self.wavelength_m:
            most = self.N * pixel**2 / self.wavelength_m
            if self.layer_distance_m > most:
                raise ValueError(
                    f"layer_distance_m is at most N·pixel²/wavelength = {most:.4g} "
                    f"(object pixel {pixel:.4g} m), got {self.layer_distance_m:g}"
                )

    @property
    def module_side_px(self) -> int:
        """Side of a detector module; the default keeps the gaps off the centre."""
        return 3 * self.N // 8 if self.module_px is None else self.module_px

    @property
    def object_pixel_m(self) -> float | None:
        """Pitch of the object grid, where the geometry is given."""
        wavelength, distance, pixel = self.wavelength_m, self.distance_m, self.detector_pixel_m
        if wavelength is None or distance is None or pixel is None or self.near_field:
            return pixel
        return wavelength * distance / (self.N * pixel)

    @property
    def diameter_px(self) -> float:
        """The probe's diameter in object pixels."""
        return 0.4 * self.N if self.probe_diameter_px is None else self.probe_diameter_px

    @property
    def spacing_px(self) -> float:
        """Mean distance of neighbouring positions."""
        return self.diameter_px / 4 if self.step_px is None else self.step_px
