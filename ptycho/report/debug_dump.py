"""Intermediate values in files: numbers as JSON, patches as PNG grids, and a hashed inventory.

Shared by `ptycho reconstruct --debug-dump` and `ptycho parity`. The functions write one file each
and know no model; `write_inventory` comes last. The names of files and keys are those of the
earlier package's dump, with what it lacked: shapes, phases, hashes.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ptycho.data import write_json
from ptycho.errors import ShapeError

INVENTORY = "artifact_inventory.txt"
SHOWN = 16
_COLUMNS = 4


def write_stats(path: str | Path, taps: Mapping[str, Any]) -> Path:
    """Write `stats.json`: for each tap its shape, type, statistics and the SHA-256 of its bytes.

    Args:
        path: the file.
        taps: arrays (any shape, real or complex) by name, in the order to be written; a mapping
            is written as it is (numbers that are no array). Complex taps are described by their
            amplitude and phase apart, stacks of images (…, H, W) also by `var_zero_mean`: the mean
            over the images of their spatial variance, near zero where a network answers with flat
            patches.
    """
    content = {
        name: dict(tap) if isinstance(tap, Mapping) else _statistics(np.asarray(tap))
        for name, tap in taps.items()
    }
    return _json(path, content)


def write_offsets(path: str | Path, offsets: Any) -> Path:
    """Write `offsets.json`: how frames lie about the centre of their group.

    Args:
        path: the file.
        offsets: (G, C, 2) or (M, 2) px (row, col), position − group centre. In the file `dx` is
            columns and `dy` is rows.
    """
    pairs = _pairs(offsets)
    rows, cols = pairs[:, 0], pairs[:, 1]
    centred = pairs - pairs.mean(axis=0)
    return _json(
        path,
        {
            "convention": "position - group centre, px; dx: columns, dy: rows",
            "count": len(pairs),
            "first_offsets_px": [
                {"dx": float(col), "dy": float(row)} for row, col in pairs[:SHOWN]
            ],
            "mean_dx": float(cols.mean()),
            "mean_dy": float(rows.mean()),
            "std_dx": float(cols.std()),
            "std_dy": float(rows.std()),
            "centered_std_dx": float(centred[:, 1].std()),
            "centered_std_dy": float(centred[:, 0].std()),
            "sha256": _digest(pairs),
        },
    )


def write_canvas(
    path: str | Path, *, patch_size: int, canvas_size: int, offsets: Any, **facts: Any
) -> Path:
    """Write `canvas.json`: the geometry of the groups' canvases.

    Args:
        path: the file.
        patch_size, canvas_size: N and P in px.
        offsets: as in `write_offsets`.
        facts: more to write, such as `object_shape` and `origin_px`.
    """
    pairs = _pairs(offsets)
    largest = np.abs(pairs).max(axis=0)
    content = {
        "patch_size": int(patch_size),
        "canvas_size": int(canvas_size),
        "num_patch_slots": len(pairs),
        "max_abs_dx": float(largest[1]),
        "max_abs_dy": float(largest[0]),
    }
    return _json(path, content | facts)


def patch_grid_png(path: str | Path, patches: Any, title: str, *, cmap: str = "magma") -> Path:
    """A grid of the first 16 patches, each with its own grey range printed under it.

    Args:
        path: the file (.png).
        patches: (…, H, W) real; leading axes are flattened.
        title: over the grid.
        cmap: "magma" for amplitudes; "twilight" for phases, from −π to π where they fill most of
            the circle, otherwise they are shown as "viridis", each in its own range.
    """
    from ptycho.report.panels import new_figure, save_figure

    patches = np.asarray(patches)
    if patches.ndim < 3 or np.iscomplexobj(patches):
        raise ShapeError(
            "a grid shows a stack of real images",
            where=path,
            expected="(…, H, W), real",
            got=f"{patches.shape} {patches.dtype}",
        )
    flat = patches.reshape(-1, *patches.shape[-2:])
    shown = flat[:SHOWN]
    rows = -(-len(shown) // _COLUMNS)
    figure = new_figure(2.0 * _COLUMNS, 2.25 * rows + 0.5)
    axes = np.atleast_1d(figure.subplots(rows, _COLUMNS)).ravel()
    for axis in axes:
        axis.set_axis_off()
    limits: dict[str, float] = {}
    if cmap == "twilight" and np.ptp(shown) > 1.5 * math.pi:
        limits = {"vmin": -math.pi, "vmax": math.pi}
    elif cmap == "twilight":
        cmap = "viridis"
    for number, (axis, patch) in enumerate(zip(axes, shown, strict=False)):
        axis.imshow(patch, cmap=cmap, interpolation="nearest", **limits)
        axis.set_title(f"{number}: {patch.min():.3g} … {patch.max():.3g}", fontsize=7)
    figure.suptitle(f"{title} ({len(shown)} of {len(flat)})", fontsize=10)
    return save_figure(figure, path, dpi=120)


def write_inventory(folder: str | Path) -> Path:
    """Write `artifact_inventory.txt`: SHA-256 and name of every other file below `folder`.

    `sha256sum -c artifact_inventory.txt` checks it.
    """
    folder = Path(folder)
    lines = [
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(folder).as_posix()}"
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file != folder / INVENTORY
    ]
    path = folder / INVENTORY
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _statistics(values: np.ndarray) -> dict[str, Any]:
    facts: dict[str, Any] = {"shape": list(values.shape), "dtype": str(values.dtype)}
    if np.iscomplexobj(values):
        facts["amplitude"] = _numbers(np.abs(values))
        facts["phase_rad"] = _numbers(np.angle(values))
    else:
        facts |= _numbers(values.astype(np.float64))
    return facts | {"sha256": _digest(values)}


def _numbers(values: np.ndarray) -> dict[str, Any]:
    finite = values[np.isfinite(values)]
    if not finite.size:
        return {"finite": 0, "mean": None, "std": None, "min": None, "max": None}
    facts: dict[str, Any] = {
        "finite": int(finite.size),
        "mean": float(finite.mean(dtype=np.float64)),
        "std": float(finite.std(dtype=np.float64)),
        "min": float(finite.min()),
        "max": float(finite.max()),
    }
    if values.ndim >= 3 and finite.size == values.size:
        facts["var_zero_mean"] = float(values.var(axis=(-2, -1), dtype=np.float64).mean())
    return facts


def _pairs(offsets: Any) -> np.ndarray:
    values = np.asarray(offsets, np.float64)
    if values.ndim not in (2, 3) or values.shape[-1] != 2 or not values.size:
        raise ShapeError(
            "offsets are (row, col) pairs", expected="(G, C, 2) or (M, 2)", got=values.shape
        )
    return values.reshape(-1, 2)


def _digest(values: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()


def _json(path: str | Path, content: Any) -> Path:
    path = Path(path)
    write_json(path, content)
    return path
