"""Laws of PythonQt that the headless Slicer keeps (PythonQtInstanceWrapper.cpp, PythonQtSignalReceiver.cpp, and
docs/developer_guide of Slicer): what runs here must run there, and what fails there must fail here."""

from __future__ import annotations

import ast
import functools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HARNESS = Path(__file__).parent / "slicer_harness"
MODULE = Path(__file__).parents[2] / "XRayRegistration" / "XRayRegistration.py"


@pytest.fixture
def qt(app: Any) -> Any:
    """The flat module of PythonQt."""
    import qt

    return qt


def test_properties_are_attributes_and_hide_their_getters(qt):
    label, table = qt.QLabel("text"), qt.QTableWidget(2, 3)
    assert (label.text, table.rowCount, table.columnCount) == ("text", 2, 3)
    with pytest.raises(TypeError):
        label.text()
    with pytest.raises(TypeError):
        table.rowCount()


def test_properties_are_set_as_attributes_and_by_their_setters(qt):
    button = qt.QPushButton()
    button.text, button.enabled = "Go", False
    button.setToolTip("tip")
    button.setCheckable(True)
    assert (button.text, button.isEnabled(), button.toolTip, button.checkable) == ("Go", False, "tip", True)
    button.name = "go"
    assert button.objectName == "go"


@pytest.mark.parametrize(
    "attempt",
    [
        lambda qt: setattr(qt.QPushButton(), "myFlag", 1),
        lambda qt: setattr(qt.QPushButton(), "setText", 1),
        lambda qt: setattr(qt.QPushButton(), "clicked", 1),
        lambda qt: setattr(qt.QLabel(), "text", 3),
        lambda qt: setattr(qt.QSpinBox(), "value", "3"),
        lambda qt: setattr(qt.QWidget(), "width", 3),
        lambda qt: qt.QPushButton().myFlag,
    ],
    ids=["new attribute", "slot", "signal", "text", "number", "read only", "unknown"],
)
def test_what_a_cpp_object_refuses(qt, attempt):
    with pytest.raises(AttributeError):
        attempt(qt)


def test_python_subclasses_take_attributes(qt):
    class Row(qt.QWidget):
        pass

    row = Row()
    row.index = 3
    assert row.index == 3


def test_dynamic_properties_and_children_are_attributes(qt):
    holder = qt.QWidget()
    child = qt.QLabel(holder)
    child.objectName = "firstLabel"
    holder.setProperty("SlicerParameterName", "pose.turn")
    assert holder.firstLabel is child
    assert holder.SlicerParameterName == "pose.turn"
    holder.SlicerParameterName = "pose.tilt"
    assert holder.property("SlicerParameterName") == "pose.tilt"


def test_enumerations_are_integers(qt):
    item = qt.QTableWidgetItem("x")
    item.setCheckState(qt.Qt.Checked)
    assert item.checkState() == 2 == qt.Qt.Checked
    item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsUserCheckable)
    item.setData(qt.Qt.UserRole + 1, "kept")
    assert item.data(qt.Qt.UserRole + 1) == "kept"
    told: list[int] = []
    box = qt.QCheckBox()
    box.connect("stateChanged(int)", told.append)
    box.checked = True
    assert told == [qt.Qt.Checked]


def test_what_is_no_qobject_keeps_its_methods(qt):
    table = qt.QTableWidget(1, 2)
    table.setItem(0, 1, qt.QTableWidgetItem("5.0"))
    assert table.item(0, 1).text() == "5.0"
    assert qt.QColor(255, 0, 0).name() == "#ff0000"
    assert qt.QSize(3, 4).height() == 4
    entries = qt.QListWidget()
    entries.addItem("AP")
    entries.currentRow = 0
    assert (entries.count, entries.item(0).text(), entries.currentItem().text()) == (1, "AP", "AP")


