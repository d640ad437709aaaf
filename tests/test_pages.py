"""The pages in docs/ name only what exists: links, files, tests, commands and their flags."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest
import typer.main
from orchestration.cli.app import app as orchestrate_app
from orchestration.core.reasons import ExitReason

from ptycho.cli.app import app as ptycho_app

ROOT = Path(__file__).resolve().parents[1]
#: Written by programs, or histories: what they name was there when it was written.
WRITTEN = {
    *("docs/commands.md", "docs/configuration.md", "docs/specs/log.md", "docs/night.md"),
    *("docs/fix_plan.md", "docs/findings.md"),
}
PAGES = sorted(
    {str(path.relative_to(ROOT)) for path in ROOT.glob("docs/**/*.md")} - WRITTEN
    | {"AGENTS.md", "README.md"}
)
#: Their paths are those of examples.
EXAMPLES = {
    *("docs/specs/documents.md", "docs/specs/globs-and-selectors.md", "docs/specs/historic.md"),
    "docs/tutorial-harness.md",
}
TOPS = "docs|scripts|tests|ptycho|demo|plans"
APPS = {
    "ptycho": typer.main.get_command(ptycho_app),
    "orchestrate": typer.main.get_command(orchestrate_app),
}


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def named_paths(text: str) -> list[str]:
    """Paths of the repository in code marks, tests with their names; no pattern, no placeholder."""
    spans = re.findall(r"`([^`\n]+)`", text)
    words = [word.strip(",;:") for span in spans for word in span.split()]
    paths = [word for word in words if re.match(rf"(?:{TOPS})/[\w.-]", word)]
    return [path for path in paths if not set(path) & set("<>*{}$…=") and "/active/" not in path]


def missing(path: str) -> str:
    """What of ``FILE[::Class]::test`` or ``FILE[:LINE]`` is not there, "" when all is."""
    file, _, test = path.partition("::")
    place = ROOT / re.sub(r":\d+(-\d+)?$", "", file)
    if not place.exists():
        return str(file)
    for name in test.split("::") if test else ():
        if not re.search(
            rf"\b(?:def|class) {re.escape(name.partition('[')[0])}\b", place.read_text()
        ):
            return f"{name} in {file}"
    return ""


def commands(text: str) -> list[list[str]]:
    """The command lines of both programs in fences and in code marks."""
    lines = re.findall(
        r"(?:^[ $]*|`)(?:\.venv/bin/)?((?:ptycho|orchestrate) [a-z-][^`\n#|>]*)", text, re.M
    )
    joined = [line.rstrip("\\").strip().split("  ")[0] for line in lines]  # then: what it does
    return [shlex.split(line) for line in joined if "=" not in line.split()[1]]


def unknown(words: list[str]) -> str:
    """What of a command line its program does not have, "" when it has all."""
    command, rest = APPS[words[0]], words[1:]
    while hasattr(command, "commands"):
        if not rest or rest[0].startswith("--"):
            return "" if set(rest) <= {"--help", "--version"} else " ".join(words)
        if rest[0] not in command.commands:
            return f"{words[0]} {rest[0]}"
        command, rest = command.commands[rest[0]], rest[1:]
    flags = {flag for option in command.params for flag in (*option.opts, *option.secondary_opts)}
    used = {word.split("=")[0].strip("[],.") for word in rest if re.match(r"\[?--?[a-z]", word)}
    return " ".join(sorted(used - flags - {"--help"}))


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_names_exists(page: str) -> None:
    text = text_of(page)
    links = re.findall(r"\]\((?!https?:)([^)#\s]+)", text)
    assert [link for link in links if not ((ROOT / page).parent / link).exists()] == []
    paths = [] if page in EXAMPLES else named_paths(text)
    assert [found for path in paths if (found := missing(path))] == []
    assert [found for words in commands(text) if (found := unknown(words))] == []
    targets = set(re.findall(r"^([a-z]+):", text_of("Makefile"), re.M))
    assert set(re.findall(r"`make ([a-z]+)", text)) <= targets


def test_troubleshooting_has_every_ending_and_quotes_what_is_said() -> None:
    text = text_of("docs/troubleshooting.md")
    endings = re.findall(r"^\| `([A-Z_]+)` \| (\d+) \|", text, re.M)
    assert endings == [(reason.name, str(reason.code)) for reason in ExitReason]
    quoted = re.findall(r"^\| `([a-z][^`]+)`[^|]*\|", text, re.M)
    files = [path for top in ("ptycho", "scripts") for path in (ROOT / top).glob("**/*.py")]
    said = "\n".join(re.sub(r'"\s*\n\s*f?"', "", path.read_text()) for path in files)
    assert len(quoted) > 12 and [words for words in quoted if words not in said] == []


def test_the_guide_has_every_mark() -> None:
    project = tomllib.loads(text_of("pyproject.toml"))["tool"]["pytest"]["ini_options"]
    marks = [line.partition(":")[0] for line in project["markers"]]
    table = text_of("docs/TESTING_GUIDE.md").partition("## Marks")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.M) == marks


def test_what_does_not_exist_is_seen() -> None:
    text = (
        "[a](nowhere.md) `ptycho/nowhere.py` `tests/test_pages.py::test_gone` `docs/index.md` "
        "`tests/test_pages.py::test_what_a_page_names_exists` `docs/<page>.md`\n"
        "`ptycho refine SCAN --nosuch`, `orchestrate nosuch` and\n    orchestrate run --dry-run\n"
    )
    assert [found for path in named_paths(text) if (found := missing(path))] == [
        "ptycho/nowhere.py",
        "test_gone in tests/test_pages.py",
    ]
    assert [unknown(words) for words in commands(text)] == ["--nosuch", "orchestrate nosuch", ""]
