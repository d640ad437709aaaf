"""Which frames cannot be believed: empty, saturated, of another exposure, elsewhere; flux drift.

What a frame may hold follows from the frames around it. Its light is the specimen's transmission
averaged by the probe, S_j = Σ_r |P(r − r_j)|² T(r), so that frames that overlap hold similar
light. The roughest T is white noise; then the correlation of S_i and S_j is that of |P|² with
itself at the distance of the positions, ρ(r_i − r_j), and anything that varies more than that
between neighbours is not the specimen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from ptycho.frames.findings import Finding

NEAR = 8
NEVER = 1e-6  # chance, over all frames, that is evidence beyond doubt
MOST_LEFT_OUT = 0.3
MOST_EXPOSURES = 0.1
LOCAL_SPREADS = 8.0
MOVED_SHARE = 0.3
CENTRE_PX = 2.5
DRIFT_LEAST = 0.08  # spread between neighbours that is told
DRIFT_SURE = 0.2  # and from which on it is scaled
DRIFT_SHARE = 0.45
TREND_LEAST = float(np.log(1.4))
TREND_SHARE = 0.5
MEDIAN = 0.455  # of the square of a normal number
DRIFT_OVERLAP = 0.4
CLOSE = 0.5
RINGS = (4, 12, 24)  # nearest neighbours


@dataclass(frozen=True, eq=False)
class Light:
    """What the frames told.

    Args:
        drop: (M,) bool, frames to leave out.
        flux: (M,) relative to their mean, or None where the light is even.
        findings: why.
    """

    drop: np.ndarray
    flux: np.ndarray | None
    findings: list[Finding]


def judge_frames(
    photons: np.ndarray,
    centre_px: np.ndarray,
    spoiled: np.ndarray,
    positions_px: np.ndarray,
    kernel: np.ndarray | None,
) -> Light:
    """Look at every frame.

    Args:
        photons: (M,) sums over the valid pixels.
        centre_px: (M, 2) centre of mass about the middle of the frame.
        spoiled: (M,) share of a frame's valid pixels that are no measurement.
        positions_px: (M, 2), finite.
        kernel: (N, N) |P|², or None if nothing is known about the probe.
    """
    count = len(photons)
    drop = np.zeros(count, bool)
    findings: list[Finding] = []

    def note(code: str, frames: np.ndarray, **evidence: float | str) -> None:
        frames = frames & ~drop
        if not frames.any():
            return
        done = "left out" if frames.mean() <= MOST_LEFT_OUT else "nothing"
        if done == "left out":
            drop[frames] = True
        findings.append(Finding(code, evidence, done, np.flatnonzero(frames).tolist()))

    bad = spoiled > 0.05
    note("frame-saturated", bad, most_pixels=f"{spoiled.max(initial=0):.1%}")
    if count < NEAR + 1:
        return Light(drop, None, findings)
    table = None if kernel is None else Overlaps(kernel)
    empty, expected = _empty(photons, positions_px, ~drop, table)
    if empty.any():
        note(
            "frame-empty",
            empty,
            most_photons=float(photons[empty].max()),
            expected=float(expected[empty].min()),
        )
    good = np.flatnonzero(~drop)
    if len(good) < NEAR + 1:
        return Light(drop, None, findings)
    places = positions_px[good]
    flux = None
    if table is not None:
        flux, evidence = _drift(photons[good], places, table)
        if evidence:
            done = "nothing" if flux is None else "scaled"
            findings.append(Finding("flux-drift", evidence, done))
        elif trend := _trend(photons[good], good):
            findings.append(Finding("flux-trend", trend))
        if flux is not None:
            whole = np.ones(count)
            whole[good] = flux
            flux = whole
        else:
            odd, usual = _exposure(photons[good], places, table)
            if 0 < odd.mean() <= MOST_EXPOSURES:
                share = np.ones(count)
                share[good[odd]] = photons[good[odd]] / usual[odd]
                # More light may be stray light, which no factor explains; less is less light.
                note("frame-exposure", share > 1, times_the_light_around=float(share.max()))
                if (dark := share < 1).any():
                    flux = np.where(dark, share, 1.0)
                    told = {"times_the_light_around": float(share.min())}
                    frames = np.flatnonzero(dark).tolist()
                    findings.append(Finding("frame-exposure", told, "scaled", frames))
    away = np.zeros(count, bool)
    away[good], furthest = _off_centre(photons[good], centre_px[good], places, table)
    if away.any() and away.mean() <= MOST_EXPOSURES:
        note("frame-off-centre", away, furthest_px=furthest)
    return Light(drop, flux, findings)


def _nearest(places: np.ndarray, near: int = NEAR) -> tuple[np.ndarray, np.ndarray]:
    """(M, K) numbers of the nearest other frames, and their distances."""
    distance, index = cKDTree(places).query(places, k=near + 1)
    own = index == np.arange(len(places))[:, None]
    own[~own.any(axis=1), -1] = True
    order = np.argsort(own, axis=1, kind="stable")[:, :near]
    return np.take_along_axis(index, order, 1), np.take_along_axis(distance, order, 1)


def _empty(
    photons: np.ndarray, positions: np.ndarray, usable: np.ndarray, overlaps: Overlaps | None
) -> tuple[np.ndarray, np.ndarray]:
    """Frames with (almost) no light, where the frames around hold plenty.

    Three quarters of the mean of the four darkest of the eight nearest are expected at least; a
    thousandth of the median where whole regions are dark. Poisson: P(0 | λ) = exp(−λ).
    """
    near, distance = _nearest(positions)
    around = np.sort(photons[near], axis=1)[:, : NEAR // 2].mean(axis=1)
    expected = np.maximum(0.75 * around, 1e-3 * float(np.median(photons[usable])))
    # Where frames hardly overlap, one of them may look into a hole of the specimen.
    close = overlaps is not None and overlaps(distance[:, :4]).mean() > CLOSE
    dark = photons <= (0.02 if close else 0.001) * expected
    # P(Poisson(λ) ≤ 0.02 λ) < exp(−0.9 λ)
    certain = np.log(len(photons)) - 0.9 * expected < np.log(NEVER)
    zero = (photons == 0) & (np.log(len(photons)) - expected < np.log(1e-2))
    return dark & (certain | zero), expected


class Overlaps:
    """Correlation of |P|² with itself, ρ(distance), averaged over directions; its `photons`."""

    def __init__(self, kernel: np.ndarray) -> None:
        size = kernel.shape[-1]
        kernel = kernel.astype(np.float64)
        self.photons = float(kernel.sum())
        wide = np.fft.fft2(kernel / max(float(kernel.max()), 1e-300), s=(2 * size, 2 * size))
        both = np.fft.fftshift(np.fft.ifft2(np.abs(wide) ** 2).real)
        axis = np.arange(2 * size) - size
        radius = np.hypot(axis[:, None], axis)
        rings = np.rint(radius).astype(int).ravel()
        sums = np.bincount(rings, both.ravel()) / np.bincount(rings)
        self.rho = np.clip(sums / sums[0], 0.0, 1.0)

    def __call__(self, distance: np.ndarray) -> np.ndarray:
        """ρ at these distances in pixels."""
        return np.interp(distance, np.arange(len(self.rho)), self.rho, right=0.0)


def _drift(
    photons: np.ndarray, places: np.ndarray, overlaps: Overlaps
) -> tuple[np.ndarray | None, dict[str, float]]:
    """Flux of each frame, where neighbours differ more than their overlap allows.

    Half the median squared log ratios of pairs in rings of neighbours, γ(h) = s²(1 − ρ(h)) + f²,
    of a white transmission s and an independent flux f: two rings tell both. A smoother specimen
    makes f² negative; a periodic one has a ring that varies less than the nearest.
    """
    if len(places) <= RINGS[-1] + 1:
        return None, {}
    near, distance = _nearest(places, RINGS[-1])
    logs = np.log(np.maximum(photons, 0.5))
    pairs = (logs[:, None] - logs[near]) ** 2
    shot = float((1 / np.maximum(photons, 1)).mean())
    parts = [slice(low, high) for low, high in zip((0, *RINGS), RINGS, strict=False)]
    gamma = [float(np.median(pairs[:, part])) / (2 * MEDIAN) - shot for part in parts]
    rho = [float(overlaps(distance[:, part]).mean()) for part in parts]
    specimen = max((gamma[-1] - gamma[0]) / max(rho[0] - rho[-1], 0.1), 0.0)
    even = gamma[0] - specimen * (1 - rho[0])
    share, spread = even / max(gamma[0], 1e-30), float(np.sqrt(max(even, 0.0)))
    plain = spread < DRIFT_LEAST or even < 4 * shot or min(gamma) < 0.7 * gamma[0]
    if rho[0] < DRIFT_OVERLAP or plain or share < DRIFT_SHARE:
        return None, {}
    few = near[:, :NEAR], distance[:, :NEAR]
    flux = _without_specimen(logs, places, *few, overlaps, specimen, even)
    evidence = {
        "spread_of_the_light": spread,
        "share_of_what_neighbours_differ": share,
        "least_flux": float(flux.min()),
        "largest_flux": float(flux.max()),
    }
    return (flux if spread > DRIFT_SURE else None), evidence


def _trend(photons: np.ndarray, numbers: np.ndarray) -> dict[str, float]:
    """The factor by which the light changes from the first frame to the last, if it does so slowly.

    Neighbours in space are neighbours in time, so that a specimen that absorbs more and more looks
    the same: it is told, and nothing is scaled.
    """
    logs, time = np.log(np.maximum(photons, 0.5)), numbers - numbers.mean()
    slope = float((logs * time).sum() / (time**2).sum())
    span, spread = slope * float(np.ptp(time)), float(logs.std())
    share = abs(slope) * float(time.std()) / max(spread, 1e-30)
    if abs(span) < TREND_LEAST or share < TREND_SHARE:
        return {}
    return {"last_to_first": float(np.exp(span)), "correlation_with_time": share}


def without_ramp(values: np.ndarray, positions_px: np.ndarray) -> np.ndarray:
    """(M,) without their mean and the part that is linear in the positions (M, 2).

    Of the logarithm of the light that part is a gauge: s_j·exp(−k·r_j), O(x)·exp(k·x/2) and
    P(r)·exp(−k·r/2) leave every frame as it is, so that frames alone never tell it.
    """
    places = positions_px - positions_px.mean(axis=0)
    away = np.asarray(values, np.float64) - np.mean(values, dtype=np.float64)
    return np.asarray(away - places @ np.linalg.lstsq(places, away, rcond=None)[0])


def _without_specimen(
    logs: np.ndarray,
    places: np.ndarray,
    near: np.ndarray,
    distance: np.ndarray,
    overlaps: Overlaps,
    specimen: float,
    flux_var: float,
) -> np.ndarray:
    """Flux = what the neighbours cannot explain (kriging: specimen s² with ρ, flux f² without).

    What is linear in the positions is the specimen's: see `without_ramp`.
    """
    weight = overlaps(distance)
    smooth = (weight * logs[near]).sum(1) / np.maximum(weight.sum(1), 1e-12)
    trust = specimen / (specimen + flux_var)
    mean = float(logs.mean())
    guess = mean + trust * (smooth - mean)
    flux = np.exp(without_ramp(logs - guess, places))
    return np.asarray(flux / flux.mean())


def _exposure(
    photons: np.ndarray, places: np.ndarray, overlaps: Overlaps
) -> tuple[np.ndarray, np.ndarray]:
    """Frames brighter or darker than all eight around, beyond what moved in or out of the light.

    And the median of those around, which the exposure is estimated with.
    """
    near, distance = _nearest(places)
    if overlaps(distance[:, :4]).mean() < CLOSE:
        return np.zeros(len(photons), bool), photons
    around = photons[near]
    incident = max(1.1 * float(np.quantile(photons, 0.98)), overlaps.photons)
    moved = np.sqrt(np.maximum(1 - overlaps(distance) ** 2, 0)).min(axis=1)
    middle = np.median(around, axis=1)
    residual = photons - middle
    usual = 1.4826 * float(np.median(np.abs(residual))) + np.sqrt(middle)
    far = np.abs(residual) > np.maximum(LOCAL_SPREADS * usual, MOVED_SHARE * moved * incident)
    up = photons > 1.3 * around.max(axis=1) + 6 * np.sqrt(around.max(axis=1))
    down = photons < 0.6 * around.min(axis=1) - 6 * np.sqrt(around.min(axis=1))
    return np.asarray(far & (up | down)), middle


def _off_centre(
    photons: np.ndarray, centre: np.ndarray, places: np.ndarray, overlaps: Overlaps | None
) -> tuple[np.ndarray, float]:
    """Frames whose centre of mass lies apart from those of all frames around."""
    near, distance = _nearest(places)
    if overlaps is None or overlaps(distance[:, :4]).mean() < CLOSE:
        return np.zeros(len(photons), bool), 0.0
    residual = centre - np.median(centre[near], axis=1)
    apart = np.hypot(*residual.T)
    usual = 1.4826 * float(np.median(apart)) + 8 / np.sqrt(np.maximum(photons, 1))
    lit = photons > 0.3 * np.median(photons[near], axis=1)
    away = lit & (apart > np.maximum(CENTRE_PX, LOCAL_SPREADS * usual))
    return away, float(apart[away].max(initial=0))
