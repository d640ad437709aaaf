"""The earlier package's [x, y] and sign, on an asymmetric object whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from ptycho.model.factory import create_model_with_gridsize, offsets_of

N, P = 32, 48
ROWS_COLS = np.array([[[-5.0, -2.0], [4.0, -3.0], [-3.0, 1.0], [4.0, 4.0]]], np.float32)


def _earlier(offsets: np.ndarray) -> np.ndarray:
    """(B, 1, 2, C), [x, y] of centre − position, written out number by number."""
    positions = np.zeros((len(offsets), 1, 2, offsets.shape[1]), np.float32)
    for group, frames in enumerate(offsets):
        for frame, (row, col) in enumerate(frames):
            positions[group, 0, 0, frame] = -col
            positions[group, 0, 1, frame] = -row
    return positions


def _scene() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An object without symmetry, the probe, and its noiseless counts by direct NumPy."""
    rng = np.random.default_rng(3)
    smooth = np.fft.ifft2(
        np.fft.fft2(rng.normal(size=(P, P)))
        * np.exp(-400 * (np.fft.fftfreq(P)[:, None] ** 2 + np.fft.fftfreq(P) ** 2))
    ).real
    truth = np.exp(1j * smooth / smooth.std() * 0.5)
    row, col = np.indices((N, N)) - N // 2
    radius = np.hypot(row, col)
    probe = (radius < 8) * np.exp(0.06j * radius**2)
    probe = (probe * 1e4 / np.linalg.norm(probe)).astype(np.complex64)
    counts = np.zeros((1, 4, N, N))
    for frame, (r, c) in enumerate(ROWS_COLS[0].astype(int)):
        patch = truth[8 + r : 8 + r + N, 8 + c : 8 + c + N]
        counts[0, frame] = np.abs(np.fft.fftshift(np.fft.fft2(patch * probe, norm="ortho"))) ** 2
    return truth[8 : 8 + N, 8 : 8 + N], probe, counts


def _likeness(field: np.ndarray, truth: np.ndarray) -> float:
    row, col = np.indices((N, N)) - N // 2
    lit = np.hypot(row, col) < 9
    a, b = field[lit] - field[lit].mean(), truth[lit] - truth[lit].mean()
    return float(abs(np.vdot(a, b)) / (np.linalg.norm(a) * np.linalg.norm(b)))


def test_x_is_the_column_and_the_sign_is_centre_minus_position() -> None:
    np.testing.assert_array_equal(np.asarray(offsets_of(_earlier(ROWS_COLS))), ROWS_COLS)


def test_an_asymmetric_object_comes_out_only_under_the_right_order_and_sign() -> None:
    truth, probe, counts = _scene()
    autoencoder, to_object = create_model_with_gridsize(
        2, N, probe=probe, estimate_steps=40, canvas_size=P
    )
    rms = autoencoder.pinn.scaling.input_rms
    given = (np.sqrt(counts).transpose(0, 2, 3, 1) / rms).astype(np.float32)
    right = _earlier(ROWS_COLS)
    trimmed = np.asarray(to_object.predict([given, right], verbose=0))
    assert trimmed.shape == (1, N, N, 1)
    assert _likeness(trimmed[0, ..., 0], truth) > 0.9
    again, amplitude, intensity = autoencoder.predict([given, right], verbose=0)
    np.testing.assert_allclose(np.asarray(again), trimmed, atol=1e-4)
    np.testing.assert_allclose(np.asarray(amplitude) * rms, np.sqrt(intensity), rtol=1e-3, atol=0.1)

    def misfit(positions: np.ndarray) -> float:
        intensity = np.asarray(autoencoder.predict([given, positions], verbose=0)[2])
        return float(np.mean((np.sqrt(intensity) - np.sqrt(counts.transpose(0, 2, 3, 1))) ** 2))

    best = misfit(right)
    for order in (1, -1):
        for signs in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
            wrong = right[:, :, ::order] * np.array(signs, np.float32)[None, None, :, None]
            if (order, signs) != (1, (1, 1)) and not np.array_equal(wrong, right):
                assert misfit(wrong.astype(np.float32)) > 3 * best, (order, signs)


@pytest.mark.training
def test_an_earlier_program_fits_and_predicts() -> None:
    _, probe, counts = _scene()
    autoencoder, to_object = create_model_with_gridsize(2, N, probe=probe, estimate_steps=2)
    given = np.sqrt(np.tile(counts, (4, 1, 1, 1))).transpose(0, 2, 3, 1)
    given = (given / autoencoder.pinn.scaling.input_rms).astype(np.float32)
    positions = np.tile(_earlier(ROWS_COLS), (4, 1, 1, 1))
    autoencoder.compile("adam")
    history = autoencoder.fit([given, positions], batch_size=2, epochs=2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    out = np.asarray(to_object.predict([given, positions], batch_size=2, verbose=0))
    assert out.shape == (4, N, N, 1)
    assert out.dtype == np.complex64


def test_positions_of_another_batch_are_refused_by_both_shapes() -> None:
    from ptycho.errors import ShapeError

    _, probe, counts = _scene()
    _, to_object = create_model_with_gridsize(2, N, probe=probe, estimate_steps=2, canvas_size=P)
    given = np.tile(np.sqrt(counts).transpose(0, 2, 3, 1), (4, 1, 1, 1)).astype(np.float32)
    with pytest.raises(ShapeError, match=r"\(4, [\s\S]*\(1, 4, 2\)"):
        to_object([given, _earlier(ROWS_COLS)])
