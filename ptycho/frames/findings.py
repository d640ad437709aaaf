"""What a look at frames and positions can find, in words, and the report that lists it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, get_args

from ptycho.config import Clean

CLEAN = get_args(Clean)

CODES: dict[str, str] = {
    "counts-offset": "every count has the same number added to it (a dark that was not taken off)",
    "counts-about-zero": "counts vary about zero (a dark was taken off): less than none is none",
    "counts-gain": "all counts are multiples of one number: what one photon counts (a gain)",
    "counts-transformed": "numbers are not counts but what was made of them, pixel by pixel",
    "counts-wrapped": "counts leap from the top of their type to its bottom between neighbours (a "
    "counter that ran over: what lies beyond is lost)",
    "mask-hides-light": "the mask hides pixels that see much of the light",
    "pixel-at-maximum": "pixels hold the largest number of their type (gaps, or overflow)",
    "pixel-clipped": "pixels reach one largest count again and again (saturation)",
    "pixel-constant": "pixels show the same count in every frame",
    "pixel-hot": "pixels shine alone among dark neighbours",
    "pixel-dead": "pixels are dark among lit neighbours",
    "pixel-negative": "pixels are negative",
    "pixel-not-finite": "pixels are NaN or infinite",
    "pixel-flash": "pixels shine alone in a single frame (a cosmic ray)",
    "frame-empty": "frames without light among lit ones",
    "frame-saturated": "frames in which many pixels are at the maximum or no number",
    "frame-exposure": "frames with another exposure than those around them",
    "frame-repeated": "frames that are copies of another, count by count",
    "frame-unexplained": "frames that the image of all others does not explain (a wrong position?)",
    "scan-unexplained": "the image explains the frames hardly better than their mean pattern does "
    "(few passes, another probe, other positions, or axes another way round?)",
    "frame-off-centre": "frames whose pattern lies elsewhere than in those around them",
    "pattern-off-centre": "the mean pattern does not lie in the middle of the frame",
    "flux-drift": "the light varies from frame to frame more than the specimen can explain",
    "flux-trend": "the light rises or falls from the first frame to the last: the beam, or a "
    "specimen that absorbs more and more",
    "position-missing": "frames without a position",
    "position-far": "positions far from all others",
    "positions-repeated": "frames at the position of another, with another pattern",
    "positions-too-wide": "the positions span more than memory can hold",
    "positions-descending": "the positions run from large to small: an axis of the other sign, or "
    "a list in reverse",
    "frames-turned": "the patterns move as if the frames lay another way than the positions say",
    "frames-order": "the patterns of neighbours are less alike than if frames and positions were "
    "paired another way",
    "positions-unit": "the positions look as if they were in another unit",
    "overlap-small": "neighbouring frames overlap little",
    "probe-far": "the probe does not look like the light of the frames",
    "probe-dose": "the probe carries another number of photons than the frames",
    "geometry-unit": "a length of the geometry cannot be meant in metres",
    "far-field": "the detector does not stand in the far field",
    "near-field-grid": "the distance is longer than the near field on this grid can follow",
    "layers": "the specimen has layers: refine models them, a network and an estimate one slice",
    "layers-distance": "the distance between layers that was set is not the scan's, or not used",
    "other-field": "the frames hold the light of the probe in another field than the scan says",
    "few-photons": "the frames hold few photons",
}


@dataclass(frozen=True)
class Finding:
    """One thing that was seen.

    Args:
        code: a key of `CODES`.
        evidence: the numbers that speak for it, JSON-able.
        done: 'masked', 'left out', 'scaled', 'subtracted', 'divided', 'set to 0', or 'nothing'.
        items: pixels [row, col], or frame numbers, that it concerns.
    """

    code: str
    evidence: dict[str, Any]
    done: str = "nothing"
    items: list[Any] = field(default_factory=list)

    def record(self) -> dict[str, Any]:
        """As JSON: at most 1000 items, their number beside them."""
        return {
            "code": self.code,
            "meaning": CODES[self.code],
            "evidence": self.evidence,
            "done": self.done,
            "sentence": self.sentence(),
            "count": len(self.items),
            "items": self.items[:1000],
        }

    def sentence(self) -> str:
        """One line for a person."""
        facts = ", ".join(
            f"{key.replace('_', ' ')} {_short(v)}" for key, v in self.evidence.items()
        )
        some = ", ".join(str(item) for item in self.items[:5])
        listed = f" [{some}{', …' if len(self.items) > 5 else ''}]" if self.items else ""
        count = f"{len(self.items)} " if self.items else ""
        told = [f"{self.code}: {count}{CODES[self.code]}{listed}", facts, f"done: {self.done}"]
        return "; ".join(part for part in told if part)


@dataclass(frozen=True)
class Report:
    """All findings of one look.

    Args:
        clean: how they were treated.
        findings: in the order of `CODES`.
        frames: how many there were.
    """

    clean: str
    findings: tuple[Finding, ...] = ()
    frames: int = 0

    def __iter__(self) -> Any:
        return iter(self.findings)

    @property
    def codes(self) -> set[str]:
        """The codes of what was found."""
        return {finding.code for finding in self.findings}

    def plus(self, finding: Finding) -> Report:
        """With one thing more, which the work itself brought to light."""
        return replace(self, findings=(*self.findings, finding))

    @property
    def left_out(self) -> list[int]:
        """Numbers of the frames that were left out."""
        return sorted({i for f in self.findings if f.done == "left out" for i in f.items})

    @property
    def masked(self) -> list[list[int]]:
        """[row, col] of the pixels that were masked."""
        return [p for f in self.findings if f.done == "masked" for p in f.items]

    def sentences(self) -> list[str]:
        """One line for each finding."""
        return [finding.sentence() for finding in self.findings]

    def record(self) -> dict[str, Any]:
        """As JSON, for the file of a result."""
        return {
            "clean": self.clean,
            "frames": self.frames,
            "left_out": self.left_out,
            "findings": [finding.record() for finding in self.findings],
        }


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
