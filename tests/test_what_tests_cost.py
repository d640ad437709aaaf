"""tests/seconds.txt is written from what pytest measured, and says which tests are left out."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
_spec = importlib.util.spec_from_file_location("cost", ROOT / "scripts/tools/slow_tests.py")
assert _spec is not None and _spec.loader is not None
cost = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(cost)


def test_measured_tests_replace_theirs_and_short_ones_have_no_line(tmp_path: Path) -> None:
    measured = tmp_path / "s.txt"
    measured.write_text("0.90 a.py::t[x y]\n1.50 a.py::t[x y]\n0.01 a.py::u\n")
    found = cost.read(measured)
    assert found == {"a.py::t[x y]": 1.5, "a.py::u": 0.01}
    assert cost.joined({"a.py::u": 4.0, "b.py::v": 2.0}, found) == (
        "1.5 a.py::t[x y]\n2.0 b.py::v\n"
    )
    measured.write_text("1.0 a.py::t\nfast a.py::u\n")
    with pytest.raises(SystemExit, match=r"s\.txt:2: expected 'SECONDS NODE-ID'"):
        cost.read(measured)


LONG = "tests/refinement/test_guess.py::test_a_missing_probe_costs_little"


@pytest.mark.parametrize("words", [[LONG.partition("::")[0]], [LONG]])
def test_a_long_test_is_left_to_the_proofs_unless_it_is_named(words: list[str]) -> None:
    argv = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run([*argv, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (LONG in done.stdout) is (words == [LONG]), done.stdout + done.stderr
