"""Run one child process that may hang, flood, fork or refuse to die, and end all of it.

The child gets its own session (so one signal reaches its whole group), a closed standard input, a
scrubbed environment and a random marker in it. Three clocks watch it: total, idle (no output) and
grace (after `on_line` said that the result has come). When it ends, for whatever reason, everything
it started is killed: the group, every process that carries the marker, and on Linux also daemons
that cleared their environment, because this process adopts orphans while the child runs.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal

from orchestration.sandbox import pids, reaping
from orchestration.sandbox.kernel import MARKER
from orchestration.sandbox.starting import cannot_start, check_program

CHUNK = 1 << 16
LINE_CAP = 1 << 20
# Enough for a program to find its tools and speak the user's language; no secret, no GIT_*.
PASSED_ON = tuple(
    """
    PATH HOME USER LOGNAME SHELL LANG LANGUAGE LC_ALL LC_CTYPE TZ TMPDIR TERM VIRTUAL_ENV
    XDG_CACHE_HOME LD_LIBRARY_PATH CUDA_VISIBLE_DEVICES OMP_NUM_THREADS SSL_CERT_FILE SSL_CERT_DIR
    """.split()  # noqa: SIM905 - a list of names reads best as words
)
FIXED = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_PAGER": "cat",
    "PAGER": "cat",
    "NO_COLOR": "1",
    "PYTHONIOENCODING": "utf-8:backslashreplace",
}


@dataclass(frozen=True)
class ChildResult:
    """How a child ended.

    `exit_code` is None when a `signal` ended it. `timed_out` names the clock that ran out.
    `lingered` means it gave its result and then had to be killed. `killed` counts the processes
    it had started that were still alive when it was over, `process_limit` what bounded their
    number. `output_tail` is the last 64 KiB of
    `output_bytes`.
    """

    exit_code: int | None
    signal: int | None
    seconds: float
    timed_out: Literal["total", "idle"] | None
    output_tail: str
    log_path: Path | None
    truncated: bool
    output_bytes: int = 0
    lingered: bool = False
    killed: int = 0
    process_limit: pids.Kind = "none"

    @property
    def ok(self) -> bool:
        """Ended by itself with exit code 0."""
        return self.exit_code == 0 and self.timed_out is None


def scrub_env(
    extra: Mapping[str, str] | None = None,
    *,
    keep: Sequence[str] = (),
    source: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Environment for a child: a short allow-list of ours, names in `keep`, then `extra`."""
    origin = os.environ if source is None else source
    names = [*PASSED_ON, *keep]
    env = {name: origin[name] for name in names if name in origin}
    return {**env, **FIXED, **(extra or {})}


class _Output:
    """Takes the child's bytes: bounded log, tail, whole lines to the caller."""

    def __init__(
        self, log: IO[bytes] | None, cap: int, on_line: Callable[[str], object] | None
    ) -> None:
        self.log, self.cap, self.on_line = log, cap, on_line
        self.total, self.written, self.tail = 0, 0, deque[bytes]()
        self.tail_bytes, self.pending, self.result_seen = 0, b"", False

    def take(self, data: bytes) -> None:
        """Count, store and forward one chunk."""
        self.total += len(data)
        room = self.cap - self.written
        if room > 0 and self.log is not None:
            self.log.write(data[:room])
            self.log.flush()
        self.written += min(room, len(data)) if room > 0 else 0
        self.tail.append(data)
        self.tail_bytes += len(data)
        while self.tail_bytes - len(self.tail[0]) >= CHUNK:
            self.tail_bytes -= len(self.tail.popleft())
        if self.on_line is not None:
            *lines, self.pending = (self.pending + data).split(b"\n")
            for line in lines:
                self._line(line)
            if len(self.pending) > LINE_CAP:
                self._line(self.pending)
                self.pending = b""

    def _line(self, line: bytes) -> None:
        assert self.on_line is not None
        # In a long line every odd byte as four characters costs seconds a megabyte.
        odd = "backslashreplace" if len(line) < CHUNK else "replace"
        if self.on_line(line.decode("utf-8", odd).rstrip("\r")):
            self.result_seen = True

    def finish(self) -> str:
        """Forward an unfinished last line, note a cut log, and return the tail as text."""
        if self.pending and self.on_line is not None:
            self._line(self.pending)
            self.pending = b""
        if self.log is not None and self.total > self.cap:
            self.log.write(b"\n[orchestrate: log cut here, %d bytes in all]\n" % self.total)
        return b"".join(self.tail)[-CHUNK:].decode("utf-8", "backslashreplace")


@dataclass
class _Clocks:
    total_s: float
    idle_s: float | None
    grace_s: float
    started: float = field(default_factory=time.monotonic)
    last_output: float = field(default_factory=time.monotonic)
    result_at: float | None = None

    def next_wait(self, now: float) -> float:
        """Seconds until the nearest clock, at most a tenth (to notice the child's end)."""
        ends = [self.started + self.total_s]
        if self.idle_s is not None:
            ends.append(self.last_output + self.idle_s)
        if self.result_at is not None:
            ends.append(self.result_at + self.grace_s)
        return max(0.0, min(0.1, min(ends) - now))

    def run_out(self, now: float) -> Literal["total", "idle", "grace"] | None:
        """The clock that has run out, if any; a given result makes the others moot."""
        if self.result_at is not None and now - self.result_at >= self.grace_s:
            return "grace"
        if now - self.started >= self.total_s:
            return "total"
        if self.idle_s is not None and now - self.last_output >= self.idle_s:
            return "idle"
        return None


