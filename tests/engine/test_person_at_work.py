"""A person works in the checkout while an agent works: no event, whatever the fence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from orchestration.git import Repo
from orchestration.log import read_folder

Make = Callable[..., Any]
LEDGER = """### [A-001] One thing
- Status: open
- Exit:
  - [ ] C1 `cmp value.txt wanted.txt` — right
"""
FILES = {"value.txt": "wrong\n", "wanted.txt": "right\n", "notes.txt": "one\n", "other.txt": "1\n"}
AGENT = "import pathlib, time; time.sleep(3); pathlib.Path('value.txt').write_text('right\\n')"
RUN = [sys.executable, "-c", "from orchestration.cli import main; main()", "run", "--json"]


def save(here: Any) -> None:
    here.write("notes.txt", "saved while the agent works\n")
    here.write("new.txt", "new\n")


def commit(here: Any) -> None:
    here.write("other.txt", "2\n")
    here.git("commit", "-q", "-m", "a person's", "other.txt")


def fetch(here: Any) -> None:
    twin = here.root.parent / "twin"
    here.git("clone", "-q", str(here.root), str(twin))
    here.git("remote", "add", "twin", str(twin))
    here.git("fetch", "-q", "twin")


def settings_and_hooks(here: Any) -> None:
    here.git("config", "alias.co", "checkout")
    here.write(".git/hooks/post-checkout", "#!/bin/sh\n")
    here.git("tag", "mark")


def touch_stage_and_delete(here: Any) -> None:
    os.utime(here.root / "wanted.txt")
    here.write("staged.txt", "staged\n")
    here.git("add", "staged.txt")
    (here.root / "notes.txt").unlink()


ACTS = [save, commit, fetch, settings_and_hooks, touch_stage_and_delete]


@pytest.mark.parametrize("isolation", ["auto", "none"])
@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.__name__)
def test_what_a_person_does_changes_no_verdict_and_stays(
    place: Make, act: Callable[[Any], None], isolation: str
) -> None:
    here = place(LEDGER, **FILES)
    command = json.dumps([sys.executable, "-c", AGENT])
    level = "scan" if isolation == "none" else isolation
    here.write(
        "orchestration.yaml", f"agent: custom\nagent_command: {command}\nisolation: {level}\n"
    )
    here.commit("settings")
    with open(here.root / "run.log", "w") as log:  # redirected into the checkout itself
        run = subprocess.Popen(RUN, cwd=here.root, stdout=subprocess.PIPE, stderr=log)
        wait_for(Repo(here.root).state_dir / "log", "agent_start")
        time.sleep(1)  # the agent sleeps for three
        act(here)
        mine = files(here.root)
        said = json.loads(run.communicate(timeout=120)[0])
    assert (run.returncode, said["reason"], said["landed"]) == (0, "DONE", ["A-001"])
    assert said["rejected"] == []
    assert here.read("value.txt") == "right\n"
    now = files(here.root)
    assert {name: now.get(name) for name in mine} == mine
    told = (here.root / "run.log").read_text()
    assert "put back" not in told
    if isolation == "none" and act is save:
        line = next(x for x in told.splitlines() if "during a turn without a fence" in x)
        assert "by you or by the agent: new.txt; notes.txt" in line


def wait_for(log: Path, kind: str) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if any(event.kind == kind for event in read_folder(log)):
            return
        time.sleep(0.05)
    raise AssertionError(f"no {kind} within a minute")


def files(root: Path) -> dict[str, bytes]:
    names = (
        "notes.txt",
        "new.txt",
        "other.txt",
        "staged.txt",
        "wanted.txt",
        ".git/config",
        ".git/hooks/post-checkout",
    )
    return {name: (root / name).read_bytes() for name in names if (root / name).is_file()}
