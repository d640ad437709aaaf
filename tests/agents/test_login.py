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


# -- a login in another place than the default one ------------------------------------------------

PLACES = [
    ("claude", "CLAUDE_CONFIG_DIR", ".credentials.json", ".claude.json"),
    ("codex", "CODEX_HOME", "auth.json", "config.toml"),
    ("opencode", "XDG_DATA_HOME", "opencode/auth.json", None),
    ("opencode", "XDG_CONFIG_HOME", None, "opencode/opencode.json"),
    ("opencode", "OPENCODE_CONFIG", None, ""),
    ("gemini", "GEMINI_CLI_HOME", ".gemini/oauth_creds.json", ".gemini/settings.json"),
]
# As each program looks: where the variable leads, else at the default place below HOME.
LOOKS = """#!{python}
import json, os, pathlib, sys
home = pathlib.Path(os.environ["HOME"])
for name in "CLAUDE_CONFIG_DIR CODEX_HOME XDG_DATA_HOME XDG_CONFIG_HOME GEMINI_CLI_HOME".split():
    place = pathlib.Path(os.environ.get(name, home))
    assert place == home or home in place.parents, name
base = {{
    "CLAUDE_CONFIG_DIR": home / ".claude", "CODEX_HOME": home / ".codex",
    "XDG_DATA_HOME": home / ".local/share", "XDG_CONFIG_HOME": home / ".config",
    "GEMINI_CLI_HOME": home, "OPENCODE_CONFIG": home,
}}[{variable!r}]
base = pathlib.Path(os.environ.get({variable!r}, base))
login, settings = {login!r}, {settings!r}
if settings is not None:
    moved = home if settings == ".claude.json" and "CLAUDE_CONFIG_DIR" not in os.environ else base
    print("set", (moved / settings if settings else base).read_text())
if login is not None:
    known = json.loads((base / login).read_text())
    (base / login).write_text(json.dumps({{**known, "token": "new"}}))
    print("login", known["token"])
"""


@pytest.mark.parametrize("level", ["scan", pytest.param("kernel", marks=needs_fence)])
@pytest.mark.parametrize(("name", "variable", "login", "settings"), PLACES)
def test_a_login_that_a_variable_places_elsewhere_is_copied_and_renewed_there(
    name: str, variable: str, login: str | None, settings: str | None, level: str, tmp_path: Path
) -> None:
    home, other = tmp_path / "person", tmp_path / "elsewhere"
    home.mkdir()
    other.mkdir()
    for part, text in ((login, '{"token": "old"}'), (settings, "mine")):
        if part is not None:
            (other / part).parent.mkdir(parents=True, exist_ok=True)
            (other / part if part else other / "x.json").write_text(text)
    place = other / "x.json" if settings == "" else other
    program = tmp_path / "bin" / name
    program.parent.mkdir()
    program.write_text(
        LOOKS.format(python=sys.executable, variable=variable, login=login, settings=settings)
    )
    program.chmod(0o755)
    turn = turn_in(tmp_path, home, path=[program.parent], level=level)
    outcome = get_agent(name, person={variable: str(place)}).run(turn)
    assert outcome.log_path is not None
    said = outcome.log_path.read_text()
    assert ("set mine" in said) == (settings is not None), said
    assert ("login old" in said) == (login is not None), said
    if login is not None:
        assert json.loads((other / login).read_text()) == {"token": "new"}
    assert not (tmp_path / "turns/1/home").exists() and list(home.iterdir()) == []


@pytest.mark.parametrize("value", ["", "relative/place"])
def test_a_variable_that_names_no_place_means_the_default_one(value: str, tmp_path: Path) -> None:
    """An empty variable is none; a relative one of XDG is to be ignored, by its standard."""
    home, name = tmp_path / "person", ".local/share/opencode/auth.json"
    (home / name).parent.mkdir(parents=True)
    (home / name).write_text("{}")
    program = tmp_path / "bin/opencode"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nls "$HOME/{name}"\n')
    program.chmod(0o755)
    turn = turn_in(tmp_path, home, path=[program.parent])
    outcome = get_agent("opencode", person={"XDG_DATA_HOME": value}).run(turn)
    assert outcome.log_path is not None and f"turns/1/home/{name}" in outcome.log_path.read_text()


