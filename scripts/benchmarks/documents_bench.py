"""Time the document readers and the linter; prints one JSON object.

`documents_bench.py [--mb 10] [--rounds 21] [--shape NAME]`: processor seconds to find the blocks of
documents of hostile shapes of that size and to read and check them as each of the six kinds, and
quartiles of the wall and processor time of `validate_input_md.py --no-collect` in fresh processes,
with and without byte code. `--mb 0` measures the starts alone.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from orchestration.documents import kinds
from orchestration.documents.grammar import MAX_BYTES, SourceText, scan
from orchestration.documents.order import ValidationContext

ROOT = Path(__file__).resolve().parents[2]
LINTER = ROOT / "scripts" / "tools" / "validate_input_md.py"
ORDER = ROOT / "tests" / "fixtures" / "documents" / "order_canonical.md"
SHAPES = {
    "ledger of items": "### [FIX-{n}-001] x\n- Status: open\n- Exit:\n  - [ ] C1 `a`\n",
    "memory entries": "# 2026-01-06T14:00:00Z: x\n- dwell: 0\n- focus=A-1 dwell=0\n",
    "table": "| FIND-{n} | 2026-01-01 | k | text | a.py:1 | Active |\n",
    "tasks": "- [ ] T1 `a/b.py::f` — change (verify: `pytest t`)\n",
    "nested bullets": "".join(f"{'  ' * depth}- a\n" for depth in range(1500)),
    "nested quotes": "".join(f"{'> ' * depth}a\n" for depth in range(1500)),
    "one line": "x" * 64,
    "one line of blanks": " " * 64,
    "unclosed fences": "```\n~~~\n",
    "backticks": "`" * 64,
    "brackets": "[" * 64,
    "headings": "# a\n",
    "headings with ids": "## FIX-A-001 x\n### [FIX-B-{n}] y\n",
    "blank lines": "\n",
    "comments": "<!-- -->\n",
    "script": "## Checks\n```sh\nexport A=1\npytest a\n```\n",
}


def build(piece: str, size: int) -> str:
    """Return about ``size`` bytes of the piece, numbered where it says so."""
    count = size // len(piece.encode())
    if "{n}" not in piece:
        return piece * count
    return "".join(piece.replace("{n}", str(n)) for n in range(size // (len(piece) + 5)))


def cpu_seconds_of(work: Callable[[], object]) -> float:
    """Return the processor seconds of one call: what it costs on a machine that others use."""
    began = time.process_time()
    work()
    return time.process_time() - began


def linter(rounds: int) -> dict[str, dict[str, list[float]]]:
    """Return quartiles of wall and processor milliseconds of the linter in fresh processes.

    ``warm`` starts find the byte code of an earlier one; ``cold`` starts read the harness's own
    modules as source, as the first start after an edit does (and each one where
    PYTHONDONTWRITEBYTECODE is set).
    """
    env = {key: word for key, word in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder) / "scripts"
        for part in ("orchestration", "tools"):
            no_code = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / "scripts" / part, bare / part, ignore=no_code)
        return {
            "warm": _starts(LINTER, env, rounds),
            "cold": _starts(
                bare / LINTER.relative_to(ROOT / "scripts"),
                env | {"PYTHONDONTWRITEBYTECODE": "1"},
                rounds,
            ),
        }


def _starts(program: Path, env: dict[str, str], rounds: int) -> dict[str, list[float]]:
    walls, cpus = [], []
    for _ in range(rounds + 1):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        began = time.perf_counter()
        command = [sys.executable, str(program), str(ORDER), "--no-collect"]
        subprocess.run(command, capture_output=True, check=False, env=env)
        walls.append(1000 * (time.perf_counter() - began))
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpus.append(1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime))
    # The first start writes the byte code, or brings the files into memory.
    quarters = {"wall_ms": walls[1:], "cpu_ms": cpus[1:]}
    return {
        name: [round(cut, 1) for cut in statistics.quantiles(values, n=4, method="inclusive")]
        for name, values in quarters.items()
    }


def main() -> None:
    """Print the timings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mb", type=float, default=10.0, help="size of each document")
    parser.add_argument("--rounds", type=int, default=21, help="starts of the linter")
    parser.add_argument("--shape", action="append", choices=list(SHAPES), help="only this one")
    options = parser.parse_args()
    size = min(int(options.mb * 1024 * 1024), MAX_BYTES) - 64
    readers: dict[str, dict[str, float]] = {}
    context = ValidationContext(exists=lambda path: True)
    for name in (options.shape or SHAPES) if options.mb else ():
        text = build(SHAPES[name], size)
        row = {"blocks": round(cpu_seconds_of(lambda: scan(SourceText(text))), 2)}  # noqa: B023
        for kind in kinds.KINDS:
            row[kind] = round(
                cpu_seconds_of(lambda: kinds.check_document(kind, text, context)),  # noqa: B023
                2,
            )
        readers[name] = row
        print(name, row, file=sys.stderr, flush=True)
    print(json.dumps({"readers": readers, "linter": linter(options.rounds)}))


if __name__ == "__main__":
    main()
