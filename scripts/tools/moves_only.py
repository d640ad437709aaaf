"""Show that a commit only moves code: each file's syntax tree is the same but for its imports.

    python scripts/tools/moves_only.py COMMIT [COMMIT ...]

For every Python file that a commit changes or renames, the trees before and after are compared
without import statements. Strings that name a moved module or path (`"ptycho.archive"`,
`ptycho/archive.py`) may differ, and are printed; new files may hold a docstring and imports only.
Exit 0: moves only. Exit 1: something else changed, named on its line. Exit 2: usage.
"""

from __future__ import annotations

import ast
import subprocess
import sys

IMPORTS = (ast.Import, ast.ImportFrom)


def git(*words: str) -> str:
    return subprocess.run(["git", *words], check=True, capture_output=True, text=True).stdout


class Stripped(ast.NodeTransformer):
    """Without imports; names that an import now gives in another way stay as they are."""

    def __init__(self) -> None:
        self.strings: list[str] = []

    def visit_Import(self, node: ast.Import) -> None:
        return None

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        return None

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        if isinstance(node.value, str):
            self.strings.append(node.value)
            return ast.copy_location(ast.Constant("…"), node)
        return node


def stripped(text: str) -> tuple[str, list[str]]:
    """The dump of a module without its imports, and its strings in order."""
    walker = Stripped()
    return ast.dump(walker.visit(ast.parse(text))), walker.strings


def only_face(text: str) -> bool:
    """A new file that holds nothing but a docstring, imports and a list of names."""
    return all(
        isinstance(node, IMPORTS)
        or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        or (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__")
        for node in ast.parse(text).body
    )


def names_a_place(before: str, after: str) -> bool:
    """Whether two strings differ in words with a dot or a slash only: modules and paths."""
    one, two = before.split(), after.split()
    return len(one) == len(two) and all(
        a == b or (("." in a or "/" in a) and ("." in b or "/" in b))
        for a, b in zip(one, two, strict=True)
    )


def check(commit: str) -> list[str]:
    problems = []
    listing = git("diff", "--name-status", "-M40%", "-z", f"{commit}^", commit).split("\0")[:-1]
    words = iter(listing)
    for status in words:
        old = next(words)
        new = next(words) if status[0] == "R" else old
        if not new.endswith(".py"):
            continue
        if status[0] == "D":
            if not only_face(git("show", f"{commit}^:{old}")):
                problems.append(f"{old}: deleted")
        elif status[0] == "A":
            if not only_face(git("show", f"{commit}:{new}")):
                problems.append(f"{new}: new, and holds code")
        else:
            before, was = stripped(git("show", f"{commit}^:{old}"))
            after, now = stripped(git("show", f"{commit}:{new}"))
            if before != after:
                problems.append(f"{new}: the syntax tree differs from that of {old}")
                continue
            for a, b in zip(was, now, strict=True):
                if a != b and names_a_place(a, b):
                    print(f"  {new}: a string names a place: {a[:60]!r} -> {b[:60]!r}")
                elif a != b:
                    problems.append(f"{new}: a string differs: {a[:60]!r} -> {b[:60]!r}")
    return problems


def main(commits: list[str]) -> int:
    if not commits or commits[0] in ("-h", "--help"):
        print(__doc__)
        return 0 if commits else 2
    failed = False
    for commit in commits:
        problems = check(commit)
        failed |= bool(problems)
        print(f"{commit[:12]}: " + ("moves only" if not problems else "MORE THAN MOVES"))
        for problem in problems:
            print(f"  {problem}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
