"""The page of the prior: where on the scan it gains, and what little overlap is asked for."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "scripts/benchmarks"))

import prior as page  # noqa: E402
import prior_fed  # noqa: E402
import prior_unseen  # noqa: E402
import prior_without  # noqa: E402

from ptycho.pretraining import EMPTIED, judged_scan  # noqa: E402
from ptycho.pretraining.recipes import PROBES  # noqa: E402
from ptycho.simulation import SimulationConfig  # noqa: E402
from ptycho.simulation.probes import make_probe  # noqa: E402


def test_each_part_of_the_scan_has_its_own_mean_and_error() -> None:
    rng = np.random.default_rng(0)
    positions, gain = rng.uniform(5, 90, (600, 2)), rng.standard_normal(600)
    found = prior_unseen.regions(gain, positions)
    side = np.ptp(positions, axis=0) / prior_unseen.SIDE
    for row in range(prior_unseen.SIDE):
        for col in range(prior_unseen.SIDE):
            low = positions.min(axis=0) + side * (row, col)
            mine = gain[((positions >= low) & (positions <= low + side + 1e-9)).all(axis=1)]
            assert found[row][col] == pytest.approx(
                (mine.mean(), mine.std() / np.sqrt(mine.size)), rel=1e-9
            )


def test_the_halves_are_those_of_the_specimen() -> None:
    """Frames whose probe lies in the half that was made even, and those whose probe does not."""
    scan = judged_scan(EMPTIED, 1e4, 100, 1)
    assert scan.truth is not None
    even = np.isclose(scan.truth.object, 0.75 * np.exp(0.5j))
    rows, cols = (
        np.round(scan.positions_px - scan.truth.origin_px).astype(int)[:, axis] for axis in (0, 1)
    )
    share = np.array(
        [even[r - 10 : r + 10, c - 10 : c + 10].mean() for r, c in zip(rows, cols, strict=True)]
    )
    found = prior_unseen.halves(share, scan)
    assert found["emptied"][0] == pytest.approx(1) and found["full"][0] < 0.05


def test_the_rows_of_little_overlap_say_whether_the_gain_is_met() -> None:
    row = {"overlap": 0.4, "frames": 81, "case": "A", "plain": (0.7, 0.6), "prior": (0.76, 0.6)}
    row |= {"longer": (0.7, 0.6), "fed": (0.71, 0.6)}
    rows = [row, {**row, "prior": (0.78, 0.7)}, {**row, "case": "R", "prior": (0.72, 0.7)}]
    told = list(page.sparse_words(rows))[2:]
    assert "+0.070 / +0.050" in told[0] and told[0].endswith("met |") and "| 2 |" in told[0]
    assert "+0.020 / +0.100" in told[1] and told[1].endswith("missed |")


def test_the_lead_over_bm3d_is_that_of_the_rows() -> None:
    """Of the mean over seeds, case by case; one lead is none."""
    rows = []
    for number, case in enumerate(prior_unseen.CASES):
        for seed in (1, 2):
            for name in prior_unseen.IMAGES:
                better = 0.01 * (number + 1) if "tell" in name else 0.0
                phase = 0.5 - better if case == "T" else 0.5 + better
                row = {"case": case, "photons": 1e4, "seed": seed, "image": name}
                row |= {"ssim": [0.6 + better + 0.1 * seed, phase], "deviance": 0.2 * (1 - better)}
                rows.append(row)
    (told,) = (line for line in prior_unseen.bm3d_words(rows) if line.startswith("With"))
    worst = -0.01 * (list(prior_unseen.CASES).index("T") + 1)
    assert "amplitude in 4 of 4 cases (least lead +0.0100)" in told
    assert f"phase in 3 ({worst:+.4f})" in told and "counts in 4 (+1.00 %)" in told


def test_a_part_that_is_run_again_leaves_the_others_and_names_its_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page of the evidence is that of its JSON, and changes where a part was run again."""
    evidence = ROOT / "docs/evidence/prior.md"
    usual = evidence.read_text(encoding="utf-8")
    before = json.loads(evidence.with_suffix(".json").read_text(encoding="utf-8"))
    assert page.page(before) == usual
    shutil.copy(evidence.with_suffix(".json"), tmp_path)
    cost = {**before["cost"], "mib": 1234.0}
    monkeypatch.setattr(page, "cost", lambda prior: cost)
    monkeypatch.setattr(page, "commit", lambda: "0123abc")
    out = tmp_path / "prior.md"
    monkeypatch.setattr(sys, "argv", ["prior.py", str(tmp_path), str(out), "--only", "cost"])
    assert page.main() == 0
    after = json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))
    commits = {**before["commits"], "cost": "0123abc"}
    assert after == {**before, "cost": cost, "commits": commits}
    lines = zip(usual.splitlines(), out.read_text(encoding="utf-8").splitlines(), strict=True)
    changed = [new for old, new in lines if old != new]
    assert len(changed) == 2
    assert "1234 MiB" in changed[0] and "cost at 0123abc" in changed[1]


