"""Guards that need what git ignores or the environment: carried, kept, and named where absent."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from orchestration.agents.base import TurnContext
from orchestration.errors import HarnessError
from orchestration.sandbox import available

Make = Callable[..., Any]
ITEM = """### [FIX-1] Add adds
- Status: open
- Guard: tests/test_calc.py::test_add
- Exit:
  - [ ] C1 `pytest tests/test_calc.py::test_add` — it adds
"""
WRONG = "def add(a, b):\n    return a - b\n"
TEST = """from calc import add
{needs}

def test_add():
    assert add(2, 3) == WANTED
"""
READ = "from pathlib import Path\nWANTED = int(Path('data/wanted.txt').read_text())\n"


def library(place: Make, needs: str, settings: str = "") -> Any:
    return place(
        ITEM,
        **{
            "calc.py": WRONG,
            "tests/test_calc.py": TEST.format(needs=needs),
            ".gitignore": "data/\n.env\n",
            "orchestration.yaml": settings or "budgets: {attempts_per_item: 1}\n",
        },
    )


def right(turn: TurnContext, n: int) -> None:
    (turn.workspace / "calc.py").write_text(WRONG.replace("-", "+"))


def test_a_kept_variable_is_there_at_collection(
    place: Make, stub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs = "import os\nWANTED = int(os.environ['SERVICE_WANTED'])\n"
    here = library(place, needs, "keep_env: [SERVICE_WANTED]\n")
    monkeypatch.setenv("SERVICE_WANTED", "5")
    assert here.run(stub(right)).landed == ["FIX-1"]


def test_pytests_own_reason_is_told_where_nothing_is_collected(place: Make, stub: Any) -> None:
    here = library(place, READ)
    agent = stub(right)
    assert here.run(agent).blocked == ["FIX-1"]
    assert agent.turns == []
    (told,) = [e.data["reason"] for e in here.harness().log.events if e.kind == "block"]
    assert "FileNotFoundError" in told and "data/wanted.txt" in told


def test_what_git_ignores_is_carried_to_agent_and_guard(place: Make, stub: Any) -> None:
    """`.env` goes to guards only, and what an attempt puts in the place of data is not used."""
    needs = READ + "assert Path('.env').read_text() == 'TOKEN=t'\n"
    here = library(place, needs, "carry: [data, .env]\n")
    here.write("data/wanted.txt", "5")
    here.write(".env", "TOKEN=t")
    seen: list[tuple[str, bool]] = []

    def work(turn: TurnContext, n: int) -> None:
        data = turn.workspace / "data/wanted.txt"
        seen.append((data.read_text(), (turn.workspace / ".env").exists()))
        data.write_text("-1")
        right(turn, n)

    assert here.run(stub(work)).landed == ["FIX-1"]
    assert seen == [("5", False)]
    assert (here.root / "data/wanted.txt").read_text() == "5"
    assert "data/wanted.txt" not in here.git("ls-tree", "-r", "--name-only", "main")


def test_what_is_left_out_since_git_ignores_it_is_named(place: Make, stub: Any) -> None:
    here = library(place, "WANTED = 5\n")
    said: list[str] = []

    def work(turn: TurnContext, n: int) -> None:
        (turn.workspace / "data").mkdir()
        (turn.workspace / "data/add.py").write_text("x = 1\n")
        (turn.workspace / "__pycache__").mkdir()
        right(turn, n)

    assert here.run(stub(work), say=said.append).landed == ["FIX-1"]
    (told,) = [line for line in said if "git ignores" in line]
    assert "data" in told


def test_no_link_of_an_attempt_leads_carried_files_out(
    place: Make, tmp_path: Path, stub: Any
) -> None:
    from orchestration.turns.carried import carry_into

    here = library(place, READ)
    here.write("data/deep/wanted.txt", "5")
    outside, checkout = tmp_path / "outside", tmp_path / "checkout"
    outside.mkdir()
    checkout.mkdir()
    (checkout / "data").symlink_to(outside)
    carry_into(here.harness().repo, checkout, ["data"])
    assert list(outside.iterdir()) == []
    assert (checkout / "data/deep/wanted.txt").read_text() == "5"
    here.write("new/file.txt", "not ignored")
    with pytest.raises(HarnessError, match="does not ignore"):
        carry_into(here.harness().repo, checkout, ["new"])
    with pytest.raises(HarnessError, match="carry"):
        carry_into(here.harness().repo, checkout, ["../outside"])


MAKE = """import pathlib, sys
pathlib.Path("calc/_version.py").write_text("VERSION = '%s'\\n" % open("VERSION").read().strip())
pathlib.Path("calc.egg-info").write_text("not ignored")
{more}
"""
PACKAGE = "from calc._version import VERSION\n\n\ndef add(a, b):\n    return a - b\n"


def packaged(place: Make, settings: str, test: str = TEST.format(needs="WANTED = 5\n")) -> Any:
    return place(
        ITEM,
        **{
            "calc/__init__.py": PACKAGE,
            "make.py": MAKE.format(more=""),
            "VERSION": "1.0",
            "tests/test_calc.py": test,
            ".gitignore": "calc/_version.py\n",
            "orchestration.yaml": settings + "budgets: {attempts_per_item: 1}\n",
        },
    )


def test_what_is_prepared_is_there_for_agent_and_guard_and_lands_nowhere(
    place: Make, stub: Any
) -> None:
    here = packaged(place, "prepare: python make.py\n")
    seen: list[str] = []

    def work(turn: TurnContext, n: int) -> None:
        seen.append((turn.workspace / "calc/_version.py").read_text())
        (turn.workspace / "calc/__init__.py").write_text(PACKAGE.replace("a - b", "a + b"))

    assert here.run(stub(work)).landed == ["FIX-1"]
    assert seen == ["VERSION = '1.0'\n"]
    files = here.git("ls-tree", "-r", "--name-only", "main").split()
    assert "calc/_version.py" not in files and "calc.egg-info" not in files
    built = here.harness().repo.state_dir / "prepared"
    assert len(list((built / "trusted").iterdir())) == 1  # laid into many checkouts, built once
    assert len(list((built / "attempts").iterdir())) == 1


def test_an_attempts_build_makes_no_test_and_reaches_no_other_tree(place: Make, stub: Any) -> None:
    """The attempt's generator rewrites the guard and the version: only the version is used."""
    test = (
        "from calc import VERSION, add\n\n\ndef test_add():\n    assert add(2, 3) == 5, VERSION\n"
    )
    here = packaged(place, "prepare: [python, make.py]\n", test)
    cheat = (
        "for name in ('tests/test_calc.py', 'tests/conftest.py', 'conftest.py'):\n"
        "    pathlib.Path(name).write_text('def test_add(): pass\\n')\n"
    )

    def work(turn: TurnContext, n: int) -> None:
        (turn.workspace / "make.py").write_text(MAKE.format(more=cheat))
        (turn.workspace / "VERSION").write_text("2.0")

    assert here.run(stub(work)).rejected == ["FIX-1"]
    (verdict,) = [e.data for e in here.harness().log.events if e.kind == "verdict"]
    attempt = verdict["guard"]["attempt"]
    assert attempt["nodes"] == {"tests/test_calc.py::test_add": "failed"}
    built = here.harness().repo.state_dir / "prepared"
    (trusted,) = (built / "trusted").glob("*/calc/_version.py")
    (own,) = (built / "attempts").glob("*/calc/_version.py")
    assert "1.0" in trusted.read_text() and "2.0" in own.read_text()