def test_functions_get_as_many_arguments_as_they_take(qt):
    told: list[Any] = []

    class Panel:
        def on(self, checked: bool) -> None:
            told.append(("method", checked))

        def __call__(self, *everything: Any) -> None:
            told.append(("called", *everything))

    button = qt.QPushButton()
    button.checkable = True
    button.clicked.connect(lambda: told.append("nothing"))
    button.clicked.connect(lambda checked=None: told.append(("default", checked)))
    button.clicked.connect(lambda *everything: told.append(("all", *everything)))
    button.clicked.connect(Panel().on)
    button.clicked.connect(Panel())
    button.clicked.connect(functools.partial(lambda *everything: told.append(everything), "partial"))
    button.click()
    assert told == [
        "nothing",
        ("default", True),
        ("all", True),
        # Connected callables are kept alive.
        ("method", True),
        ("called", True),
        ("partial", True),
    ]


def test_a_signature_decides_what_is_passed(qt):
    told: list[Any] = []

    def listen(*everything: Any) -> None:
        told.append(everything)

    button, table = qt.QPushButton(), qt.QTableWidget(1, 2)
    button.checkable = True
    button.connect("clicked()", listen)
    button.connect("clicked(bool)", listen)
    table.connect("cellChanged(int,int)", listen)
    button.click()
    table.setItem(0, 1, qt.QTableWidgetItem("x"))
    assert told == [(), (True,), (0, 1)]
    assert button.disconnect("clicked()", listen) and button.disconnect("clicked(bool)", listen)
    assert not button.disconnect("clicked(bool)", listen)
    button.click()
    assert len(told) == 3


def test_an_unknown_signal_is_refused(qt):
    # Slicer returns False and logs a line, which nobody would see.
    for signature in ("clicked(int)", "pressedHard()", "setText(QString)"):
        with pytest.raises(ValueError):
            qt.QPushButton().connect(signature, print)


def test_a_slot_of_another_object_can_be_connected(qt):
    slider, label, spin = qt.QSlider(), qt.QLabel(), qt.QSpinBox()
    slider.connect("valueChanged(int)", label, "setNum(int)")
    slider.valueChanged.connect(spin.setValue)
    slider.value = 7
    assert (label.text, spin.value) == ("7", 7)
    with pytest.raises(ValueError):
        slider.connect("valueChanged(int)", label, "setNumber(int)")


def test_actions_menus_timers_and_bars(app, qt):
    told: list[str] = []
    button = qt.QToolButton()
    menu = qt.QMenu(button)
    action = menu.addAction("Export")
    action.triggered.connect(lambda: told.append("export"))
    button.setMenu(menu)
    button.popupMode = qt.QToolButton.InstantPopup
    action.trigger()
    timer = qt.QTimer()
    timer.setSingleShot(True)
    timer.setInterval(0)
    timer.connect("timeout()", lambda: told.append("timeout"))
    timer.start()
    assert timer.active and timer.interval == 0
    qt.QTimer.singleShot(0, lambda: told.append("once"))
    app.wait_until(lambda: len(told) == 3, 5.0)
    bar = qt.QProgressBar()
    bar.setValue(40)
    bar.format = "%p %"
    assert (bar.value, bar.text) == (40, "40 %")
    assert sorted(told) == ["export", "once", "timeout"]


def test_a_label_shows_what_a_painter_drew(qt):
    pixmap = qt.QPixmap(20, 10)
    pixmap.fill(qt.QColor(0, 0, 255))
    painter = qt.QPainter()
    painter.begin(pixmap)
    painter.fillRect(0, 0, 10, 10, qt.QColor(255, 0, 0))
    painter.end()
    label = qt.QLabel()
    label.setPixmap(pixmap)
    image = label.grab().toImage()
    assert (image.pixelColor(2, 5).red(), image.pixelColor(17, 5).blue()) == (255, 255)
    assert label.pixmap.width() == 20


def test_errors_in_slots_are_kept(qt, capfd):
    from slicer_harness import pythonqt

    def fail() -> None:
        raise ZeroDivisionError("in a slot")

    button = qt.QPushButton()
    button.clicked.connect(fail)
    button.click()
    assert [str(error) for error in pythonqt.slot_errors] == ["in a slot"]
    pythonqt.slot_errors.clear()
    capfd.readouterr()


