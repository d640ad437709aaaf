"""The built-in and the custom agent: real worktrees, real commands, typed outcomes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from orchestration.agents.base import Agent, Clocks, TurnContext
from orchestration.agents.custom import CustomAgent
from orchestration.agents.playbook import PlaybookAgent
from orchestration.agents.registry import get_agent, names
from orchestration.documents.ledger import Item, parse_ledger
from orchestration.documents.order import Order
from orchestration.errors import HarnessError
from orchestration.git.repository import Repo
from orchestration.sandbox.process import scrub_env
from orchestration.turns.workspace import Workspace, create

LEDGER = """\
# Fix plan

### [FIX-ADD-001] Sum is wrong
- Status: open
- Recipe:
{steps}
"""


def git(cwd: Path, *argv: str) -> str:
    done = subprocess.run(["git", *argv], cwd=cwd, check=True, capture_output=True, text=True)
    return done.stdout


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    root = tmp_path / "user"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    git(root, "config", "user.name", "A Person")
    git(root, "config", "user.email", "p@example.org")
    (root / "calc.py").write_text("def add(a, b):\n    return a + b\n")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "right")
    (root / "calc.py").write_text("def add(a, b):\n    return a - b\n")
    (root / "fix.patch").write_text(git(root, "diff", "-R"))
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "wrong, with its cure")
    return create(Repo(root), "FIX-ADD-001", 1, "main")


def item(*steps: str) -> Item:
    lines = "\n".join(f"  - {step}" for step in steps)
    found = parse_ledger(LEDGER.format(steps=lines)).item("FIX-ADD-001")
    assert found is not None
    assert len(found.recipes) == len(steps), found.recipes
    return found


def turn(
    workspace: Workspace,
    tmp_path: Path,
    found: Item | None,
    *,
    clocks: Clocks | None = None,
    row: str | None = None,
    brief: str = "",
) -> TurnContext:
    report = tmp_path / "report"
    report.mkdir(exist_ok=True)
    order = Order()
    order.focus = order.item_id = "FIX-ADD-001"
    order.row = row
    return TurnContext(
        workspace.path,
        order,
        found,
        brief,
        scrub_env({"HUB": str(report)}),
        clocks or Clocks(total_s=20, idle_s=None, grace_s=0.3),
        tmp_path / "logs",
        report,
    )


def test_an_unknown_agent_names_the_known() -> None:
    with pytest.raises(HarnessError, match="no agent is named 'gpt'") as caught:
        get_agent("gpt")
    for name in names():
        assert name in str(caught.value)


def test_settings_an_agent_does_not_have_are_an_error() -> None:
    with pytest.raises(HarnessError, match="does not take"):
        get_agent("playbook", temperature=1)
    assert isinstance(get_agent("playbook"), Agent)
    assert isinstance(get_agent("custom", command=["true"]), Agent)


def test_a_patch_recipe_makes_the_change(workspace: Workspace, tmp_path: Path) -> None:
    outcome = PlaybookAgent().run(turn(workspace, tmp_path, item("apply: fix.patch")))
    assert outcome.kind == "done", outcome.text
    assert "a + b" in (workspace.path / "calc.py").read_text()
    assert (outcome.tokens, outcome.cost) == (None, None)
    assert outcome.isolation in ("pidns", "scan")


def test_a_patch_that_is_there_already_changes_nothing(
    workspace: Workspace, tmp_path: Path
) -> None:
    (workspace.path / "calc.py").write_text("def add(a, b):\n    return a + b\n")
    git(workspace.path, "commit", "-qam", "fixed before")
    outcome = PlaybookAgent().run(turn(workspace, tmp_path, item("apply: fix.patch")))
    assert outcome.kind == "done"  # that no file differs is for the harness to find
    assert "already there" in outcome.text
    (workspace.path / "calc.py").write_text("something else\n")
    outcome = PlaybookAgent().run(turn(workspace, tmp_path, item("apply: fix.patch")))
    assert outcome.kind == "crash" and "does not apply" in outcome.text
    assert (workspace.path / "calc.py").read_text() == "something else\n"


def test_without_a_recipe_it_says_what_it_needs(workspace: Workspace, tmp_path: Path) -> None:
    for found in (None, Item("X", "no recipe")):
        outcome = PlaybookAgent().run(turn(workspace, tmp_path, found))
        assert outcome.kind == "blocked"
        assert "needs an agent" in outcome.text


def test_commands_run_in_order_with_environment_and_logs(
    workspace: Workspace, tmp_path: Path
) -> None:
    code = "import os,sys; open('made.txt','a').write(os.environ['WORD']); print(os.environ['HUB'])"
    steps = item(f'run: `WORD=one python -c "{code}"`', f'run: `WORD=two python -c "{code}"`')
    context = turn(workspace, tmp_path, steps)
    outcome = PlaybookAgent().run(context)
    assert outcome.kind == "done", outcome.text
    assert (workspace.path / "made.txt").read_text() == "onetwo"
    logs = sorted((context.report_dir / "cli").iterdir())
    assert [log.read_text().strip() for log in logs] == [str(context.report_dir)] * 2


def test_the_first_failing_step_ends_the_turn(workspace: Workspace, tmp_path: Path) -> None:
    steps = item(
        "run: `python -c \"import sys; print('bad luck'); sys.exit(4)\"`", "apply: fix.patch"
    )
    outcome = PlaybookAgent().run(turn(workspace, tmp_path, steps))
    assert (outcome.kind, outcome.exit_code) == ("crash", 4)
    assert "bad luck" in outcome.text
    assert "a - b" in (workspace.path / "calc.py").read_text()


def test_a_patch_outside_the_repository_or_absent_is_refused(
    workspace: Workspace, tmp_path: Path
) -> None:
    (tmp_path / "out.patch").write_text("x")
    for name in ("../../../../../../out.patch", "absent.patch", str(tmp_path / "out.patch")):
        outcome = PlaybookAgent().run(turn(workspace, tmp_path, item(f"apply: {name}")))
        assert outcome.kind == "crash"
        assert "no such patch" in outcome.text


def test_a_step_that_hangs_is_a_timeout(workspace: Workspace, tmp_path: Path) -> None:
    clocks = Clocks(total_s=0.5, idle_s=None, grace_s=0.2)
    steps = item('run: `python -c "import time; time.sleep(60)"`')
    outcome = PlaybookAgent().run(turn(workspace, tmp_path, steps, clocks=clocks))
    assert outcome.kind == "timeout"
    assert "total clock" in outcome.text


def test_a_missing_program_is_an_error_of_the_harness(workspace: Workspace, tmp_path: Path) -> None:
    context = turn(workspace, tmp_path, None)
    with pytest.raises(HarnessError, match="no-such-agent"):
        CustomAgent(["no-such-agent"]).run(
            TurnContext(**{**vars(context), "isolation": "scan"})  # type: ignore[arg-type]
        )


def test_custom_agent_gets_order_brief_and_places(workspace: Workspace, tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\n"
        "brief, item, place = sys.argv[1:]\n"
        "assert pathlib.Path(brief).read_text() == sys.stdin.read() == 'do it'\n"
        "assert pathlib.Path.cwd() == pathlib.Path(place)\n"
        "pathlib.Path('done.txt').write_text(item)\nprint('I passed all tests')\n"
    )
    agent = CustomAgent([sys.executable, "-c", code, "{brief}", "{item}", "{workspace}"])
    outcome = agent.run(turn(workspace, tmp_path, Item("FIX-1", "t"), brief="do it"))
    assert outcome.kind == "done", outcome.text
    assert (workspace.path / "done.txt").read_text() == "FIX-1"
    assert outcome.text == "I passed all tests"
    assert (outcome.tokens, outcome.cost, outcome.session) == (None, None, None)
    assert outcome.log_path is not None


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("pass", "done"),
        ("raise SystemExit(6)", "blocked"),
        ("raise SystemExit(1)", "crash"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "crash"),
        ("import time; time.sleep(60)", "timeout"),
        ("open('x', 'w')", "done"),
        ("open('input.md', 'w').write('my own order')", "done"),
    ],
)
def test_custom_outcomes(workspace: Workspace, tmp_path: Path, code: str, kind: str) -> None:
    clocks = Clocks(total_s=1.5 if kind == "timeout" else 20, idle_s=None, grace_s=0.2)
    agent = CustomAgent([sys.executable, "-c", code])
    assert agent.run(turn(workspace, tmp_path, None, clocks=clocks)).kind == kind


def test_custom_template_errors() -> None:
    with pytest.raises(HarnessError, match="needs a command"):
        CustomAgent([])
    with pytest.raises(HarnessError, match="unknown placeholder"):
        CustomAgent("agent --do {prompt}")
    with pytest.raises(HarnessError, match="stdin"):
        CustomAgent("agent", stdin="maybe")


def test_the_order_that_a_command_names_is_the_configured_file(tmp_path: Path) -> None:
    from turns import FIX, lay_down  # the whole engine: `order:` is read where the agent is made

    ledger = (
        "# Plan\n\n### [FIX-1] Addition subtracts\n- Status: open\n- Guard: tests/test_calc.py\n"
    )
    code = f"import sys\nassert 'FIX-1' in pathlib.Path(sys.argv[1]).read_text()\n{FIX}"
    root = lay_down(tmp_path, code, ledger, settings="order: work/order.md\n")
    text = (root / "orchestration.yaml").read_text()
    (root / "orchestration.yaml").write_text(text.replace('agent.py"]', 'agent.py", "{order}"]'))
    git(root, "commit", "-qam", "order")
    from orchestration.engine.loop import Engine
    from orchestration.setup.session import open_harness

    summary = Engine(open_harness(root, cycles=1), lambda: "run1").run()
    assert summary.landed == ["FIX-1"], summary.text
