"""The same numbers eagerly, as a graph and under XLA, for any batch; and loud when misused."""

import keras
import numpy as np
import physics_oracle as oracle
import pytest
from keras import ops
from physics_support import BACKEND, complex_normal, gradient, numbers, tensor

from ptycho import physics
from ptycho.errors import DataError, ShapeError
from ptycho.physics import backend
from ptycho.physics.forward import loss_function

N, SIDE = 8, 14


def chain(patches, offsets, probe, counts):
    canvas, coverage = physics.merge(patches, offsets, ops.ones((N, N)), SIDE)
    frames = physics.diffract(physics.extract(canvas, offsets, N), probe, 0.1)
    return canvas, coverage, frames, physics.poisson_deviance(frames, counts)


def inputs(groups=5, frames=4, seed=0):
    rng = np.random.default_rng(seed)
    offsets = rng.uniform(-3, 3, (groups, frames, 2)).astype(np.float32)
    offsets[0, 0], offsets[0, 1] = (3, -3), (-3, 0)  # the very edge of the canvas, and integers
    patches = complex_normal(rng, groups, frames, N, N).astype(np.complex64)
    probe = complex_normal(rng, 2, N, N).astype(np.complex64)
    return patches, offsets, probe, rng.poisson(3.0, patches.shape).astype(np.float32)


@pytest.fixture(params=["graph", "xla"])
def compiled(request, monkeypatch):
    """`backend.jit` with XLA off and on; on PyTorch both run eagerly."""
    monkeypatch.setenv("USE_XLA_TRANSLATE", "1" if request.param == "xla" else "0")
    return backend.jit


def test_compiled_values_and_gradients_equal_eager_ones(compiled):
    patches, offsets, probe, counts = inputs()
    eager = chain(patches, offsets, probe, counts)
    fast = compiled(chain)(*[tensor(each) for each in inputs()])
    for a, b in zip(eager, fast, strict=True):
        np.testing.assert_allclose(numbers(a), numbers(b), rtol=2e-4, atol=2e-5)

    def loss(patches, offsets, probe):
        return chain(patches, offsets, probe, tensor(counts))[-1]

    _, expected = gradient(loss, patches, offsets, probe)
    _, got = gradient(compiled(loss), patches, offsets, probe)
    for a, b in zip(expected, got, strict=True):
        assert np.abs(a - b).max() <= 1e-4 * np.abs(a).max()


def test_compiled_stitch_and_translate_equal_the_oracle(compiled):
    rng = np.random.default_rng(3)
    patches = complex_normal(rng, 20, N, N).astype(np.complex64)
    positions = rng.uniform(4, 36, (20, 2)).astype(np.float32)
    weights = rng.uniform(0.5, 1, (N, N)).astype(np.float32)
    stitch = compiled(lambda p, at, w: physics.stitch(p, at, w, shape=(40, 40), origin_px=(0, 0)))
    found, coverage = stitch(tensor(patches), tensor(positions), tensor(weights))
    expected, expected_coverage = oracle.stitch(patches, positions, weights, (40, 40), (0, 0))
    np.testing.assert_allclose(numbers(coverage), expected_coverage, atol=1e-4)
    covered = expected_coverage > 0.05
    np.testing.assert_allclose(numbers(found)[covered], expected[covered], atol=2e-3)

    shifts = rng.uniform(-20, 20, (20, 2)).astype(np.float32)  # some leave the frame altogether
    moved = compiled(physics.translate)(tensor(patches), tensor(shifts))
    np.testing.assert_allclose(numbers(moved), oracle.translate(patches, shifts), atol=2e-5)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="USE_XLA_TRANSLATE concerns TensorFlow")
def test_the_switch_is_read_at_each_call_and_changes_the_compiler_only(monkeypatch):
    import tensorflow as tf

    under_xla = []

    def observed(images, shifts):
        under_xla.append(backend.serial_windows() or bool(tf.config.list_physical_devices("GPU")))
        return physics.translate(images, shifts)

    run = backend.jit(observed)
    images, shifts = np.ones((2, 4, 4), np.float32), np.zeros((2, 2), np.float32)
    for value in ("0", "1", "false"):
        monkeypatch.setenv("USE_XLA_TRANSLATE", value)
        np.testing.assert_array_equal(numbers(run(images, shifts)), images)
    assert under_xla == [False, True]  # the third call reuses the graph of the first


