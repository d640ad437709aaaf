"""From `init` to a landed fix in repositories as people have them: git's own answer each time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from shop_repository import ITEM, ORCHESTRATE, TEST, WRONG

AGENT = """\
with open('shop.py', 'rb') as file:
    data = file.read()
with open('shop.py', 'wb') as file:
    file.write(data.replace(b'max', b'sum'))
"""


def git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=root, capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode("utf-8", "surrogateescape")


def write(root: Path, files: dict[str, str | bytes]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(text.encode() if isinstance(text, str) else text)


def start(root: Path, *how: str) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    git(root, "init", "-q", "-b", "main", *how)
    git(root, "config", "user.name", "t")
    git(root, "config", "user.email", "t@example.org")
    return root


def committed(root: Path) -> Path:
    write(root, {} if (root / "shop.py").is_symlink() else {"shop.py": WRONG})
    write(root, {"tests/test_shop.py": TEST})
    git(root, "add", "-A")
    git(root, "commit", "-q", "--no-gpg-sign", "-m", "first")
    return root


def linked_module(home: Path) -> Path:
    root = start(home / "r")
    write(root, {"lib/real.py": WRONG})
    (root / "shop.py").symlink_to("lib/real.py")
    return committed(root)


def line_ends(setting: str, attributes: str) -> Callable[[Path], Path]:
    def make(home: Path) -> Path:
        root = start(home / "r")
        git(root, "config", "core.autocrlf", setting)
        crlf = setting == "true" or not attributes
        write(root, {".gitattributes": attributes} if attributes else {})
        write(root, {"shop.py": WRONG.replace("\n", "\r\n") if crlf else WRONG})
        write(root, {"tests/test_shop.py": TEST})
        git(root, "add", "-A")
        git(root, "commit", "-q", "-m", "first")
        git(root, "rm", "-q", "--cached", "-r", ".")
        git(root, "reset", "-q", "--hard")
        return root

    return make


def hooks(home: Path) -> Path:
    root = start(home / "r")
    committed(root)
    write(root, {"../hooks/pre-commit": "#!/bin/sh\nexit 1\n"})
    for name in ("commit-msg", "pre-merge-commit", "reference-transaction-x", "prepare-commit-msg"):
        write(root, {f"../hooks/{name}": "#!/bin/sh\nexit 1\n"})
    for path in (home / "hooks").iterdir():
        path.chmod(0o755)
    git(root, "config", "core.hooksPath", str(home / "hooks"))
    return root


def signing(home: Path) -> Path:
    root = committed(start(home / "r"))
    git(root, "config", "commit.gpgSign", "true")
    git(root, "config", "gpg.program", "no-such-gpg")
    return root


def large_files(home: Path) -> Path:
    root = start(home / "r")
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "a" * 64 + "\nsize 9\n"
    write(root, {"data/big.bin": pointer})
    os.utime(root / "data/big.bin", (1e9, 1e9))  # git looks into what is as young as its index
    write(root, {".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n"})
    committed(root)
    for name, command in (("clean", "clean -- %f"), ("smudge", "smudge -- %f")):
        git(root, "config", f"filter.lfs.{name}", f"no-git-lfs {command}")
    git(root, "config", "filter.lfs.required", "true")
    return root


def submodule(home: Path) -> Path:
    inner = start(home / "inner")
    write(inner, {"inner.py": "x = 1\n"})
    git(inner, "add", "-A")
    git(inner, "commit", "-q", "-m", "inner")
    root = start(home / "r")
    allow = ("-c", "protocol.file.allow=always")
    git(root, *allow, "submodule", "--quiet", "add", str(inner), "vendor/inner")
    return committed(root)


def sparse(home: Path) -> Path:
    whole = start(home / "whole")
    write(whole, {"docs/large/one.txt": "1\n", "other/two.txt": "2\n"})
    committed(whole)
    git(home, "clone", "-q", "--no-checkout", str(whole), "r")
    git(home / "r", "sparse-checkout", "set", "tests")
    git(home / "r", "checkout", "-q", "main")
    for name, value in (("name", "t"), ("email", "t@example.org")):
        git(home / "r", "config", f"user.{name}", value)
    return home / "r"


def shallow(home: Path) -> Path:
    whole = committed(start(home / "whole"))
    git(whole, "commit", "-q", "--allow-empty", "-m", "second")
    git(home, "clone", "-q", "--depth", "1", f"file://{whole}", "r")
    for name, value in (("name", "t"), ("email", "t@example.org")):
        git(home / "r", "config", f"user.{name}", value)
    return home / "r"


def bare_layout(home: Path) -> Path:
    """`.bare` beside linked worktrees, with a file `.git` that names it."""
    seed = committed(start(home / "seed"))
    place = home / "project"
    place.mkdir()
    git(home, "clone", "-q", "--bare", str(seed), "project/.bare")
    (place / ".git").write_text("gitdir: ./.bare\n")
    for name, value in (("name", "t"), ("email", "t@example.org")):
        git(place, "config", f"user.{name}", value)
    git(place, "worktree", "add", "-q", "main", "main")
    return place / "main"


def sha256(home: Path) -> Path:
    return committed(start(home / "r", "--object-format=sha256"))


def template(home: Path) -> Path:
    write(
        home, {"template/hooks/pre-commit": "#!/bin/sh\nexit 1\n", "template/info/exclude": "*\n"}
    )
    root = committed(start(home / "r"))
    git(root, "config", "init.templateDir", str(home / "template"))
    return root


def odd_path(home: Path) -> Path:
    return committed(start(home / "a {b} $c\n'd'"))


KINDS: dict[str, Callable[[Path], Path]] = {
    "a module is a link": linked_module,
    "CRLF, autocrlf=true": line_ends("true", ""),
    "CRLF, autocrlf=input": line_ends("input", ""),
    "CRLF, autocrlf=false": line_ends("false", ""),
    "eol=lf, autocrlf=true": line_ends("true", "* text=auto eol=lf\n"),
    "eol=crlf": line_ends("false", "*.py text eol=crlf\n"),
    "hooks that refuse": hooks,
    "signing without gpg": signing,
    "git-lfs is absent": large_files,
    "a submodule": submodule,
    "a sparse checkout": sparse,
    "a shallow clone": shallow,
    "a .bare layout": bare_layout,
    "sha256": sha256,
    "a template": template,
    "an odd path": odd_path,
}


@pytest.mark.parametrize("kind", KINDS)
def test_init_leads_to_a_landed_fix(kind: str, tmp_path: Path) -> None:
    root = KINDS[kind](tmp_path)
    before = git(root, "status", "--porcelain")
    (tmp_path / "fix.py").write_text(AGENT)
    words = ["init", "--agent-command", f"{sys.executable} {tmp_path / 'fix.py'}"]
    subprocess.run([ORCHESTRATE, *words], cwd=root, check=True, stdin=subprocess.DEVNULL)
    ledger = root / "docs/fix_plan.md"
    ledger.write_text(ledger.read_text().partition("### [SUITE")[0] + ITEM)
    ran = subprocess.run(
        [ORCHESTRATE, "run", "--commit", "--json"],
        cwd=root,
        capture_output=True,
        text=True,
        env={**os.environ, "GIT_TERMINAL_PROMPT": "0"},
    )
    assert json.loads(ran.stdout or "{}").get("landed") == ["FIX-1"], ran.stdout + ran.stderr
    text = git(root, "show", "HEAD:lib/real.py" if kind.endswith("link") else "HEAD:shop.py")
    assert "sum(prices)" in text and "max" not in text
    assert git(root, "status", "--porcelain") == before
    changed = git(root, "diff", "--numstat", "HEAD~1", "HEAD", "--", "*.py").split()
    assert changed[:2] == ["1", "1"], "one line changed is one line landed"
    assert subprocess.run([ORCHESTRATE, "verify"], cwd=root, capture_output=True).returncode == 0


def test_where_there_is_nothing_to_land_on_it_is_said(tmp_path: Path) -> None:
    empty = start(tmp_path / "empty")
    write(empty, {"tests/test_shop.py": TEST, "shop.py": WRONG})
    subprocess.run([ORCHESTRATE, "init"], cwd=empty, check=True, stdin=subprocess.DEVNULL)
    ran = subprocess.run([ORCHESTRATE, "run"], cwd=empty, capture_output=True, text=True)
    assert ran.returncode == 2 and "commit" in ran.stderr and "Traceback" not in ran.stderr
    detached = committed(start(tmp_path / "detached"))
    git(detached, "checkout", "-q", "--detach")
    subprocess.run([ORCHESTRATE, "init"], cwd=detached, check=True, stdin=subprocess.DEVNULL)
    ran = subprocess.run(
        [ORCHESTRATE, "run", "--commit"], cwd=detached, capture_output=True, text=True
    )
    assert ran.returncode == 2 and "detached" in ran.stderr and "target" in ran.stderr
