"""Figures of the house, by syntax tree: python scripts/tools/house_figures.py [CHECKOUT].

For each package of a checkout (of any commit: `git worktree add DIR f264b61`, then DIR): modules,
statements without docstrings, private functions and how many of them are used once, rooms (the
folders and modules right below the package), arrows between rooms, and pairs of rooms that reach
each other. Only files are read; nothing of the checkout is imported or run.
"""

from __future__ import annotations

import argparse
import ast
import json
from collections import Counter
from pathlib import Path

PACKAGES = {"ptycho": "ptycho", "orchestration": "scripts/orchestration"}
Arrows = dict[str, set[str]]


def module_name(package: str, folder: Path, path: Path) -> str:
    """`orchestration.core.globs` for its file; a package's `__init__` has the package's name."""
    parts = [package, *path.relative_to(folder).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    """The room of a module: the part right below its package ("" for the package itself)."""
    return module.split(".")[1] if "." in module else ""


def statements(tree: ast.Module) -> int:
    """Statements of a module, docstrings (bare texts) left out."""
    return sum(
        isinstance(node, ast.stmt)
        and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        for node in ast.walk(tree)
    )


def private_functions(tree: ast.Module) -> list[tuple[int, int]]:
    """(uses, lines) of each function or method named `_x`, in its own module."""
    uses = Counter(
        node.attr if isinstance(node, ast.Attribute) else node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute | ast.Name)
    )
    return [
        (uses[node.name], (node.end_lineno or node.lineno) - node.lineno + 1)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("_")
        and not node.name.startswith("__")
    ]


def imported(tree: ast.Module, module: str, *, is_package: bool) -> set[str]:
    """Full names of what a module imports, inside functions too; not what is for types only."""
    found = set()
    skipped = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    here = module.split(".") if is_package else module.split(".")[:-1]
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            # `from package import room` names a room, `from package.room import x` what it has.
            found |= {f"{source}.{alias.name}" for alias in node.names}
    return found


def arrows_between_rooms(package: str, sources: dict[str, tuple[ast.Module, bool]]) -> Arrows:
    """Which rooms of a package import which others of it."""
    rooms = {room_of(module) for module in sources}
    arrows: Arrows = {room: set() for room in rooms if room}
    for module, (tree, is_package) in sources.items():
        mine = room_of(module)
        for name in imported(tree, module, is_package=is_package):
            theirs = room_of(name) if name.startswith(f"{package}.") else ""
            if mine and theirs in rooms and theirs not in ("", mine):
                arrows[mine].add(theirs)
    return arrows


def circles(arrows: Arrows) -> list[tuple[str, str]]:
    """Pairs of rooms of which each reaches the other."""
    reach = {room: set(targets) for room, targets in arrows.items()}
    for middle in reach:
        for room in reach:
            if middle in reach[room]:
                reach[room] |= reach[middle]
    return sorted((a, b) for a in reach for b in reach[a] if a < b and a in reach.get(b, ()))


def read_package(checkout: Path, package: str) -> dict[str, tuple[ast.Module, bool]]:
    """Module name to (syntax tree, whether it is an `__init__`) of a package; {} without it."""
    folder = checkout / PACKAGES[package]
    return {
        module_name(package, folder, path): (
            ast.parse(path.read_text("utf-8")),
            path.name == "__init__.py",
        )
        for path in sorted(folder.rglob("*.py"))
    }


def figures(checkout: Path, package: str) -> dict[str, object]:
    """The figures of one package of a checkout."""
    sources = read_package(checkout, package)
    arrows = arrows_between_rooms(package, sources)
    functions = [found for tree, _ in sources.values() for found in private_functions(tree)]
    once = [lines for uses, lines in functions if uses == 1]
    return {
        "modules": len(sources),
        "statements": sum(statements(tree) for tree, _ in sources.values()),
        "private functions": len(functions),
        "of them used once": len(once),
        "of these ≤ 5 lines": sum(lines <= 5 for lines in once),
        "rooms": len(arrows),
        "arrows between rooms": sum(map(len, arrows.values())),
        "pairs of rooms in a circle": len(circles(arrows)),
    }


def main() -> None:
    """Print the figures of a checkout, as a table or as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("checkout", nargs="?", type=Path, default=Path())
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--arrows", action="store_true", help="list the arrows too")
    options = parser.parse_args()
    found = {package: figures(options.checkout, package) for package in PACKAGES}
    if options.json:
        print(json.dumps(found, indent=1, ensure_ascii=False))
        return
    print(f"{'':28}" + "".join(f"{package:>16}" for package in found))
    for name in found["ptycho"]:
        print(f"{name:28}" + "".join(f"{row[name]:>16}" for row in found.values()))
    for package in PACKAGES if options.arrows else ():
        arrows = arrows_between_rooms(package, read_package(options.checkout, package))
        print(f"\n{package}")
        for room in sorted(arrows):
            print(f"  {room:16} -> {', '.join(sorted(arrows[room])) or '-'}")
        print("  circles: " + (", ".join("/".join(pair) for pair in circles(arrows)) or "none"))


if __name__ == "__main__":
    main()
