"""Reconstruct one scan from file to files: what `ptycho reconstruct` does, here or on a worker."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptycho.config import Progress
from ptycho.studies.shared_models import of_this_process

if TYPE_CHECKING:
    from ptycho.model import Run
    from ptycho.result import Reconstruction
    from ptycho.scan import Scan


def reconstruct_scan(task: dict[str, Any], progress: Progress | None = None) -> dict[str, Any]:
    """Open, reconstruct, save, draw.

    Args:
        task: `scan` and `target` (paths), `run` (a folder, or None with `untrained`, the steps),
            `config` (of `ReconstructConfig`), `measurement`, `frames_path`, `ways`, `figures`,
            `product` and `debug_dump` (a folder or None), as the options of the command say;
            `command` and `folder` where they are to be noted.
        progress: as of `ptycho.reconstruction.predict.reconstruct`.

    Returns:
        Facts about the result, JSON-able, with the paths of all files.
    """
    with of_this_process().one_at_a_time:
        return _reconstruct(task, progress)


def _reconstruct(task: dict[str, Any], progress: Progress | None) -> dict[str, Any]:
    from ptycho.config import ReconstructConfig
    from ptycho.data import open_scan, require_geometry, save_reconstruction
    from ptycho.frames import Ways
    from ptycho.reconstruction import reconstruct

    run = None if task["run"] is None else _fresh(Path(task["run"]))
    config = ReconstructConfig(**task["config"])
    ways = Ways(**task.get("ways", {}) | {"clean": config.clean})
    frames = task.get("frames_path")
    scan = open_scan(task["scan"], measurement=task["measurement"], frames=frames, ways=ways)
    if task["product"]:
        require_geometry(scan)
    target = Path(task["target"])
    steps = task["untrained"]
    steps = tuple(steps) if isinstance(steps, list) else steps
    rec = reconstruct(run, scan, progress=progress, untrained=steps, config=config)
    said = {key: task.get(key) for key in ("measurement", "frames_path", "ways")}
    said |= {key: task[key] for key in ("command", "folder") if key in task}
    if notes := scan.metadata.get("notes"):
        said["notes"] = list(notes)
    rec = rec.with_meta(scan_path=task["scan"], **said)
    save_reconstruction(rec, target)
    facts = _facts(rec, target) | {
        "figures": _pictures(rec, target, scan) if task["figures"] else []
    }
    product = task["product"]
    if product or (product is None and scan.geometry is not None):
        facts["product"] = _product(rec, scan, target)
    if task["debug_dump"] is not None:
        from ptycho.reconstruction import dump_reconstruction

        dump = Path(task["debug_dump"])
        dump_reconstruction(run, scan, rec, dump, untrained=steps, config=config)
        facts["debug_dump"] = str(dump)
    return facts


def _fresh(path: Path) -> Run:
    """The run as it was trained; its compiled prediction is kept from scan to scan.

    A scan of wide groups lets the canvas of the model grow. The next scan begins with the canvas
    of the training again, so that its result does not depend on what was reconstructed before.
    """
    from ptycho.model import MANIFEST, file_sha256, load_run

    if not (path / MANIFEST).is_file():
        return load_run(path)  # which says what is wrong
    run, canvas_size = _loaded(path, file_sha256(path / MANIFEST))
    run.model.canvas_size = canvas_size
    return run


@functools.lru_cache(maxsize=1)
def _loaded(path: Path, digest: str) -> tuple[Run, int]:
    from ptycho.model import load_run

    run = load_run(path)
    return run, run.model.require_canvas()


def _pictures(rec: Reconstruction, target: Path, scan: Scan) -> list[str]:
    from ptycho.report import write_pictures

    return [str(path) for path in write_pictures(rec, target, scan)]


def _product(rec: Reconstruction, scan: Scan, target: Path) -> str:
    from ptycho.data import save_product

    return str(save_product(rec, scan, target.with_name(f"{target.stem}_product.h5")))


def _facts(rec: Reconstruction, target: Path) -> dict[str, Any]:
    wanted = (
        "method",
        "network",
        "estimate_steps",
        "config_hash",
        "frames",
        "groups",
        "seconds",
        "notes",
    )
    return {
        "output": str(target),
        **{key: rec.meta[key] for key in wanted if key in rec.meta},
        "shape": list(rec.object.shape),
        "origin_px": list(rec.origin_px),
    } | _found(rec.meta.get("sanity"))


def _found(record: dict[str, Any] | None) -> dict[str, Any]:
    """What was wrong with the frames, in short; the file of the result holds all of it."""
    if not record or not record["findings"]:
        return {}
    told = {f["code"]: f"{f['count']} {f['done']}" for f in record["findings"]}
    return {"found": told, "frames_left_out": record["left_out"]}