@pytest.mark.parametrize("g", [1, 2, 3])
def test_a_group_does_not_depend_on_its_batch(g):
    """B * C below, at and above 64, where the earlier package changed its algorithm."""
    frames = g * g
    patches, offsets, probe, counts = inputs(64, frames if frames > 1 else 2, seed=g)
    patches, offsets, counts = patches[:, :frames], offsets[:, :frames], counts[:, :frames]
    alone = numbers(chain(patches[:1], offsets[:1], probe, counts[:1])[2])[0]
    for groups in (8, 15, 16, 17, 32, 64):
        canvas, _, frames_of_all, _ = chain(
            patches[:groups], offsets[:groups], probe, counts[:groups]
        )
        assert canvas.shape[0] == groups
        np.testing.assert_allclose(numbers(frames_of_all)[0], alone, rtol=2e-6, atol=1e-6)


def test_a_group_does_not_depend_on_its_batch_when_compiled():
    patches, offsets, _, _ = inputs(17)
    run = backend.jit(lambda patches, offsets: physics.merge(patches, offsets, None, SIDE)[0])
    got = {n: numbers(run(tensor(patches[:n]), tensor(offsets[:n]))) for n in (15, 16, 17)}
    np.testing.assert_allclose(got[15], got[16][:15], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(got[15], got[17][:15], rtol=1e-5, atol=1e-5)


def test_no_gradient_from_one_group_to_another():
    patches, offsets, probe, _ = inputs(17)

    def third_frame_only(patches, offsets):
        canvas, _ = physics.merge(patches, offsets, None, SIDE)
        return ops.sum(physics.diffract(physics.extract(canvas, offsets, N), tensor(probe))[2])

    _, grads = gradient(third_frame_only, patches, offsets)
    for grad in grads:
        assert np.abs(grad[2]).max() > 0
        grad[2] = 0
        assert not grad.any()


def test_merge_undoes_extract_on_a_known_object():
    rng = np.random.default_rng(9)
    canvas = complex_normal(rng, 3, SIDE, SIDE)
    offsets = rng.integers(-3, 4, (3, 4, 2)).astype(float)
    merged, coverage = physics.merge(physics.extract(canvas, offsets, N), offsets, None, SIDE)
    seen = numbers(coverage) > 0
    assert seen.any()
    assert not seen.all()
    np.testing.assert_allclose(numbers(merged), np.where(seen, canvas, 0), atol=1e-6)


def test_an_asymmetric_mark_lands_where_the_convention_says():
    patch = np.zeros((1, 1, N, N))
    patch[0, 0, N // 2 + 1, N // 2 - 2] = 1  # at (1, -2) from the centre of the patch
    canvas, _ = physics.merge(patch, np.array([[[2.0, 3.0]]]), None, SIDE)
    assert np.argwhere(numbers(canvas)[0]).tolist() == [[SIDE // 2 + 3, SIDE // 2 + 1]]
    back = physics.extract(canvas, np.array([[[2.0, 3.0]]]), N)
    np.testing.assert_allclose(numbers(back), patch, atol=1e-6)
    found, _ = physics.stitch(patch[0], np.array([[7.0, 9.0]]), shape=(20, 20), origin_px=(-2, 1))
    assert np.argwhere(numbers(found)).tolist() == [[7 + 2 + 1, 9 - 1 - 2]]


def test_weights_stand_in_numerator_and_denominator():
    patches = np.stack([np.full((N, N), 1.0), np.full((N, N), 5.0)])[None]
    offsets = np.zeros((1, 2, 2))
    for weights, expected in ((None, 3.0), (np.full((1, 2, N, N), 1e9), 3.0)):
        canvas, _ = physics.merge(patches, offsets, weights, SIDE)
        np.testing.assert_allclose(numbers(canvas)[0, 3:11, 3:11], expected, rtol=1e-6)
    uneven = np.stack([np.full((N, N), 3.0), np.full((N, N), 1.0)])[None]
    canvas, coverage = physics.merge(patches, offsets, uneven, SIDE)
    np.testing.assert_allclose(numbers(canvas)[0, 3:11, 3:11], 2.0, rtol=1e-6)
    np.testing.assert_allclose(numbers(coverage)[0, 3:11, 3:11], 4.0, rtol=1e-6)
    assert not numbers(canvas)[0, :3].any()


P, O = np.ones((2, 3, N, N)), np.zeros((2, 3, 2))
REFUSALS = {
    "merge groups": (lambda: physics.merge(P, O[:1], None, SIDE), "(2, 3, 8, 8)", "(1, 3, 2)"),
    "merge frames": (lambda: physics.merge(P, O[:, :1], None, SIDE), "(2, 3, 8, 8)", "(2, 1, 2)"),
    "merge order": (lambda: physics.merge(P, O[..., 0], None, SIDE), "(2, 3)", "(B, C, 2)"),
    "merge weights": (lambda: physics.merge(P, O, np.ones((7, 7)), SIDE), "(7, 7)", "(2, 3, 8, 8)"),
    "merge weights axis": (
        lambda: physics.merge(P, O, np.ones((1, 3, N, N)), SIDE),
        "(1, 3, 8, 8)",
        "(2, 3, 8, 8)",
    ),
    "merge small canvas": (lambda: physics.merge(P, O + 4, None, SIDE), "14", "16 px"),
    "extract groups": (lambda: physics.extract(P[:1, 0], O, N), "(1, 8, 8)", "(2, 3, 2)"),
    "extract outside": (lambda: physics.extract(np.ones((2, 14, 14)), O - 3.5, N), "16", "14 px"),
    "extract oblong": (lambda: physics.extract(np.ones((2, 14, 15)), O, N), "(2, 14, 15)", "N, N"),
    "stitch count": (
        lambda: physics.stitch(P[0], O[0, :2], shape=(20, 20), origin_px=(-9, -9)),
        "(3, 8, 8)",
        "(2, 2)",
    ),
    "stitch outside": (
        lambda: physics.stitch(P[0], O[0], shape=(20, 20), origin_px=(0, 0)),
        "-4..4",
        "0..20",
    ),
    "probe size": (lambda: physics.diffract(P, np.ones((1, 6, 6))), "(1, 6, 6)", "(2, 3, 8, 8)"),
    "probe rank": (lambda: physics.diffract(P, np.ones((N, N))), "(8, 8)", "K, N, N"),
    "counts": (lambda: physics.poisson_deviance(P, P[:1]), "(2, 3, 8, 8)", "(1, 3, 8, 8)"),
    "counts rank": (lambda: physics.poisson_deviance(P, P[0]), "(2, 3, 8, 8)", "(3, 8, 8)"),
    "mask": (lambda: physics.poisson_deviance(P, P, P[:1]), "(1, 3, 8, 8)", "(2, 3, 8, 8)"),
    "mask size": (lambda: physics.poisson_deviance(P, P, np.ones((8, 1))), "(8, 1)", "(2, 3, 8"),
    "background": (
        lambda: physics.diffract(P, np.ones((1, N, N)), np.ones((N, N))),
        "background (8, 8)",
        "(2, 3, 8, 8)",
    ),
    "no frame": (lambda: physics.diffract(P[0, 0, 0], np.ones((1, N, N))), "(8,)", "N, N"),
    "counts no frame": (lambda: physics.poisson_deviance(O[0, 0], O[0, 0]), "(2,)", "N, N"),
    "origin for each": (
        lambda: physics.stitch(P[0], O[0], shape=(20, 20), origin_px=O[0]),
        "(3, 2)",
        "(row, col)",
    ),
    "shape of one side": (
        lambda: physics.stitch(P[0], O[0], shape=(20,), origin_px=(0, 0)),
        "(20,)",
        "(H, W)",
    ),
    "amplitude loss": (
        lambda: loss_function("mae")(tensor(P), tensor(P[:, :1]), np.ones((N, N))),
        "(2, 3, 8, 8)",
        "(2, 1, 8, 8)",
    ),
    "amplitude loss mask": (
        lambda: loss_function("mae")(tensor(P), tensor(P), np.ones((N, 1))),
        "(8, 8)",
        "(8, 1)",
    ),
    "offsets": (lambda: physics.canvas_size_for(O + np.nan, N), "NaN", "finite"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_does_not_fit_is_refused_by_both_shapes(case):
    call, *words = REFUSALS[case]
    with pytest.raises(ShapeError) as refusal:
        call()
    for word in words:
        assert word in str(refusal.value)


@pytest.mark.parametrize("rows", [1, 7])
def test_sums_over_rows_are_those_of_numpy(compiled, rows):
    """Of several results at once, with numbers of the rows beside their images."""
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(2, rows, 5, 6)).astype(np.float32)
    weights = rng.uniform(0.5, 2, (rows, 1, 1)).astype(np.float32)
    run = compiled(lambda *t: backend.summed(lambda w, x, y: (w * x * y, x - y), *t))
    found = run(*(tensor(each) for each in (weights, a, b)))
    np.testing.assert_allclose(numbers(found[0]), (weights * a * b).sum(0), atol=1e-5)
    np.testing.assert_allclose(numbers(found[1]), (a - b).sum(0), atol=1e-5)


@pytest.mark.skipif(BACKEND == "torch", reason="PyTorch is not traced: it raises")
def test_compiled_code_marks_a_patch_that_leaves_its_canvas(compiled):
    patches, offsets, probe, counts = inputs()
    offsets[3, 0, 0] = 3.5
    batch = [tensor(each) for each in (patches, offsets, probe, counts)]
    canvas = numbers(compiled(lambda p, o, *_: physics.merge(p, o, None, SIDE)[0])(*batch))
    assert np.isnan(canvas[3]).any()
    assert np.isfinite(np.delete(canvas, 3, axis=0)).all()


def test_canvas_size_holds_every_patch_and_no_more():
    for reach, side in ((0, 8), (0.2, 10), (3.0, 14), (3.01, 16)):
        offsets = np.array([[[reach, 0], [0, -reach]]])
        assert physics.canvas_size_for(offsets, N) == side
        physics.extract(np.ones((1, side, side)), offsets, N)
    assert physics.canvas_size_for(np.full((1, 1, 2), 3.0), N, multiple=8) == 16


def test_scaling_measures_the_counts_and_refuses_empty_ones():
    counts = np.random.default_rng(0).poisson(9.0, (50, N, N)).astype(np.uint16)
    scaling = physics.Scaling.from_counts(counts)
    assert scaling.probe_photons == pytest.approx(counts.sum() / 50)
    normalised = numbers(scaling.normalise(counts))
    assert np.sqrt(np.mean(normalised**2)) == pytest.approx(1.0, rel=1e-5)
    assert scaling.background == 1e-3
    assert physics.Scaling.from_dict(scaling.to_dict()) == scaling
    mask = np.ones((N, N), bool)
    mask[0] = False
    counts[:, 0] = 60000  # a hot row, masked
    masked = physics.Scaling.from_counts(counts, mask=mask)
    assert masked.input_rms == pytest.approx(scaling.input_rms, rel=0.02)
    with pytest.raises(DataError, match="probe_photons"):
        physics.Scaling.from_counts(np.zeros((3, N, N)))


def test_dose_scales_counts_and_leaves_the_object():
    rng = np.random.default_rng(2)
    patches, probe = complex_normal(rng, 2, 3, N, N), complex_normal(rng, 1, N, N)
    one = numbers(physics.diffract(patches, probe))
    np.testing.assert_allclose(numbers(physics.diffract(patches, 10 * probe)), 100 * one, rtol=1e-5)


def test_a_probe_held_by_a_keras_variable_receives_its_gradient():
    if BACKEND != "tensorflow":
        pytest.skip("variables are taped by each backend in its own way; fit() covers them")
    import tensorflow as tf

    probe = keras.Variable(np.ones((1, N, N)), dtype="complex64")
    with tf.GradientTape() as tape:
        total = ops.sum(physics.diffract(np.ones((2, N, N), np.complex64), probe))
    assert np.abs(tape.gradient(total, probe.value)).max() > 0
