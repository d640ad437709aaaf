"""The fence, tried from inside: each way out ends in a refusal, honest work does not.

Every attempt runs at each level that protects files here, as the user of the test run and, where
that is root, as an ordinary user too.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import behind
import pytest
from behind import KEYS, LEVELS, ORDINARY, PYTHON, SECRET, Person
from orchestration.sandbox import fence, run_child, scrub_env, view
from orchestration.sandbox.kernel import landlock_abi

USERS = ("own user", "ordinary user")


@pytest.fixture(params=[(level, user) for level in LEVELS for user in USERS], ids=" as ".join)
def me(request: pytest.FixtureRequest) -> Iterator[Person]:
    """A person with a home, behind each level."""
    level, user = request.param
    if level not in fence.available():  # test_level.py fails where `kernel` is due
        pytest.skip(f"{level} does not work here")
    if user == "ordinary user" and (os.geteuid() != 0 or shutil.which("setpriv") is None):
        pytest.skip("only root with setpriv can start a process as another user")
    folder = behind.somewhere()
    behind.move_in(folder)
    yield behind.person(folder, user, level)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def walled(me: Person) -> Person:
    """The same, at levels with namespaces of their own."""
    if me.level == "landlock":
        pytest.skip("Landlock alone has no namespaces")
    return me


def test_its_own_folder_is_writable_and_the_exit_code_is_its_own(me: Person) -> None:
    done = me.run("echo made > made.txt; id -u; exit 7")
    assert (done.returncode, (me.mine / "made.txt").read_text()) == (7, "made\n"), done.stderr
    assert int(done.stdout) == (ORDINARY if me.switch else os.getuid())


# -- reading ---------------------------------------------------------------------------------


def test_no_file_of_the_person_is_readable(me: Person) -> None:
    """Keys in a home, the harness's own folder, another checkout, another user's files."""
    paths = " ".join([*(f"$F/home/{name}" for name in KEYS), "$F/theirs/value.txt"])
    line = f"for p in {paths}; do cat $p; echo; done 2>/dev/null"
    assert me.run(line, level="scan").stdout.count(SECRET) == len(KEYS) + 1
    assert SECRET not in me.run(line).stdout


def test_no_way_round_leads_to_a_file_of_the_person(me: Person) -> None:
    for line in (
        "ln -s $F/home/.netrc link; cat link",
        "cat ../../../keys/signing ../../../../../../.netrc",
        "cd /; cat ./$F/home/.netrc",
        "cat /proc/1/root$F/home/.netrc /proc/self/root$F/home/.netrc /proc/1/cwd/../../../.netrc",
        f"{PYTHON} -c \"import os; print(open(os.path.expanduser('~/.netrc')).read())\"",
        "for fd in /proc/self/fd/* /proc/1/fd/*; do cat $fd/home/.netrc; done",
        "grep -rs s3cret / --include=.netrc --exclude-dir=proc --exclude-dir=sys --exclude-dir=usr",
    ):
        assert SECRET not in me.run(f"{line} 2>/dev/null < /dev/null").stdout, line


def test_what_is_named_is_readable_and_nothing_beside_it(me: Person) -> None:
    line = "cat $F/home/.config/tool/token; cat $F/home/.netrc 2>/dev/null"
    done = me.run(line, readable=(str(me.home / ".config/tool"),))
    assert done.stdout == SECRET
    assert (
        me.run(
            "echo x > $F/home/.config/tool/token", readable=(str(me.home / ".config/tool"),)
        ).returncode
        != 0
    )


def test_a_link_on_the_way_to_what_is_named_is_followed(me: Person) -> None:
    (me.folder / "by-link").symlink_to("home/.config")
    done = me.run("cat $F/by-link/tool/token", readable=(f"{me.folder}/by-link/tool",))
    assert done.stdout == SECRET, done.stderr


def test_tools_of_the_home_start_and_their_keys_stay_hidden(me: Person) -> None:
    """~/.cargo/bin on PATH opens the programs, not the credentials beside them."""
    tool = me.home / ".cargo/bin/tool"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho started; cat $F/home/.cargo/credentials.toml\n")
    tool.chmod(0o755)
    done = me.run("tool", path=f"{tool.parent}:{behind.PATH}")
    assert done.stdout == "started\n", done.stderr


def test_password_hashes_and_keys_of_servers_are_hidden_from_root_too(me: Person) -> None:
    line = "cat /etc/shadow /etc/gshadow /etc/ssl/private/* /etc/ssh/ssh_host_*_key 2>/dev/null"
    assert me.run(line).stdout == ""
    assert "root:" in me.run("cat /etc/passwd").stdout


def test_disks_of_the_machine_are_not_there(me: Person) -> None:
    line = "for d in /dev/[svx]d* /dev/nvme* /dev/dm-* /dev/mem /dev/kmsg; do head -c 1 $d; done"
    assert me.run(f"({line}) 2>/dev/null").stdout == ""


# -- writing ---------------------------------------------------------------------------------

WAYS_OUT = {
    "write": "echo x > $F/theirs/value.txt",
    "create": "touch $F/theirs/new.txt",
    "remove": "rm $F/theirs/value.txt",
    "rename out": "touch a && mv a $F/theirs/a",
    "hard link in": "ln $F/theirs/value.txt link && echo x > link",
    "symbolic link": "ln -s $F/theirs/value.txt s && echo x > s",
    "truncate": "truncate -s 0 $F/theirs/value.txt",
    "remount": "mount -o remount,bind,rw /",
    "remount below": "mount -o remount,bind,rw /usr",
    "bind over": "mount --bind . /usr",
    "unmount": "umount /proc",
    "nested mount namespace": "unshare --mount true",
    "steer the kernel": "echo 0 > /proc/sys/vm/overcommit_memory",
    "run by the kernel": "echo '|/bin/true' > /proc/sys/kernel/core_pattern",
    "the machine's switch": "echo h > /proc/sysrq-trigger",
    "make a device": "mknod disk b 254 0",
    "a control group": "mkdir /sys/fs/cgroup/out || mkdir /sys/fs/cgroup/pids/out",
    "another user": "chown 12345 .",
    "change the root": "chroot . true",
}


@pytest.mark.parametrize("way", WAYS_OUT)
def test_a_way_out_is_refused(way: str, me: Person) -> None:
    done = me.run(f"{WAYS_OUT[way]} && echo OUT")
    assert done.returncode != 0 and "OUT" not in done.stdout, done.stderr
    assert (me.theirs / "value.txt").read_text() == SECRET
    assert os.listdir(me.theirs) == ["value.txt"]


WALLED = {
    "chmod": "chmod 700 $F/theirs",
    "nested user namespace": "unshare --user --map-root-user true",
    "chmod of a system folder": "chmod 755 /usr",
    "time stamps": "touch -a /usr/bin/env",
    "a file in the root": "touch /new",
}


@pytest.mark.parametrize("way", WALLED)
def test_a_way_out_is_refused_with_namespaces(way: str, walled: Person) -> None:
    done = walled.run(f"{WALLED[way]} && echo OUT")
    assert done.returncode != 0 and "OUT" not in done.stdout, done.stderr


def call(number: str, *words: str) -> str:
    """Python code that makes a system call and prints its result and errno."""
    return (
        "import ctypes,struct;c=ctypes.CDLL(None,use_errno=True);"
        f"r=c.syscall({', '.join((number, *words))});print(r,ctypes.get_errno())"
    )


SET_ATTRIBUTES = ("ctypes.c_char_p(struct.pack('QQQQ',0,1,0,0))", "ctypes.c_size_t(32)")
CALLS = {
    "mount_setattr": call("442", "-100", "ctypes.c_char_p(b'/usr')", "0", *SET_ATTRIBUTES),
    "mount_setattr, recursive": call(
        "442", "-100", "ctypes.c_char_p(b'/')", "0x8000", *SET_ATTRIBUTES
    ),
    "open_tree and move_mount": call("428", "-100", "ctypes.c_char_p(b'/usr')", "0x8001"),
    "fsopen": call("430", "ctypes.c_char_p(b'tmpfs')", "0"),
    "setns to process 1": "import os,ctypes;c=ctypes.CDLL(None,use_errno=True);\n"
    "try: f=os.open('/proc/1/ns/user',0)\nexcept OSError: f=-1\n"
    "print(c.setns(f,0),ctypes.get_errno())",
    "pivot_root": "import ctypes;c=ctypes.CDLL(None,use_errno=True);"
    "print(c.pivot_root(b'.',b'.'),ctypes.get_errno())",
    "open_by_handle_at": call("304", "3", "ctypes.create_string_buffer(64)", "0"),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_that_changes_mounts_is_refused(name: str, me: Person) -> None:
    if os.uname().machine != "x86_64":
        pytest.skip("numbers of system calls are those of x86-64")
    result, code = me.run(PYTHON, "-c", CALLS[name]).stdout.split()
    assert result == "-1" and code != "0"


def test_no_capability_is_left(me: Person) -> None:
    done = me.run("grep -E 'Cap|NoNewPrivs' /proc/self/status")
    rows = dict(line.split(":\t") for line in done.stdout.splitlines())
    assert rows.pop("NoNewPrivs") == "1"
    if me.level == "landlock" and me.switch:
        del rows["CapBnd"]  # an ordinary user cannot lower it, and cannot gain by it either
    assert {int(value, 16) for value in rows.values()} == {0}


def test_what_is_closed_stays_as_it_is(walled: Person) -> None:
    """Tests and fixtures while a guard runs; no folder above them can be renamed either."""
    deep = walled.mine / "checks/deep"
    walled.run("mkdir -p checks/deep; printf right > checks/deep/test_a.py")
    closed = (str(deep / "test_a.py"),)
    for line in (
        "echo wrong > checks/deep/test_a.py",
        "rm -f checks/deep/test_a.py",
        "mv checks/deep/test_a.py b",
        "mv checks/deep other",
        "mv checks other",
        "chmod 600 checks/deep/test_a.py",
        "echo wrong > new && mv new checks/deep/test_a.py",
    ):
        assert walled.run(line, closed=closed).returncode != 0, line
    assert (deep / "test_a.py").read_text() == "right"
    assert walled.run("echo x > checks/deep/new.py", closed=closed).returncode == 0


# -- other processes -------------------------------------------------------------------------

REACH = """
import ctypes, os, signal, sys
pid = int(sys.argv[1])
c = ctypes.CDLL(None, use_errno=True)
for signal_number in (signal.SIGSTOP, signal.SIGKILL):
    try:
        os.kill(pid, signal_number)
        print("signalled")
    except OSError:
        pass
