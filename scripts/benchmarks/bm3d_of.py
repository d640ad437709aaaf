"""BM3D of a complex image; runs where `bm3d` is installed (make baselines), never in the package.

    .venv-baselines/bin/python scripts/benchmarks/bm3d_of.py IN.npz OUT.npz

IN: `image` (H, W) complex, `sigmas` (K,) standard deviations of the noise in its real and in its
imaginary part. OUT: `images` (K, H, W), real and imaginary part denoised each by itself
(Mäkinen, Azzari, Foi, IEEE TIP 29, 2020; the licence of the package allows no shipping).
"""

from __future__ import annotations

import sys

import numpy as np
from bm3d import bm3d


def main() -> int:
    with np.load(sys.argv[1], allow_pickle=False) as file:
        image, sigmas = file["image"], file["sigmas"]
    found = [bm3d(image.real, s) + 1j * bm3d(image.imag, s) for s in sigmas]
    np.savez(sys.argv[2], images=np.stack(found))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
