"""Product code that reaches for what runs it, or makes an object that agrees, in other words.

`tamper_product` knows the plain forms; these are the same kinds said indirectly: a module that is
handed on, a name in parts, a class whose methods come from elsewhere, answers by date or process.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping

from orchestration.gates.tamper_trees import Mark, dotted, functions, resolved, text_of

INNER = {"__globals__", "__builtins__", "__code__", "__closure__", "from_address"}
LOOKED_AT = ("getattr", "hasattr", "dir", "isinstance")
DEEP = {"sys", "os", "builtins", "gc", "inspect", "ctypes", "importlib", "threading", "__main__"}
"""Modules of which one asks for no name that is not written out."""
RUNS = """
pickle.load pickle.loads pickle.Unpickler dill.load dill.loads cloudpickle.load cloudpickle.loads
zipimport.zipimporter sys.path.insert sys.path.append sys.path.extend site.addsitedir
""".split()  # noqa: SIM905 - a list of names reads best as words
UNARY = {"__abs__", "__round__"}
BINARY = {"__sub__", "__rsub__", "__truediv__", "__rtruediv__", "__mod__", "__contains__"}
PROCESS = re.compile(r"^/proc/(self|thread-self|\d+)/(mem|fd|maps|environ|task|cmdline|mount)")
DATE = 1e9  # seconds since 1970 that are a date, not a duration


def marks(
    tree: ast.Module,
    names: Mapping[str, str],
    foreign: Callable[[str], bool],
    methods: Collection[str],
    honest: Callable[[ast.FunctionDef], bool],
) -> Iterator[Mark]:
    """Marks of a product file.

    `names` are its imports, `foreign` says whether a dotted name is of a module that is not the
    product's; `methods` are those that compare, `honest` whether one compares like with like.
    """
    modules = _modules(tree)
    parents = {id(c): node for node in ast.walk(tree) for c in ast.iter_child_nodes(node)}
    defined = {function.name for function in functions(tree)}
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Name):
            if node.id == "__builtins__":
                yield Mark("P04", line, "`__builtins__` in product code")
            elif node.id in modules and not (_looked_at(node, parents) or _is_local(node, parents)):
                yield Mark("P04", line, f"the module `{node.id}` is handed on")
            elif isinstance(node.ctx, ast.Store) and node.id in methods:
                yield Mark("P01", line, f"`{node.id}` is given a value")
        elif isinstance(node, ast.Attribute):
            if node.attr in INNER or (node.attr == "__dict__" and foreign(dotted(node))):
                yield Mark("P04", line, f"`{dotted(node) or node.attr}` in product code")
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from _imports(node, methods)
        elif isinstance(node, ast.FunctionDef):
            if node.name in methods and not isinstance(parents.get(id(node)), ast.ClassDef):
                if not honest(node):
                    yield Mark("P01", line, f"{node.name} does not compare like with like")
            elif node.name == "__prepare__":
                yield Mark("P01", line, "a class whose names come from `__prepare__`")
            elif node.name in UNARY | BINARY and not _looks(node):
                yield Mark("P01", line, f"{node.name} answers without looking")
        elif isinstance(node, ast.Call):
            yield from _calls(node, resolved(node.func, names), defined, methods)
        elif isinstance(node, ast.Subscript):
            made = isinstance(node.ctx, ast.Store) and isinstance(node.value, ast.Call)
            if made and dotted(node.value) in ("locals", "vars"):
                yield Mark("P01", line, "a name that is not written out gets a value")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if node.value in ("__builtins__", "__globals__") or PROCESS.match(node.value):
                yield Mark("P04", line, f"{node.value!r} in product code")
        elif isinstance(node, ast.Compare):
            yield from _compares(node, names)
    yield from _sources(tree)


def _modules(tree: ast.Module) -> set[str]:
    """Names that stand for a module of the standard library."""
    plain = [a for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names]
    known = {a.asname or a.name.split(".")[0]: a.name.split(".")[0] for a in plain}
    return {name for name, top in known.items() if top in sys.stdlib_module_names}


def _looked_at(node: ast.Name, parents: Mapping[int, ast.AST]) -> bool:
    """Whether only a part of a module is asked for, or its name is bound anew."""
    parent = parents.get(id(node))
    if isinstance(parent, ast.Call):
        return dotted(parent.func) in LOOKED_AT
    return isinstance(parent, ast.Attribute) or not isinstance(node.ctx, ast.Load)


def _is_local(node: ast.Name, parents: Mapping[int, ast.AST]) -> bool:
    """Whether the function around it has something else by this name."""
    around = parents.get(id(node))
    while around is not None and not isinstance(around, ast.FunctionDef | ast.AsyncFunctionDef):
        around = parents.get(id(around))
    if around is None or any(d is node for d in ast.walk(around.args)):
        return False
    bound = {a.arg for a in ast.walk(around.args) if isinstance(a, ast.arg)}
    stored = (n for n in ast.walk(around) if isinstance(n, ast.Name) and n.id == node.id)
    return node.id in bound or any(isinstance(n.ctx, ast.Store) for n in stored)


def _imports(node: ast.Import | ast.ImportFrom, methods: Collection[str]) -> Iterator[Mark]:
    whole = isinstance(node, ast.Import)
    for alias in node.names:
        if (alias.name if whole else getattr(node, "module", "")) == "__main__":
            yield Mark("P04", node.lineno, "product code imports what was started")
        if (alias.asname or alias.name) in methods:
            yield Mark("P01", node.lineno, f"`{alias.asname or alias.name}` is imported")


def _looks(node: ast.FunctionDef) -> bool:
    """Whether a method's answers come from its objects: from both, where it has two."""
    answers = [n.value for n in ast.walk(node) if isinstance(n, ast.Return) and n.value]
    answers = [a for a in answers if dotted(a) != "NotImplemented"]
    if not answers:
        return True
    if all(isinstance(a, ast.Constant) for a in answers):
        return node.name == "__contains__" and not any(getattr(a, "value", 0) for a in answers)
    given = [a.arg for a in node.args.args]
    used = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    return node.name in UNARY or len(given) < 2 or given[1] in used


