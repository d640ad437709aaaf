"""Which forward model the facts of a scan, or a name, choose."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ptycho.errors import ConfigError, UnitError
from ptycho.frames import Finding, most_distance_m, transfer_function
from ptycho.refinement.config import RefineConfig
from ptycho.result import Reconstruction
from ptycho.scan import Scan

if TYPE_CHECKING:
    from ptycho.physics import Optics

SAME_DISTANCE = 1e-3
"""A distance between layers that is nearer to another one is no other."""
SEPARATE = 8.0
"""pixel²/wavelength below which layers are hardly told apart (`docs/evidence/thickness.md`)."""


def with_layers(scan: Scan, config: RefineConfig) -> Scan:
    """The scan with the layers that the setting names, where it names any.

    A distance that is set against that of the scan holds; its `sanity` then says so.

    Raises:
        UnitError: layers without a geometry. ConfigError: no distance between them is known, or
            layers where something else knows one only.
    """
    said = () if scan.geometry is None else scan.geometry.layer_distances_m
    count = config.layers or len(said) + 1
    if count == 1 or scan.geometry is None:
        if count > 1:
            raise UnitError(
                "the light between layers needs metres, and this scan has no geometry",
                where=scan.name,
                expected="wavelength, distance and detector pixel",
                got="positions in pixels only",
                fix="ptycho convert SCAN NEW.npz --wavelength-m … --distance-m … "
                "--detector-pixel-m …",
            )
        scan = _told(scan, config, "one layer")
        return scan if not said or scan.geometry is None else _gaps(scan, ())
    if config.layer_distance_m is not None and said:
        set_ = np.full(count - 1, config.layer_distance_m)
        if len(said) != count - 1 or not np.allclose(set_, said, rtol=SAME_DISTANCE, atol=0):
            scan = _told(scan, config, f"{count} layers by the setting")
    if config.layer_distance_m is not None:
        said = (config.layer_distance_m,) * (count - 1)
    if len(said) != count - 1:
        raise ConfigError(
            "the distance between the layers is not known",
            where="layer_distance_m",
            expected="--set layer_distance_m=… (metres)",
            got=f"{count} layers; the scan says {len(said)} distances",
        )
    if config.prior != "off":
        raise ConfigError(
            "the prior knows images of one layer",
            where="prior",
            expected="off, where there are layers",
            got=f"prior={config.prior}, layers={count}",
            fix="--prior off, or --set layers=1",
        )
    return _gaps(scan, said)


def _told(scan: Scan, config: RefineConfig, modelled: str) -> Scan:
    """With a word on the distance that was set, if one was."""
    if config.layer_distance_m is None or scan.sanity is None:
        return scan
    said = () if scan.geometry is None else scan.geometry.layer_distances_m
    evidence = {
        "set_m": config.layer_distance_m,
        "the_scan_says_m": ", ".join(f"{gap:.4g}" for gap in said) or "none",
        "modelled": modelled,
    }
    return replace(scan, sanity=scan.sanity.plus(Finding("layers-distance", evidence)))


def _gaps(scan: Scan, gaps: tuple[float, ...]) -> Scan:
    assert scan.geometry is not None
    return replace(scan, geometry=replace(scan.geometry, layer_distances_m=gaps))


def optics_of(scan: Scan) -> Optics:
    """The gaps between the layers and the way to the detector, by what the scan says.

    Far field and one layer unless it says otherwise.

    Raises:
        ValueRangeError: a near field, or a gap, longer than the frames can follow.
    """
    from ptycho.physics import Optics

    geometry = scan.geometry
    if geometry is None:
        return Optics()
    pixel, wavelength = geometry.object_pixel_m(scan.N), geometry.wavelength_m
    gaps = (transfer_function(scan.N, pixel, wavelength, gap) for gap in geometry.layer_distances_m)
    detector = None
    if geometry.near_field:
        lengths = geometry.detector_pixel_m, wavelength, geometry.distance_m
        detector = transfer_function(scan.N, *lengths)
    return Optics(tuple(gaps), detector)


def optics_behind(scan: Scan, rec: Reconstruction) -> Optics:
    """`optics_of` the scan with the layers of a reconstruction that was made of it."""
    gaps = () if rec.layer_distances_m is None else tuple(map(float, rec.layer_distances_m))
    return optics_of(scan if scan.geometry is None else _gaps(scan, gaps))


def separation(scan: Scan) -> str | None:
    """What is said of layers too near to be told apart, or None."""
    geometry = scan.geometry
    if geometry is None or not geometry.layer_distances_m:
        return None
    depth = most_distance_m(1, geometry.object_pixel_m(scan.N), geometry.wavelength_m)
    least = min(geometry.layer_distances_m)
    if least >= SEPARATE * depth:
        return None
    return (
        f"layers {least:.3g} m apart are hardly told from one: they separate from about "
        f"{SEPARATE * depth:.3g} m on ({SEPARATE:g} pixel²/wavelength)"
    )
