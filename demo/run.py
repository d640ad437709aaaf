"""`make demo`: the library half, then the harness half, then one page to open.

    python demo/run.py [--output FOLDER] [--library-only | --harness-only]

Exit codes: 0 both halves came out as they must, 1 something did not, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from demo import harness, library
from demo.harness import DemoError

ROOT = Path(__file__).resolve().parents[1]


def main(words: list[str]) -> int:
    """Run the demonstration; returns the exit code."""
    chosen = _parse(words)
    output = chosen.output.resolve()
    begun = time.monotonic()
    try:
        if not chosen.harness_only:
            _title("1. Library: from counts to an image")
            library.run(output / "library")
        if not chosen.library_only:
            _title("2. Harness: four focus issues, one run, no network")
            half = harness.run(ROOT, output, output / "library")
            print(f"\nThe whole demonstration took {time.monotonic() - begun:.0f} s. Open:")
            print(half.page)
    except DemoError as problem:
        print(f"demo: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo: interrupted; `make demo` begins again from the start", file=sys.stderr)
        return 130
    return 0


def _parse(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="demo/run.py", description=__doc__)
    parser.add_argument("--output", type=Path, default=ROOT / "demo-output")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--library-only", action="store_true")
    only.add_argument("--harness-only", action="store_true", help="needs an earlier library half")
    return parser.parse_args(words)


def _title(text: str) -> None:
    print(f"\n{text}\n{'=' * len(text)}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
