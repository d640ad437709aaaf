"""Children that hang, flood, fork and refuse to die: none outlives its turn."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from leftovers import alive
from orchestration.errors import HarnessError
from orchestration.sandbox import fence as isolation
from orchestration.sandbox.process import run_child, scrub_env

PY = sys.executable


def child(code: str, cwd: Path, **options: object) -> object:
    settings: dict[str, object] = {"total_s": 20.0, "grace_s": 0.3} | options
    return run_child([PY, "-c", code], cwd, scrub_env(), **settings)  # type: ignore[arg-type]


def test_exit_code_output_and_closed_input(tmp_path: Path) -> None:
    result = child("import sys; print('in:', repr(sys.stdin.read())); sys.exit(3)", tmp_path)
    assert (result.exit_code, result.signal, result.ok) == (3, None, False)
    assert result.output_tail == "in: ''\n"


def test_input_reaches_a_child_and_one_that_ignores_it_does_not_block(tmp_path: Path) -> None:
    text = b"x" * 300_000
    result = child("import sys; print(len(sys.stdin.read()))", tmp_path, stdin=text)
    assert result.output_tail == "300000\n"
    assert child("pass", tmp_path, stdin=text).ok


def test_a_missing_program_is_an_error_with_a_fix(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="cannot start no-such-program"):
        run_child(["no-such-program"], tmp_path, scrub_env(), total_s=5)


def test_total_clock_ends_a_chatty_hang(tmp_path: Path) -> None:
    code = "import time\nwhile True: print('busy', flush=True); time.sleep(0.02)"
    result = child(code, tmp_path, total_s=0.6, idle_s=10.0)
    assert result.timed_out == "total"
    assert result.exit_code is None
    assert "busy" in result.output_tail


def test_idle_clock_ends_a_silent_hang(tmp_path: Path) -> None:
    result = child("print('start', flush=True); import time; time.sleep(60)", tmp_path, idle_s=0.5)
    assert result.timed_out == "idle"
    assert result.output_tail == "start\n"


def test_grace_clock_ends_a_hang_after_the_result(tmp_path: Path) -> None:
    seen: list[str] = []

    def on_line(line: str) -> bool:
        seen.append(line)
        return line == "RESULT"

    code = "print('work'); print('RESULT', flush=True); import time; time.sleep(60)"
    result = child(code, tmp_path, on_line=on_line)
    assert seen == ["work", "RESULT"]
    assert result.lingered
    assert result.timed_out is None


def test_a_child_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('on', flush=True); time.sleep(60)"
    )
    result = child(code, tmp_path, idle_s=0.5)
    assert result.signal == signal.SIGKILL


def test_a_child_that_cleans_up_on_sigterm_gets_the_time(tmp_path: Path) -> None:
    code = (
        "import signal, sys, time\n"
        "def bye(*_): print('saved', flush=True); sys.exit(9)\n"
        "signal.signal(signal.SIGTERM, bye); print('on', flush=True); time.sleep(60)"
    )
    result = child(code, tmp_path, idle_s=0.5, grace_s=5.0)
    assert result.exit_code == 9
    assert "saved" in result.output_tail


@pytest.mark.parametrize(
    "start",
    [
        pytest.param("subprocess.Popen(argv)", id="plain"),
        pytest.param("subprocess.Popen(argv, start_new_session=True)", id="new-session"),
        pytest.param(
            "subprocess.Popen(['setsid', 'sh', '-c', '\"$@\" & exit 0', 's', *argv])",
            id="double-fork",
        ),
        pytest.param(
            "subprocess.Popen(argv, env={}, start_new_session=True)",
            id="empty-environment",
        ),
        pytest.param(
            "subprocess.Popen(['env', '-i', '/usr/bin/setsid', '/bin/sh', '-c',"
            " '\"$@\" & exit 0', 's', *argv], start_new_session=True).wait()",
            id="daemon-without-environment",
            marks=pytest.mark.skipif(sys.platform != "linux", reason="orphans adopted on Linux"),
        ),
    ],
)
def test_nothing_outlives_the_child(tmp_path: Path, token: str, start: str) -> None:
    sleeper = "import time; time.sleep(60)"
    code = (
        f"import subprocess, sys, time\nargv = [sys.executable, '-c', {sleeper!r}, {token!r}]\n"
        f"{start}\ntime.sleep(0.3); print('done')"
    )
    bare = subprocess.Popen([PY, "-c", code], stdout=subprocess.DEVNULL, cwd=tmp_path)
    assert bare.wait() == 0
    deadline = time.monotonic() + 5
    while not alive(token) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert alive(token), "the trap itself must leave a process behind"
    for process in alive(token):
        process.kill()
    result = child(code, tmp_path)
    assert result.ok
    assert result.killed >= 1
    assert alive(token) == []


def test_a_descendant_that_holds_the_pipe_does_not_keep_us_waiting(tmp_path: Path) -> None:
    result = run_child(["sh", "-c", "sleep 60 & echo out"], tmp_path, scrub_env(), total_s=30)
    assert result.output_tail == "out\n"
    assert result.timed_out is None


def test_flood_is_counted_and_cut(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "out.log"
    code = "import sys\nfor _ in range(640): sys.stdout.write('x' * 65536)"
    result = child(code, tmp_path, log_path=log, max_output_bytes=1 << 20, on_line=lambda _: None)
    assert result.output_bytes == 640 * 65536
    assert result.truncated
    assert (1 << 20) < log.stat().st_size < (1 << 20) + 200
    assert len(result.output_tail) <= 1 << 16


def test_invalid_utf8_and_a_missing_newline(tmp_path: Path) -> None:
    lines: list[str] = []
    code = r"import sys; sys.stdout.buffer.write(b'a\xff\xfe\nlast \xc3')"
    result = child(code, tmp_path, on_line=lines.append, log_path=tmp_path / "l")
    assert lines == ["a\\xff\\xfe", "last \\xc3"]
    assert (tmp_path / "l").read_bytes() == b"a\xff\xfe\nlast \xc3"
    assert "\\xff" in result.output_tail


def test_stop_from_another_thread(tmp_path: Path) -> None:
    stop = threading.Event()
    timer = threading.Timer(0.3, stop.set)
    timer.start()
    result = child("import time; time.sleep(60)", tmp_path, stop=stop)
    timer.join()
    assert result.exit_code is None
    assert result.timed_out is None


def test_two_children_at_once_do_not_kill_each_other(tmp_path: Path) -> None:
    results: list[object] = []

    def one() -> None:
        results.append(child("import time; time.sleep(0.8); print('whole')", tmp_path))

    thread = threading.Thread(target=one)
    thread.start()
    for _ in range(4):
        child("pass", tmp_path)
    thread.join()
    assert [r.output_tail for r in results] == ["whole\n"]  # type: ignore[attr-defined]


def test_environment_is_an_allow_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("GIT_DIR", "/elsewhere")
    monkeypatch.setenv("PYTEST_ADDOPTS", "--co")
    monkeypatch.setenv("MY_DATA", "here")
    env = scrub_env({"A": "1"}, keep=["MY_DATA"])
    assert not {"AWS_SECRET_ACCESS_KEY", "GIT_DIR", "PYTEST_ADDOPTS"} & env.keys()
    assert env["A"] == "1"
    assert env["MY_DATA"] == "here"
    assert env["PATH"] == os.environ["PATH"]


@pytest.mark.parametrize("level", isolation.available())
def test_every_level_keeps_exit_codes_and_leaves_nothing(
    tmp_path: Path, token: str, level: isolation.Level
) -> None:
    code = (
        "import subprocess, sys\nsubprocess.Popen([sys.executable, '-c',"
        f" 'import time; time.sleep(60)', {token!r}], start_new_session=True)\nsys.exit(7)"
    )
    argv = isolation.wrap([PY, "-c", code], level, cwd=tmp_path, writable=[tmp_path])
    result = run_child(argv, tmp_path, scrub_env(), total_s=20)
    assert result.exit_code == 7
    assert alive(token) == []


@pytest.mark.bwrap
@pytest.mark.skipif("bwrap" not in isolation.available(), reason="bubblewrap does not work here")
def test_bubblewrap_closes_every_folder_but_the_named(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    code = f"open({str(inside / 'a')!r}, 'w').write('a'); open({str(outside / 'b')!r}, 'w')"
    argv = isolation.wrap([PY, "-c", code], "bwrap", cwd=inside, writable=[inside])
    result = run_child(argv, inside, scrub_env(), total_s=20)
    assert result.exit_code == 1
    assert (inside / "a").read_text() == "a"
    assert list(outside.iterdir()) == []


def test_an_isolation_nobody_knows_is_an_error() -> None:
    with pytest.raises(HarnessError, match="does not work here"):
        isolation.choose("magic")
