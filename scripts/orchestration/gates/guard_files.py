"""The files of one guard run: own ini, start-up shim and canary, all made new every time."""

from __future__ import annotations

import configparser
import os
import shlex
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

# Settings of the repository that say what a test is and how it is imported. Everything else
# (addopts above all) could switch tests off and is not carried over.
CARRIED = (
    "markers",
    "filterwarnings",
    "python_files",
    "python_classes",
    "python_functions",
    "usefixtures",
    "consider_namespace_packages",
    "doctest_optionflags",
)
_OUTPUT = (
    "cache_dir console_output_style log_auto_indent log_cli log_cli_date_format log_cli_format "
    "log_cli_level log_date_format log_file log_file_date_format log_file_format log_file_level "
    "log_file_mode log_format log_level junit_duration_report junit_family junit_logging "
    "junit_log_passing_tests junit_suite_name truncation_limit_chars truncation_limit_lines "
    "verbosity_assertions verbosity_subtests verbosity_test_cases"
)
_CHOICE = (
    "addopts collect_imported_tests confcutdir doctest_encoding empty_parameter_set_mark "
    "enable_assertion_pass_hook faulthandler_exit_on_timeout faulthandler_timeout minversion "
    "norecursedirs pythonpath required_plugins rootdir strict strict_config strict_markers "
    "strict_parametrization_ids strict_xfail testpaths tmp_path_retention_count "
    "tmp_path_retention_policy xfail_strict"
)
OWN = frozenset(f"{_OUTPUT} {_CHOICE}".split())
"""pytest's own settings that are not carried: they could switch tests off, or are about output."""
_NOT_PRODUCT = {"tests", "test", "testing", "docs", "doc", "build", "dist", "examples", "plans"}
_NOT_MODULES = {"setup", "conftest", "noxfile", "tasks", "sitecustomize", "usercustomize"}


def repository_settings(checkout: Path) -> dict[str, str | list[str]]:
    """Pytest settings of the checkout: those of the first file that pytest itself would read.

    The checkout's configuration files are the trusted ones.
    """
    for name in ("pytest.toml", ".pytest.toml"):
        if (checkout / name).is_file():
            return _flat(_toml(checkout / name).get("pytest", {}))
    for name in ("pytest.ini", ".pytest.ini"):
        if (checkout / name).is_file():
            return _from_ini(checkout / name, "pytest")
    project = checkout / "pyproject.toml"
    if project.is_file():
        table = _toml(project).get("tool", {}).get("pytest", {})
        table = table.get("ini_options", table)
        if table:
            return _flat(table)
    for name, section in (("tox.ini", "pytest"), ("setup.cfg", "tool:pytest")):
        if (checkout / name).is_file():
            found = _from_ini(checkout / name, section)
            if found:
                return found
    return {}


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        return {}


def _flat(table: dict[str, Any]) -> dict[str, str | list[str]]:
    return {name: _plain(value) for name, value in table.items() if not isinstance(value, dict)}


def _plain(value: object) -> str | list[str]:
    if isinstance(value, list):
        return [str(part) for part in value]
    return str(value).lower() if isinstance(value, bool) else str(value)


def _from_ini(path: Path, section: str) -> dict[str, str | list[str]]:
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(path.read_text(encoding="utf-8"))
    except (configparser.Error, UnicodeDecodeError):
        return {}
    return dict(parser.items(section)) if parser.has_section(section) else {}


def import_mode(settings: Mapping[str, str | list[str]]) -> str | None:
    """The `--import-mode` that the repository's addopts ask for."""
    given = settings.get("addopts", "")
    words = given if isinstance(given, list) else shlex.split(given)
    for index, word in enumerate(words):
        if word.startswith("--import-mode="):
            return word.partition("=")[2]
        if word == "--import-mode" and index + 1 < len(words):
            return words[index + 1]
    return None


def plugin_settings(settings: Mapping[str, str | list[str]]) -> dict[str, str]:
    """The settings that plugins and conftest files may register; the launcher sees which do."""
    return {
        name: "\n".join(value) if isinstance(value, list) else value
        for name, value in settings.items()
        if name not in OWN and name not in CARRIED
    }


