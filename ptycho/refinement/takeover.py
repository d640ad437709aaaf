"""What a refinement keeps of the reconstruction that it starts from: positions and light. NumPy.

Frames are matched by their numbers, or by their order where both have as many. Another program
counts positions from another corner: the start is moved by the whole pixels between the two lists.
Positions that are nowhere near those of the scan belong to another scan, and are not taken.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ptycho.result import Reconstruction
from ptycho.scan import Scan, same_pixel

NEAR_PX = 6.0
NEAR_SHARE = 1 / 8  # of the side of a frame


@dataclass(frozen=True, eq=False)
class Taken:
    """What is kept.

    Args:
        start: the reconstruction, in the frame of the scan; None: there is none.
        positions_px: (M, 2) to begin with: the scan's where the start has none.
        light: (M,) relative to the mean, or None.
        moved: whether positions are those of the start.
        words: what was taken and what was not, for a person.
    """

    start: Reconstruction | None
    positions_px: np.ndarray
    light: np.ndarray | None = None
    moved: bool = False
    words: tuple[str, ...] = ()


def take_over(scan: Scan, start: Reconstruction | None) -> Taken:
    """Positions and light of `start` for the frames of `scan`; see the module."""
    own = np.asarray(scan.positions_px, np.float64)
    if start is None:
        return Taken(None, own)
    flux = start.meta.get("flux")
    light = None if flux is None else np.asarray(flux, np.float64).ravel()
    words = _strange(scan, start)
    if start.probe is not None:
        words.append(f"probe, {len(start.probe)} modes")
    if start.eigenprobes is not None:
        words.append("no eigenprobes: --opr finds them anew")
    if start.positions_px is None:
        pair = _by_number(scan, start, 0 if light is None else len(light))
        return _with_light(Taken(start, own, words=tuple(words)), light, pair)
    choices = [_by_number(scan, start, len(start.positions_px))]
    if len(start.positions_px) == scan.n_frames:
        choices.append((np.arange(scan.n_frames),) * 2)
    found = [(_apart(own, start.positions_px, pair), pair) for pair in choices if len(pair[0])]
    if not found:
        words.append("no positions: no frame has the number of one of the start's")
        return Taken(start, own, words=tuple(words))
    (apart, offset), (mine, theirs) = min(found, key=lambda one: one[0][0])
    if apart > max(NEAR_PX, NEAR_SHARE * scan.N):
        words.append(f"no positions: they lie {apart:.3g} px from the scan's (another scan?)")
        return Taken(start, own, words=tuple(words))
    if offset.any():
        row, col = np.subtract(start.origin_px, offset)
        start = replace(start, origin_px=(float(row), float(col)))
        words.append(f"moved by ({-offset[0]:g}, {-offset[1]:g}) px into the frame of the scan")
    positions = own.copy()
    assert start.positions_px is not None
    positions[mine] = start.positions_px[theirs] - offset
    step = np.hypot(*(positions - own)[mine].T)
    words.append(f"positions of {len(mine)} frames, {step.mean():.2g} px from the scan's")
    taken = Taken(start, positions, moved=True, words=tuple(words))
    return _with_light(taken, light, (mine, theirs))


def _strange(scan: Scan, start: Reconstruction) -> list[str]:
    """What speaks against a start of this scan: name, pixel, and frames beside its object."""
    words = []
    of = start.meta.get("scan")
    if isinstance(of, str) and of != scan.name:
        words.append(f"the image of another scan: {of}")
    pixel = start.meta.get("object_pixel_m")
    if pixel and scan.geometry is not None:
        own = scan.geometry.object_pixel_m(scan.N)
        if not same_pixel(pixel, own):
            words.append(f"pixels of {pixel[0]:.4g} m, taken for the scan's of {own[0]:.4g} m")
    local = scan.positions_px - np.asarray(start.origin_px)
    beside = ((local < 0) | (local >= start.object.shape[-2:])).any(axis=1).sum()
    if beside and start.positions_px is None:
        words.append(f"nothing for {beside} of {scan.n_frames} frames, which lie beside the object")
    return words


def _with_light(
    taken: Taken, light: np.ndarray | None, pair: tuple[np.ndarray, np.ndarray]
) -> Taken:
    mine, theirs = pair
    if light is None or not len(mine) or len(light) <= int(theirs.max()):
        return taken
    if not (np.isfinite(light).all() and light.min() > 0):
        return replace(taken, words=(*taken.words, "no light: it is not positive"))
    whole = np.ones(len(taken.positions_px))
    whole[mine] = light[theirs]
    words = (*taken.words, f"light of {len(mine)} frames")
    return replace(taken, light=whole / whole.mean(), words=words)


def _by_number(scan: Scan, start: Reconstruction, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the scan and of the start's lists (of `count` frames) with the same number."""
    known = start.meta.get("frame_numbers")
    numbers = np.arange(count) if known is None else np.asarray(known, np.int64).ravel()
    if len(numbers) != count:
        return np.zeros(0, int), np.zeros(0, int)
    _, mine, theirs = np.intersect1d(scan.frame_numbers, numbers, return_indices=True)
    return mine, theirs


def _apart(
    own: np.ndarray, others: np.ndarray, pair: tuple[np.ndarray, np.ndarray]
) -> tuple[float, np.ndarray]:
    """Median distance of the lists without their offset, and that offset in whole pixels."""
    difference = others[pair[1]] - own[pair[0]]
    offset = np.median(difference, axis=0)
    apart = float(np.median(np.hypot(*(difference - offset).T)))
    return apart, np.round(offset)
