"""What counts tell of edges, pixel by pixel. NumPy.

Where an image has an edge, a little noise is not seen, and the prior may have the edge not quite
where the counts want it. There moves of the likelihood come back, in the direction in which the
image changes: with l the image's own variance around a pixel along a direction, e the mean square
of the move there, both over σ², and n the usual e of the whole image, which is that of noise,

    l/(1 + l) · max(0, 1 − (2n/e)⁴)

of the move stays. Directions are the axes of the ellipse that the image's values around a pixel
have in the complex plane, so that an edge of the phase brings no noise into the amplitude. (The
first factor is that of a local Wiener filter: Lee, IEEE TPAMI 2, 1980; the second asks whether
there is more than noise.)
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

EDGE_PX, MOVE_PX = 1.0, 1.5
"""Of the Gaussians within which the image varies and the move is large."""
ABOVE = 2.0
"""Times the usual mean square, from where on a move is more than noise."""
SHARP = 4
"""A mean square of half as much again is a fifth noise, of twice as much nearly none."""
_MEDIAN = 0.4549
"""Of the square of a normal value of variance 1."""


def heard_at_edges(
    moved: np.ndarray, image: np.ndarray, sigma: np.ndarray, lit: np.ndarray
) -> np.ndarray:
    """(H, W) complex64: what of a move stays at the image's edges.

    Args:
        moved: (H, W) complex, what passes of the likelihood changed of the image.
        image: (H, W) complex, with little noise.
        sigma: (H, W), √ of the mean square error that counts leave in a pixel (`noise`).
        lit: (H, W) bool, where the usual move is taken.
    """
    re, im = image.real.astype(np.float64), image.imag.astype(np.float64)
    mean_re, mean_im = _around(re, EDGE_PX), _around(im, EDGE_PX)
    own = sigma.astype(np.float64) ** 2
    var_re = np.maximum(_around(re * re, EDGE_PX) - mean_re**2, 0) / own
    var_im = np.maximum(_around(im * im, EDGE_PX) - mean_im**2, 0) / own
    both = (_around(re * im, EDGE_PX) - mean_re * mean_im) / own
    middle, reach = (var_re + var_im) / 2, np.hypot((var_re - var_im) / 2, both)
    axis = np.exp(0.5j * np.arctan2(2 * both, var_re - var_im))
    turned = moved * axis.conj()
    along = turned.real * _share(turned.real, middle + reach, own, lit)
    across = turned.imag * _share(turned.imag, np.maximum(middle - reach, 0), own, lit)
    return np.asarray((along + 1j * across) * axis, np.complex64)


def _share(part: np.ndarray, varies: np.ndarray, own: np.ndarray, lit: np.ndarray) -> np.ndarray:
    square = part**2 / own
    noise = max(ABOVE * float(np.median(square[lit])) / _MEDIAN, np.finfo(np.float64).tiny)
    more = 1 - (noise / np.maximum(_around(square, MOVE_PX), noise)) ** SHARP
    return np.asarray(varies / (1 + varies) * more)


def _around(plane: np.ndarray, px: float) -> np.ndarray:
    return np.asarray(ndimage.gaussian_filter(plane, px))
