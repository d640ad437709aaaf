"""Keep tests/seconds.txt: what the tests that take long cost.

    pytest -n 2 -m "" --seconds=FILE     measures (an idle machine: a busy one costs more)
    slow_tests.py FILE                 writes what it measured into tests/seconds.txt

A test that stands there is `slow`, and from tests/conftest.py's `PROOF_S` on a `proof`. Tests that
FILE does not name keep their line while their file exists; one below `SLOW_S` has none. The longest
time counts of a test that FILE has twice.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "tests/seconds.txt"
SLOW_S = 0.3


def read(path: Path) -> dict[str, float]:
    """Seconds by node id; the longest of each."""
    found: dict[str, float] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        spent, _, name = line.partition(" ")
        try:
            found[name] = max(float(spent), found.get(name, 0.0))
        except ValueError:
            raise SystemExit(f"{path}:{number}: expected 'SECONDS NODE-ID', got {line!r}") from None
    return found


def joined(old: dict[str, float], new: dict[str, float]) -> str:
    """The text of tests/seconds.txt."""
    both = {name: spent for name, spent in (old | new).items() if spent >= SLOW_S}
    return "".join(f"{both[name]:.1f} {name}\n" for name in sorted(both))


def main(words: list[str] | None = None) -> int:
    """0 when the page is written."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("measured", type=Path, help="what `pytest --seconds=FILE` wrote")
    options = parser.parse_args(words)
    if not options.measured.is_file():
        parser.error(f"there is no file {options.measured}: pytest --seconds={options.measured}")
    old = read(PAGE)
    gone = {name for name in old if not (ROOT / name.partition("::")[0]).is_file()}
    text = joined({name: old[name] for name in old.keys() - gone}, read(options.measured))
    PAGE.write_text(text, encoding="utf-8")
    print(f"{PAGE.relative_to(ROOT)}: {len(text.splitlines())} tests")
    return 0


if __name__ == "__main__":
    sys.exit(main())
