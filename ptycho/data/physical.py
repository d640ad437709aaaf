"""What formats in metres share: energy to wavelength, units, mask bits, probe guesses, extents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ptycho.errors import ShapeError, UnitError
from ptycho.frames import ceiling_of, raw_frames
from ptycho.scan import Geometry, Scan

H_C_J_M = 6.62607015e-34 * 299_792_458.0
EV_J = 1.602176634e-19
MEANT = (1e-30, 1e30)  # beyond these no product of lengths can be computed
CXI_HAS_SIGNAL = np.uint32(0x1000)

_ENERGY_J = {"j": 1.0, "ev": EV_J, "kev": 1e3 * EV_J, "mev": 1e6 * EV_J}
_LENGTH_M = {
    "m": 1.0, "cm": 1e-2, "mm": 1e-3, "um": 1e-6, "µm": 1e-6, "μm": 1e-6, "nm": 1e-9, "pm": 1e-12,
    "micron": 1e-6, "microns": 1e-6,
    "angstrom": 1e-10, "angstroms": 1e-10, "ångström": 1e-10, "å": 1e-10, "a": 1e-10,
    **{
        f"{prefix}{stem}": factor
        for stem in ("metre", "metres", "meter", "meters")
        for prefix, factor in (
            ("", 1.0), ("centi", 1e-2), ("milli", 1e-3), ("micro", 1e-6), ("nano", 1e-9),
            ("pico", 1e-12),
        )
    },
}  # fmt: skip


def wavelength_from_joule(energy_j: float, where: object) -> float:
    """λ = hc/E.

    Raises:
        UnitError: no photon has this energy in joules (above 1e-12 J it is probably in eV).
    """
    if not 1e-19 < energy_j < 1e-12:
        raise UnitError(
            "the photon energy cannot be in joules",
            where=where,
            expected="1e-19 … 1e-12 J (0.6 eV … 6 MeV)",
            got=energy_j,
            fix="multiply eV by 1.602176634e-19 in the file, or store the wavelength in metres",
        )
    return H_C_J_M / energy_j


def energy_j(value: float, units: str, where: object) -> float:
    """A photon energy with its units attribute, in joules; without units it must be joules."""
    factor = _ENERGY_J.get(units.strip().lower() or "j")
    if factor is None:
        raise UnitError("unknown unit of energy", where=where, expected="J, eV, keV", got=units)
    return value * factor


def metres(value: np.ndarray | float, units: str, where: object) -> np.ndarray:
    """Lengths with their units attribute ('' = metres) in metres."""
    factor = _LENGTH_M.get(units.strip().lower() or "m")
    if factor is None:
        raise UnitError(
            "unknown unit of length", where=where, expected=", ".join(_LENGTH_M), got=units
        )
    return np.asarray(value, np.float64) * factor


def require_layers(layers: np.ndarray, shape: tuple[int, ...], where: object) -> None:
    """Raise a ShapeError unless `layers` are images of the object's shape."""
    if layers.ndim != 3 or layers.shape[1:] != shape:
        raise ShapeError(
            "the layers do not fit the object",
            where=where,
            expected=("L", *shape),
            got=layers.shape,
        )


def cxi_good(mask: np.ndarray) -> np.ndarray:
    """CXI mask bits to bool: 0 is good, and so is 0x1000 alone ('has signal')."""
    return np.asarray((mask.astype(np.uint32) & ~CXI_HAS_SIGNAL) == 0)


