"""Folders of files with a private repository, laid out from bytes: no filter of anyone runs.

- `store_with(repo, base)`: the bare repository that an agent's workspace borrows objects from. It
  holds the history of the bases and nothing else: no other attempt, no log, no held-out file.
- `lay_out(repo, tree, path)`: the files of a tree as their blobs are, whatever attributes,
  line-end settings and filters the person or the tree has.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from pathlib import Path

from orchestration.git.command import safe_ref
from orchestration.git.repository import Repo

BRANCH = "refs/heads/work"
"""The one branch of a private repository."""
PACKS_KEPT = 4
_RAW = {"GIT_ATTR_NOSYSTEM": "1", "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
_RAW |= {"GIT_CONFIG_COUNT": "0"}


def _bare(repo: Repo, name: str) -> Path:
    """A bare repository in the state folder: no template, no configuration but git's own."""
    place = repo.state_dir / name
    if not (place / "HEAD").is_file():
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        how = ("--quiet", "--bare", "--template=", f"--object-format={repo.object_format}")
        repo.run("init", *how, "--", str(place), env=_RAW, cwd=repo.common_dir)
    return place


def store_with(repo: Repo, base: str) -> Path:
    """The store of the workspaces, with `base` and its history in it."""
    place = _bare(repo, "store.git")
    pins = place / "refs" / "bases"
    if (pins / base).is_file():
        return place
    known = [pin.name for pin in pins.iterdir()] if pins.is_dir() else []
    # A pin is written only when its objects are there; one of a history that is gone is left out.
    asked = [base, *(f"^{sha}" for sha in known if repo.try_resolve(sha))]
    _copy_objects(repo, asked, place)
    if (repo.common_dir / "shallow").is_file():
        (place / "shallow").write_bytes((repo.common_dir / "shallow").read_bytes())
    pins.mkdir(parents=True, exist_ok=True)
    half = pins / f".{base}.half"
    half.write_text(f"{base}\n", encoding="ascii")
    half.replace(pins / base)
    return place


def _copy_objects(repo: Repo, asked: list[str], git_dir: Path) -> None:
    """Copy what revisions reach into another repository.

    git renames a pack that it writes itself, which fails where the two lie on different disks.
    """
    pack = _packed(repo, asked, "--revs", "--delta-base-offset")
    into = {**_RAW, "GIT_DIR": str(git_dir)}
    repo.run("index-pack", "--stdin", "--fix-thin", env=into, stdin=pack, timeout_s=600.0)


def _borrow(git_dir: Path, store: Path) -> None:
    """Let one git directory use the objects of another, whatever bytes its path has."""
    place = git_dir / "objects" / "info" / "alternates"
    place.parent.mkdir(parents=True, exist_ok=True)
    line = os.fsencode(store) + b"/objects"
    if b"\n" in line:  # git reads a quoted line as C does
        line = b'"%b"' % line.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n")
    place.write_bytes(line + b"\n")


def _packed(repo: Repo, asked: list[str], *how: str) -> bytes:
    words = "".join(f"{line}\n" for line in asked).encode()
    return repo.run(
        "pack-objects", "--quiet", "--stdout", *how, stdin=words, timeout_s=600.0
    ).stdout


def _one_commit(repo: Repo, head: str) -> Path:
    """A folder with a pack of one commit and its files, without history; the newest few are kept.

    Each attempt is laid out several times: its objects are packed and indexed once.
    """
    home = repo.state_dir / "packs"
    place = home / head
    if place.is_dir():
        return place
    half = home / f"{head}.{uuid.uuid4().hex}.half"
    half.mkdir(parents=True)
    listed = repo.run("rev-list", "--objects", "--no-walk", head, timeout_s=600.0).stdout
    objects = [line.split(b" ")[0].decode() for line in listed.splitlines()]
    pack = half / f"pack-{head}.pack"
    pack.write_bytes(_packed(repo, objects, "--window=0"))
    form = f"--object-format={repo.object_format}"
    repo.run("index-pack", form, str(pack), env=_RAW, timeout_s=600.0)
    for old in sorted(home.iterdir(), key=lambda path: path.stat().st_mtime)[:-PACKS_KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    with contextlib.suppress(OSError):  # another process was first
        half.rename(place)
    return place


def lay_out(repo: Repo, tree: str, path: Path) -> None:
    """Write the files of `tree` into the empty folder `path`; submodules are empty folders."""
    desk = _bare(repo, "desk.git")
    _borrow(desk, repo.common_dir)
    entries = repo.list_tree(tree)
    # git reads the attributes of the files that it writes: without them it changes no byte.
    attributes = [name for name in entries if name.rsplit("/", 1)[-1] == ".gitattributes"]
    bare = repo.write_tree(tree, dict.fromkeys(attributes)) if attributes else tree
    with repo.temporary_index(bare) as index:
        env = {**_RAW, **index, "GIT_DIR": str(desk), "GIT_WORK_TREE": str(path)}
        plain = ("-c", "core.autocrlf=false", "-c", "core.attributesFile=/dev/null")
        repo.run(*plain, "checkout-index", "--all", "--quiet", env=env, cwd=path)
    for name in attributes:
        data = repo.run("cat-file", "blob", entries[name].sha).stdout
        if entries[name].mode == "120000":
            (path / name).symlink_to(os.fsdecode(data))
        else:
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(data)


def private_repository(repo: Repo, path: Path, head: str | None, store: Path | None) -> None:
    """Give a laid-out folder a repository of its own: one branch at `head`, no remote.

    Objects are borrowed from `store`. Without one the repository stands alone and holds the one
    commit: git works there wherever the folder is seen, and nothing in it says where it came from.
    """
    git_dir = path / ".git"
    form = f"--object-format={repo.object_format}"
    repo.run("init", "--quiet", "--template=", form, env=_RAW, cwd=path)
    (git_dir / "HEAD").write_text(f"ref: {BRANCH}\n")
    # HOME is empty in a turn: without a name git would refuse to commit.
    with (git_dir / "config").open("a", encoding="ascii") as config:
        config.write("[user]\n\tname = agent\n\temail = agent@localhost\n")
    if store is not None:
        _borrow(git_dir, store)
    if head is None:
        return
    safe_ref(head)
    if store is None:
        (git_dir / "objects" / "pack").mkdir(parents=True, exist_ok=True)
        for part in _one_commit(repo, head).iterdir():
            shutil.copyfile(part, git_dir / "objects" / "pack" / part.name)
        (git_dir / "shallow").write_text(f"{head}\n")
    elif (store / "shallow").is_file():
        (git_dir / "shallow").write_bytes((store / "shallow").read_bytes())
    (git_dir / "refs" / "heads" / "work").write_text(f"{head}\n")
    repo.run("read-tree", head, env=_RAW, cwd=path)
    repo.run("update-index", "-q", "--refresh", check=False, env=_RAW, cwd=path)
