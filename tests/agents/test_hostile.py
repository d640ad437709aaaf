"""Hostile workers: each really does harm in an unprotected checkout, and none here."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from leftovers import alive
from orchestration.agents.base import Clocks, Outcome, TurnContext
from orchestration.agents.custom import CustomAgent
from orchestration.gates import scope, screen, secrets, tamper
from orchestration.git.repository import Repo
from orchestration.sandbox import fence as isolation
from orchestration.sandbox.process import scrub_env
from orchestration.turns.workspace import Workspace, create

HEADER = "import os, pathlib, subprocess, sys, time\nuser = pathlib.Path({user!r})\n"
FILES = {"calc.py": "x = 1\n", "tests/test_c.py": "def test_c(): assert 1 == 1\n"}
FILES |= {"docs/fix_plan.md": "# plan\n", ".gitignore": "*.secret\n"}
# Harm done to the user's checkout, refs or git directory.
OUTSIDE = {
    "absolute path": "(user / 'calc.py').write_text('evil')",
    "new file by absolute path": "(user / 'evil.py').write_text('evil')",
    "delete a user file": "(user / 'calc.py').unlink()",
    "git -C commit": "subprocess.run(['git', '-C', str(user), 'commit', '-q', '--allow-empty',"
    " '-m', 'evil'])",
    "GIT_DIR reset": "subprocess.run(['git', 'update-ref', 'refs/heads/main', 'main~1'],"
    " env={**os.environ, 'GIT_DIR': str(user / '.git')})",
    "move a branch from inside": "subprocess.run(['git', '-C', str(user), 'branch', '-f', 'side',"
    " 'HEAD~1'])",
    "delete a branch": "subprocess.run(['git', '-C', str(user), 'branch', '-D', 'side'])",
    "hook in .git": "p = user / '.git/hooks/pre-commit'; p.parent.mkdir(exist_ok=True);"
    " p.write_text('evil')",
    "config in .git": "subprocess.run(['git', '-C', str(user), 'config', 'core.hooksPath',"
    " '/evil'])",
    "filter by attributes": "p = user / '.git/info'; p.mkdir(exist_ok=True);"
    " (p / 'attributes').write_text('* filter=evil')",
    "through a link": "os.symlink(user, 'inside'); open('inside/calc.py', 'w').write('evil')",
    "tag": "subprocess.run(['git', '-C', str(user), 'tag', 'evil'])",
    "a file hidden by .git/info/exclude": "p = user / '.git/info'; p.mkdir(exist_ok=True);"
    " (p / 'exclude').write_text('evil.py\\n'); (user / 'evil.py').write_text('evil')",
    "a file hidden by .gitignore": "(user / '.gitignore').write_text('evil.py\\n');"
    " (user / 'evil.py').write_text('evil')",
    "ignored files brought to light": "(user / '.gitignore').write_text('')",
    "ignored files brought to light from below": "(user / 'docs/.gitignore').write_text("
    "'!*.secret\\n')",
    "a flag in the user's index": "subprocess.run(['git', '-C', str(user), 'update-index',"
    " '--assume-unchanged', 'calc.py'])",
    "a merge that never was": "(user / '.git/MERGE_HEAD').write_text("
    "subprocess.check_output(['git', 'rev-parse', 'HEAD~1'], text=True))",
    "drop a stash": "subprocess.run(['git', '-C', str(user), 'stash', 'drop', '-q'])",
    "clear the stashes": "subprocess.run(['git', '-C', str(user), 'stash', 'clear'])",
    "replace a commit": "subprocess.run(['git', '-C', str(user), 'replace', 'HEAD', 'HEAD~1'])",
    "stage in the user's index": "(user / 'calc.py').write_text('evil');"
    " subprocess.run(['git', '-C', str(user), 'add', '-A'])",
}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    root = tmp_path / "user"
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    run = ("config", "user.name", "P"), ("config", "user.email", "p@e"), ("add", ".")
    for argv in (("init", "-q", "-b", "main"), *run, ("commit", "-qm", "one")):
        subprocess.run(["git", *argv], cwd=root, check=True)
    for argv in (("branch", "side"), ("commit", "-q", "--allow-empty", "-m", "two")):
        subprocess.run(["git", *argv], cwd=root, check=True)
    subprocess.run(["git", "branch", "-f", "side", "HEAD"], cwd=root, check=True)
    for text in ("x = 2\n", "x = 3\n"):
        (root / "calc.py").write_text(text)
        subprocess.run(["git", "stash", "-q"], cwd=root, check=True)
    (root / "docs/own.secret").write_text("ignored, and a person's\n")
    (root / "unsaved.txt").write_text("a person's notes\n")
    return create(Repo(root), "FIX-1", 1, "main")


def work(
    workspace: Workspace, tmp_path: Path, code: str, level: str = "scan", **clocks: float
) -> Outcome:
    report, logs = tmp_path / "report", tmp_path / "logs"
    report.mkdir(exist_ok=True)
    limits = Clocks(**({"total_s": 20.0, "idle_s": None, "grace_s": 0.3} | clocks))  # type: ignore[arg-type]
    script = HEADER.format(user=str(workspace.repo.root)) + code
    agent = CustomAgent([sys.executable, "-c", script], stdin="none")
    context = TurnContext(
        workspace.path, None, None, "", scrub_env(), limits, logs, report, isolation=level
    )
    return agent.run(context)


def everything(repo: Repo) -> tuple[dict[str, bytes], dict[str, str], dict[str, bytes]]:
    """Checkout, refs, and git's own settings, hooks and marks."""
    control = [repo.common_dir / name for name in ("config", "MERGE_HEAD")]
    control += [*(repo.common_dir / "hooks").glob("*"), *(repo.common_dir / "info").glob("*")]
    kept = {str(path): path.read_bytes() for path in control if path.is_file()}
    return picture(repo.root), repo.snapshot_refs(), kept


