"""From a configuration to a scan with its truth, in float64 NumPy."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
from scipy import fft

from ptycho.config import Progress
from ptycho.errors import ConfigError
from ptycho.frames import free_bytes
from ptycho.scan import Geometry, Scan, Truth
from ptycho.simulation.config import SimulationConfig
from ptycho.simulation.detector import detect, static_mask
from ptycho.simulation.kernels import REACH, read
from ptycho.simulation.objects import complex_object
from ptycho.simulation.probes import make_modes, make_probe, read_probe
from ptycho.simulation.propagation import free_space, propagated
from ptycho.simulation.trajectories import make_positions

BLOCK = 256
LAYER_SEED = 1_000_003  # one pattern in two layers is drawn twice
WORKERS = min(8, os.cpu_count() or 1)


def simulate(
    config: SimulationConfig,
    *,
    specimen: Callable[[tuple[int, int]], np.ndarray] | None = None,
    progress: Progress | None = None,
) -> Scan:
    """Simulate one scan; the probe carries the dose, so that Σ counts has mean `photons`.

    Args:
        config: all that decides the scan.
        specimen: shape (H, W) → complex object of that shape, or (L, H, W) its layers, instead
            of the pictures.
        progress: called with (frames done, frames, {}).

    Counted are the pixels that the detector has (not gaps, beam stop and dead pixels), before
    background, read noise and saturation.

    Returns:
        A Scan with counts and mask of the detector, positions, the probe used, and the truth.
    """

    def tell(done: int) -> None:
        if progress:  # both passes: intensities, then photons
            progress(done // 2, config.n_frames, {})

    positions = make_positions(
        config.trajectory, config.n_frames, config.spacing_px, np.random.default_rng(config.seed)
    )
    half = config.N // 2
    origin = -(half + REACH)
    height, width = (
        int(np.ceil(extent)) + config.N + 2 * REACH + 1 for extent in positions.max(axis=0)
    )
    _require_memory(config, height * width)
    given = _object(config, (height, width)) if specimen is None else specimen((height, width))
    layers = given.reshape(-1, *given.shape[-2:])
    truth = np.prod(layers, axis=0)
    probe = _modes(config)
    expected = _all_intensities(layers, probe, positions - half - origin, config, tell)
    scale = config.photons / _counted(expected, static_mask(config), config)
    expected *= scale
    expected += config.background
    counts, mask = detect(expected, config, lambda done: tell(config.n_frames + done))
    return Scan(
        counts=counts,
        positions_px=positions,
        probe=(probe * np.sqrt(scale)).astype(np.complex64),
        mask=mask,
        geometry=_geometry(config),
        truth=Truth(
            truth.astype(np.complex64),
            (float(origin), float(origin)),
            layers.astype(np.complex64) if len(layers) > 1 else None,
        ),
        background=config.background,
        name=f"{config.amplitude}-{config.phase}",
        metadata={"simulation": config.model_dump(mode="json")},
    )


def _object(config: SimulationConfig, shape: tuple[int, int]) -> np.ndarray:
    """(L, H, W) complex128, in the order of the light."""
    pairs = [(config.amplitude, config.phase)]
    pairs += [(first, rest) for first, _, rest in (p.partition(":") for p in config.layers_behind)]
    return np.stack(
        [
            complex_object(
                amplitude,
                phase,
                shape,
                amplitude_range=config.amplitude_range,
                phase_range_rad=config.phase_range_rad,
                seed=config.seed + LAYER_SEED * layer,
            )
            for layer, (amplitude, phase) in enumerate(pairs)
        ]
    )


def _require_memory(config: SimulationConfig, object_px: int) -> None:
    """Raise ConfigError for a scan (float64 intensities, float32 counts, object) beyond memory."""
    needed = 12 * config.n_frames * config.N**2 + 64 * object_px
    free = free_bytes()
    if needed > free:
        raise ConfigError(
            "the scan does not fit into memory",
            where="n_frames, N, step_px",
            expected=f"at most {free / 2**30:.1f} GiB, which is free now",
            got=f"{needed / 2**30:.3g} GiB for {config.n_frames} frames of {config.N}² and an "
            f"object of {object_px:.3g} pixels",
            fix="fewer frames or a smaller step_px; several scans train one network",
        )


def _all_intensities(
    layers: np.ndarray,
    probe: np.ndarray,
    corners: np.ndarray,
    config: SimulationConfig,
    tell: Callable[[int], None],
) -> np.ndarray:
    """(M, N, N) float64 expected counts at unit dose."""
    size = probe.shape[-1]
    expected = np.empty((len(corners), size, size))
    way, gap = _ways(config)
    for start in range(0, len(corners), BLOCK):
        part = slice(start, min(start + BLOCK, len(corners)))
        expected[part] = _intensity(layers, probe, corners[part], config.kernel, way, gap)
        tell(part.stop)
    return expected


def _counted(expected: np.ndarray, valid: np.ndarray, config: SimulationConfig) -> float:
    """Mean over the frames of what falls on valid pixels, where Σ|probe|² = 1."""
    counted = float(expected.mean(axis=0)[valid].sum())
    if counted < 1e-9:
        raise ConfigError(
            "no photon falls on a valid pixel",
            where="beam_stop_diameter_px, gap_px, module_px, dead_fraction",
            expected="valid pixels in the light",
            got=f"{int(valid.sum())} valid pixels",
        )
    return counted


def _geometry(config: SimulationConfig) -> Geometry | None:
    wavelength, distance, pixel = config.wavelength_m, config.distance_m, config.detector_pixel_m
    if wavelength is None or distance is None or pixel is None:
        return None
    gaps = [config.layer_distance_m or 0.0] * len(config.layers_behind)
    return Geometry(wavelength, distance, (pixel, pixel), config.near_field, tuple(gaps))


def _modes(config: SimulationConfig) -> np.ndarray:
    """(K, N, N) complex128 modes, Σ|P|² = 1 over all of them."""
    if config.probe_file is None:
        shape = make_probe(config.probe, config.N, config.diameter_px, config.probe_curvature_rad)
        return make_modes(shape, config.probe_modes)
    modes = read_probe(config.probe_file, config.N)
    if len(config.probe_modes) == 1:
        return modes
    if len(modes) == 1:
        return make_modes(modes[0], config.probe_modes)
    raise ConfigError(
        "probe_modes and a probe file of several modes exclude each other",
        where=config.probe_file,
        got=f"{len(modes)} modes in the file, {len(config.probe_modes)} shares",
        fix="leave out probe_modes",
    )


def _intensity(
    layers: np.ndarray,
    probe: np.ndarray,
    corners: np.ndarray,
    kernel: str,
    way: np.ndarray | None = None,
    gap: np.ndarray | None = None,
) -> np.ndarray:
    """(m, N, N) Σ_k |F[P_k·patch]|², DC-centred; patches by `kernel` at the corners.

    `layers` (L, H, W) or one layer (H, W). `way` is that of the light to a detector in the near
    field, or None; `gap` that from one layer to the next.
    """
    layers = layers.reshape(-1, *layers.shape[-2:])
    first, *rest = (read(layer, corners, probe.shape[-1], kernel) for layer in layers)
    total = np.zeros(first.shape)
    for mode in probe:
        wave = first * mode
        for patch in rest:
            assert gap is not None
            wave = propagated(wave, gap, WORKERS) * patch
        if way is None:
            field = fft.fft2(wave, norm="ortho", overwrite_x=True, workers=WORKERS)
        else:
            field = propagated(wave, way, WORKERS)
        total += field.real**2 + field.imag**2
    return total if way is not None else np.fft.fftshift(total, axes=(-2, -1))


def _ways(config: SimulationConfig) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The light's to a detector in the near field (None: far), and over a gap (None: no gap)."""
    geometry = _geometry(config)
    if geometry is None:
        return None, None
    N, wavelength = config.N, geometry.wavelength_m
    way = gap = None
    if config.near_field:
        way = free_space(N, geometry.detector_pixel_m[0], wavelength, geometry.distance_m)
    if config.layer_distance_m is not None:
        pixel = geometry.object_pixel_m(N)[0]
        gap = free_space(N, pixel, wavelength, config.layer_distance_m)
    return way, gap
