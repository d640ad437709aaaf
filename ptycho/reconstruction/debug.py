"""What passed through a reconstruction, in files (`ptycho reconstruct --debug-dump DIR`).

The first batch of groups goes through the same steps again, and every value on the way is written:
frames, the physics estimate, canvases, patches, expected counts. Offsets are those of all groups.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ptycho.config import BACKGROUND_FLOOR, ReconstructConfig
from ptycho.reconstruction.predict import _choose_probe, _groups, _model, _predictor
from ptycho.report import debug_dump
from ptycho.result import Reconstruction

if TYPE_CHECKING:
    from ptycho.scan import Scan


def dump_reconstruction(
    model_or_run: Any,
    scan: Scan,
    rec: Reconstruction,
    folder: str | Path,
    *,
    untrained: Any = None,
    config: ReconstructConfig | None = None,
) -> list[Path]:
    """Write `stats.json`, `offsets.json`, `canvas.json`, PNG grids and `artifact_inventory.txt`.

    Args:
        model_or_run, scan, untrained, config: as given to `reconstruct`.
        rec: what it answered.
        folder: made if missing; files of an earlier dump are overwritten.

    Returns:
        The files, the inventory last.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    first = _first_groups(model_or_run, scan, untrained, config or ReconstructConfig())
    taps = _taps(first, scan, rec)
    offsets = first["all_offsets"]
    paths = [
        debug_dump.write_stats(folder / "stats.json", taps),
        debug_dump.write_offsets(folder / "offsets.json", offsets),
        debug_dump.write_canvas(
            folder / "canvas.json",
            patch_size=scan.N,
            canvas_size=first["canvas"].shape[-1],
            offsets=offsets,
            object_shape=list(rec.object.shape),
            origin_px=list(rec.origin_px),
        ),
    ]
    measured, expected = (np.log10(1 + taps[name]) for name in ("counts", "expected_counts"))
    grids = {
        "pred_patches_amp_grid.png": (taps["patch_amplitude"], "patches, amplitude", "magma"),
        "pred_patches_phase_grid.png": (taps["patch_phase_rad"], "patches, phase", "twilight"),
        "frames_measured_grid.png": (measured, "log10(1 + measured counts)", "magma"),
        "frames_expected_grid.png": (expected, "log10(1 + expected counts)", "magma"),
    }
    for name, (images, title, cmap) in grids.items():
        paths.append(debug_dump.patch_grid_png(folder / name, images, title, cmap=cmap))
    return [*paths, debug_dump.write_inventory(folder)]


def _first_groups(
    model_or_run: Any, scan: Scan, untrained: Any, config: ReconstructConfig
) -> dict[str, Any]:
    """The first batch of groups, its canvases, and the offsets of all groups."""
    model, _ = _model(model_or_run, untrained)
    probe = _choose_probe(model, scan, config)
    groups = _groups(model, scan, config)
    predict, _ = _predictor(model, scan, groups, probe, untrained)
    members = groups.indices[: config.batch_size]
    offsets = groups.offsets_px[: config.batch_size]
    counts = scan.even_frames(members.ravel()).reshape(*members.shape, scan.N, scan.N)
    canvas, coverage = predict(counts, offsets.astype(np.float32))
    found = {
        "counts": counts,
        "offsets": offsets,
        "canvas": np.asarray(canvas, np.complex64),
        "coverage": np.asarray(coverage, np.float32),
        "probe": probe,
        "all_offsets": groups.offsets_px,
    }
    if model is not None and model.sight.estimates:
        detector = model.detector(scan.mask, float(scan.background))
        estimate = model.features(counts, offsets.astype(np.float32), probe, detector)
        found["estimate"] = np.asarray(estimate)
    return found


def _taps(first: dict[str, Any], scan: Scan, rec: Reconstruction) -> dict[str, Any]:
    """The values by name, in the order in which they came to be."""
    from ptycho.physics import backend, diffract, extract

    canvas, probe = first["canvas"], first["probe"]
    offsets = first["offsets"].astype(np.float32)
    patches = np.asarray(backend.concrete(extract(canvas, offsets, scan.N)))
    power = np.asarray(backend.concrete(diffract(patches, probe)))
    expected = power + max(float(scan.background), BACKGROUND_FLOOR)
    valid = np.ones((scan.N, scan.N), bool) if scan.mask is None else scan.mask
    roots = np.sqrt(first["counts"])[..., valid]
    error = np.abs(np.sqrt(expected)[..., valid] - roots).sum()
    taps = {name: first[name] for name in ("counts", "offsets", "estimate") if name in first}
    return taps | {
        "canvas": canvas,
        "canvas_coverage": first["coverage"],
        "patch_amplitude": np.abs(patches),
        "patch_phase_rad": np.angle(patches),
        "probe": probe,
        "expected_counts": expected,
        "residual_of_these_groups": {"value": float(error / max(roots.sum(), 1e-30))},
        "canvas_amplitude": np.abs(rec.object),
        "object": rec.object,
        "object_coverage": rec.coverage,
    }
