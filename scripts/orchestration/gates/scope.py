"""Which kind of file a path is, and which paths an attempt must not touch.

The classes decide what counts: product and test changes can be landed as progress, plan-local and
docs changes alone cannot; guarded paths (tests and everything that steers pytest or Python) come
from the trusted commit whatever the attempt did to them.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Literal

from orchestration.core import matches

Kind = Literal["product", "test", "tool", "plan-local", "docs"]
KINDS: tuple[Kind, ...] = ("product", "test", "tool", "plan-local", "docs")

# Files that steer pytest, the import system or coverage, wherever they lie.
CONFIG_NAMES = frozenset(
    {
        "conftest.py",
        "pytest.ini",
        ".pytest.ini",
        "pytest.toml",
        ".pytest.toml",
        "pyproject.toml",
        "setup.cfg",
        "tox.ini",
        "noxfile.py",
        ".coveragerc",
        "sitecustomize.py",
        "usercustomize.py",
        "pyvenv.cfg",
        ".gitattributes",
        ".gitmodules",
    }
)
TEST_FOLDERS = frozenset({"tests", "test"})
# What the harness owns, and what reaches other machines: no attempt writes these.
PROTECTED = (
    "input.md",
    "galph_memory.md",
    "docs/fix_plan.md",
    "orchestration.yaml",
    "plans/active/*/reports/**",
    "plans/active/*/summary.md",
    ".gitmodules",
    ".gitattributes",
)
# What runs on other machines, in a person's editor or shell, or steers agents, wherever it lies: a
# person looks at every change of it. Names in lower case; one that ends with `*` is a beginning.
STEERING_FOLDERS = frozenset(
    """
    .github .gitlab .circleci .buildkite .forgejo .gitea .woodpecker .teamcity .azure-pipelines
    .vscode .vscode-server .idea .zed .fleet .nova .vs .sublime .devcontainer .husky .githooks
    .lefthook .claude .codex .gemini .cursor .windsurf .aider .opencode .continue .roo .cline .kiro
    .junie .amazonq .augment .agents .mcp .direnv .cargo .ipython .jupyter .vim .nvim .emacs.d
    """.split()  # noqa: SIM905 - a list of names reads best as words
)
STEERING_NAMES = (
    ".gitlab-ci*", ".travis.y*ml", ".appveyor.y*ml", "appveyor.y*ml", "azure-pipelines*",
    "bitbucket-pipelines*", "jenkinsfile*", ".drone.y*ml", ".woodpecker.y*ml", ".cirrus.*",
    ".readthedocs.y*ml", "cloudbuild.y*ml", "renovate.json*", ".renovaterc*", "dependabot.y*ml",
    ".pre-commit-config.*", ".pre-commit-hooks.*", "lefthook.*", ".lefthook.*", ".envrc*", ".env",
    ".env.local", ".tool-versions", "mise.toml", ".mise*", ".devcontainer.*", "devcontainer.*",
    "*.code-workspace", ".gitpod.y*ml", ".exrc", ".nvimrc", ".vimrc", ".nvim.lua", ".lvimrc",
    ".dir-locals*.el", ".netrwhist", ".bashrc", ".bash_profile", ".profile", ".zshrc", ".zshenv",
    ".npmrc", ".yarnrc*", ".pypirc", "pip.conf", "uv.toml", "poetry.toml", "pdm.toml",
    ".pdm-python", ".condarc", ".netrc", ".curlrc", ".wgetrc", ".python-version*", ".nvmrc",
    ".node-version", ".ruby-version", ".bazelrc", ".gitconfig", ".mcp.json", "mcp.json",
    "agents.md", "agents.*.md", "agent.md", "claude.md", "claude.*.md", "gemini.md", "codex.md",
    "copilot-instructions*", ".cursor*", ".windsurf*", ".clinerules*", ".roo*", ".aider*",
    ".lfsconfig", ".pdbrc*", ".gdbinit", ".lldbinit", ".ycm_extra_conf.py", ".pylintrc", "pylintrc",
    "ipython_config.py", ".goosehints", "opencode.json*", ".rules", "warp.md", "skill.md",
)  # fmt: skip
_AT_START = ("sitecustomize", "usercustomize")
_DOC_SUFFIXES = {".md", ".rst", ".txt", ".adoc"}
_TOOL_FOLDERS = {"scripts", "tools", "bin", ".github", "ci", "benchmarks"}
_TOOL_NAMES = {"Makefile", "Dockerfile", "justfile", "noxfile.py", "setup.py", ".gitignore"}


def steers(path: str) -> bool:
    """Whether a file runs elsewhere (CI, editors, shells, hooks) or steers agents."""
    parts = PurePosixPath(folded(path)).parts
    if STEERING_FOLDERS.intersection(parts[:-1]):
        return True
    return any(fnmatchcase(parts[-1], name) for name in STEERING_NAMES)


def folded(path: str) -> str:
    """The name that file systems which fold case, forms and invisible characters see."""
    text = unicodedata.normalize("NFKC", path).casefold()
    parts = "".join(c for c in text if unicodedata.category(c) != "Cf").split("/")
    return "/".join(part.rstrip(". ") or part for part in parts)


def is_test(path: str) -> bool:
    """A test file, or anything in a test folder (data and helpers included)."""
    parts = PurePosixPath(path).parts
    name = parts[-1]
    named = name.endswith(".py") and (name.startswith("test_") or name.endswith("_test.py"))
    inside = bool(TEST_FOLDERS.intersection(parts[:-1])) or parts[0] in {*TEST_FOLDERS, "testing"}
    return named or inside  # a package such as `calc/testing` is a product's


def is_config(path: str) -> bool:
    """A file that steers pytest, coverage or Python's start-up, or a compiled module."""
    pure = PurePosixPath(path)
    steered = pure.name in CONFIG_NAMES or pure.name.split(".")[0] in _AT_START
    if steered or pure.suffix in {".pth", ".pyc", ".egg-link"}:
        return True
    # A package starts with Python as a module does; metadata names plug-ins of pytest.
    above = pure.parts[:-1]
    return any(part in _AT_START or part.endswith((".dist-info", ".egg-info")) for part in above)


