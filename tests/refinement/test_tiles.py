"""An object in tiles is the object in one: the cut, and what passes over it find."""

from __future__ import annotations

import numpy as np
import pytest

from ptycho.physics import backend
from ptycho.refinement import RefineConfig, step, summing
from ptycho.refinement.run import prepare
from ptycho.refinement.takeover import take_over
from ptycho.refinement.tiles import KERNEL_PX, tiling
from ptycho.simulation import SimulationConfig, simulate

PIXEL_M, WAVELENGTH_M = 20e-9, 1e-10
THICK = {
    "layers_behind": ("lines:letters",),
    "layer_distance_m": 16 * PIXEL_M**2 / WAVELENGTH_M,
    "wavelength_m": WAVELENGTH_M,
    "distance_m": 1.0,
    "detector_pixel_m": WAVELENGTH_M / (32 * PIXEL_M),
}


@pytest.mark.parametrize("margin", [0, 12])
def test_every_patch_lies_in_the_window_of_its_tile_with_room_to_move(margin: int) -> None:
    N, shape = 32, (211, 150)
    room = np.array(shape) - N - 2 * (margin + 1)
    centres = N // 2 + margin + 1 + room * np.random.default_rng(0).random((3000, 2))
    found = tiling(centres, margin, shape, N, 96)
    assert len(found.tiles) > 4
    every = np.concatenate([tile.frames for tile in found.tiles])
    np.testing.assert_array_equal(np.sort(every), np.arange(3000))
    for tile in found.tiles:
        assert (found.of_frame[tile.frames] == tile.number).all()
        low, high = np.array(tile.low), np.array(tile.low) + found.shape
        assert (low >= 0).all() and (high <= shape).all()
        # where the window ends before the object does, the widest kernel finds its pixels in it
        above = (centres[tile.frames] - N // 2 - margin - KERNEL_PX).min(axis=0)
        below = (centres[tile.frames] + N // 2 + margin + KERNEL_PX).max(axis=0)
        assert ((above >= low) | (low == 0)).all() and ((below <= high) | (high == shape)).all()


def test_a_small_object_is_one_tile() -> None:
    found = tiling(np.full((5, 2), 40.0), 12, (300, 200), 64, None)
    assert found.shape == (300, 200) and [tile.low for tile in found.tiles] == [(0, 0)]


def test_a_window_does_not_grow_with_the_scan() -> None:
    """What a program does for a chunk of frames is the same for ten times as many."""
    shapes, most = [], []
    for side in (45, 141):
        centres = 30 + 4.0 * np.stack(np.meshgrid(range(side), range(side)), -1).reshape(-1, 2)
        end = int(centres.max()) + 30
        found = tiling(centres, 0, (end, end), 32, 96)
        shapes.append(max(found.shape))
        most.append(max(len(tile.frames) for tile in found.tiles))
    assert shapes[1] <= 96 and abs(shapes[1] - shapes[0]) <= 8, shapes
    assert most[1] <= 1.5 * most[0]


def test_frames_are_handed_out_by_tile_and_in_their_order() -> None:
    centres = np.random.default_rng(0).uniform(20, 180, (200, 2))
    found = tiling(centres, 0, (200, 200), 32, 96)
    numbers = np.random.default_rng(1).permutation(np.repeat(np.arange(200), 2))
    parts = [(tile, part) for tile, each in found.parts(numbers, 7) for part in each]
    assert max(len(part) for _, part in parts) == 7
    assert all((found.of_frame[part] == tile.number).all() for tile, part in parts)
    handed = np.concatenate([part for _, part in parts])
    np.testing.assert_array_equal(np.sort(handed), np.sort(numbers))
    for tile in found.tiles:
        mine = np.concatenate([part for each, part in parts if each is tile])
        np.testing.assert_array_equal(mine, numbers[found.of_frame[numbers] == tile.number])


@pytest.mark.parametrize("size", [1, 7, 32])
def test_rests_of_tiles_are_filled_up_by_less_than_a_short_part(size: int) -> None:
    centres = np.random.default_rng(0).uniform(20, 180, (200, 2))
    found = tiling(centres, 0, (200, 200), 32, 96)
    lengths, short = set(), found.filled(1, size)
    for _, parts in found.parts(np.arange(200), size):
        filled = [found.filled(len(part), size) for part in parts]
        assert all(len(part) <= length for part, length in zip(parts, filled, strict=True))
        assert 0 <= sum(filled) - sum(map(len, parts)) < short
        lengths |= set(filled)
    assert lengths <= {short, size} and short <= max(1, size / 3)
    one = tiling(centres, 0, (200, 200), 32, 999)
    assert [len(part) for part in one.parts(np.arange(5), 3)[0][1]] == [3, 2]
    assert one.filled(2, 3) == 3, "one tile: one program"


# Only TensorFlow hands XLA the start of a slice as a constant: JAX traces it as data, and PyTorch
# compiles nothing, so that there is no program whose parameters could be looked at.
@pytest.mark.skipif(backend.name() != "tensorflow", reason="looks at a program of TensorFlow's XLA")
@pytest.mark.parametrize("layers", [(), (2,)])
def test_the_next_tile_compiles_nothing_new(layers: tuple[int, ...]) -> None:
    """With `tf.slice` XLA took the place of a window for a constant: a second for each tile."""
    whole, part = np.ones((*layers, 9, 8), np.complex64), np.ones((*layers, 4, 5), np.complex64)
    probe, seen = np.ones((1, 4, 4), np.complex64), np.ones((4, 4), np.float32)
    low = np.array([3, 2], np.int32)
    total, found = (step.Slopes(image, image.real, probe, seen, seen) for image in (whole, part))
    for function, arguments in (
        (summing._compiled_cut((4, 5)), (whole, low)),
        (summing._compiled_add(), (total, found, low)),
    ):
        tensors = backend.tensors(arguments)
        program = function.compiled.experimental_get_compiler_ir(*tensors)(stage="hlo")
        entry = program[program.index("ENTRY") :]
        assert "s32[2]{0} parameter(" in entry, entry
    summed = backend.arrays(summing.added(*backend.tensors((total, found)), low)).object
    expected = whole.copy()
    expected[..., 3:7, 2:7] += part
    np.testing.assert_array_equal(summed, expected)


@pytest.mark.training
@pytest.mark.parametrize(
    "settings",
    [
        {"positions": "frames", "background": "rings"},
        {"kernel": "lagrange6", "opr": 1},
        {"layers": 2},
    ],
)
def test_tiles_find_what_one_tile_finds(settings: dict[str, object]) -> None:
    """Mini-batches, whole passes, a search for positions, scores: equal but for rounding."""
    thick = THICK if "layers" in settings else {}
    asked = SimulationConfig(N=32, n_frames=300, probe_diameter_px=16, step_px=6, **thick)
    scan = simulate(asked)
    found, tiles = [], []
    for side in (None, 60):
        config = RefineConfig(regularise=0.25, batch_size=50, passes=10, tile_px=side, **settings)
        engine = prepare(scan, take_over(scan, None), config)
        tiles.append(len(engine._tiling.tiles))
        assert engine.fields()[0].ndim == (3 if thick else 2)
        rng = np.random.default_rng(0)
        for number in range(5):  # on an empty object there is nothing to place a frame by
            move = config.positions != "off" and number > 1
            engine.run_pass(rng.permutation(300), 1.0, move=move)
        engine.begin_whole()
        for _ in range(6):
            told = engine.run_whole("poisson", 0.25)
        score = engine.score()
        found.append((*engine.fields(), engine.positions_px, told.residual, score.of_frames))
    assert tiles[0] == 1 and tiles[1] >= 4
    for one, many in zip(*found, strict=True):
        np.testing.assert_allclose(many, one, atol=1e-4 * np.abs(one).max())
