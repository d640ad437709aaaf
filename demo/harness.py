"""The harness half: a throw-away clone, a planted defect, a ledger of four, one run."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DEFECT = "demo/defect/merge-batch-collapse.patch"
STUDY_OPTIONS = "--nepochs 5 --n-train 128 --n-test 64 --seeds 1 --ladder none"
BLOCKED_ON_USER = 6
EXPECTED = {
    "FIX-GRIDSIZE-TRANSLATE-BATCH-001": "landed",
    "STUDY-SYNTH-DOSE-COMPARISON-001": "landed",
    "DATA-BEAMLINE-RELEASE-001": "waiting",
    "ARCH-PROBE-POSITIONS-001": "blocked",
}
"""Where each focus issue must stand when the run has ended."""


class DemoError(Exception):
    """The demonstration did not come out as it must; the text says what and where to look."""


@dataclass(frozen=True)
class HarnessHalf:
    """What the run came to: the clone, its page, and the view that the page shows."""

    clone: Path
    page: Path
    view: dict[str, Any]


def clean_env() -> dict[str, str]:
    """The environment without git's own variables: the clone is the only repository meant."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    name, mail = "ptycho demo", "demo@localhost"
    return env | {
        "GIT_AUTHOR_NAME": name,
        "GIT_AUTHOR_EMAIL": mail,
        "GIT_COMMITTER_NAME": name,
        "GIT_COMMITTER_EMAIL": mail,
        "GIT_TERMINAL_PROMPT": "0",
    }


def git(*words: str, cwd: Path) -> str:
    """Run git and return its output; raises DemoError with what git said."""
    done = subprocess.run(
        ["git", *words], cwd=cwd, env=clean_env(), capture_output=True, text=True, timeout=120
    )
    if done.returncode:
        raise DemoError(f"git {' '.join(words)} failed in {cwd}:\n{done.stderr.strip()}")
    return done.stdout.strip()


def make_clone(root: Path, clone: Path, library: Path) -> str:
    """Clone HEAD of `root`, plant the defect and the ledger as one commit; returns its sha."""
    for old in (clone, clone.parent / "state"):
        if old.exists():
            shutil.rmtree(old)
    git("clone", "--quiet", "--no-hardlinks", str(root), str(clone), cwd=root)
    git("switch", "--quiet", "-C", "demo", cwd=clone)
    plant(clone, library)
    git("commit", "--quiet", "--all", "-m", "Plant a defect; the demonstration's ledger", cwd=clone)
    return git("rev-parse", "HEAD", cwd=clone)


def plant(checkout: Path, library: Path) -> None:
    """Break the group merge of a checkout and give it the ledger of four focus issues."""
    git("apply", str(checkout / DEFECT), cwd=checkout)
    template = (checkout / "demo/ledger.md").read_text(encoding="utf-8")
    ledger = template.replace("{study_options}", STUDY_OPTIONS)
    ledger = ledger.replace("{library}", shlex.quote(str(library)))
    (checkout / "docs/fix_plan.md").write_text(ledger, encoding="utf-8")
    with (checkout / "orchestration.yaml").open("a", encoding="utf-8") as settings:
        settings.write("state_dir: ../state\n")  # thrown away with the clone


def run(root: Path, output: Path, library: Path) -> HarnessHalf:
    """Let `orchestrate run` work through the ledger until it ends by itself; make the page."""
    clone, page = output / "clone", output / "report.html"
    sha = make_clone(root, clone, library)
    print(f"throw-away clone {clone} at {sha[:12]}, with the defect planted", flush=True)
    code = subprocess.run(
        [*program("orchestrate"), "run", "--agent", "playbook"], cwd=clone, env=clean_env()
    ).returncode
    if code != BLOCKED_ON_USER:
        raise DemoError(
            f"orchestrate run ended with exit code {code}, expected {BLOCKED_ON_USER} "
            f"(BLOCKED_ON_USER)\n  look: cd {clone} && orchestrate status"
        )
    made = subprocess.run(
        [*program("orchestrate"), "report", "--output", str(page), "--json"],
        cwd=clone,
        env=clean_env(),
        capture_output=True,
        text=True,
    )
    if made.returncode:
        raise DemoError(f"orchestrate report failed:\n{made.stderr.strip()}")
    view = json.loads(made.stdout)
    check(view)
    return HarnessHalf(clone, page, view)


def check(view: dict[str, Any]) -> None:
    """Raise DemoError unless every item stands where it must and the waiting one cost no turn."""
    stands = {item["id"]: item["group"] for item in view["items"]}
    wrong = [
        f"{name} is {stands.get(name, 'missing')}, expected {group}"
        for name, group in EXPECTED.items()
        if stands.get(name) != group
    ]
    wrong += [
        f"{turn['item']} got a turn"
        for turn in view["turns"]
        if EXPECTED.get(turn["item"]) != "landed"
    ]
    if wrong:
        raise DemoError("the run ended, but not as it must: " + "; ".join(wrong))


def program(name: str) -> list[str]:
    """The console program of the environment that runs the demonstration."""
    return [str(Path(sys.executable).with_name(name))]
