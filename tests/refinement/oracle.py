"""The refinement's formulas once more, slowly, in float64 NumPy: frame by frame, tap by tap."""

from __future__ import annotations

import numpy as np


def patch(canvas: np.ndarray, corner, fraction, N: int) -> np.ndarray:
    """Bilinear patch: four integer patches, weighted."""
    out = np.zeros((N, N), complex)
    for dr, dc, weight in taps(fraction):
        r, c = corner[0] + dr, corner[1] + dc
        out += weight * canvas[r : r + N, c : c + N]
    return out


def place(canvas: np.ndarray, values: np.ndarray, corner, fraction) -> None:
    """The adjoint of `patch`: add `values` onto `canvas`."""
    N = values.shape[-1]
    for dr, dc, weight in taps(fraction):
        r, c = corner[0] + dr, corner[1] + dc
        canvas[r : r + N, c : c + N] += weight * values


def taps(fraction):
    """(row step, column step, weight) of the four neighbours."""
    down, right = (float(v) for v in fraction)
    for dr, wr in ((0, 1 - down), (1, down)):
        for dc, wc in ((0, 1 - right), (1, right)):
            yield dr, dc, wr * wc


def far_fields(canvas, probe, corner, fraction) -> np.ndarray:
    """(K, N, N) centred unitary Fourier transforms of the exit waves."""
    waves = probe * patch(canvas, corner, fraction, probe.shape[-1])
    return np.fft.fftshift(np.fft.fft2(waves, norm="ortho"), axes=(-2, -1))


def loss(canvas, probe, corners, fractions, amplitude, dose, mask, background) -> float:
    """Σ dose·(√I − amplitude)² over valid pixels."""
    total = 0.0
    for j in range(len(corners)):
        far = far_fields(canvas, probe, corners[j], fractions[j])
        model = np.sqrt(np.sum(np.abs(far) ** 2, 0) + background)
        total += dose[j] * np.sum(mask * (model - amplitude[j]) ** 2)
    return total


def gradients(canvas, probe, corners, fractions, amplitude, dose, mask, background):
    """Wirtinger gradients of `loss` (with respect to the conjugates) and both illuminations."""
    grad_canvas = np.zeros(canvas.shape, complex)
    grad_probe = np.zeros(probe.shape, complex)
    light = np.zeros(canvas.shape)
    seen = np.zeros(probe.shape[-2:])
    for j in range(len(corners)):
        far = far_fields(canvas, probe, corners[j], fractions[j])
        model = np.sqrt(np.sum(np.abs(far) ** 2, 0) + background)
        error = dose[j] * mask * (1 - amplitude[j] / model)
        chi = np.fft.ifft2(np.fft.ifftshift(far * error, axes=(-2, -1)), norm="ortho")
        o = patch(canvas, corners[j], fractions[j], probe.shape[-1])
        place(grad_canvas, np.sum(np.conj(probe) * chi, 0), corners[j], fractions[j])
        grad_probe += np.conj(o) * chi
        place(light, dose[j] * np.sum(np.abs(probe) ** 2, 0), corners[j], fractions[j])
        seen += dose[j] * np.abs(o) ** 2
    return grad_canvas, grad_probe, light, seen
