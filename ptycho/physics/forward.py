"""From a network's answer to expected counts: the compiled half of a training step.

On a CPU the convolutions stay outside (oneDNN runs them faster than XLA) and this part is
compiled (XLA is 2-3 times faster on it); `docs/evidence/performance.md` has the figures.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ptycho.physics import backend
from ptycho.physics.checks import require_same
from ptycho.physics.diffraction import diffract
from ptycho.physics.likelihood import poisson_deviance, total
from ptycho.physics.patches import extract, merge
from ptycho.quiet import ops


@functools.cache
def canvas_correction(window: int) -> Callable[..., Any]:
    """(features (B, P, P, 5), correction (B, W, W, 2)) → canvas (B, P, P) complex, compiled.

    The correction is added to the estimate in the central W×W of the canvas.
    """

    def correct(features: Any, correction: Any) -> Any:
        size = int(features.shape[1])
        low = size // 2 - window // 2
        margin = ((0, 0), (low, size - window - low), (low, size - window - low))
        real = features[..., 0] + ops.pad(correction[..., 0], margin)
        imag = features[..., 1] + ops.pad(correction[..., 1], margin)
        return backend.joined((real, imag))

    return backend.jit(correct)


@functools.cache
def patch_merge(canvas_size: int) -> Callable[..., tuple[Any, Any]]:
    """(patches (B, N, N, 2C), offsets, weights (N, N)) → canvas (B, P, P), coverage, compiled.

    Where no patch has weight the object is vacuum (1).
    """

    def join(patches: Any, offsets: Any, weights: Any) -> tuple[Any, Any]:
        channels = int(patches.shape[-1]) // 2
        planes = ops.transpose(patches, (0, 3, 1, 2))
        complex_patches = backend.joined((planes[:, :channels], planes[:, channels:]))
        canvas, coverage = merge(complex_patches, offsets, weights, canvas_size)
        real, imag = backend.planes(canvas)
        unseen = ops.cast(ops.square(real) + ops.square(imag) == 0, "float32")
        return backend.joined((real + unseen, imag)), coverage

    return backend.jit(join)


@functools.cache
def expected_counts(N: int, *, probe_moves: bool = True) -> Callable[..., Any]:
    """(canvas (B, P, P), offsets, probe (K, N, N), background) → counts (B, C, N, N), compiled.

    Positions and background do not learn here, nor does a probe that does not move: without
    their derivatives the step takes half of the time (2.5 ms for 5 at 16 groups of 4).
    """

    def expect(canvas: Any, offsets: Any, probe: Any, background: Any) -> Any:
        offsets, background = (
            ops.stop_gradient(backend.tensor(each)) for each in (offsets, background)
        )
        if not probe_moves:
            probe = ops.stop_gradient(probe)
        return diffract(extract(canvas, offsets, N), probe, background)

    return backend.jit(expect)


@functools.cache
def loss_function(name: str) -> Callable[..., Any]:
    """(intensity, counts, mask (N, N)) → scalar, compiled: a mean over the valid pixels.

    `poisson`: half-deviance of the counts. `mae`: |√I − √y|, the amplitude loss.
    """

    def poisson(intensity: Any, counts: Any, mask: Any) -> Any:
        return poisson_deviance(intensity, ops.stop_gradient(backend.tensor(counts)), mask)

    def mae(intensity: Any, counts: Any, mask: Any) -> Any:
        rank = len(counts.shape)
        require_same("counts", counts, "intensity", intensity, rank, "compare like with like")
        require_same("one frame", counts[0, 0], "mask", mask, 2, "one mask pixel per count")
        difference = ops.abs(ops.sqrt(ops.maximum(intensity, 1e-12)) - ops.sqrt(counts))
        frames = 1.0
        for side in counts.shape[:-2]:
            frames = frames * ops.cast(ops.shape(counts)[0] if side is None else side, "float32")
        valid = backend.tensor(mask)  # PyTorch multiplies no array into a derivative
        return total(difference * valid) / (ops.sum(valid) * frames)

    return backend.jit({"poisson": poisson, "mae": mae}[name])
