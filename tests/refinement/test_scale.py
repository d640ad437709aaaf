"""A scan that streams from disk takes less than half of its frames' size; measured as a long one.

`scripts/benchmarks/scale.py` refines 10⁵ frames in a process of its own, and asks how much memory
that takes above a warm start. Here are fewer frames, and as much less room for them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2] / "scripts/benchmarks"))

import scale

FRAMES, EVERY = 6000, 10
LONG_GB, ALLOWED_GB = 6.6, 3.0  # 10⁵ frames of 128² as float32, and what they may take
LONG_ALLOWANCE_MIB = 1536.0  # of which those frames may fill a part (`ptycho.frames.memory`)


@pytest.mark.slow
@pytest.mark.training
@pytest.mark.timeout(600)
def test_memory_is_at_most_the_proportion_that_a_long_scan_may_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Above a warm start with a tenth of the frames, all over the same area: ≤ 3.0/6.6 of them."""
    bytes_ = FRAMES * scale.N**2 * 4
    share = bytes_ / (LONG_GB * 1e9)
    monkeypatch.setenv("PTYCHO_FRAMES_MIB", str(share * LONG_ALLOWANCE_MIB))
    path = scale.written(tmp_path / "scan.cxi", FRAMES, "u2")
    row = scale.measured(scale.MEMORY, path, [0, FRAMES, EVERY])
    print({key: row[key] for key in ("above_mib", "warm_mib", "frames_mib", "cpu_s", "streams")})
    assert row["frames"] == FRAMES and row["frames_mib"] == bytes_ / 2**20
    assert row["object"] == row["warm_object"]  # so that all of it was compiled before
    assert str(row["streams"]).startswith("in every pass")
    assert float(str(row["above_mib"])) <= ALLOWED_GB / LONG_GB * bytes_ / 2**20
