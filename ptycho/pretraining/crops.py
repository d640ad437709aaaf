"""Crops of the solved scans for training: cut, turned, mirrored, conjugated, turned in phase."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ptycho.pretraining.made import Sample
from ptycho.prior import channels, gauged, reach

CROP_PX = 96


@dataclass(frozen=True, eq=False)
class Plate:
    """A sample in the gauge of the network, at least `CROP_PX` on each side.

    `counts`: (H, W) bool, where the loss looks.
    """

    image: np.ndarray
    freer: np.ndarray
    blocks: np.ndarray
    target: np.ndarray
    sigma: np.ndarray
    counts: np.ndarray


def plate(sample: Sample) -> Plate:
    """The sample in the gauge; a small one grows by its border, which does not count."""
    own = gauged(sample.estimate)
    room = [max(0, CROP_PX - side) for side in own.image.shape]
    pad = [(part // 2, part - part // 2) for part in room]
    target = (sample.target / own.unit).astype(np.complex64)
    image, freer, target, sigma = (
        np.pad(part, pad, mode="edge") for part in (own.image, own.freer, target, own.sigma)
    )
    blocks = np.pad(own.blocks, [*pad, (0, 0)], mode="edge")
    return Plate(image, freer, blocks, target, sigma, np.pad(own.lit, pad))


def batch(plates: list[Plate], size: int, rng: np.random.Generator) -> tuple[Any, Any]:
    """(B, 96, 96, C) channels, and (B, 96, 96, 6): what is wanted, as the loss takes it.

    The wanted correction (target − image), re and im; the unit of the answer; 1 where it counts;
    the image, re and im.
    """
    area = np.sqrt([each.image.size for each in plates])
    seen, wanted = [], []
    for number in rng.choice(len(plates), size, p=area / area.sum()):
        each = plates[number]
        corner = [int(rng.integers(0, side - CROP_PX + 1)) for side in each.image.shape]
        box = tuple(slice(first, first + CROP_PX) for first in corner)
        turns, mirror, conjugate = int(rng.integers(4)), rng.uniform() < 0.5, rng.uniform() < 0.5
        phase = np.complex64(np.exp(1j * rng.normal(0, 0.2)))

        def moved(part: np.ndarray, turns: int = turns, mirror: bool = mirror) -> np.ndarray:
            part = np.rot90(part, turns)
            return part[:, ::-1] if mirror else part

        parts = (moved(part[box]) for part in (each.image, each.freer, each.blocks, each.target))
        image, freer, blocks, target = (phase * (p.conj() if conjugate else p) for p in parts)
        sigma, counts = moved(each.sigma[box]), moved(each.counts[box])
        seen.append(
            np.where(counts[..., None], channels(image, freer, blocks, sigma), np.float32(0))
        )
        step = target - image
        planes = [step.real, step.imag, reach(sigma), counts, image.real, image.imag]
        wanted.append(np.stack(planes, axis=-1))
    return np.stack(seen), np.stack(wanted).astype(np.float32)
