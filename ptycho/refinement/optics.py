"""Which forward model the facts of a scan choose."""

from __future__ import annotations

from ptycho.physics import Optics, transfer_function
from ptycho.scan import Scan


def optics_of(scan: Scan) -> Optics:
    """The way to the detector: far field, unless the scan says near field.

    Raises:
        ValueRangeError: a near field farther away than the frames can follow.
    """
    geometry = scan.geometry
    if geometry is None or not geometry.near_field:
        return Optics()
    lengths = geometry.detector_pixel_m, geometry.wavelength_m, geometry.distance_m
    return Optics(detector=transfer_function(scan.N, *lengths))
