"""Counts and positions are looked at before any light is spent; nothing wrong stays silent.

`clean_scan` reads the frames once (a few of them twice), in bounded memory, and returns the scan
with bad pixels masked, bad frames left out and uneven light written down, each with its evidence.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from scipy import ndimage

from ptycho.errors import MaskPolarityError, UsageError, ValueRangeError
from ptycho.frames import places
from ptycho.frames.census import MOST_SPOTS, Census, blocks, spread
from ptycho.frames.findings import CLEAN, Finding, Report
from ptycho.frames.light import Light, judge_frames
from ptycho.frames.order import judge_order
from ptycho.frames.photon import judge_gain
from ptycho.frames.pixels import Pixels, judge_pixels
from ptycho.frames.planes import is_near, light_on_detector
from ptycho.frames.turns import judge_turn
from ptycho.frames.views import Cleaned, Lowered, Spots, gather

if TYPE_CHECKING:
    from ptycho.scan import Measured

S = TypeVar("S", bound="Measured")

FEW_PHOTONS = 1e3
MEANT_PX = 1e15  # beyond it a float64 knows no pixel
COPY_PHOTONS = 20
MOST_COPIES = 0.1
SAME_LIGHT = 0.5
OTHER_LIGHT, OTHER_TIMES = 0.95, 10.0
DOSE_RATIO = 1.3
OFF_CENTRE_SHARE = 1 / 16
HIDDEN_LIGHT = 0.05  # of all that live pixels counted
OFFSET_TIES = 0.2
FEW_VALUES, MANY_VALUES = 1000, 20000
MOST_WHOLE = 0.9  # squares of whole numbers are whole
WHOLE = 1e-3  # beyond the rounding of float32
SUB_POISSON = 0.5  # variance over mean
ABOUT_ZERO = 0.2  # share of the darkest values that are negative
MOST_SPREADS = 8.0
NOISE = {"spread", "variance_to_mean"}  # what tells that the detector reads out with noise


def clean_scan(scan: S, clean: str = "auto") -> S:
    """The scan as it can be worked on; what was found is its `sanity` (a `Report`).

    Args:
        scan: as it was read; one that was looked at before is returned as it is.
        clean: 'auto' masks pixels and leaves out frames where the evidence is beyond doubt;
            'report' looks and touches nothing; 'off' does not look.

    Raises:
        UsageError: another word. ValueRangeError: hardly a value is a count.
    """
    if clean not in CLEAN:
        raise UsageError(
            "unknown way to clean", where="clean", expected=", ".join(CLEAN), got=repr(clean)
        )
    if scan.sanity is not None:
        return scan
    if clean == "off":
        return replace(scan, sanity=Report("off", frames=scan.n_frames))
    offset = _offset(scan)
    gain = _gain(_lowered(scan, offset), noisy=any(NOISE & f.evidence.keys() for f in offset))
    made = offset + gain
    if not any(finding.done == "divided" for finding in gain):  # √2 of a gain has whole squares
        made += _transformed(scan)
    lower = scan if clean == "report" else _lowered(scan, made)
    found = _look(lower, lower is not scan, _unit(made) if clean == "auto" else 1.0)
    found = replace(found, findings=[*made, *found.findings])
    if clean == "report":
        untouched = tuple(replace(finding, done="nothing") for finding in found.findings)
        return replace(scan, sanity=Report(clean, untouched, scan.n_frames))
    return _apply(lower, found)


@dataclass(frozen=True, eq=False)
class _Found:
    findings: list[Finding]
    bad: np.ndarray  # (N, N)
    spots: np.ndarray  # (K, 3) frame, row, col
    drop: np.ndarray  # (M,)
    flux: np.ndarray | None
    probe_scale: float


def _look(scan: Measured, lowered: bool, unit: float) -> _Found:
    findings: list[Finding] = []
    count = scan.n_frames
    drop = ~(np.abs(scan.positions_px) < MEANT_PX).all(axis=1)
    if drop.any():
        findings.append(_left_out("position-missing", drop))
    far = places.far_positions(scan.positions_px, scan.N) & ~drop
    if far.any():
        worst = float(np.abs(scan.positions_px[far]).max())
        findings.append(_left_out("position-far", far, furthest_px=worst))
        drop |= far
    if drop.all():
        raise ValueRangeError(
            "no frame has a position",
            where="positions_px",
            expected=f"(row, col) pixels, finite and below {MEANT_PX:g}",
            got="NaN, infinity or beyond that in all of them",
            fix="ptycho inspect SCAN --positions-unit um (or mm, nm), if it is the unit",
        )
    if scan.probe is not None and not np.isfinite(scan.probe).all():
        raise ValueRangeError(
            "the probe contains NaN or infinity",
            where="probe",
            expected="finite numbers, or no probe",
            got=f"{int((~np.isfinite(scan.probe)).sum())} of {scan.probe.size} are not",
        )
    if scan.probe is not None and not scan.probe.any():
        raise ValueRangeError(
            "the probe is zero everywhere",
            where="probe",
            expected="a probe that carries photons, or none",
            got="all zeros",
            fix="ptycho refine SCAN without a probe recovers one",
        )
    if scan.mask is not None and not scan.mask.any():
        raise MaskPolarityError(
            "the mask leaves no pixel",
            where="mask",
            expected="True = valid pixel",
            got=f"0 of {scan.mask.size} pixels valid",
            fix="invert the mask if it marks the bad pixels",
        )
    expected = None if scan.probe is None else light_on_detector(scan.probe, scan.geometry)
    pixels, census, spots = _pixels(scan, expected)
    findings += pixels.findings + _hidden(scan, census)
    kernel = None if scan.probe is None else (np.abs(scan.probe) ** 2).sum(axis=0)
    used = np.flatnonzero(~drop)
    light = _frames(scan, census, used, kernel)
    flux = None
    if light.flux is not None:
        flux = np.ones(count)
        flux[used] = light.flux
    findings += [_renumbered(finding, used) for finding in light.findings]
    findings += _copies(census, used, light.drop)
    drop[used[light.drop]] = True
    used = used[~light.drop]
    findings += _repeats(scan, used, drop, pixels.bad)
    used = np.flatnonzero(~drop)
    findings += places.judge_places(scan.positions_px[used], scan.N, kernel, scan.geometry)
    numbers = np.arange(count) if scan.numbers is None else scan.numbers
    findings += places.descending(scan.positions_px[used], numbers[used])
    if not is_near(scan.geometry):  # there a pattern moves with what it shows, not with its slope
        findings += judge_turn(np.concatenate(census.centre)[used], scan.positions_px[used])
    if kernel is not None:
        looks, lit = np.concatenate(census.looks), places.diameter_px(kernel)
        order = judge_order(looks, scan.positions_px, ~drop, lit)
        if order:  # the light around a frame then says nothing of the frame
            flux = None
            findings = [replace(f, done="nothing") if f.done == "scaled" else f for f in findings]
        findings += order
    photons = np.concatenate(census.light)
    if not photons.any():
        raise ValueRangeError(
            "there is no light in any frame",
            where="counts",
            expected="photons in the valid pixels",
            got=f"0 in all of {count} frames",
        )
    changed = bool(lowered or pixels.bad.any() or len(spots) or drop.any())
    scale, told = _probe(scan, census, pixels.bad, photons[used], expected, changed, unit)
    findings += told
    if len(used) and np.median(photons[used]) < FEW_PHOTONS:
        findings.append(Finding("few-photons", {"median_a_frame": float(np.median(photons[used]))}))
    return _Found(findings, pixels.bad, spots, drop, flux, scale)


def _left_out(code: str, frames: np.ndarray, **evidence: float) -> Finding:
    return Finding(code, evidence, "left out", np.flatnonzero(frames).tolist())


def _renumbered(finding: Finding, used: np.ndarray) -> Finding:
    return replace(finding, items=[int(used[i]) for i in finding.items])


def _offset(scan: Measured) -> list[Finding]:
    """A number that stands in every pixel, and counts that vary about zero.

    Where no photon came, the counts are the offset itself: the least of the darkest quarter, again
    and again. Poisson light that leaves no pixel dark hardly repeats its least value. Counts of a
    detector that reads out with noise vary about the offset: whole numbers that vary less than
    Poisson's, or, where the offset was taken off, as often below zero as above. What the file says
    of its background is no finding.
    """
    frames = _seen(scan, spread(scan.n_frames, 4 * scan.N**2))
    mask = np.ones((scan.N, scan.N), bool) if scan.mask is None else scan.mask
    mask = mask & np.isfinite(frames).all(axis=0)
    values = frames[frames.max(axis=(1, 2)) > 0][:, mask].astype(np.float64)
    values = values[:, values.any(axis=0)]
    if values.size < FEW_VALUES or len(values) < 2 or (values == values[0]).all():
        return []
    mean = values.mean(axis=0)
    dark = values[:, mean <= np.quantile(mean, 0.25)]
    low, middle, least = np.quantile(dark, [0.1, 0.5, 0.01])
    if low < 0 and middle > low and (dark < 0).mean() > ABOUT_ZERO:
        return [Finding("counts-about-zero", {"spread": float(middle - low) / 1.28}, "set to 0")]
    if least <= scan.background or mean.max() < 1.1 * least:
        return []
    ties = float(np.isclose(dark, least, rtol=1e-6, atol=0).mean())
    if ties >= OFFSET_TIES:
        evidence = {"offset": float(least), "share_of_the_dark": ties}
        return [Finding("counts-offset", evidence, "subtracted")]
    spread_ = float(np.median(dark.var(axis=0) / dark.mean(axis=0)))
    if spread_ < SUB_POISSON and np.array_equal(dark, np.rint(dark)):
        told = {"offset": float(middle), "variance_to_mean": spread_}
        return [Finding("counts-offset", told, "subtracted")]
    return []


def _transformed(scan: Measured) -> list[Finding]:
    """Numbers that are not whole, though their squares are (or what they are the logarithm of)."""
    mask = np.ones((scan.N, scan.N), bool) if scan.mask is None else scan.mask
    values = _seen(scan, spread(scan.n_frames, 4 * scan.N**2))[:, mask].astype(np.float64)
    values = values[np.isfinite(values) & (values > 0)]
    values = values[:: 1 + len(values) // MANY_VALUES]
    exact = float(np.finfo(np.float32).eps)
    already = np.abs(values - np.rint(values)) < 4 * exact * values
    if len(values) < FEW_VALUES or already.mean() > MOST_WHOLE:
        return []
    for name, back, slope in (
        ("square roots of counts: --measurement amplitude", np.square, lambda v: 2 * v * v),
        ("logarithms, log(1 + counts)", np.expm1, lambda v: v * np.exp(v)),
    ):
        small = values[slope(np.minimum(values, 80.0)) * exact < 0.05]
        whole = back(small)
        error = np.abs(whole - np.rint(whole)) - 2 * exact * slope(small)
        if len(small) >= FEW_VALUES and whole.max() > 0.5 and (error < WHOLE).all():
            return [Finding("counts-transformed", {"values": len(small), "perhaps": name})]
    return []


def _gain(scan: Measured, noisy: bool) -> list[Finding]:
    """What one photon counts, if the counts say it; `noisy`: the detector reads out with noise."""
    few = spread(scan.n_frames, 4 * scan.N**2)
    frames = _seen(scan, few)
    valid = np.ones((scan.N, scan.N), bool) if scan.mask is None else scan.mask
    valid = valid & ((frames >= 0) & (frames < scan.ceiling())).all(axis=0)
    if scan.frame_mask is not None:
        valid &= (gather(scan.frame_mask, few) != 0).all(axis=0)
    return judge_gain(frames, valid, MANY_VALUES, noisy)


def _unit(findings: list[Finding]) -> float:
    """What the counts are to be divided by."""
    units = [float(f.evidence["one_photon"]) for f in findings if f.done == "divided"]
    return units[0] if units else 1.0


def _lowered(scan: S, findings: list[Finding]) -> S:
    """Without the offset that was found and what noise brought below zero, and in photons.

    Counts and the light of the probe divided by the same number leave the object as it is.
    """
    done = [finding.evidence for finding in findings if finding.done != "nothing"]
    if not done:
        return scan
    offset = sum(float(evidence.get("offset", 0.0)) for evidence in done)
    least = -MOST_SPREADS * sum(float(evidence.get("spread", 0.0)) for evidence in done)
    unit = _unit(findings)
    scan = replace(scan, counts=Lowered(scan.counts, offset, least, unit))
    if unit == 1.0:
        return scan
    probe = None if scan.probe is None else scan.probe / np.float32(np.sqrt(unit))
    return replace(scan, background=scan.background / unit, probe=probe)


def _hidden(scan: Measured, census: Census) -> list[Finding]:
    """Whether the mask hides pixels that count as others do: is a part of it upside down?"""
    if scan.mask is None:
        return []
    alive = (census.lowest < census.highest) & (census.high + census.negative == 0)
    brightest = census.highest[scan.mask].max(initial=0)
    alive &= ~scan.mask & (census.not_finite == 0) & (census.highest <= brightest)
    hidden, seen = float(census.total[alive].sum()), float(census.total[scan.mask].sum())
    share = hidden / max(hidden + seen, 1e-30)
    if share < HIDDEN_LIGHT:
        return []
    evidence = {"share_of_the_light": share, "live_pixels_masked": int(alive.sum())}
    return [Finding("mask-hides-light", evidence)]


def _pixels(scan: Measured, light: np.ndarray | None) -> tuple[Pixels, Census, np.ndarray]:
    """Judge pixels on a few frames, then on all; (pixels, census, single bad values)."""
    N = scan.N
    mask = np.ones((N, N), bool) if scan.mask is None else scan.mask
    frame_bytes = 4 * N * N
    few = spread(scan.n_frames, frame_bytes)
    first = Census((N, N), scan.ceiling())
    first.add(_seen(scan, few), few, mask)
    early = judge_pixels(first, mask, light)
    trusted = mask & ~early.bad
    census = Census((N, N), min(first.ceiling, early.clip), collect=True)
    for numbers in blocks(scan.n_frames, frame_bytes):
        census.add(_seen(scan, numbers), numbers, trusted)
    pixels = judge_pixels(census, mask, light)
    if np.isfinite(early.clip):
        pixels = replace(pixels, findings=[_as_clip(f, first.ceiling) for f in pixels.findings])
    _require_counts(census, mask & ~pixels.bad, scan)
    late = pixels.bad & trusted
    if late.any():  # their counts are in the sums of the frames
        for k, numbers in enumerate(blocks(scan.n_frames, frame_bytes)):
            again = Census((N, N), census.ceiling)
            again.add(_seen(scan, numbers), numbers, mask & ~pixels.bad)
            census.light[k], census.centre[k] = again.light[0], again.centre[0]
    _without_flashes(census, pixels.flashes)
    spots = [np.array(pixels.flashes, np.int64).reshape(-1, 3), *census.spots]
    merged = np.unique(np.concatenate(spots), axis=0)
    return pixels, census, merged[(mask & ~pixels.bad)[merged[:, 1], merged[:, 2]]]


def _seen(scan: Measured, numbers: np.ndarray) -> np.ndarray:
    """Frames as they are stored, and 0 where the mask of the frame says that nothing was seen."""
    frames = scan.raw(numbers)
    if scan.frame_mask is None:
        return frames
    return np.where(gather(scan.frame_mask, numbers) != 0, frames, np.float32(0))


def _without_flashes(census: Census, flashes: list[tuple[int, int, int]]) -> None:
    """Take single bright values out of the light of their frames and its centre."""
    light, centre = np.concatenate(census.light), np.concatenate(census.centre)
    for frame, row, col in flashes:
        value = census.highest[row, col]
        rest = max(light[frame] - value, 0.0)
        place = np.array([row - census.shape[0] // 2, col - census.shape[1] // 2])
        centre[frame] = (centre[frame] * light[frame] - value * place) / max(rest, 1e-30)
        light[frame] = rest
    census.light, census.centre = [light], [centre]


def _as_clip(finding: Finding, ceiling: float) -> Finding:
    """What stood at or above the count where the detector stops."""
    if finding.code != "pixel-at-maximum" or finding.evidence["maximum"] >= ceiling:
        return finding
    evidence = {
        "count": finding.evidence["maximum"],
        "most_frames": finding.evidence["most_frames"],
    }
    return replace(finding, code="pixel-clipped", evidence=evidence)


def _require_counts(census: Census, mask: np.ndarray, scan: Measured) -> None:
    wrong = int((census.not_finite + census.negative)[mask].sum())
    if not mask.any() or wrong > MOST_SPOTS:
        raise ValueRangeError(
            "most of the values are no counts: negative, not finite, or at the maximum of the type",
            where="counts",
            expected="photons ≥ 0",
            got=f"{int((~mask).sum())} of {mask.size} pixels are bad",
            fix="subtract the dark without going below 0, or give --mask FILE",
        )


def _frames(scan: Measured, census: Census, used: np.ndarray, kernel: np.ndarray | None) -> Light:
    valid = scan.N**2 if scan.mask is None else max(1, int(scan.mask.sum()))
    spoiled = np.concatenate(census.frame_high) + np.concatenate(census.frame_bad)
    light = np.concatenate(census.light)[used]
    if scan.flux is not None:  # what a monitor measured is no finding, and not taken twice
        light = light / scan.flux[used]
    return judge_frames(
        light,
        np.concatenate(census.centre)[used],
        spoiled[used] / valid,
        scan.positions_px[used],
        kernel,
    )


def _copies(census: Census, used: np.ndarray, drop: np.ndarray) -> list[Finding]:
    """Frames that hold the very counts of one before: the detector did not read out again.

    Two Poisson frames of 20 photons or more are never the same; many that are were not counted.
    """
    marks, light = (np.concatenate(found)[used] for found in (census.marks, census.light))
    _, first = np.unique(marks, return_index=True)
    copies = np.ones(len(used), bool)
    copies[first] = False
    copies &= (light >= COPY_PHOTONS) & ~drop
    if not copies.any():
        return []
    evidence = {"photons": float(light[copies].min())}
    few = bool(copies.mean() <= MOST_COPIES)  # else it is no slip: nothing says which are right
    if few:
        drop |= copies
    done = "left out" if few else "nothing"
    return [Finding("frame-repeated", evidence, done, used[copies].tolist())]


def _repeats(scan: Measured, used: np.ndarray, drop: np.ndarray, bad: np.ndarray) -> list[Finding]:
    """Frames that claim one position and hold different patterns: one of them is wrong."""
    wrong: list[int] = []
    groups = [used[group] for group in places.repeated(scan.positions_px[used])]
    if not 0 < sum(map(len, groups)) <= max(2, 0.1 * len(used)):
        return []
    valid = ~bad if scan.mask is None else scan.mask & ~bad
    for group in groups:
        frames = np.nan_to_num(scan.raw(group)[:, valid].astype(np.float64)).clip(0)
        first, *rest = frames
        for other in rest:
            both = first.sum() + other.sum()
            expected = (first + other) * (first.sum() / max(both, 1.0))
            spread_ = (first - expected) ** 2 / np.maximum(
                expected * (1 - first.sum() / max(both, 1.0)), 1e-9
            )
            lit = expected > 0.25
            z = (spread_[lit].sum() - lit.sum()) / max(np.sqrt(2 * lit.sum()), 1.0)
            if z > 30:
                wrong += [int(i) for i in group]
                break
    if not wrong:
        return []
    drop[wrong] = True
    return [Finding("positions-repeated", {"positions": len(groups)}, "left out", sorted(wrong))]


def _probe(
    scan: Measured,
    census: Census,
    bad: np.ndarray,
    photons: np.ndarray,
    expected: np.ndarray | None,
    changed: bool,
    unit: float,
) -> tuple[float, list[Finding]]:
    """Whether the probe looks like the light of the frames, and carries as much of it.

    `expected` (N, N) is its light on the detector, `unit` what both were divided by: a probe whose
    light fits only as it was before had been written in photons.
    """
    total = np.where(bad, 0.0, census.total)
    if scan.mask is not None:
        total = np.where(scan.mask, total, 0.0)
    if not total.any() or not len(photons):
        return 1.0, []
    N, found = scan.N, []
    middle = _centroid(total)
    if expected is None or scan.probe is None:
        if np.hypot(*middle) > OFF_CENTRE_SHARE * N:
            evidence = {"row_px": middle[0], "col_px": middle[1]}
            found.append(Finding("pattern-off-centre", evidence))
        return 1.0, found
    hidden = bad if scan.mask is None else bad | ~scan.mask
    far = np.where(hidden, 0.0, expected)
    if not far.any():
        return 1.0, found
    offset = np.subtract(middle, _centroid(far))
    if np.hypot(*offset) > max(2.0, OFF_CENTRE_SHARE * N):
        evidence = {"row_px": float(offset[0]), "col_px": float(offset[1])}
        found.append(Finding("pattern-off-centre", evidence))
    alike = _alike(total, far)
    found += _other_field(scan, total, hidden, alike)
    if alike < SAME_LIGHT:
        found.append(Finding("probe-far", {"likeness": alike, "at_least": SAME_LIGHT}))
        return 1.0, found  # the light is not that of the probe: how much it is says nothing of it
    energy = float(far.sum())
    if scan.metadata.get("probe_scaled"):  # to the mean of the frames, with all that was wrong
        return float(np.sqrt(float(photons.mean()) / energy)) if changed else 1.0, found
    measured = float(np.quantile(photons, 0.9)) - scan.background * float((~bad).sum())
    if _like(measured / energy):
        return 1.0, found
    if unit != 1.0 and _like(measured / energy / unit):
        return float(np.sqrt(unit)), found
    evidence = {"photons_in_the_frames": measured, "photons_of_the_probe": energy}
    found.append(Finding("probe-dose", evidence, "scaled"))
    return float(np.sqrt(max(measured, 1e-30) / energy)), found


def _like(light_to_probe: float) -> bool:
    """Whether an object can leave so much of the light of the probe."""
    return 0.05 < light_to_probe < DOSE_RATIO


def _alike(total: np.ndarray, light: np.ndarray) -> float:
    """Overlap of the square roots of two blurred images: 1 where they are multiples."""
    sigma = max(1.0, len(total) / 32)
    one, other = (ndimage.gaussian_filter(image, sigma) for image in (total, light))
    both = float(np.sqrt(one.sum() * other.sum()))
    return float(np.sqrt(one * other).sum()) / max(both, 1e-30)


def _other_field(
    scan: Measured, total: np.ndarray, hidden: np.ndarray, alike: float
) -> list[Finding]:
    """Whether the frames hold the light of the probe in the field that the scan does not name.

    It must be told ten times better than by the field that it names. (Of 72 simulated scans, three
    distances, three probes, flat and curved, weak and strong specimens in both fields, the wrong
    field told it at best 1.7 times worse than the right one.)
    """
    geometry, near = scan.geometry, is_near(scan.geometry)
    if geometry is None or scan.probe is None:
        return []
    light = light_on_detector(scan.probe, replace(geometry, near_field=not near))
    other = _alike(total, np.where(hidden, 0.0, light))
    if other < OTHER_LIGHT or 1 - alike < OTHER_TIMES * (1 - other):
        return []
    words = ("near field", "far field") if near else ("far field", "near field")
    told = {"modelled": words[0], "likeness": alike, "perhaps": words[1], "its_likeness": other}
    return [Finding("other-field", told)]


def _centroid(image: np.ndarray) -> tuple[float, float]:
    row, col = ndimage.center_of_mass(image)
    return float(row - image.shape[0] // 2), float(col - image.shape[1] // 2)


def _apply(scan: S, found: _Found) -> S:
    changes: dict[str, Any] = {}
    if found.bad.any():
        changes["mask"] = ~found.bad if scan.mask is None else scan.mask & ~found.bad
    if found.bad.any() or len(found.spots):
        cleaned = Cleaned(scan.counts, found.bad, Spots(scan.counts.shape, found.spots))
        in_memory = isinstance(scan.counts, np.ndarray)
        changes["counts"] = cleaned.all(scan.counts.dtype) if in_memory else cleaned
    if len(found.spots):
        changes["frame_mask"] = Spots(scan.counts.shape, found.spots, scan.frame_mask)
    if found.flux is not None:
        changes["flux"] = found.flux if scan.flux is None else scan.flux * found.flux
    if found.probe_scale != 1.0 and scan.probe is not None:
        changes["probe"] = scan.probe * np.float32(found.probe_scale)
    report = Report("auto", tuple(found.findings), scan.n_frames)
    keep = np.flatnonzero(~found.drop)
    scan = replace(scan, sanity=report, **_kept(scan, changes, keep))
    if scan.flux is not None:
        scan = replace(scan, flux=scan.flux / scan.flux.mean())
    return scan


def _kept(scan: Measured, changes: dict[str, Any], keep: np.ndarray) -> dict[str, Any]:
    """The changes, for the frames `keep` only; in one step, since what is left out may be bad."""
    if len(keep) == scan.n_frames:
        return changes
    return changes | scan.rows_of(keep, **changes)
