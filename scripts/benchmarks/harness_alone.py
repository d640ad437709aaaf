"""The harness where none of the library's wheels can be had: from `pip install` to a landed fix.

`pip wheel` makes a folder of wheels: this package and its base dependencies, as pinned. A new
environment is filled from that folder alone (`--no-index`), so what is not in it cannot be had, as
on a machine without the library's wheels. Then come `orchestrate init`, an edited ledger,
`validate` and `run --commit` on a small repository, and `ptycho`, which must say in one line what
to install.

    python scripts/benchmarks/harness_alone.py -o docs/evidence/harness-alone.md
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HOUSE = Path(__file__).resolve().parents[2]
LIBRARY = ("keras", "tensorflow", "torch", "jax", "numpy", "scipy", "h5py", "matplotlib", "skimage")
GOAL_MB = 60  # that the harness may add to an empty environment
FILES = {
    "shop.py": "def total(prices):\n    return max(prices)\n",
    "tests/test_shop.py": (
        "from shop import total\n\n\ndef test_total():\n    assert total([1, 2]) == 3\n"
    ),
}
ITEM = """### [FIX-001] Totals
- Status: open
- Guard: tests/test_shop.py::test_total
- Exit:
  - [ ] C1 `pytest tests/test_shop.py::test_total` — it adds
"""
PAGE = """# The harness alone, without the library's wheels

Made by `python scripts/benchmarks/harness_alone.py -o docs/evidence/harness-alone.md`: a new
environment is filled from a folder that holds this package and the wheels of its base dependencies
and nothing else (`pip install --no-index`). Python {python}.

| what | found |
|---|---|
{rows}
"""


def run(words: list[str], cwd: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command; its output in text."""
    return subprocess.run(
        words, cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )


def must(words: list[str], cwd: Path, env: dict[str, str]) -> str:
    """The output of a command that must not fail."""
    done = run(words, cwd, env)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.stdout


def repository(root: Path, env: dict[str, str]) -> None:
    """A small library with a bug that its test shows."""
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    for words in (
        ["init", "-q", "-b", "main"],
        ["config", "user.name", "author"],
        ["config", "user.email", "author@example.org"],
        ["add", "-A"],
        ["commit", "-q", "-m", "first"],
    ):
        must(["git", *words], root, env)


def megabytes(folder: Path, pattern: str) -> float:
    """The size of the files that a pattern names."""
    return sum(path.stat().st_size for path in folder.rglob(pattern) if path.is_file()) / 1e6


def measure(home: Path) -> list[tuple[str, str, bool]]:
    """Rows of what was looked at, what was found, and whether it is as it must be."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
    env["XDG_STATE_HOME"] = str(home / "state")
    wheels, place = home / "wheels", home / "alone"
    pinned = ["-c", str(HOUSE / "constraints.txt")]
    must(
        [sys.executable, "-m", "pip", "wheel", "-q", *pinned, "-w", str(wheels), str(HOUSE)],
        home,
        env,
    )
    names = sorted(path.name.split("-")[0].lower() for path in wheels.iterdir())
    lost = [name for name in LIBRARY if name in names]
    rows = [
        (
            "wheels",
            f"{len(names)}, {megabytes(wheels, '*.whl'):.0f} MB: {', '.join(names)}",
            not lost,
        )
    ]
    must([sys.executable, "-m", "venv", str(place)], home, env)
    pip, pip_code = (megabytes(place / "lib", pattern) for pattern in ("*", "*.pyc"))
    began = time.monotonic()
    how = ["install", "-q", "--no-index", "--find-links", str(wheels), "ptycho"]
    must([str(place / "bin/python"), "-m", "pip", *how], home, env)
    took, size = time.monotonic() - began, megabytes(place / "lib", "*")
    least = size - pip - megabytes(place / "lib", "*.pyc") + pip_code
    words = f"{took:.0f} s, {size - pip:.0f} MB with its byte code ({least:.0f} without) beside pip"
    rows.append(("`pip install ptycho`", words, size - pip <= GOAL_MB))
    code = f"import importlib.util as u; print([n for n in {LIBRARY!r} if u.find_spec(n)])"
    found = must([str(place / "bin/python"), "-c", code], home, env).strip()
    rows.append(("importable of the library", "nothing" if found == "[]" else found, found == "[]"))

    said = run([str(place / "bin/ptycho"), "--help"], home, env)
    line = (said.stderr or said.stdout).strip()
    fine = said.returncode == 2 and len(line.splitlines()) == 1
    rows.append(("`ptycho`", f"exit {said.returncode}: {line}", fine))

    root, orchestrate = home / "shop", str(place / "bin/orchestrate")
    repository(root, env)
    fix = home / "fix.py"
    fix.write_text(f"open('shop.py', 'w').write({FILES['shop.py'].replace('max', 'sum')!r})\n")
    must([orchestrate, "init", "--agent-command", f"{{python}} {fix}"], root, env)
    ledger = root / "docs/fix_plan.md"
    ledger.write_text(ledger.read_text().partition("### [SUITE")[0] + ITEM)
    checked = run([orchestrate, "validate", "docs/fix_plan.md"], root, env)
    rows.append(("`orchestrate validate`", checked.stdout.strip(), checked.returncode == 0))
    began = time.monotonic()
    ran = run([orchestrate, "run", "--commit", "--json"], root, env)
    told = json.loads(ran.stdout or "{}")
    landed = told.get("landed") == ["FIX-001"]
    words = f"{told.get('reason')}, landed {', '.join(told.get('landed') or ['nothing'])}"
    rows.append(
        ("`orchestrate run --commit`", f"{words} in {time.monotonic() - began:.0f} s", landed)
    )
    verified = run([orchestrate, "verify"], root, env)
    rows.append(
        ("`orchestrate verify`", verified.stdout.strip().splitlines()[-1], not verified.returncode)
    )
    return rows


def main() -> None:
    """Measure and write the page; exit 1 where something is not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, help="the page to write")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="harness-alone-") as folder:
        rows = measure(Path(folder))
    lines = [f"| {what} | {found.replace('|', chr(92) + '|')} |" for what, found, _ in rows]
    print("\n".join(lines))
    if asked.output:
        page = PAGE.format(python=sys.version.split()[0], rows="\n".join(lines))
        asked.output.write_text(page, encoding="utf-8")
    wrong = [what for what, _, fine in rows if not fine]
    sys.exit(f"not as it must be: {', '.join(wrong)}" if wrong else 0)


if __name__ == "__main__":
    main()
