"""What a parity run leaves behind: `stats.json`, offsets, canvas, PNG grids, the inventory."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ptycho.report import patch_grid_png, write_canvas, write_inventory, write_offsets
from ptycho.studies.parity.compare import compare
from ptycho.studies.parity.taps import TAPS


def write_report(
    folder: Path, facts: dict[str, Any], workers: Mapping[str, dict[str, Any]]
) -> dict[str, Any]:
    """Compare the taps in `folder/BACKEND/taps.npz` and write everything; see `run_parity`.

    Args:
        facts: what identifies the inputs. workers: `worker.json` by backend, reference first.

    Returns:
        The content of `stats.json`.
    """
    found = {}
    for name in workers:
        with np.load(folder / name / "taps.npz", allow_pickle=False) as arrays:
            found[name] = {key: arrays[key] for key in arrays.files}
    entries, first = compare(found, TAPS)
    stats = {
        "agree": first is None,
        "first_divergent": first,
        "reference": next(iter(workers)),
        **facts,
        "difference": "max |x - reference| / max |reference| over a tap",
        "gradients_of": "the loss by all network weights, and by the canvas of each group",
        "taps": entries,
        "versions": {name: worker["versions"] for name, worker in workers.items()},
        "environment": {name: worker["environment"] for name, worker in workers.items()},
        "seconds": {name: worker["process_seconds"] for name, worker in workers.items()},
    }
    _json(folder / "stats.json", stats)
    with np.load(folder / "inputs.npz", allow_pickle=False) as arrays:
        offsets = arrays["offsets_px"]
    write_offsets(folder / "offsets.json", offsets)
    write_canvas(
        folder / "canvas.json",
        patch_size=facts["patch_size"],
        canvas_size=next(iter(workers.values()))["canvas_size"],
        offsets=offsets,
        canvas_size_by_backend={name: worker["canvas_size"] for name, worker in workers.items()},
    )
    _grids(folder, found)
    write_inventory(folder)
    return stats


def _grids(folder: Path, found: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Patches of each backend, amplitude and phase, and how far the others are from the first."""
    reference, *others = found
    for name, taps in found.items():
        patches = taps["extracted_patches"]
        patch_grid_png(
            folder / f"patches_{name}_amplitude.png", np.abs(patches), f"{name}: object, amplitude"
        )
        patch_grid_png(
            folder / f"patches_{name}_phase.png",
            np.angle(patches),
            f"{name}: object, phase in rad",
            cmap="viridis",
        )
    for name in others:
        for tap in ("extracted_patches", "rate"):
            difference = np.abs(found[name][tap] - found[reference][tap])
            patch_grid_png(
                folder / f"difference_{name}_{tap}.png",
                difference,
                f"|{name} - {reference}|, {tap}; largest {difference.max():.2g}",
                cmap="viridis",
            )


def _json(path: Path, content: Any) -> None:
    text = json.dumps(_finite(content), indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def _finite(value: Any) -> Any:
    """Infinite differences and NaN become null, as JSON demands."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
