"""Float64 NumPy references for `ptycho.physics`; no code is shared with it.

Sub-pixel moves are dense matrices of the kernel as a function of the distance t, such as the hat
max(0, 1 - |t|), so there is no floor, no index arithmetic and no gather here; the likelihood comes
from SciPy.
"""

import numpy as np
from scipy.special import kl_div


def hat(t):
    return np.maximum(0.0, 1.0 - np.abs(t))


def keys(t):
    """Cubic convolution, a = -1/2 (Keys 1981, eq. 15)."""
    t = np.abs(t)
    near, far = ((1.5 * t - 2.5) * t) * t + 1, ((-0.5 * t + 2.5) * t - 4) * t + 2
    return np.where(t < 1, near, np.where(t < 2, far, 0))


def lagrange6(t):
    """Central six-point interpolation: on each of its pieces a product of five distances."""
    t = np.abs(t)
    pieces = [
        (1 - t**2) * (4 - t**2) * (3 - t) / 12,
        (1 - t) * (2 - t) * (3 - t) * (4 - t) * (1 + t) / 24,
        (1 - t) * (2 - t) * (3 - t) * (4 - t) * (5 - t) / 120,
    ]
    return np.select([t < 1, t < 2, t < 3], pieces, 0)


SHAPES = {"bilinear": hat, "cubic": keys, "lagrange6": lagrange6}


def reading(n_out, n_in, corner, kernel="bilinear"):
    """Matrix (n_out, n_in) that reads n_out samples of an n_in line from `corner` on."""
    return SHAPES[kernel](np.arange(n_out)[:, None] + corner - np.arange(n_in)[None, :])


def translate(images, shifts, kernel="bilinear"):
    out = np.zeros_like(np.asarray(images, np.complex128))
    for n, (dr, dc) in enumerate(np.asarray(shifts, np.float64)):
        h, w = images[n].shape
        out[n] = reading(h, h, -dr, kernel) @ images[n] @ reading(w, w, -dc, kernel).T
    return out


def extract(canvas, offsets, N, kernel="bilinear"):
    b, c = offsets.shape[:2]
    side = canvas.shape[-1]
    start = side // 2 - N // 2
    out = np.zeros((b, c, N, N), np.complex128)
    for i in range(b):
        for j in range(c):
            dr, dc = offsets[i, j]
            rows = reading(N, side, start + dr, kernel)
            cols = reading(N, side, start + dc, kernel)
            out[i, j] = rows @ canvas[i] @ cols.T
    return out


def merge(patches, offsets, weights, side):
    b, c, n, _ = patches.shape
    weights = np.ones(patches.shape) if weights is None else np.broadcast_to(weights, patches.shape)
    start = side // 2 - n // 2
    total = np.zeros((b, side, side), np.complex128)
    coverage = np.zeros((b, side, side))
    for i in range(b):
        for j in range(c):
            dr, dc = offsets[i, j]
            rows, cols = reading(n, side, start + dr).T, reading(n, side, start + dc).T
            total[i] += rows @ (weights[i, j] * patches[i, j]) @ cols.T
            coverage[i] += rows @ weights[i, j] @ cols.T
        seen = coverage[i] > 1e-6 * weights[i].max()
        total[i] = np.where(seen, total[i] / np.where(seen, coverage[i], 1), 0)
    return total, coverage


def stitch(patches, positions, weights, shape, origin):
    m, n, _ = patches.shape
    weights = np.ones(patches.shape) if weights is None else np.broadcast_to(weights, patches.shape)
    total, coverage = np.zeros(shape, np.complex128), np.zeros(shape)
    for k in range(m):
        r, c = np.asarray(positions[k]) - origin - n // 2
        rows, cols = reading(n, shape[0], r).T, reading(n, shape[1], c).T
        total += rows @ (weights[k] * patches[k]) @ cols.T
        coverage += rows @ weights[k] @ cols.T
    seen = coverage > 1e-6 * weights.max()
    return np.where(seen, total / np.where(seen, coverage, 1), 0), coverage


def diffract(patches, probe, background=0.0):
    out = np.zeros(patches.shape) + background
    for mode in probe:
        far = np.fft.fft2(np.asarray(patches, np.complex128) * mode, norm="ortho")
        out += np.abs(np.fft.fftshift(far, axes=(-2, -1))) ** 2
    return out


def poisson_deviance(intensity, counts, mask=None):
    """kl_div(y, I) = y log(y / I) - y + I, which is I at y = 0."""
    each = kl_div(np.asarray(counts, np.float64), np.asarray(intensity, np.float64))
    if mask is None:
        return each.mean()
    return each[np.broadcast_to(mask, each.shape).astype(bool)].mean()