def _calls(
    node: ast.Call, name: str, defined: Collection[str], methods: Collection[str]
) -> Iterator[Mark]:
    line, words = node.lineno, [text_of(argument) for argument in node.args]
    first = dotted(node.args[0]) if node.args else ""
    if name == "getattr" and first in DEEP and words[1:2] == [None]:
        yield Mark("P04", line, f"a name of `{first}` that is not written out")
    elif name == "getattr" and first in DEEP and not isinstance(node.args[1], ast.Constant):
        yield Mark("P04", line, f"`{first}.{words[1]}` in parts")
    elif name in ("importlib.import_module", "__import__") and words[:1] == ["__main__"]:
        yield Mark("P04", line, "product code imports what was started")
    elif name in RUNS or any(
        k.arg == "allow_pickle" and getattr(k.value, "value", True) for k in node.keywords
    ):
        yield Mark("P10", line, f"`{name}()` hides what it runs")
    elif name in ("types.new_class", "type.__setattr__"):
        yield Mark("P01", line, f"`{name}()` in product code")
    elif name in ("ctypes.memmove", "ctypes.memset") and "id" in map(dotted, ast.walk(node)):
        yield Mark("P04", line, f"`{name}()` of the interpreter's objects")
    if name == "setattr" and len(node.args) == 3:
        value, written = node.args[2], isinstance(node.args[1], ast.Constant)
        if words[1] in methods and not written:
            yield Mark("P01", line, f"`{words[1]}` is replaced")
        elif words[1] is None and (isinstance(value, ast.Lambda) or dotted(value) in defined):
            made = isinstance(value, ast.Lambda | ast.Name)
            if made:
                yield Mark("P01", line, "a name that is not written out gets a function")
    if name == "type" and len(node.args) == 3:
        inside = node.args[2]
        if isinstance(inside, ast.Dict):
            plain = all(isinstance(key, ast.Constant) for key in inside.keys)
        else:
            made = isinstance(inside, ast.Call) and dotted(inside.func) == "dict"
            keys = {k.arg for k in getattr(inside, "keywords", ())}
            plain = made and None not in keys and not keys.intersection(methods)
        if not plain:
            yield Mark("P01", line, "a made type whose names are not written out")


def _compares(node: ast.Compare, names: Mapping[str, str]) -> Iterator[Mark]:
    sides = [node.left, *node.comparators]
    values = [side.value for side in sides if isinstance(side, ast.Constant)]
    numbers = [value for value in values if isinstance(value, int | float)]
    asked = {resolved(side.func, names) for side in sides if isinstance(side, ast.Call)}
    if any(value >= DATE for value in numbers) and asked & {"time.time", "time.time_ns"}:
        yield Mark("P12", node.lineno, "product code answers by the date")
    if numbers and asked & {"os.getpid", "os.getppid", "os.getpgid", "os.getsid"}:
        yield Mark("P04", node.lineno, "product code answers by its process")


def _sources(tree: ast.Module) -> Iterator[Mark]:
    """Functions that look for Python files and read them: the tests are such files."""
    for function in functions(tree):
        calls = [n for n in ast.walk(function) if isinstance(n, ast.Call)]
        last = {dotted(call.func).rpartition(".")[2] for call in calls}
        asked = [text_of(argument) or "" for call in calls for argument in call.args]
        if any(text.endswith(".py") for text in asked) and last & {"read_text", "read", "open"}:
            looks = last & {"glob", "rglob", "iglob", "walk", "listdir", "scandir", "iterdir"}
            if looks:
                yield Mark("P09", function.lineno, f"{function.name} reads Python files it finds")
