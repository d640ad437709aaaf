"""`ptycho convert IN OUT`: from any format that is read to NPZ, CXI or a ptychodus product."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ptycho.cli import console
from ptycho.cli.scan_options import Opening, scan_options

if TYPE_CHECKING:
    from ptycho.scan import Geometry, Scan


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(scan_options(convert))


def convert(
    source: Path = typer.Argument(..., help="A scan file."),
    target: Path = typer.Argument(..., help="The file to write: .npz, .cxi or .h5 (ptychodus)."),
    to: str | None = typer.Option(None, "--to", help="npz, cxi or ptychodus; default by name."),
    accept: list[str] = typer.Option(
        [], help="duplicate-positions or integer-positions: read them anyway."
    ),
    wavelength_m: float | None = typer.Option(None, help="Where the file has no geometry."),
    distance_m: float | None = typer.Option(None, help="Specimen to detector."),
    detector_pixel_m: float | None = typer.Option(None, help="Pitch of square detector pixels."),
    near_field: bool = typer.Option(
        False, "--near-field", help="With the three lengths: the detector stands in the near field."
    ),
    json_output: bool = typer.Option(False, "--json", help="One JSON object on stdout."),
    *,
    opening: Opening,
) -> None:
    """Convert a scan; positions, counts, probe, mask, geometry and truth are kept.

    Read: NPZ (also .npz.bz2), CXI, NeXus NXcxi_ptycho, ptychodus products (HDF5,
    NPZ), ptypy .ptyd. The source is recognised by its content. Bad pixels and
    frames stay as they are, unless --clean auto is given.
    """
    from ptycho.cli.outputs import check_scan_file
    from ptycho.data import save_scan

    check_scan_file(target, [path for path in (source, opening.frames) if path], "TARGET")
    scan = opening.open(source, clean="off", accept=accept)
    geometry = _geometry(wavelength_m, distance_m, detector_pixel_m, near=near_field)
    if geometry is not None:
        _require_same(geometry, scan, source)
        scan = scan if scan.geometry else replace(scan, geometry=geometry)
    save_scan(scan, target, to)  # type: ignore[arg-type]
    facts = {
        "source": str(source),
        "path": str(target),
        "layout": scan.metadata.get("layout", "ptycho"),
        "frames": scan.n_frames,
        "N": scan.N,
    }
    if json_output:
        console.print_json(facts)
    else:
        print(f"{target}: {scan.n_frames} frames of {scan.N}² ({facts['layout']})")


def _require_same(geometry: Geometry, scan: Scan, source: Path) -> None:
    """Positions in metres became pixels by the file's own lengths: others would move them."""
    from ptycho.errors import UsageError

    if scan.geometry is None:
        return
    wanted, own = _told(geometry), _told(scan.geometry)
    if wanted != own:
        raise UsageError(
            "the file has lengths of its own, and its positions became pixels by them",
            where=f"{source}: --wavelength-m, --distance-m, --detector-pixel-m, --near-field",
            expected=f"{own}, or none of the three",
            got=wanted,
            fix="correct the lengths in the file, so that positions in metres stay what they are",
        )


def _told(geometry: Geometry) -> str:
    row, col = geometry.detector_pixel_m
    pixel = f"{row:.4g}" if f"{row:.4g}" == f"{col:.4g}" else f"{row:.4g} × {col:.4g}"
    return (
        f"{geometry.wavelength_m:.4g} m, {geometry.distance_m:.4g} m and {pixel} m, "
        f"{'near' if geometry.near_field else 'far'} field"
    )


def _geometry(*lengths: float | None, near: bool) -> Geometry | None:
    """Wavelength, distance and pixel in metres: all three, or none."""
    from ptycho.errors import UsageError
    from ptycho.scan import Geometry

    given = [value for value in lengths if value is not None]
    if not (given or near):
        return None
    if len(given) != 3:
        raise UsageError(
            "a geometry has three lengths",
            where="ptycho convert",
            expected="--wavelength-m, --distance-m and --detector-pixel-m"
            + (", with --near-field" if near else ""),
            got=f"{len(given)} of them",
        )
    return Geometry(given[0], given[1], (given[2], given[2]), near)