def test_a_probe_that_was_left_out_stands_beside_a_training_that_saw_it() -> None:
    def table(gain: float) -> dict[str, object]:
        record = {"data_sha256": "0" * 64, "scans": 9, "steps": 7, "seed": 0, "commit": "abc"}
        cases = [
            {"case": case, "photons": 1e4, "seed": seed}
            | {"plain": (0.5, 0.5), "prior": (0.5 + seed * gain, 0.5 - gain)}
            for case in "ARTD"
            for seed in (1, 2, 3)
        ]
        apart = [
            {"probe": probe, "plain": (0.5, 0.5), "prior": (0.5 + gain, 0.5)}
            for probe in ("disk", "disk", "focused")
        ]
        return {"record": record, "cases": cases, "apart": apart}

    name = prior_without.PROBE
    assert name == judged_probe()
    told = list(prior_without.probe_words({name: table(0.01), "nothing": table(0.02)}))
    for case in (*"ARTD", "mean"):
        (row,) = (line for line in told if line.startswith(f"| 1e+04 | {case} |"))
        assert "| +0.020 / -0.010 | +0.010 / -0.010 | +0.040 / -0.020 | +0.020 / -0.020 |" in row
    assert "| disk | 2 | +0.010 / +0.000 |" in "".join(told)
    assert "| focused | 1 | +0.010 / +0.000 |" in "".join(told)
    assert list(prior_without.probe_words({name: table(0.01), "nothing": None})) == ["Not run."]


def judged_probe() -> str:
    """The kind of probe whose modulus is that of the judged scans."""
    scan = judged_scan("A", 1e4, 4, 1)
    assert scan.probe is not None
    modulus = np.abs(np.squeeze(scan.probe))
    alike = {}
    for kind in PROBES:
        made = np.abs(make_probe(kind, 64, SimulationConfig().diameter_px, 4.0))
        alike[kind] = float((made * modulus).sum() / np.sqrt((made**2).sum() * (modulus**2).sum()))
    assert max(alike.values()) == pytest.approx(1, abs=1e-5)
    return max(alike, key=lambda kind: alike[kind])


def test_the_rows_of_what_the_prior_is_fed_tell_light_and_chosen_weight_apart() -> None:
    rows = [
        {"weight": weight, "light": light, "chosen": chosen}
        | {"plain": (0.5, 0.5), "prior": (0.5 + light / 1e4, 0.4)}
        for weight in prior_fed.WEIGHTS
        for light, chosen in ((50.0, 0.65), (500.0, 1.6))
    ]
    told = list(prior_fed.fed_words(rows))
    assert told[2].startswith("| 0 to 100 photons a pixel | 1 | +0.005 / -0.100 |")
    assert told[3].startswith("| 100 to 1000 photons a pixel | 1 | +0.050 / -0.100 |")
    assert told[4].startswith("| 0.5 to 0.8 chosen | 1 | +0.005 / -0.100 |")
    assert told[5].startswith("| 1.2 to inf chosen | 1 | +0.050 / -0.100 |")
    assert told[-1].startswith("| all | 2 | +0.028 / -0.100 |")
    assert "--data" in next(prior_fed.fed_words([]))
