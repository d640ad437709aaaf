"""`RawData` of the earlier package on today's `Scan`: names only, x = column and y = row.

`diff3d` is an amplitude (√counts) as its files and functions had it; the groups use
`coords_relative = −(position − centre)` with axis order [x, y] on axis 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ptycho.data import open_scan, save_scan
from ptycho.errors import MeasurementError
from ptycho.frames import make_groups
from ptycho.scan import Scan


@dataclass(frozen=True)
class RawData:
    """A scan under the earlier names."""

    scan: Scan

    @classmethod
    def from_file(cls, path: str | Path, measurement: Any = None) -> RawData:
        """Read any scan; a file of the earlier package that does not say holds amplitudes."""
        try:
            return cls(open_scan(path, measurement=measurement))
        except MeasurementError:
            if measurement is not None:
                raise
        return cls(open_scan(path, measurement="amplitude"))

    def to_file(self, path: str | Path) -> None:
        """Write the scan as NPZ (today's keys: counts, positions_px, …)."""
        save_scan(self.scan, path, "npz")

    @property
    def xcoords(self) -> np.ndarray:
        """(M,) column positions in pixels."""
        return self.scan.positions_px[:, 1]

    @property
    def ycoords(self) -> np.ndarray:
        """(M,) row positions in pixels."""
        return self.scan.positions_px[:, 0]

    @property
    def diff3d(self) -> np.ndarray:
        """(M, N, N) float32 amplitudes."""
        return np.sqrt(self.scan.frames(np.arange(self.scan.n_frames)))

    @property
    def probeGuess(self) -> np.ndarray | None:
        """(N, N) strongest mode."""
        return None if self.scan.probe is None else self.scan.probe[0]

    @property
    def objectGuess(self) -> np.ndarray | None:
        """(H, W) truth, if it is known."""
        return None if self.scan.truth is None else self.scan.truth.object

    def generate_grouped_data(
        self,
        N: int,
        K: int = 4,
        nsamples: int | None = None,
        *,
        seed: int | None = 0,
        gridsize: int = 1,
    ) -> dict[str, np.ndarray]:
        """Groups in the earlier layout; unlike there, each group contains its seed frame.

        Returns:
            diffraction (n, N, N, C) amplitudes, coords_nn and coords_relative (n, 1, 2, C),
            coords_offsets (n, 1, 2, 1), nn_indices (n, C); coordinates as [x, y].
        """
        from ptycho.errors import ShapeError

        if self.scan.N != N:
            raise ShapeError("N is not the frames' side", expected=self.scan.N, got=N)
        groups = make_groups(
            self.scan.positions_px,
            gridsize,
            neighbours=max(K, gridsize**2 - 1) if gridsize > 1 else None,
            n_groups=nsamples,
            rng=np.random.default_rng(seed),
        )
        count, members = groups.indices.shape
        frames = self.scan.frames(groups.indices.ravel()).reshape(count, members, N, N)
        xy = self.scan.positions_px[groups.indices][..., ::-1]
        return {
            "diffraction": np.sqrt(np.moveaxis(frames, 1, -1)),
            "coords_nn": np.swapaxes(xy, 1, 2)[:, None],
            "coords_offsets": groups.centres_px[:, None, ::-1, None],
            "coords_relative": -np.swapaxes(groups.offsets_px[..., ::-1], 1, 2)[:, None],
            "nn_indices": groups.indices,
        }
