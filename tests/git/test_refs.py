"""The harness's ref names are written once, in git/refs.py."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from orchestration import git

ROOM = Path(git.__file__).parent
OWN_REF = re.compile(r"refs/(heads/)?orchestration/|^orchestration/(results|attempts)$")


def test_no_other_module_spells_a_ref_of_the_harness() -> None:
    found = []
    for path in ROOM.parent.rglob("*.py"):
        if path == ROOM / "refs.py":
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        prose = {
            id(node.value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        }
        found += [
            f"{path.relative_to(ROOM.parent)}:{node.lineno}: {node.value}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant)
            and id(node) not in prose
            and isinstance(node.value, str)
            and OWN_REF.search(node.value)
        ]
    assert found == []
