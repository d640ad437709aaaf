"""The untrained estimate against a float64 NumPy reference, and what its grids promise."""

from __future__ import annotations

import numpy as np
import pytest

from ptycho.errors import ShapeError, UsageError
from ptycho.physics.estimate import canvas_multiple, default_steps, group_estimate, step_plan
from ptycho.simulation import SimulationConfig, simulate

N, P, GROUPS, FRAMES = 16, 32, 2, 3


def _reading(length: int, side: int, corner: float) -> np.ndarray:
    """(length, side): linear reading of `length` pixels from a real-valued corner on."""
    distance = np.arange(side)[None, :] - (corner + np.arange(length)[:, None])
    return np.maximum(0.0, 1.0 - np.abs(distance))


def _low_pass(probe: np.ndarray, side: int) -> np.ndarray:
    """The trigonometric interpolant of the probe's low frequencies, on a coarse grid."""
    size = probe.shape[-1]
    low = np.arange(-(side // 2), side // 2)
    forward = np.exp(-2j * np.pi * np.outer(low, np.arange(size)) / size) / np.sqrt(size)
    back = np.exp(2j * np.pi * np.outer(np.arange(side), low) / side) / np.sqrt(side)
    return np.stack([back @ (forward @ mode @ forward.T) @ back.T for mode in probe])


def _finer(canvas: np.ndarray) -> np.ndarray:
    side = canvas.shape[-1]
    places = np.minimum(np.arange(2 * side) / 2, side - 1)
    at = np.maximum(0.0, 1.0 - np.abs(places[:, None] - np.arange(side)[None, :]))
    return np.stack([at @ plane @ at.T for plane in canvas])


def _reference(counts, offsets, probe, plan, valid, background):
    """One group at a time, dense matrices, explicit loops, float64."""
    found = []
    for frames, moves in zip(counts.astype(float) * valid, offsets.astype(float), strict=True):
        level = np.sqrt(frames.sum() / len(frames) / np.sum(np.abs(probe) ** 2))
        canvas = previous = None
        taken = 0
        for place, steps in enumerate(plan):
            factor = 2 ** (len(plan) - 1 - place)
            n, p = N // factor, P // factor
            inner = slice(N // 2 - n // 2, N // 2 + n // 2)
            seen = np.fft.ifftshift(valid[inner, inner])
            light_probe = _low_pass(probe, n)
            corners = moves / factor + p // 2 - n // 2
            ways = [(_reading(n, p, r), _reading(n, p, c)) for r, c in corners]
            power = np.sum(np.abs(light_probe) ** 2, axis=0)
            light = sum(down.T @ power @ right for down, right in ways)
            if canvas is None:
                canvas = previous = np.full((p, p), level, complex)
            while canvas.shape[-1] < p:
                canvas, previous = _finer(canvas[None])[0], _finer(previous[None])[0]
            for k in range(taken, taken + steps):
                ahead = canvas + k / (k + 3) * (canvas - previous)
                pull = np.zeros((p, p), complex)
                for (down, right), frame in zip(ways, frames, strict=True):
                    patch = down @ ahead @ right.T
                    far = np.fft.fft2(light_probe * patch, norm="ortho")
                    intensity = background + np.sum(np.abs(far) ** 2, axis=0)
                    root = np.sqrt(np.fft.ifftshift(frame[inner, inner]))
                    wrong = far * seen * (1 - root / np.sqrt(intensity))
                    back = np.fft.ifft2(wrong, norm="ortho")
                    pull += down.T @ np.sum(light_probe.conj() * back, axis=0) @ right
                canvas, previous = ahead - pull / (light + 0.05 * light.max()), canvas
            taken += steps
        step = canvas - previous
        found.append([canvas.real, canvas.imag, step.real, step.imag, light / light.max()])
    return np.moveaxis(np.array(found), 1, -1)


def _case(seed: int = 0):
    rng = np.random.default_rng(seed)
    row, col = np.mgrid[:N, :N] - N // 2
    spot = np.exp(-(row**2 + col**2) / 18 + 0.02j * (row**2 + col**2) + 0.1j * row)
    probe = 30 * np.stack([spot, 0.3 * spot * col]).astype(np.complex64)
    counts = rng.poisson(40, (GROUPS, FRAMES, N, N)).astype(np.float32)
    offsets = rng.uniform(-5, 5, (GROUPS, FRAMES, 2)).astype(np.float32)
    valid = np.ones((N, N), np.float32)
    valid[3, 5:9] = 0
    return counts, offsets, probe, valid


@pytest.mark.parametrize("plan", [(3,), (2, 1), (4, 2, 1), (5, 0, 2)])
def test_estimate_is_that_of_the_reference(plan: tuple[int, ...]) -> None:
    counts, offsets, probe, valid = _case()
    found = group_estimate(
        counts, offsets, probe, steps=plan, canvas_size=P, mask=valid, background=0.02
    )
    used = [number for number in plan if number]
    expected = _reference(counts, offsets, probe, plan, valid, 0.02)
    assert len(used) >= 1
    np.testing.assert_allclose(np.asarray(found), expected, atol=2e-3 * np.abs(expected).max())


def test_dark_margin_of_the_probe_need_not_be_computed() -> None:
    counts, offsets, probe, valid = _case(1)
    probe[:, :4], probe[:, 12:], probe[..., :4], probe[..., 12:] = 0, 0, 0, 0
    settings = {"steps": 4, "canvas_size": P, "mask": valid}
    whole = np.asarray(group_estimate(counts, offsets, probe, **settings))
    boxed = np.asarray(group_estimate(counts, offsets, probe, lit_px=8, **settings))
    lit = whole[..., 4] > 0.02
    assert lit.sum() > 100
    np.testing.assert_allclose(boxed[lit], whole[lit], atol=1e-3 * np.abs(whole).max())
    assert np.all(boxed[:, 0, 0, 4] == 0)


def test_estimate_of_a_group_does_not_depend_on_its_batch() -> None:
    counts, offsets, probe, valid = _case(2)
    counts, offsets = np.repeat(counts, 4, axis=0), np.repeat(offsets, 4, axis=0)
    settings = {"steps": (4, 0, 1), "canvas_size": P, "mask": valid}
    whole = np.asarray(group_estimate(counts, offsets, probe, **settings))
    for size in (1, 3, 6):
        part = np.asarray(group_estimate(counts[:size], offsets[:size], probe, **settings))
        np.testing.assert_allclose(part, whole[:size], atol=1e-4 * np.abs(whole).max())


def test_coarse_steps_find_the_long_waves_of_the_phase() -> None:
    """What a few full-resolution steps leave of the phase is mostly long waves."""
    from ptycho.evaluation.scores import evaluate
    from ptycho.reconstruction.predict import reconstruct

    scan = simulate(SimulationConfig(N=64, n_frames=150, photons=1e5))
    phase = [
        evaluate(reconstruct(None, scan, untrained=steps), scan)["phase"]["ssim"]
        for steps in (5, (12, 2))
    ]
    assert phase[1] > phase[0] + 0.05


def test_plan_follows_the_far_field_of_the_probe() -> None:
    row, col = np.mgrid[:64, :64] - 32
    square = row**2 + col**2
    for bend, resolutions in ((0.0, 2), (0.04, 2), (0.15, 1)):
        probe = np.exp(-square / 128.0 + 1j * bend * square)
        assert len(default_steps(probe)) == resolutions
    assert len(default_steps(np.exp(-square[2:, 2:] / 128.0))) == 1  # N = 62 has no half grid


@pytest.mark.parametrize("steps", [0, (), (0, 0), (2, -1), (3, 0)])
def test_a_plan_without_a_full_step_is_refused(steps: object) -> None:
    with pytest.raises(UsageError, match="full resolution"):
        step_plan(steps, 64)  # type: ignore[arg-type]


def test_grids_that_do_not_divide_are_refused() -> None:
    with pytest.raises(UsageError, match="multiple of 8"):
        step_plan((4, 2, 1), 60)
    counts, offsets, probe, _ = _case()
    with pytest.raises(ShapeError, match="coarsest grid"):
        group_estimate(counts, offsets, probe, steps=(4, 2, 1), canvas_size=P + 4)
    assert canvas_multiple((4, 2, 1)) == 8
