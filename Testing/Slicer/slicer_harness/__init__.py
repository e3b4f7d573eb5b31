"""A Slicer without its application, for tests: Slicer's real scene, logics and views (PyPI slicer-core), drawn
off-screen, and PySide6 taught to behave like PythonQt. The module under test knows nothing of it.

    from slicer_harness import probe            # without side effects: what is missing here?
    from slicer_harness.application import start
    app = start()
    widget = app.openModule("XRayRegistration/XRayRegistration.py")

Slicer's own Python files that slicer-core lacks are taken from a Slicer checkout named by SLICER_SRC, otherwise from
doubles.py. Pictures made here are not screenshots of Slicer: widgets of CTK and qMRML are simple stand-ins.
"""
