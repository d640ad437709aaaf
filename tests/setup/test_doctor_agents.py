"""doctor asks the agent's program: version, flags, and by starting it once its login."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from orchestration.agents import Clocks
from orchestration.config import load_config
from orchestration.setup import probe
from orchestration.setup.doctor import examine
from orchestration.setup.session import make_agent, make_reviewer, make_supervisor

sys.path.insert(0, str(Path(__file__).parents[1] / "agents"))
from programs_made import claude

LEDGER = "# Plan\n\n### [A-001] One\n- Status: open\n- Guard: tests/test_a.py\n"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "repo"
    (root / "docs").mkdir(parents=True)
    (root / "docs/fix_plan.md").write_text(LEDGER)
    (root / "orchestration.yaml").write_text("agent: claude\nisolation: scan\n")
    for words in ("init -q -b main", "add .", "-c user.name=A -c user.email=a@b.c commit -qm x"):
        subprocess.run(["git", *words.split()], cwd=root, check=True)
    monkeypatch.setenv("HOME", str(tmp_path / "person"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return root


def rows(root: Path, **options: str) -> dict[str, tuple[str, str, str]]:
    return {c.name: (c.state, c.found, c.fix) for c in examine(root, **options)}


def test_a_missing_program_is_named_with_how_to_install_it(root: Path) -> None:
    state, found, fix = rows(root)["agent"]
    assert (state, found.split(" (")[0]) == ("fail", "claude is not installed")
    assert fix.startswith("npm install --global @anthropic-ai/claude-code")


@pytest.mark.parametrize(
    ("code", "state", "words"),
    [
        ("end('ready')", "ok", "answered"),
        (
            "end('Invalid API key · Please run /login', True)",
            "fail",
            "not logged in: Invalid API key",
        ),
        ("end('API Error: 401', True, 401)", "fail", "not logged in: API Error: 401"),
        ("end('limit; try again in 5m', True, 429)", "warn", "rate_limit: limit"),
        ("raise SystemExit('no config')", "fail", "exit 1: no config"),
        # aider without a key waits for a browser to sign in.
        (
            "print('Hello.\\nNo API keys were provided.', flush=True); import time; time.sleep(60)",
            "fail",
            "not logged in: No API keys",
        ),
        (
            "end('ready' if os.environ.get('MY_KEY') else 'not logged in',"
            " 'MY_KEY' not in os.environ)",
            "ok",
            "answered",
        ),
    ],
)
def test_the_program_is_started_once_and_its_end_is_told(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, state: str, words: str
) -> None:
    monkeypatch.setattr(probe, "PATIENCE", Clocks(20, 4, 1))
    count = tmp_path / "count"
    begin = f"open({str(count)!r}, 'a').write('x')\n"
    claude(tmp_path / "bin", begin + code + "\n")
    monkeypatch.setenv("MY_KEY", "open sesame")
    if "MY_KEY" in code:
        with (root / "orchestration.yaml").open("a") as file:
            file.write("agent_env: [MY_KEY]\n")
    found = rows(root)
    assert found["agent"][:2] == ("ok", "claude 2.1.9 (Claude Code)")
    assert found["agent flags"][0] == "ok"
    assert (found["agent login"][0], found["agent login"][1][: len(words)]) == (state, words)
    if words.startswith("not logged in"):
        assert found["agent login"][2].startswith("claude, then /login; or name ANTHROPIC_API_KEY")
    assert count.read_text() == "x"
    assert not list((tmp_path / "state").rglob("doctor"))


def test_a_version_that_begins_with_the_programs_name_does_not_say_it_twice(
    root: Path, tmp_path: Path
) -> None:
    program = tmp_path / "bin/aider"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho aider 0.86.2\n")
    program.chmod(0o755)
    found = {c.name: c.found for c in examine(root, agent="aider", ask=False)}
    assert found["agent"] == "aider 0.86.2"


def test_flags_that_the_installed_version_lost_are_named(root: Path, tmp_path: Path) -> None:
    claude(tmp_path / "bin", "end('ready')\n", flags="'--output-format --verbose-ly --a-verbose'")
    state, found, _ = rows(root)["agent flags"]
    assert state == "warn"
    assert found == "claude does not know --permission-mode, --allowedTools, --verbose"


def test_a_shim_whose_manager_has_no_version_is_told_in_its_words_and_the_login_is_asked(
    root: Path, tmp_path: Path
) -> None:
    shim = tmp_path / "bin/claude"
    shim.parent.mkdir()
    shim.write_text("#!/bin/sh\necho 'mise ERROR No version is set for shim: claude'\nexit 126\n")
    shim.chmod(0o755)
    found = rows(root)
    state, words, _ = found["agent"]
    assert state == "warn" and words.endswith("mise ERROR No version is set for shim: claude")
    assert found["agent login"][0] == "fail" and "No version is set" in found["agent login"][1]


def test_a_value_of_agent_env_is_not_shown(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "open sesame")
    with (root / "orchestration.yaml").open("a") as file:
        file.write("agent_env: [MY_KEY]\n")
    claude(tmp_path / "bin", "end('Invalid API key: ' + os.environ['MY_KEY'], True)\n")
    assert "sesame" not in str(rows(root)) and "agent_env" in rows(root)["agent login"][1]


def test_what_agent_env_names_is_told_where_it_is_absent_or_hidden_by_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOD_KEY", "open sesame")
    monkeypatch.setenv("SHORT_KEY", "1234")
    with (root / "orchestration.yaml").open("a") as file:
        file.write("agent_env: [GOOD_KEY, SHORT_KEY, NO_KEY]\n")
    told = [c for c in examine(root, ask=False) if c.name == "agent_env"]
    assert [(c.state, c.found.rpartition(": ")[2]) for c in told] == [
        ("warn", "NO_KEY"),
        ("ok", "SHORT_KEY"),
    ]
    assert "1234" not in str(told)


def test_a_command_of_ones_own_is_looked_for(root: Path) -> None:
    (root / "orchestration.yaml").write_text("agent: custom\nagent_command: [no-such-tool, x]\n")
    assert rows(root)["agent"][:2] == (
        "fail",
        "cannot start no-such-tool: No such file or directory",
    )
    (root / "orchestration.yaml").write_text("agent: custom\nagent_command: ['{python}', x]\n")
    assert rows(root)["agent"][0] == "ok"


def test_the_supervisor_is_asked_too_where_it_is_another_program(
    root: Path, tmp_path: Path
) -> None:
    claude(tmp_path / "bin", "end('ready')\n")
    assert rows(root, supervisor="claude")["supervisor"] == ("ok", "claude", "")
    assert rows(root, agent="playbook", supervisor="claude")["supervisor login"][0] == "ok"


def test_a_run_asks_nothing_that_costs(root: Path, tmp_path: Path) -> None:
    count = tmp_path / "count"
    claude(tmp_path / "bin", f"open({str(count)!r}, 'a').write('x')\nend('ready')\n")
    words = ["run", "--dry-run", "-C", str(root)]
    done = subprocess.run(
        [sys.executable, "-c", "from orchestration.cli import main; main()", *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0 and "A-001" in done.stdout, done.stderr
    assert not count.exists()


def test_arguments_of_the_workers_program_are_not_given_to_another_one(tmp_path: Path) -> None:
    config = load_config(tmp_path, "agent: codex\nagent_args: [-m, big]\n")
    assert getattr(make_agent("codex", config), "args") == ("-m", "big")  # noqa: B009
    assert getattr(make_reviewer("codex", config), "args") == ("-m", "big")  # noqa: B009
    assert getattr(make_reviewer("claude", config), "args") == ()  # noqa: B009
    assert getattr(make_supervisor("claude", config), "args") == ()  # noqa: B009
