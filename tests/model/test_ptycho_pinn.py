"""The model: batch invariance, doses side by side, weights that are weights, dose gauge, seeds."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from ptycho.errors import CollapseError, ModelError, ShapeError
from ptycho.model.pinn import PtychoPINN
from ptycho.physics.scaling import Scaling
from ptycho.training.collapse import check_collapse

N = 32


def _probe(photons: float = 1e4) -> np.ndarray:
    row, col = np.indices((N, N)) - N // 2
    radius = np.hypot(row, col)
    field = (radius < 7) * np.exp(0.05j * radius**2)
    return (field * np.sqrt(photons / np.sum(np.abs(field) ** 2))).astype(np.complex64)


def _model(gridsize: int = 2, photons: float = 1e4, **options: Any) -> PtychoPINN:
    scaling = Scaling(photons, float(np.sqrt(photons)) / N)
    options = {"canvas_size": N + 12, "estimate_steps": 2, "seed": 1} | options
    model = PtychoPINN(N, gridsize, _probe(photons), scaling, **options)
    if model.sight.estimates:  # its head starts at zero: give it something to say
        head = model.network.weights[-2]
        head.assign(np.random.default_rng(0).normal(0, 0.05, head.shape))
    return model


def _data(count: int, gridsize: int = 2, photons: float = 1e4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    rate = rng.gamma(1.0, photons / N**2, (65, gridsize**2, N, N))
    offsets = rng.uniform(-4, 4, (65, gridsize**2, 2))
    offsets -= offsets.mean(axis=1, keepdims=True)
    counts = rng.poisson(rate).astype(np.float32)
    return counts[:count], offsets[:count].astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "gridsize", "batches"),
    [
        ("default", 1, (63, 64, 65)),
        ("default", 2, (15, 16, 17)),
        ("default", 3, (7, 8)),
        ("cnn", 2, (15, 16, 17)),
    ],
    ids=["default-1", "default-2", "default-3", "cnn-2"],
)
def test_a_group_does_not_depend_on_its_batch(
    network: str, gridsize: int, batches: tuple[int, ...]
) -> None:
    """B·C below, at and above 64: the earlier package summed all groups from there on.

    The largest batch is what the others are held against: each size is a program to compile.
    """
    model = _model(gridsize, network=network)
    counts, offsets = _data(batches[-1], gridsize)
    whole, coverage = model.predict_objects(counts, offsets)
    assert whole.shape == (batches[-1], N + 12, N + 12)
    for batch in batches[:-1]:
        part, cover = model.predict_objects(counts[:batch], offsets[:batch])
        np.testing.assert_allclose(part, whole[:batch], atol=2e-4)
        np.testing.assert_allclose(cover, coverage[:batch], atol=1e-3 * coverage.max())
    other = counts.copy()
    other[1:] = 3.0 * other[1:][::-1]
    changed, _ = model.predict_objects(other, offsets)
    np.testing.assert_allclose(changed[0], whole[0], atol=2e-4)
    assert np.abs(changed[1] - whole[1]).max() > 1e-2


@pytest.mark.parametrize("network", ["default", "cnn"])
def test_no_gradient_from_one_group_to_another(network: str) -> None:
    """By what the network is fed; nothing is differentiated through the default's estimates."""
    if keras.backend.backend() != "tensorflow":
        pytest.skip("uses TensorFlow's tape")
    import tensorflow as tf

    trained = _model(network=network).network
    shape = (17, *(size or N for size in trained.input_shape[1:]))
    fed = tf.constant(np.random.default_rng(5).normal(size=shape), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(fed)
        first = tf.reduce_sum(trained(fed)[3] ** 2)
    slope = np.abs(tape.gradient(first, fed).numpy()).sum(axis=(1, 2, 3))
    assert slope[3] > 0
    assert np.delete(slope, 3).max() == 0


def test_two_doses_in_one_process_do_not_interact() -> None:
    alone = _model(photons=1e4).predict_objects(*_data(4))[0]
    strong = _model(photons=1e8)
    weak = _model(photons=1e4)
    strong.predict_objects(*_data(4, photons=1e8))
    np.testing.assert_array_equal(weak.predict_objects(*_data(4))[0], alone)
    assert strong.scaling.probe_photons == 1e8 and weak.scaling.probe_photons == 1e4


@pytest.mark.parametrize("network", ["default", "cnn"])
def test_dose_gauge(network: str) -> None:
    """Counts and |probe|² times k: the same object."""
    # Bright frames, because the constant background of 1e-3 counts does not scale.
    counts, offsets = _data(4, photons=1e8)
    k = 64.0
    weak = _model(photons=1e8, network=network).predict_objects(counts, offsets)[0]
    strong = _model(photons=1e8 * k, network=network).predict_objects(counts * k, offsets)[0]
    np.testing.assert_allclose(strong, weak, atol=5e-3)


def test_a_model_meets_another_dose_through_the_probe() -> None:
    counts, offsets = _data(4, photons=1e8)
    for network in ("default", "cnn"):
        model = _model(network=network, photons=1e8)
        own = model.predict_objects(counts, offsets)[0]
        other = model.predict_objects(9 * counts, offsets, probe=3 * _probe(1e8))[0]
        np.testing.assert_allclose(other, own, atol=5e-3)


@pytest.mark.training
def test_probe_and_scale_are_weights_that_train() -> None:
    model = _model(probe_trainable=True, scale_trainable=True)
    names = [weight.name for weight in model.trainable_variables]
    assert "probe" in names and "log_scale" in names
    before = [weight.numpy() for weight in (model.probe_weight, model.log_scale)]
    model.compile(keras.optimizers.Adam(1e-2))
    counts, offsets = _data(4)
    model.train_on_batch((counts, offsets), 1.3 * counts)
    assert np.abs(model.probe_weight.numpy() - before[0]).max() > 1e-4
    assert abs(float(model.log_scale.numpy()) - float(before[1])) > 1e-4
    fixed = _model()
    frozen = {weight.name for weight in fixed.trainable_variables}
    assert "probe" not in frozen and "log_scale" not in frozen
    assert {"probe", "log_scale"} <= {weight.name for weight in fixed.weights}


def test_seeds_decide_the_weights() -> None:
    first, same, other = (_model(network="cnn", seed=seed).get_weights() for seed in (4, 4, 5))
    assert all(np.array_equal(a, b) for a, b in zip(first, same, strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(first, other, strict=True))


@pytest.mark.training
@pytest.mark.parametrize("network", ["default", "cnn"])
def test_training_lowers_the_loss(network: str) -> None:
    model = _model(network=network)
    model.compile(keras.optimizers.Adam(1e-3))
    counts, offsets = _data(8)
    losses = [float(model.train_on_batch((counts, offsets), counts)) for _ in range(2)]
    model.reset_metrics()
    for _ in range(10):
        model.train_on_batch((counts, offsets), counts)
    model.reset_metrics()
    assert float(model.test_on_batch((counts, offsets), counts)) < losses[0]


@pytest.mark.training
def test_keras_fit_and_predict_work_as_in_any_keras_program() -> None:
    model = _model(canvas_size=None)
    model.compile(keras.optimizers.Adam(1e-3))
    counts, offsets = _data(8)
    inputs = {"counts": counts, "offsets": offsets}
    history = model.fit(inputs, counts, batch_size=4, epochs=2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    assert model.predict(inputs, batch_size=4, verbose=0).shape == counts.shape
    assert model.canvas_size is not None and model.canvas_size >= N + 2 * np.abs(offsets).max()


def test_the_canvas_grows_with_the_offsets_and_is_refused_when_unknown() -> None:
    model = _model(canvas_size=None)
    counts, offsets = _data(2)
    with pytest.raises(ModelError, match="fit_canvas"):
        model.require_canvas()
    small = model.predict_objects(counts, offsets)[0].shape[-1]
    assert model.predict_objects(counts, 3 * offsets)[0].shape[-1] > small


def test_inputs_that_do_not_fit_name_both_shapes() -> None:
    counts, offsets = _data(2)
    with pytest.raises(ShapeError, match=r"4, 32, 32[\s\S]*\(2, 3, 32, 32\)"):
        _model().predict_objects(counts[:, :3], offsets)
    for refuse in (_model().predict_objects, lambda *pair: _model()(pair)):
        with pytest.raises(ShapeError, match=r"\(2, 4, 32, 32\)[\s\S]*\(1, 4, 2\)"):
            refuse(counts, offsets[:1])
    with pytest.raises(ShapeError, match="probe"):
        PtychoPINN(N, 2, np.ones((1, 16, 16), complex), Scaling(1.0, 1.0))
    with pytest.raises(ShapeError, match="mask"):
        _model(mask=np.ones((3, 3), bool))


def test_masked_pixels_do_not_matter() -> None:
    mask = np.ones((N, N), bool)
    mask[:, 5] = False
    counts, offsets = _data(3)
    wrong = counts.copy()
    wrong[..., 5] = 1e6
    for network in ("default", "cnn"):
        model = _model(mask=mask, network=network)
        seen = [model.predict_objects(frames, offsets)[0] for frames in (counts, wrong)]
        np.testing.assert_allclose(seen[0], seen[1], atol=1e-5)


def test_collapse_is_an_error() -> None:
    rng = np.random.default_rng(0)
    reference = rng.normal(1, 0.2, (3, 20, 20)) * np.exp(1j * rng.normal(0, 0.3, (3, 20, 20)))
    weights = np.ones((3, 20, 20))
    assert check_collapse(reference, reference, weights) == pytest.approx(1.0)
    flat = np.full_like(reference, 0.9) + 0.01 * (reference - reference.mean())
    with pytest.raises(CollapseError, match="constant"):
        check_collapse(flat, reference, weights)


@pytest.mark.parametrize("policy", ["mixed_float16", "float64"])
@pytest.mark.parametrize("network", ["default", "cnn"])
def test_a_program_with_another_dtype_policy_gets_the_same_model(network: str, policy: str) -> None:
    """Photons do not fit into half precision; the policy of other models stays theirs."""
    from ptycho.model import create_model_with_gridsize

    counts, offsets = _data(8, photons=1e7)
    plain = _model(photons=1e7, network=network).predict_objects(counts, offsets)[0]
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = _model(photons=1e7, network=network)
        assert keras.config.dtype_policy().name == policy
        np.testing.assert_array_equal(model.predict_objects(counts, offsets)[0], plain)
        model.compile("adam")
        assert np.isfinite(model.train_on_batch((counts, offsets), counts))
        both, to_object = create_model_with_gridsize(2, N, network=network, estimate_steps=2)
        assert both.compute_dtype == to_object.compute_dtype == "float32"
    finally:
        keras.config.set_dtype_policy(before)
