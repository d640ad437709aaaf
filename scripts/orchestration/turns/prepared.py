"""What `prepare:` makes (generated versions, compiled extensions): built once for a tree, and kept.

The commands run behind the fence in a checkout of their own, which holds no `.env`; what they leave
beside the tree's own files is kept in the state folder and copied from there. The cache is filled
from trusted commits; a build of an attempt's files is kept apart, under the hash of all of them, so
that nothing an attempt builds reaches another tree.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import shutil
import stat
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from orchestration.config import HarnessConfig
from orchestration.core import ExitReason, Stop
from orchestration.documents.grammar import parse_command
from orchestration.errors import HarnessError
from orchestration.gates import interpreter
from orchestration.git import Repo
from orchestration.sandbox import choose, own_folders, run_child, scratch, scrub_env
from orchestration.sandbox import fence as fences
from orchestration.sandbox import interpreter as installed
from orchestration.turns.carried import carried_files, carry_into
from orchestration.turns.workspace import export, remove_checkout, remove_tree

KEPT = 6
"""Builds of each kind that stay; what goes is the one that was used least recently."""
LINES_TOLD = 3


class PrepareFailed(HarnessError):
    """A command of `prepare:` failed; `got` holds its last lines."""


def build_of(
    repo: Repo, config: HarnessConfig, tree: str, head: str, *, trusted: bool
) -> Path | None:
    """The folder with what `prepare:` makes of `tree`; None where nothing is prepared.

    `head` is the commit that the build's git names. Raises PrepareFailed for a tree of an attempt;
    on a trusted commit Stop(BLOCKED_ON_USER), since no attempt can be judged there.
    """
    if not config.prepare:
        return None
    home = repo.state_dir / "prepared" / ("trusted" if trusted else "attempts")
    place = home / _key(repo, config, tree, head)
    if not place.is_dir():
        try:
            _build(repo, config, tree, head, place)
        except PrepareFailed as problem:
            if trusted:
                raise Stop(
                    ExitReason.BLOCKED_ON_USER,
                    f"`prepare:` fails on {head[:12]}: {problem.what}",
                    where=problem.where,
                    got=problem.got,
                    fix="correct `prepare:` in orchestration.yaml (orchestrate doctor runs it)",
                ) from None
            raise
    os.utime(place)
    _forget(home)
    return place


def files_in(build: Path) -> Iterator[Path]:
    """Regular files and links of a build, relative to it."""
    for folder, folders, names in os.walk(build):
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        for name in sorted([*names, *links]):
            yield Path(folder, name).relative_to(build)


def _key(repo: Repo, config: HarnessConfig, tree: str, head: str) -> str:
    """The hash of all that a build depends on; carried files count by size and time, as in make."""
    program = os.path.realpath(shutil.which(config.python) or config.python)
    with contextlib.suppress(OSError):
        program = f"{program} {os.stat(program).st_mtime_ns}"
    carried = []
    for path in carried_files(repo, config.carry, secrets=False):
        known = os.lstat(repo.root / path)
        carried.append((str(path), known.st_size, known.st_mtime_ns))
    named = [config.prepare, config.prepare_network, tree, head, program, platform.platform()]
    return hashlib.sha256(json.dumps([*named, carried]).encode()).hexdigest()[:32]


def _build(repo: Repo, config: HarnessConfig, tree: str, head: str, place: Path) -> None:
    own = set(repo.list_tree(tree))
    checkout = export(repo, tree, head=head)
    try:
        carry_into(repo, checkout, config.carry, secrets=False)
        brought = set(files_in(checkout))
        before = {path: _mark(checkout / path) for path in brought if str(path) not in own}
        for text in config.prepare:
            _run(config, checkout, text, repo.state_dir / "prepared" / "last.log")
        half = place.with_name(f"{place.name}.{uuid.uuid4().hex[:8]}.half")
        half.mkdir(parents=True)
        for path in files_in(checkout):
            kept = not {".git", "__pycache__"}.intersection(path.parts)
            if kept and str(path) not in own and before.get(path) != _mark(checkout / path):
                _keep(checkout / path, half / path)
    finally:
        remove_checkout(repo, checkout)
    try:
        half.rename(place)
    except OSError:  # another process has built the same
        remove_tree(half)


def _mark(path: Path) -> tuple[int, int, int]:
    known = os.lstat(path)
    return known.st_ino, known.st_size, known.st_mtime_ns


def _keep(source: Path, goal: Path) -> None:
    mode = os.lstat(source).st_mode
    if stat.S_ISREG(mode) or stat.S_ISLNK(mode):
        goal.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, goal, follow_symlinks=False)


def _run(config: HarnessConfig, checkout: Path, text: str, log: Path) -> None:
    """Run one command of `prepare:` behind the fence of guards, with its own network."""
    command = parse_command(text)
    log.parent.mkdir(parents=True, exist_ok=True)
    limit = command.within_s or config.budgets.prepare_s
    with scratch("prepare-") as folder:
        path = [os.path.dirname(os.path.abspath(shutil.which(config.python) or config.python))]
        path += [os.environ.get("PATH", os.defpath)]
        env = scrub_env(own_folders(folder, config.python) | {"PATH": os.pathsep.join(path)})
        env |= {"PYTHONPYCACHEPREFIX": str(folder / "bytecode")}
        ready = command.expanded(env)
        child = run_child(
            fences.wrap(
                interpreter(ready.argv, config.python),
                choose(config.isolation),
                cwd=checkout,
                writable=[checkout, folder],
                readable=installed(config.python).places,
                opened=replace(config.for_guards(), network=config.prepare_network),
                env=env,
            ),
            checkout,
            {**env, **ready.env},
            total_s=limit,
            log_path=log,
            max_processes=config.max_processes,
        )
    if child.ok:
        return
    how = f"exit {child.exit_code}" if child.exit_code is not None else f"signal {child.signal}"
    if child.timed_out:
        how = f"no end within {limit:g} s"
    lines = [line.strip() for line in child.output_tail.splitlines() if line.strip()]
    said = " | ".join(lines[-LINES_TOLD:])[-600:]
    raise PrepareFailed(f"{text} ({how})", where=log, got=said or "no output")


def _forget(home: Path) -> None:
    """Remove the builds that were used least recently, and what a killed run left half made."""
    builds = sorted(home.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    day = time.time() - 86_400
    halves = [path for path in builds if path.suffix == ".half"]
    whole = [path for path in builds if path.suffix != ".half"]
    for path in [*whole[KEPT:], *(path for path in halves if path.stat().st_mtime < day)]:
        remove_tree(path)
