"""The one place where git is started: GitPython's command object, made safe and bounded.

Why not plain `git.Git(...).execute`: it passes an inherited `GIT_DIR` or `GIT_INDEX_FILE` on to
git (the command then works on another repository), runs the repository's hooks and fsmonitor
program (code that an agent may have written), and waits for ever, even with its time limit when a
daemon of git's holds the output open. Here every call drops those variables, switches such programs
off, runs in a session of its own, and ends after a time limit with all of its group.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from git.cmd import Git

from orchestration.errors import HarnessError

SAFE_OPTIONS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "protocol.ext.allow=never",
    "gc.auto=0",
    "maintenance.auto=false",
    "commit.gpgSign=false",
    "tag.gpgSign=false",
    "core.pager=cat",
    "core.editor=false",
    "sequence.editor=false",
    "submodule.recurse=false",
    "advice.detachedHead=false",
)
# A person's identity, settings and transport stay (`-c` wins over them); the rest goes.
_CONFIG = "CONFIG_(GLOBAL|SYSTEM|NOSYSTEM|COUNT|KEY_|VALUE_)"
_KEPT = re.compile(f"GIT_(AUTHOR|COMMITTER|SSH|{_CONFIG}|PYTHON|SSL|PROXY)")
_REF = re.compile(r"[^-\x00-\x20\x7f:?*\[\\][^\x00-\x20\x7f:?*\[\\]*")
"""What git takes as a name, with the marks of revisions (`^`, `~`, `@{}`)."""


class GitError(HarnessError):
    """Git refused or failed; `got` holds its own words."""


class GitTimeout(GitError):
    """Git did not finish within its time limit and was killed."""


class RefMoved(GitError):
    """A compare-and-swap lost: the ref is no longer where the caller saw it."""


class MergeRefused(GitError):
    """`git merge --ff-only` would touch the user's work, or the histories have diverged."""


class Result(NamedTuple):
    """One finished git command (bytes, because paths and files need not be UTF-8)."""

    status: int
    stdout: bytes
    stderr: str


def safe_ref(ref: str) -> str:
    """Return `ref` if it cannot be read as an option or a pathspec; GitError otherwise."""
    if not _REF.fullmatch(ref) or ".." in ref:
        raise GitError(f"not a usable git revision: {ref!r}", expected="a branch, ref or hash")
    return ref


def inherited_redirections() -> list[str]:
    """Names of `GIT_*` variables of this process that would redirect a git command."""
    return [k for k in os.environ if k.startswith("GIT_") and not _KEPT.match(k)]


def run_git(
    cwd: Path,
    args: tuple[str, ...],
    *,
    timeout_s: float,
    env: Mapping[str, str] | None = None,
    stdin: bytes | None = None,
) -> Result:
    """Run `git args` in `cwd` and return its status and output; GitTimeout after `timeout_s`."""
    settings = {"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", **(env or {})}
    command: list[str] = []
    unset = [name for name in inherited_redirections() if name not in settings]
    if unset:
        command = ["env", *(part for name in unset for part in ("-u", name))]
    command.append("git")
    for option in SAFE_OPTIONS:
        command += ["-c", option]
    command += args
    with tempfile.TemporaryFile() as source:
        if stdin is not None:
            source.write(stdin)
            source.seek(0)
        # A Path is taken as it is; in a text GitPython would expand `$NAME` and `~`.
        process: Any = Git(Path(cwd)).execute(
            command,
            istream=source if stdin is not None else None,
            as_process=True,
            env=settings,
            start_new_session=True,
        )
        try:
            out, err = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            _end(process)
            raise GitTimeout(
                f"git {args[0]} took longer than {timeout_s:g} s and was killed",
                where=cwd,
                fix="look for a lock or a slow network, then run the same command again",
            ) from None
    return Result(process.returncode, out, err.decode("utf-8", "replace").rstrip("\n"))


def _end(process: Any) -> None:
    """Kill git and its group, and stop listening: a daemon of git's may hold the pipes open."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    for pipe in (process.stdout, process.stderr):
        pipe.close()
    process.proc.wait()


def apply_command(patch: Path, *flags: str) -> list[str]:
    """The argument list that applies a patch file to the files of the folder it is started in.

    For a workspace, whose repository is the agent's: whoever starts it does so behind the fence.
    """
    options = [part for option in SAFE_OPTIONS for part in ("-c", option)]
    return ["git", *options, "apply", "--whitespace=nowarn", *flags, "--", str(patch)]
