"""The untrained estimate: accelerated physics steps on each group by itself, coarse to fine.

It is a method of its own (`ptycho reconstruct --untrained K`), the control that every network is
printed beside, and the input of the default network. Each group of C frames has one canvas,
started at the constant that explains its mean count. A step goes, from the look-ahead point
Y = O_k + k/(k+3)·(O_k − O_{k−1}), down the amplitude loss Σ(√I − √y)², preconditioned by the
illumination (the ePIE family of updates with Nesterov's momentum):

    Ψ = F[P·extract(Y)],  I = Σ_modes|Ψ|² + b,  χ = F⁻¹[Ψ·(1 − √y/√I)]
    O_{k+1} = Y − place(Σ_modes P̄·χ) / (place(Σ_modes|P|²) + ε·max)

Steps may begin on a coarser grid: the inner N/f of the detector, the probe with only these
frequencies, and every f-th pixel of the canvas are the same problem at a 1/f² of the cost. The
slow modes of the phase are long waves, and long waves are what a coarse grid settles: 12 steps at
half and 2 at full resolution cost as much as 5 full steps and find more of the phase
(`docs/evidence/performance.md`).

Nothing couples the groups: the estimate of a group does not depend on its batch.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ptycho.config import BACKGROUND_FLOOR
from ptycho.errors import ShapeError, UsageError
from ptycho.physics import backend
from ptycho.physics.checks import require_rank, require_same, square_side
from ptycho.physics.diffraction import exit_waves, incoherent
from ptycho.physics.likelihood import amplitude_error
from ptycho.physics.patches import extract
from ptycho.physics.translation import place
from ptycho.quiet import ops

FEATURES = ("real", "imag", "step real", "step imag", "illumination")
EPSILON = 0.05
Steps = int | Sequence[int]
COARSE_TO_FINE, FULL_ONLY = (12, 2), (5,)
FAR_FIELD_SHARE = 0.9
LIT_MARGIN_PX = 4


def group_estimate(
    counts: Any,
    offsets: Any,
    probe: Any,
    *,
    steps: Steps,
    canvas_size: int,
    lit_px: int | None = None,
    mask: Any = None,
    background: float = BACKGROUND_FLOOR,
) -> Any:
    """Physics steps on each group, compiled.

    Args:
        counts: (B, C, N, N) photons, DC-centred.
        offsets: (B, C, 2) px (row, col), position − group centre.
        probe: (K, N, N) complex64; Σ|P|² = photons of a frame where the object is 1.
        steps: K steps at full resolution, or how many at each resolution, coarse to fine:
            (12, 2) are 12 at half and 2 at full resolution.
        canvas_size: P, side of the square canvas in pixels.
        lit_px: side of the centre of the frames' patches outside of which the probe is taken as
            dark (`lit_box`), which saves most of the work; None: nothing is.
        mask: (N, N), 1 where the detector counts; None: everywhere.
        background: b, counts per pixel.

    Returns:
        (B, P, P, 5) float32, the channels `FEATURES`: the canvas, its last step, and the
        illumination as a share of its largest value in the group.

    Raises:
        ShapeError: arrays that do not fit; UsageError: no step, or a grid that N or P do not have.
    """
    counts, offsets, probe = (backend.tensor(array) for array in (counts, offsets, probe))
    _check(counts, offsets, probe)
    size = square_side("counts", counts)
    plan = step_plan(steps, size)
    grid = canvas_multiple(plan)
    if canvas_size % grid:
        raise ShapeError(
            "the canvas does not divide into the coarsest grid",
            where="canvas_size",
            expected=f"a multiple of {grid}",
            got=canvas_size,
            fix=f"canvas_size_for(offsets, N, multiple={grid})",
        )
    valid = np.ones((size, size), np.float32) if mask is None else np.asarray(mask, np.float32)
    box = size if lit_px is None else lit_box(lit_px, size, plan)
    used = tuple(number > 0 for number in plan)
    estimate = _compiled(int(canvas_size), used, box, float(background))
    numbers = backend.tensor(np.asarray(plan, np.int32))
    return estimate(counts, offsets, probe, backend.tensor(valid), numbers)


def step_plan(steps: Steps, size: int) -> tuple[int, ...]:
    """Steps at each resolution, coarse to fine, for frames of `size`×`size` pixels.

    Raises:
        UsageError: no step at full resolution, a negative number, or a grid that N does not have.
    """
    plan = (steps,) if isinstance(steps, int | np.integer) else tuple(steps)
    plan = tuple(int(number) for number in plan)
    if not plan or min(plan) < 0 or plan[-1] < 1:
        raise UsageError(
            "the untrained estimate ends with at least one step at full resolution",
            where="steps",
            expected="K >= 1, or steps at each resolution, coarse to fine, such as 12,2",
            got=steps,
        )
    if size % canvas_multiple(plan) and len(plan) > 1:
        raise UsageError(
            "the frames do not divide into the coarsest grid of the estimate",
            where="steps",
            expected=f"N a multiple of {canvas_multiple(plan)} for {len(plan)} resolutions",
            got=f"N = {size}",
            fix=f"fewer resolutions, such as {plan[-1]}",
        )
    return plan


def canvas_multiple(steps: Steps) -> int:
    """What the canvas must be a multiple of, so that every grid has its centre on a pixel."""
    levels = 1 if isinstance(steps, int | np.integer) else len(tuple(steps))
    return max(4, 2**levels)


def lit_px(probe: np.ndarray, share: float = 0.99) -> int:
    """The smallest even side of a central box that holds `share` of the probe's photons."""
    power, middle = np.sum(np.abs(probe) ** 2, axis=0), probe.shape[-1] // 2
    total = float(power.sum())
    for half in range(1, middle):
        box = slice(middle - half, middle + half)
        if float(power[box, box].sum()) >= share * total:
            return 2 * half
    return probe.shape[-1]


