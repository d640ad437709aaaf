"""What changes slowly in a phase: from alike places, or from counts. NumPy.

A local mean of the phase that is a little wrong costs much where the specimen's own is near 0, and
no single block tells it from noise. Where the image varies strongly (stripes, letters), places that
look alike have their slow phase in common, and what one of them has of its own is noise, if it is
no more than counts usually have against an image: there the slow phase is that of the image as its
like has it (`ptycho.prior.alike`). Elsewhere a slow phase belongs to its place. A prior smooths it,
and counts hold it better than single pixels: of what passes of the likelihood change, octaves of 2
to 16 px come back where the image's own octave is above the usual one of the change, which is that
of noise.

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
"""Of what varies by half of that a seventeenth is its like's, by twice as much nearly all."""
SLOW_PX, TURN_PX = 1.5, 4.0
"""Of the Gaussians: what is taken from alike places is as slow as the first, and within the second
it must be no larger than changes are."""
OCTAVES_PX = (2.0, 4.0), (4.0, 8.0), (8.0, 16.0)
ABOVE = 4.0
"""Times the usual mean square of a change: what is more than that is the specimen's own."""
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
    lit: np.ndarray,
) -> np.ndarray:
    """(H, W) float64, radians by which the phase of `told` is to be turned.

    Args:
        like: (H, W) complex, the image as alike places have it.
        image: (H, W) complex, with little noise, as a prior leaves it.
        told: (H, W) complex, the image with what counts tell of pixels.
        passed: (H, W) complex, the image after passes of the likelihood.
        alone: (H, W) in [0, 1], where alike places have not been heard.
        sigma: (H, W), √ of the mean square error that counts leave in a pixel (`noise`).
        lit: (H, W) bool, where the usual change is taken.
    """
    change = passed * told.conj()
    turn = np.angle(_around(like * image.conj(), SLOW_PX))
    most = _usual(np.angle(_around(change, SLOW_PX)), lit)
    square = _around(np.abs(image) ** 2, VARIES_PX)
    varies = np.maximum(square - np.abs(_around(image, VARIES_PX)) ** 2, 0)
    common = _below(np.maximum(MUCH * sigma**2, STRONG * square), varies)
    common *= _below(_around(turn**2, TURN_PX), most)
    back = np.zeros(image.shape)
    for widths_px in OCTAVES_PX:
        octave, own = (_between(plane, *widths_px) for plane in (change, told))
        noise = _usual(octave, lit)
        back += octave * (1 - noise / np.maximum(_around(own**2, widths_px[1]), noise))
    return np.asarray(common * turn + (1 - common) * alone * BACK * back)


def _usual(change: np.ndarray, lit: np.ndarray) -> float:
    """`ABOVE` times the usual square of a change, that of noise."""
    square = float(np.median(change[lit] ** 2)) / _MEDIAN
    return max(ABOVE * square, float(np.finfo(np.float64).tiny))


def _below(value: np.ndarray, bound: np.ndarray | float) -> np.ndarray:
    """1 far below a bound, half at it, 0 far above: 1/(1 + (value/bound)^`SHARP`)."""
    share = bound / np.maximum(bound + value, np.finfo(np.float64).tiny)
    return np.asarray(share**SHARP / (share**SHARP + (1 - share) ** SHARP))


def _between(plane: np.ndarray, narrow_px: float, wide_px: float) -> np.ndarray:
    return np.asarray(np.angle(_around(plane, narrow_px) * _around(plane, wide_px).conj()))


def _around(plane: np.ndarray, px: float) -> np.ndarray:
    return np.asarray(ndimage.gaussian_filter(plane, px, output=np.result_type(plane, np.float64)))
