"""`ptycho prior make-data`: many scans, each simulated, solved and kept as one small file.

A file holds the solver's two images, the light, and the target: the truth in the image's scale,
with the smooth part of its phase turned to that of the image, since counts leave long waves of the
phase open for long.
Scans that the solver did not solve teach nothing; a note is kept instead.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from ptycho.config import Progress
from ptycho.data import load_own, load_reconstruction, own_file, whole_file, write_json
from ptycho.errors import ArchiveError, DataError, ShapeError
from ptycho.pretraining.recipes import CANVAS_PX, draw, made_of, measured
from ptycho.prior import Estimate, box, counted, lit, long_waves
from ptycho.scan import Truth
from ptycho.studies import Outcome, run_arms

SET = "set.json"
"""Beside the scans: the seed and the objects that they are of."""
SMOOTH_PX = 40.0
"""Of what the target takes over: shorter waves are noise of the counts, which the prior can lessen.
"""
SOLVED_ERRORS, SOLVED_RMS = 4.0, 0.08
"""A scan is solved when the r.m.s. error is below so many of the counts' own, or below this."""


@dataclass(frozen=True, eq=False)
class Sample:
    """One solved scan: `target` (H, W) complex64 is what the image should be.

    Raises:
        ShapeError: the target is not of the estimate's shape. DataError: it is not finite.
    """

    estimate: Estimate
    target: np.ndarray
    recipe: dict[str, Any]

    def __post_init__(self) -> None:
        shape = self.estimate.image.shape
        if self.target.shape != shape:
            raise ShapeError(
                "the target has another shape than the image", expected=shape, got=self.target.shape
            )
        if not np.isfinite(self.target).all():
            raise DataError("the target is not finite")


def make_data(
    folder: Path,
    scans: int,
    *,
    seed: int = 0,
    objects: Sequence[Path] = (),
    scheduler: str | None = None,
    progress: Progress | None = None,
) -> dict[str, int]:
    """Make what is missing of `scans` scans in `folder`; what is there is kept.

    Args:
        folder: one file a scan.
        scans: that shall be there, solved or not.
        seed: of all draws.
        objects: result files from which the specimens are cut, instead of the ten kinds.
        scheduler: a Dask scheduler's address, or None.
        progress: called after each scan.

    Returns:
        {"made": now, "solved": files in the folder, "unsolved": notes in it}.

    Raises:
        DataError: the folder holds scans of another seed or of other objects, or a scan could not
            be made. ArchiveError: one of `objects` is no result.
    """
    for path in objects:
        load_reconstruction(path)
    folder.mkdir(parents=True, exist_ok=True)
    _require_same(folder, seed, [sha256(path.read_bytes()).hexdigest() for path in objects])
    names = [f"{number:05d}" for number in range(scans)]
    arms = [
        {"name": name, "folder": str(folder), "seed": seed, "number": int(name)}
        | {"objects": [str(path.resolve()) for path in objects]}
        for name in names
        if not any((folder / f"{name}{ending}").exists() for ending in (".npz", ".json"))
    ]
    outcomes = run_arms(arms, make_one, scheduler=scheduler, progress=progress)
    _require_made(outcomes)
    return {
        "made": len(arms),
        "solved": len(scan_files(folder)),
        "unsolved": len(list(folder.glob("[0-9]*.json"))),
    }


def _require_same(folder: Path, seed: int, objects: list[str]) -> None:
    """The folder's scans, if there are any, are of this seed and these objects."""
    note = folder / SET
    if not note.exists():
        if there := scan_files(folder):
            raise DataError(
                "the folder holds scans, and nothing says of which seed and objects",
                where=folder,
                expected=SET,
                got=f"{len(there)} scans without it",
                fix="another folder",
            )
        write_json(note, {"seed": seed, "objects": objects})
    try:
        found = json.loads(note.read_text(encoding="utf-8"))
        found = {"seed": found["seed"], "objects": list(map(str, found.get("objects", [])))}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ArchiveError(
            "what the scans of this folder are of cannot be read",
            where=note,
            expected='{"seed": …, "objects": […]}',
            got=error,
            fix="another folder",
        ) from error
    if found.get("seed") != seed:
        raise DataError(
            "the folder holds scans of another seed",
            where=folder,
            expected=f"seed {seed}",
            got=f"seed {found['seed']}",
            fix=f"--seed {found['seed']}, or another folder",
        )
    if found["objects"] != objects:
        raise DataError(
            "the folder holds scans of other objects",
            where=folder,
            expected=f"{len(objects)} objects (SHA-256 {', '.join(o[:8] for o in objects) or '-'})",
            got=", ".join(o[:8] for o in found["objects"]) or "none",
            fix="the same --object files in the same order, or another folder",
        )


def _require_made(outcomes: list[Outcome]) -> None:
    failed = [each for each in outcomes if each.error]
    if failed:
        raise DataError(
            f"{len(failed)} of {len(outcomes)} scans could not be made",
            where=failed[0].arm["name"],
            got=failed[0].error,
            fix="run the command again: what was made is kept",
        )


