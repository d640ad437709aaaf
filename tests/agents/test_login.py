"""The private HOME of a turn: a copied login, its renewal written back, and nothing left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from orchestration.agents import bring_home
from orchestration.agents.login import Login, private_home
from orchestration.agents.registry import get_agent
from orchestration.engine.loop import Engine
from orchestration.sandbox import fence
from orchestration.setup.session import open_harness
from programs_made import LOGIN, claude, turn_in

OLD = {"claudeAiOauth": {"accessToken": "old"}, "more": 1}
RENEW = f"""
place = home / {LOGIN!r}
known = json.loads(place.read_text())
known["claudeAiOauth"] = {{"accessToken": "new"}}
"""
# What a fence opens for a login shows only behind one; test_level.py fails where one is due.
needs_fence = pytest.mark.skipif(
    "kernel" not in fence.available(),
    reason="no kernel fence here to open",
)


def person(tmp_path: Path) -> Path:
    home = tmp_path / "person"
    (home / LOGIN).parent.mkdir(parents=True)
    (home / LOGIN).write_text(json.dumps(OLD))
    (home / LOGIN).chmod(0o600)
    (home / ".claude/settings.json").write_text("{}")
    (home / "diary.txt").write_text("mine")
    return home


def run(tmp_path: Path, code: str, level: str = "scan") -> tuple[Path, str]:
    home = person(tmp_path)
    claude(tmp_path / "bin", code)
    outcome = get_agent("claude").run(turn_in(tmp_path, home, path=[tmp_path / "bin"], level=level))
    return home, f"{outcome.kind}: {outcome.text}"


@pytest.mark.parametrize("level", ["scan", pytest.param("kernel", marks=needs_fence)])
def test_a_renewed_token_goes_back_and_the_copy_is_wiped(tmp_path: Path, level: str) -> None:
    code = RENEW + "place.write_text(json.dumps(known))\n(home / 'session.log').write_text('x')\n"
    home, said = run(tmp_path, code, level)
    assert said == "done: ready"
    assert json.loads((home / LOGIN).read_text())["claudeAiOauth"] == {"accessToken": "new"}
    assert (home / LOGIN).stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / "turns/1/home").exists()
    assert sorted(p.name for p in home.rglob("*") if p.is_file()) == [
        ".credentials.json",
        "diary.txt",
        "settings.json",
    ]


@pytest.mark.parametrize("end", [KeyboardInterrupt, "kill"])
def test_a_token_that_was_renewed_before_the_end_came_goes_back(
    end: object, tmp_path: Path
) -> None:
    """The old one is spent: without this the person is signed out by a Ctrl-C or a kill."""
    home, turn = person(tmp_path), tmp_path / "turns/1"
    new = json.dumps({**OLD, "claudeAiOauth": {"accessToken": "new"}})
    code = (
        "import os, sys\nfrom pathlib import Path\n"
        "from orchestration.agents.login import Login, private_home\n"
        f"home = private_home(Path({str(turn / 'home')!r}), Path({str(home)!r}),\n"
        f"                    logins=[Login({LOGIN!r}, renewed=True)])\n"
        f"(home.__enter__() / {LOGIN!r}).write_text({new!r})\nos.kill(os.getpid(), 9)\n"
    )
    if end == "kill":
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
        assert "old" in (home / LOGIN).read_text() and (turn / "home" / LOGIN).exists()
        assert "accessToken" not in (turn / "logins.json").read_text()
        bring_home(turn)
    else:
        with (
            pytest.raises(KeyboardInterrupt),
            private_home(turn / "home", home, logins=[Login(LOGIN, renewed=True)]) as copy,
        ):
            (copy / LOGIN).write_text(new)
            raise KeyboardInterrupt
    assert "new" in (home / LOGIN).read_text()
    assert list(turn.iterdir()) == []
    bring_home(turn)  # and nothing more


def test_the_next_run_brings_home_what_a_killed_one_left(tmp_path: Path) -> None:
    from turns import work

    root, _, _ = work(tmp_path / "first", "pass")

    home, turn = person(tmp_path), open_harness(root).repo.state_dir / "turns/000001"
    left = private_home(turn / "home", home, logins=[Login(LOGIN, renewed=True)])
    (left.__enter__() / LOGIN).write_text(json.dumps({**OLD, "claudeAiOauth": "new"}))
    Engine(open_harness(root, agent="playbook"), lambda: "run2").run()
    assert "new" in (home / LOGIN).read_text() and not (turn / "home").exists()


def test_replacing_the_file_counts_as_renewal_too(tmp_path: Path) -> None:
    code = RENEW + (
        "fresh = place.with_name('fresh')\nfresh.write_text(json.dumps(known))\n"
        "os.replace(fresh, place)\n"
    )
    home, _ = run(tmp_path, code)
    assert "new" in (home / LOGIN).read_text()


@pytest.mark.parametrize(
    "code",
    [
        "(home / PLACE).write_text('nonsense')",
        "(home / PLACE).write_text('{}')",
        "(home / PLACE).unlink(); (home / PLACE).symlink_to('/etc/hostname')",
        "(home / PLACE).unlink()",
        "(home / PLACE).write_text('x' * (2 << 20))",
        "(home / '.claude/settings.json').write_text('changed')",
    ],
)
def test_what_is_no_renewed_login_does_not_go_back(tmp_path: Path, code: str) -> None:
    home, _ = run(tmp_path, code.replace("PLACE", repr(LOGIN)))
    assert json.loads((home / LOGIN).read_text()) == OLD
    assert (home / ".claude/settings.json").read_text() == "{}"


def test_a_login_that_the_person_renewed_meanwhile_stays_theirs(tmp_path: Path) -> None:
    theirs = tmp_path / "person" / LOGIN
    code = RENEW + (
        "place.write_text(json.dumps(known))\n"
        f"pathlib.Path({str(theirs)!r}).write_text('{{\"theirs\": 1}}')\n"
    )
    home, _ = run(tmp_path, code)
    assert json.loads((home / LOGIN).read_text()) == {"theirs": 1}


def test_two_turns_at_once_leave_a_whole_login(tmp_path: Path) -> None:
    home = person(tmp_path)
    code = RENEW + "known['n'] = os.getpid()\nplace.write_text(json.dumps(known))\n"
    claude(tmp_path / "bin", code)
    places = [tmp_path / "a", tmp_path / "b"]
    turns = [turn_in(place, home, path=[tmp_path / "bin"]) for place in places]
    threads = [threading.Thread(target=get_agent("claude").run, args=(turn,)) for turn in turns]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert json.loads((home / LOGIN).read_text())["claudeAiOauth"] == {"accessToken": "new"}
    assert [p.name for p in (home / ".claude").iterdir() if p.name.startswith(".c")] == [
        ".credentials.json"
    ]


@needs_fence
def test_a_login_shell_behind_the_fence_finds_the_guards_python(tmp_path: Path) -> None:
    code = (
        "import subprocess\n"
        "found = subprocess.run(['bash', '-lc', 'command -v python; echo $HOME'],\n"
        "                       capture_output=True, text=True).stdout\n"
        "end(found)\n"
    )
    home = person(tmp_path)
    claude(tmp_path / "bin", code)
    turn = turn_in(tmp_path, home, path=[tmp_path / "bin"], level="kernel")
    found = get_agent("claude", python=sys.executable).run(turn).text.split()
    assert os.path.dirname(found[0]) == os.path.dirname(sys.executable)
    assert found[1] == str(tmp_path / "turns/1/home")


# -- where programs lie -----------------------------------------------------------------------


def nvm(home: Path) -> None:
    """A script of node's kind: `env` finds its interpreter beside it, packages lie in lib/."""
    version = home / ".nvm/versions/node/v22.0.0"
    package = version / "lib/node_modules/@anthropic-ai/claude-code"
    claude(package, "import helper\nend(helper.WORD)\n", python="/usr/bin/env node")
    (package / "helper.py").write_text("WORD = 'ready'\n")
    (version / "bin").mkdir()
    (version / "bin/claude").symlink_to("../lib/node_modules/@anthropic-ai/claude-code/claude")
    (version / "bin/node").symlink_to(sys.executable)


