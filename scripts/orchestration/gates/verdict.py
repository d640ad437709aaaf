"""From a finished guard run and its report to a verdict; no process, no files, only evidence."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from orchestration.gates import relevance
from orchestration.gates.guard_types import GuardResult, GuardSpec, Verdict
from orchestration.sandbox import ChildResult


def judge(
    spec: GuardSpec,
    child: ChildResult,
    report: dict[str, Any] | str | None,
    *,
    secret: str,
    canaries: Sequence[str],
) -> GuardResult:
    """The verdict from a finished child and its report (None: there is none)."""
    base = GuardResult(
        "not-run",
        "",
        dict.fromkeys(spec.node_ids or (), "missing"),
        seconds=child.seconds,
        timed_out=child.timed_out,
        exit_code=child.exit_code,
        output_tail=child.output_tail[-4000:],
    )
    if child.timed_out:
        limit = spec.timeout_s if child.timed_out == "total" else spec.idle_s
        return _with(base, "fail", f"stopped by the {child.timed_out} clock after {limit:g} s")
    if report is None:
        how = f"signal {child.signal}" if child.signal else f"exit code {child.exit_code}"
        return _with(base, "not-run", f"the tests ended without a report ({how})")
    if not isinstance(report, dict):
        return _with(base, "tampered", "the report does not carry the harness's signature")
    nodes, messages = _outcomes(spec, report)
    full = replace(
        base,
        nodes=nodes,
        messages=messages,
        through=_through(report, nodes),
        collected=tuple(n for n in report["collected"] if not _runs_of(canaries, [n])),
        dropped=tuple(report.get("dropped", ())),
        versions={"python": report["python"], "pytest": report["pytest"]},
        coverage=_coverage(spec, report),
    )
    canary = _canary_outcomes(report, canaries, secret)
    full = replace(full, origins=canary.origins)
    verdict, reason = _decide(spec, report, nodes, canary)
    if verdict == "pass" and child.exit_code != 1:
        verdict, reason = "tampered", f"exit code {child.exit_code} although the canaries failed"
    return _with(full, verdict, reason)


def _coverage(spec: GuardSpec, report: Mapping[str, Any]) -> dict[str, Any]:
    """What the run says about the changed lines; empty when nobody asked."""
    if not spec.touched:
        return {}
    home = os.path.realpath(spec.checkout)
    ran = {os.path.relpath(path, home): lines for path, lines in report.get("ran", {}).items()}
    return relevance.judge(spec.touched, ran)


def _with(result: GuardResult, verdict: Verdict, reason: str) -> GuardResult:
    return replace(result, verdict=verdict, reason=reason, counts=tally(result.nodes))


def tally(nodes: Mapping[str, str]) -> dict[str, int]:
    """How many nodes ended in each outcome."""
    values = list(nodes.values())
    return {name: values.count(name) for name in sorted(set(values))}


def _outcome(phases: Sequence[Mapping[str, Any]]) -> str:
    """One word for a test's phases; only set-up, call and tear-down all passed is `passed`."""
    if any(p["xfail"] for p in phases):
        return "xfailed" if any(p["outcome"] == "skipped" for p in phases) else "xpassed"
    if any(p["outcome"] == "failed" and p["when"] == "call" for p in phases):
        return "failed"
    if any(p["outcome"] == "failed" for p in phases):
        return "error"
    if any(p["outcome"] == "skipped" for p in phases):
        return "skipped"
    whole = {"setup", "call", "teardown"} <= {p["when"] for p in phases}
    return "passed" if whole and all(p["outcome"] == "passed" for p in phases) else "error"


