"""Long waves of a phase, told from short ones. NumPy.

Total variation takes a share of the phase's long waves, which counts hold well: they run over so
many pixels that their noise is small. Passes of the likelihood alone bring them back, slowly.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ptycho.prior.features import LIT, usual_light

OWN_PX = 16.0
"""Of the Gaussian: waves of the phase that are longer than some five times this are taken from
passes of the likelihood alone."""


def long_waves(image: np.ndarray, other: np.ndarray, light: np.ndarray, px: float) -> np.ndarray:
    """(H, W) complex64 of size 1: times `other`, its phase has the long waves of the image's.

    exp(iφ) with φ the phase of Σ G·w·image·other*, G a Gaussian and w what the light counts
    (`counted`); noise that differs from pixel to pixel falls out of the product.

    Args:
        image, other: (H, W) complex. light: (H, W) ≥ 0.
        px: standard deviation of the Gaussian.
    """
    between = image * other.conj() * counted(light)
    re, im = (ndimage.gaussian_filter(part, px) for part in (between.real, between.imag))
    return np.asarray(np.exp(1j * np.arctan2(im, re)), np.complex64)


def counted(light: np.ndarray) -> np.ndarray:
    """(H, W): the light up to the usual, its 95 % quantile; nothing below `LIT` of that."""
    usual = usual_light(light)
    return np.asarray(np.minimum(light, usual) * (light >= LIT * usual))
