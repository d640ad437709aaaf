"""How do the frames lie? All eight ways, judged by held-out counts of short refinements.

A detector may be read out transposed, or with an axis reversed. With a probe that is free, half a
turn of all frames equals the conjugate of object and probe about the other side: the counts cannot
tell the two of a pair apart, though the probe that a refinement starts with makes one of them
quicker. So a pair is as good as its better half, pairs are compared, and of the pair that holds
what the file says the file's own word is taken.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ptycho.errors import DataError
from ptycho.frames import Ways, clean_scan, select
from ptycho.refinement.config import RefineConfig
from ptycho.refinement.start import middle_of
from ptycho.scan import Scan

FRAMES = 100
PASSES = 25
Turn = dict[str, Any]
NAMES: dict[str, Turn] = {
    "as the file says": {},
    "rows and columns reversed": {"flip": "both"},
    "rows reversed": {"flip": "rows"},
    "columns reversed": {"flip": "cols"},
    "transposed": {"transpose": True},
    "transposed, rows and columns reversed": {"transpose": True, "flip": "both"},
    "transposed, rows reversed": {"transpose": True, "flip": "rows"},
    "transposed, columns reversed": {"transpose": True, "flip": "cols"},
}
_ALL = list(NAMES)
PAIRS = tuple(zip(_ALL[::2], _ALL[1::2], strict=True))  # each and the same after half a turn


@dataclass(frozen=True)
class Orientation:
    """Which way the frames lie.

    Args:
        ways: keys of `Ways` that bring them right; empty: as they are.
        name: in words.
        partner: what the counts cannot tell from it.
        deviances: held-out half-deviance per pixel of each, by name.
        margin: how much worse the next pair explains the held-out counts.
        error: standard error of that difference; a margin below two of them decides nothing.
    """

    ways: Turn
    name: str
    partner: str
    deviances: dict[str, float]
    margin: float
    error: float

    @property
    def decided(self) -> bool:
        """Whether the counts tell."""
        return self.margin > 2 * self.error

    def record(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "orientation": self.name,
            "same_for_the_counts": self.partner,
            "held_out_deviance": self.deviances,
            "margin": self.margin,
            "standard_error": self.error,
            "decided": self.decided,
        }

    def sentence(self) -> str:
        """One line for a person."""
        tried = ", ".join(f"{name} {value:.4g}" for name, value in self.deviances.items())
        verdict = "" if self.decided else "; the counts do not decide, so the file's word holds"
        return (
            f"orientation: {self.name} (for the counts the same as: {self.partner}); held-out "
            f"deviance per pixel: {tried}; the next pair is worse by {self.margin:.3g} ± "
            f"{self.error:.2g}{verdict}"
        )


def find_orientation(
    scan: Scan, *, progress: Callable[[int, int, dict[str, Any]], None] | None = None
) -> Orientation:
    """Try all eight on the hundred frames nearest to the middle of the scan.

    Raises:
        DataError: counts that cannot be split, so that nothing can be held out.
    """
    from ptycho.refinement.run import refine

    scan = middle_of(clean_scan(scan), FRAMES)
    config = RefineConfig(passes=PASSES, patience=PASSES, held_out_fraction=0.3, regularise="off")
    deviances: dict[str, float] = {}
    for number, (name, turn) in enumerate(NAMES.items()):
        result = refine(turned(scan, turn), config=config)
        held_out = result.reconstruction.meta["held_out_deviance"]
        if held_out is None:
            raise DataError(
                "the orientation is judged by held-out counts, and these cannot be split",
                where=scan.name,
                expected="photons as whole numbers",
                got="fractional counts",
                fix="say it with --transpose and --flip",
            )
        deviances[name] = float(held_out)
        if progress:
            progress(number + 1, len(NAMES), {"tried": name, "held-out": held_out})
    pairs = sorted(PAIRS, key=lambda pair: min(deviances[name] for name in pair))
    best, second = (min(deviances[name] for name in pair) for pair in pairs[:2])
    held = max(1, round(config.held_out_fraction * scan.n_frames)) * scan.N**2
    # Half-deviances of Poisson counts have a variance of about a half for each pixel.
    error = math.sqrt(2 * 0.5 / held)
    pair = pairs[0] if second - best > 2 * error else PAIRS[0]
    if pair is not PAIRS[0]:
        pair = pair if deviances[pair[0]] <= deviances[pair[1]] else pair[::-1]
    return Orientation(NAMES[pair[0]], pair[0], pair[1], deviances, second - best, error)


def turned(scan: Scan, turn: Turn) -> Scan:
    """The scan with its frames (not its probe) turned."""
    if not turn:
        return scan
    found = select(scan, Ways(**turn), None)
    assert isinstance(found, Scan)
    return replace(found, sanity=scan.sanity)
