"""What the prior is fed: a whole-scan image, the same without its regulariser, and the light."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ptycho.errors import ShapeError


@dataclass(frozen=True, eq=False)
class Estimate:
    """An image and what the counts say of it.

    Args:
        image: (H, W) complex64 after passes with total variation.
        freer: (H, W) complex64, `image` after a few more passes of the likelihood alone: where it
            moved is where the regulariser pulls against the counts.
        light: (H, W) float32 ≥ 0, photons that each pixel saw; its error is 1/(2·√light) there.
    """

    image: np.ndarray
    freer: np.ndarray
    light: np.ndarray

    def __post_init__(self) -> None:
        kinds = ("image", np.complex64), ("freer", np.complex64), ("light", np.float32)
        for name, kind in kinds:
            object.__setattr__(self, name, np.asarray(getattr(self, name), kind))
        shapes = {np.shape(getattr(self, name)) for name, _ in kinds}
        if len(shapes) > 1 or len(next(iter(shapes))) != 2:
            raise ShapeError(
                "image, freer image and light must be three images of one shape",
                expected="(H, W) each",
                got=f"{self.image.shape}, {self.freer.shape}, {self.light.shape}",
            )