def local(home: Path) -> None:
    """Installed by its own installer: a link in ~/.local/bin to a file of ~/.local/share."""
    made = claude(home / ".local/share/claude/versions", "end('ready')\n")
    (home / ".local/bin").mkdir(parents=True)
    (home / ".local/bin/claude").symlink_to(made)


def user_packages(home: Path) -> None:
    """pip install --user: the script in ~/.local/bin, its packages in ~/.local/lib."""
    python = os.path.realpath("/usr/bin/python3")
    version = ".".join(os.path.basename(python).removeprefix("python").split(".")[:2])
    packages = home / f".local/lib/python{version}/site-packages"
    packages.mkdir(parents=True)
    (packages / "wordbook.py").write_text("WORD = 'ready'\n")
    claude(home / ".local/bin", "import wordbook\nend(wordbook.WORD)\n", python=python)


def venv(home: Path) -> None:
    """A tool in an environment of its own (pipx, uv): a link in ~/.local/bin."""
    place = home / ".local/share/pipx/venvs/claude"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
    packages = next((place / "lib").glob("python3*/site-packages"))
    (packages / "wordbook.py").write_text("WORD = 'ready'\n")
    made = claude(
        place / "bin", "import wordbook\nend(wordbook.WORD)\n", python=f"{place}/bin/python"
    )
    (home / ".local/bin").mkdir(parents=True)
    (home / ".local/bin/claude").symlink_to(made)


