"""Laws of CTK's and qMRML's widgets that the headless Slicer's stand-ins keep."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

UI = """<?xml version="1.0" encoding="UTF-8"?>
<ui version="4.0">
 <class>Panel</class>
 <widget class="qMRMLWidget" name="Panel">
  <layout class="QVBoxLayout" name="layout">
   <item>
    <widget class="ctkCollapsibleButton" name="inputs">
     <property name="text"><string>Inputs</string></property>
     <layout class="QFormLayout" name="form">
      <item row="0" column="1">
       <widget class="qMRMLNodeComboBox" name="selector">
        <property name="nodeTypes"><stringlist><string>vtkMRMLScalarVolumeNode</string></stringlist></property>
        <property name="noneEnabled"><bool>true</bool></property>
        <property name="addEnabled"><bool>false</bool></property>
        <property name="SlicerParameterName" stdset="0"><string notr="true">volume</string></property>
       </widget>
      </item>
      <item row="1" column="1">
       <widget class="ctkSliderWidget" name="slider">
        <property name="minimum"><double>-180.0</double></property>
        <property name="maximum"><double>180.0</double></property>
        <property name="singleStep"><double>0.5</double></property>
        <property name="pageStep"><double>10.0</double></property>
        <property name="decimals"><number>1</number></property>
        <property name="suffix"><string> deg</string></property>
        <property name="value"><double>12.5</double></property>
       </widget>
      </item>
      <item row="2" column="1"><widget class="QCheckBox" name="box"/></item>
      <item row="3" column="1">
       <widget class="ctkPathLineEdit" name="path">
        <property name="filters"><set>ctkPathLineEdit::Files|ctkPathLineEdit::Readable</set></property>
       </widget>
      </item>
     </layout>
    </widget>
   </item>
  </layout>
 </widget>
 <connections>CONNECTIONS</connections>
