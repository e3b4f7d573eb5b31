"""How long things live in PythonQt: laws that the headless Slicer keeps (lifetimes.py and settings.py in it)."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest


@pytest.fixture
def qt(app: Any) -> Any:
    """The flat module of PythonQt."""
    import qt

    return qt


def test_what_single_shot_is_given_is_never_freed(app, qt):
    class Call:
        def __call__(self) -> None:
            told.append("called")

    told: list[str] = []
    call = Call()
    held = weakref.ref(call)
    qt.QTimer.singleShot(0, call)
    del call
    app.wait_until(lambda: bool(told), 5.0)
    app.processEvents()
    gc.collect()
    assert held() is not None


def test_a_timer_that_calls_its_owner_keeps_it_until_the_timer_is_deleted(app, qt):
    class Owner:
        def __init__(self) -> None:
            self.timer = qt.QTimer()
            self.timer.timeout.connect(self.act)

        def act(self) -> None:
            pass

    owner = Owner()
    held, timer = weakref.ref(owner), owner.timer
    del owner
    gc.collect()
    assert held() is not None
    timer.deleteLater()
    qt.QCoreApplication.sendPostedEvents(None, qt.QEvent.DeferredDelete)
    gc.collect()
    assert held() is None


def test_a_destroyed_object_is_false_and_refuses_everything(qt):
    label = qt.QLabel("text")
    assert label
    label.delete()
    assert not label
    for attempt in (lambda: label.text, lambda: label.setText("x"), lambda: label.connect("destroyed()", print)):
        with pytest.raises(ValueError, match="destroyed QLabel"):
            attempt()
    with pytest.raises(ValueError, match="destroyed QLabel"):
        label.text = "x"

    class Row(qt.QWidget):
        pass

    row = Row()
    row.index = 3
    row.delete()
    assert row.index == 3 and not row


def test_lists_in_settings_come_back_as_tuples(qt):
    settings = qt.QSettings()
    for kept in ([], ["one"], ["one", "two"]):
        settings.setValue("harness/list", kept)
        assert qt.QSettings().value("harness/list") == tuple(kept)
    settings.beginGroup("harness")
    settings.setValue("list", ["in a group"])
    settings.endGroup()
    settings.sync()
    assert qt.QSettings().value("harness/list") == ("in a group",)
    settings.setValue("harness/list", "one")
    assert qt.QSettings().value("harness/list") == "one"
    settings.remove("harness/list")
    assert not settings.contains("harness/list")
