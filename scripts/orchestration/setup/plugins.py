"""Which pytest plugins the tests of a repository need: guards load none that is not named.

Files are read and parsed, nothing is imported. A plugin of the environment is needed where the
tests ask for a fixture or a mark that its source gives or import it, or where pytest's settings
have one that it registers.
"""

from __future__ import annotations

import ast
import configparser
import os
import re
import warnings
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

MOST_FILES, MOST_BYTES = 2000, 1 << 20
LEFT_OUT = {
    *("xdist", "pytest_forked", "pytest_randomly", "pytest_random_order", "pytest_rerunfailures"),
    *("flaky", "pytest_cov", "pytest_html", "pytest_metadata", "pytest_sugar"),
}
"""What changes how tests are run, repeated or shown: a guard does that itself."""
_NOT_TESTS = {"site-packages", "dist-packages", "node_modules", "__pycache__"}
_NAMING = {"usefixtures", "getfixturevalue"}


@dataclass
class _Names:
    """What the files of tests or of a plugin give to each other and ask of each other."""

    fixtures: set[str] = field(default_factory=set)
    marks: set[str] = field(default_factory=set)
    settings: set[str] = field(default_factory=set)
    asked: set[str] = field(default_factory=set)
    used_marks: set[str] = field(default_factory=set)
    imported: set[str] = field(default_factory=set)


def needed_plugins(
    environment: Path, root: Path, tests: str, roots: Sequence[str], settings: Collection[str]
) -> dict[str, str]:
    """The modules of an environment's plugins that tests need, each with the reason.

    `tests` is a folder or a file of the repository `root`, `roots` are its folders to import from
    (it may be a plugin itself) and `settings` the names of its pytest settings. What cannot be
    read needs nothing.
    """
    ours = _names(_test_files(root, root / tests))
    found: dict[str, str] = {}
    for site, module in _installed(environment):
        name = module.split(".")[0]
        if name in LEFT_OUT or name in found:
            continue
        theirs = _names(_plugin_files([site, *(root / one for one in roots)], module))
        reasons = [
            *(f"mark {one}" for one in sorted(theirs.marks & ours.used_marks)),
            *(f"fixture {one}" for one in sorted(theirs.fixtures & ours.asked - ours.fixtures)),
            *(f"setting {one}" for one in sorted(theirs.settings & {*settings})),
            *(f"import {one}" for one in sorted({module, name} & ours.imported)),
        ]
        # A library with a plugin in it (anyio) may be imported for itself.
        if reasons and (name.startswith("pytest") or not reasons[0].startswith("import ")):
            found[name] = reasons[0]
    return dict(sorted(found.items()))


def _installed(environment: Path) -> Iterator[tuple[Path, str]]:
    """The site-packages and module of each pytest plugin of an environment."""
    places = environment.glob("lib*/python*/*-packages/*-info/entry_points.txt")
    for place in islice(sorted(places), MOST_FILES):
        reader = configparser.ConfigParser(interpolation=None, delimiters=("=",), strict=False)
        try:
            reader.read_string(_read(place))
        except configparser.Error:
            continue
        for value in dict(reader["pytest11"]).values() if "pytest11" in reader else ():
            module = value.partition(":")[0].partition("[")[0].strip()
            # The name goes into a YAML list and is looked up as a path: it is a module's name.
            if all(part.isidentifier() for part in module.split(".")):
                yield place.parents[1], module


def _plugin_files(places: Iterable[Path], module: str) -> Iterator[Path]:
    """The files of a plugin: all of a package that is a plugin as a whole, else one module's."""
    parts = module.split(".")
    if parts[0].startswith("pytest"):
        parts = parts[:1]
    for place in places:
        path = place.joinpath(*parts)
        yield path.with_suffix(".py")
        yield from sorted(path.glob("*.py"))


def _test_files(root: Path, tests: Path) -> Iterator[Path]:
    """The test files, without what an environment in the folder holds, and `conftest.py` above."""
    yield from (up / "conftest.py" for up in tests.parents if up.is_relative_to(root))
    yield tests
    for folder, names, files in os.walk(tests):
        names[:] = sorted(
            name
            for name in names
            if not name.startswith(".")
            and name not in _NOT_TESTS
            and not os.path.exists(os.path.join(folder, name, "pyvenv.cfg"))
            and not os.path.exists(os.path.join(folder, name, "conda-meta"))
        )
        yield from (Path(folder, name) for name in sorted(files) if name.endswith(".py"))


def _read(file: Path) -> str:
    """The start of a file; nothing where it cannot be read or is no plain file (a pipe waits)."""
    try:
        if not file.is_file():
            return ""
        with file.open("rb") as stream:
            return stream.read(MOST_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""


def _names(files: Iterable[Path]) -> _Names:
    names = _Names()
    for file in islice(files, MOST_FILES):
        try:
            with warnings.catch_warnings(action="ignore"):
                tree = ast.parse(_read(file))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        for node in ast.walk(tree):
            _note(node, names)
    return names


def _note(node: ast.AST, names: _Names) -> None:
    """Note what one node of a file gives or asks for."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            made = [one for one in map(_fixture, node.decorator_list) if one is not None]
            names.fixtures |= {one or node.name for one in made}
            # Other functions are called by the tests themselves: what they take is no fixture.
            if made or node.name.startswith("test"):
                names.asked |= {one.arg for one in (*node.args.args, *node.args.kwonlyargs)}
        case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=ast.Call() as maker)):
            given = _fixture(maker)  # mocker = pytest.fixture()(_mocker)
            names.fixtures |= set() if given is None else {given or name}
        case ast.Call(func=ast.Attribute(attr="addinivalue_line"), args=[kind, line, *_]):
            first = re.match(r"\s*(\w+)", _text(line))
            if _text(kind) == "markers" and first:
                names.marks.add(first[1])
        case ast.Call(func=ast.Attribute(attr="addini"), args=[name, *_]):
            names.settings.add(_text(name))
        case ast.Call(func=ast.Attribute(attr="addini"), keywords=words):
            names.settings |= {_text(word.value) for word in words if word.arg == "name"}
        case ast.Call(func=ast.Attribute(attr=attr), args=args) if attr in _NAMING:
            names.asked |= {*map(_text, args)}
        case ast.Attribute(value=ast.Attribute(attr="mark") | ast.Name(id="mark"), attr=name):
            names.used_marks.add(name)
        case ast.Import(names=aliases):
            names.imported |= {alias.name for alias in aliases}
        case ast.ImportFrom(module=str(module), level=0):
            names.imported.add(module)


def _fixture(node: ast.expr) -> str | None:
    """None: no maker of fixtures; else the name that it gives, empty for the function's own."""
    call = node if isinstance(node, ast.Call) else None
    maker = call.func if call else node
    name = maker.attr if isinstance(maker, ast.Attribute) else getattr(maker, "id", "")
    if name != "fixture":
        return None
    words = call.keywords if call else []
    return next((_text(word.value) for word in words if word.arg == "name"), "")


def _text(node: ast.expr) -> str:
    """The text that an expression begins with; empty where that is not written out."""
    if isinstance(node, ast.JoinedStr) and node.values:
        node = node.values[0]
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
