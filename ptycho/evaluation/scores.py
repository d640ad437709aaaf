"""How good is a reconstruction: against the truth, against another one, or against its own twin.

Without a truth the resolution comes from two halves of the data: either every other frame
(`frames`) or every frame with half its photons (`counts`, binomial thinning). Both halves are
refined apart with one configuration, and correlated. That is the resolution of half the dose.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from ptycho.config import Progress
from ptycho.errors import DataError, UsageError
from ptycho.evaluation.metrics import Comparison, common, compare
from ptycho.frames import clean_scan
from ptycho.refinement import RefineConfig, RefineResult, refine
from ptycho.result import Reconstruction
from ptycho.scan import Scan, Truth, same_pixel

MIN_COVERAGE = 0.25
"""Pixels with less than this share of the usual illumination do not count."""
ALIKE = 0.5
"""Correlation below which two images are hardly of one scan. (A simulated scan of 1e5 photons a
frame against itself at 100 photons: 0.63; against two others: 0.08 and 0.40.)"""
STILL_FALLING = 0.05
"""Share of its residual that a finished refinement does not lose in its last quarter."""


def evaluate(
    reconstruction: Reconstruction,
    reference: Scan | Truth | Reconstruction,
    *,
    min_coverage: float = MIN_COVERAGE,
    ramp: bool = True,
    shift: bool = True,
) -> dict[str, Any]:
    """Metrics of `reconstruction` against `reference`; see `metrics.compare` for the keys.

    `doubts`, where there are any, are sentences on what makes the numbers doubtful: images that
    are hardly alike, or whose pixels are of other sizes.

    Of thick specimens the products of the layers are compared, and `layers` holds the metrics of
    each, after a gauge of its own, where both have as many.

    Args:
        reconstruction: in the scan frame.
        reference: a truth, a scan that carries one, or another reconstruction of the same scan.
        min_coverage: share of the usual illumination below which a pixel does not count.
        ramp, shift: remove a phase ramp and a small shift; diffraction leaves both open as soon
            as the probe is recovered too.

    Raises:
        DataError: the scan has no truth.
        UsageError: no pixel in common.
    """
    return evaluate_images(
        reconstruction, reference, min_coverage=min_coverage, ramp=ramp, shift=shift
    ).metrics


def evaluate_images(
    reconstruction: Reconstruction,
    reference: Scan | Truth | Reconstruction,
    *,
    min_coverage: float = MIN_COVERAGE,
    ramp: bool = True,
    shift: bool = True,
) -> Comparison:
    """As `evaluate`, with the aligned images for a figure."""
    reference, kind = _reference(reference)
    region_b = reference.region(min_coverage) if isinstance(reference, Reconstruction) else None
    overlap = common(
        reconstruction.object,
        reconstruction.origin_px,
        reconstruction.region(min_coverage),
        reference.object,
        reference.origin_px,
        region_b,
    )
    weights = _cut(reconstruction.coverage, reconstruction.origin_px, overlap)
    result = compare(overlap.a, overlap.b, overlap.region, weights, ramp=ramp, shift=shift)
    result.metrics.update(kind=kind, min_coverage=min_coverage, origin_px=list(overlap.origin_px))
    if doubts := [
        *_other_pixels(reconstruction, reference),
        *_unlike(result.likeness(), reconstruction, reference),
    ]:
        result.metrics["doubts"] = doubts
    ours, theirs = reconstruction.each_layer(), _layers(reference)
    if ours and len(ours) == len(theirs):
        gauge: dict[str, Any] = {"min_coverage": min_coverage, "ramp": ramp, "shift": shift}
        result.metrics["layers"] = [
            evaluate_images(mine, other, **gauge).metrics
            for mine, other in zip(ours, theirs, strict=True)
        ]
    return result


def _other_pixels(rec: Reconstruction, ref: Truth | Reconstruction) -> list[str]:
    """What is said of images whose pixels are not of one size, or nothing; often none is known."""
    ours, theirs = rec.meta.get("object_pixel_m"), _pixel_m(ref)
    if ours is None or theirs is None or same_pixel(ours, theirs):
        return []
    sizes = ["{:.4g} × {:.4g} m".format(*pixel) for pixel in (ours, theirs)]
    return [
        f"pixels of {sizes[0]} were compared with pixels of {sizes[1]}, one with one: they are "
        "other places of the specimen"
    ]


def _pixel_m(ref: Truth | Reconstruction) -> Any:
    return ref.pixel_m if isinstance(ref, Truth) else ref.meta.get("object_pixel_m")


def _unlike(likeness: float, rec: Reconstruction, ref: Truth | Reconstruction) -> list[str]:
    """What is said of two images that hardly anything holds together, or nothing."""
    if not likeness < ALIKE:
        return []
    told = [r.meta.get("scan_path") for r in (rec, ref) if isinstance(r, Reconstruction)]
    paths = f"; they were made of {told[0]} and {told[1]}" if len(set(told) - {None}) == 2 else ""
    return [
        f"the images are hardly alike (correlation {likeness:.2f}, below {ALIKE:g}): "
        f"are both of one scan?{paths}"
    ]


def _unfinished(results: list[RefineResult]) -> list[str]:
    """What is said of halves that ended too early: they agree on the start that both had."""
    for number, result in enumerate(results, start=1):
        residuals = [row["residual"] for row in result.history]
        end = "what the halves agree on may be their common start: refine with more passes first"
        if len(residuals) < 2:
            return [f"half {number} had 1 pass; {end}"]
        before = residuals[max(0, 3 * len(residuals) // 4 - 1)]
        if (fell := 1 - residuals[-1] / before) > STILL_FALLING:
            return [
                f"the residual of half {number} still fell by {fell:.1%} in the last quarter of "
                f"its {len(residuals)} passes; {end}"
            ]
    return []


def _layers(reference: Truth | Reconstruction) -> list[Any]:
    """Each layer of a reference by itself."""
    if isinstance(reference, Reconstruction):
        return list(reference.each_layer())
    layers: Any = () if reference.layers is None else reference.layers
    return [Truth(layer, reference.origin_px) for layer in layers]


def _reference(
    reference: Scan | Truth | Reconstruction,
) -> tuple[Truth | Reconstruction, str]:
    if isinstance(reference, Reconstruction):
        return reference, "against"
    if isinstance(reference, Truth):
        return reference, "truth"
    if reference.truth is None:
        raise DataError(
            "this scan carries no truth to compare with",
            where=reference.name,
            expected="a simulated scan",
            got="no truth",
            fix="measured data: ptycho evaluate OUT.h5 --half-sets",
        )
    if reference.geometry is None:
        return reference.truth, "truth"
    pixel = reference.geometry.object_pixel_m(reference.N)
    return replace(reference.truth, pixel_m=pixel), "truth"


def _cut(image: np.ndarray, origin_px: tuple[float, float], overlap: Any) -> np.ndarray:
    row, col = (round(o - p) for o, p in zip(overlap.origin_px, origin_px, strict=True))
    height, width = overlap.region.shape
    return image[row : row + height, col : col + width]


@dataclass(frozen=True)
class HalfSets:
    """Two independent reconstructions of one scan and their ring correlation."""

    metrics: dict[str, Any]
    halves: tuple[Reconstruction, Reconstruction]
    comparison: Comparison


def split(
    scan: Scan, by: Literal["frames", "counts"], rng: np.random.Generator
) -> tuple[Scan, Scan]:
    """Two halves of a scan: even and odd frames, or binomially halved counts of every frame."""
    if by == "counts":
        return scan.thin(rng, 0.5)
    if by == "frames":
        if scan.n_frames < 4:
            raise UsageError("half sets need at least 4 frames", where=scan.name, got=scan.n_frames)
        every = np.arange(scan.n_frames)
        return scan.subset(every[::2]), scan.subset(every[1::2])
    raise UsageError("unknown way to halve a scan", expected="frames or counts", got=by)


def evaluate_half_sets(
    scan: Scan,
    config: RefineConfig | None = None,
    *,
    by: Literal["frames", "counts"] = "frames",
    min_coverage: float = MIN_COVERAGE,
    ramp: bool = True,
    shift: bool = True,
    progress: Progress | None = None,
) -> HalfSets:
    """Refine both halves of `scan` from scratch with `config` and correlate them.

    A time budget in `config` holds for each half; `ramp` and `shift` are of `evaluate_images`.
    `metrics["doubts"]` says where a half was not finished: both begin with the same flat image.

    Raises:
        UsageError: too few frames, or an unknown `by`.
    """
    config = config or RefineConfig()
    if config.regularise == "auto":  # a regulariser would inflate what the halves agree on
        config = config.model_copy(update={"regularise": "off"})
    scan = clean_scan(scan, config.clean)  # of half of the frames less can be told
    halves = split(scan, by, np.random.default_rng((config.seed, 2)))
    results = []
    for index, half in enumerate(halves):
        report = None
        if progress:

            def report(done: int, total: int, info: dict[str, Any], index: int = index) -> None:
                progress(index * total + done, 2 * total, {"half": index + 1, **info})

        results.append(refine(half, config=config, progress=report))
    first, second = (result.reconstruction for result in results)
    comparison = evaluate_images(first, second, min_coverage=min_coverage, ramp=ramp, shift=shift)
    comparison.metrics.update(
        kind="half-sets",
        split=by,
        residuals=[result.residual for result in results],
        deviances_per_pixel=[result.deviance_per_pixel for result in results],
        seconds=[result.seconds for result in results],
        iterations=[result.iterations for result in results],
    )
    comparison.metrics.pop("doubts", None)  # of halves so noisy that they are hardly alike
    if doubts := _unfinished(results):
        comparison.metrics["doubts"] = doubts
    return HalfSets(comparison.metrics, (first, second), comparison)