def centred_probe(probe: np.ndarray) -> tuple[np.ndarray, bool]:
    """A probe guess with its light in the middle, and whether it had to be shifted there.

    Files do not say whether the array is FFT-shifted; the light of a probe is in the middle half
    of the frame, so that the arrangement with more energy there is taken.
    """
    if not np.isfinite(probe).all():
        return probe, False
    power = np.sum(np.abs(_unscaled(probe)) ** 2, axis=0)
    rows, cols = (slice(n // 4, n - n // 4) for n in power.shape)
    shifted = np.fft.fftshift(power)
    if shifted[rows, cols].sum() > power[rows, cols].sum():
        return np.fft.fftshift(probe, axes=(-2, -1)), True
    return probe, False


def mean_photons(counts: Any, mask: np.ndarray | None = None) -> float:
    """Mean light of the frames, for a probe of unknown scale: all in memory, 64 of others.

    What is no count is left out, so that a bad pixel is no error here.
    """
    mask = getattr(counts, "mask", None) if mask is None else mask
    mask = None if mask is None or np.ndim(mask) != 2 else mask
    total = len(counts)
    in_memory = isinstance(counts, np.ndarray)
    few = np.arange(total) if in_memory else np.unique(np.linspace(0, total - 1, 64).astype(int))
    light, ceiling = 0.0, ceiling_of(counts)
    for first in range(0, len(few), 64):
        frames = np.nan_to_num(raw_frames(counts, few[first : first + 64]), posinf=0.0).clip(0)
        frames[frames >= ceiling] = 0
        light += float((frames if mask is None else frames[:, mask]).sum(dtype=np.float64))
    return light / max(len(few), 1)


def scaled_probe(probe: np.ndarray, photons: float) -> np.ndarray:
    """A guess of any scale, rescaled so that Σ|probe|² over all modes = `photons`.

    NaN and infinity stay what they are: whoever looks at the scan says so.
    """
    if not np.isfinite(probe).all() or not photons > 0 or not probe.any():
        return probe
    unit = _unscaled(probe)
    return np.asarray(unit * np.sqrt(photons / np.sum(np.abs(unit) ** 2)))


def _unscaled(probe: np.ndarray) -> np.ndarray:
    """With a largest value of 1, so that no square overflows."""
    return probe / max(float(np.abs(probe).max(initial=0)), np.finfo(float).tiny)


def lit(local_px: np.ndarray, probe: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray:
    """(H, W) float32: Σ|probe|² that each object pixel sees, at positions rounded to pixels.

    Args:
        local_px: (P, 2) (row, col) from the object's corner. probe: (K, N, N), or None: 1 all over.
        shape: (H, W) of the object.
    """
    if probe is None:
        return np.ones(shape, np.float32)
    power = np.sum(np.abs(probe) ** 2, axis=0, dtype=np.float64)
    reach = np.array(power.shape)
    canvas = np.zeros(np.array(shape) + 2 * reach)
    corners = np.rint(local_px).astype(int) - reach // 2 + reach
    fits = ((corners >= 0) & (corners + reach <= canvas.shape)).all(axis=1)
    for row, col in corners[fits]:
        canvas[row : row + reach[0], col : col + reach[1]] += power
    return canvas[reach[0] : -reach[0], reach[1] : -reach[1]].astype(np.float32)


def require_positive(value: float | None, what: str, path: Path) -> float:
    """`value`, or a UnitError that names the quantity: not positive, or in no unit at all."""
    if value is None or not MEANT[0] < value < MEANT[1]:
        raise UnitError(
            f"{what} is missing, not positive or beyond sense",
            where=path,
            expected=f"{MEANT[0]:g} … {MEANT[1]:g}, SI units",
            got=value,
        )
    return float(value)


def require_geometry(scan: Scan, what: str, where: object = None, otherwise: str = "") -> Geometry:
    """The geometry of `scan`; `what` stores metres and cannot do without.

    Raises:
        UnitError: the scan has none; `otherwise` is added to the way out.
    """
    if scan.geometry is None:
        raise no_geometry(what, where or scan.name, otherwise)
    return scan.geometry


def no_geometry(what: str, where: object, otherwise: str = "") -> UnitError:
    """What is said where a scan has no metres; see `require_geometry`."""
    fix = "ptycho convert SCAN NEW.npz --wavelength-m … --distance-m … --detector-pixel-m …"
    return UnitError(
        f"{what} stores metres, and this scan has no geometry",
        where=where,
        expected="wavelength, distance and detector pixel",
        got="positions in pixels only",
        fix=fix + (f", or {otherwise}" if otherwise else ""),
    )
