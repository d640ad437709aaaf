"""Probes: disk, Gaussian, focused (Airy with defocus). Unit power; the caller sets the dose.

Modes are the probe times polynomials of rising degree, made orthogonal; or they come from a file.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ptycho.errors import DataError, ShapeError

MAX_PROBE_BYTES = 1 << 30


def make_probe(kind: str, N: int, diameter_px: float, curvature_rad: float) -> np.ndarray:
    """(N, N) complex128 probe with Σ|P|² = 1, centred on pixel (N/2, N/2).

    Args:
        kind: 'disk' (soft edge), 'gaussian' (diameter = 4 sigma), 'focused' (a round pupil whose
            Airy disk has this diameter).
        N: frame side.
        diameter_px: of the lit area.
        curvature_rad: quadratic phase at the edge (disk, gaussian) or of the pupil (focused).
    """
    axis = np.arange(N) - N // 2
    radius = np.hypot(axis[:, None], axis[None, :])
    relative = radius / (diameter_px / 2)
    if kind == "disk":
        soft = 1 / (1 + np.exp((radius - diameter_px / 2) / 0.7))
        probe = soft * np.exp(1j * curvature_rad * relative**2)
    elif kind == "gaussian":
        probe = np.exp(-2 * relative**2) * np.exp(1j * curvature_rad * relative**2)
    else:
        # First dark ring of a round pupil of radius a (frequency pixels): r = 0.61 N / a.
        pupil_radius = 1.22 * N / diameter_px
        inside = 1 / (1 + np.exp((radius - pupil_radius) / 0.3))
        pupil = inside * np.exp(1j * curvature_rad * (radius / pupil_radius) ** 2)
        probe = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(pupil)))
    return probe / np.sqrt(np.sum(np.abs(probe) ** 2))


def make_modes(probe: np.ndarray, shares: Sequence[float]) -> np.ndarray:
    """(K, N, N) mutually orthogonal modes, Σ|mode k|² = shares[k]; the first has the probe's shape.

    Mode k is the probe times the k-th of 1, r, c, r², rc, c², … made orthogonal to those before
    (Gram-Schmidt), as the modes of a partially coherent Gaussian beam are.
    """
    axis = (np.arange(probe.shape[-1]) - probe.shape[-1] // 2) / probe.shape[-1]
    powers = [(degree - k, k) for degree in range(5) for k in range(degree + 1)]
    modes: list[np.ndarray] = []
    for row_power, col_power in powers[: len(shares)]:
        mode = probe * np.outer(axis**row_power, axis**col_power) if modes else probe
        for _ in range(2 if modes else 0):  # twice: once leaves rounding errors behind
            for other in modes:
                mode = mode - np.vdot(other, mode) * other
        modes.append(mode / np.sqrt(np.sum(np.abs(mode) ** 2)) if modes else mode)
    return np.stack(modes) * np.sqrt(np.asarray(shares))[:, None, None]


def read_probe(path: str | Path, N: int) -> np.ndarray:
    """(K, N, N) complex128 modes with Σ|P|² = 1 from an NPY file, or `probe` of an NPZ file.

    Raises:
        DataError: no such file, not NumPy's, no key `probe`, not finite, or zero everywhere.
        ShapeError: neither (N, N) nor (K, N, N).
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_PROBE_BYTES:
            raise ValueError(f"{path.stat().st_size} bytes, more than {MAX_PROBE_BYTES}")
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.lib.npyio.NpzFile):
            with loaded as archive:
                _check_declared_size(path)
                loaded = archive["probe"]
        probe = np.asarray(loaded, np.complex128)
    except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile) as error:
        raise DataError(
            "no probe can be read", where=path, expected="NPY, or NPZ with `probe`", got=error
        ) from error
    probe = probe[None] if probe.ndim == 2 else probe
    if probe.ndim != 3 or probe.shape[1:] != (N, N) or not len(probe):
        raise ShapeError(
            "the probe does not fit the frames",
            where=path,
            expected=f"({N}, {N}) or (K, {N}, {N})",
            got=probe.shape,
        )
    power = float(np.sum(np.abs(probe) ** 2))
    if not np.isfinite(power) or power == 0:
        raise DataError("the probe is empty or not finite", where=path, got=f"power {power}")
    return probe / np.sqrt(power)


def _check_declared_size(path: Path) -> None:
    """Refuse an archive that would unpack to more than `MAX_PROBE_BYTES`."""
    with zipfile.ZipFile(path) as archive:
        declared = sum(entry.file_size for entry in archive.infolist())
    if declared > MAX_PROBE_BYTES:
        raise ValueError(f"unpacks to {declared} bytes, more than {MAX_PROBE_BYTES}")
