"""What the test commands of a document would run today, asked of pytest itself, and what ran.

A command of files, node ids, `-k` and `-m` is a guard, and is collected as one. Any other runs with
the repository's own settings, and its exit code counts: so do the plugins that have a say in it.
Nothing is written into the checkout.
"""

from __future__ import annotations

import configparser
import os
import re
import shlex
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from orchestration.core import Selector, of_pytest_command
from orchestration.documents.grammar import (
    Command,
    Selected,
    coverage_fault,
    pytest_words,
    unwrapped,
)
from orchestration.gates.guard import GuardSpec, collect_ids
from orchestration.gates.guard_files import repository_settings
from orchestration.sandbox import fence, interpreter, own_folders, run_child, scratch, scrub_env

MOST_OF_A_REASON = 300
MOST_OF_AN_END = 4000
_ERROR = re.compile(r"(?:E\s+|ERROR:?\s+(?!usage)|[^:]{0,60}: error: )(.*)")
_COVERAGE = (
    (".coveragerc", "report"),
    ("setup.cfg", "coverage:report"),
    ("tox.ini", "coverage:report"),
)


class Asked:
    """The answers for the commands of one checkout; each is found out once.

    `spec` says how pytest is started there. All of `commands` that only name files and node ids are
    collected by one start.
    """

    def __init__(self, spec: GuardSpec, commands: Sequence[Command] = ()) -> None:
        """Nothing is started before the first question."""
        self.spec = spec
        asked = [of_pytest_command(command.argv) for command in commands]
        self._plain = {str(one): one for one in asked if one and not one.options}
        self._together: tuple[list[str], list[str]] | None = None

    def __call__(self, command: Command) -> Selected:
        """What a command would run; "some" of what is no `pytest` command."""
        selector = of_pytest_command(command.argv)
        if selector:
            return self._guard(selector)
        argv = unwrapped(command.argv)
        if argv[1:3] == ["-m", "unittest"]:
            return self._named(argv[3:])
        words = pytest_words(argv)
        return Selected("some") if words is None else self._own_words(words, command.env)

    def _named(self, words: Sequence[str]) -> Selected:
        """Whether what `unittest` is to load is written in the checkout; nothing is imported."""
        if "discover" in words or any(re.match("-[kpst]", word) for word in words):
            return Selected("some")
        roots = [self.spec.checkout, *(self.spec.checkout / r for r in self.spec.import_roots)]
        for name in words:
            if not name.startswith("-") and not any(_is_written(root, name) for root in roots):
                return Selected("none", f"unittest finds no `{name}`")
        return Selected("some")

    def _guard(self, selector: Selector) -> Selected:
        ids, problems = self._collected(selector)
        if ids:
            return Selected("some")
        options = [word for word in _addopts(self.spec.checkout) if word.startswith("--doctest")]
        if options and not problems:
            words = f"a guard takes no {options[0]} from the settings: write it into the command"
            return Selected("never", words)
        none = f"`{' '.join(selector.options)}` leaves no test" if selector.options else ""
        return Selected("none", _first_error(problems) or none or "no test of that name")

    def _collected(self, selector: Selector) -> tuple[list[str], list[str]]:
        """The ids of a selector, and what pytest said about files it could not read."""
        if selector.options or str(selector) not in self._plain:
            return collect_ids(replace(self.spec, selector=selector.argv))
        if self._together is None:
            nodes = dict.fromkeys(node for one in self._plain.values() for node in one.nodes)
            self._together = collect_ids(replace(self.spec, selector=tuple(nodes)))
        known, problems = self._together
        ids = [i for i in known if any(_is_below(i, node) for node in selector.prefixes())]
        if ids or not problems:
            return ids, problems
        return collect_ids(replace(self.spec, selector=selector.argv))

    def _own_words(self, words: Sequence[str], env: Mapping[str, str]) -> Selected:
        spec, checkout = self.spec, self.spec.checkout.resolve()
        fault = coverage_fault(words, _addopts(checkout), _fail_under(checkout))
        if fault:
            return Selected("never", fault)
        with scratch("asked-") as folder:
            roots = [str((checkout / root).resolve()) for root in spec.import_roots]
            path = [str(Path(spec.python).parent), os.environ.get("PATH", os.defpath)]
            own = {"PYTHONPATH": os.pathsep.join(roots), "PATH": os.pathsep.join(path), **env}
            own |= {"PYTHONDONTWRITEBYTECODE": "1", "COVERAGE_FILE": str(folder / "coverage")}
            own |= own_folders(folder, spec.python)
            full = scrub_env(own, keep=spec.keep_env)
            asking = ["--collect-only", "-q", "--color=no", "-p", "no:cacheprovider"]
            child = run_child(
                fence.wrap(
                    [spec.python, "-m", "pytest", *words, *asking],
                    fence.choose(spec.isolation),
                    cwd=checkout,
                    writable=[folder],
                    readable=interpreter(spec.python).places,
                    opened=spec.opened,
                    env=full,
                ),
                checkout,
                full,
                total_s=spec.timeout_s,
            )
        why = _first_error([child.output_tail])
        if child.exit_code == 4 and "unrecognized arguments" in why:
            return Selected("never", f"pytest says: {why} (is the plugin installed there?)")
        if child.exit_code not in (0, 5):
            why = f"pytest cannot collect it: {why}"
        return Selected("some") if child.exit_code == 0 else Selected("none", why)


