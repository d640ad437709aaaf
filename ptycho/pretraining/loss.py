"""What the prior's training makes small, relative to the input's own, crop by crop.

- 0.2 of it: 0.9·L1 of the error without its mean over 9×9 pixels and 0.1·L1 of the error itself.
- 0.5: 1 − SSIM (Wang et al. 2004; means over 7×7 pixels, constants (0.01·L)² and (0.03·L)² with L
  the target's range), of the amplitude and of the phase in equal parts, the phase counted from the
  least one of the target's: that of an empty field, where the eye and SSIM see every wave. L1 alone
  flattens texture of which it is not sure: fine spokes and random fields then lose likeness.
- 0.3: how badly the image explains counts, the root of the half-deviance a pixel that it adds to
  the target's own where it is expected, Σ(m − y + y·ln(y/m)) with m and y the intensities of image
  and target (Kullback and Leibler 1951), under a disk with a curved phase on each 48×48 part, with
  a tenth of the light and a dark count of 0.02. The other two forgive an edge that is too soft;
  counts at high angles do not.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ptycho.prior import ANSWER
from ptycho.quiet import ops

HIGH_PASS_PX, WINDOW_PX = 9, 7
LEAST_RANGE = 0.1
"""L of an even field, in the gauge of the network."""
EVEN = 0.02
"""Added to 1 − SSIM above and below, or crops that are nearly right already would decide."""
WEIGHTS = 0.2, 0.5, 0.3
PART_PX, BEAM_PX, BEND_RAD = 48, 36.0, 4.0
"""Sides of the parts that a disk of this diameter lights, and its phase at the edge."""
SHARE, DARK, EVEN_DEVIANCE = 0.1, 0.02, 1e-4
"""Of the light in one frame; photons a pixel of the detector; the same as `EVEN` for deviances."""


def relative_loss(wanted: Any, answer: Any) -> Any:
    """Mean over the crops of (loss of the corrected image / loss of the input).

    Args:
        wanted: (B, H, W, 6): target − image, re and im; the unit of the answer; 1 where it counts;
            the image, re and im. H and W are `PART_PX` or more.
        answer: (B, H, W, 2).

    Returns:
        scalar; 1 for an answer of nothing.
    """
    step, unit, counts, image = wanted[..., :2], wanted[..., 2:3], wanted[..., 3:4], wanted[..., 4:]
    left = (answer * unit - step) * counts
    error = ops.mean(_size(left) / (_size(step * counts) + 1e-6))
    # What does not count is some number: the phase of 0 has no derivative.
    target, before, after = (
        ops.where(counts > 0, each, 1.0) for each in (image + step, image, image + answer * unit)
    )
    unlike = [
        (first + EVEN) / (second + EVEN)
        for first, second in zip(
            _unlikeness(after, target, counts), _unlikeness(before, target, counts), strict=True
        )
    ]
    light = counts / (4 * (unit / ANSWER) ** 4)
    seen, own, drawn = (each * counts for each in (image + answer * unit, image, image + step))
    strange = [_strangeness(each, drawn, light) + EVEN_DEVIANCE for each in (seen, own)]
    ratios = 0.5 * ops.mean(unlike[0] + unlike[1]), ops.mean(ops.sqrt(strange[0] / strange[1]))
    return sum(weight * part for weight, part in zip(WEIGHTS, (error, *ratios), strict=True))


def _size(error: Any) -> Any:
    """(B,): 0.9·L1 of the error without its local mean, and 0.1·L1 of the error."""
    local = ops.average_pool(error, HIGH_PASS_PX, strides=1, padding="same")
    return ops.mean(0.9 * ops.abs(error - local) + 0.1 * ops.abs(error), axis=(1, 2, 3))


def _unlikeness(image: Any, target: Any, counts: Any) -> tuple[Any, Any]:
    """1 − SSIM of amplitude and phase, (B,) each.

    The image's phase is the target's plus the difference; both are counted from the least one of
    the target's.
    """
    re, im = image[..., :1], image[..., 1:]
    own_re, own_im = target[..., :1], target[..., 1:]
    ahead = ops.arctan2(im * own_re - re * own_im, re * own_re + im * own_im)
    phase = ops.arctan2(own_im, own_re)
    phase = phase - ops.min(ops.where(counts > 0, phase, 4.0), axis=(1, 2, 3), keepdims=True)
    size, own_size = (ops.sqrt(a * a + b * b + 1e-6) for a, b in ((re, im), (own_re, own_im)))
    return 1 - ssim(size, own_size, counts), 1 - ssim(phase + ahead, phase, counts)


def ssim(image: Any, target: Any, counts: Any) -> Any:
    """(B,) mean structural similarity of (B, H, W, 1) images where `counts` is 1."""
    axes = (1, 2, 3)
    high = ops.max(ops.where(counts > 0, target, -1e3), axis=axes, keepdims=True)
    low = ops.min(ops.where(counts > 0, target, 1e3), axis=axes, keepdims=True)
    reach = ops.maximum(high - low, LEAST_RANGE)
    share = ops.average_pool(counts, WINDOW_PX, strides=1, padding="same") + 1e-6

    def mean(values: Any) -> Any:
        return ops.average_pool(values * counts, WINDOW_PX, strides=1, padding="same") / share

    first, second = mean(image), mean(target)
    spread = mean(image * image) - first * first + mean(target * target) - second * second
    both = mean(image * target) - first * second
    a, b = (0.01 * reach) ** 2, (0.03 * reach) ** 2
    alike = (2 * first * second + a) * (2 * both + b)
    alike = alike / ((first * first + second * second + a) * (spread + b))
    return ops.sum(alike * counts, axis=axes) / (ops.sum(counts, axis=axes) + 1e-6)


def _strangeness(image: Any, target: Any, light: Any) -> Any:
    """(B,) half-deviance a pixel of counts that the image adds to the target's own."""
    photons = SHARE * ops.mean(_parts(light[..., 0]), axis=(3, 4), keepdims=True)
    mine, own = (DARK + photons * _intensity(each) for each in (image, target))
    return ops.mean(mine - own + own * ops.log(own / mine), axis=(1, 2, 3, 4))


def _intensity(image: Any) -> Any:
    """(B, rows, cols, 48, 48) far field of each part under the disk; one photon a pixel of it."""
    beam = _beam()
    re, im = (_parts(image[..., part]) for part in range(2))
    fields = re * beam.real - im * beam.imag, re * beam.imag + im * beam.real
    re, im = ops.fft2(fields)
    return (re * re + im * im) / PART_PX**2


def _parts(planes: Any) -> Any:
    """(B, H, W) → (B, rows, cols, 48, 48); what is left over at the border is left out."""
    height, width = (side // PART_PX for side in planes.shape[1:])
    planes = planes[:, : height * PART_PX, : width * PART_PX]
    planes = ops.reshape(planes, (-1, height, PART_PX, width, PART_PX))
    return ops.transpose(planes, (0, 1, 3, 2, 4))


def _beam() -> np.ndarray:
    """(48, 48) complex64, a disk with a soft edge of a pixel, amplitude 1."""
    axis = np.arange(PART_PX) - (PART_PX - 1) / 2
    radius = np.hypot(axis[:, None], axis) / (BEAM_PX / 2)
    edge = 1 / (1 + np.exp(np.minimum((radius - 1) * BEAM_PX / 2, 50)))
    return np.asarray(edge * np.exp(1j * BEND_RAD * radius**2), np.complex64)
