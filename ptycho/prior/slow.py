"""What changes slowly in a phase: from alike places, or from counts. NumPy.

A local mean of the phase that is a little wrong costs much where the specimen's own is near 0, and
no single block tells it from noise. Where the image varies strongly (stripes, letters), places that
look alike have it in common, and what one of them has of its own is noise: the slow phase is that
of the image as its like has it (`ptycho.prior.alike`). Elsewhere it is the specimen's own, the
prior smooths it, and counts hold it better than single pixels: of what passes of the likelihood
change, octaves of 2 to 16 px come back where the image's own octave is above the usual one of the
change, which is that of noise.

A phase between two widths of a Gaussian is that of the one mean times the other's conjugate, so
that nothing has to be unwrapped and dark pixels count for little.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

VARIES_PX = 2.0
"""Of the Gaussian within which an image varies."""
MUCH, STRONG = 50.0, 0.1
"""Times the mean square error of a pixel, and times the image's own square, whichever is more: of
what varies by so much, half is its like's. With many photons the first is little, and fine texture
would vary by it."""
SHARP = 4
"""With half of it they are a seventeenth, with twice as much nearly all."""
SLOW_PX = 1.5
"""Of the Gaussian: what is taken from alike places is as slow as that."""
OCTAVES_PX = (2.0, 4.0), (4.0, 8.0), (8.0, 16.0)
ABOVE = 4.0
"""Times the usual mean square of an octave of the change, from where on the image's own is more."""
BACK = 0.7
"""Of an octave comes back; the rest is noise, of which the prior's image has less."""
_MEDIAN = 0.4549
"""Of the square of a normal value of variance 1."""


def slow_phase(
    like: np.ndarray,
    image: np.ndarray,
    told: np.ndarray,
    passed: np.ndarray,
    alone: np.ndarray,
    sigma: np.ndarray,
) -> np.ndarray:
    """(H, W) float64, radians by which the phase of `told` is to be turned.

    Args:
        like: (H, W) complex, the image as alike places have it.
        image: (H, W) complex, with little noise, as a prior leaves it.
        told: (H, W) complex, the image with what counts tell of pixels.
        passed: (H, W) complex, the image after passes of the likelihood.
        alone: (H, W) in [0, 1], where alike places have not been heard.
        sigma: (H, W), √ of the mean square error that counts leave in a pixel (`noise`).
    """
    square = _around(np.abs(image) ** 2, VARIES_PX)
    varies = np.maximum(square - np.abs(_around(image, VARIES_PX)) ** 2, 0)
    ratio = varies / np.maximum(MUCH * sigma**2, STRONG * square)
    common = ratio**SHARP / (1 + ratio**SHARP)
    turned = np.angle(_around(like * image.conj(), SLOW_PX))
    back = np.zeros(image.shape)
    for narrow_px, wide_px in OCTAVES_PX:
        change = _between(passed * told.conj(), narrow_px, wide_px)
        noise = max(ABOVE * float(np.median(change**2)) / _MEDIAN, np.finfo(np.float64).tiny)
        varies = _around(_between(told, narrow_px, wide_px) ** 2, wide_px)
        back += change * (1 - noise / np.maximum(varies, noise))
    return np.asarray(common * turned + (1 - common) * alone * BACK * back)


def _between(plane: np.ndarray, narrow_px: float, wide_px: float) -> np.ndarray:
    return np.asarray(np.angle(_around(plane, narrow_px) * _around(plane, wide_px).conj()))


def _around(plane: np.ndarray, px: float) -> np.ndarray:
    return np.asarray(ndimage.gaussian_filter(plane, px, output=np.result_type(plane, np.float64)))
