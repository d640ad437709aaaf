"""Run guard tests so that only honest work passes; the verdict never comes from an exit code.

The recipe (measured against the attacks listed in docs/evidence/reliability.md): a fresh checkout,
our own ini and reporter, exact node ids, every phase passed, none skipped or xfailed, and two
canary tests beside the guards that must fail and that tell where the product was imported from.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from orchestration.gates import guard_files as files
from orchestration.gates.guard_types import GuardResult, GuardSpec, Verdict
from orchestration.gates.reading import Watch
from orchestration.gates.scope import is_config, is_test
from orchestration.gates.verdict import judge, tally
from orchestration.sandbox import (
    MARKER,
    ChildResult,
    interpreter,
    own_folders,
    run_child,
    scratch,
    scrub_env,
)
from orchestration.sandbox import fence as fences

__all__ = ["GuardResult", "GuardSpec", "Verdict", "collect_ids", "run_guard", "run_twice"]

MOST_CLOSED = 500
LAUNCHER = Path(__file__).with_name("launcher.py")


@dataclass(frozen=True)
class _Setup:
    """Names and secrets of one run."""

    folder: Path
    nonce: str
    secret: str
    canary_files: tuple[str, ...]
    canaries: tuple[str, ...]
    products: tuple[str, ...]
    roots: tuple[Path, ...]


def run_guard(spec: GuardSpec) -> GuardResult:
    """Run the guards of `spec` in its checkout and judge them.

    What the run adds to the checkout is taken away again (but compiled files).
    """
    if spec.node_ids is None and spec.asked.options:  # they would leave the canaries out
        spec = replace(spec, node_ids=collect_ids(spec)[0])
    level = fences.choose(spec.isolation)
    targets = spec.targets()
    absent = [name for name in targets if not (spec.checkout / name).exists()]
    if not targets or absent:
        reason = f"no such test file: {', '.join(absent)}" if absent else "nothing was selected"
        nodes = dict.fromkeys(spec.node_ids or (), "missing")
        return GuardResult("not-run", reason, nodes, tally(nodes), isolation=level)
    with scratch("") as folder:
        setup = _prepare(spec, folder, targets)
        watch = Watch(spec.checkout.resolve(), [*spec.changed, *spec.trusted])
        try:
            with watch:
                child = _start(spec, setup, level, [*targets, *setup.canary_files])
            report = _read_report(setup)
        finally:
            for name in setup.canary_files:
                (spec.checkout / name).unlink(missing_ok=True)
        result = judge(spec, child, report, secret=setup.secret, canaries=setup.canaries)
        result = _unless_rewritten(spec, result, watch.written - set(setup.canary_files))
    opened = tuple(sorted(watch.opened.intersection(spec.changed)))
    return replace(
        result,
        isolation=level,
        process_limit=child.process_limit,
        log_path=spec.log_path,
        opened=opened,
        unseen=watch.lost,
    )


def _unless_rewritten(spec: GuardSpec, result: GuardResult, written: set[str]) -> GuardResult:
    """A run in which a trusted file was written, or new test code appeared, shows nothing."""
    code = {path for path in written if is_config(path) or (is_test(path) and path[-3:] == ".py")}
    bad = sorted(written.intersection(spec.trusted) | code)
    if not bad:
        return result
    words = f"a test, fixture or setting was written while the guard ran: {', '.join(bad[:5])}"
    return replace(result, verdict="tampered", reason=words)


def collect_ids(spec: GuardSpec) -> tuple[list[str], list[str]]:
    """Node ids that the selector matches, and what pytest said about files it could not read."""
    targets = [name for name in spec.targets() if (spec.checkout / name).exists()]
    if not targets:
        return [], ["nothing was selected"]
    with scratch("") as folder:
        setup = _prepare(spec, folder, (), canaries=False)
        words = ["--collect-only", *spec.asked.options, *targets]
        child = _start(spec, setup, fences.choose(spec.isolation), words)
        report = _read_report(setup)
    if not isinstance(report, dict):
        return [], [f"collection did not finish: {child.output_tail[-2000:]}"]
    problems = [f"{row['nodeid']}: {row['text']}" for row in report["collect_problems"]]
    if report["status"] in (3, 4) and not problems:  # an internal error, or wrong usage
        problems = [f"pytest did not collect: {_last_error(child.output_tail)}"]
    return list(report["matched"]), problems


def _last_error(tail: str) -> str:
    """The error that pytest ended with."""
    lines = [line.removeprefix("INTERNALERROR>").strip() for line in tail.splitlines()]
    errors = [
        line for line in lines if re.match(r"(ERROR|[\w.]*(Error|Warning|Exception))\b", line)
    ]
    return (errors or [line for line in lines if line])[-1:][0] if any(lines) else "no output"


def run_twice(spec: GuardSpec) -> GuardResult:
    """Run; when red, run once more. Tests that changed their mind are named in `flaky`.

    A flaky guard is never a pass: the verdict of the first run stays.
    """
    first = run_guard(spec)
    if first.verdict != "fail" or first.timed_out:
        return first
    again = run_guard(replace(spec, log_path=_second(spec.log_path)))
    moved = [n for n, o in first.nodes.items() if o != "passed" and again.nodes.get(n) == "passed"]
    if not moved:
        return first
    reason = f"flaky: {', '.join(moved)} failed, then passed unchanged; {first.reason}"
    return replace(first, flaky=tuple(moved), reason=reason)


def _second(path: Path | None) -> Path | None:
    return path.with_name(f"{path.stem}-again{path.suffix}") if path else None


def _prepare(
    spec: GuardSpec, folder: Path, targets: Sequence[str], *, canaries: bool = True
) -> _Setup:
    """Write shim, ini and canary."""
    checkout = spec.checkout.resolve()
    roots = tuple((checkout / root).resolve() for root in spec.import_roots)
    found = spec.products
    if found is None:
        found = files.product_names(checkout, spec.import_roots)
    files.write_shim(folder / "shim", found, roots)
    shutil.copyfile(LAUNCHER, folder / "run.py")  # its own path would tell who runs the tests
    settings = files.repository_settings(checkout)
    files.write_ini(folder / "guard.ini", settings, roots)
    first, last, secret = (secrets.token_hex(6) for _ in range(3))
    homes = sorted({(t if (checkout / t).is_dir() else os.path.dirname(t)) for t in targets})
    names = []
    if canaries:
        for home in homes[:1]:
            name = f"test_{secrets.token_hex(6)}.py"
            text = files.CANARY.format(names=list(found), first=first, last=last, secret=secret)
            (checkout / home / name).write_text(text, encoding="utf-8")
            names.append(os.path.join(home, name) if home else name)
    ids = tuple(f"{name}::test_{part}" for name in names for part in (first, last))
    return _Setup(folder, secrets.token_hex(32), secret, tuple(names), ids, tuple(found), roots)


def _start(spec: GuardSpec, setup: _Setup, level: fences.Level, args: Sequence[str]) -> ChildResult:
    checkout = spec.checkout.resolve()
    settings = files.repository_settings(checkout)
    mode = files.import_mode(settings)
    options = ["-c", str(setup.folder / "guard.ini"), "--rootdir", str(checkout)]
    options += ["-p", "no:cacheprovider", "--continue-on-collection-errors", "--color=no"]
    options += ["-v", "--tb=short", f"--basetemp={setup.folder / 'tmp'}"]
    options += [f"--import-mode={mode}"] if mode else []
    shim = str(setup.folder / "shim")
    orders = {
        "nonce": setup.nonce,
        "report": str(setup.folder / "report"),
        "node_ids": list(spec.node_ids) if spec.node_ids is not None else None,
        "selector": list(spec.asked.prefixes()),
        "canaries": list(setup.canaries),
        "python_path": [shim, *map(str, setup.roots)],
        "args": [*options, *args],
        "plugins": list(spec.plugins),
        "settings": files.plugin_settings(settings),
        "backwards": spec.backwards,
        "hidden": [MARKER] if sys.platform.startswith("linux") else [],
        "touched": {str(checkout / name): list(lines) for name, lines in spec.touched.items()},
    }
    env = _environment(spec, setup, shim)
    command = fences.wrap(
        [spec.python, "-P", str(setup.folder / "run.py")],
        level,
        cwd=checkout,
        writable=[checkout, setup.folder],
        readable=interpreter(spec.python).places,
        closed=_closed(spec, setup),
        opened=spec.opened,
        env=env,
    )
    return run_child(
        command,
        checkout,
        env,
        total_s=spec.timeout_s,
        idle_s=spec.idle_s,
        grace_s=1.0,
        log_path=spec.log_path,
        stdin=json.dumps(orders).encode(),
        max_processes=spec.max_processes,
    )


def _closed(spec: GuardSpec, setup: _Setup) -> list[Path]:
    """What the code under test cannot write, although it lies below what it can.

    Each file is a mount of its own; of very many tests the rest is only watched.
    """
    own = [setup.folder / name for name in ("shim", "guard.ini", "run.py")]
    return [*own, *(spec.checkout.resolve() / name for name in spec.trusted[:MOST_CLOSED])]


def _environment(spec: GuardSpec, setup: _Setup, shim: str) -> dict[str, str]:
    """A scrubbed environment; only the shim is importable before pytest itself is loaded.

    Compiled files that a commit holds are those of the trusted one: the overlay takes `*.pyc`.
    """
    env = scrub_env({**own_folders(setup.folder, spec.python), **spec.env}, keep=spec.keep_env)
    for name in (
        "PYTEST_ADDOPTS",
        "PYTEST_PLUGINS",
        "PYTHONHOME",
        "PYTHONOPTIMIZE",
        "PYTHONSTARTUP",
    ):
        env.pop(name, None)
    found = shutil.which(spec.python)
    home = os.path.dirname(os.path.abspath(found)) if found else ""
    env["PATH"] = os.pathsep.join(part for part in (home, env.get("PATH", os.defpath)) if part)
    env["PYTHONPATH"] = shim
    env["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    env.setdefault("MPLCONFIGDIR", str(setup.folder / "cache"))  # the home folder may be read-only
    env["XDG_CACHE_HOME"] = str(setup.folder / "cache")
    # No compiled file is believed but what is installed (`guard_files.SHIM`): the code under test
    # could plant one of a test that is yet to be read. Below a device there is none and comes none.
    env["PYTHONPYCACHEPREFIX"] = os.devnull
    return env


def _read_report(setup: _Setup) -> dict[str, Any] | str | None:
    """The report, "forged" when its signature is wrong, or None when there is none."""
    path = setup.folder / "report"
    if not path.is_file():
        return None
    signature, _, body = path.read_bytes().partition(b"\n")
    right = hmac.new(setup.nonce.encode(), body, hashlib.sha256).hexdigest().encode()
    if not hmac.compare_digest(signature, right):
        return "forged"
    loaded: dict[str, Any] = json.loads(body)
    return loaded
