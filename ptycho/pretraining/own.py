"""The objects that a prior of one's own is tuned on, from scans and results."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ptycho.config import Progress
from ptycho.data import load_reconstruction, save_reconstruction
from ptycho.errors import DataError
from ptycho.result import Reconstruction
from ptycho.scan import Scan


def own_object(scan: Scan, path: Path, *, progress: Progress | None = None) -> Path:
    """The object of `scan` as the result file `path`: its truth, else what a refinement finds.

    Args:
        scan: a simulated one brings its truth along.
        path: .h5; what is there already is kept, so that a run that was cut off goes on.
        progress: of the refinement, as `ptycho.refine` calls it.

    Raises:
        DataError: `path` holds the object of another scan.
    """
    if path.exists():
        found = load_reconstruction(path).meta.get("object_of")
        if found != _told(scan):
            raise DataError(
                "the folder holds the object of another scan",
                where=path,
                expected=_told(scan),
                got=found,
                fix="another folder",
            )
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    made = _of_truth(scan) or _refined(scan, progress)
    return save_reconstruction(made.with_meta(object_of=_told(scan)), path)


def _told(scan: Scan) -> str:
    """As it was opened: a refinement may leave more frames out."""
    return f"{scan.name}, {scan.n_frames} frames"


def _of_truth(scan: Scan) -> Reconstruction | None:
    truth = scan.truth
    if truth is None:
        return None
    assert scan.probe is not None  # a simulation has both
    return Reconstruction(
        object=truth.object,
        coverage=np.ones(truth.object.shape),
        origin_px=truth.origin_px,
        probe=scan.probe,
        meta={"method": "truth", "scan": scan.name},
    )


def _refined(scan: Scan, progress: Progress | None) -> Reconstruction:
    from ptycho.refinement import refine

    return refine(scan, progress=progress).reconstruction
