"""Where an agent's program lies, what starts it, and what it needs to be readable for that.

Installers put programs into many folders of a home, and managers of versions put shims in their
place: a shim is asked for the program behind it, which is then started itself.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from orchestration.errors import HarnessError
from orchestration.sandbox import run_child

PLACES = tuple(
    """
    .local/bin .npm-global/bin .volta/bin .bun/bin .opencode/bin .claude/local .yarn/bin .cargo/bin
    .local/share/pnpm .local/share/pnpm/bin .nvm/versions/node/*/bin
    .local/share/fnm/aliases/default/bin .local/share/mise/shims .asdf/shims .nodenv/shims
    .pyenv/shims
    """.split()  # noqa: SIM905 - a list of names reads best as words
)
"""Folders below HOME where installers put programs; they are often missing from PATH."""
MANAGERS = {
    ".asdf": "ASDF_DATA_DIR",
    ".nodenv": "NODENV_ROOT",
    ".pyenv": "PYENV_ROOT",
    ".volta": "VOLTA_HOME",
}
"""Managers of versions, by their folder. A shim of one that cannot be asked looks for the program
itself in the rest of that folder, which it finds by this variable, since HOME is another."""
_HANDS_ON = re.compile(r"""\bexec\s+["']?(\S*?\b(?:asdf|nodenv|pyenv|rbenv|goenv))["']?\s+exec\b""")
_PATIENCE_S = 30.0


def find_program(name: str, python: str, env: Mapping[str, str]) -> Path | None:
    """Where a program is: on PATH, beside the guards' interpreter, or where installers put it."""
    home = Path(env.get("HOME") or Path.home())
    folders = [*env.get("PATH", os.defpath).split(os.pathsep), str(Path(python).parent)]
    for place in PLACES:
        folders += sorted((str(path) for path in home.glob(place)), reverse=True)
    found = shutil.which(name, path=os.pathsep.join(folders))
    return None if found is None else behind_shim(Path(os.path.abspath(found)), env)


def behind_shim(program: Path, env: Mapping[str, str]) -> Path:
    """The program behind a shim, as its manager says; `program` where it is none, or is not told.

    A manager chooses by files of the person's home that no turn can read, so it is asked outside.
    """
    manager = _manager(program, env)
    if manager is None:
        return program
    asking = {**os.environ, **env}
    try:
        done = run_child([manager, "which", program.name], Path.cwd(), asking, total_s=_PATIENCE_S)
    except HarnessError:
        return program
    lines = done.output_tail.strip().splitlines()
    told = lines[-1].strip() if done.ok and lines else ""
    there = os.path.isabs(told) and os.path.isfile(told) and os.access(told, os.X_OK)
    return Path(told) if there else program


def _manager(program: Path, env: Mapping[str, str]) -> str | None:
    """The manager of versions that a shim hands on to; None where `program` is no shim."""
    real = program.resolve()
    if real.name == "mise" and program.name != "mise":
        return str(real)
    if real.name == "volta-shim":
        return shutil.which("volta", path=str(real.parent))
    try:
        with program.open("rb") as file:
            text = file.read(4096)
    except OSError:
        return None
    found = _HANDS_ON.search(text.decode("utf-8", "replace")) if text[:2] == b"#!" else None
    return shutil.which(found[1], path=env.get("PATH", os.defpath)) if found else None


def started_by(program: Path, env: Mapping[str, str]) -> list[str]:
    """The words that start a program. One whose `#!` leaves its interpreter to `env` gets that of
    its own folder or of PATH: on the turn's PATH the guards' folder is first, and there may lie
    another `node` or `python3`, without the program's packages."""
    words = _first_line(program)
    if not words or os.path.basename(words[0]) != "env":
        return [str(program)]
    words = words[2:] if words[1:2] == ["-S"] else words[1:]
    if not words or words[0].startswith("-") or "=" in words[0]:
        return [str(program)]
    path = os.pathsep.join([str(program.parent), env.get("PATH", os.defpath)])
    found = shutil.which(words[0], path=path)
    if found is None:
        return [str(program)]
    return [str(behind_shim(Path(found), env)), *words[1:], str(program)]


def install_roots(program: Path, starter: str = "") -> list[str]:
    """What must be readable for a program to start: its folder, that of what it links to, the
    installation of the interpreter that its first line names or that starts it (`starter`), and the
    whole folder of a manager of versions."""
    roots = [program.parent, *_holding(program.resolve())]
    words = _first_line(program)
    named = words[0] if words and os.path.basename(words[0]) != "env" else starter
    if named and named != str(program):
        real = Path(named).resolve()
        roots += [Path(named).parent, *_holding(real), real.parent.parent / "lib"]
    if program.parent.name == "bin":  # pip install --user: the packages lie beside it
        roots += sorted((program.parent.parent / "lib").glob("python3*/site-packages"))
    roots += [Path(folder) for folder in managed(program).values()]
    # Homebrew's programs are linked with libraries anywhere in its folder.
    roots += [p.parent for p in program.resolve().parents if p.name == "Cellar"]
    return [str(root) for root in dict.fromkeys(roots) if root.exists()]


def _holding(real: Path) -> list[Path]:
    """The folder of packages or the environment that a program lies in, else its own folder."""
    for folder in real.parents:
        if folder.name == "node_modules" or (folder / "pyvenv.cfg").is_file():
            return [folder]
    return [real.parent]


def _first_line(program: Path) -> list[str]:
    """The words of a script's `#!` line; [] for a binary."""
    try:
        with program.open("rb") as file:
            first = file.readline(4096)
    except OSError:
        return []
    return os.fsdecode(first[2:]).split() if first.startswith(b"#!") else []


def managed(program: Path) -> dict[str, str]:
    """The folder of the manager of versions that a program belongs to, by its variable."""
    return {MANAGERS[p.name]: str(p) for p in program.parents if p.name in MANAGERS}


def user_packages(program: Path) -> dict[str, str]:
    """Where Python finds what `pip install --user` put beside a program: HOME is another now."""
    base = program.parent.parent
    user = program.parent.name == "bin" and any((base / "lib").glob("python3*/site-packages"))
    return {"PYTHONUSERBASE": str(base)} if user and base.name == ".local" else {}