def test_a_dialog_takes_a_tests_answer_and_never_waits(app, qt):
    with pytest.raises(LookupError, match="getOpenFileName"):
        qt.QFileDialog.getOpenFileName(None, "Open")
    with pytest.raises(LookupError, match="exec"):
        qt.QMessageBox().exec_()
    app.answers["getOpenFileName"] = lambda parent, title: f"/tmp/{title}"
    try:
        # PythonQt gives the path alone.
        assert qt.QFileDialog.getOpenFileName(None, "case.json") == "/tmp/case.json"
    finally:
        app.answers.clear()


def test_a_dialog_that_is_opened_without_waiting_is_found_and_answered(app, qt):
    import slicer

    told: list[str] = []
    dialog = qt.QInputDialog(slicer.util.mainWindow())
    dialog.connect("textValueSelected(QString)", told.append)
    dialog.open()
    (found,) = [window for window in app.topLevelWidgets() if window.className() == "QInputDialog"]
    found.setTextValue("AP")
    found.accept()
    assert told == ["AP"]
    dialog.delete()


def test_slicers_own_helpers_find_widgets(qt):
    import slicer

    holder = qt.QWidget()
    inner = qt.QWidget(holder)
    button = qt.QPushButton("Go", inner)
    button.objectName = "goButton"
    assert slicer.util.findChild(holder, "goButton") is button
    assert slicer.util.findChildren(holder, className="QPushButton") == [button]
    assert vars(slicer.util.childWidgetVariables(holder))["goButton"] is button


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("label.setAlignment(qt.Qt.AlignmentFlag.AlignLeft)", "qt.Qt.AlignLeft only"),
        ("header.setSectionResizeMode(qt.QHeaderView.ResizeMode.Stretch)", "qt.QHeaderView.Stretch only"),
        ("qt.QLabel(text='x')", "no keyword arguments"),
        ("ctk.ctkCollapsibleButton(text='x')", "no keyword arguments"),
        ("changed = qt.Signal()", "does not exist in PythonQt"),
        ("_(f'{count} found')", "one plain text"),
        ("_('found ' + name)", "one plain text"),
        ("label.setAlignment(qt.Qt.AlignLeft | qt.Qt.AlignTop)", ""),
        ("_('{count} found').format(count=3)", ""),
        ("slicer.util.loadVolume(path, properties={})", ""),
        ("qt.QTimer.singleShot(0, run)", ""),
    ],
)
def test_what_pyside_takes_and_pythonqt_refuses_is_found_in_the_source(app, line, said):
    from slicer_harness import manners

    found = list(manners.broken(ast.parse(line)))
    assert bool(found) == bool(said)
    assert all(said in sentence for sentence in found)


def test_the_module_keeps_pythonqts_manners(app):
    from slicer_harness import manners

    files = [MODULE, *MODULE.parent.glob("XRayRegistrationLib/**/*.py")]
    assert len(files) > 5
    broken = [f"{file.name}, {said}" for file in files for said in manners.broken(ast.parse(file.read_text()))]
    assert not broken


def test_system_libraries_are_looked_for_by_python_alone():
    # As before anything is installed: no site-packages, no environment.
    command = [sys.executable, "-I", "-S", str(HARNESS / "libraries.py")]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert found.returncode == bool(found.stdout)
    assert len(found.stdout.splitlines()) == found.returncode
    assert found.stderr == ""


def test_missing_system_libraries_are_named_with_their_packages(monkeypatch, capsys):
    from slicer_harness import libraries

    opened: list[str] = []
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(libraries, "_opens", lambda name: opened.append(name) or name != "libEGL.so.1")
    monkeypatch.setattr(libraries, "_has_driver", lambda: False)
    assert libraries.missing() == ["libegl1", "libgl1-mesa-dri"]
    assert len(opened) == 6
    assert libraries.main([]) == 1
    said = capsys.readouterr().out
    assert said.endswith("apt-get install libegl1 libgl1-mesa-dri\n") and said.count("\n") == 1
    # Without the right to install, the line is all there is.
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("nothing may be installed"))
    assert libraries.main(["--install"]) == 1
    monkeypatch.setattr(libraries, "_has_driver", lambda: True)
    monkeypatch.setattr(libraries, "_opens", lambda name: True)
    capsys.readouterr()
    assert libraries.main(["--install"]) == 0
    assert capsys.readouterr().out == ""