def test_a_command_that_fails_is_told_with_its_last_lines(place: Make, stub: Any) -> None:
    here = packaged(place, "prepare: python -c 'raise SystemExit(\"no compiler\")'\n")
    agent = stub(right)
    ended = here.run(agent)
    assert (ended.reason, agent.turns) == ("BLOCKED_ON_USER", [])
    assert "no compiler" in ended.text and "prepare" in ended.text


def test_an_attempt_that_breaks_the_build_is_turned_down(place: Make, stub: Any) -> None:
    here = packaged(place, "prepare: |\n  python make.py\n")

    def work(turn: TurnContext, n: int) -> None:
        (turn.workspace / "VERSION").unlink()

    assert here.run(stub(work)).rejected == ["FIX-1"]
    (verdict,) = [e.data for e in here.harness().log.events if e.kind == "verdict"]
    assert "prepare" in verdict["reason"] and "FileNotFoundError" in verdict["reason"]


def test_files_called_as_secrets_reach_guards_and_named_ones_agents(place: Make, stub: Any) -> None:
    needs = "WANTED = 5\nfor n in ('.env', 'data/a.pem', 'data/b.pem'):\n    open(n).close()\n"
    here = library(place, needs, "carry: [data, .env]\ncarry_to_agents: [data/b.pem]\n")
    for name in (".env", "data/a.pem", "data/b.pem", "data/open.txt"):
        here.write(name, "")
    seen: list[str] = []

    def work(turn: TurnContext, n: int) -> None:
        seen.extend(sorted(p.name for p in (turn.workspace / "data").iterdir()))
        assert not (turn.workspace / ".env").exists()
        right(turn, n)

    assert here.run(stub(work)).landed == ["FIX-1"]
    assert seen == ["b.pem", "open.txt"]


