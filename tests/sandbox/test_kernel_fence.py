"""The kernel's fence, tried from inside: each way out ends in a refusal, honest work does not.

Every attempt runs as the user of the test run and, where that is root, as an ordinary user too.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from orchestration.sandbox import fence, run_child, scrub_env

ORDINARY = 65534
#: An interpreter that an ordinary user can start; the test run's own may lie in root's home.
PYTHON = shutil.which("python3", path="/usr/bin:/bin") or sys.executable
Inside = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.skipif(
    "kernel" not in fence.available(), reason="this kernel refuses namespaces to this user"
)


@pytest.fixture(params=["own user", "ordinary user"])
def place(request: pytest.FixtureRequest) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """A folder with `mine/` (the child's) and `theirs/`, and how to become the user."""
    switch: tuple[str, ...] = ()
    if request.param == "ordinary user":
        if os.geteuid() != 0 or shutil.which("setpriv") is None:
            pytest.skip("only root with setpriv can start a process as another user")
        switch = ("setpriv", f"--reuid={ORDINARY}", f"--regid={ORDINARY}", "--clear-groups")
    folder = Path(tempfile.mkdtemp(prefix="fence-"))
    for name in ("mine", "theirs"):
        (folder / name).mkdir()
    (folder / "theirs" / "value.txt").write_text("theirs")
    shutil.copy(fence.KERNEL, folder / "kernel.py")
    if switch:
        for path in [folder, *folder.rglob("*")]:
            os.chown(path, ORDINARY, ORDINARY)
    yield folder, switch
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def inside(place: tuple[Path, tuple[str, ...]]) -> Inside:
    """Run a shell line behind the fence; the person's folder is shown, so that only it guards."""
    folder, switch = place

    def run(
        line: str, *, level: str = "kernel", network: bool = True, readable: list[str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        spec = {
            "level": level,
            "writable": [str(folder / "mine")],
            "readable": readable,
            "shown": [str(folder / "theirs")],
            "network": network,
            "devices": [],
        }
        argv = [PYTHON, "-I", "-S", str(folder / "kernel.py"), json.dumps(spec), "sh", "-c", line]
        env = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "F": str(folder)}
        return subprocess.run(
            [*switch, *argv],
            cwd=folder / "mine",
            env=env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def test_its_own_folder_is_writable_and_the_exit_code_is_its_own(
    inside: Inside, place: tuple[Path, tuple[str, ...]]
) -> None:
    done = inside("echo made > $F/mine/made.txt; id -u; exit 7")
    assert (done.returncode, (place[0] / "mine/made.txt").read_text()) == (7, "made\n")
    assert int(done.stdout) == (ORDINARY if place[1] else os.getuid())


WAYS_OUT = {
    "write": "echo x > $F/theirs/value.txt",
    "create": "touch $F/theirs/new.txt",
    "remove": "rm -f $F/theirs/value.txt",
    "chmod": "chmod 700 $F/theirs",
    "rename out": "touch $F/mine/a && mv $F/mine/a $F/theirs/a",
    "hard link in": "ln $F/theirs/value.txt $F/mine/link && echo x > $F/mine/link",
    "symbolic link": "ln -s $F/theirs/value.txt $F/mine/s && echo x > $F/mine/s",
    "remount": "mount -o remount,bind,rw /",
    "remount below": "mount -o remount,bind,rw $F/theirs",
    "unmount": "umount /tmp",
    "nested user namespace": "unshare --user --map-root-user true",
    "nested mount namespace": "unshare --mount true",
    "steer the kernel": "echo 0 > /proc/sys/vm/overcommit_memory",
    "make a device": "mknod $F/mine/disk b 254 0",
}


@pytest.mark.parametrize("way", WAYS_OUT)
def test_a_way_out_is_refused(
    way: str, inside: Inside, place: tuple[Path, tuple[str, ...]]
) -> None:
    before = (place[0] / "theirs").stat().st_mode
    done = inside(f"{WAYS_OUT[way]} && echo OUT")
    assert done.returncode != 0 and "OUT" not in done.stdout, done.stderr
    assert (place[0] / "theirs" / "value.txt").read_text() == "theirs"
    assert os.listdir(place[0] / "theirs") == ["value.txt"]
    assert (place[0] / "theirs").stat().st_mode == before


def test_mount_setattr_is_refused(inside: Inside) -> None:
    """The call that made everything read-only does not undo it from inside."""
    code = (
        "import ctypes,struct;c=ctypes.CDLL(None,use_errno=True);a=struct.pack('QQQQ',0,1,0,0);"
        "r=c.syscall(442,-100,ctypes.c_char_p(b'/'),0,ctypes.c_char_p(a),ctypes.c_size_t(32));"
        "print(r,ctypes.get_errno())"
    )
    assert inside(f'{PYTHON} -c "{code}"').stdout.split() == ["-1", "1"]


def test_no_capability_is_left(inside: Inside) -> None:
    done = inside("grep -E 'Cap|NoNewPrivs' /proc/self/status")
    rows = dict(line.split(":\t") for line in done.stdout.splitlines())
    assert rows.pop("NoNewPrivs") == "1"
    assert len(rows) == 5 and {int(value, 16) for value in rows.values()} == {0}


def test_processes_outside_are_neither_seen_nor_signalled(inside: Inside) -> None:
    done = inside(f"ls -d /proc/[0-9]* | wc -l; kill -STOP {os.getpid()} && echo OUT")
    assert "OUT" not in done.stdout and int(done.stdout.split()[0]) < 12


def test_nothing_outlives_the_first_process(
    inside: Inside, place: tuple[Path, tuple[str, ...]]
) -> None:
    inside("setsid sh -c 'sleep 2; echo late > $F/mine/late.txt' >/dev/null 2>&1 &")
    probe = inside("sleep 3; ls")
    assert probe.returncode == 0 and not (place[0] / "mine" / "late.txt").exists()


def test_doors_of_other_programs_are_not_there(
    inside: Inside, place: tuple[Path, tuple[str, ...]]
) -> None:
    """Sockets in /run and /tmp (docker, the session bus, ssh-agent) are reached by path."""
    path = f"/tmp/door-{os.getpid()}.sock"
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(path)
        try:
            assert inside(f"test -e {path}").returncode != 0
            assert inside("ls -A /run").stdout in ("", "systemd\n", "resolvconf\n")
        finally:
            os.unlink(path)


def test_what_is_not_named_is_not_readable(inside: Inside) -> None:
    """A key outside the private folders, readable to everybody, and still not to the child."""
    with tempfile.NamedTemporaryFile(dir="/var/tmp") as key:
        key.write(b"secret")
        key.flush()
        os.chmod(key.name, 0o644)
        line = f"cat /etc/passwd && cat {key.name}"
        assert "secret" in inside(line).stdout
        done = inside(line, readable=["/usr", "/bin", "/lib", "/lib64", "/etc"])
    assert done.returncode != 0 and "secret" not in done.stdout
    assert "root:" in done.stdout  # what is named is


def test_landlock_alone_refuses_writes_and_signals(inside: Inside) -> None:
    for line in ("touch $F/theirs/new.txt", "echo x > $F/theirs/value.txt", "kill -STOP $PPID"):
        assert inside(line, level="landlock").returncode != 0
    assert inside("touch $F/mine/new.txt", level="landlock").returncode == 0


HONEST = {
    "a lock between processes": "import multiprocessing as m; m.Lock(); m.Value('i')",
    "a terminal": "import pty, os; a, b = pty.openpty(); os.write(b, b'x')",
    "a temporary file": "import tempfile; tempfile.NamedTemporaryFile().write(b'x')",
    "loopback": (
        "import socket; s = socket.create_server(('127.0.0.1', 0)); "
        "socket.create_connection(s.getsockname())"
    ),
    "a child": "import subprocess; subprocess.run(['true'], check=True)",
    "devices": "open('/dev/null', 'w').write('x'); open('/dev/urandom', 'rb').read(4)",
    "shared memory": "from multiprocessing import shared_memory as s; "
    "m = s.SharedMemory(create=True, size=64); m.close(); m.unlink()",
}


@pytest.mark.parametrize("what", HONEST)
@pytest.mark.parametrize("network", [True, False])
def test_honest_work_goes_on(what: str, network: bool, inside: Inside) -> None:
    done = inside(f'exec {PYTHON} -c "{HONEST[what]}"', network=network)
    assert done.returncode == 0, done.stderr


def test_a_closed_network_reaches_nothing_but_itself(inside: Inside) -> None:
    code = "import socket; print([n for _, n in socket.if_nameindex()])"
    assert inside(f'{PYTHON} -c "{code}"', network=False).stdout.strip() == "['lo']"


def test_a_file_closed_to_its_owner_stays_closed(
    inside: Inside, place: tuple[Path, tuple[str, ...]]
) -> None:
    """Without capabilities root, too, is refused what the mode refuses; a test may rely on it."""
    done = inside("echo x > $F/mine/closed && chmod 000 $F/mine/closed && cat $F/mine/closed")
    assert done.returncode != 0


def test_a_part_that_is_refused_ends_the_start_in_words(
    place: tuple[Path, tuple[str, ...]],
) -> None:
    spec = {
        "level": "kernel",
        "writable": ["/nowhere"],
        "readable": None,
        "shown": [],
        "network": True,
        "devices": [],
    }
    argv = [sys.executable, "-I", "-S", str(fence.KERNEL), json.dumps(spec), "no-such-program"]
    done = subprocess.run(argv, capture_output=True, text=True, cwd="/", check=False, timeout=60)
    assert done.returncode == 127 and done.stderr == (
        "fence: cannot start no-such-program: No such file or directory\n"
    )


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_a_program_that_dies_by_a_signal_is_over_at_once(tmp_path: Path, number: int) -> None:
    code = f"import os; os.kill(os.getpid(), {int(number)})"
    argv = fence.wrap([sys.executable, "-c", code], "kernel", cwd=tmp_path, writable=[tmp_path])
    child = run_child(argv, tmp_path, scrub_env(), total_s=60)
    assert (child.timed_out, child.signal) == (None, number)