def pyenv(home: Path) -> None:
    """A shim: it hands on to its manager, which looks for the program in the version's folder."""
    root = home / ".pyenv"
    claude(root / "versions/3.11.7/bin", "end('ready')\n")
    (root / "version").write_text("3.11.7\n")
    (root / "libexec").mkdir()
    (root / "libexec/pyenv").write_text(
        '#!/usr/bin/env bash\nset -e\nread -r version < "$PYENV_ROOT/version"\nshift\n'
        'exec "$PYENV_ROOT/versions/$version/bin/$1" "${@:2}"\n'
    )
    (root / "shims").mkdir()
    (root / "shims/claude").write_text(
        '#!/usr/bin/env bash\nset -e\nprogram="${0##*/}"\n'
        f'export PYENV_ROOT="{root}"\nexec "{root}/libexec/pyenv" exec "$program" "$@"\n'
    )
    for name in ("libexec/pyenv", "shims/claude"):
        (root / name).chmod(0o755)


def volta(home: Path) -> None:
    """A link to the manager's own program, which is told its folder by a variable or by HOME."""
    root = home / ".volta"
    claude(root / "tools/image/packages/claude/bin", "end('ready')\n")
    (root / "bin").mkdir()
    (root / "bin/volta-shim").write_text(
        '#!/bin/sh\nexec "${VOLTA_HOME:-$HOME/.volta}/tools/image/packages/claude/bin/claude"'
        ' "$@"\n'
    )
    (root / "bin/volta-shim").chmod(0o755)
    (root / "bin/claude").symlink_to("volta-shim")


def prefix(home: Path) -> None:
    """npm's global prefix: a link into lib/node_modules, started by the `node` of PATH."""
    package = home / ".npm-global/lib/node_modules/@anthropic-ai/claude-code"
    claude(package, "import helper\nend(helper.WORD)\n", python="/usr/bin/env -S python3 -B")
    (package / "helper.py").write_text("WORD = 'ready'\n")
    (home / ".npm-global/bin").mkdir()
    (home / ".npm-global/bin/claude").symlink_to(package / "claude")


@needs_fence
@pytest.mark.parametrize("install", [nvm, local, user_packages, venv, pyenv, volta, prefix])
def test_a_program_of_the_persons_home_is_found_and_readable(install, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    home = tmp_path / "person"
    home.mkdir()
    install(home)
    path = [home / ".pyenv/shims"] if install is pyenv else []
    outcome = get_agent("claude").run(turn_in(tmp_path, home, path=path, level="kernel"))
    assert (outcome.kind, outcome.text) == ("done", "ready"), outcome


@needs_fence
def test_a_program_is_started_by_its_own_interpreter_not_by_one_beside_the_guards(
    tmp_path: Path,
) -> None:
    """The guards' folder is first on PATH; it may hold an old `node`, as /usr/bin does."""
    home, guards = tmp_path / "person", tmp_path / "guards/bin"
    home.mkdir()
    nvm(home)
    guards.mkdir(parents=True)
    (guards / "python").symlink_to(sys.executable)
    (guards / "node").write_text("#!/bin/sh\necho 'SyntaxError: Unexpected token ?' >&2\nexit 1\n")
    (guards / "node").chmod(0o755)
    turn = turn_in(tmp_path, home, path=[guards], level="kernel")
    outcome = get_agent("claude", python=str(guards / "python")).run(turn)
    assert (outcome.kind, outcome.text) == ("done", "ready"), outcome
