"""Where results may be written: looked at before the work, not after it.

Nothing is replaced that was given as an input, and no file of another kind by mistake.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

from ptycho.errors import UsageError

PNG = b"\x89PNG"
OTHER_KINDS = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".pdf", ".svg", ".npz", ".npy", ".cxi")
BESIDE = (".png", "_amplitude.png", "_amplitude.tiff", "_phase.png", "_phase.tiff")
PRODUCT = "_product.h5"


def check_file(target: Path, inputs: Iterable[Path] = (), flag: str = "--output") -> None:
    """Make the folder of `target`, and see that a file can be made there.

    Raises:
        UsageError: a folder, a device or pipe, one of the `inputs`, or a place where nothing can
            be written.
    """
    if target.is_dir():
        raise UsageError("the output must be a file", where=flag, expected="a file", got=target)
    if target.exists() and not target.is_file():
        raise UsageError(  # a file would take its place, for all who use it
            "this is neither a file nor free",
            where=f"{flag} {target}",
            expected="a new name, or a file",
            got="a device, a pipe or a socket",
        )
    for given in inputs:
        if target.resolve() == given.resolve():
            raise UsageError(
                "this file would be overwritten, and it is an input",
                where=f"{flag} {target}",
                expected="another name",
                got=given,
            )
    check_folder(target.parent, f"{flag} {target}")


def check_folder(folder: Path, where: str) -> None:
    """Make the folder, and see that a file can be made in it.

    Raises:
        UsageError: nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(
            "nothing can be written there",
            where=where,
            expected="a folder that you may write to",
            got=f"{error.strerror}: {folder}",
        ) from error


def check_scan_file(target: Path, inputs: Iterable[Path] = (), flag: str = "--output") -> None:
    """See that a scan may be written: another scan is replaced, a reconstruction is not.

    Raises:
        UsageError: as in `check_file`, or the file is a reconstruction.
    """
    from ptycho.data import is_reconstruction

    check_file(target, inputs, flag)
    free = not (target.is_file() and is_reconstruction(target))
    _require_kind(target, flag, free, "it is a reconstruction")


def check_figure(target: Path | None, inputs: Iterable[Path] = ()) -> None:
    """A figure is a PNG, and takes the place of nothing but a PNG."""
    if target is None:
        return
    if target.suffix.lower() != ".png":
        raise UsageError(
            "a figure is a PNG", where="--figure", expected="a name that ends in .png", got=target
        )
    check_file(target, inputs, "--figure")
    _require_kind(target, "--figure", _is_png(target), "it is no PNG")


def check_evaluation(target: Path, inputs: Iterable[Path] = ()) -> None:
    """The numbers beside a figure of an evaluation take the place of nothing but such numbers."""
    from ptycho.report import is_evaluation

    check_file(target, inputs, "--figure")
    _require_kind(target, "--figure", is_evaluation(target), "it holds no evaluation")


def check_page(target: Path, flag: str, inputs: Iterable[Path] = ()) -> None:
    """A page is HTML, and takes the place of nothing but a page of ptycho.

    Raises:
        UsageError: as in `check_file`, or another file is in the way.
    """
    from ptycho.report import is_page

    if target.suffix.lower() not in (".html", ".htm"):
        raise UsageError(
            "a page is HTML",
            where=flag,
            expected="a name that ends in .html",
            got=target,
            fix=f"{flag} {target.with_suffix('.html')}",
        )
    check_file(target, inputs, flag)
    _require_kind(target, flag, is_page(target), "it is not a page of ptycho")


def check_output(
    target: Path, inputs: Iterable[Path] = (), *, beside: Iterable[str] = (".png",)
) -> None:
    """See that a reconstruction and the files `beside` it (endings after its stem) may be written.

    A reconstruction of an earlier run is replaced; a scan given to `-o` by mistake is not.

    Raises:
        UsageError: as in `check_file`, or a file of another kind is in the way.
    """
    from ptycho.data import is_reconstruction

    inputs = tuple(inputs)
    check_file(target, inputs)
    _require_kind(target, "--output", is_reconstruction(target), "it is no reconstruction")
    if target.suffix.lower() in OTHER_KINDS:
        raise UsageError(
            "a reconstruction is an HDF5 file", where="--output", expected="OUT.h5", got=target
        )
    for ending in beside:
        neighbour = target.with_name(f"{target.stem}{ending}")
        check_file(neighbour, inputs)
        if ending == PRODUCT:
            _require_kind(neighbour, "--output", not _holds_frames(neighbour), "it holds frames")


def _require_kind(target: Path, flag: str, right: bool, why: str) -> None:
    if target.exists() and not right:
        raise UsageError(
            f"this file would be overwritten, and {why}",
            where=f"{flag} {target}",
            expected="a new name, or a file that ptycho wrote",
            got="another file",
            fix=f"choose another name, or remove {target}",
        )


def _is_png(path: Path) -> bool:
    if not path.exists():
        return False
    with path.open("rb") as file:
        return file.read(len(PNG)) == PNG


def _holds_frames(path: Path) -> bool:
    """Whether a product beside the target is a measurement, or no product at all."""
    import h5py

    if not path.exists():
        return False
    try:
        with h5py.File(path, "r") as file:
            return "raw_data" in file
    except OSError:
        return True