def picture(root: Path) -> dict[str, bytes]:
    skip = {".git"}
    files = {
        str(p.relative_to(root)): p.read_bytes()
        for p in root.rglob("*")
        if p.is_file() and not skip & set(p.relative_to(root).parts)
    }
    for words in (("ls-files", "-v"), ("stash", "list"), ("status", "--short", "--branch")):
        files[" ".join(words)] = subprocess.check_output(["git", *words], cwd=root)
    files["merging"] = str((root / ".git/MERGE_HEAD").exists()).encode()
    return files


FENCES = [level for level in ("bwrap", "kernel") if level in isolation.available()]


@pytest.mark.parametrize("name", OUTSIDE)
def test_without_a_fence_the_attack_does_harm(
    workspace: Workspace, tmp_path: Path, name: str
) -> None:
    before = everything(workspace.repo)
    work(workspace, tmp_path, OUTSIDE[name])
    assert everything(workspace.repo) != before, "what a fence stops must be harm"


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("level", FENCES)
def test_behind_a_fence_nothing_outside_changes(
    workspace: Workspace, tmp_path: Path, name: str, level: str
) -> None:
    before = everything(workspace.repo)
    outcome = work(workspace, tmp_path, OUTSIDE[name] + "\nprint('survived')", level)
    assert outcome.isolation == level
    assert everything(workspace.repo) == before


INSIDE = {
    "deletes a test": ("os.unlink('tests/test_c.py')", "tests/test_c.py"),
    "edits the order": ("open('input.md', 'w').write('done')", "input.md"),
    "edits the ledger": ("open('docs/fix_plan.md', 'a').write('done')", "docs/fix_plan.md"),
    "edits a guard": ("open('tests/test_c.py', 'w').write('')", "tests/test_c.py"),
    "adds a conftest": ("open('conftest.py', 'w').write('')", "conftest.py"),
    "adds a start-up file": ("open('sitecustomize.py', 'w').write('')", "sitecustomize.py"),
    "sets the harness": ("open('orchestration.yaml', 'w').write('')", "orchestration.yaml"),
    "commits and hides": (
        "open('pytest.ini', 'w').write(''); subprocess.run(['git', 'add', '-A']);"
        " subprocess.run(['git', 'commit', '-qm', 'x']); os.unlink('pytest.ini');"
        " open('pytest.ini', 'w').write('[pytest]')",
        "pytest.ini",
    ),
}


def test_agent_settings_need_a_person(workspace: Workspace, tmp_path: Path) -> None:
    work(workspace, tmp_path, "os.mkdir('.claude'); open('.claude/x.json', 'w').write('{}')")
    shot = workspace.snapshot()
    assert scope.check(shot.changed).ok
    found = screen(workspace.repo, workspace.base, shot.commit, shot.changed)
    assert [(flag.path, flag.person) for flag in found.flags] == [(".claude/x.json", True)]


@pytest.mark.parametrize("name", INSIDE)
def test_forbidden_edits_are_out_of_scope(workspace: Workspace, tmp_path: Path, name: str) -> None:
    code, path = INSIDE[name]
    assert work(workspace, tmp_path, code).kind in ("done", "no_change")
    shot = workspace.snapshot()
    report = scope.check(shot.changed)
    assert any(line.startswith(f"{path}:") for line in report.violations)


