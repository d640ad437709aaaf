"""Names that mean more than they look: other spellings, packages in place of files, metadata."""

from __future__ import annotations

import pytest
from orchestration.gates.scope import check, is_guarded, steers
from orchestration.gates.tamper import scan, serious
from project import GUARD, Project

CLOSED = (
    "Tests/test_calc.py",
    "TESTS/conftest.py",
    "tests\u200c/test_calc.py",
    "\uff54ests/test_calc.py",
    "tests./test_calc.py",
    "tests /x.py",
    "CONFTEST.py",
    "calc/Conftest.py",
    "PyProject.toml",
    "Pytest.ini",
    ".GitModules",
    ".gitmodules ",
    ".git\u200cattributes",
    "INPUT.md",
    "Docs/Fix_Plan.md",
    "sitecustomize/__init__.py",
    "src/usercustomize/__init__.py",
    "fake-1.0.dist-info/entry_points.txt",
    "src/fake.egg-info/entry_points.txt",
    "fake.egg-link",
    "calc/evil.pth",
    "evil.PTH",
)
OPEN = ("calc/latest.py", "calc/Contest.py", "docs/Testing.md", "calc/site.py", "T\u00e9st/a.py")
ELSEWHERE = (
    ".lfsconfig",
    ".pdbrc",
    "calc/.pdbrc.py",
    ".gdbinit",
    ".lldbinit",
    ".ycm_extra_conf.py",
    ".pylintrc",
    "ipython_config.py",
    ".ipython/profile_default/startup/a.py",
    ".jupyter/jupyter_server_config.py",
    ".vim/after/plugin/a.vim",
    ".nvim/a.lua",
    ".emacs.d/init.el",
    ".Git\u200cHub/workflows/x.yml",
    "\uff41gents.md",
)


@pytest.mark.parametrize("path", CLOSED)
def test_another_spelling_of_a_closed_name_is_closed(path: str) -> None:
    assert not check([path]).ok


@pytest.mark.parametrize("path", OPEN)
def test_a_name_that_only_resembles_one_is_open(path: str) -> None:
    assert check([path]).ok and not is_guarded(path) and not steers(path)


@pytest.mark.parametrize("path", ELSEWHERE)
def test_what_runs_in_a_persons_programs_is_for_a_person(path: str) -> None:
    assert steers(path)


@pytest.mark.parametrize(
    "path",
    ["Calc/__init__.py", "calc/__Init__.py", "calc/\ufb01le.py", "helpers.py", "calc\u200d/x.py"],
)
def test_names_that_some_file_systems_take_for_one_and_tests_modules_are_flagged(
    project: Project, path: str
) -> None:
    files = {"calc/file.py": b"", "tests/helpers.py": b""}
    tree = project.repo.write_tree(project.base, files)
    base = project.repo.commit_tree(tree, [project.base], "more")
    head = project.repo.write_tree(base, {path: b"", "calc/fine.py": b"X = 1\n"})
    found = serious(scan(project.repo, base, head, guard=GUARD))
    assert [one.path for one in found] == [path], found
