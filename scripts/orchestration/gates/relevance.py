"""Does a guard run what an attempt changed? Which lines count, and what a run says about them.

Only lines inside functions count where a file has such: lines at the top of a module run at import,
whatever the tests do. Lines run by other processes than the guard's own are not seen, so a guard
that runs none of the changed lines is reported, not turned down.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import CodeType
from typing import Any

from orchestration.gates.scope import is_guarded
from orchestration.gates.tamper_trees import UNREADABLE
from orchestration.git import Repo

MOST_OF_A_FILE, MOST = 256 << 10, 4 << 20
_HUNK = re.compile(r"^@@ -\d+(?:,\d+)? \+(\d+)(?:,(\d+))? @@", re.MULTILINE)


def touched_lines(
    repo: Repo, base: str, commit: str, changed: Sequence[str]
) -> dict[str, list[int]]:
    """Executable lines of product code that differ between two commits, by path (from 1)."""
    found = {}
    after = repo.list_tree(commit)
    product = [path for path in changed if path.endswith(".py") and not is_guarded(path)]
    entries = {p: after[p] for p in product if p in after and after[p].mode[:3] == "100"}
    sizes, total = repo.sizes({entry.sha for entry in entries.values()}), 0
    for path, entry in entries.items():
        total += sizes[entry.sha]
        if sizes[entry.sha] > MOST_OF_A_FILE or total > MOST:
            continue  # compiling it could take any memory and time: nothing is told of its lines
        diff = repo.added_lines(base, commit, path)
        lines: set[int] = set()
        for first, count in _HUNK.findall(diff.decode("utf-8", "replace")):
            lines.update(range(int(first), int(first) + int(count or 1)))
        inside, top = executable_lines(repo.read_blob(commit, path), path)
        counted = sorted(lines & inside) or sorted(lines & top)
        if counted:
            found[path] = counted
    return found


def executable_lines(source: bytes, path: str) -> tuple[set[int], set[int]]:
    """Lines of a file that can run: inside functions, and at the top; empty when it is broken."""
    try:
        module = compile(source, path, "exec", dont_inherit=True)
    except UNREADABLE:
        return set(), set()
    inside: set[int] = set()
    todo = [(module, False)]
    top: set[int] = set()
    while todo:
        code, function = todo.pop()
        function = function or bool(code.co_flags & 0x2)  # CO_NEWLOCALS: a function, not a class
        start = code.co_firstlineno
        for _, _, line in code.co_lines():
            if line:
                (inside if function and line != start else top).add(line)
        todo += [(part, function) for part in code.co_consts if isinstance(part, CodeType)]
    return inside, top


def judge(touched: Mapping[str, Sequence[int]], ran: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """For the receipt: how many changed lines there are, how many ran, and the files with none."""
    total = sum(len(lines) for lines in touched.values())
    seen = {path: sorted(set(lines) & set(ran.get(path, ()))) for path, lines in touched.items()}
    return {
        "changed_lines": total,
        "ran": sum(map(len, seen.values())),
        "never_run": sorted(path for path, lines in seen.items() if not lines),
    }


def finding(coverage: Mapping[str, Any]) -> str:
    """One line for a person when the guard ran none of the changed lines, else ""."""
    if not coverage.get("changed_lines") or coverage["ran"]:
        return ""
    files = ", ".join(coverage["never_run"][:5])
    return f"the guard runs none of the {coverage['changed_lines']} changed lines ({files})"
