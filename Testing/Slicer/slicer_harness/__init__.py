"""A Slicer without its application, for tests: Slicer's real scene, logics and views (PyPI slicer-core), drawn
off-screen, and PySide6 taught to behave like PythonQt. The module under test knows nothing of it.

    from slicer_harness import probe            # what is missing here?
    from slicer_harness.application import start
    app = start()                               # slicer.app
    widget = app.openModule(Path("XRayRegistration/XRayRegistration.py"))
    view = app.layouts.slices["XRay1"]          # views.SliceView; app.layouts.views[0] is a views.ThreeDView
    view.click(*view.pixel_of(ras))             # also press, move, release, drag, picture
    app.picture(widget, Path("window.png"))     # the whole window

What is in camelCase is Slicer's, by its rules; what is in snake_case is for tests. What Slicer would refuse or only log
is an error here. The laws that it keeps are stated in test_harness*.py.

Slicer's own Python files that slicer-core lacks are taken from a Slicer checkout named by SLICER_SRC, otherwise from
doubles/. Pictures made here are not screenshots of Slicer: widgets of CTK and qMRML are simple stand-ins.
"""

import os

from . import libraries

# Before Qt looks for a screen.
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
# PythonQt's enumerations are integers; PySide6 reads this once, when it is first imported.
os.environ.setdefault("PYSIDE6_OPTION_PYTHON_ENUM", "2")
# Without a screen, VTK would look for one and complain before it draws off-screen.
if not os.environ.get("DISPLAY") and libraries.has_egl():
    os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
