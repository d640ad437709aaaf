"""`ptycho bench` measures what it says; no figure is asserted, only what must hold of any."""

import subprocess
import sys

import pytest

from ptycho.errors import ModelError
from ptycho.studies.bench import networks


def test_physics_figures_and_the_machine_they_were_taken_on():
    from ptycho.studies.bench.physics import measure_physics
    from ptycho.studies.bench.timing import machine

    seen = []
    found = measure_physics(sides=(32,), rounds=3, progress=lambda *args: seen.append(args[:2]))
    ratio = found["physics_ms_32"] / found["fft_ms_32"]
    assert found["physics_over_fft_32"] == pytest.approx(ratio)
    assert ratio > 1  # the transforms are a part of it
    assert found["translate_ms"] > 0
    assert found["stitch_ms"] > 0
    assert seen[-1][0] == seen[-1][1]
    assert seen == sorted(seen)
    assert machine()["cores"] >= 1
    assert machine()["processor"]


def test_passes_and_their_transforms_are_measured_by_one_clock():
    from ptycho.studies.bench.refinement import measure_refine

    seen = []
    found = measure_refine(
        sides=(16,), frames=24, rounds=3, progress=lambda *args: seen.append(args[:2])
    )
    for name in ("refine", "whole"):
        ratio = found[f"{name}_ms_16"] / found["pass_fft_ms_16"]
        assert found[f"{name}_over_fft_16"] == pytest.approx(ratio)
        assert ratio > 1  # the transforms are a part of it
        assert found[f"{name}_passes_per_s_16"] > 0
    assert seen[-1] == (6, 6)


def test_every_clock_measures_the_same_rounds():
    from ptycho.studies.bench.timing import by_clocks

    ticks, calls = [0.0], []

    def work():
        calls.append(1)
        ticks[0] += len(calls)
        return ()

    one, two = by_clocks({"a": work}, (lambda: ticks[0], lambda: 2 * ticks[0]), rounds=3, warmup=2)
    assert len(calls) == 5
    assert one == {"a": 4000.0} and two == {"a": 8000.0}  # the median of 3, 4 and 5 s


def test_the_command_refuses_an_unknown_part_in_words():
    done = subprocess.run(
        [sys.executable, "-m", "ptycho", "bench", "--only", "nonsense"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    assert "all, physics, refine, networks" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_ratio_to_another_network_than_the_published_one_is_refused():
    networks._require_published(2.257288e6)
    with pytest.raises(ModelError, match="published"):
        networks._require_published(2.31e6)


def test_a_network_that_fails_shows_why():
    with pytest.raises(ModelError, match="there is no network of this name"):
        networks.compare_networks(("nonsense", "default"), repeats=1, steps=1)


def test_networks_alternate_and_medians_are_taken(monkeypatch):
    order = []

    def pretended(name, steps):
        order.append(name)
        speed = len(order) * (10.0 if name == "default" else 1.0)
        keys = ("train_patterns_per_s", "predict_patterns_per_s", "step_patterns_per_s")
        return {"parameters": 2.26e6, **dict.fromkeys(keys, speed)}

    monkeypatch.setattr(networks, "_in_fresh_process", pretended)
    seen = []
    found = networks.compare_networks(repeats=3, progress=lambda *args: seen.append(args[:2]))
    assert order == ["cnn", "default"] * 3
    assert seen[-1] == (6, 6)
    assert found["train_ratio"] == pytest.approx(40.0 / 3.0)  # medians of 20, 40, 60 and 1, 3, 5


def test_import_of_the_library_is_measured_in_a_fresh_interpreter():
    assert 0 < networks.import_seconds("json") < 60
