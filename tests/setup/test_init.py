"""`orchestrate init` and `doctor` on repositories that have never seen the harness."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from orchestration.config import load_config
from orchestration.documents.grammar import parse_command
from orchestration.documents.ledger import check_ledger, parse_ledger
from orchestration.errors import HarnessError
from orchestration.gates import none_passed
from orchestration.git import Repo
from orchestration.setup.doctor import Check, examine
from orchestration.setup.init import Wishes, find_layout, prepare

ORCHESTRATE = str(Path(sys.executable).with_name("orchestrate"))

FLAT = {
    "shop.py": "def total(prices):\n    return sum(prices)\n",
    "tests/test_shop.py": (
        "from shop import total\n\n\ndef test_total():\n    assert total([1, 2]) == 3\n"
    ),
}
SRC = {
    "pyproject.toml": '[project]\nname = "till"\nversion = "1"\n',
    "src/till/__init__.py": "def change(paid, price):\n    return paid - price\n",
    "tests/unit/test_change.py": (
        "import till\n\n\ndef test_change():\n    assert till.change(5, 3) == 2\n"
    ),
}
SKIPS = FLAT | {
    "tests/test_more.py": (
        "import pytest\n\n\n@pytest.mark.skip(reason='not for this machine')\n"
        "def test_elsewhere():\n    assert False\n"
    ),
}
UNITTEST = {
    "basket/__init__.py": "class Basket(list):\n    pass\n",
    "basket/count.py": "def count(basket):\n    return len(basket)\n",
    "conftest.py": "import pytest\n\n\n@pytest.fixture(autouse=True)\ndef quiet():\n    yield\n",
    "test/test_basket.py": (
        "import unittest\n\nfrom basket import Basket\nfrom basket.count import count\n\n\n"
        "class BasketCase(unittest.TestCase):\n    def setUp(self):\n"
        "        self.basket = Basket('ab')\n\n    def test_count(self):\n"
        "        self.assertEqual(count(self.basket), 2)\n"
    ),
}
LAYOUTS = {
    "flat": (FLAT, (".",), "tests", ("shop",)),
    "skips": (SKIPS, (".",), "tests", ("shop",)),
    "src": (SRC, ("src", "."), "tests", ("till",)),
    "unittest": (UNITTEST, (".",), "test", ("basket",)),
}


def git(root: Path, *words: str) -> str:
    names = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    return subprocess.run(
        ["git", *names, *words], cwd=root, check=True, capture_output=True, text=True
    ).stdout


def lay(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def make(root: Path, files: dict[str, str]) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    git(root, "init", "-q", "-b", "main")
    lay(root, files)
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "first")
    return root


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_init_makes_a_repository_ready_and_its_first_run_ends_done(
    layout: str, tmp_path: Path
) -> None:
    files, roots, tests, packages = LAYOUTS[layout]
    root = make(tmp_path / "a b", files)
    done = subprocess.run([ORCHESTRATE, "init", "--json"], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (tuple(said["import_roots"]), said["tests"]) == (roots, tests)
    assert tuple(said["packages"]) == packages
    assert load_config(root).import_roots == roots
    ledger = parse_ledger((root / "docs/fix_plan.md").read_text())
    assert check_ledger(ledger) == []
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "ledger")
    checked = subprocess.run([ORCHESTRATE, "doctor"], cwd=root, capture_output=True, text=True)
    assert checked.returncode == 0 and "FAIL" not in checked.stdout
    ran = subprocess.run([ORCHESTRATE, "run", "--json"], cwd=root, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    summary = json.loads(ran.stdout)
    assert (summary["reason"], summary["landed"]) == ("DONE", ["SUITE-GREEN-001"])
    assert git(root, "status", "--porcelain") == ""


def test_init_keeps_what_is_there_and_is_repeatable(tmp_path: Path) -> None:
    root = make(tmp_path, FLAT | {"docs/fix_plan.md": "# mine\n"})
    first = prepare(root)
    assert first.kept == ("docs/fix_plan.md",)
    assert (root / "docs/fix_plan.md").read_text() == "# mine\n"
    before = {path: path.read_bytes() for path in root.rglob("*.yaml")}
    assert prepare(root).written == ()
    assert {path: path.read_bytes() for path in root.rglob("*.yaml")} == before


def test_layout_from_configuration(tmp_path: Path) -> None:
    text = (
        '[tool.pytest.ini_options]\npythonpath = ["lib"]\ntestpaths = ["checks"]\n'
        '[tool.hatch.build]\ndev-mode-dirs = [".", "scripts"]\n'
    )
    files = {
        "pyproject.toml": text,
        "lib/one.py": "x = 1\n",
        "scripts/two/__init__.py": "",
        "checks/test_one.py": "def test_one():\n    pass\n",
        "tests/helpers.py": "",
    }
    lay(tmp_path, files)
    layout = find_layout(tmp_path)
    assert layout.import_roots == ("lib", ".", "scripts") and layout.tests == "checks"
    assert layout.packages == ("one", "two")


def test_a_package_that_holds_its_tests_is_found(tmp_path: Path) -> None:
    (tmp_path / "calc/tests").mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text('[tool.pytest.ini_options]\ntestpaths = ["calc"]\n')
    (tmp_path / "calc/__init__.py").write_text("")
    (tmp_path / "calc/tests/test_one.py").write_text("def test_one():\n    pass\n")
    assert find_layout(tmp_path).packages == ("calc",)


def test_a_folder_that_only_the_tests_put_on_the_path_is_an_import_root(tmp_path: Path) -> None:
    files = {
        "lib/app/__init__.py": "",
        "python/other.py": "x = 1\n",
        "notes/app/__init__.py": "",
        "notes/__init__.py": "",
        "flat.py": "x = 1\n",
        "tests/helper.py": "",
        "tests/test_one.py": "import app.deep\nfrom other import x\nimport flat, os, helper\n"
        "def test_one():\n    pass\n",
    }
    lay(tmp_path, files)
    layout = find_layout(tmp_path)
    assert layout.import_roots == ("lib", "python", ".")
    assert {"app", "other", "flat"} <= set(layout.packages)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pyproject.toml", '[tool.pytest]\npythonpath = ["lib"]\ntestpaths = ["checks"]\n'),
        ("pytest.toml", '[pytest]\npythonpath = ["lib"]\ntestpaths = ["checks"]\n'),
        (".pytest.toml", '[pytest]\npythonpath = ["lib"]\ntestpaths = ["checks"]\n'),
        (".pytest.ini", "[pytest]\npythonpath = lib\ntestpaths = checks\n"),
        ("tox.ini", "[pytest]\npythonpath = lib\ntestpaths = checks\n"),
        ("setup.cfg", "[tool:pytest]\npythonpath = lib\ntestpaths = checks\n"),
    ],
)
def test_layout_from_every_file_that_pytest_reads(tmp_path: Path, name: str, text: str) -> None:
    files = {
        name: text,
        "lib/one.py": "x = 1\n",
        "checks/test_one.py": "def test_one():\n    pass\n",
        "tests/test_other.py": "def test_other():\n    pass\n",
    }
    lay(tmp_path, files)
    layout = find_layout(tmp_path)
    assert (layout.import_roots, layout.tests) == (("lib", "."), "checks")


def test_no_test_is_an_error_with_a_fix(tmp_path: Path) -> None:
    root = make(tmp_path, {"shop.py": "x = 1\n", "tests/test_nothing.py": "x = 1\n"})
    with pytest.raises(HarnessError, match="no test was found"):
        prepare(root)
    assert not (root / "orchestration.yaml").exists()


def test_outside_a_repository(tmp_path: Path) -> None:
    done = subprocess.run([ORCHESTRATE, "init"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert [check.state for check in examine(tmp_path)] == ["fail"]


def test_doctor_names_what_is_in_the_way(tmp_path: Path) -> None:
    root = make(tmp_path, FLAT)
    git(root, "branch", "orchestration")
    (root / "orchestration.yaml").write_text('import_roots: ["gone"]\npython: /no/such/python\n')
    found = by_name(examine(root, agent="nobody"))
    failed = {name for name, check in found.items() if check.state == "fail"}
    assert failed == {"ref names", "ledger", "interpreter", "agent"}
    assert all(found[name].fix for name in failed)
    assert found["working tree"].state == "warn"
    words = [ORCHESTRATE, "doctor", "--json"]
    done = subprocess.run(words, cwd=root, capture_output=True, text=True)
    assert done.returncode == 1 and json.loads(done.stdout)["ok"] is False


def test_doctor_finds_a_missing_import_root_and_a_bad_key(tmp_path: Path) -> None:
    root = make(tmp_path, FLAT)
    (root / "orchestration.yaml").write_text('import_roots: ["gone"]\n')
    assert by_name(examine(root))["import roots"].state == "fail"
    (root / "orchestration.yaml").write_text("import_root: x\n")
    check = by_name(examine(root))["orchestration.yaml"]
    assert check.state == "fail" and "import_root" in check.found


def test_doctor_refuses_a_log_with_a_changed_line(tmp_path: Path) -> None:
    root = make(tmp_path, FLAT)
    folder = Repo(root).state_dir / "log"
    folder.mkdir(parents=True)
    (folder / "000000.jsonl").write_text("{}\n")
    check = by_name(examine(root))["event log"]
    assert check.state == "fail" and "recover" in check.fix


def test_doctor_tells_what_of_a_guard_means_nothing(tmp_path: Path) -> None:
    root = make(tmp_path, FLAT)
    (root / "docs").mkdir()
    ledger = "# Plan\n\n### [A-001] T\n- Status: open\n- Guard: tests/test_shop.py --lf\n"
    (root / "docs/fix_plan.md").write_text(ledger)
    git(root, "add", "-A")
    git(root, "commit", "-qm", "ledger")
    check = by_name(examine(root))["guard"]
    assert check.state == "warn" and "docs/fix_plan.md:3: A-001: --lf" in check.found


def environment(root: Path, name: str, *, pytest_in: bool = True) -> None:
    (root / name / "bin").mkdir(parents=True)
    (root / name / "bin/python").write_text("")
    (root / name / "pyvenv.cfg").write_text("")
    if pytest_in:
        (root / name / "lib/python3.12/site-packages/pytest").mkdir(parents=True)
        (root / name / "lib/python3.12/site-packages/pytest/__init__.py").write_text("")


@pytest.mark.parametrize("name", ["environment", ".tox/py312", ".nox/tests", "py", "envs/dev"])
def test_an_environment_is_found_by_any_name(tmp_path: Path, name: str) -> None:
    root = make(tmp_path, FLAT)
    environment(root, ".venv", pytest_in=False)
    environment(root, name)
    assert find_layout(root).python == f"{name}/bin/python"


def test_what_is_asked_for_is_written_and_nothing_else(tmp_path: Path) -> None:
    root = make(tmp_path / "shop", FLAT)
    git(root, "branch", "next")
    words = ["--target", "next", "--agent-command"]
    done = subprocess.run(
        [ORCHESTRATE, "init", "--json", *words, "sh 'a b.sh'"],
        cwd=root,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    config = load_config(root)
    assert (config.target, config.agent) == ("next", "custom")
    assert config.agent_command == ("sh", "a b.sh")
    assert git(root, "status", "--porcelain", "-uall").split() == [
        *("??", "docs/fix_plan.md"),
        *("??", "orchestration.yaml"),
    ]
    other = make(tmp_path / "other", FLAT)
    for wish in (Wishes(target="nowhere"), Wishes(agent="nobody"), Wishes(python="no/python")):
        with pytest.raises(HarnessError):
            prepare(other, wish)


def three_commands(root: Path, fix: Path, more: str = "") -> subprocess.CompletedProcess[str]:
    """What `run` said: init, an item in the ledger, run --commit with an agent that fixes it."""
    fix.write_text(f"open('shop.py', 'w').write({FLAT['shop.py']!r})\n{more}")
    words = ["init", "--agent-command", f"{sys.executable} {fix}"]
    subprocess.run([ORCHESTRATE, *words], cwd=root, check=True, stdin=subprocess.DEVNULL)
    ledger = root / "docs/fix_plan.md"
    head = ledger.read_text().partition("### [SUITE")[0]
    test = "tests/test_shop.py::test_total"
    item = f"### [FIX-1] Totals\n- Status: open\n- Guard: {test}\n- Exit:\n"
    ledger.write_text(head + item + f"  - [ ] C1 `pytest {test}` — it adds\n")
    words = ["run", "--commit", "--json"]
    return subprocess.run([ORCHESTRATE, *words], cwd=root, capture_output=True, text=True)


def test_three_commands_lead_to_a_landed_fix(tmp_path: Path) -> None:
    """init, edit the ledger, run --commit; what else lies in the checkout is left alone."""
    root = make(tmp_path / "shop", {**FLAT, "shop.py": FLAT["shop.py"].replace("sum", "max")})
    (root / "notes.txt").write_text("mine")
    ran = three_commands(root, tmp_path / "fix.py")
    assert json.loads(ran.stdout)["landed"] == ["FIX-1"], ran.stderr
    assert git(root, "show", "main:shop.py") == FLAT["shop.py"]
    assert git(root, "status", "--porcelain") == "?? notes.txt\n"


def test_what_agents_programs_leave_of_their_own_is_said_and_not_landed(tmp_path: Path) -> None:
    root = make(tmp_path / "shop", {**FLAT, "shop.py": FLAT["shop.py"].replace("sum", "max")})
    left = ".aider.chat.history.md .claude/todos/1.json .codex/sessions/a.jsonl .pytest_cache/x"
    more = "import pathlib\n" + "".join(
        f"p = pathlib.Path({name!r})\np.parent.mkdir(parents=True, exist_ok=True)\np.touch()\n"
        for name in left.split()
    )
    ran = three_commands(root, tmp_path / "fix.py", more)
    assert json.loads(ran.stdout)["landed"] == ["FIX-1"], ran.stderr
    landed = git(root, "diff", "--name-only", "HEAD~1", "HEAD").split()
    own = ("plans/", "docs/fix_plan.md", "input.md", "galph_memory.md")
    assert [name for name in landed if not name.startswith(own)] == ["shop.py"]
    for name in (".aider.chat.history.md", ".claude/todos", ".codex/sessions", ".pytest_cache"):
        assert name in " ".join(ran.stderr.split()), name


def test_a_ledger_that_differs_from_the_committed_one_is_said(tmp_path: Path) -> None:
    root = make(tmp_path, FLAT | {"docs/fix_plan.md": "# Plan\n"})
    (root / "docs/fix_plan.md").write_text("# Plan\n\n### [A-001] New\n- Status: open\n")
    ran = subprocess.run([ORCHESTRATE, "run"], cwd=root, capture_output=True, text=True)
    assert "differs from the committed one" in " ".join(ran.stderr.split())


def test_three_commands_work_at_any_path_and_branch(tmp_path: Path) -> None:
    files = {**FLAT, "shop.py": FLAT["shop.py"].replace("sum", "max")}
    root = make(tmp_path / os.fsdecode(b"a\nb{c} $HOME `x` %s #\xff"), files)
    git(root, "checkout", "-q", "-b", "it's;$x")
    ran = three_commands(root, tmp_path / "fix.py")
    assert json.loads(ran.stdout)["landed"] == ["FIX-1"], ran.stderr
    assert git(root, "show", "HEAD:shop.py") == FLAT["shop.py"]
    assert git(root, "status", "--porcelain") == ""


def test_a_suite_of_which_everything_is_skipped_is_not_green(tmp_path: Path) -> None:
    skipped = FLAT["tests/test_shop.py"].replace(
        "from shop", "import pytest\n\npytestmark = pytest.mark.skip\nfrom shop"
    )
    root = make(tmp_path, FLAT | {"tests/test_shop.py": skipped})
    prepare(root)
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "ledger")
    ran = subprocess.run([ORCHESTRATE, "run", "--json"], cwd=root, capture_output=True, text=True)
    assert ran.returncode != 0 and json.loads(ran.stdout)["landed"] == []
    assert "no test passed (1 skipped)" in ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("command", "output", "why"),
    [
        ("python -m pytest -q tests", "3 passed, 2 skipped in 0.1s", ""),
        ("pytest tests --color=yes", "\x1b[32m\x1b[1m3 passed\x1b[0m in 0.1s", ""),
        ("pytest -qq tests", "", ""),
        ("pytest -p no:terminal tests", "", ""),
        ("make test", "2 skipped", ""),
        ("python -m unittest tests", "Ran 3 tests in 0.1s\n\nOK (skipped=1)", ""),
        ("pytest -q tests", "2 skipped in 0.1s", "2 skipped"),
        ("timeout 9 pytest tests", "1 xfailed in 0.1s", "1 xfailed"),
        ("pytest tests", "", "none was counted"),
        ("python -m unittest tests", "Ran 0 tests in 0.1s\n\nOK", "0 ran"),
        ("python -m unittest", "Ran 2 tests in 0.1s\n\nOK (skipped=2)", "2 skipped"),
    ],
)
def test_what_ends_well_has_passed_something(command: str, output: str, why: str) -> None:
    found = none_passed(parse_command(command), output)
    assert bool(found) == bool(why) and why in found
