"""The commands: exit codes, one JSON object, files changed in one place."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from orchestration.cli.documents import register
from orchestration.errors import HarnessError
from typer import Typer
from typer.testing import CliRunner

ROOT = Path(__file__).parents[2]
FIXTURES = ROOT / "tests" / "fixtures" / "documents"


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, source in (
        ("input.md", "order_b.md"),
        ("docs/fix_plan.md", "ledger_form1.md"),
        ("docs/findings.md", "findings.md"),
        ("galph_memory.md", "seed_galph_memory.md"),
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes((FIXTURES / source).read_bytes())
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_a.py").write_text("def test_a():\n    assert True\n")
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@t"]
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "one"]):
        subprocess.run([*git, *words], cwd=tmp_path, check=True, capture_output=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*words: str) -> tuple[int, str]:
    app = Typer()
    register(app)
    done = CliRunner().invoke(app, list(words))
    if isinstance(done.exception, HarnessError):
        raise done.exception
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout


def test_validate_fix_strict_and_json(repo: Path) -> None:
    code, out = call("validate", "--no-collect", "--json")
    data = json.loads(out)
    assert code == 1 and data["kind"] == "order" and not data["ok"]
    assert {"E04", "E02", "W06"} <= {d["code"] for d in data["diagnostics"]}
    code, out = call("validate", "--fix", "--no-collect", "--json")
    assert json.loads(out)["fixed"] and "W06" not in out
    assert "\n## Tasks\n" in (repo / "input.md").read_text()
    assert call("validate", "docs/fix_plan.md")[0] == 0
    assert call("validate", "docs/fix_plan.md", "--strict")[0] == 3
    assert call("validate", "galph_memory.md", "--strict")[0] == 3
    with pytest.raises(HarnessError, match="cannot read"):
        call("validate", "gone.md")
    with pytest.raises(HarnessError, match="unknown kind"):
        call("validate", "input.md", "--kind", "novel")


def test_validate_asks_pytest_itself(repo: Path) -> None:
    order = (
        "# Order 1 · AWAIT-1 — t\n\nFocus: STUDY-DOSE-001.C2\nMode: TDD\n"
        "Selector: tests/test_a.py::{name}\n\n## Goal\n\nC2\n\n## Tasks\n\n"
        "- [ ] T1: `tests/test_a.py` — x\n\n## Findings\n\n- none (searched: a)\n"
    )
    (repo / "input.md").write_text(order.replace("{name}", "test_a"))
    code, out = call("validate", "--json")
    assert (code, json.loads(out)["diagnostics"]) == (0, [])
    (repo / "input.md").write_text(order.replace("{name}", "test_gone"))
    code, out = call("validate", "--json")
    assert code == 1
    assert [d["code"] for d in json.loads(out)["diagnostics"]] == ["E03"]


def test_explain() -> None:
    assert "selector" in call("explain", "E03")[1]
    assert json.loads(call("explain", "w06", "--json")[1])["code"] == "W06"
    assert len(call("explain")[1].splitlines()) > 40
    with pytest.raises(HarnessError, match="unknown code"):
        call("explain", "E99")


def test_ledger_commands(repo: Path) -> None:
    before = (repo / "docs/fix_plan.md").read_text()
    assert (
        call(
            "ledger",
            "add",
            "NEW-ITEM-001",
            "A new one",
            "--depends",
            "FIX-SHIFT-001",
            "--exit",
            "`pytest tests/test_a.py` — green",
        )[0]
        == 0
    )
    assert (repo / "docs/fix_plan.md").read_text().startswith(before)
    shown = json.loads(call("ledger", "show", "NEW-ITEM-001", "--json")[1])
    assert shown["criteria"][0]["command"] == "pytest tests/test_a.py"
    assert "A new one" in call("ledger", "show", "NEW-ITEM-001")[1]
    rows = json.loads(call("ledger", "list", "--status", "open", "--json")[1])["items"]
    assert [row["id"] for row in rows] == ["NEW-ITEM-001"]
    after = (repo / "docs/fix_plan.md").read_text()
    for words in (
        ["ledger", "add", "LOOP-1", "x", "--depends", "NOPE-1"],
        ["ledger", "add", "LOOP-1", "x", "--exit", "`a | b`"],
        ["ledger", "show", "NOPE-1"],
        ["ledger", "list", "--status", "odd"],
    ):
        with pytest.raises(HarnessError):
            call(*words)
    assert (repo / "docs/fix_plan.md").read_text() == after


def test_findings_commands(repo: Path) -> None:
    assert "SHAPE-001" in call("findings", "search", "xla")[1]
    assert "none (searched: zebra)" in call("findings", "search", "zebra")[1]
    code, out = call("findings", "check", "--json")
    assert code == 1 and {"E30", "E31"} <= {d["code"] for d in json.loads(out)["diagnostics"]}
    new = ["findings", "add", "GRID-005", "--synopsis", "Grids start at 0", "--check", "false"]
    assert call(*new, "--evidence", "tests/test_a.py:1")[0] == 0
    assert call("findings", "search", "--path", "tests/test_a.py")[1].startswith("GRID-005")
    checks = json.loads(call("findings", "check", "--run", "--json")[1])["checks"]
    assert checks == {"SHAPE-001": 0, "GRID-005": 1}
    with pytest.raises(HarnessError, match="unsound"):
        call("findings", "add", "GRID-006", "--synopsis", "x", "--evidence", "gone/x.py:1")
    with pytest.raises(HarnessError, match="what to look for"):
        call("findings", "search")


def test_a_check_of_a_finding_runs_like_a_check_of_the_ledger(
    repo: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`python` is the configured interpreter, $NAME is filled in, a missing program is a result."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    (tmp_path / "python").write_text("#!/bin/sh\nexit 9\n")
    (tmp_path / "python").chmod(0o755)
    monkeypatch.setenv("WANTED", "typer")
    for number, check in enumerate(('python -c "import $WANTED"', "no-such-program now")):
        add = ["findings", "add", f"RUN-{number}", "--synopsis", "x", "--check", check]
        assert call(*add, "--evidence", "tests/test_a.py:1")[0] == 0
    _, out = call("findings", "check", "--run", "--json")
    checks = json.loads(out)["checks"]
    assert checks["RUN-0"] == 0 and checks["SHAPE-001"] == 0
    assert "no-such-program" in checks["RUN-1"] or "start" in checks["RUN-1"]


def test_stats_and_import(repo: Path) -> None:
    code, out = call("stats", "--from", "galph_memory.md")
    assert code == 0 and "9 entries" in out and "before the event it answers" in out
    data = json.loads(call("stats", "--from", "galph_memory.md", "--json")[1])
    assert len(data["observations"]) == 3 and data["entries"] == 9
    assert json.loads(call("stats", "--from", "docs/fix_plan.md", "--json")[1])["items"] == 3
    assert json.loads(call("history", "import", "galph_memory.md", "--json")[1])["imported"] == 9
    assert json.loads(call("history", "import", "galph_memory.md", "--json")[1])["known"] == 9
    assert json.loads(call("history", "import", "docs/fix_plan.md", "--json")[1])["imported"] == 6
    assert json.loads(call("stats", "--json")[1])["kinds"] == {"import": 15}
    with pytest.raises(HarnessError, match="neither"):
        call("stats", "--from", "input.md")
