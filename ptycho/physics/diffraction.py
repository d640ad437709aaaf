"""The far field: probe times object, a unitary Fourier transform, intensities added over modes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ptycho.errors import ShapeError
from ptycho.physics import backend
from ptycho.physics.checks import require_rank, shape_of, square_side
from ptycho.quiet import ops


def diffract(patches: Any, probe: Any, background: Any = 0.0) -> Any:
    """Expected counts: I = sum_k |F(probe_k * patch)|^2 + background, DC at [N // 2, N // 2].

    F is unitary, so the counts of a frame sum to sum |probe * patch|^2: the probe carries the
    dose in photons, the object is dimensionless. Modes of the probe add incoherently.

    Args:
        patches: (..., N, N) complex (or real: an object without phase).
        probe: (K, N, N) complex, K incoherent modes.
        background: expected counts per pixel, scalar.

    Returns:
        (..., N, N) real, photons per pixel.

    Raises:
        ShapeError: a probe of another size; both shapes are named.
    """
    patches, probe = backend.field(patches), backend.tensor(probe)
    if not backend.dtype_of(patches).startswith("complex"):  # else the probe would lose its phase
        wide = backend.dtype_of(patches) == "float64"
        patches = ops.cast(patches, "complex128" if wide else "complex64")
    require_rank("probe", probe, "K N N")
    side = square_side("patches", patches)
    if square_side("probe", probe) != side:
        raise ShapeError(
            "probe and patches differ in size",
            where="probe, patches",
            expected=f"probe (K, {side}, {side})",
            got=f"probe {shape_of(probe)}, patches {shape_of(patches)}",
        )
    background = backend.scalar(background, backend.real_dtype(patches))
    if len(background.shape):
        raise ShapeError(
            "the background is one number for all pixels",
            where="background, patches",
            expected="background ()",
            got=f"background {shape_of(background)}, patches {shape_of(patches)}",
        )
    probe = centring(ops.cast(probe, backend.dtype_of(patches)), side)
    intensity = incoherent((backend.fft2(wave) for wave in exit_waves(patches, probe)), background)
    return intensity if side % 2 == 0 else ops.roll(intensity, (side // 2,) * 2, axis=(-2, -1))


def exit_waves(patches: Any, probe: Any) -> list[Any]:
    """The K waves (..., N, N) behind the object: each mode of `probe` (K, N, N) times `patches`."""
    return [patches * probe[mode] for mode in range(int(probe.shape[0]))]


def incoherent(far_fields: Iterable[Any], background: Any) -> Any:
    """Intensities of complex far fields (..., N, N), added up, and the background."""
    intensity = background
    for far in far_fields:
        intensity = intensity + sum(plane * plane for plane in backend.planes(far))
    return intensity


def centring(probe: Any, side: int) -> Any:
    """A sign (-1)^(r + c) on the near field moves DC to the centre of an even far field."""
    if side % 2:
        return probe
    sign = 1.0 - 2.0 * (np.indices((side, side)).sum(axis=0) % 2)
    return probe * ops.cast(backend.tensor(sign), backend.dtype_of(probe))