def _is_below(node_id: str, start: str) -> bool:
    return node_id == start or node_id.startswith((f"{start}::", f"{start}/", f"{start}["))


def _is_written(root: Path, name: str) -> bool:
    """Whether a file, or a dotted name of a module and what stands in it, is there below `root`."""
    if name.endswith(".py"):
        return (root / name).is_file()
    parts, place = name.split("."), root
    while parts and (place / parts[0]).is_dir():
        place /= parts.pop(0)
    if not parts:
        return place != root
    module = place / f"{parts[0]}.py"
    if module.is_file():
        parts = parts[1:]
    else:
        module = place / "__init__.py"
    if not parts or not module.is_file():
        return not parts
    # A method may come from another class; the first name stands in the module.
    text = module.read_text(encoding="utf-8", errors="replace")
    return bool(re.search(rf"\b{re.escape(parts[0])}\b", text))


def _first_error(said: Sequence[str]) -> str:
    """The first error in what pytest said, or its last line."""
    lines = [line.strip() for text in said for line in text.splitlines() if line.strip()]
    errors = [found[1] for line in lines if (found := _ERROR.match(line))]
    return "".join(errors[:1] or lines[-1:])[:MOST_OF_A_REASON]


def _addopts(checkout: Path) -> list[str]:
    given = repository_settings(checkout).get("addopts", "")
    return list(given) if isinstance(given, list) else shlex.split(given)


def _fail_under(checkout: Path) -> float:
    """`fail_under` of coverage's own settings, in percent; 0 where there is none."""
    found: list[object] = []
    for name, section in _COVERAGE:
        reader = configparser.ConfigParser(interpolation=None, strict=False)
        try:
            reader.read(checkout / name, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError):
            continue
        found.append(reader.get(section, "fail_under", fallback=0))
    try:
        tool = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
        found.append(tool.get("coverage", {}).get("report", {}).get("fail_under", 0))
    except (OSError, KeyError, tomllib.TOMLDecodeError, UnicodeDecodeError):
        pass
    try:
        return next((float(str(value)) for value in found if float(str(value))), 0.0)
    except ValueError:
        return 0.0


def none_passed(command: Command, output: str) -> str:
    """What a test program that ended well says of having passed nothing; "" where it passed some.

    Its end alone is no evidence: pytest and unittest end well when every test was skipped. Where
    they count nothing (`pytest -qq`, `-p no:terminal`) the end is all there is.
    """
    words = unwrapped(command.argv)
    options = pytest_words(words)
    last = re.sub(r"\x1b\[[0-9;]*m", "", output[-MOST_OF_AN_END:])
    if options is not None:
        quiet = sum(len(one) - 1 for one in options if re.fullmatch(r"-q+", one))
        quiet += sum(one == "--quiet" for one in options)
        silent = quiet > 1 or "no:terminal" in options
        if silent or re.search(r"\b[1-9]\d* passed\b", last):
            return ""
        counted = re.findall(r"\b\d+ (?:skipped|xfailed|xpassed|deselected)\b", last)
        return f"no test passed ({', '.join(counted) or 'none was counted'})"
    if words[1:3] == ["-m", "unittest"]:
        ran = re.findall(r"(?m)^Ran (\d+) tests? in", last)
        skipped = re.findall(r"\bskipped=(\d+)", last)
        left = int(ran[-1]) - sum(map(int, skipped[-1:])) if ran else 1
        return (
            "" if left > 0 else f"no test passed ({ran[-1]} ran, {(skipped or ['0'])[-1]} skipped)"
        )
    return ""