def test_red_on_the_base_for_want_of_data_is_not_red(place: Make, stub: Any) -> None:
    """The file is in the person's checkout: the item is blocked with the line that helps."""
    test = "def test_add():\n    assert open('data/wanted.txt').read() == '5'\n"
    here = library(place, "WANTED = 5\n")
    here.write("tests/test_calc.py", test)
    here.commit("a test that reads data")
    here.write("data/wanted.txt", "5")
    assert here.run(stub(right)).blocked == ["FIX-1"]
    (verdict,) = [e.data for e in here.harness().log.events if e.kind == "verdict"]
    assert verdict["verdict"] == "blocked" and "carry: [data/wanted.txt]" in verdict["reason"]


def test_a_verdict_names_the_assertion_the_log_and_what_was_left_out(
    place: Make, stub: Any
) -> None:
    here = library(place, "WANTED = 5\n")

    def work(turn: TurnContext, n: int) -> None:
        (turn.workspace / "data").mkdir()
        (turn.workspace / "data/add.py").write_text("x = 1\n")
        (turn.workspace / "calc.py").write_text(WRONG.replace("-", "*"))

    assert here.run(stub(work)).rejected == ["FIX-1"]
    (verdict,) = [e.data for e in here.harness().log.events if e.kind == "verdict"]
    reason = verdict["reason"]
    assert "assert 6 == 5" in reason and "green/guard_attempt_1.log" in reason
    assert "git ignores it: data" in reason and str(here.root.parent) not in reason


def test_doctor_collects_each_guard_in_a_fresh_checkout(place: Make) -> None:
    from orchestration.setup.behind import guard_rows

    here = library(place, READ)
    here.write("data/wanted.txt", "5")
    harness = here.harness()
    rows = guard_rows(harness.repo, harness.config)
    assert [row.state for row in rows] == ["fail"]
    assert "FileNotFoundError" in rows[0].found and "carry: [data/wanted.txt]" in rows[0].fix
    here.write("orchestration.yaml", "carry: [data]\n")
    harness = here.harness()
    (row,) = guard_rows(harness.repo, harness.config)
    assert row.state == "ok" and "1 failed" in row.found and "assert -1 == 5" in row.found
    here.write("orchestration.yaml", "carry: [data]\nprepare: python -c 'raise SystemExit(3)'\n")
    harness = here.harness()
    (row,) = guard_rows(harness.repo, harness.config)
    assert (row.name, row.state) == ("prepare", "fail") and "exit 3" in row.found


CALL = """import socket
try:
    socket.create_connection(("127.0.0.1", int(open("PORT").read())), 5).close()
    said = "reached"
except OSError:
    said = "alone"
open("calc/_version.py", "w").write(f"VERSION = {said!r}\\n")
"""


@pytest.mark.parametrize(("switch", "said"), [("on", "reached"), ("off", "alone")])
def test_a_command_that_prepares_reaches_this_machines_servers_only_where_asked(
    place: Make, stub: Any, switch: str, said: str
) -> None:
    if switch == "off" and not {"bwrap", "kernel"}.intersection(available()):
        # Landlock and none share the machine's network: "off" cannot be shown there.
        pytest.skip("no fence here has a network of its own")
    settings = f"prepare: python make.py\nprepare_network: {switch}\n"
    here = packaged(place, settings)
    with socket.create_server(("127.0.0.1", 0)) as server:
        here.write("make.py", CALL)
        here.write("PORT", str(server.getsockname()[1]))
        here.commit("a build that calls")
        seen: list[str] = []

        def work(turn: TurnContext, n: int) -> None:
            seen.append((turn.workspace / "calc/_version.py").read_text())

        here.run(stub(work))
    assert seen[:1] == [f"VERSION = '{said}'\n"]