</ui>
"""
SCENE = ("Panel", "mrmlSceneChanged(vtkMRMLScene*)", "selector", "setMRMLScene(vtkMRMLScene*)")
SHOWN = ("box", "toggled(bool)", "path", "setEnabled(bool)")


def load(folder: Path, *connections: tuple[str, str, str, str], ui: str = UI) -> Any:
    """The widget of the .ui text with the given connections."""
    import slicer

    parts = ("sender", "signal", "receiver", "slot")
    lines = ["".join(f"<{part}>{end}</{part}>" for part, end in zip(parts, ends, strict=True)) for ends in connections]
    file = folder / "Panel.ui"
    file.write_text(ui.replace("CONNECTIONS", "".join(f"<connection>{line}</connection>" for line in lines)))
    return slicer.util.loadUI(str(file))


def volume(app: Any, name: str) -> Any:
    return app.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)


@pytest.fixture
def empty(app: Any) -> Any:
    """The application with an empty scene."""
    app.scene.Clear(0)
    return app


@pytest.fixture
def selector(empty: Any) -> Any:
    """A selector of volumes that follows the scene; `told` is what it said."""
    import slicer

    made = slicer.qMRMLNodeComboBox()
    made.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    made.setMRMLScene(empty.scene)
    return made


def listen(widget: Any) -> list[str]:
    """Names of the nodes a selector tells of from now on."""
    told: list[str] = []
    widget.connect("currentNodeChanged(vtkMRMLNode*)", lambda node: told.append(node.GetName() if node else ""))
    return told


def test_a_ui_file_sets_properties_and_makes_connections(empty, tmp_path):
    import slicer

    panel = load(tmp_path, SCENE, SHOWN)
    ui = slicer.util.childWidgetVariables(panel)
    assert (ui.slider.value, ui.slider.suffix, ui.slider.minimum, ui.slider.pageStep) == (12.5, " deg", -180, 10)
    assert (ui.selector.nodeTypes, ui.selector.noneEnabled) == (("vtkMRMLScalarVolumeNode",), True)
    assert ui.selector.property("SlicerParameterName") == "volume"
    assert ui.selector.mrmlScene() is None and not ui.selector.enabled
    panel.setMRMLScene(empty.scene)
    assert ui.selector.mrmlScene() is empty.scene and ui.selector.enabled
    ui.box.click()
    ui.box.click()
    assert not ui.path.enabled


@pytest.mark.parametrize(
    "connection",
    [
        ("Panel", "mrmlSceneLost(vtkMRMLScene*)", "selector", "setMRMLScene(vtkMRMLScene*)"),
        ("Panel", "mrmlSceneChanged(vtkMRMLScene*)", "selector", "takeScene(vtkMRMLScene*)"),
        ("Panel", "mrmlSceneChanged(vtkMRMLScene*)", "chooser", "setMRMLScene(vtkMRMLScene*)"),
    ],
    ids=["signal", "slot", "receiver"],
)
def test_a_wrong_connection_in_a_ui_file_is_refused(empty, tmp_path, connection):
    with pytest.raises((LookupError, ValueError)):
        load(tmp_path, connection)


def test_an_unknown_widget_is_refused(empty, tmp_path):
    import ctk

    with pytest.raises((LookupError, RuntimeError)):
        load(tmp_path, ui=UI.replace("ctkSliderWidget", "ctkSliderGadget"))
    with pytest.raises(LookupError):
        ctk.ctkSliderGadget()


def test_a_slider_keeps_all_digits_shows_fewer_and_stays_in_its_range(app):
    import ctk

    slider = ctk.ctkSliderWidget()
    told: list[float] = []
    slider.connect("valueChanged(double)", told.append)
    assert (slider.minimum, slider.maximum, slider.value, slider.decimals, slider.singleStep) == (0, 99.99, 0, 2, 1)
    slider.value = 12.347
    slider.setValue(12.347)
    # As ctkSliderWidget::value() says: the slider is the most precise, only its spin box rounds.
    assert (slider.value, slider._spin.value) == (12.347, 12.35)
    slider.maximum = 10
    assert slider.value == 10
    slider.value = -5
    assert slider.value == 0
    assert told == [12.347, 10, 0]


def test_a_slider_without_tracking_tells_when_it_is_let_go(app):
    import ctk

    slider = ctk.ctkSliderWidget()
    slider.tracking = False
    told: list[tuple[str, float]] = []
    slider.connect("valueChanged(double)", lambda value: told.append(("changed", value)))
    slider.connect("valueIsChanging(double)", lambda value: told.append(("changing", value)))
    handle = slider._slider._slider
    handle.setSliderDown(True)
    handle.setValue(30)
    assert [kind for kind, _ in told] == ["changing"]
    handle.setSliderDown(False)
    assert [kind for kind, _ in told] == ["changing", "changed"]


def test_folding_hides_what_is_inside_but_shows_nothing_that_was_hidden(app):
    import ctk
    import qt

    for make in (ctk.ctkCollapsibleButton, ctk.ctkCollapsibleGroupBox):
        section = make("Section")
        layout = qt.QFormLayout(section)
        shown, hidden = qt.QLabel("a"), qt.QLabel("b")
        layout.addRow(shown)
        layout.addRow(hidden)
        hidden.hide()
        section.collapsed = True
        section.show()
        assert (shown.visible, hidden.visible) == (False, False)
        # Somebody wants it shown: it is, once the section is open.
        hidden.show()
        assert not hidden.visible
        section.collapsed = False
        assert (shown.visible, hidden.visible, section.checked) == (True, True, True)
        hidden.hide()
        section.checked = False
        section.checked = True
        assert (shown.visible, hidden.visible) == (True, False)


def test_a_section_tells_of_its_folding(app):
    import ctk

    section = ctk.ctkCollapsibleButton("Section")
    told: list[bool] = []
    section.connect("contentsCollapsed(bool)", told.append)
    section.click()
    section.collapsed = True
    section.collapsed = False
    assert told == [True, False]


def test_a_path_is_told_only_when_it_is_acceptable(app):
    import ctk

    line = ctk.ctkPathLineEdit()
    line.nameFilters = ["Cases (*.json *.yaml)"]
    told: list[str] = []
    valid: list[bool] = []
    line.connect("currentPathChanged(QString)", told.append)
    line.connect("validInputChanged(bool)", valid.append)
    for path in ("/tmp/case.json", "/tmp/case.txt", "/tmp/case.yaml", ""):
        line.setCurrentPath(path)
        assert line.currentPath == path
    assert told == ["/tmp/case.json", "/tmp/case.yaml"]
    assert valid == [True, False, True, False]


def test_a_path_line_remembers_what_it_is_told_to(app):
    import ctk

    line = ctk.ctkPathLineEdit()
    line.settingKey = "HarnessTest"
    for path in ("/tmp/a", "/tmp/b", "/tmp/a"):
        line.setCurrentPath(path)
        line.addCurrentPathToHistory()
    again = ctk.ctkPathLineEdit()
    again.settingKey = "HarnessTest"
    assert again.currentPath == "/tmp/a"
    assert [again.comboBox().itemText(n) for n in range(again.comboBox().count)] == ["/tmp/a", "/tmp/b"]


def test_folders_and_colours_are_told_when_they_change(app, tmp_path):
    import ctk
    import qt

    told: list[str] = []
    folder, colour = ctk.ctkDirectoryButton(), ctk.ctkColorPickerButton()
    folder.connect("directoryChanged(QString)", told.append)
    colour.connect("colorChanged(QColor)", lambda color: told.append(color.name()))
    assert folder.directory == os.getcwd()
    folder.directory = str(tmp_path)
    folder.directory = str(tmp_path)
    assert colour.color.name() == "#000000"
    colour.color = qt.QColor(255, 0, 0)
    colour.setColor(qt.QColor(255, 0, 0))
    assert told == [str(tmp_path), "#ff0000"]


def test_a_selector_lists_the_nodes_of_its_types_that_are_not_hidden(empty, selector):
    ct = volume(empty, "CT")
    empty.scene.AddNewNodeByClass("vtkMRMLModelNode", "bone")
    labels = empty.scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    import slicer

    hidden = slicer.vtkMRMLScalarVolumeNode()
    hidden.SetHideFromEditors(True)
    empty.scene.AddNode(hidden)
    assert [selector.nodeFromIndex(n) for n in range(selector.nodeCount())] == [ct, labels]
    selector.showChildNodeTypes = False
    assert selector.nodeCount() == 1
    selector.showHidden = True
    assert selector.nodeCount() == 2
    selector.showHidden = False
    selector.nodeTypes = ["vtkMRMLModelNode"]
    assert selector.nodeFromIndex(0).GetName() == "bone"


def test_a_selector_lists_by_attribute(empty, selector):
    xray = volume(empty, "X-ray")
    volume(empty, "CT")
    selector.addAttribute("vtkMRMLScalarVolumeNode", "XRayRegistration.role", "xray")
    assert selector.nodeCount() == 0
    xray.SetAttribute("XRayRegistration.role", "xray")
    assert [selector.nodeFromIndex(n) for n in range(selector.nodeCount())] == [xray]
    selector.removeAttribute("vtkMRMLScalarVolumeNode", "XRayRegistration.role")
    assert selector.nodeCount() == 2


def test_without_none_the_first_node_is_chosen_when_the_scene_is_set_and_not_later(empty, selector):
    import slicer

    ct = volume(empty, "CT")
    assert selector.currentNode() is None
    late = slicer.qMRMLNodeComboBox()
    late.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    late.setMRMLScene(empty.scene)
    assert late.currentNode() is ct
    optional = slicer.qMRMLNodeComboBox()
    optional.nodeTypes, optional.noneEnabled = ["vtkMRMLScalarVolumeNode"], True
    optional.setMRMLScene(empty.scene)
    assert optional.currentNode() is None


def test_a_choice_is_told_once_with_its_validity(empty, selector):
    ct = volume(empty, "CT")
    told, valid = listen(selector), []
    selector.connect("currentNodeChanged(bool)", valid.append)
    selector.setCurrentNode(ct)
    selector.setCurrentNodeID(ct.GetID())
    selector.setCurrentNode(None)
    assert (told, valid, selector.currentNodeID) == (["CT", ""], [True, False], "")


def test_when_the_chosen_node_leaves_a_neighbour_is_chosen(empty, selector):
    first, second, third = (volume(empty, name) for name in ("first", "second", "third"))
    selector.noneEnabled = True
    selector.setCurrentNode(second)
    told = listen(selector)
    empty.scene.RemoveNode(second)
    assert selector.currentNode() is third
    empty.scene.RemoveNode(third)
    assert selector.currentNode() is first
    empty.scene.RemoveNode(first)
    assert selector.currentNode() is None
    assert told == ["third", "first", ""]


def test_renaming_the_chosen_node_is_told_as_a_change(empty, selector):
    ct = volume(empty, "CT")
    selector.setCurrentNode(ct)
    told = listen(selector)
    ct.SetName("renamed")
    assert told == ["renamed"]


def test_a_choice_made_before_there_is_a_scene_is_kept(empty):
    import slicer

    volume(empty, "first")
    second = volume(empty, "second")
    early = slicer.qMRMLNodeComboBox()
    early.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    early.setCurrentNode(second)
    early.setMRMLScene(empty.scene)
    assert early.currentNode() is second


def test_closing_the_scene_empties_a_selector(empty, selector):
    selector.setCurrentNode(volume(empty, "CT"))
    told = listen(selector)
    empty.scene.Clear(0)
    assert (selector.nodeCount(), selector.currentNode(), told[-1]) == (0, None, "")


def test_a_user_creates_and_deletes_nodes_in_a_selector(empty, selector):
    selector.baseName = "Result"
    told: list[str] = []
    selector.connect("nodeAddedByUserAction(vtkMRMLNode*)", lambda node: told.append(node.GetName()))
    selector.choose_action("Create new")
    selector.choose_action("Create new")
    assert told == ["Result", "Result_1"]
    assert selector.currentNode().GetName() == "Result_1"
    selector.choose_action("Delete current")
    assert selector.currentNode().GetName() == "Result"
    selector.addEnabled = False
    with pytest.raises(StopIteration):
        selector.choose_action("Create new")


def test_text_and_titles_can_be_read_in_a_picture(app):
    import ctk
    import qt

    section = ctk.ctkCollapsibleButton("Registration")
    qt.QFormLayout(section).addRow("Rotation:", ctk.ctkSliderWidget())
    section.resize(300, 80)
    with_text = darkness(section)
    section.text = ""
    assert with_text > 1.2 * darkness(section)


def darkness(widget: Any) -> float:
    """Number of pixels of a grabbed widget that are dark, as letters are."""
    import qt

    image = widget.grab().toImage().convertToFormat(qt.QImage.Format_Grayscale8)
    grey = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
    return float((grey[:, : image.width()] < 110).sum())