if c.ptrace(16, pid, None, None) == 0:  # PTRACE_ATTACH
    print("traced")
try:
    print(open(f"/proc/{pid}/environ").read())
except OSError:
    pass
try:
    print(os.listdir(f"/proc/{pid}/fd"), os.readlink(f"/proc/{pid}/cwd"))
except OSError:
    pass
"""


def test_no_process_outside_is_signalled_traced_or_read(me: Person) -> None:
    other = me.start("sleep", "60", env={"API_KEY": SECRET})
    try:
        time.sleep(0.2)
        done = me.run(PYTHON, "-c", REACH, str(other.pid))
        assert done.stdout == "" and other.poll() is None
        line = f"cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' | grep {SECRET}"
        assert SECRET in me.run(line, level="scan").stdout  # the attack works without a fence
        assert me.run(line).stdout == ""
    finally:
        other.kill()
        other.wait()


def test_other_processes_are_not_seen(walled: Person) -> None:
    assert int(walled.run("ls -d /proc/[0-9]* | wc -l").stdout) < 12


def test_nothing_outlives_the_first_process(walled: Person) -> None:
    walled.run(f"setsid sh -c 'sleep 2; echo late > {walled.mine}/late.txt' >/dev/null 2>&1 &")
    time.sleep(2.5)
    assert not (walled.mine / "late.txt").exists()


CONNECT = """
import socket, sys
for name in sys.argv[1:]:
    with socket.socket(socket.AF_UNIX) as door:
        try:
            door.connect(name.replace("@", "\\0"))
            print("open", name)
        except OSError:
            pass
