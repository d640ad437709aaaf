"""The private HOME of a turn: a copied login, its renewal written back, and nothing left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from orchestration.agents.registry import get_agent
from orchestration.sandbox import fence
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


@needs_fence
@pytest.mark.parametrize("install", [nvm, local, user_packages, venv])
def test_a_program_of_the_persons_home_is_found_and_readable(install, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    home = tmp_path / "person"
    home.mkdir()
    install(home)
    outcome = get_agent("claude").run(turn_in(tmp_path, home, level="kernel"))
    assert (outcome.kind, outcome.text) == ("done", "ready"), outcome
