"""Guard: translation moves each image by its own shift, the right way, borders included.

These node ids are used by name from outside. The earlier package tested shapes only, so that an
opposite direction, lost borders and offsets repeated to fit all went unnoticed.
"""

import numpy as np
import pytest

from ptycho.errors import ShapeError


def _images():
    rng = np.random.default_rng(7)
    return (rng.normal(size=(4, 6, 7)) + 1j * rng.normal(size=(4, 6, 7))).astype(np.complex64)


def _assert_values(translate):
    images = _images()
    shifts = np.array([[0, 0], [2, 1], [-1, 0], [0.25, -0.5]], np.float32)
    moved = np.asarray(translate(images, shifts))
    assert moved.shape == images.shape
    assert moved.dtype == images.dtype
    # Identity, including the last row and column.
    np.testing.assert_allclose(moved[0], images[0], atol=1e-6)
    # Direction: +2 rows, +1 column moves content down and right; what enters is zero.
    np.testing.assert_allclose(moved[1, 2:, 1:], images[1, :-2, :-1], atol=1e-6)
    assert not moved[1, :2].any()
    assert not moved[1, :, 0].any()
    # Pairing: each image by its own shift.
    np.testing.assert_allclose(moved[2, :-1], images[2, 1:], atol=1e-6)
    assert not moved[2, -1].any()
    # A fraction blends two neighbours along each axis, with zero beyond the border.
    framed = np.pad(images[3], 1)
    rows = 0.75 * framed[1:-1] + 0.25 * framed[:-2]
    expected = 0.5 * rows[:, 1:-1] + 0.5 * rows[:, 2:]
    np.testing.assert_allclose(moved[3], expected, atol=1e-6)


def _assert_refusals(translate):
    for count in (1, 2, 3, 8):  # divisors and multiples were once repeated to fit
        with pytest.raises(ShapeError) as refusal:
            translate(_images(), np.zeros((count, 2), np.float32))
        assert "(4, 6, 7)" in str(refusal.value)
        assert f"({count}, 2)" in str(refusal.value)


def test_non_xla_translation_guard(monkeypatch):
    monkeypatch.setenv("USE_XLA_TRANSLATE", "0")
    from ptycho.physics import backend, translate

    _assert_values(translate)
    _assert_refusals(translate)
    _assert_values(backend.jit(translate))
    _assert_refusals(backend.jit(translate))


def test_xla_translation_guard(monkeypatch):
    monkeypatch.setenv("USE_XLA_TRANSLATE", "1")
    from ptycho.physics import backend, translate

    compiled = backend.jit(translate)
    _assert_values(compiled)
    _assert_refusals(compiled)
    if backend.name() == "tensorflow":  # XLA is really on: it can show its program
        images, shifts = _images(), np.zeros((4, 2), np.float32)
        assert "HloModule" in compiled.compiled.experimental_get_compiler_ir(images, shifts)(
            stage="hlo"
        )
