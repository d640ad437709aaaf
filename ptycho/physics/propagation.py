"""Light between planes: near field and thick specimens, by the angular spectrum.

A wave of wavelength λ goes on over a distance z as each of its plane waves does:

    ψ(z) = F⁻¹[H·F ψ],   H(q) = exp(2πi·z·(√(1/λ² − q²) − 1/λ)),

q in cycles per metre (Goodman, *Introduction to Fourier Optics*, 3rd ed., §3.10). The phase of the
plane wave along the axis is left out, so that nothing happens at z = 0. H has modulus 1 wherever
the wave travels: light is kept, and the adjoint is the way back (conj H). Beyond 1/λ it fades.

- **near field**: the detector stands at z behind the object and has its pixels, I = |ψ(z)|². Light
  that diverges from a focus z₁ before the object is the parallel case with the distance z/M and
  the detector pixel over M, M = (z₁ + z)/z₁ (the Fresnel scaling theorem: Paganin, *Coherent X-Ray
  Optics*, 2006, appendix B).
- **multi-slice**: the wave goes through the first layer, over the gap, through the second, …
  (Cowley and Moodie 1957, doi:10.1107/S0365110X57002194; in ptychography Maiden, Humphry and
  Rodenburg 2012, doi:10.1364/JOSAA.29.001606), and from the last to the detector.

The grid is periodic: what leaves a frame on one side comes in on the other. `most_distance_m` is
how far a wave goes before H is sampled too coarsely for the grid.

A wave that carries the sign of `centring` has its zero frequency in the middle of its spectrum, as
transfer functions have here: nothing is rolled on the way, the same trick as in the far field.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ptycho.errors import ShapeError
from ptycho.frames import most_distance_m as most_distance_m
from ptycho.frames import transfer_function as transfer_function
from ptycho.physics import backend
from ptycho.physics.checks import require_rank, shape_of, square_side
from ptycho.physics.diffraction import centring, incoherent
from ptycho.quiet import ops


class Optics(NamedTuple):
    """How light goes on behind each layer; the default is one layer and the far field."""

    gaps: tuple[Any, ...] = ()
    """For each layer but the last (N, N) complex, the transfer function of the gap behind it, zero
    frequency at [N // 2, N // 2]; None: no distance at all."""
    detector: Any = None
    """(N, N) complex, the transfer function to a detector in the near field; None: far field."""


def propagate(field: Any, transfer: Any) -> Any:
    """F⁻¹[H·F ψ] of complex fields (..., N, N) with H (N, N) of `transfer_function`.

    Raises:
        ShapeError: H of another size.
    """
    field = _wide(field)
    side = square_side("field", field)
    transfer = _fitting(transfer, side, field)
    return _carried(field, ops.roll(transfer, (-(side // 2),) * 2, axis=(-2, -1)))


def multislice(
    layers: Sequence[Any], probe: Any, optics: Optics | None = None, background: Any = 0.0
) -> Any:
    """Expected counts I = Σ_k |D[o_L · G_{L−1}[… G_1[o_1·P_k]]]|² + background.

    G propagates over a gap, D to the detector: a unitary Fourier transform (far field, zero
    frequency at [N // 2, N // 2]) or a propagation (near field). One layer in the far field is
    `diffract`, to the bit.

    Args:
        layers: L patches (..., N, N) complex of one shape, in the order of the light.
        probe: (K, N, N) complex, K incoherent modes, in front of the first.
        optics: L − 1 gaps, and the way to the detector; None: one layer, far field.
        background: expected counts per pixel, scalar.

    Returns:
        (..., N, N) real, photons per pixel.

    Raises:
        ShapeError: layers, probe and transfer functions that do not fit.
    """
    optics = optics or Optics()
    if len(layers) != len(optics.gaps) + 1:
        raise ShapeError(
            "there is a gap between every two layers, and no other",
            where="layers, optics.gaps",
            expected=f"{len(optics.gaps) + 1} layers for {len(optics.gaps)} gaps",
            got=f"{len(layers)} layers",
        )
    layers = [_wide(layer) for layer in layers]
    first, side = layers[0], square_side("layers", layers[0])
    for other in layers[1:]:
        if shape_of(other) != shape_of(first):
            raise ShapeError(
                "the layers differ in shape",
                where="layers",
                expected=shape_of(first),
                got=shape_of(other),
            )
    probe = backend.tensor(probe)
    require_rank("probe", probe, "K N N")
    if square_side("probe", probe) != side:
        raise ShapeError(
            "probe and layers differ in size",
            where="probe, layers",
            expected=f"probe (K, {side}, {side})",
            got=f"probe {shape_of(probe)}, layers {shape_of(first)}",
        )
    optics = _ordered(optics, side, first)
    probe = centring(ops.cast(probe, backend.dtype_of(first)), side)
    background = backend.scalar(background, backend.real_dtype(first))
    fields = (
        on_detector(through(layers, probe[mode], optics)[1], optics)
        for mode in range(int(probe.shape[0]))
    )
    counts = incoherent(fields, background)
    if side % 2 == 0 or optics.detector is not None:
        return counts
    return ops.roll(counts, (side // 2,) * 2, axis=(-2, -1))


def through(layers: Sequence[Any], wave: Any, optics: Optics) -> tuple[list[Any], Any]:
    """The waves in front of each layer, and the exit wave behind the last.

    `wave` (…, N, N) comes in and carries the sign of `centring` where N is even.
    """
    fronts = [wave]
    for layer, gap in zip(layers, optics.gaps, strict=False):
        fronts.append(_carried(layer * fronts[-1], gap))
    return fronts, layers[-1] * fronts[-1]


def back(layers: Sequence[Any], slope: Any, optics: Optics) -> list[Any]:
    """The slopes by the wave behind each layer, from that by the exit wave: `through`'s adjoint."""
    slopes = [slope]
    for layer, gap in zip(layers[:0:-1], optics.gaps[::-1], strict=True):
        slopes.insert(0, _carried(ops.conj(layer) * slopes[0], _returned(gap)))
    return slopes


def on_detector(wave: Any, optics: Optics) -> Any:
    """The field on the detector of an exit wave with the sign of `centring`."""
    return backend.fft2(wave) if optics.detector is None else _carried(wave, optics.detector)


def from_detector(field: Any, optics: Optics) -> Any:
    """The adjoint of `on_detector`."""
    if optics.detector is None:
        return backend.ifft2(field)
    return _carried(field, _returned(optics.detector))


def _carried(wave: Any, transfer: Any) -> Any:
    return wave if transfer is None else backend.ifft2(backend.fft2(wave) * transfer)


def _returned(transfer: Any) -> Any:
    return None if transfer is None else ops.conj(transfer)


def _wide(field: Any) -> Any:
    """As a complex field of its precision."""
    field = backend.field(field)
    if backend.dtype_of(field).startswith("complex"):
        return field
    return ops.cast(field, "complex128" if backend.dtype_of(field) == "float64" else "complex64")


def _fitting(transfer: Any, side: int, field: Any) -> Any:
    transfer = backend.tensor(transfer)
    if shape_of(transfer) != (side, side):
        raise ShapeError(
            "a transfer function does not fit the fields",
            where="transfer",
            expected=(side, side),
            got=shape_of(transfer),
        )
    return ops.cast(transfer, backend.dtype_of(field))


def _ordered(optics: Optics, side: int, field: Any) -> Optics:
    """Transfer functions in the order of a spectrum: that of a wave of odd side is not centred."""

    def order(transfer: Any) -> Any:
        if transfer is None:
            return None
        transfer = _fitting(transfer, side, field)
        return transfer if side % 2 == 0 else ops.roll(transfer, (-(side // 2),) * 2, axis=(0, 1))

    return Optics(tuple(order(gap) for gap in optics.gaps), order(optics.detector))
