"""`reconstruct`: from frames to one object, by a trained network or by the untrained control.

Groups pass through the model in batches, their unknown constant phases are aligned over the
overlaps (`phase_sync`), and the canvases are stitched, weighted by illumination. Memory is bounded
by the object and one batch: the canvases of a large scan wait in a temporary file.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ptycho.config import BACKGROUND_FLOOR, Progress, ReconstructConfig
from ptycho.errors import DataError, ShapeError, UsageError
from ptycho.frames import (
    FileArray,
    Groups,
    allowance_bytes,
    block_bytes,
    clean_scan,
    make_groups,
    require_canvas,
)
from ptycho.provenance import versions
from ptycho.quiet import load_tensorflow
from ptycho.reconstruction.phases import group_sync
from ptycho.result import Reconstruction
from ptycho.scan import Scan, require_far_field

if TYPE_CHECKING:
    from ptycho.model import PtychoPINN, Run
    from ptycho.physics import Steps

Predict = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
_STITCH_AT_ONCE = 256
__all__ = ["Reconstruction", "reconstruct"]


def reconstruct(
    model_or_run: PtychoPINN | Run | str | Path | None,
    scan: Scan,
    *,
    progress: Progress | None = None,
    untrained: Steps | None = None,
    config: ReconstructConfig | None = None,
) -> Reconstruction:
    """Reconstruct the object of a scan.

    Args:
        model_or_run: a model, a loaded run, or the folder of a run; None with `untrained`.
        scan: the frames; they may be of another dose than those of the training.
        progress: called as `(groups done, all groups, info)`.
        untrained: take no network but physics steps on each group, the control: K, or how many
            at each resolution, coarse to fine, as the input of the network is made.
        config: see `ReconstructConfig`.

    Returns:
        Object, coverage (photons that each pixel saw), origin, probe, and in `meta` how.

    Raises:
        NearFieldError: a scan of the near field.
        UsageError: neither a model nor `untrained`, or both. DataError, ShapeError: a scan
            without a probe, or one that does not fit the model.
    """
    from ptycho.physics import illumination

    begun = time.perf_counter()
    config = config or ReconstructConfig()
    require_far_field(scan, "the estimate of a network and of --untrained")
    load_tensorflow()
    scan = clean_scan(scan, config.clean)
    require_canvas(scan.positions_px, scan.N, scan.name)
    model, facts = _model(model_or_run, untrained)
    probe = _choose_probe(model, scan, config)
    groups = _groups(model, scan, config)
    predict, size = _predictor(model, scan, groups, probe, untrained)
    with _spool(len(groups), size, config.spool_mib) as (canvases, coverage):
        _predict_all(predict, scan, groups, config, canvases, coverage, progress)
        predicted = time.perf_counter()
        if config.align_phases:
            factors = group_sync(canvases, coverage, groups.centres_px)
        else:
            factors = np.ones(len(groups), np.complex64)
        image, weight, corner = _stitch(canvases, coverage, factors, groups.centres_px)
    light = illumination(probe, scan.positions_px, shape=image.shape, origin_px=corner)
    image, light, origin = _crop(image, light, weight, corner)
    ended = time.perf_counter()
    settings = config.model_dump(mode="json")
    meta = facts | {
        "scan": scan.name,
        "frames": scan.n_frames,
        "sanity": None if scan.sanity is None else scan.sanity.record(),
        "groups": len(groups),
        "config": settings,
        "config_hash": facts.get("config_hash", _hash(settings)),
        "versions": versions(),
        "seconds": round(ended - begun, 3),
        "seconds_predict": round(predicted - begun, 3),
        "seconds_align_and_stitch": round(ended - predicted, 3),
    }
    return Reconstruction(image, light, origin, probe, meta)


def _hash(settings: dict[str, Any]) -> str:
    """Names the settings of a reconstruction that no run stands behind."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def _model(model_or_run: Any, untrained: Steps | None) -> tuple[PtychoPINN | None, dict[str, Any]]:
    if (model_or_run is None) == (untrained is None):
        raise UsageError(
            "a reconstruction takes either a trained run or a number of untrained steps",
            expected="reconstruct(run, scan) or reconstruct(None, scan, untrained=K)",
            got="both" if model_or_run is not None else "neither",
            fix="ptycho reconstruct RUN SCAN -o OUT.h5, or --untrained K SCAN -o OUT.h5",
        )
    if untrained is not None:
        return None, {"method": "untrained", "estimate_steps": untrained}
    from ptycho.model import Run, load_run

    run = load_run(model_or_run) if isinstance(model_or_run, str | Path) else model_or_run
    facts: dict[str, Any] = {"method": "network"}
    if isinstance(run, Run):
        facts |= {"run": str(run.path), "config_hash": run.config_hash}
        run = run.model
    return run, facts | {"network": run.spec.name, "estimate_steps": run.estimate_steps}


def _choose_probe(model: PtychoPINN | None, scan: Scan, config: ReconstructConfig) -> np.ndarray:
    """The scan's probe, or the model's brought to the dose of the scan."""
    wanted = config.probe
    if wanted == "auto":
        trained = model is not None and model.probe_weight.trainable
        wanted = "model" if trained or scan.probe is None else "scan"
    if wanted == "scan" and scan.probe is not None:
        return np.asarray(scan.probe, np.complex64)
    if wanted == "scan" or model is None:
        raise DataError(
            "the scan has no probe",
            where=scan.name,
            expected="a probe (K, N, N)",
            got="none",
            fix=f"ptycho refine {scan.name} -o OUT.h5 recovers one",
        )
    probe = model.probe
    if scan.probe is not None:
        ratio = np.sum(np.abs(scan.probe) ** 2) / np.sum(np.abs(probe) ** 2)
        probe = probe * np.float32(np.sqrt(ratio))
    return probe


