"""What lies around the module in Slicer: its Python, its log, and libraries that others brought."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest


def test_slicers_python_is_found_in_its_folder(app):
    from XRayRegistrationLib.worker import python

    found = Path(python.interpreter())
    assert found.stem == "PythonSlicer" and found.is_relative_to(app.slicerHome)


def test_a_slicer_without_its_python_is_never_started_a_second_time(app, monkeypatch, tmp_path):
    from xrayreg.checks import InputError
    from XRayRegistrationLib.worker import python

    monkeypatch.setattr(app, "slicerHome", str(tmp_path))
    with pytest.raises(InputError, match="PythonSlicer") as raised:
        python.interpreter()
    assert len(str(raised.value).splitlines()) == 1 and str(tmp_path) in str(raised.value)


def test_without_slicers_python_no_training_begins_and_nothing_is_written(app, section, wishes, monkeypatch, tmp_path):
    import panel_driver as user

    (tmp_path / "home").mkdir()
    monkeypatch.setattr(app, "slicerHome", str(tmp_path / "home"))
    before = sorted(tmp_path.iterdir())
    section.ui.trainButton.click()
    user.until(app, lambda: not section._panel.running)
    user.settle(app)
    assert "PythonSlicer" in user.training_said(section)
    assert sorted(tmp_path.iterdir()) == before and not wishes


def test_numba_stays_out_of_slicers_log_unless_somebody_wants_it_there(app):
    from XRayRegistrationLib import dependencies

    logger = logging.getLogger("numba")
    before = logger.level
    try:
        for level, expected in ((logging.NOTSET, logging.WARNING), (logging.DEBUG, logging.DEBUG)):
            logger.setLevel(level)
            dependencies.quietLibraries()
            assert logger.level == expected
        logger.setLevel(logging.NOTSET)
        app.modules.load(Path(__file__).parents[2] / "XRayRegistration" / "XRayRegistration.py")
        import XRayRegistration

        XRayRegistration.XRayRegistrationLogic()
        # What compiling tells is told by its children.
        assert not logging.getLogger("numba.core.byteflow").isEnabledFor(logging.DEBUG)
    finally:
        logger.setLevel(before)


def test_sheets_are_set_by_pillow_alone(app):
    from PIL import ImageFont

    from xrayreg.overlay import sheet_parts

    for bold in (False, True):
        assert sheet_parts._font(14, bold).layout_engine == ImageFont.Layout.BASIC