def write_ini(
    path: Path, settings: Mapping[str, str | list[str]], python_path: Iterable[Path]
) -> None:
    """Our ini: absolute `pythonpath`, the carried settings, nothing else."""
    lines = ["[pytest]", "pythonpath ="]
    # pytest splits this setting as a shell would: a folder with a space in its name needs quotes.
    lines += [f"    {shlex.quote(str(folder))}" for folder in python_path]
    lines += ["xfail_strict = true"]
    for name in CARRIED:
        if name not in settings:
            continue
        value = settings[name]
        rows = value if isinstance(value, list) else [row.strip() for row in value.splitlines()]
        rows = [row for row in rows if row]
        if name == "python_functions" and "test" not in " ".join(rows).split():
            rows = [*rows, "test"]
        lines += [f"{name} ="] + [f"    {row}" for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def product_names(checkout: Path, import_roots: Sequence[str]) -> tuple[str, ...]:
    """Top-level packages and modules that the import roots of a checkout hold."""
    found: set[str] = set()
    for root in import_roots:
        folder = checkout / root
        if not folder.is_dir():
            continue
        flat = folder.resolve() == checkout.resolve()
        for entry in sorted(folder.iterdir()):
            if _is_package(entry, flat) or _is_module(entry):
                found.add(entry.stem if entry.is_file() else entry.name)
    return tuple(sorted(found))


def _is_package(entry: Path, flat: bool) -> bool:
    if not entry.is_dir() or not entry.name.isidentifier() or entry.name in _NOT_PRODUCT:
        return False
    if (entry / "__init__.py").is_file():
        return True
    return not flat and any(entry.glob("*.py"))  # a namespace package, where nothing else lies


def _is_module(entry: Path) -> bool:
    name = entry.stem
    usable = entry.suffix == ".py" and name.isidentifier() and entry.is_file()
    return usable and name not in _NOT_MODULES and not name.startswith(("test_", "_"))


SHIM = '''\
"""Made by the harness: the checkout's packages win over an installed copy, in every interpreter."""
import importlib._bootstrap_external
import importlib.machinery
import importlib.util
import os
import sys

NAMES = {names!r}
ROOTS = {roots!r}
HERE = os.path.dirname(os.path.abspath(__file__))


class CheckoutFirst:
    """Finds the product's packages in the checkout, before any finder of an editable install."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if path is None and name in NAMES:
            return importlib.machinery.PathFinder.find_spec(name, ROOTS)
        return None


sys.meta_path.insert(0, CheckoutFirst)

# Compiled files of the tree are not believed (PYTHONPYCACHEPREFIX); those beside what is installed
# are as good as their sources, and to compile all of pytest anew takes longer than most tests.
INSTALLED = tuple(os.path.join(p, "lib", "") for p in (sys.prefix, sys.base_prefix))
ELSEWHERE = importlib._bootstrap_external.cache_from_source


def _compiled(path, debug_override=None, *, optimization=None):
    plain = debug_override is None and optimization is None and not sys.flags.optimize
    if plain and os.fspath(path).startswith(INSTALLED):
        folder, name = os.path.split(path)
        name = name.rpartition(".")[0] + "." + sys.implementation.cache_tag + ".pyc"
        there = os.path.join(folder, "__pycache__", name)
        if os.path.isfile(there):
            return there
    return ELSEWHERE(path, debug_override, optimization=optimization)


importlib._bootstrap_external.cache_from_source = _compiled


def _others():
    """Run the sitecustomize that this file hides, unless it is one of the checkout's."""
    hidden = (HERE, *ROOTS)
    rest = [p for p in sys.path if os.path.abspath(p or os.curdir) not in hidden]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", rest)
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


_others()
'''

CANARY = '''\
"""Made by the harness: both tests must fail. One that passes shows that reports are forged."""
import importlib.util
import json
import os
import sys


def origins():
    found = {{}}
    for name in {names!r}:
        module = sys.modules.get(name)
        try:
            spec = importlib.util.find_spec(name) if module is None else module.__spec__
            places = [getattr(module, "__file__", None) or getattr(spec, "origin", None)]
            places += list(getattr(module, "__path__", None) or
                           getattr(spec, "submodule_search_locations", None) or [])
        except BaseException as problem:
            places = ["unknown: " + type(problem).__name__]
        found[name] = sorted({{os.path.realpath(p) for p in places if p and p != "namespace"}})
    return json.dumps(found)


def test_{first}():
    assert 1 == 2, "canary {secret} " + origins()


def test_{last}():
    assert 1 == 2, "canary {secret} " + origins()
'''


def write_shim(folder: Path, names: Sequence[str], roots: Sequence[Path]) -> None:
    """`sitecustomize.py` for the first place on PYTHONPATH."""
    folder.mkdir(parents=True, exist_ok=True)
    text = SHIM.format(names=list(names), roots=[os.fspath(root) for root in roots])
    (folder / "sitecustomize.py").write_text(text, encoding="utf-8")