def test_a_link_is_found_and_a_nested_repository_is_only_its_files(
    workspace: Workspace, tmp_path: Path
) -> None:
    code = (
        "os.symlink('/etc', 'data'); os.mkdir('sub'); open('sub/evil.py', 'w').write('x')\n"
        "subprocess.run(['git', 'init', '-q', 'sub'])\n"
        "subprocess.run(['git', '-C', 'sub', 'add', '.'])\n"
        "subprocess.run(['git', '-C', 'sub', '-c', 'user.name=x', '-c', 'user.email=x',"
        " 'commit', '-qm', 'x'])\n"
    )
    work(workspace, tmp_path, code)
    shot = workspace.snapshot()
    rules = {
        f.rule for f in tamper.serious(tamper.scan(workspace.repo, workspace.base, shot.commit))
    }
    assert rules == {"F02"}
    assert shot.changed == ("data", "sub/evil.py")
    assert shot.skipped == ("sub/.git is a repository of its own",)


def test_a_secret_in_the_diff_is_found(workspace: Workspace, tmp_path: Path) -> None:
    token = "ghp_" + "Zx81Qw9Lk3Vb7Nm2Rt6Yp4Hs0Gd5Jf8Cc1Aa"
    work(workspace, tmp_path, f"open('calc.py', 'a').write('T = ' + repr({token!r}))")
    shot = workspace.snapshot()
    leaks = secrets.scan_diff(workspace.repo.diff_text(workspace.base, shot.commit))
    assert [(leak.kind, leak.path) for leak in leaks] == [("GitHub token", "calc.py")]


def test_a_workspace_tied_to_another_repository_is_read_all_the_same(
    workspace: Workspace, tmp_path: Path
) -> None:
    tie = "open('.git', 'w').write('gitdir: ' + str(user) + '/.git')"
    work(workspace, tmp_path, "os.rename('.git', '../aside')\n" + tie)
    assert (workspace.path / ".git").is_file()
    assert workspace.snapshot().empty


def test_the_same_patch_again_has_the_same_identity(workspace: Workspace, tmp_path: Path) -> None:
    ids = []
    for n in (1, 2):
        attempt = create(workspace.repo, "FIX-1", n, "main")
        work(attempt, tmp_path, f"time.sleep({n} * 0.01); open('calc.py', 'w').write('x = 2\\n')")
        ids.append(workspace.repo.patch_id(attempt.base, attempt.snapshot().commit))
    assert ids[0] == ids[1] != ""


def test_claims_without_work_leave_an_empty_snapshot(workspace: Workspace, tmp_path: Path) -> None:
    outcome = work(workspace, tmp_path, "print('All tests passed. EXIT_SIGNAL: true')")
    assert outcome.kind == "done"
    assert workspace.snapshot().empty
    assert workspace.snapshot().empty


RUNAWAY = {
    "silent hang": ("time.sleep(60)", {"idle_s": 0.6}, "timeout"),
    "chatty hang": (
        "while True: print('.', flush=True); time.sleep(0.02)",
        {"total_s": 0.8},
        "timeout",
    ),
    "flood": ("for _ in range(800): sys.stdout.write('y' * 65536)", {}, "done"),
    "no newline": ("sys.stdout.write('z' * 3_000_000)", {}, "done"),
    "invalid text": ("sys.stdout.buffer.write(bytes(range(256)) * 50)", {}, "done"),
    "deaf to signals": (
        "import signal\nfor s in (15, 2, 1): signal.signal(s, signal.SIG_IGN)\ntime.sleep(60)",
        {"idle_s": 0.6},
        "timeout",
    ),
    "daemon": (
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)', TOKEN],"
        " start_new_session=True, env={}, stdout=-3, stderr=-3)\ntime.sleep(0.2)",
        {},
        "done",
    ),
    "daemon that writes later": (
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(1);"
        ' open("late.txt", "w")\', TOKEN], start_new_session=True, env={})\ntime.sleep(0.2)',
        {},
        "done",
    ),
    "chain of forks": (
        "n = 0\nwhile n < 5 and os.fork() == 0: n += 1; os.setsid()\n"
        "if n == 5: os.execv(sys.executable, [sys.executable, '-c',"
        " 'import time; time.sleep(60)', TOKEN])\ntime.sleep(0.2)",
        {},
        "done",
    ),
}


@pytest.mark.parametrize("name", RUNAWAY)
def test_runaways_end_with_the_turn(
    workspace: Workspace, tmp_path: Path, token: str, name: str
) -> None:
    code, clocks, kind = RUNAWAY[name]
    code = f"TOKEN = {token!r}\n" + code
    assert work(workspace, tmp_path, code, **clocks).kind == kind
    assert alive(token) == []
    if "later" in name:
        time.sleep(1.2)
        assert workspace.snapshot().empty
