"""Coarse to fine: the object at half the resolution first, as a start.

Long waves of the phase take the most passes, and they are short ones on a coarse grid. The inner
half of the detector is a scan of its own with pixels of the object twice as large; a pass over it
transforms a quarter of the numbers (docs/evidence/refinement.md says when that pays).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
from scipy import ndimage

from ptycho.errors import ConfigError
from ptycho.frames import Ways, fit, is_near
from ptycho.refinement.checkpoint import Checkpoints
from ptycho.refinement.choice import DAMPINGS
from ptycho.refinement.config import FIRST_WEIGHT, RefineConfig
from ptycho.refinement.outcome import RefineResult
from ptycho.result import Reconstruction
from ptycho.scan import Measured, Scan

TIME_SHARE = 0.5
"""Of a time budget, at most."""


def begun(
    scan: Scan,
    start: Reconstruction | None,
    config: RefineConfig,
    keep: Checkpoints,
    run: Callable[[Scan, RefineConfig], RefineResult],
) -> Reconstruction:
    """The object of `coarse_passes`, as a start for all of the detector.

    Args:
        scan: with a probe.
        start: must be None.
        config: of the whole refinement.
        keep: holds the coarse result of a run that was cut off.
        run: refines a scan with a setting.

    Raises:
        ConfigError: there is a start, or such a scan has no coarse object.
    """
    _require(scan, start, config)
    found = keep.finished("coarse")
    if found is None:
        found = run(coarse_scan(scan), coarse_config(config))
        keep.finish("coarse", found)
    return finer(found.reconstruction)


def _require(scan: Scan, start: Reconstruction | None, config: RefineConfig) -> None:
    """Raise a ConfigError where passes at half the resolution are asked for and cannot be made."""
    layers = config.layers or 1 + len(getattr(scan.geometry, "layer_distances_m", None) or ())
    for bad, expected, got in (
        (start is not None, "no start: its object is finer", "a start"),
        (is_near(scan.geometry), "a far field", "the near field, whose grid is the detector's"),
        (layers > 1, "one layer", f"{layers} layers"),
        (scan.N % 4 > 0, "frames whose side is a multiple of 4", f"N = {scan.N}"),
    ):
        if bad:
            raise ConfigError(
                "there is no coarse object to begin with",
                where="coarse_passes",
                expected=expected,
                got=got,
                fix="--set coarse_passes=0",
            )


def coarse_scan(scan: Scan) -> Scan:
    """The inner half of the detector: the same object with pixels twice as large."""
    given = Measured(**{each.name: getattr(scan, each.name) for each in fields(Measured)})
    inner = fit(replace(given, truth=None), Ways(crop=scan.N // 2))
    return Scan(**{each.name: getattr(inner, each.name) for each in fields(Measured)})


def coarse_config(config: RefineConfig) -> RefineConfig:
    """Object and probe alone, and nothing to choose."""
    fixed = {"positions": "off", "opr": 0, "prior": "off", "coarse_passes": 0}
    return config.model_copy(
        update={
            **fixed,
            "passes": config.coarse_passes,
            "seconds": None if config.seconds is None else TIME_SHARE * config.seconds,
            "regularise": FIRST_WEIGHT if config.regularise == "auto" else config.regularise,
            "modes": None if config.modes == "auto" else config.modes,
            "damping": DAMPINGS[0] if config.damping == "auto" else config.damping,
            "held_out_fraction": 0.0,
            "clean": "off",
            "tile_px": None,
        }
    )


def finer(rec: Reconstruction) -> Reconstruction:
    """Its object on the grid of the scan: pixel j lies at 2j, those between are interpolated.

    The probe of the scan is the better start than what the coarse grid holds of it.
    """
    rows, cols = (np.arange(2 * side - 1) / 2 for side in rec.object.shape)
    places = np.meshgrid(rows, cols, indexing="ij")

    def read(image: np.ndarray, order: int) -> np.ndarray:
        return ndimage.map_coordinates(image, places, order=order, mode="nearest")

    field = read(rec.object.real, 3) + 1j * read(rec.object.imag, 3)
    coverage = read(np.asarray(rec.coverage, np.float32), 1)
    row, col = rec.origin_px
    return Reconstruction(field.astype(np.complex64), coverage, (2 * row, 2 * col))
