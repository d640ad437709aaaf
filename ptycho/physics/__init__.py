"""The physics of ptychography as pure tensor functions, the same on every Keras backend.

Fields are complex, DC-centred in the far field, positions and offsets are (row, col) in pixels.
Importing this package is light; TensorFlow (or another backend) is loaded on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_PUBLIC = {
    "translate": "ptycho.physics.translation",
    "extract": "ptycho.physics.patches",
    "merge": "ptycho.physics.patches",
    "stitch": "ptycho.physics.patches",
    "canvas_size_for": "ptycho.physics.patches",
    "diffract": "ptycho.physics.diffraction",
    "poisson_deviance": "ptycho.physics.likelihood",
    "Scaling": "ptycho.physics.scaling",
}

__all__ = [
    "Scaling",
    "canvas_size_for",
    "diffract",
    "extract",
    "merge",
    "poisson_deviance",
    "stitch",
    "translate",
]

if TYPE_CHECKING:
    from ptycho.physics.diffraction import diffract
    from ptycho.physics.likelihood import poisson_deviance
    from ptycho.physics.patches import canvas_size_for, extract, merge, stitch
    from ptycho.physics.scaling import Scaling
    from ptycho.physics.translation import translate


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'ptycho.physics' has no attribute {name!r}")
