"""`init` asks where evidence goes; `evidence: log` lands the change and the ledger's tick alone."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from orchestration.config import ConfigProblem, load_config
from orchestration.git import LOG_REF, Repo
from orchestration.log import read_branch
from shop_repository import ITEM, ORCHESTRATE, RIGHT, TEST, WRONG


def git(root: Path, *words: str) -> str:
    names = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    return subprocess.run(
        ["git", *names, *words], cwd=root, check=True, capture_output=True, text=True
    ).stdout


def shop(root: Path) -> Path:
    (root / "tests").mkdir(parents=True)
    (root / "shop.py").write_text(WRONG)
    (root / "tests/test_shop.py").write_text(TEST)
    git(root, "init", "-q", "-b", "main")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "first")
    return root


def call(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ORCHESTRATE, *words], cwd=root, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )


def test_two_lines_changed_are_two_lines_landed(tmp_path: Path) -> None:
    root = shop(tmp_path / "shop")
    turns = tmp_path / "turns"
    fix = tmp_path / "fix.py"
    fix.write_text(  # the first attempt is wrong: its note and its lines are no part of a landing
        f"import pathlib\nturn = pathlib.Path({str(turns)!r})\nfirst = not turn.exists()\n"
        f"turn.touch()\nopen('shop.py', 'a' if first else 'w').write('#' if first else {RIGHT!r})\n"
    )
    words = ["--evidence", "log", "--agent-command", f"{sys.executable} {fix}"]
    assert call(root, "init", *words).returncode == 0
    settings = root / "orchestration.yaml"
    settings.write_text(settings.read_text() + f"agent_write: [{tmp_path}]\n")
    ledger = root / "docs/fix_plan.md"
    ledger.write_text(ledger.read_text().partition("### [SUITE")[0] + ITEM)
    ran = call(root, "run", "--commit", "--json")
    assert json.loads(ran.stdout)["landed"] == ["FIX-1"], ran.stderr

    changed = git(root, "diff", "--name-only", "HEAD~1", "HEAD").split()
    assert changed == ["docs/fix_plan.md", "shop.py"]
    assert git(root, "status", "--porcelain") == ""
    kept = Repo(root).list_tree(LOG_REF)
    receipts = [path for path in kept if path.endswith("/receipt.json")]
    assert len(receipts) == 1 and {"input.md", "galph_memory.md"} <= set(kept)
    assert any("/red/blocked_" in path for path in kept), "the note of the first attempt"
    memory = git(root, "show", "orchestration/log:galph_memory.md")
    assert len({*memory.split("\n## ")}) == len(memory.split("\n## ")), "no entry twice"
    events = read_branch(Repo(root))
    assert events[-1].kind == "run_end", "the chain is read, and whole"

    assert call(root, "verify").returncode == 0
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(root), str(clone))
    checked = call(clone, "verify")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    page = json.loads(call(clone, "report", "--json").stdout)
    assert "guard_base.log" in json.dumps(page), "a page made in a clone shows the evidence"

    git(root, "update-ref", "-d", LOG_REF)
    lost = call(root, "verify")
    assert lost.returncode != 0 and "nor on orchestration/log" in lost.stdout + lost.stderr


def test_a_landing_can_be_taken_back_that_left_its_receipt_beside_the_log(tmp_path: Path) -> None:
    root = shop(tmp_path / "shop")
    fix = tmp_path / "fix.py"
    fix.write_text(f"open('shop.py', 'w').write({RIGHT!r})\n")
    call(root, "init", "--evidence", "log", "--agent-command", f"{sys.executable} {fix}")
    ledger = root / "docs/fix_plan.md"
    ledger.write_text(ledger.read_text().partition("### [SUITE")[0] + ITEM)
    ran = call(root, "run", "--commit", "--json")
    assert json.loads(ran.stdout)["landed"] == ["FIX-1"], ran.stderr
    turn = git(root, "log", "-1", "--format=%(trailers:key=Turn-Id,valueonly)").strip()
    back = call(root, "revert", turn)
    assert back.returncode == 0, back.stdout + back.stderr
    assert "max(prices)" in git(root, "show", "HEAD:shop.py")


def test_init_asks_for_branch_evidence_and_agent(tmp_path: Path) -> None:
    root = shop(tmp_path / "shop")
    git(root, "branch", "next")
    asked, answers = pty.openpty()
    os.write(asked, b"next\nlog\ncodex\n")
    done = subprocess.run(
        [ORCHESTRATE, "init"], cwd=root, stdin=answers, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    config = load_config(root)
    assert (config.target, config.evidence, config.agent) == ("next", "log", "codex")
    other = shop(tmp_path / "other")
    os.write(asked, b"\n\n\n")
    done = subprocess.run(
        [ORCHESTRATE, "init"], cwd=other, stdin=answers, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    text = (other / "orchestration.yaml").read_text()
    assert not {"target:", "evidence:", "agent:"} & {*text.split()}, "a default is not written"
    again = subprocess.run(
        [ORCHESTRATE, "init"], cwd=other, stdin=answers, capture_output=True, text=True, timeout=60
    )
    assert again.returncode == 0 and "Who does" not in again.stdout + again.stderr
    os.close(asked)
    os.close(answers)


def test_an_unknown_place_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigProblem, match="unknown place"):
        load_config(tmp_path, "evidence: nowhere\n")
