"""How a sample between pixels is read: the interpolation kernels of `translation`, by name.

A kernel blends `taps` neighbouring pixels along each axis with weights that are polynomials in
the fraction f in [0, 1) of the place. All of them read a constant exactly and return the pixel
itself at f = 0.

- `bilinear`: two taps, (1 − f, f).
- `cubic`: four taps, Keys' cubic convolution with a = −½ (doi:10.1109/TASSP.1981.1163711).
- `lagrange6`: six taps, the polynomial of fifth degree through six pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ptycho.errors import ConfigError


@dataclass(frozen=True)
class Kernel:
    """Weights of the taps: row t of `table` has the coefficients of 1, f, f², … of tap t."""

    name: str
    table: tuple[tuple[float, ...], ...]

    @property
    def taps(self) -> int:
        """Pixels that are blended along each axis."""
        return len(self.table)

    @property
    def lead(self) -> int:
        """How many of them lie before the pixel that f is counted from."""
        return self.taps // 2 - 1

    def weights(self, fraction: Any) -> list[Any]:
        """One weight a tap, in the shape of `fraction`."""
        return [_polynomial(row, fraction) for row in self.table]

    def slopes(self, fraction: Any) -> list[Any]:
        """Derivatives of the weights by the fraction (from the right at 0)."""
        rows = [[power * c for power, c in enumerate(row)][1:] for row in self.table]
        return [_polynomial(row, fraction) for row in rows]


def kernel_named(name: str) -> Kernel:
    """The kernel of this name.

    Raises:
        ConfigError: there is none; the names are listed.
    """
    if name not in KERNELS:
        raise ConfigError(
            "there is no sub-pixel kernel of this name",
            where="kernel",
            expected=" or ".join(KERNELS),
            got=repr(name),
        )
    return KERNELS[name]


def _polynomial(row: Any, f: Any) -> Any:
    """Horner's rule; `0 * f` gives a constant the shape of f."""
    value = row[-1] + 0 * f
    for coefficient in reversed(row[:-1]):
        value = value * f + coefficient
    return value


def _lagrange(taps: int) -> tuple[tuple[float, ...], ...]:
    """The polynomials through `taps` pixels, as rows of coefficients."""
    nodes = np.arange(taps) - (taps // 2 - 1)
    return tuple(
        tuple(
            float(c)
            for c in np.poly(np.delete(nodes, t))[::-1] / np.prod(nodes[t] - np.delete(nodes, t))
        )
        for t in range(taps)
    )


KERNELS = {
    kernel.name: kernel
    for kernel in (
        Kernel("bilinear", ((1.0, -1.0), (0.0, 1.0))),
        Kernel(
            "cubic",
            (
                (0.0, -0.5, 1.0, -0.5),
                (1.0, 0.0, -2.5, 1.5),
                (0.0, 0.5, 2.0, -1.5),
                (0.0, 0.0, -0.5, 0.5),
            ),
        ),
        Kernel("lagrange6", _lagrange(6)),
    )
}