def make_one(arm: dict[str, Any]) -> dict[str, Any]:
    """One scan of the set, or the note that it could not be solved."""
    from ptycho.refinement import solved

    recipe = draw(arm["seed"], arm["number"], arm["objects"])
    scan = measured(recipe)
    assert scan.truth is not None
    found = solved(scan, recipe.weight, recipe.passes, least_px=CANVAS_PX)
    sample = _sample(found.fed, on_canvas(scan.truth, found.origin_px, found.image.shape))
    path = Path(arm["folder"]) / f"{arm['name']}.npz"
    error, own = _errors(sample)
    facts = {"error": error, "counts_error": own, "recipe": recipe.record()}
    if error > max(SOLVED_ERRORS * own, SOLVED_RMS):
        write_json(path.with_suffix(".json"), facts)
        return {"solved": False}
    text = np.frombuffer(json.dumps(facts).encode(), np.uint8)
    each = sample.estimate
    arrays: dict[str, Any] = {"image": each.image, "freer": each.freer, "light": each.light}
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays, target=sample.target, facts=text)
    return {"solved": True}


def on_canvas(truth: Truth, origin: tuple[int, int], shape: tuple[int, ...]) -> np.ndarray:
    """The truth on the canvas; 1 where it does not reach."""
    out = np.ones(shape, np.complex64)
    row, col = (int(a - b) for a, b in zip(origin, truth.origin_px, strict=True))
    low = max(row, 0), max(col, 0)
    part = truth.object[low[0] : row + shape[0], low[1] : col + shape[1]]
    top, left = low[0] - row, low[1] - col
    out[top : top + part.shape[0], left : left + part.shape[1]] = part
    return out


def turned(truth: np.ndarray, image: np.ndarray, light: np.ndarray) -> np.ndarray:
    """The truth times g·exp(i·φ): φ their phase difference smoothed over `SMOOTH_PX`, g a number.

    Counts fix the product of probe and object: the object's scale is the image's (g by least
    squares), or the network would learn to change it.
    """
    weight = counted(light)
    alike = truth * long_waves(image, truth, light, SMOOTH_PX)
    scale = np.sum((image * alike.conj()).real * weight) / np.sum(np.abs(truth) ** 2 * weight)
    return (scale * alike).astype(np.complex64)


def _sample(estimate: Estimate, truth: np.ndarray) -> Sample:
    """The sample cut to what is lit."""
    target = turned(truth, estimate.image, estimate.light)
    at = box(lit(estimate.light))
    cut = Estimate(estimate.image[at], estimate.freer[at], estimate.light[at])
    return Sample(cut, target[at], {})


def _errors(sample: Sample) -> tuple[float, float]:
    """r.m.s. error of the image where it is lit, and what the counts alone leave there."""
    inside = lit(sample.estimate.light)
    error = np.abs(sample.estimate.image - sample.target)[inside]
    return (
        float(np.sqrt(np.mean(error**2))),
        float(np.sqrt(np.mean(1 / (4 * sample.estimate.light[inside])))),
    )


def samples(folder: Path) -> Iterator[tuple[Path, Sample]]:
    """The solved scans of a folder, in order.

    Raises:
        DataError: there is none. ArchiveError: one cannot be read.
    """
    paths = scan_files(folder)
    if not paths:
        raise DataError(
            "no solved scan in this folder",
            where=folder,
            expected="files that `ptycho prior make-data` wrote",
            got="none",
            fix=f"ptycho prior make-data {folder} --scans 1000",
        )
    for path in paths:
        fix = f"rm {path}, and the same make-data again (its seed is in {folder / SET})"
        what = "a scan of the training set cannot be read"
        with own_file(path, what, writer="ptycho prior make-data", fix=fix):
            arrays, facts = load_own(path, "facts")
            parts = [arrays[name] for name in ("image", "freer", "light")]
            made_of(facts["recipe"])
            sample = Sample(Estimate(*parts), arrays["target"], facts["recipe"])
        yield path, sample


def scan_files(folder: Path) -> list[Path]:
    """Those of the solved scans in a folder, in order.

    Raises:
        DataError: an NPZ file of another name is there: it would be left out.
    """
    found = sorted(folder.glob("*.npz"))
    if strange := [path for path in found if not re.fullmatch("[0-9]{5,}", path.stem)]:
        raise DataError(
            "a file that make-data did not write lies between the scans",
            where=strange[0],
            expected="names of five digits, such as 00012.npz",
            got=strange[0].name,
            fix=f"mv '{strange[0]}' somewhere else",
        )
    return found


def data_hash(folders: Sequence[Path]) -> str:
    """SHA-256 over the names and bytes of the solved scans, folder by folder."""
    total = sha256()
    for path in (each for folder in folders for each in scan_files(folder)):
        total.update(path.name.encode())
        total.update(sha256(path.read_bytes()).digest())
    return total.hexdigest()