@needs_fence
def test_a_program_keeps_its_cache_in_the_turns_home(tmp_path: Path) -> None:
    """The person's own cache is not writable: a program that must write there would end."""
    from dataclasses import replace

    home, cache = person(tmp_path), tmp_path / "cache"
    cache.mkdir()
    code = (
        "place = pathlib.Path(os.environ.get('XDG_CACHE_HOME') or home / '.cache') / 'x'\n"
        "place.mkdir(parents=True)\n"
    )
    claude(tmp_path / "bin", code)
    turn = turn_in(tmp_path, home, path=[tmp_path / "bin"], level="kernel")
    turn = replace(turn, env={**turn.env, "XDG_CACHE_HOME": str(cache)})
    outcome = get_agent("claude").run(turn)
    assert (outcome.kind, outcome.text) == ("done", "ready"), outcome
    assert list(cache.iterdir()) == []


# -- where programs lie -----------------------------------------------------------------------


def of_node(version: Path) -> None:
    """A script of node's kind: `env` finds its interpreter beside it, packages lie in lib/."""
    package = version / "lib/node_modules/@anthropic-ai/claude-code"
    claude(package, "import helper\nend(helper.WORD)\n", python="/usr/bin/env node")
    (package / "helper.py").write_text("WORD = 'ready'\n")
    (version / "bin").mkdir()
    (version / "bin/claude").symlink_to("../lib/node_modules/@anthropic-ai/claude-code/claude")
    (version / "bin/node").symlink_to(sys.executable)


def nvm(home: Path) -> None:
    version = home / ".nvm/versions/node/v22.0.0"
    of_node(version)


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


def managed_by(home: Path, name: str, chosen: str, installs: str, place: str) -> Path:
    """A manager of versions, a program and a `node` that it installed; the folder for shims."""
    script = (
        f"#!/bin/sh\nasked=${{0##*/}}\nmode=exec\n"
        f'if [ "$asked" = {name} ]; then mode=$1; asked=$2; shift 2; fi\n'
        f'if ! read -r version < "$HOME/{chosen}"; then\n'
        f'  echo "{name} ERROR No version is set for $asked" >&2; exit 126\nfi\n'
        f'program="$HOME/{installs}/$version/bin/$asked"\n'
        'if [ "$mode" = which ]; then echo "$program"; else exec "$program" "$@"; fi\n'
    )
    (home / place).parent.mkdir(parents=True, exist_ok=True)
    (home / place).write_text(script)
    (home / place).chmod(0o755)
    (home / chosen).parent.mkdir(parents=True, exist_ok=True)
    (home / chosen).write_text("22.0.0\n")
    folder = home / installs / "22.0.0/bin"
    claude(folder, "end('ready')\n", python="/usr/bin/env node")
    (folder / "node").symlink_to(sys.executable)
    return home / place


def mise(home: Path) -> None:
    """Links to mise itself, which goes by the name that it is called by."""
    place = managed_by(
        home, "mise", ".config/mise/chosen", ".local/share/mise/installs", ".local/bin/mise"
    )
    shims = home / ".local/share/mise/shims"
    shims.mkdir(parents=True)
    for name in ("claude", "node"):
        (shims / name).symlink_to(place)


def asdf(home: Path) -> None:
    """A script that hands on to asdf; the versions stand in ~/.tool-versions."""
    place = managed_by(home, "asdf", ".tool-versions", ".asdf/installs", ".asdf/bin/asdf")
    (home / ".asdf/shims").mkdir()
    for name in ("claude", "node"):
        shim = home / ".asdf/shims" / name
        shim.write_text(f'#!/usr/bin/env bash\nexec {place} exec "{name}" "$@"\n')
        shim.chmod(0o755)


def fnm(home: Path) -> None:
    """A folder on PATH that is a link to an installation, made for one shell."""
    version = home / ".local/share/fnm/node-versions/v22/installation"
    of_node(version)
    (home / ".local/share/fnm/aliases").mkdir()
    (home / ".local/share/fnm/aliases/default").symlink_to(version)


def prefix(home: Path) -> None:
    """npm's global prefix: a link into lib/node_modules, started by the `node` of PATH."""
    package = home / ".npm-global/lib/node_modules/@anthropic-ai/claude-code"
    claude(package, "import helper\nend(helper.WORD)\n", python="/usr/bin/env -S python3 -B")
    (package / "helper.py").write_text("WORD = 'ready'\n")
    (home / ".npm-global/bin").mkdir()
    (home / ".npm-global/bin/claude").symlink_to(package / "claude")


INSTALLS = [nvm, local, user_packages, venv, pyenv, volta, prefix, mise, asdf, fnm]


@needs_fence
@pytest.mark.parametrize("install", INSTALLS)
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
