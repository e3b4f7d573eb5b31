"""The laws of the house, as functions from a source text to sentences about what breaks them.

A file of xrayreg imports only from lower floors or its own room; siblings on one floor do not know each other. A
package may be divided into rooms with floors of their own (`networks`): its own `__init__` then lies below all of them.
That of xrayreg itself loads nothing but `api`, and that only when one of its names is asked for.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import PurePosixPath

FLOORS: dict[str, int] = {
    **dict.fromkeys(("geometry", "settings", "checks", "slabs", "printing", "processes", "networks"), 0),
    **dict.fromkeys(("registration", "reasons", "schemas", "benchmark"), 0),
    **dict.fromkeys(("scene", "metrics"), 1),
    **dict.fromkeys(("render", "similarity", "io", "ct_alignment"), 2),
    **dict.fromkeys(("registration.problem", "networks.model"), 3),
    **dict.fromkeys(("optimize", "registration.problem_cache", "networks.data"), 4),
    **dict.fromkeys(("registration.initial", "registration.verdict", "networks.inference"), 5),
    **dict.fromkeys(("registration.assessment", "registration.results", "registration.starts"), 6),
    **dict.fromkeys(("overlay", "simulation", "benchmark.statistics", "benchmark.datasets", "benchmark.plotting"), 6),
    **dict.fromkeys(("registration.pipeline", "report", "networks.training"), 7),
    **dict.fromkeys(("api", "worker", "benchmark.methods"), 8),
    "benchmark.study": 9,
    **dict.fromkeys(("benchmark.tables", "benchmark.landscape"), 10),
    "benchmark.report": 11,
    **dict.fromkeys(("cli", "__main__"), 12),
}
# Packages that are divided into rooms.
DIVIDED = {room.split(".")[0] for room in FLOORS if "." in room}
# What the package itself offers, loaded when it is asked for.
LAZY = "api"
# Who may know a sibling on the same floor.
ACQUAINTED = {
    ("geometry", "checks"),
    ("settings", "checks"),
    ("checks", "printing"),
    ("__main__", "cli"),
}

SLICER_SIDE = {"slicer", "qt", "ctk", "vtk", "mrml", "XRayRegistration", "XRayRegistrationLib"}
LIGHT_IN_SLICER = {*SLICER_SIDE, "numpy", "scipy", "SimpleITK", *sys.stdlib_module_names}
LIGHT_IN_BACKEND = {
    "xrayreg",
    "xrayreg.checks",
    "xrayreg.settings",
    "xrayreg.worker.arrays",
    "xrayreg.worker.messages",
}

MAY_NAME_DEVICES = {"registration.py", "dispatch.py"}
LONGEST_FILE = 400
# Written in two halves, so that this file does not find itself.
LEFT_OVERS = re.compile(r"\b(?:" + "|".join(["TO" + "DO", "FIX" + "ME", "X" + "XX"]) + r")\b")


def imports(tree: ast.AST, path: PurePosixPath) -> Iterator[tuple[int, str]]:
    """Line and absolute dotted name of every import; `path` is the file's, from the folder that holds the package."""
    package = path.parent.parts
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            base += node.module.split(".") if node.module else []
            # `from . import scene` names a room; `from .scene import Volume` something inside one.
            holds_rooms = base[:1] == ["xrayreg"] and (len(base) == 1 or (len(base) == 2 and base[1] in DIVIDED))
            names = [alias.name for alias in node.names] if holds_rooms else [""]
            yield from ((node.lineno, ".".join([*base, name]).rstrip(".")) for name in names)
        elif isinstance(node, ast.Call) and _called(node) in ("import_module", "__import__"):
            name = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else None
            if not isinstance(name, str) or name.startswith("."):
                yield node.lineno, "?"
            else:
                yield node.lineno, name


def broken_floors(tree: ast.Module, path: PurePosixPath) -> Iterator[str]:
    """Imports of a backend file that reach up, sideways or out of the backend."""
    room = _room(".".join(path.with_suffix("").parts))
    if room and room not in FLOORS:
        yield f"{path}: {room} has no floor yet; give it one in Testing/Tools/laws.py"
        return
    at_file_scope = {line for statement in _at_file_scope(tree.body) for line, _ in imports(statement, path)}
    for line, name in imports(tree, path):
        where = f"{path}:{line}"
        if name == "?":
            yield f"{where}: imports a module by a name that cannot be read from the source"
        elif name.split(".")[0] in SLICER_SIDE:
            yield f"{where}: imports {name}, which exists only in Slicer"
        elif name.split(".")[0] == "xrayreg":
            target = _room(name)
            if target in ("", "__version__", room):
                continue
            if target not in FLOORS:
                yield f"{where}: {target} has no floor yet"
            elif not room and (target != LAZY or line in at_file_scope):
                yield f"{where}: the package itself imports {target}"
            elif room and FLOORS[target] >= FLOORS[room] and (room, target) not in ACQUAINTED:
                yield f"{where}: {room} (floor {FLOORS[room]}) imports {target} (floor {FLOORS[target]})"


