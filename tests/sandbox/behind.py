"""Programs behind the fence, at each level and as each user, for the tests that try ways out.

The machine of a person is made outside /tmp (which is private anyway): a home with keys, another
checkout, the harness's state folder, a socket. The fence is started by its own code, copied to a
place that an ordinary user can read, and by the system's interpreter.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from orchestration.sandbox import fence

ORDINARY = 65534
PYTHON = shutil.which("python3", path="/usr/bin:/bin") or sys.executable
"""An interpreter that an ordinary user can start; the test run's own may lie in root's home."""
PATH = ":".join(
    [
        "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        os.path.dirname(shutil.which("bwrap") or "/bin"),
    ]
)
SECRET = "s3cret-of-the-person"
LEVELS = ("bwrap", "kernel", "landlock")
KEYS = (
    ".ssh/id_ed25519", ".aws/credentials", ".netrc", "notes.txt", ".config/tool/token",
    ".local/share/keyrings/login.keyring", ".cargo/credentials.toml", ".git-credentials",
    "state/orchestration/x-1/log/000001.jsonl", "state/orchestration/x-1/inbox/one.json",
    "state/orchestration/x-1/keys/signing", "state/orchestration/x-1/turns/000001/report/a.log",
    "other-checkout/.git/config", "other-checkout/held_out/test_a.py",
)  # fmt: skip
_DRIVER = """
import json, os, subprocess, sys
from pathlib import Path
from orchestration.sandbox import fence
given = json.loads(sys.argv[1])
if given["prelude"]:
    exec(given["prelude"])
opened = fence.Opened(tuple(given["readable"]), (), given["network"], given["devices"])
places = [Path(path) for path in given["closed"]]
argv = fence.wrap(given["argv"], given["level"], cwd=Path.cwd(), writable=[Path.cwd()],
                  closed=places, opened=opened, env=dict(os.environ))
os.execvp(argv[0], argv)
"""


@dataclass
class Person:
    """One person on this machine: `folder` is outside /tmp, `mine` is the child's own folder."""

    folder: Path
    switch: tuple[str, ...]
    level: str

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def mine(self) -> Path:
        return self.home / "state/orchestration/x-1/workspaces/one/1"

    @property
    def theirs(self) -> Path:
        return self.folder / "theirs"

    def run(
        self,
        *argv: str,
        readable: tuple[str, ...] = (),
        network: bool = True,
        prelude: str = "",
        closed: tuple[str, ...] = (),
        level: str | None = None,
        path: str = PATH,
    ) -> subprocess.CompletedProcess[str]:
        """Start `argv` behind the fence as this person; one word is a line of shell."""
        given = {
            "argv": argv if len(argv) > 1 else ["sh", "-c", *argv],
            "readable": readable,
            "level": level or self.level,
            "network": network,
            "devices": True,
            "closed": closed,
            "prelude": prelude,
        }
        env = {"PATH": path, "HOME": str(self.home), "F": str(self.folder), "PYTHON": PYTHON,
               "PYTHONPATH": str(self.folder / "code"), "USER": "person"}  # fmt: skip
        return subprocess.run(
            [*self.switch, PYTHON, "-c", _DRIVER, json.dumps(given)],
            cwd=self.mine,
            env=env,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def start(self, *argv: str, env: dict[str, str]) -> subprocess.Popen[str]:
        """Another program of this person, outside every fence."""
        return subprocess.Popen([*self.switch, *argv], env={"PATH": PATH, **env}, text=True)


def somewhere() -> Path:
    """A folder that is neither a home nor private: of the system, or below the person's home."""
    for place in ("/srv", "/home", str(Path.home())):
        if os.access(place, os.W_OK):
            return Path(tempfile.mkdtemp(prefix="fence-", dir=place))
    raise AssertionError("no writable folder outside /tmp")


def move_in(folder: Path) -> None:
    """Lay the person's files and the fence's code."""
    for name in KEYS:
        file = folder / "home" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(SECRET)
        file.chmod(0o644)
    (folder / "home/state/orchestration/x-1/workspaces/one/1").mkdir(parents=True)
    (folder / "theirs").mkdir()
    (folder / "theirs/value.txt").write_text(SECRET)
    package = folder / "code/orchestration/sandbox"
    package.mkdir(parents=True)
    for face in (package.parent / "__init__.py", package / "__init__.py"):
        face.write_text("")
    for name in ("fence.py", "view.py", "kernel.py"):
        shutil.copy(fence.KERNEL.with_name(name), package)
    shutil.copy(fence.KERNEL.parent.parent / "errors.py", package.parent)
    folder.chmod(0o755)


def person(folder: Path, user: str, level: str) -> Person:
    """The person who owns `folder`: of the test run, or an ordinary one."""
    switch: tuple[str, ...] = ()
    if user == "ordinary user":
        switch = ("setpriv", f"--reuid={ORDINARY}", f"--regid={ORDINARY}", "--clear-groups")
        for path in [folder, *folder.rglob("*")]:
            os.chown(path, ORDINARY, ORDINARY)
    return Person(folder, switch, level)
