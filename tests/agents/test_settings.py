"""The keys of orchestration.yaml that fence in a turn: wrong values and effects."""

from __future__ import annotations

from pathlib import Path

import pytest
from orchestration.config import ConfigProblem, load_config
from orchestration.errors import HarnessError
from orchestration.sandbox import fence as isolation
from orchestration.sandbox import pids
from turns import FIX, TEST, work


def test_what_is_written_is_read(tmp_path: Path) -> None:
    text = "isolation: scan\nkeep_env: [BEAM, SITE]\nplugins: [xdist]\nmax_processes: 64\n"
    config = load_config(tmp_path, text)
    assert config.isolation == "scan"
    assert config.keep_env == ("BEAM", "SITE")
    assert config.plugins == ("xdist",)
    assert config.max_processes == 64
    plain = load_config(tmp_path, "")
    assert (plain.isolation, plain.keep_env, plain.plugins) == ("auto", (), ())
    assert plain.max_processes == pids.MAX_PROCESSES


@pytest.mark.parametrize("level", ["auto", *isolation.LEVELS])
def test_every_level_can_be_asked_for(tmp_path: Path, level: str) -> None:
    assert load_config(tmp_path, f"isolation: {level}\n").isolation == level


def test_none_is_the_persons_word_for_no_fence(tmp_path: Path) -> None:
    assert load_config(tmp_path, "isolation: none\n").isolation == "scan"


def test_no_agent_is_started_without_a_fence_unless_a_person_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(isolation, "available", lambda: ["landlock", "pidns", "scan"])
    with pytest.raises(HarnessError, match="isolation: none"):
        isolation.choose("auto", agent=True)
    assert isolation.choose("auto", trusted=True) == "pidns"
    assert isolation.choose("scan", agent=True) == "scan"


def test_what_agent_write_names_is_writable_behind_the_fence_and_nothing_beside_it(
    tmp_path: Path,
) -> None:
    for name in ("state", "beside"):
        (tmp_path / name).mkdir()
    code = FIX + (
        "import pathlib\n"
        "for name in ('state', 'beside'):\n"
        "    try:\n"
        f"        (pathlib.Path({str(tmp_path)!r}) / name / 'made').write_text('x')\n"
        "    except OSError:\n"
        "        pass\n"
    )
    settings = f"agent_write: [{tmp_path / 'state'}]\n"
    _, summary, verdict = work(tmp_path, code, level="kernel", settings=settings)
    assert summary.landed == ["FIX-1"], verdict["reason"]
    assert (tmp_path / "state" / "made").exists() and not (tmp_path / "beside" / "made").exists()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("isolation: docker", "auto, bwrap, kernel, landlock, pidns, scan, none"),
        ("isolation: [scan]", "auto, bwrap, kernel, landlock, pidns, scan, none"),
        ("isolation:", "auto, bwrap, kernel, landlock, pidns, scan, none"),
        ("agent_write: [nowhere/at/all]", "an existing path"),
        ("agent_read: /tmp", "a list of texts"),
        ("keep_env: HOME", "a list of texts"),
        ("keep_env: [1]", "a list of texts"),
        ("plugins: xdist", "a list of texts"),
        ("plugins: {xdist: 1}", "a list of texts"),
        ("max_processes: 0", "an integer ≥ 1"),
        ("max_processes: many", "an integer ≥ 1"),
        ("max_processes: 1.5", "an integer ≥ 1"),
        ("max_processes: true", "an integer ≥ 1"),
        ("max_process: 5", "max_process"),
    ],
)
def test_a_wrong_value_is_refused_with_its_key(tmp_path: Path, line: str, words: str) -> None:
    with pytest.raises(ConfigProblem) as problem:
        load_config(tmp_path, line + "\n")
    said = str(problem.value)
    assert line.partition(":")[0] in said and words in said


def test_a_guard_sees_the_variables_that_are_kept_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BEAMLINE", "ID13")
    monkeypatch.setenv("BEAMLINE_PIN", "hidden")
    test = TEST.replace(
        "    assert",
        "    import os\n    assert 'BEAMLINE_PIN' not in os.environ\n"
        "    assert os.environ.get('BEAMLINE') == 'ID13'\n    assert",
    )
    files = {"tests/test_calc.py": test}
    _, summary, _ = work(tmp_path / "without", FIX, files=files)
    assert summary.landed == []
    _, summary, verdict = work(tmp_path, FIX, files=files, settings="keep_env: [BEAMLINE]\n")
    assert summary.landed == ["FIX-1"], verdict["reason"]


def test_a_guard_loads_the_plugins_that_are_named(tmp_path: Path) -> None:
    known = "    assert pytestconfig.pluginmanager.hasplugin('_hypothesis_pytestplugin')\n"
    test = TEST.replace("add():", "add(pytestconfig):").replace("    assert", f"{known}    assert")
    files = {"tests/test_calc.py": test}
    _, summary, _ = work(tmp_path / "without", FIX, files=files)
    assert summary.landed == []
    settings = "plugins: [_hypothesis_pytestplugin]\n"
    _, summary, verdict = work(tmp_path, FIX, files=files, settings=settings)
    assert summary.landed == ["FIX-1"], verdict["reason"]


@pytest.mark.skipif(pids.kind() == "none", reason="no pids cgroup, and root has no RLIMIT_NPROC")
def test_an_agent_meets_the_ceiling_that_is_written(tmp_path: Path) -> None:
    code = (
        "import sys, time\nfor n in range(60):\n    try:\n        if os.fork() == 0:\n"
        "            time.sleep(30)\n            os._exit(0)\n"
        "    except OSError:\n        sys.exit(f'refused at {n}')\n"
    )
    _, _, verdict = work(tmp_path, code, settings="max_processes: 20\n")
    assert verdict["verdict"] == "reject"
    number = int(str(verdict["reason"]).partition("refused at ")[2].split()[0])
    assert 10 <= number <= 20