def broken_manners(tree: ast.AST, path: PurePosixPath) -> Iterator[str]:
    """What no backend file does: hide errors, pin a device, print, share a mutable default, leave things undone."""
    room = _room(".".join(path.with_suffix("").parts))
    for node in ast.walk(tree):
        for problem in _problems(node, room, path.name):
            yield f"{path}:{getattr(node, 'lineno', 0)}: {problem}"


def heavy_at_file_scope(tree: ast.Module, path: PurePosixPath) -> Iterator[str]:
    """Imports of a Slicer-side file that run when Slicer starts and need more than Slicer brings along."""
    for statement in _at_file_scope(tree.body):
        for line, name in imports(statement, path):
            if name.split(".")[0] not in LIGHT_IN_SLICER and name not in LIGHT_IN_BACKEND:
                yield f"{path}:{line}: imports {name} when Slicer starts; import it inside the function that needs it"


def broken_text(text: str, path: PurePosixPath) -> Iterator[str]:
    """What no file has: too many lines, or notes about work not done."""
    lines = text.splitlines()
    if path.suffix == ".py" and len(lines) > LONGEST_FILE:
        yield f"{path}: {len(lines)} lines, at most {LONGEST_FILE}; take it apart"
    for number, line in enumerate(lines, 1):
        if LEFT_OVERS.search(line):
            yield f"{path}:{number}: left over: {line.strip()}"


def third_party(tree: ast.AST, path: PurePosixPath) -> set[str]:
    """Top-level names imported that are neither ours nor Python's."""
    names = {name.split(".")[0] for _, name in imports(tree, path)}
    return names - {"xrayreg", "?", *sys.stdlib_module_names}


def _room(name: str) -> str:
    """The room of a dotted name within the backend; empty for the package itself."""
    parts = [part for part in name.split(".")[1:] if part != "__init__"]
    return ".".join(parts[: 2 if parts[:1] and parts[0] in DIVIDED else 1])


def _called(node: ast.Call) -> str:
    function = node.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _is_broad(node: ast.expr) -> bool:
    kinds = node.elts if isinstance(node, ast.Tuple) else [node]
    return any(isinstance(kind, ast.Name) and kind.id in ("Exception", "BaseException") for kind in kinds)


def _is_mutable(node: ast.expr | None) -> bool:
    made = isinstance(node, ast.Call) and _called(node) in ("list", "dict", "set", "zeros", "ones", "empty")
    return made or isinstance(node, ast.List | ast.Dict | ast.Set)


def _swallows(handler: ast.ExceptHandler) -> bool:
    inside = [node for statement in handler.body for node in ast.walk(statement)]
    raises = any(isinstance(node, ast.Raise) for node in inside)
    return not raises and not any(isinstance(node, ast.Name) and node.id == handler.name for node in inside)


def _problems(node: ast.AST, room: str, file_name: str) -> Iterator[str]:
    if isinstance(node, ast.ExceptHandler):
        if node.type is None:
            yield "bare except: name the error that is expected"
        elif _is_broad(node.type) and _swallows(node):
            yield "swallows every exception: name the one that is expected, or report it"
    elif isinstance(node, ast.Call):
        name = _called(node)
        if isinstance(node.func, ast.Attribute) and name == "cuda":
            yield ".cuda(): take the device from the settings"
        if isinstance(node.func, ast.Name) and name == "print" and room != "cli":
            yield "print outside the command line"
        if name == "suppress" and any(_is_broad(argument) for argument in node.args):
            yield "swallows every exception: name the one that is expected"
    elif isinstance(node, ast.Constant) and file_name not in MAY_NAME_DEVICES:
        if isinstance(node.value, str) and re.fullmatch(r"cuda(:\d*)?", node.value):
            yield f"names the device {node.value!r}: take it from the settings"
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        if any(_is_mutable(default) for default in [*node.args.defaults, *node.args.kw_defaults]):
            yield "a default that can change: it is shared by all calls"
    elif isinstance(node, ast.Raise) and "NotImplemented" + "Error" in ast.dump(node):
        yield "a stub: write it or leave it out"


def _at_file_scope(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for statement in body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.unparse(statement.test):
            yield from _at_file_scope(statement.orelse)
        elif isinstance(statement, ast.If | ast.Try | ast.With | ast.ClassDef):
            for part in ("body", "orelse", "finalbody"):
                yield from _at_file_scope(getattr(statement, part, []))
            for handler in getattr(statement, "handlers", []):
                yield from _at_file_scope(handler.body)
        else:
            yield statement
