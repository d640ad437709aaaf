"""The upstream of the target branch: fetched before a run, pushed to after it, never with force.

A fetch moves only the remote-tracking ref. A push takes the landed branch, the results that wait
and the log; what the remote refuses stays here, and nothing here is changed for it.
"""

from __future__ import annotations

from dataclasses import dataclass

from orchestration.errors import HarnessError
from orchestration.git.refs import LOG_REF, RESULTS
from orchestration.git.repository import Repo

FETCH_LIMIT_S = 30.0
PUSH_LIMIT_S = 120.0


@dataclass(frozen=True)
class Upstream:
    """Where the target branch is published: `merge` is its ref there, `ref` our copy of it."""

    remote: str
    merge: str
    ref: str


def upstream_of(repo: Repo, target: str) -> Upstream | None:
    """The configured upstream of a branch; None without one (or where it is a local branch)."""
    remote = _setting(repo, f"branch.{target}.remote")
    merge = _setting(repo, f"branch.{target}.merge")
    if not remote or remote == "." or not merge:
        return None
    line = repo.text("for-each-ref", "--format=%(upstream)", f"refs/heads/{target}")
    return Upstream(remote, merge, line) if line else None


def _setting(repo: Repo, key: str) -> str:
    return repo.run("config", "--get", key, check=False).stdout.decode().strip()


def fetch(repo: Repo, upstream: Upstream) -> tuple[str, str]:
    """Fetch the upstream branch within 30 s; returns its commit, or "" and why it failed.

    The commit is what the remote itself names: a ref of ours can be moved by anybody.
    """
    spec = f"+{upstream.merge}:{upstream.ref}"
    words = ("fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head")
    ask = ("ls-remote", "--quiet", "--", upstream.remote, upstream.merge)
    try:
        asked = repo.run(*ask, check=False, timeout_s=FETCH_LIMIT_S)
        done = repo.run(*words, "--", upstream.remote, spec, check=False, timeout_s=FETCH_LIMIT_S)
    except HarnessError as problem:
        return "", str(problem.what)
    if asked.status or done.status:
        return "", " ".join((asked.stderr if asked.status else done.stderr).split())[-300:]
    sha = asked.stdout.decode("ascii", "replace").split("\t")[0].strip()
    return (sha, "") if sha and repo.try_resolve(sha) else ("", "the remote has no such branch")


def push(repo: Repo, upstream: Upstream, target: str, *, log: bool) -> str:
    """Push without force: either the branch with its results or the log.

    Returns "" or why the remote did not take it.
    """
    if log:
        specs = [f"{LOG_REF}:{LOG_REF}"] if repo.try_resolve(LOG_REF) else []
    else:
        results = RESULTS + target
        specs = [f"refs/heads/{target}:{upstream.merge}"]
        specs += [f"{results}:{results}"] if repo.try_resolve(results) else []
    if not specs:
        return ""
    words = ("push", "--quiet", "--porcelain", "--no-verify", "--no-follow-tags")
    try:
        done = repo.run(*words, "--", upstream.remote, *specs, check=False, timeout_s=PUSH_LIMIT_S)
    except HarnessError as problem:
        return str(problem.what)
    if done.status == 0:
        return ""
    refused = [line for line in done.stdout.decode("utf-8", "replace").splitlines() if "!" in line]
    return " ".join(" ".join([*refused, done.stderr]).split())[:400]