def is_guarded(path: str) -> bool:
    """Taken from the trusted commit in every guard run: tests and configuration."""
    return is_test(path) or is_config(path)


def kind_of(path: str, *, product_roots: Sequence[str] = ()) -> Kind:
    """Class of one path. `product_roots` are folders that are product although named otherwise."""
    pure = PurePosixPath(path)
    top = pure.parts[0]
    if top == "plans":
        return "plan-local"
    if is_test(path) or pure.name == "conftest.py":
        return "test"
    if matches(path, product_roots):
        return "product"
    if top in {"docs", "doc"} or pure.suffix.lower() in _DOC_SUFFIXES or pure.name == "LICENSE":
        return "docs"
    if top in _TOOL_FOLDERS or pure.name in _TOOL_NAMES or is_config(path):
        return "tool"
    return "product"


def classify(
    paths: Iterable[str], *, product_roots: Sequence[str] = ()
) -> dict[Kind, tuple[str, ...]]:
    """Paths by class, all five classes present, sorted."""
    groups: dict[Kind, list[str]] = {kind: [] for kind in KINDS}
    for path in paths:
        groups[kind_of(path, product_roots=product_roots)].append(path)
    return {kind: tuple(sorted(found)) for kind, found in groups.items()}


@dataclass(frozen=True)
class ScopeReport:
    """What an attempt touched and what of it was not its to touch (`path: reason` lines)."""

    groups: dict[Kind, tuple[str, ...]]
    violations: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing forbidden was touched."""
        return not self.violations


def check(
    paths: Iterable[str],
    *,
    may_edit: Iterable[str] = (),
    new: Iterable[str] = (),
    forbidden: Iterable[str] = (),
    protected: Iterable[str] = (),
    product_roots: Sequence[str] = (),
) -> ScopeReport:
    """Hold the changed `paths` of an attempt against the order.

    `may_edit` and `new` open tests and configuration that are otherwise closed; nothing opens what
    the order forbids or what the harness owns.
    """
    names = sorted(set(paths))
    allowed, closed = (*may_edit, *new), (*PROTECTED, *protected)
    forbidden = tuple(forbidden)
    lines = []
    for path in names:
        if matches(path, forbidden):
            lines.append(f"{path}: the order forbids it")
        elif matches(path, allowed):
            continue
        elif matches(path, closed) or matches(folded(path), closed):
            lines.append(f"{path}: protected (only the harness or a person writes it)")
        elif is_guarded(path) or is_guarded(folded(path)):
            lines.append(f"{path}: tests and configuration need `May edit tests:` in the order")
    return ScopeReport(classify(names, product_roots=product_roots), tuple(lines))
