"""Each fault is found by its own code, and nothing is found in clean frames of any dose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from ptycho.errors import MaskPolarityError, TooLargeError, UsageError, ValueRangeError
from ptycho.frames import CODES, Report, Ways, clean_scan, require_canvas, select
from ptycho.scan import Geometry, Measured, Scan
from ptycho.simulation import SimulationConfig, simulate

N, M = 32, 90


@cache
def clean_one(photons: float = 1e5) -> Scan:
    return simulate(SimulationConfig(N=N, n_frames=M, photons=photons, amplitude="coins"))


def measured(scan: Scan, **changes: object) -> Measured:
    """What a reader would return of it: nothing is checked yet."""
    names = ("counts", "positions_px", "probe", "mask", "geometry", "background")
    return Measured(**{name: getattr(scan, name) for name in names} | changes)  # type: ignore[arg-type]


def counts_with(change: Callable[[np.ndarray], None], dtype: type = np.float32) -> Measured:
    scan = clean_one()
    counts = scan.counts.astype(dtype)
    change(counts)
    return measured(scan, counts=counts)


def put(where: tuple[object, ...], value: float) -> Callable[[np.ndarray], None]:
    def change(counts: np.ndarray) -> None:
        counts[where] = value

    return change


def scaled(frame: int, factor: float) -> Callable[[np.ndarray], None]:
    def change(counts: np.ndarray) -> None:
        counts[frame] *= np.float32(factor)

    return change


def rolled(counts: np.ndarray) -> None:
    counts[17] = np.roll(counts[17], 7, axis=0)


ALL = slice(None)
PIXELS: dict[str, tuple[Measured, str, list[list[int]]]] = {
    "hot and constant": (counts_with(put((ALL, 3, 4), 2e6)), "pixel-constant", [[3, 4]]),
    "gap of a type's maximum": (
        counts_with(put((ALL, 20, ALL), 65535), np.uint16),
        "pixel-at-maximum",
        [[20, c] for c in range(N)],
    ),
    "negative mark": (counts_with(put((ALL, 5, 6), -1)), "pixel-negative", [[5, 6]]),
    "NaN": (counts_with(put((ALL, 5, 6), np.nan)), "pixel-not-finite", [[5, 6]]),
    "dead": (counts_with(put((ALL, 14, 15), 0)), "pixel-dead", [[14, 15]]),
}
FRAMES: dict[str, tuple[Measured, str, int]] = {
    "dead first frame": (counts_with(put((0,), 0)), "frame-empty", 0),
    "shutter nearly closed": (counts_with(scaled(40, 1e-3)), "frame-empty", 40),
    "shifted on the detector": (counts_with(rolled), "frame-off-centre", 17),
    "overflow of a whole frame": (
        counts_with(put((12,), 65535), np.uint16),
        "frame-saturated",
        12,
    ),
}


@pytest.mark.parametrize("name", PIXELS)
def test_a_bad_pixel_is_masked_and_nothing_else(name: str) -> None:
    raw, code, pixels = PIXELS[name]
    found = clean_scan(raw)
    assert found.sanity is not None
    assert found.sanity.codes == {code}
    assert found.mask is not None
    assert np.argwhere(~found.mask).tolist() == pixels
    assert found.n_frames == M
    Scan(found.counts, found.positions_px, found.probe, found.mask)  # nothing bad is left in it
    assert not np.asarray(found.counts)[:, ~found.mask].any()


@pytest.mark.parametrize("name", FRAMES)
def test_a_bad_frame_is_left_out_and_keeps_its_number(name: str) -> None:
    raw, code, frame = FRAMES[name]
    found = clean_scan(raw)
    assert found.sanity is not None
    assert found.sanity.codes == {code}
    assert found.sanity.left_out == [frame]
    assert found.numbers is not None
    assert found.numbers.tolist() == [i for i in range(M) if i != frame]
    np.testing.assert_array_equal(found.positions_px, np.delete(raw.positions_px, frame, 0))


def test_single_bad_values_are_left_out_of_their_frame_only() -> None:
    """A NaN and a cosmic ray: the pixel stays in all other frames."""

    def change(counts: np.ndarray) -> None:
        counts[7, 16, 16] = np.nan
        counts[9, 25, 3] = 1e6

    found = clean_scan(counts_with(change))
    assert found.sanity is not None
    assert found.sanity.codes == {"pixel-flash"}
    assert found.mask is None
    assert np.isfinite(found.counts).all()
    scan = Scan(found.counts, found.positions_px, found.probe, frame_mask=found.frame_mask)
    valid = scan.valid(np.arange(M))
    assert np.argwhere(~valid).tolist() == [[7, 16, 16], [9, 25, 3]]
    part = scan.subset([9, 8, 7])
    assert np.argwhere(~part.valid(np.arange(3))).tolist() == [[0, 25, 3], [2, 16, 16]]


def test_saturation_below_the_maximum_of_the_type_is_found_by_its_pile_up() -> None:
    scan = clean_one()
    level = float(np.quantile(scan.counts, 0.995))
    found = clean_scan(replace(scan, counts=np.minimum(scan.counts, np.float32(level))))
    assert found.sanity is not None
    assert found.sanity.codes == {"pixel-clipped"}
    clipped = (scan.counts >= level).mean(axis=0) > 0.05
    assert found.mask is not None
    assert not found.mask[clipped].any()


@pytest.mark.parametrize("photons", [1e2, 1e3, 1e4, 1e6, 1e8])
@pytest.mark.parametrize("amplitude", ["coins", "siemens", "dead_leaves"])
def test_clean_frames_of_any_dose_lose_nothing(photons: float, amplitude: str) -> None:
    config = SimulationConfig(N=N, n_frames=60, photons=photons, amplitude=amplitude, seed=5)
    report = clean_scan(simulate(config)).sanity
    assert report is not None
    assert [finding for finding in report if finding.done != "nothing"] == []


def test_an_empty_frame_is_evidence_at_twenty_photons_and_none_at_one() -> None:
    rng = np.random.default_rng(3)
    rows, cols = np.divmod(np.arange(100), 10)
    positions = 4.0 * np.column_stack([rows, cols])
    for photons, codes in ((20.0, {"frame-empty"}), (1.0, set())):
        counts = rng.poisson(photons / 64, (100, 8, 8)).astype(np.float32)
        counts[55] = 0
        report = clean_scan(Scan(counts, positions)).sanity
        assert report is not None
        assert {f.code for f in report if f.done != "nothing"} == codes


def test_a_short_exposure_is_scaled_and_a_long_one_may_be_stray_light() -> None:
    def change(counts: np.ndarray) -> None:
        counts[33] *= 3
        counts[50] *= np.float32(0.2)

    found = clean_scan(counts_with(change))
    assert found.sanity is not None
    assert found.sanity.codes == {"frame-exposure"}
    assert found.sanity.left_out == [33]
    assert found.flux is not None
    assert found.n_frames == M - 1
    usual = np.median(found.flux)
    assert found.flux[49] / usual == pytest.approx(0.2, rel=0.25)  # frame 50
    assert (found.flux == usual).sum() == M - 2


def test_uneven_light_is_told_and_scaled() -> None:
    scan = clean_one()
    flux = np.random.default_rng(1).uniform(0.4, 1.6, M)
    counts = np.rint(scan.counts * flux[:, None, None]).astype(np.float32)
    found = clean_scan(replace(scan, counts=counts))
    assert found.sanity is not None
    assert "flux-drift" in found.sanity.codes
    assert found.flux is not None
    assert np.corrcoef(found.flux, flux)[0, 1] > 0.9  # the specimen's own variation remains
    assert found.flux.mean() == pytest.approx(1)
    even = found.even_frames(np.arange(M)).sum(axis=(1, 2))
    assert even.std() / even.mean() < 0.15


def test_positions_missing_far_and_claimed_twice() -> None:
    scan = clean_one()
    places = scan.positions_px.copy()
    places[3] = np.nan
    places[60] *= 1000
    places[41] = places[40]
    found = clean_scan(measured(scan, positions_px=places))
    assert found.sanity is not None
    left = {f.code: f.items for f in found.sanity if f.done == "left out"}
    assert left == {
        "position-missing": [3],
        "position-far": [60],
        "positions-repeated": [40, 41],
    }
    assert np.ptp(found.positions_px) < 200


def test_a_repeated_exposure_is_not_a_wrong_position() -> None:
    scan = clean_one()
    counts = scan.counts.copy()
    places = scan.positions_px.copy()
    counts[41] = np.random.default_rng(0).poisson(counts[40])
    places[41] = places[40]
    report = clean_scan(replace(scan, counts=counts, positions_px=places)).sanity
    assert report is not None
    assert report.left_out == []


def test_report_touches_nothing_and_off_does_not_look() -> None:
    raw = PIXELS["dead"][0]
    told = clean_scan(raw, "report")
    assert told.sanity is not None
    assert [(f.code, f.done) for f in told.sanity] == [("pixel-dead", "nothing")]
    assert told.counts is raw.counts
    assert told.mask is None
    assert clean_scan(raw, "off").sanity == Report("off", frames=M)
    with pytest.raises(UsageError, match="clean"):
        clean_scan(raw, "maybe")


def test_a_scan_is_looked_at_once() -> None:
    found = clean_scan(PIXELS["dead"][0])
    assert clean_scan(found) is found


def test_frames_that_are_hardly_counts_are_an_error() -> None:
    with pytest.raises(ValueRangeError, match="no counts"):
        clean_scan(counts_with(put((ALL, ALL, ALL), np.nan)))


def test_an_object_beyond_memory_is_refused_with_the_numbers() -> None:
    scan = clean_one()
    assert (
        "positions-too-wide" in sane(measured(scan, positions_px=1e5 * scan.positions_px))[1].codes
    )
    with pytest.raises(TooLargeError, match=r"1e\+06|1000032") as caught:
        require_canvas(np.array([[0.0, 0.0], [1e6, 1e6]]), 32, "a.cxi")
    assert "GiB" in str(caught.value)


def test_the_record_is_json_and_names_the_evidence() -> None:
    import json

    report = clean_scan(FRAMES["dead first frame"][0]).sanity
    assert report is not None
    record = json.loads(json.dumps(report.record()))
    assert record["left_out"] == [0]
    assert record["findings"][0]["evidence"]["most_photons"] == 0
    assert "frame-empty" in report.sentences()[0]


def test_every_code_stands_in_the_documents() -> None:
    page = (Path(__file__).parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")
    assert [code for code, words in CODES.items() if f"| `{code}` | {words} |" not in page] == []


@pytest.mark.parametrize("photons", [1e3, 1e5])
def test_light_that_falls_slowly_is_told_and_nothing_is_scaled(photons: float) -> None:
    """It may be the specimen: neighbours in space are neighbours in time."""
    scan = clean_one(photons)
    assert "flux-trend" not in clean_scan(measured(scan)).sanity.codes
    light = np.linspace(1, 0.5, M)[:, None, None]
    counts = np.random.default_rng(1).binomial(scan.frames(np.arange(M)).astype(int), light)
    found = clean_scan(measured(scan, counts=counts.astype(np.float32)))
    told = [finding for finding in found.sanity if finding.code == "flux-trend"]
    assert len(told) == 1 and told[0].done == "nothing" and found.flux is None
    assert told[0].evidence["last_to_first"] == pytest.approx(0.5, abs=0.1)


def test_no_light_and_a_probe_that_is_no_number_are_errors() -> None:
    scan = clean_one()
    with pytest.raises(ValueRangeError, match="no light"):
        clean_scan(measured(scan, counts=np.zeros(scan.counts.shape, np.float32)))
    with pytest.raises(ValueRangeError, match="probe contains NaN"):
        clean_scan(measured(scan, probe=scan.probe * np.complex64(np.nan)))


def sane(raw: Measured, clean: str = "auto") -> tuple[Measured, Report]:
    found = clean_scan(raw, clean)
    assert found.sanity is not None
    return found, found.sanity


@pytest.mark.parametrize("offset", [0.7, 3.0, 100.0])
def test_an_offset_in_every_count_is_taken_off(offset: float) -> None:
    scan = clean_one()
    assert "counts-offset" not in sane(measured(scan))[1].codes
    raw = measured(scan, counts=scan.counts + np.float32(offset))
    found, report = sane(raw)
    assert [(f.code, f.done) for f in report] == [("counts-offset", "subtracted")]
    np.testing.assert_allclose(found.frames([0, 50]), scan.frames([0, 50]), atol=1e-4)
    assert sane(replace(raw, background=offset))[1].codes.isdisjoint({"counts-offset"})
    told, report = sane(raw, "report")
    assert next((f.code, f.done) for f in report) == ("counts-offset", "nothing")
    assert told.counts is raw.counts


def test_a_probe_scaled_to_frames_with_an_offset_is_scaled_to_those_without() -> None:
    scan = clean_one()
    assert scan.probe is not None
    power, much = float((np.abs(scan.probe) ** 2).sum()), float(scan.photons_per_frame().mean())
    probe = scan.probe * np.float32(np.sqrt((much + 100 * N * N) / power))  # as a reader does
    raw = measured(scan, counts=scan.counts + np.float32(100), probe=probe)
    found, _ = sane(replace(raw, metadata={"probe_scaled": True}))
    assert found.probe is not None
    assert float((np.abs(found.probe) ** 2).sum()) == pytest.approx(much, rel=0.01)


def test_an_offset_with_the_noise_of_a_reading_is_told() -> None:
    scan = clean_one()
    noise = np.random.default_rng(0).normal(100, 3, scan.counts.shape)
    _, report = sane(measured(scan, counts=np.rint(scan.counts + noise).astype(np.float32)))
    [finding] = [f for f in report if f.code == "counts-offset"]
    assert finding.done == "subtracted" and finding.evidence["offset"] == pytest.approx(100, abs=2)


@pytest.mark.parametrize(
    ("made", "word"), [(np.sqrt, "--measurement amplitude"), (np.log1p, "logarithms")]
)
def test_numbers_that_were_made_of_counts_are_told(
    made: Callable[[np.ndarray], np.ndarray], word: str
) -> None:
    scan = clean_one()
    wrong = measured(scan, counts=made(scan.counts).astype(np.float32))
    [finding] = [f for f in sane(wrong)[1] if f.code == "counts-transformed"]
    assert word in finding.evidence["perhaps"] and finding.done == "nothing"


@pytest.mark.parametrize("factor", [0.5, 0.37, 1.0])
def test_counts_of_another_gain_were_not_transformed(factor: float) -> None:
    scan = clean_one()
    counts = np.square(np.sqrt(scan.counts * factor).astype(np.float32))  # not quite whole
    assert "counts-transformed" not in sane(measured(scan, counts=counts))[1].codes


@pytest.mark.parametrize("kept", [1, 30])
def test_a_detector_that_repeats_itself_all_the_time_is_told(kept: int) -> None:
    """Nothing says which of so many are right, so that nothing is left out."""
    scan = clean_one()
    report = sane(measured(scan, counts=scan.counts[np.arange(M) % kept]))[1]
    [finding] = [f for f in report if f.code == "frame-repeated"]
    assert finding.done == "nothing" and finding.items == list(range(kept, M))
    assert "counts-offset" not in report.codes


def test_numbers_that_no_counter_of_64_bits_holds_are_masked() -> None:
    def change(counts: np.ndarray) -> None:
        counts[4:8, 10, 10] = 2**62
        counts[30, 20, 12:15] = 2**40
        counts[:, 3, 4] = 2**62
        counts[50] = 2**62

    found, report = sane(counts_with(change, np.int64))
    assert report.codes == {"pixel-at-maximum", "frame-saturated"}
    assert report.left_out == [50]
    assert float(np.asarray(found.frames(np.arange(found.n_frames))).max()) < 1e5


def test_a_mask_with_a_part_upside_down_is_told() -> None:
    scan = clean_one()
    mask = np.ones((N, N), bool)
    mask[:2] = False  # dark there: nothing hides
    assert sane(measured(scan, mask=mask))[1].codes == set()
    mask[: N // 2] = False
    _, report = sane(measured(scan, mask=mask))
    [finding] = [f for f in report if f.code == "mask-hides-light"]
    assert finding.done == "nothing" and finding.evidence["share_of_the_light"] > 0.3


def exchanged(places: np.ndarray) -> np.ndarray:
    return places[:, ::-1].copy()


def reversed_(places: np.ndarray) -> np.ndarray:
    return places * [-1.0, 1.0]


def both(places: np.ndarray) -> np.ndarray:
    return exchanged(reversed_(places))


@pytest.mark.parametrize(
    ("wrong", "way"),
    [
        (exchanged, Ways(transpose=True)),
        (reversed_, Ways(flip="rows")),
        (both, Ways(transpose=True, flip="rows")),
    ],
)
@pytest.mark.parametrize("trajectory", ["raster", "jittered", "fermat"])
def test_frames_that_lie_another_way_than_the_positions_say_are_told(
    wrong: Callable[[np.ndarray], np.ndarray], way: Ways, trajectory: str
) -> None:
    """Told with the way that undoes it, which then is silent; nothing is done."""
    settings = SimulationConfig(
        N=N, n_frames=M, photons=1e4, phase="gravel", trajectory=trajectory, step_px=3.0
    )
    scan = simulate(settings)
    assert "frames-turned" not in sane(measured(scan))[1].codes
    half_a_turn = measured(scan, positions_px=-scan.positions_px)
    assert "frames-turned" not in sane(half_a_turn)[1].codes  # a free probe takes it up
    turned = measured(scan, positions_px=wrong(scan.positions_px))
    [finding] = [f for f in sane(turned)[1] if f.code == "frames-turned"]
    said = ("--transpose " if way.transpose else "") + (f"--flip {way.flip}" if way.flip else "")
    assert finding.done == "nothing"
    assert finding.evidence["try"] == f"{said.strip()}, or --orientation auto"
    assert "frames-turned" not in sane(select(turned, way, None))[1].codes


def test_positions_that_run_down_are_told() -> None:
    scan = clean_one()
    _, report = sane(measured(scan, positions_px=-scan.positions_px))
    assert [(f.code, f.done) for f in report] == [("positions-descending", "nothing")]
    assert sane(measured(scan, positions_px=scan.positions_px[::-1]))[1].codes >= {
        "positions-descending"
    }


@pytest.mark.parametrize(
    ("wavelength_m", "distance_m", "pixel_m", "key"),
    [
        (1.5e-10, 1.0, 75.0, "detector_pixel_m"),
        (0.15, 1.0, 75e-6, "wavelength_m"),
        (1.5e-10, 2000.0, 75e-6, "distance_m"),
        (1.5e-10, 1e-5, 75e-6, "object_pixel_m"),
    ],
)
def test_lengths_that_cannot_be_metres_are_told(
    wavelength_m: float, distance_m: float, pixel_m: float, key: str
) -> None:
    right = Geometry(1.5e-10, 1.0, (75e-6, 75e-6))
    assert "geometry-unit" not in sane(measured(clean_one(), geometry=right))[1].codes
    wrong = Geometry(wavelength_m, distance_m, (pixel_m, pixel_m))
    _, report = sane(measured(clean_one(), geometry=wrong))
    [finding] = [f for f in report if f.code == "geometry-unit"]
    assert key in finding.evidence and finding.done == "nothing"


def test_counts_about_zero_keep_what_is_there_and_lose_what_is_less() -> None:
    """Dark noise that was taken off leaves half of the dark pixels negative: they are no marks."""
    scan = clean_one()
    noise = np.random.default_rng(0).normal(0, 2, scan.counts.shape)
    counts = (scan.counts + noise).astype(np.float32)
    counts[:, 5, 6] = -1000  # a mark
    found, report = sane(measured(scan, counts=counts))
    assert [(f.code, f.done) for f in report] == [
        ("counts-about-zero", "set to 0"),
        ("pixel-negative", "masked"),
    ]
    assert report.masked == [[5, 6]] and found.n_frames == M
    got = found.frames([3, 4])
    np.testing.assert_allclose(got[:, 16], counts[3:5, 16].clip(0), atol=1e-3)


def test_a_probe_that_is_not_the_light_is_not_scaled_to_it() -> None:
    """A block of hot pixels outshines the specimen: what they hold says nothing of the probe."""

    def change(counts: np.ndarray) -> None:
        counts[:, 2:4, 3:29] += np.random.default_rng(0).poisson(3e4, (M, 2, 26))

    raw = counts_with(change)
    found, report = sane(raw)
    assert "probe-far" in report.codes
    np.testing.assert_array_equal(found.probe, raw.probe)


@pytest.mark.parametrize("pixel", [1e-7, 1e-3, 0.05])
def test_a_scan_that_stays_within_the_light_is_told(pixel: float) -> None:
    _, report = sane(measured(clean_one(), positions_px=pixel * clean_one().positions_px))
    [finding] = [f for f in report if f.code == "positions-unit"]
    assert finding.done == "nothing"


def test_no_valid_pixel_and_no_light_in_the_probe_are_errors() -> None:
    scan = clean_one()
    with pytest.raises(MaskPolarityError, match="no pixel"):
        clean_scan(measured(scan, mask=np.zeros((N, N), bool)))
    assert scan.probe is not None
    with pytest.raises(ValueRangeError, match="probe is zero"):
        clean_scan(measured(scan, probe=0 * scan.probe))
