"""Product code that changes what the rest of a run finds: variables, import path, working folder.

A test that starts a program, imports a helper or opens a file of the tree then gets another one.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping

from orchestration.gates.tamper_trees import Mark, dotted, resolved, text_of

STEERING = re.compile(
    r"PATH|ENV|BASH_ENV|SHELL|IFS|CDPATH|(?:PYTHON|GIT_|LD_|DYLD_|COVERAGE_)\w*|\w*PYTEST\w*"
)
"""Variables that say which program or library runs, and how it starts."""
PLAIN = {
    "PYTHONHASHSEED",
    "PYTHONWARNINGS",
    "PYTHONUNBUFFERED",
    "PYTHONUTF8",
    "GIT_TERMINAL_PROMPT",
}
WRITTEN_OUT = (ast.Name, ast.Attribute, ast.Subscript)
SETTERS = {"setdefault", "__setitem__", "pop", "__delitem__"}
FOLDERS = {"os.chdir", "os.fchdir", "os.chroot"}


def marks(tree: ast.Module, names: Mapping[str, str]) -> Iterator[Mark]:
    """Marks of a product file; `names` are its imports."""
    own = {"os.environ", "os.environb"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and resolved(node.value, names) in own:
            own |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        for key in _set(node, names, own):
            word = text_of(key)
            if word is None and not isinstance(key, WRITTEN_OUT):
                yield Mark("P04", line, "a variable that is not written out gets a value")
            elif word is not None and word not in PLAIN and STEERING.fullmatch(word):
                yield Mark("P04", line, f"the variable {word} of later programs is changed")
        if isinstance(node, ast.Call) and resolved(node.func, names) in FOLDERS:
            yield Mark("P04", line, f"`{dotted(node.func)}()`: files are looked for elsewhere")
        elif isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
            place = node.value if isinstance(node, ast.Subscript) else node
            if resolved(place, names) == "sys.path":
                yield Mark("P10", line, "`sys.path` is changed: it hides what is imported")


def _set(node: ast.AST, names: Mapping[str, str], own: set[str]) -> Iterator[ast.expr]:
    """The keys under which a statement or call changes the environment."""
    if isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load):
        if resolved(node.value, names) in own:
            yield node.slice
    elif isinstance(node, ast.AugAssign) and resolved(node.target, names) in own:
        yield from _keys(node.value)
    elif isinstance(node, ast.Call):
        name = resolved(node.func, names)
        place, _, method = name.rpartition(".")
        if name in ("os.putenv", "os.unsetenv") or (place in own and method in SETTERS):
            yield from node.args[:1]
        elif place in own and method in ("update", "__ior__"):
            yield from _keys(node)


def _keys(node: ast.expr) -> Iterator[ast.expr]:
    """The keys of a dictionary that is written out, or of the arguments of `update` and `dict`."""
    if isinstance(node, ast.Dict):
        yield from (key for key in node.keys if key is not None)
    elif isinstance(node, ast.Call):
        for argument in node.args:
            yield from _keys(argument)
        yield from (ast.Constant(k.arg) for k in node.keywords if k.arg is not None)
