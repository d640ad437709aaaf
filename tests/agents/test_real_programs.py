"""Real programs behind the fence, against a scripted model: a bug fixed and landed; then faults."""

from __future__ import annotations

from pathlib import Path

import pytest
from model_server import Fault
from orchestration.sandbox import fence
from real_programs import CASES, KEY, PROGRAMS, drive, installed

pytestmark = [
    pytest.mark.agents,
    pytest.mark.slow,
    # No agent is started without a fence for files; test_level.py fails where one is due.
    pytest.mark.skipif(
        not {"bwrap", "kernel"}.intersection(fence.available()),
        reason="no fence for files here",
    ),
]


@pytest.fixture(params=PROGRAMS)
def program(request: pytest.FixtureRequest) -> str:
    """Each program that `make agents` has installed."""
    name = str(request.param)
    if installed(name) is None:
        pytest.skip(f"{name} is absent: make agents")
    return name


def test_a_bug_is_fixed_and_landed_behind_the_fence(program: str, tmp_path: Path) -> None:
    run = drive(program, tmp_path)
    (ended,) = run.events("agent_exit")
    assert run.summary.landed == ["FIX-1"], (run.summary.text, ended)
    assert ended["outcome"] == "done" and ended["changed"] == ["calc/__init__.py"]
    assert ended["isolation"] in fence.FILE_FENCES and ended["denials"] == []
    assert ended["tokens"] and (ended["cost"] is not None) == (program == "claude")
    assert bool(ended["session"]) == (program != "aider")
    assert "Fixed add()" in str(ended["text"])
    kept = [p for p in run.harness.repo.state_dir.rglob("*") if p.is_file() and "log" in p.name]
    assert kept and not any(KEY.encode() in p.read_bytes() for p in kept)
    assert not (run.harness.repo.state_dir / "turns/000002/home").exists()
    assert list((tmp_path / "home").iterdir()) == []  # the person's HOME: nothing of theirs


@pytest.mark.parametrize(
    ("worker", "supervisor", "reviewer"),
    [
        ("codex", "claude", "opencode"),
        ("claude", "codex", "claude"),
        ("opencode", "codex", "codex"),
    ],
)
def test_programs_write_the_order_and_review_the_change(
    worker: str, supervisor: str, reviewer: str, tmp_path: Path
) -> None:
    """claude and opencode write the order's file, codex prints it; the review is printed."""
    absent = sorted({n for n in (worker, supervisor, reviewer) if installed(n) is None})
    if absent:
        pytest.skip(f"{', '.join(absent)} is absent: make agents")
    run = drive(worker, tmp_path, supervisor=supervisor, reviewer=reviewer)
    (asked,) = run.events("supervise")
    assert asked["valid"] and asked["agent"] == supervisor, asked
    (order,) = run.events("order")
    assert (order["source"], order["action_type"]) == (supervisor, "debug")
    (review,) = run.events("review")
    assert (review["agent"], review["verdict"]) == (reviewer, "accept"), review
    (found,) = review["findings"]  # type: ignore[misc]
    assert (found["severity"], found["path"]) == ("remark", "calc/__init__.py")
    assert review["isolation"] in fence.FILE_FENCES and asked["isolation"] in fence.FILE_FENCES
    assert run.summary.landed == ["FIX-1"], run.summary.text


@pytest.mark.proof
@pytest.mark.parametrize("name", [name for name in CASES if name != "a good run"])
def test_a_fault_of_the_model_has_its_outcome(program: str, name: str, tmp_path: Path) -> None:
    case = CASES[name]
    run = drive(program, tmp_path, case.fault)
    ending = "landed" if run.summary.landed else run.summary.reason
    outages = {str(event["outage"]) for event in run.events("outage")}
    assert ending == case.ends, (run.summary.text, run.events("outage"), run.events("verdict"))
    assert outages <= set(case.outages)
    assert run.served.faults >= 1
    if ending != "landed":
        assert outages and run.summary.rejected == run.summary.blocked == []
        assert run.harness.repo.text("rev-list", "--count", "main").strip() == "1"


@pytest.mark.proof
def test_a_login_that_is_refused_is_told_by_doctor(
    program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from model_server import serving
    from orchestration.setup.doctor import examine
    from real_programs import bin_folders, settings

    run = drive(program, tmp_path, Fault(401))
    with serving(Fault(401)) as served:
        env, _ = settings(program, served.url)
        text = (run.harness.repo.root / "orchestration.yaml").read_text()
        old, _ = settings(program, run.served.url)
        assert old.keys() == env.keys()
        place = run.harness.repo.root / "orchestration.yaml"
        place.write_text(text.replace(run.served.url, served.url))
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        path = ":".join([*map(str, bin_folders()), "/usr/bin:/bin"])
        monkeypatch.setenv("PATH", path)
        rows = {check.name: check for check in examine(run.harness.repo.root)}
    assert rows["agent"].state == "ok" and rows["agent flags"].state == "ok"
    assert rows["agent login"].state == "fail"
    assert rows["agent login"].found.startswith("not logged in: ")
    assert KEY not in rows["agent login"].found
