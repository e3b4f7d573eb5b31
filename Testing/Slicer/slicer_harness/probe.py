"""Whether the harness can run here. Drawing is tried in a process of its own: a missing driver can end one."""

from __future__ import annotations

import functools
import importlib.util
import re
import subprocess
import sys

from . import libraries

_PACKAGES = {"slicer": "slicer-core", "PySide6": "PySide6-Essentials"}
_SECONDS = 120
# VTK colours its messages.
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")

_DRAWING = """
import os
os.environ["QT_QPA_PLATFORM"] = "offscreen"
from PySide6 import QtUiTools, QtWidgets
application = QtWidgets.QApplication(["probe"])
assert not QtWidgets.QLabel("text").grab().isNull()
import slicer, vtk
from vtk.util.numpy_support import vtk_to_numpy
renderer, window = vtk.vtkRenderer(), vtk.vtkRenderWindow()
renderer.SetBackground(1, 0, 0)
window.SetOffScreenRendering(1)
window.SetSize(16, 16)
window.AddRenderer(renderer)
window.Render()
image = vtk.vtkWindowToImageFilter()
image.SetInput(window)
image.Update()
assert vtk_to_numpy(image.GetOutput().GetPointData().GetScalars())[:, :3].mean(axis=0).tolist() == [255, 0, 0]
print("drawn")
"""


@functools.cache
def obstacle() -> str:
    """A sentence that says what is missing for the harness to run here; empty when nothing is."""
    missing = [package for name, package in _PACKAGES.items() if importlib.util.find_spec(name) is None]
    if missing:
        return f'not installed: {", ".join(missing)} (the extra "slicer" of XRayRegistration/pyproject.toml)'
    try:
        tried = subprocess.run([sys.executable, "-c", _DRAWING], capture_output=True, text=True, timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        return f"off-screen drawing did not answer within {_SECONDS} s"
    if tried.returncode == 0 and "drawn" in tried.stdout:
        return ""
    said = (_COLOURS.sub("", tried.stderr).strip().splitlines() or [f"exit code {tried.returncode}"])[-1]
    lacking = libraries.missing()
    advice = f"; {libraries.advice(lacking)}" if lacking else ""
    return f"nothing can be drawn off-screen here ({said}){advice}"
