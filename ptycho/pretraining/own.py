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
        found = load_reconstruction(path).meta
        if (found.get("scan"), found.get("n_frames")) != (scan.name, scan.n_frames):
            raise DataError(
                "the folder holds the object of another scan",
                where=path,
                expected=f"{scan.name}, {scan.n_frames} frames",
                got=f"{found.get('scan')}, {found.get('n_frames')} frames",
                fix="another folder",
            )
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    return save_reconstruction(_of_truth(scan) or _refined(scan, progress), path)


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
        meta={"method": "truth", "scan": scan.name, "n_frames": scan.n_frames},
    )


def _refined(scan: Scan, progress: Progress | None) -> Reconstruction:
    from ptycho.refinement import refine

    return refine(scan, progress=progress).reconstruction