def lit_box(lit_px: int, size: int, steps: Steps) -> int:
    """Side of the box that is computed for a probe of `lit_px`: with a margin, on every grid."""
    grid = canvas_multiple(steps)
    return min(size, -(-(lit_px + LIT_MARGIN_PX) // grid) * grid)


def default_steps(probe: Any) -> tuple[int, ...]:
    """The good cheap plan for this probe: half resolution first, where its far field allows.

    At half resolution the model has only the inner half of the far field. It holds where nearly
    all of the probe's own far field (`FAR_FIELD_SHARE`) lies there; a probe that fills the
    detector gets full-resolution steps only.

    Args:
        probe: (K, N, N) or (N, N) complex.
    """
    probe = np.asarray(probe)
    size = probe.shape[-1]
    if size % canvas_multiple(COARSE_TO_FINE):
        return FULL_ONLY
    far = np.abs(np.fft.fftshift(np.fft.fft2(probe), axes=(-2, -1))) ** 2
    share = far.reshape(-1, size, size).sum(axis=0)
    inner = _inner(size, size // 2)
    holds = share[inner, inner].sum() >= FAR_FIELD_SHARE * share.sum()
    return COARSE_TO_FINE if holds else FULL_ONLY


def _check(counts: Any, offsets: Any, probe: Any) -> None:
    require_rank("counts", counts, "B C N N")
    require_rank("offsets", offsets, "B C 2")
    require_rank("probe", probe, "K N N")
    require_same("counts", counts, "offsets", offsets, 2, "give every frame its own offset")
    if square_side("probe", probe) != square_side("counts", counts):
        raise ShapeError(
            "probe and frames differ in size",
            where="probe, counts",
            expected=f"probe (K, {counts.shape[-2]}, {counts.shape[-1]})",
            got=f"probe {tuple(probe.shape)}",
        )


@functools.cache
def _compiled(
    canvas_size: int, used: tuple[bool, ...], box: int, background: float
) -> Callable[..., Any]:
    """The whole estimate, compiled once for a canvas and the used grids; steps are data."""
    levels = [level for level, steps in enumerate(used) if steps]

    def estimate(counts: Any, offsets: Any, probe: Any, valid: Any, steps: Any) -> Any:
        counts = ops.cast(counts, "float32") * valid
        offsets = ops.cast(offsets, "float32")
        lit = canvas_size - int(counts.shape[-1]) + box
        grids = [
            _grid(
                counts, offsets, probe, valid, 2 ** (len(used) - 1 - level), (box, lit), background
            )
            for level in levels
        ]
        start = _level(counts, probe)
        canvas = previous = backend.joined((start + 0 * grids[0].light, 0 * grids[0].light))
        taken = ops.cast(0, "int32")
        for level, grid in zip(levels, grids, strict=True):
            while int(canvas.shape[-1]) < int(grid.light.shape[-1]):
                canvas, previous = _finer(canvas), _finer(previous)
            canvas, previous = _descend(grid, canvas, previous, taken, steps[level])
            taken = taken + steps[level]
        return _pack(canvas, previous, grids[-1].light, start, (canvas_size - lit) // 2)

    return backend.in_halves(backend.jit(estimate), 2)


@dataclass(frozen=True)
class _Grid:
    """The physics of all groups on one grid: n pixels of far field, l lit ones, p of canvas."""

    offsets: Any  # (B, C, 2) px of this grid
    probe: Any  # (K, l, l)
    amplitude: Any  # √counts (B, C, n, n), DC in the corner
    valid: Any  # (n, n), DC in the corner
    light: Any  # (B, p, p), illumination as a share of `largest`
    largest: Any  # (B, 1, 1)
    background: float

    def step(self, canvas: Any, previous: Any, momentum: Any) -> Any:
        """One accelerated step from canvases (B, p, p)."""
        ahead = canvas + _complex(momentum) * (canvas - previous)
        patches = extract(ahead, self.offsets, int(self.probe.shape[-1]))
        pull = _pull(patches, self.probe, self.amplitude, self.valid, self.background)
        share = 1.0 / (self.largest * (self.light + EPSILON))
        return ahead - _times(_add(pull, self.offsets, int(canvas.shape[-1])), share)


def _grid(
    counts: Any,
    offsets: Any,
    probe: Any,
    valid: Any,
    factor: int,
    sides: tuple[int, int],
    background: float,
) -> _Grid:
    """The problem on every `factor`-th pixel of the canvas: the inner part of the far field.

    `sides`: of the lit box and of its canvas, at full resolution.
    """
    inner = _inner(int(counts.shape[-1]), int(counts.shape[-1]) // factor)
    box, side = (length // factor for length in sides)
    counts, valid = counts[..., inner, inner], valid[inner, inner]
    probe = _low_pass(probe, int(counts.shape[-1]))
    centre = _inner(int(probe.shape[-1]), box)
    probe, offsets = probe[:, centre, centre], offsets / factor
    frames = ops.ones_like(counts[:, :, :1, :1])
    light = _add(_power(probe) * frames, offsets, side)
    largest = ops.max(light, axis=(1, 2), keepdims=True)
    amplitude = _corner_first(ops.sqrt(ops.maximum(counts, 0.0)))
    share = light / (largest + 1e-30)
    return _Grid(offsets, probe, amplitude, _corner_first(valid), share, largest, background)


def _level(counts: Any, probe: Any) -> Any:
    """(B, 1, 1): the constant object that explains the mean count of its group."""
    measured = ops.sum(counts, axis=(1, 2, 3)) / int(counts.shape[1])
    return ops.sqrt(measured / ops.sum(_power(probe)))[:, None, None]


def _pack(canvas: Any, previous: Any, light: Any, level: Any, margin: int) -> Any:
    """The channels `FEATURES` on the whole canvas; what is dark keeps the constant of the start."""
    real, imag = backend.planes(canvas)
    planes = (real - level, imag, *backend.planes(canvas - previous), light)
    around = ((0, 0), (margin, margin), (margin, margin), (0, 0))
    features = ops.pad(ops.stack(planes, axis=-1), around)
    return features + ops.concatenate(
        [level[..., None], ops.zeros_like(features[:, :1, :1, 1:])], -1
    )


def _low_pass(probe: Any, side: int) -> Any:
    """The probe on a grid of `side`: its inner far field, transformed back.

    Photons are kept: a pixel of the coarse grid holds those of f² fine ones.
    """
    if side == int(probe.shape[-1]):
        return probe
    far, half = backend.fft2(probe), side // 2
    far = ops.concatenate([far[:, :half], far[:, -half:]], axis=1)
    return backend.ifft2(ops.concatenate([far[:, :, :half], far[:, :, -half:]], axis=2))


def _finer(canvas: Any) -> Any:
    """(B, p, p) → (B, 2p, 2p), linear: pixel j of the coarse grid is pixel 2j of the fine one."""
    groups = ops.shape(canvas)[0]
    side = int(canvas.shape[-1])
    planes = []
    for plane in backend.planes(canvas):
        right = ops.concatenate([plane[:, :, 1:], plane[:, :, -1:]], axis=2)
        wide = ops.reshape(ops.stack([plane, (plane + right) / 2], axis=3), (groups, side, -1))
        below = ops.concatenate([wide[:, 1:], wide[:, -1:]], axis=1)
        tall = ops.stack([wide, (wide + below) / 2], axis=2)
        planes.append(ops.reshape(tall, (groups, 2 * side, 2 * side)))
    return backend.joined(tuple(planes))


def _descend(grid: _Grid, canvas: Any, previous: Any, taken: Any, number: Any) -> tuple[Any, Any]:
    """`number` steps on one grid after `taken` on coarser ones, whose momentum goes on."""

    def body(k: Any, canvas: Any, previous: Any) -> tuple[Any, Any, Any]:
        count = ops.cast(k, "float32")
        return k + 1, grid.step(canvas, previous, count / (count + 3.0)), canvas

    last = taken + number
    _, canvas, previous = ops.while_loop(lambda k, *_: k < last, body, (taken, canvas, previous))
    return canvas, previous


def _add(patches: Any, offsets: Any, side: int) -> Any:
    """The adjoint of `extract`: (B, C, n, n) → (B, side, side)."""
    corners = offsets + float(side // 2 - int(patches.shape[-1]) // 2)
    return place(patches, corners, (side, side), inside=True)  # as the canvas has been made for it


def _pull(patches: Any, probe: Any, amplitude: Any, valid: Any, background: float) -> Any:
    """Σ_modes P̄·χ, half the gradient of the amplitude loss by the conjugate of each patch.

    Patches and probe may be smaller than the far field: the dark rest is zero. Where the corner of
    the patch lies in the transform is a phase ramp, which leaves no trace.
    """
    lit = int(probe.shape[-1])
    dark = int(amplitude.shape[-1]) - lit
    around = ((0, 0), (0, 0), (0, dark), (0, dark))
    waves = (_padded(wave, around) for wave in exit_waves(patches, probe))
    modes = [backend.fft2(wave) for wave in waves]
    factor = amplitude_error(incoherent(modes, background), amplitude, valid)
    pull: Any = 0.0
    for k, far in enumerate(modes):
        pull = pull + ops.conj(probe[k]) * backend.ifft2(_times(far, factor))[..., :lit, :lit]
    return pull


def _padded(field: Any, around: Any) -> Any:
    return backend.joined(tuple(ops.pad(plane, around) for plane in backend.planes(field)))


def _inner(side: int, length: int) -> slice:
    """The central `length` of `side` pixels, pixel side//2 in its middle."""
    return slice(side // 2 - length // 2, side // 2 - length // 2 + length)


def _power(probe: Any) -> Any:
    return ops.sum(sum(plane * plane for plane in backend.planes(probe)), axis=0)


def _times(field: Any, real: Any) -> Any:
    return backend.joined(tuple(plane * real for plane in backend.planes(field)))


def _complex(real: Any) -> Any:
    return backend.joined((real, ops.zeros_like(real)))


def _corner_first(image: Any) -> Any:
    """DC-centred → DC in the corner, the layout of an FFT."""
    half = int(image.shape[-1]) // 2
    return ops.roll(image, (-half, -half), axis=(-2, -1))
