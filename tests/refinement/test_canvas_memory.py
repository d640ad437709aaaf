"""An object beyond memory is refused by what it would take; what it takes is measured."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from ptycho.errors import TooLargeError
from ptycho.frames import places, require_canvas

SPAN_PX = 1200.0
PROGRAM = """
import json, pathlib, sys
import numpy as np
from ptycho.refinement import RefineConfig, refine
from ptycho.scan import Scan
me = pathlib.Path("/proc/self")
def peak_bytes():
    (line,) = [x for x in (me / "status").read_text().splitlines() if x.startswith("VmHWM")]
    return int(line.split()[1]) * 1024
def work(span_px):
    N, axis = 32, np.arange(32) - 16
    probe = np.exp(-(axis[:, None] ** 2 + axis**2) / 50).astype(np.complex64) * 10
    power = np.abs(np.fft.fftshift(np.fft.fft2(probe, norm="ortho"))) ** 2
    places = span_px * np.random.default_rng(0).random((40, 2))
    places[:2] = [[0, 0], [span_px, span_px]]
    counts = np.random.default_rng(1).poisson(power, (40, N, N)).astype(np.float32)
    config = RefineConfig(passes=2, clean="off", regularise=0.1)
    refine(Scan(counts, places, probe[None]), config=config)
work(100.0)
before = peak_bytes()
work(float(sys.argv[1]))
print(json.dumps(peak_bytes() - before))
"""


@pytest.mark.parametrize("beyond", [0, 1])
def test_the_refusal_follows_what_is_free(monkeypatch: pytest.MonkeyPatch, beyond: int) -> None:
    """A byte less than the object takes, and it is refused with both numbers."""
    spots = np.array([[0.0, 0.0], [3e3, 2e3]])
    needed = int(places.canvas_bytes(spots, 64))
    monkeypatch.setattr(places, "free_bytes", lambda: needed - beyond)
    if not beyond:
        require_canvas(spots, 64, "a.cxi")
        return
    with pytest.raises(TooLargeError) as error:
        require_canvas(spots, 64, "a.cxi")
    gib = f"{needed / 2**30:.3g} GiB"
    assert str(error.value.got) == f"3064 × 2064 px, {gib}"
    assert gib in str(error.value.expected)


@pytest.mark.slow
@pytest.mark.training
@pytest.mark.timeout(900)
def test_an_object_takes_no_more_than_the_refusal_counts_with() -> None:
    """A refinement of 2.3 million pixels, total variation and all: the estimate is not too small.

    Nor is it three times too large.
    """
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(SPAN_PX)],
        capture_output=True,
        text=True,
        timeout=800,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    taken = json.loads(done.stdout.splitlines()[-1])
    pixels = places.canvas_bytes(np.array([[0.0, 0.0], [SPAN_PX] * 2]), 32) / places.BYTES_A_PIXEL
    print(f"{taken / pixels:.0f} bytes a pixel")
    assert places.BYTES_A_PIXEL * pixels / 3 < taken < places.BYTES_A_PIXEL * pixels
