"""The laws of Testing/Tools/laws.py hold for every file, and each of them can be broken."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path, PurePosixPath

import pytest

import laws

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "XRayRegistration"
# Distributions whose import name differs from their own.
IMPORT_NAMES = {"pillow": "PIL", "scikit-image": "skimage"}


def sources(folder: Path, pattern: str = "*.py") -> list[Path]:
    return sorted(path for path in folder.rglob(pattern) if {"__pycache__", "build"}.isdisjoint(path.parts))


BACKEND = sources(MODULE / "xrayreg")
SLICER_SIDE = [*MODULE.glob("*.py"), *sources(MODULE / "XRayRegistrationLib")]
EVERY_TEXT = [
    path
    for folder in ("XRayRegistration", "Testing", "Documentation")
    for pattern in ("*.py", "*.md")
    for path in sources(ROOT / folder, pattern)
] + sorted(ROOT.glob("*.md"))


def parsed(path: Path) -> tuple[ast.Module, PurePosixPath]:
    return ast.parse(path.read_text(encoding="utf-8")), PurePosixPath(path.relative_to(MODULE).as_posix())


def lines(problems: list[str]) -> str:
    return "\n".join(["", *problems])


def test_the_scan_sees_the_backend():
    assert MODULE / "xrayreg" / "geometry" / "poses.py" in BACKEND
    assert Path(__file__) in EVERY_TEXT


def test_files_import_only_from_lower_floors_or_their_own_room():
    problems = [problem for path in BACKEND for problem in laws.broken_floors(*parsed(path))]
    assert not problems, lines(problems)


def test_the_backend_keeps_its_manners():
    problems = [problem for path in BACKEND for problem in laws.broken_manners(*parsed(path))]
    assert not problems, lines(problems)


def test_nothing_heavy_is_imported_when_slicer_starts():
    problems = [problem for path in SLICER_SIDE for problem in laws.heavy_at_file_scope(*parsed(path))]
    assert not problems, lines(problems)


def test_files_are_short_and_finished():
    problems = [
        problem
        for path in EVERY_TEXT
        for problem in laws.broken_text(path.read_text(encoding="utf-8"), PurePosixPath(path.relative_to(ROOT)))
    ]
    assert not problems, lines(problems)


def test_the_package_declares_exactly_what_it_imports():
    project = tomllib.loads((MODULE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["train"], *extras["evaluate"], *extras["triton"]]
    names = [re.split(r"[<>=]", dependency)[0] for dependency in wanted]
    declared = {IMPORT_NAMES.get(name, name) for name in names}
    imported = set().union(*(laws.third_party(*parsed(path)) for path in BACKEND))
    assert declared == imported


WRONG_FLOORS = {
    "reaches up": ("scene/volume.py", "from ..render import dispatch"),
    "reaches up from inside a function": ("scene/volume.py", "def f():\n    from ..io import read"),
    "reaches up by its absolute name": ("geometry/poses.py", "import xrayreg.scene.volume"),
    "reaches up through the package": ("scene/volume.py", "from .. import problem"),
    "knows a sibling": ("render/joseph.py", "from ..similarity import zncc"),
    "knows a sibling on the top floor": ("cli/app.py", "from .. import __main__"),
    "needs Slicer": ("io/volumes.py", "import slicer.util"),
    "needs VTK": ("overlay.py", "from vtk.util import numpy_support"),
    "hides what it imports": ("problem.py", "import importlib\nimportlib.import_module('.' + name, __package__)"),
    "the package loads a room": ("__init__.py", "from .pipeline import register"),
    "the package loads what it offers": ("__init__.py", "from .api import register"),
    "the package loads a room when it is asked": ("__init__.py", "def f():\n    from .pipeline import register"),
    "lives on no floor": ("helpers.py", "import math"),
    "imports a room on no floor": ("problem.py", "from .helpers import clamp"),
    "reaches up within a divided package": ("networks/model/heads.py", "from ..training.loop import train"),
    "reaches up to a room of a divided package": ("networks/data/batches.py", "from .. import inference"),
    "reaches up into a divided package": (
        "ct_alignment/alignment.py",
        "from ..networks.model.template import Template",
    ),
    "a divided package loads its rooms": ("networks/__init__.py", "from .model import heads"),
    "lives beside the rooms of a divided package": ("networks/helpers.py", "import math"),
}
RIGHT_FLOORS = {
    "its own room": ("scene/scene.py", "from .volume import Volume\nfrom . import field"),
    "a lower floor": ("io/cases.py", "from ..scene import Scene\nfrom ..geometry.poses import rigid"),
    "the package offers names when they are asked for": (
        "__init__.py",
        "if TYPE_CHECKING:\n    from .api import register\ndef f():\n    from . import api",
    ),
    "the version": ("report.py", "from . import __version__"),
    "checks from geometry": ("geometry/grids.py", "from ..checks import InputError"),
    "the command line from its entry": ("__main__.py", "from .cli import main"),
    "the same room of a divided package": ("networks/data/batches.py", "from .subjects import Subject"),
    "a lower room of a divided package": ("networks/training/loop.py", "from ..model.heads import best"),
    "a lower floor from a divided package": ("networks/model/template.py", "from ...scene import Volume"),
    "a divided package from above": ("api.py", "from .networks.model.checkpoint import Checkpoint"),
    "libraries": ("render/rays.py", "import numpy as np\nfrom torch import Tensor"),
}


@pytest.mark.parametrize(("file", "source"), WRONG_FLOORS.values(), ids=WRONG_FLOORS)
def test_a_broken_floor_is_told_in_one_sentence(file, source):
    assert len(list(laws.broken_floors(ast.parse(source), PurePosixPath("xrayreg", file)))) == 1


@pytest.mark.parametrize(("file", "source"), RIGHT_FLOORS.values(), ids=RIGHT_FLOORS)
def test_what_the_floors_allow_is_not_told(file, source):
    assert not list(laws.broken_floors(ast.parse(source), PurePosixPath("xrayreg", file)))


WRONG_MANNERS = {
    "bare except": "try:\n    f()\nexcept:\n    pass",
    "swallowed": "try:\n    f()\nexcept Exception:\n    pass",
    "swallowed with a value": "try:\n    f()\nexcept (ValueError, Exception):\n    ok = False",
    "suppressed": "with contextlib.suppress(Exception):\n    f()",
    "moves to the GPU": "x = y.cuda()",
    "names a device": "x = y.to('cuda')",
    "names a numbered device": "x = torch.device('cuda:0')",
    "prints": "print('done')",
    "mutable default": "def f(x, names=[]):\n    return names",
    "mutable keyword default": "def f(*, names=dict()):\n    return names",
    "stub": "def f():\n    raise NotImplemented" + "Error",
}
RIGHT_MANNERS = {
    "a named error": "try:\n    f()\nexcept OSError:\n    pass",
    "a broad one passed on": "try:\n    f()\nexcept Exception as error:\n    raise ValueError from error",
    "a broad one reported": "try:\n    f()\nexcept Exception as error:\n    reason = str(error)",
    "a library's stub": "try:\n    f()\nexcept NotImplemented" + "Error:\n    pass",
    "a device from outside": "x = y.to(device)",
    "a word about a device": '"""Runs on cuda and elsewhere."""',
    "frozen default": "def f(names=()):\n    return names",
}


@pytest.mark.parametrize("source", WRONG_MANNERS.values(), ids=WRONG_MANNERS)
def test_bad_manners_are_told_in_one_sentence(source):
    assert len(list(laws.broken_manners(ast.parse(source), PurePosixPath("xrayreg/render/joseph.py")))) == 1


@pytest.mark.parametrize("source", RIGHT_MANNERS.values(), ids=RIGHT_MANNERS)
def test_good_manners_are_not_told(source):
    assert not list(laws.broken_manners(ast.parse(source), PurePosixPath("xrayreg/render/joseph.py")))


def test_the_command_line_may_print():
    assert not list(laws.broken_manners(ast.parse("print('done')"), PurePosixPath("xrayreg/cli/app.py")))


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("import torch", 1),
        ("try:\n    import pydicom\nexcept ImportError:\n    pydicom = None", 1),
        ("class Logic:\n    from xrayreg.registration.pipeline import register", 1),
        ("def run():\n    import torch", 0),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch", 0),
        ("import slicer, numpy\nfrom xrayreg.settings import Effort", 0),
    ],
)
def test_imports_at_slicer_start_are_told_apart(source, told):
    found = list(laws.heavy_at_file_scope(ast.parse(source), PurePosixPath("XRayRegistrationLib/Logic.py")))
    assert len(found) == told


def test_long_files_and_left_overs_are_told():
    path = PurePosixPath("a.py")
    assert not list(laws.broken_text("x = 1\n" * laws.LONGEST_FILE, path))
    assert list(laws.broken_text("x = 1\n" * (laws.LONGEST_FILE + 1), path))
    assert list(laws.broken_text("x = 1  # " + "TO" + "DO later\n", path))
