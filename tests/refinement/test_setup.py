"""Canvas, start fields, held-out counts, schedule: the parts without tensors."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import refine_oracle as oracle
from hypothesis import given, settings
from hypothesis import strategies as st

from ptycho.config import validated
from ptycho.errors import ConfigError, DataError, ShapeError
from ptycho.frames import FrameView
from ptycho.physics import illumination
from ptycho.refinement import start as setup
from ptycho.refinement.config import RefineConfig
from ptycho.refinement.schedule import Schedule
from ptycho.result import Reconstruction
from ptycho.scan import Scan

N = 16


def scan(counts=None, n=12, probe=True, **options) -> Scan:
    rng = np.random.default_rng(0)
    counts = rng.poisson(9, (n, N, N)).astype(np.float32) if counts is None else counts
    y, x = np.indices((N, N)) - N / 2
    light = np.exp(-(x**2 + y**2) / 30).astype(np.complex64)
    positions = rng.uniform(-20, 25, (len(counts), 2))
    return Scan(counts, positions, probe=light if probe else None, **options)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**30), st.integers(0, 5))
def test_every_patch_fits_on_the_canvas(seed, margin):
    positions = np.random.default_rng(seed).uniform(-300, 200, (7, 2))
    positions[0] = np.round(positions[0])
    canvas = setup.Canvas.around(positions, N, margin)
    corners = canvas.corners(positions)
    assert (corners >= margin).all()
    assert (np.floor(corners) + N + 1 + margin <= canvas.shape).all()
    centre = corners + N // 2 + np.array(canvas.origin_px)
    np.testing.assert_allclose(centre, positions, atol=1e-4)
    assert np.floor(corners).min() == margin, "and no larger than needed"


def test_an_integer_position_is_the_slice_of_the_convention():
    canvas = setup.Canvas.around(np.array([[5.0, -3.0], [40.0, 30.0]]), N, 1)
    corners = canvas.corners(np.array([[5.0, -3.0]]))
    np.testing.assert_array_equal(corners[0] + canvas.origin_px, [5 - N // 2, -3 - N // 2])


def test_held_out_counts_are_a_binomial_part_of_few_frames():
    big = np.random.default_rng(1).poisson(20, (40, N, N)).astype(np.float32)
    config = RefineConfig(held_out_fraction=0.25, held_out_share=0.3)
    frames = setup.Frames(scan(big), config, np.random.default_rng(0))
    assert len(frames.held) == 10
    assert abs(frames.held_counts.sum() / big[frames.held].sum() - 0.3) < 0.01
    seen, dose = frames.training(np.arange(40)), frames.dose(np.arange(40))
    held = np.isin(np.arange(40), frames.held)
    np.testing.assert_array_equal(dose, np.where(held, np.float32(0.7), 1))
    np.testing.assert_array_equal(seen[~held], big[~held])
    np.testing.assert_array_equal(seen[held] + frames.held_counts, big[held])


def test_counts_that_are_no_integers_hold_nothing_out():
    frames = setup.Frames(
        scan(np.full((9, N, N), 2.5, np.float32)), RefineConfig(), np.random.default_rng(0)
    )
    assert len(frames.held) == 0
    counts, dose = frames.training(np.arange(3)), frames.dose(np.arange(3))
    np.testing.assert_allclose(counts, 2.5)
    np.testing.assert_array_equal(dose, 1)


def test_masked_counts_are_zero_whatever_stands_there():
    mask = np.ones((N, N), bool)
    mask[3, 4] = False
    counts = np.full((9, N, N), 5, np.float32)
    counts[:, 3, 4] = 65535
    frames = setup.Frames(scan(counts, mask=mask), RefineConfig(), np.random.default_rng(0))
    assert (frames.counts(np.arange(9))[:, 3, 4] == 0).all()
    assert (frames.counts(np.arange(9))[:, 3, 5] == 5).all()


class Watched(FrameView):
    """Frames that stand for those of a file; notes which were asked for."""

    def __init__(self, frames: np.ndarray) -> None:
        self.source, self.shape, self.asked = frames, frames.shape, set()

    def rows(self, indices):
        self.asked |= set(np.ravel(indices).tolist())
        return self.source[indices]


@pytest.mark.parametrize(
    ("n_frames", "near", "streams", "stays"),
    [(600, 256, True, 256), (400, 256, False, 0), (100, 100, False, 100)],
)
def test_frames_of_a_file_are_in_memory_as_far_as_there_is_room(
    monkeypatch, n_frames, near, streams, stays
):
    """16 KiB a frame, 8 MiB in all, of which the object takes 4."""
    monkeypatch.setenv("PTYCHO_FRAMES_MIB", "8")
    raw = np.random.default_rng(0).poisson(3, (n_frames, 64, 64)).astype(np.float32)
    source = Watched(raw)
    config, rng = RefineConfig(held_out_fraction=0), np.random.default_rng(0)
    frames = setup.Frames(scan(source, probe=False), config, rng, canvas_bytes=4 << 20)
    assert bool(frames.streams) is streams
    order = rng.permutation(n_frames)
    for read in (range(near, n_frames), range(stays, n_frames)):
        source.asked.clear()
        np.testing.assert_array_equal(frames.training(order), raw[order])
        assert source.asked == set(read)
        frames.leave()
    assert frames.visible.scan.counts is source, "another process reads the file itself"


def test_a_start_lies_where_its_origin_says():
    canvas = setup.Canvas((30, 28), (-5, 10), N)
    rng = np.random.default_rng(2)
    values = rng.normal(size=(12, 9)) + 1j
    coverage = np.ones((12, 9))
    coverage[0] = 0
    out = setup.start_object(canvas, Reconstruction(values, coverage, (0, 7)))
    expected = np.ones((30, 28), complex)
    expected[6:17, 0:6] = values[1:, 3:]
    np.testing.assert_allclose(out, expected, rtol=1e-6)
    with pytest.raises(DataError, match="overlap"):
        setup.start_object(canvas, Reconstruction(values, coverage, (500, 7)))


def test_more_modes_are_seeded_with_two_percent_and_differ():
    probe = setup.start_probe(scan(), None, 4)
    energy = (np.abs(probe) ** 2).sum((1, 2))
    np.testing.assert_allclose(energy[1:] / energy[0], 0.02, rtol=1e-4)
    flat = probe.reshape(4, -1)
    overlap = np.abs(flat @ flat.conj().T) / np.sqrt(np.outer(energy, energy))
    assert np.abs(overlap - np.eye(4)).max() < 1e-4
    assert len(setup.start_probe(scan(), None, None)) == 1
    assert (
        len(
            setup.start_probe(
                scan(), Reconstruction(np.ones((4, 4)), np.ones((4, 4)), (0, 0), probe=probe), 2
            )
        )
        == 2
    )


def test_a_missing_probe_is_estimated_and_a_wrong_one_refused():
    estimate = setup.start_probe(scan(probe=False), None, None)
    spectrum = np.abs(np.fft.fftshift(np.fft.fft2(estimate[0], norm="ortho")))
    mean = scan().frames(np.arange(12)).mean(0)
    np.testing.assert_allclose(spectrum, np.sqrt(mean), rtol=1e-3)
    wrong = Reconstruction(np.ones((4, 4)), np.ones((4, 4)), (0, 0), probe=np.ones((8, 8)))
    with pytest.raises(ShapeError, match=r"\(16, 16\)"):
        setup.start_probe(scan(), wrong, None)


def test_orthogonal_modes_are_the_same_mixed_state():
    rng = np.random.default_rng(3)
    probe = (rng.normal(size=(3, N, N)) + 1j * rng.normal(size=(3, N, N))).astype(np.complex64)
    modes = setup.orthogonal_modes(probe)
    flat = modes.reshape(3, -1)
    gram = flat @ flat.conj().T
    assert np.abs(gram - np.diag(np.diag(gram))).max() < 1e-2
    assert (np.diff(np.diag(gram).real) <= 0).all()
    patch = rng.normal(size=(N, N)) + 1j

    def intensity(p):
        return (np.abs(np.fft.fft2(p * patch)) ** 2).sum(0)

    np.testing.assert_allclose(intensity(modes), intensity(probe), rtol=1e-4)


def test_coverage_is_the_light_placed_by_the_oracle():
    probe = setup.start_probe(scan(), None, 2)
    positions = scan().positions_px
    canvas = setup.Canvas.around(positions, N, 1)
    expected = np.zeros(canvas.shape)
    for corner in canvas.corners(positions):
        whole = np.floor(corner).astype(int)
        oracle.place(expected, (np.abs(probe) ** 2).sum(0), whole, corner - whole)
    found = illumination(probe, positions, shape=canvas.shape, origin_px=canvas.origin_px)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("n", "wanted", "size"),
    [(516, None, 43), (5, None, 5), (40, None, 8), (9000, None, 64), (100, 20, 20)],
)
def test_batch_size(n, wanted, size):
    assert setup.batch_size(n, wanted) == size


def test_background_is_never_zero():
    assert setup.background_of(SimpleNamespace(background=0.0), RefineConfig()) == 1e-3
    assert setup.background_of(SimpleNamespace(background=0.4), RefineConfig()) == 0.4
    assert setup.background_of(SimpleNamespace(background=0.4), RefineConfig(background=0.1)) == 0.1


def test_the_step_is_held_then_falls_to_its_end():
    schedule = Schedule(RefineConfig(hold_fraction=0.5, final_step_fraction=0.1))
    steps = [schedule.step(used) for used in np.linspace(0, 1, 11)]
    assert steps[:6] == [1.0] * 6
    assert all(a > b for a, b in itertools.pairwise(steps[5:]))
    assert steps[-1] == pytest.approx(0.1)


def run_schedule(config, held_out, passes) -> tuple[Schedule, int, int]:
    """Drive a schedule with held-out values by pass; returns it, passes done, best pass kept."""
    schedule, kept = Schedule(config), 0
    for done in range(1, passes + 1):
        used = (done - 1) / config.passes
        schedule.step(used)
        if schedule.judge(done, done / config.passes, held_out(done)):
            kept = done
        if schedule.finished(done, done / config.passes):
            return schedule, done, kept
    raise AssertionError("it never finished")


def test_a_falling_deviance_uses_the_whole_budget():
    config = RefineConfig(passes=50, patience=5)
    schedule, done, kept = run_schedule(config, lambda d: 1 / d, 60)
    assert (done, kept, schedule.reason) == (50, 50, "budget")


def test_a_rising_deviance_stops_early_and_the_best_state_is_kept():
    config = RefineConfig(passes=200, patience=5)
    schedule, done, kept = run_schedule(config, lambda d: 1 + abs(d - 20) / 100, 300)
    assert kept == 20
    assert 25 <= done <= 60
    assert "held-out" in schedule.reason


def test_without_held_out_counts_the_budget_decides():
    schedule, done, kept = run_schedule(RefineConfig(passes=30, patience=3), lambda d: None, 40)
    assert (done, kept, schedule.reason) == (30, 30, "budget")


def test_unknown_and_senseless_settings_are_refused():
    with pytest.raises(ConfigError, match="stepp"):
        validated(RefineConfig, stepp=3)
    with pytest.raises(ConfigError, match="damping"):
        validated(RefineConfig, damping=0)
