"""The level that a machine must reach, by what its kernel gives: it may not fall unseen.

`conditions` are tried with other programs than ours (util-linux, setpriv): where they hold, the
fence must hold too, as the user of the test run and as an ordinary one.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path

import behind
import pytest
from orchestration.sandbox import available, choose
from orchestration.sandbox.fence import LEVELS
from orchestration.sandbox.kernel import LEAST_ABI, landlock_abi

NAMESPACES = ["unshare", "--user", "--map-current-user", "--mount", "--pid", "--ipc", "--net"]
NAMESPACES += ["--fork", "--mount-proc", "true"]


def conditions(switch: tuple[str, ...] = ()) -> str:
    """Why this machine need not reach `kernel`; "" where it must."""
    release = tuple(int(part) for part in platform.release().split("-")[0].split(".")[:2])
    if platform.system() != "Linux" or release < (5, 12):
        return "mount_setattr came with Linux 5.12"
    if shutil.which("unshare") is None:
        return "util-linux is not here to ask"
    done = subprocess.run([*switch, *NAMESPACES], capture_output=True, text=True, cwd="/")
    return "" if done.returncode == 0 else f"namespaces are refused: {done.stderr.strip()}"


def test_a_machine_with_all_parts_reaches_the_kernels_level() -> None:
    why_not = conditions()
    if why_not:
        pytest.skip(why_not)
    assert "kernel" in available()
    assert choose("auto", agent=True) in ("bwrap", "kernel")
    if landlock_abi() >= LEAST_ABI:
        assert "landlock" in available()


def test_the_level_that_is_recorded_for_this_machine_holds() -> None:
    """`.ci/run` records the level of the machine that checks this repository: it may not fall."""
    recorded = os.environ.get("FENCE_LEVEL")
    if not recorded:
        pytest.skip("no level is recorded for this machine (FENCE_LEVEL, see .ci/run)")
    assert recorded in available()
    assert LEVELS.index(choose("auto", agent=True)) <= LEVELS.index(recorded)  # type: ignore[arg-type]


def test_an_ordinary_user_reaches_it_too(tmp_path: Path) -> None:
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("the test run is an ordinary user's already, or setpriv is missing")
    folder = behind.somewhere()
    try:
        behind.move_in(folder)
        one = behind.person(folder, "ordinary user", "kernel")
        why_not = conditions(one.switch)
        if why_not:
            pytest.skip(why_not)
        done = one.run("id -u")
        assert (done.returncode, done.stdout.strip()) == (0, str(behind.ORDINARY)), done.stderr
    finally:
        shutil.rmtree(folder)