def _groups(model: PtychoPINN | None, scan: Scan, config: ReconstructConfig) -> Groups:
    gridsize = config.gridsize or (model.gridsize if model is not None else 2)
    if model is not None and gridsize != model.gridsize:
        raise UsageError(
            "the run was trained with groups of another size",
            where="gridsize",
            expected=model.gridsize,
            got=gridsize,
        )
    if model is not None and model.N != scan.N:
        raise ShapeError(
            "the frames do not have the size that the run was trained with",
            where=scan.name,
            expected=f"{model.N} px",
            got=f"{scan.N} px",
        )
    return make_groups(
        scan.positions_px,
        gridsize,
        neighbours=config.neighbours,
        max_distance_px=config.max_distance_px,
        rng=np.random.default_rng(config.seed),
    )


def _predictor(
    model: PtychoPINN | None,
    scan: Scan,
    groups: Groups,
    probe: np.ndarray,
    untrained: Steps | None,
) -> tuple[Predict, int]:
    """What turns (counts, offsets) into (canvas, coverage), and the side of the canvas.

    Mask and background are the scan's; where it has none, those that the run was trained with.
    """
    if model is not None:
        size = model.fit_canvas(groups.offsets_px)

        def predict(counts: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return model.predict_objects(
                counts, offsets, probe=probe, mask=scan.mask, background=float(scan.background)
            )

        return predict, size
    from ptycho.physics import canvas_multiple, canvas_size_for, group_estimate, lit_px

    assert untrained is not None
    size = canvas_size_for(groups.offsets_px, scan.N, multiple=canvas_multiple(untrained))
    lit = lit_px(probe)

    def estimate(counts: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        planes = np.asarray(
            group_estimate(
                counts,
                offsets,
                probe,
                steps=untrained,
                canvas_size=size,
                lit_px=lit,
                mask=scan.mask,
                background=max(float(scan.background), BACKGROUND_FLOOR),
            )
        )
        return planes[..., 0] + 1j * planes[..., 1], planes[..., 4]

    return estimate, size


@contextmanager
def _spool(count: int, size: int, limit_mib: int) -> Iterator[tuple[Any, Any]]:
    """Room for all canvases (complex64) and coverages (float32): memory, or a temporary file."""
    shape = (count, size, size)
    if count * size**2 * 12 <= min(limit_mib * 2**20, allowance_bytes() / 6):
        yield np.empty(shape, np.complex64), np.empty(shape, np.float32)
        return
    with tempfile.TemporaryDirectory(prefix="ptycho-") as folder:
        waiting = (
            FileArray(Path(folder) / "canvases", shape, np.complex64),
            FileArray(Path(folder) / "coverage", shape, np.float32),
        )
        try:
            yield waiting
        finally:
            for array in waiting:
                array.close()


def _predict_all(
    predict: Predict,
    scan: Scan,
    groups: Groups,
    config: ReconstructConfig,
    canvases: Any,
    coverage: Any,
    progress: Progress | None,
) -> None:
    count = len(groups)
    for first in range(0, count, config.batch_size):
        chosen = np.arange(first, min(first + config.batch_size, count))
        # Whole batches have one shape, so that nothing is compiled twice.
        padded = np.resize(chosen, config.batch_size)
        members = groups.indices[padded]
        counts = scan.even_frames(members.ravel()).reshape(*members.shape, scan.N, scan.N)
        canvas, cover = predict(counts, groups.offsets_px[padded].astype(np.float32))
        canvases[chosen], coverage[chosen] = canvas[: len(chosen)], cover[: len(chosen)]
        if progress:
            progress(int(chosen[-1]) + 1, count, {})


def _stitch(
    canvases: Any, coverage: Any, factors: np.ndarray, centres: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weighted mean of all canvases: object, summed weight, origin (row, col)."""
    from ptycho.physics import stitch

    size = canvases.shape[-1]
    origin = np.floor(centres.min(axis=0)) - size // 2 - 1
    extent = np.ceil(centres.max(axis=0)) + size // 2 + 2 - origin
    shape = (int(extent[0]), int(extent[1]))
    total, weight = np.zeros(shape, np.complex128), np.zeros(shape, np.float64)
    at_once = min(_STITCH_AT_ONCE, max(8, 4 * block_bytes() // (12 * size**2)))
    for first in range(0, len(centres), at_once):
        part = slice(first, first + at_once)
        mean, cover = stitch(
            np.asarray(canvases[part]) * factors[part, None, None],
            centres[part],
            np.asarray(coverage[part]),
            shape=shape,
            origin_px=origin,
        )
        total += np.asarray(mean) * np.asarray(cover)
        weight += np.asarray(cover)
    seen = weight > 1e-6 * weight.max()
    image = np.where(seen, total / np.where(seen, weight, 1.0), 1.0)
    return image.astype(np.complex64), np.where(seen, weight, 0.0), origin


def _crop(
    image: np.ndarray, light: np.ndarray, weight: np.ndarray, origin: np.ndarray
) -> tuple[np.ndarray, np.ndarray, tuple[float, float]]:
    """Only the part that was lit (1e-3 of the largest light)."""
    lit = (light > 1e-3 * light.max()) & (weight > 0)
    rows, cols = np.flatnonzero(lit.any(axis=1)), np.flatnonzero(lit.any(axis=0))
    box = (slice(rows[0], rows[-1] + 1), slice(cols[0], cols[-1] + 1))
    corner = (float(origin[0] + rows[0]), float(origin[1] + cols[0]))
    return image[box], np.where(lit, light, 0.0)[box].astype(np.float32), corner
