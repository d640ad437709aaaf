"""What commands of documents name: tests (asked of pytest in a checkout), and an interpreter."""

from __future__ import annotations

import ast
import sys
from collections.abc import Sequence
from pathlib import Path

from orchestration.core import parse_selector
from orchestration.errors import HarnessError
from orchestration.gates.guard import GuardSpec, collect_ids
from orchestration.gates.tamper_trees import parse
from orchestration.sandbox import Opened

MOST = 256 << 10
"""Bytes of a test file that is read without pytest."""
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def interpreter(argv: Sequence[str], python: str) -> list[str]:
    """`python …` means the configured interpreter, whatever PATH says."""
    words = list(argv)
    if words and words[0] in ("python", "python3"):
        words[0] = python
    return words


def defined_tests(checkout: Path, selector: str | Sequence[str]) -> list[str]:
    """The test functions and methods that a selector names, read from the text of its files."""
    asked = parse_selector(selector)
    found = list[str]()
    for name in asked.paths:
        place = Path(checkout) / name
        files = sorted(place.rglob("test_*.py")) if place.is_dir() else [place]
        for file in (one for one in files if one.is_file() and one.stat().st_size < MOST):
            tree = parse(file.read_text(encoding="utf-8", errors="replace"))
            path = file.relative_to(checkout).as_posix()
            for node in tree.body if tree is not None else ():
                if isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
                    methods = [n.name for n in node.body if isinstance(n, FUNCTIONS)]
                    found += [f"{path}::{node.name}::{n}" for n in methods if n[:4] == "test"]
                elif isinstance(node, FUNCTIONS) and node.name.startswith("test"):
                    found.append(f"{path}::{node.name}")
    starts = asked.prefixes()
    return [i for i in found if any(_is_below(i, start) for start in starts)]


def _is_below(node_id: str, start: str) -> bool:
    bare = start.partition("[")[0].rstrip("/")
    return node_id == bare or node_id.startswith((bare + "::", bare + "/"))


def collect(
    checkout: Path,
    selector: str | Sequence[str],
    python: str = sys.executable,
    *,
    import_roots: Sequence[str] = (".",),
    timeout_s: float = 120.0,
    plugins: Sequence[str] = (),
    strict: bool = False,
    isolation: str = "auto",
    opened: Opened | None = None,
) -> list[str]:
    """Exact node ids that `selector` names in `checkout`, in collection order; [] for none.

    The same ini, plugins and import roots as in a guard run apply, so the ids are those the guard
    will see. With `strict`, a file that cannot be collected is a HarnessError with pytest's words.
    """
    spec = GuardSpec(
        Path(checkout),
        selector=selector,
        python=python,
        import_roots=import_roots,
        timeout_s=timeout_s,
        plugins=plugins,
        isolation=isolation,
        opened=opened or Opened(network=False),
    )
    ids, problems = collect_ids(spec)
    if strict and problems:
        raise HarnessError(
            "pytest cannot collect the selector",
            where=checkout,
            expected=str(spec.asked),
            got=problems[0][-1500:],
        )
    return ids
