"""One scan, one kernel, five tellers: refinement, estimate, model, simulator, oracle agree."""

import numpy as np
import physics_oracle as oracle
import pytest
from keras import ops
from physics_support import complex_normal, gradient, numbers, real_part_of_product

from ptycho import physics
from ptycho.physics import backend
from ptycho.physics.estimate import _pull
from ptycho.physics.translation import place, slopes, window
from ptycho.refinement import step
from ptycho.simulation.make import _intensity

N, FRAMES, MODES, BACKGROUND = 16, 7, 2, 0.3
KERNELS = list(physics.KERNELS)


@pytest.fixture(scope="module")
def scene():
    rng = np.random.default_rng(5)
    truth = 1 + 0.3 * complex_normal(rng, 48, 48)
    row, col = np.indices((N, N)) - N / 2
    probe = 9 * np.exp(-(row**2 + col**2) / 20) * (1 + 0.2 * complex_normal(rng, MODES, N, N))
    offsets = rng.uniform(-8, 8, (FRAMES, 2)).astype(np.float32)
    offsets[0] = np.round(offsets[0])
    return truth.astype(np.complex64), probe.astype(np.complex64), offsets


def close(found, expected):
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("kernel", KERNELS)
def test_five_tellers_of_one_scan_agree(scene, kernel):
    truth, probe, offsets = scene
    patches = oracle.extract(truth[None], offsets[None], N, kernel)[0]
    expected = oracle.diffract(patches, probe, BACKGROUND)
    corners = offsets + np.float32(24 - N // 2)

    simulated = _intensity(truth.astype(complex), probe, corners.astype(float), kernel)
    close(simulated + BACKGROUND, expected)

    read = physics.extract(truth[None], offsets[None], N, kernel=kernel)
    close(numbers(physics.diffract(read, probe, BACKGROUND))[0], expected)

    blank = np.zeros((FRAMES, N, N), np.float32)
    ones = np.ones(FRAMES, np.float32)
    batch = step.Batch(*map(backend.tensor, (blank, corners, ones)))
    detector = step.Detector(
        *map(backend.tensor, (np.ones((N, N), np.float32), np.full((N, N), np.float32(BACKGROUND))))
    )
    fields = backend.tensor(truth), backend.tensor(probe)
    close(numbers(step.intensity(*fields, batch, detector, kernel)), expected)

    # The estimate's model shows in its slope, which is nothing where the model equals the counts.
    amplitude = np.fft.ifftshift(np.sqrt(expected), axes=(-2, -1)).astype(np.float32)
    valid = backend.tensor(np.ones((N, N), np.float32))
    arguments = (backend.tensor(probe), backend.tensor(amplitude[None]), valid, BACKGROUND)
    nothing = numbers(_pull(read, *arguments))
    something = numbers(_pull(read * 1.1, *arguments))
    assert np.abs(nothing).max() < 1e-4 * np.abs(something).max()


def test_the_model_of_training_is_the_same_one(scene):
    from ptycho.model import PtychoPINN

    truth, probe, offsets = scene
    scaling = physics.Scaling(float(np.sum(np.abs(probe) ** 2)), 1.0, BACKGROUND)
    model = PtychoPINN(N, 2, probe, scaling, canvas_size=48)
    some = offsets[None, :4]
    expected = oracle.diffract(oracle.extract(truth[None], some, N)[0], probe, BACKGROUND)
    close(numbers(model.expected(backend.tensor(truth[None]), backend.tensor(some)))[0], expected)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("inside", [True, False])
def test_place_is_the_adjoint_of_window(kernel, inside):
    rng = np.random.default_rng(1)
    canvas, patches = complex_normal(rng, 2, 20, 21), complex_normal(rng, 2, 3, 8, 8)
    corners = rng.uniform(0, 12, (2, 3, 2)) if inside else rng.uniform(-9, 22, (2, 3, 2))
    for compiled in (lambda f: f, backend.jit):
        read = compiled(lambda x, at: window(x, at, (8, 8), inside=inside, kernel=kernel))
        add = compiled(lambda y, at: place(y, at, (20, 21), inside=inside, kernel=kernel))
        canvas32, patches32 = canvas.astype(np.complex64), patches.astype(np.complex64)
        at = backend.tensor(corners.astype(np.float32))
        forward = numbers(read(backend.tensor(canvas32), at))
        back = numbers(add(backend.tensor(patches32), at))
        left, right = np.vdot(patches32, forward), np.vdot(back, canvas32)
        assert abs(left - right) <= 1e-5 * np.linalg.norm(forward) * np.linalg.norm(patches32)
        dense = np.stack(
            [
                [
                    oracle.reading(8, 20, r, kernel) @ x @ oracle.reading(8, 21, c, kernel).T
                    for r, c in own
                ]
                for x, own in zip(canvas, corners, strict=True)
            ]
        )
        np.testing.assert_allclose(forward, dense, atol=3e-5)


@pytest.mark.parametrize("kernel", KERNELS)
def test_slopes_and_gradients_by_corner(kernel):
    rng = np.random.default_rng(2)
    canvas, corners = complex_normal(rng, 1, 20, 20), rng.uniform(1.1, 9.9, (1, 4, 2))
    corners += 0.1 - np.minimum(corners % 1, 0.1)
    weight = complex_normal(rng, 1, 4, 8, 8)

    def read(at):
        return numbers(window(backend.tensor(canvas), backend.tensor(at), (8, 8), kernel=kernel))

    by_axis = slopes(backend.tensor(canvas), backend.tensor(corners), (8, 8), kernel=kernel)
    _, (by_corner,) = gradient(
        lambda at: real_part_of_product(
            weight, window(ops.convert_to_tensor(canvas), at, (8, 8), kernel=kernel)
        ),
        corners,
    )
    h = 1e-6 if numbers(by_axis[0]).dtype == np.complex128 else 1e-3
    for axis in (0, 1):
        shift = np.eye(2)[axis] * h
        numeric = (read(corners + shift) - read(corners - shift)) / (2 * h)
        scale = np.abs(numeric).max()
        np.testing.assert_allclose(numbers(by_axis[axis]), numeric, atol=1e-3 * scale)
        expected = np.sum(np.real(np.conj(weight) * numeric), axis=(-2, -1))
        np.testing.assert_allclose(by_corner[..., axis], expected, atol=2e-3 * scale * 8)
