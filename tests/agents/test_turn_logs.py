"""A credential that a turn prints: blacked out on disk and in the log, committed nowhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from orchestration.git import Repo
from turns import FIX, TEST, git, work

TOKEN = "ghp_" + "Zx81Qw9Lk3Vb7Nm2Rt6Yp4Hs0Gd5Jf8Cc1Aa"
CRITERION = """# Plan

### [FIX-1] Addition subtracts
- Status: open
- Exit criteria:
  - [ ] B1: it adds - Check: `python check.py`
"""


def files_with(root: Path, word: str) -> list[str]:
    """Everything below the repository (and every object of git) that still shows `word`."""
    found = [
        str(path.relative_to(root))
        for path in root.rglob("*")
        if path.is_file() and word.encode() in path.read_bytes()
    ]
    batch = git(root, "cat-file", "--batch-all-objects", "--batch-check=%(objectname)").split()
    kinds = [git(root, "cat-file", "-t", sha).strip() for sha in batch]
    texts = [s for s, k in zip(batch, kinds, strict=True) if k == "blob"]
    return found + [sha for sha in texts if word in git(root, "cat-file", "blob", sha)]


def test_what_an_agent_prints_is_blacked_out_and_its_work_lands(tmp_path: Path) -> None:
    root, summary, verdict = work(tmp_path, FIX + f"print('my key:', {TOKEN!r})\n")
    assert summary.landed == ["FIX-1"], verdict["reason"]
    log = next((Repo(root).state_dir / "turns").glob("*/logs/agent.log"))
    assert log.read_text() == "my key: [redacted: GitHub token]\n"
    assert files_with(root, TOKEN) == []


def test_what_a_crashing_agent_prints_is_in_no_log(tmp_path: Path) -> None:
    code = f"print('x' * 25000, {TOKEN!r})\nraise SystemExit(3)\n"
    root, _, verdict = work(tmp_path, code)
    assert (verdict["verdict"], files_with(root, TOKEN)) == ("reject", [])
    assert "[redacted: GitHub token]" in str(verdict["reason"])


def test_a_file_of_the_report_is_read_whatever_its_name(tmp_path: Path) -> None:
    text = json.dumps({"text": "\0" + TOKEN})
    code = FIX + (
        "for name in ('cli/notes.txt', 'transcript.jsonl', 'analysis/no_suffix'):\n"
        "    place = pathlib.Path(os.environ['HUB']) / name\n"
        "    place.parent.mkdir(parents=True, exist_ok=True)\n"
        f"    place.write_text({text!r})\n"
    )
    root, summary, verdict = work(tmp_path, code)
    assert summary.landed == []
    reason = str(verdict["reason"])
    assert reason.startswith("a log of the turn shows analysis/no_suffix:1: GitHub token")
    assert files_with(root, TOKEN) == []


@pytest.mark.parametrize("who", ["guard", "check"])
def test_what_a_guard_or_check_prints_is_blacked_out_and_lands_not(
    tmp_path: Path, who: str
) -> None:
    halves = f"print({TOKEN[:9]!r} + {TOKEN[9:]!r})\n"
    if who == "guard":
        test = TEST.replace("    assert", f"    {halves}    assert")
        files = {"tests/test_calc.py": test}
    else:
        files = {"docs/fix_plan.md": CRITERION, "check.py": halves}
    root, summary, verdict = work(tmp_path, FIX, files=files)
    assert summary.landed == []
    assert (verdict["verdict"], verdict["signature"]) == ("reject", "secret in a log")
    assert TOKEN not in str(verdict)
    logs = list((Repo(root).state_dir / "turns").rglob("*.log"))
    assert [log for log in logs if "[redacted: GitHub token]" in log.read_text()]
    assert files_with(root, TOKEN) == []
