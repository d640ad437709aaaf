"""What the counts of a scan tell of an image, apart from noise. NumPy."""

from __future__ import annotations

import numpy as np

from ptycho.prior.alike import heard_together
from ptycho.prior.edges import heard_at_edges
from ptycho.prior.features import box, lit, noise
from ptycho.prior.slow import slow_phase

ALONE = 0.3
"""Share of a block's variance that is not in its like, from where on an edge is heard by itself;
one that has its like has been heard with them, which brings less noise in."""

TOO_MUCH = 4.0
"""Times the mean square error that counts leave in a pixel: a usual move above it is not theirs,
but of positions, a probe or light that are not quite known, or of the prior: it counts as so much
more noise, and as such errors are slow, the slow phase is turned by so much less."""


def told_apart(moved: np.ndarray, image: np.ndarray, light: np.ndarray) -> np.ndarray:
    """(H, W) complex64: what of a move the counts tell apart from noise: in pixels, in the slow
    phase, and in the slow phase that alike places have in common (even without a move).

    Args:
        moved: (H, W) complex, what passes of the likelihood changed of the image.
        image: (H, W) complex, with little noise, as a prior leaves it.
        light: (H, W), photons that each pixel saw. Blocks are compared where the prior answers.
    """
    seen = lit(light)
    at = box(seen)
    sigma = noise(light)
    usual = float(np.median(np.abs(moved[seen] / sigma[seen]) ** 2)) / np.log(2)  # a mean square
    excess = max(usual / TOO_MUCH, 1)
    sigma *= np.sqrt(excess)
    told, alone = np.zeros(image.shape, np.complex64), np.ones(image.shape, np.float32)
    told[at], alone[at], like = heard_together(moved[at], image[at], sigma[at])
    alone = np.minimum(alone / ALONE, 1)
    told += alone * heard_at_edges(moved - told, image, sigma, seen)
    parts = (each[at] for each in (image, image + told, image + moved, alone, sigma, seen))
    told[at] += (image + told)[at] * np.expm1(1j * slow_phase(like, *parts) / excess)
    return told