"""


def test_sockets_of_other_programs_are_not_there(walled: Person) -> None:
    """docker.sock, the session bus and ssh-agent lie in /run, /tmp or a home."""
    names = [f"/tmp/door-{os.getpid()}", f"{walled.home}/S.gpg-agent"]
    names += [f"/run/door-{os.getpid()}"] if os.access("/run", os.W_OK) else []
    doors = []
    try:
        for name in [*names, f"\0door-{os.getpid()}"]:
            doors.append(socket.socket(socket.AF_UNIX))
            doors[-1].bind(name)
            doors[-1].listen()
            if name[0] == "/":
                os.chmod(name, 0o777)
        asked = [*names, f"@door-{os.getpid()}"]
        open_outside = walled.run(PYTHON, "-c", CONNECT, *asked, level="scan").stdout
        assert open_outside.count("open") == len(asked)
        expected = [] if landlock_abi() >= 6 else [f"open @door-{os.getpid()}"]
        assert walled.run(PYTHON, "-c", CONNECT, *asked).stdout.splitlines() == expected
    finally:
        for door in doors:
            door.close()
        for name in names:
            Path(name).unlink(missing_ok=True)
    assert walled.run("ls -A /run").stdout.split() in ([], ["systemd"], ["resolvconf"])


ADD_KEY = """
import ctypes
# A keyring of the session, and one that the user owns and that every process of the user may link.
libc = ctypes.CDLL(None)
libc.syscall(250, 1, None, 0, 0, 0)
added = libc.syscall(248, b"user", b"fence-test", b"s3cret", 6, -3)
shared = libc.syscall(248, b"keyring", b"fence-ring", None, 0, -3)
libc.syscall(248, b"user", b"in-ring", b"s3cret", 6, shared)
libc.syscall(250, 5, shared, 0x3f3f0000)  # KEYCTL_SETPERM
given["argv"] = [*given["argv"], str(added), str(shared)]
"""
ASK_KEY = """
import ctypes, sys
libc = ctypes.CDLL(None)
added, shared = map(int, sys.argv[1:3])
print(libc.syscall(249, b"user", b"fence-test", None, 0) > 0)
print(libc.syscall(250, 11, added, ctypes.create_string_buffer(9), 9) > 0)  # KEYCTL_READ
libc.syscall(250, 1, None, 0, 0, 0)
print(libc.syscall(250, 8, shared, -3) == 0)  # KEYCTL_LINK: what is in it is possessed now
"""


def test_keys_in_keyrings_are_out_of_reach(me: Person) -> None:
    if os.uname().machine != "x86_64":
        pytest.skip("numbers of system calls are those of x86-64")
    outside = me.run(PYTHON, "-c", ASK_KEY, prelude=ADD_KEY, level="scan").stdout.split()
    if outside[:1] != ["True"]:
        pytest.skip("this kernel has no keyrings")
    assert outside == ["True", "True", "True"]  # the attack works without a fence
    inside = me.run(PYTHON, "-c", ASK_KEY, prelude=ADD_KEY)
    assert inside.stdout.split() == ["False", "False", "False"], inside.stderr


REFUSED = {
    "io_uring": call("425", "8", "ctypes.create_string_buffer(120)"),
    "bpf": call("321", "0", "0", "0"),
    "userfaultfd": call("323", "0"),
    "a socket to the host of a virtual machine": call("41", "40", "1", "0"),
    "a call in x32 numbers": call("0x40000000 + 39"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_calls_that_go_round_the_fence_are_refused(name: str, me: Person) -> None:
    if os.uname().machine != "x86_64":
        pytest.skip("numbers of system calls are those of x86-64")
    assert me.run(PYTHON, "-c", REFUSED[name]).stdout.split() == ["-1", "1"]


def test_a_link_that_an_earlier_turn_left_opens_nothing(me: Person) -> None:
    """In a folder that the program may write it can lay links; they are not what a person named."""
    me.run(
        "mkdir tool; ln -s $F/home/.ssh tool/config; ln -s $F/home/.ssh tool/lib; mkdir tool/bin"
    )
    inside = str(me.mine / "tool/config")
    line = f"cat {inside}/id_ed25519 $F/home/.ssh/id_ed25519 2>/dev/null; true"
    path = f"{me.mine}/tool/bin:{behind.PATH}"
    assert SECRET not in me.run(line, readable=(inside,), path=path).stdout
    assert view.of_environment({"PYTHONPATH": inside, "HOME": str(me.home)}) == []


# -- honest work -----------------------------------------------------------------------------

HONEST = {
    "a lock between processes": "import multiprocessing as m; m.Lock(); m.Value('i')",
    "a terminal": "import pty, os; a, b = pty.openpty(); os.write(b, b'x')",
    "loopback": (
        "import socket; s = socket.create_server(('127.0.0.1', 0)); "
        "socket.create_connection(s.getsockname())"
    ),
    "a child": "import subprocess; subprocess.run(['true'], check=True)",
    "devices": "open('/dev/null', 'w').write('x'); open('/dev/urandom', 'rb').read(4)",
    "shared memory": "from multiprocessing import shared_memory as s; "
    "m = s.SharedMemory(create=True, size=64); m.close(); m.unlink()",
    "its own name": "import pwd, os; pwd.getpwuid(os.getuid())",
    "certificates": "import ssl; ssl.create_default_context()",
    "git": "import subprocess as s; s.run(['git', 'init', '-q', 'r'], check=True)",
}


@pytest.mark.parametrize("network", [True, False])
def test_honest_work_goes_on(network: bool, me: Person) -> None:
    if not network and me.level == "landlock":
        pytest.skip("Landlock alone does not close the network")
    for what, code in HONEST.items():
        done = me.run(PYTHON, "-c", code, network=network)
        assert done.returncode == 0, (what, done.stderr)


def test_a_temporary_file_and_a_socket_in_it(walled: Person) -> None:
    code = (
        "import tempfile, socket; d = tempfile.mkdtemp(); "
        "socket.socket(socket.AF_UNIX).bind(d + '/s'); print(d)"
    )
    done = walled.run(PYTHON, "-c", code)
    assert done.stdout.startswith("/tmp/"), done.stderr
    assert not Path(done.stdout.strip()).exists()  # it was the child's own /tmp


def test_a_closed_network_reaches_nothing_but_itself(walled: Person) -> None:
    code = "import socket; print([n for _, n in socket.if_nameindex()])"
    assert walled.run(PYTHON, "-c", code, network=False).stdout.strip() == "['lo']"
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        reach = f"import socket; socket.create_connection(('127.0.0.1', {port}), 5)"
        assert walled.run(PYTHON, "-c", reach).returncode == 0
        assert walled.run(PYTHON, "-c", reach, network=False).returncode != 0


def test_a_file_closed_to_its_owner_stays_closed(me: Person) -> None:
    """Without capabilities root, too, is refused what the mode refuses; a test may rely on it."""
    assert me.run("echo x > closed && chmod 000 closed && cat closed").returncode != 0


def test_a_missing_program_ends_the_start_in_words(me: Person) -> None:
    done = me.run("no-such-program", "argument")
    assert done.returncode == 127
    assert done.stderr == "fence: cannot start no-such-program: No such file or directory\n"


@pytest.mark.skipif("kernel" not in fence.available(), reason="the kernel's fence does not work")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_a_program_that_dies_by_a_signal_is_over_at_once(tmp_path: Path, number: int) -> None:
    code = f"import os; os.kill(os.getpid(), {int(number)})"
    argv = fence.wrap([sys.executable, "-c", code], "kernel", cwd=tmp_path, writable=[tmp_path])
    child = run_child(argv, tmp_path, scrub_env(), total_s=60)
    assert (child.timed_out, child.signal) == (None, number)