def run_child(
    argv: Sequence[str],
    cwd: str | os.PathLike[str],
    env: Mapping[str, str],
    *,
    total_s: float,
    idle_s: float | None = None,
    grace_s: float = 5.0,
    log_path: Path | None = None,
    max_output_bytes: int = 16 << 20,
    on_line: Callable[[str], object] | None = None,
    stdin: bytes | None = None,
    stop: threading.Event | None = None,
    max_processes: int | None = pids.MAX_PROCESSES,
) -> ChildResult:
    """Run `argv` in `cwd` until it ends or a clock runs out; leave none of its processes alive.

    Standard output and error go, in order, to `log_path` (up to `max_output_bytes`; more is read
    and dropped) and line by line to `on_line`; a true answer from it means "the result has come"
    and starts the `grace_s` clock, which is also the time between SIGTERM and SIGKILL. `stdin` is
    a short text for the child; by default its input is empty and closed. `stop` ends it from
    another thread. `max_processes` bounds processes and threads (see `pids`). A
    missing program is a HarnessError, never a ChildResult.
    """
    marker = uuid.uuid4().hex
    log = _open_log(log_path)
    output = _Output(log, max_output_bytes, on_line)
    clocks = _Clocks(total_s, idle_s, grace_s)
    check_program(argv, cwd, env)
    bound = pids.ceiling(max_processes)
    with reaping.adopting_orphans(marker) as family:
        try:
            child = _start([*bound.prefix, *argv], cwd, {**env, MARKER: marker}, stdin)
            family.started(child.pid)
            try:
                ended_by = _watch(child, output, clocks, stop)
            finally:
                seconds = time.monotonic() - clocks.started
                family.ask(child, grace_s)
                killed = bound.end(child.pid) + family.end(child)
                _drain(child, output)
                tail = output.finish()
        finally:
            bound.end(0)
            if log is not None:
                log.close()
    code = child.returncode
    return ChildResult(
        exit_code=code if code >= 0 else None,
        signal=-code if code < 0 else None,
        seconds=seconds,
        timed_out=ended_by if ended_by in ("total", "idle") else None,  # type: ignore[arg-type]
        output_tail=tail,
        log_path=log_path,
        truncated=output.total > max_output_bytes,
        output_bytes=output.total,
        lingered=ended_by == "grace",
        killed=killed,
        process_limit=bound.kind,
    )


def _open_log(path: Path | None) -> IO[bytes] | None:
    if path is None:
        return None
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("wb")


def _start(
    argv: Sequence[str], cwd: str | os.PathLike[str], env: Mapping[str, str], stdin: bytes | None
) -> subprocess.Popen[bytes]:
    source = subprocess.DEVNULL if stdin is None else subprocess.PIPE
    try:
        with reaping.SPAWN_LOCK:
            child = subprocess.Popen(
                [str(part) for part in argv],
                cwd=cwd,
                env=dict(env),
                stdin=source,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    except OSError as problem:
        raise cannot_start(argv, cwd, problem.strerror) from problem
    if child.stdin is not None:
        # A pipe holds 64 KiB; a longer text is fed by a thread, so a child that reads nothing
        # cannot block us.
        threading.Thread(target=_feed, args=(child.stdin, stdin or b""), daemon=True).start()
    return child


def _feed(pipe: IO[bytes], data: bytes) -> None:
    try:
        pipe.write(data)
        pipe.close()
    except OSError:
        pass  # the child closed its input: its right


def _watch(
    child: subprocess.Popen[bytes],
    output: _Output,
    clocks: _Clocks,
    stop: threading.Event | None,
) -> str | None:
    """Read until the child has ended (None) or the named clock has run out."""
    assert child.stdout is not None
    pipe = child.stdout.fileno()
    os.set_blocking(pipe, False)
    open_pipe = True
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while True:
            wait = clocks.next_wait(time.monotonic())
            if not open_pipe:  # it ends as a rule at once; there may be more time on a clock
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(min(wait, 0.02))
            if open_pipe and selector.select(wait):
                data = os.read(pipe, CHUNK)
                if data:
                    output.take(data)
                    clocks.last_output = time.monotonic()
                    if output.result_seen and clocks.result_at is None:
                        clocks.result_at = clocks.last_output
                else:
                    selector.unregister(pipe)
                    open_pipe = False
            elif child.poll() is not None:
                return None
            if stop is not None and stop.is_set():
                return "stop"
            gone = clocks.run_out(time.monotonic())
            if gone:
                return gone


def _drain(child: subprocess.Popen[bytes], output: _Output) -> None:
    """Take what is left in the pipe, never waiting for a process that still holds it open."""
    assert child.stdout is not None
    deadline = time.monotonic() + 2.0
    try:
        while time.monotonic() < deadline:
            data = os.read(child.stdout.fileno(), CHUNK)
            if not data:
                break
            output.take(data)
    except BlockingIOError:
        pass
    finally:
        child.stdout.close()