def _outcomes(spec: GuardSpec, report: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    expected = spec.node_ids if spec.node_ids is not None else report["matched"]
    nodes, messages = {}, {}
    for name in expected:
        phases = report["phases"].get(name)
        nodes[name] = _outcome(phases) if phases else "missing"
        texts = [p["text"] for p in phases or () if p["text"]]
        if nodes[name] != "passed" and texts:
            messages[name] = texts[0]
    for row in report["collect_problems"]:
        messages[row["nodeid"]] = row["text"]
    return nodes, messages


def _through(report: Mapping[str, Any], nodes: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    found = {}
    for name, outcome in nodes.items():
        paths = [path for p in report["phases"].get(name, ()) for path in p.get("through", ())]
        if outcome in ("failed", "error"):
            found[name] = tuple(paths)
    return found


@dataclass(frozen=True)
class _Canary:
    """What became of the canaries: `failed` as they must, or the words for what happened."""

    state: str
    origins: dict[str, list[str]]


def _runs_of(names: Sequence[str], ids: Iterable[str]) -> list[str]:
    """Those of `ids` that are runs of `names`, with the parameters of a fixture of all tests."""
    return [one for one in ids if any(one == n or one.startswith(f"{n}[") for n in names)]


def _canary_outcomes(report: Mapping[str, Any], names: Sequence[str], secret: str) -> _Canary:
    origins: dict[str, list[str]] = {}
    state = "failed"
    for name in names:
        runs = [report["phases"][one] for one in _runs_of([name], report["phases"])]
        outcomes = [_outcome(phases) for phases in runs]
        for phases, outcome in zip(runs, outcomes, strict=True):
            if outcome == "skipped" and "failed" in outcomes:
                continue  # one of its parameters is not for this machine
            text = next((p["text"] for p in phases if p["outcome"] == "failed"), "")
            told = re.search(rf"canary {secret} (?=\{{)", text)
            if outcome == "failed" and told:
                for product, places in _first_object(text[told.end() :]).items():
                    origins.setdefault(product, [])
                    origins[product] += [p for p in places if p not in origins[product]]
            elif state == "failed":
                state = outcome if outcome != "failed" else "failed for another reason"
        if not runs and state == "failed":
            state = "missing"
    return _Canary(state, origins)


def _first_object(text: str) -> dict[str, list[str]]:
    """The JSON object that a text begins with; its strings may hold braces."""
    found: dict[str, list[str]] = json.JSONDecoder().raw_decode(text)[0]
    return found


def _decide(
    spec: GuardSpec, report: Mapping[str, Any], nodes: Mapping[str, str], canary: _Canary
) -> tuple[Verdict, str]:
    """Verdict and reason, the most serious finding first."""
    any_passed = "passed" in nodes.values()
    if canary.state != "failed" and (canary.state == "passed" or any_passed):
        return "tampered", f"a canary that must fail was: {canary.state}"
    outside = _outside(spec.checkout, canary.origins)
    if outside:
        return "error", f"the product was imported from outside the checkout: {outside}"
    if report["status"] == 3:
        return "error", "pytest had an internal error; see the log"
    if not nodes:
        if report["collect_problems"]:
            return "fail", f"collection failed: {_first(report)}"
        return "not-run", f"no test matches {spec.asked or 'the given ids'}"
    missing = [name for name, outcome in nodes.items() if outcome == "missing"]
    if missing:
        broken = {row["nodeid"].split("::")[0] for row in report["collect_problems"]}
        if any(name.split("::")[0] in broken for name in missing):
            return "fail", f"collection failed: {_first(report)}"
        return "not-run", f"not collected: {', '.join(missing[:5])}"
    red = [f"{name} {outcome}" for name, outcome in nodes.items() if outcome != "passed"]
    if red:
        return "fail", "; ".join(red[:5]) + (f" and {len(red) - 5} more" if len(red) > 5 else "")
    if canary.state != "failed":
        return "error", f"the canaries could not run: {canary.state}"
    return "pass", f"{len(nodes)} passed"


def _first(report: Mapping[str, Any]) -> str:
    row = report["collect_problems"][0]
    lines = [line for line in row["text"].splitlines() if line.strip()]
    return f"{row['nodeid']}: {lines[-1].strip() if lines else row['outcome']}"[:300]


def _outside(checkout: Path, origins: Mapping[str, Sequence[str]]) -> str:
    home = os.path.realpath(checkout)
    for name, places in origins.items():
        for place in places:
            if os.path.commonpath([home, os.path.abspath(place)]) != home:
                return f"{name} from {place}, expected below {home}"
    return ""
