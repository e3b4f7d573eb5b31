"""Laws of Slicer's parameter nodes, held by the originals (SLICER_SRC) and by the harness's doubles alike."""

import enum
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, Optional

import pytest


class Effort(enum.Enum):
    fast = "f"
    thorough = "t"

    def label(self) -> str:
        return self.name.title()


@pytest.fixture
def node(app: Any) -> Any:
    """An empty parameter node."""
    app.scene.Clear(0)
    return app.scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "parameters")


@pytest.fixture
def classes(app: Any) -> Any:
    """A pack of three angles and a wrapper with one parameter of each kind."""
    import qt
    from slicer import vtkMRMLMarkupsFiducialNode, vtkMRMLScalarVolumeNode
    from slicer.parameterNodeWrapper import (
        Choice,
        Decimals,
        Default,
        Minimum,
        SingleStep,
        WithinRange,
        parameterNodeWrapper,
        parameterPack,
    )

    @parameterPack
    class Pose:
        turn: Annotated[float, WithinRange(-180, 180)] = 10.0
        tilt: float
        name: str = "AP"

    @parameterNodeWrapper
    class Parameters:
        flag: bool = True
        count: Annotated[int, Minimum(0)]
        share: Annotated[float, WithinRange(0, 1), Decimals(3), SingleStep(0.005)] = 0.25
        text: str = "abc"
        path: Path
        effort: Effort = Effort.thorough
        color: qt.QColor = qt.QColor(1, 2, 3)
        speed: Annotated[str, Choice(["slow", "quick"]), Default("quick")]
        volume: vtkMRMLScalarVolumeNode
        names: list[str]
        volumes: list[vtkMRMLScalarVolumeNode]
        maybe: Optional[float]  # noqa: UP045
        points: vtkMRMLMarkupsFiducialNode | None
        pose: Pose

    return SimpleNamespace(Parameters=Parameters, Pose=Pose)


def volume(app: Any, name: str) -> Any:
    return app.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)


def test_a_fresh_node_gets_the_defaults(classes, node):
    p = classes.Parameters(node)
    assert (p.flag, p.count, p.share, p.text, p.effort) == (True, 0, 0.25, "abc", Effort.thorough)
    assert (p.path, p.speed, p.maybe, p.volume) == (Path(), "quick", None, None)
    assert (p.color.red(), p.color.green(), p.color.blue()) == (1, 2, 3)
    assert list(p.names) == [] and list(p.volumes) == []
    assert (p.pose.turn, p.pose.tilt, p.pose.name) == (10.0, 0.0, "AP")


def test_values_live_in_the_node_under_known_names(app, classes, node):
    import qt

    p = classes.Parameters(node)
    p.flag, p.count, p.share, p.effort, p.maybe = False, 3, 0.125, Effort.fast, 1.5
    p.names = ["a", "b"]
    p.pose.turn = -30.0
    p.color = qt.QColor(255, 0, 0)
    ct = volume(app, "CT")
    p.volume = ct
    kept = {name: node.GetParameter(name) for name in ("flag", "count", "share", "effort", "maybe.0", "pose.turn")}
    assert kept == {
        "flag": "False",
        "count": "3",
        "share": "0.125",
        "effort": "fast",
        "maybe.0": "1.5",
        "pose.turn": "-30.0",
    }
    assert (node.GetParameter("names.len"), node.GetParameter("names.1")) == ("2", "b")
    assert node.GetParameter("color") == "#ffff0000"
    assert node.GetNodeReferenceID("volume") == ct.GetID()
    again = classes.Parameters(node)
    assert (again.flag, again.count, again.share, again.effort, again.maybe) == (False, 3, 0.125, Effort.fast, 1.5)
    assert (again.pose.turn, again.volume, list(again.names)) == (-30.0, ct, ["a", "b"])


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("share", 1.5, ValueError),
        ("share", "0.5", TypeError),
        ("share", None, ValueError),
        ("count", 1.5, TypeError),
        ("count", -1, ValueError),
        ("text", 3, TypeError),
        ("flag", 1, TypeError),
        ("effort", "fast", TypeError),
        ("speed", "lazy", ValueError),
        ("maybe", "x", TypeError),
        ("names", [1], TypeError),
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(classes, node, name, value, error):
    p = classes.Parameters(node)
    before = getattr(p, name)
    before = list(before) if name == "names" else before
    with pytest.raises(error):
        setattr(p, name, value)
    assert getattr(p, name) == before


def test_a_node_of_another_class_is_refused(app, classes, node):
    p = classes.Parameters(node)
    with pytest.raises(TypeError):
        p.volume = app.scene.AddNewNodeByClass("vtkMRMLModelNode")
    p.points = app.scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
    p.points = None
    assert p.points is None


def test_lists_write_themselves_back(app, classes, node):
    p = classes.Parameters(node)
    p.names.append("femur")
    p.names += ["pelvis"]
    p.names[0] = "tibia"
    assert [node.GetParameter(f"names.{n}") for n in range(2)] == ["tibia", "pelvis"]
    del p.names[0]
    assert list(p.names) == ["pelvis"] and not node.HasParameter("names.1")
    ct, xray = volume(app, "CT"), volume(app, "X-ray")
    p.volumes = [ct, xray]
    p.volumes.remove(ct)
    assert list(p.volumes) == [xray]


def test_packs_write_themselves_back_and_keep_their_limits(classes, node):
    p = classes.Parameters(node)
    pose = p.pose
    pose.tilt = 12.5
    p.setValue("pose.name", "LAT")
    assert (p.pose.tilt, p.getValue("pose.name")) == (12.5, "LAT")
    with pytest.raises(ValueError):
        p.pose.turn = 400.0
    with pytest.raises(ValueError):
        p.setValue("pose.roll", 1.0)
    p.pose = classes.Pose(turn=5.0, name="PA")
    assert (p.pose.turn, p.pose.tilt, p.pose.name) == (5.0, 0.0, "PA")
    assert classes.Pose(5.0, 0.0, "PA") == classes.Pose(turn=5.0, name="PA")


def test_a_removed_node_is_forgotten(app, classes, node):
    p = classes.Parameters(node)
    p.volume = volume(app, "CT")
    app.scene.RemoveNode(p.volume)
    assert p.volume is None


def test_reserved_and_unknown_things_are_refused_when_the_class_is_made(app):
    from slicer.parameterNodeWrapper import parameterNodeWrapper

    with pytest.raises(ValueError):

        @parameterNodeWrapper
        class Reserved:
            connectGui: str

    with pytest.raises(Exception, match="Unable"):

        @parameterNodeWrapper
        class Unknown:
            thing: complex


def widgets(**made: Any) -> Any:
    """What childWidgetVariables gives: widgets as attributes, bound by their names."""
    for name, widget in made.items():
        widget.setProperty("SlicerParameterName", name.replace("__", "."))
    return SimpleNamespace(**made)


def test_widgets_and_node_follow_each_other(app, classes, node):
    import ctk
    import qt
    import slicer

    ui = widgets(
        flag=qt.QCheckBox(),
        count=qt.QSpinBox(),
        share=ctk.ctkSliderWidget(),
        text=qt.QLineEdit(),
        path=ctk.ctkPathLineEdit(),
        effort=qt.QComboBox(),
        speed=qt.QComboBox(),
        color=ctk.ctkColorPickerButton(),
        volume=slicer.qMRMLNodeComboBox(),
        pose__turn=ctk.ctkSliderWidget(),
        pose__tilt=qt.QDoubleSpinBox(),
    )
    ui.volume.noneEnabled = True
    ui.volume.setMRMLScene(app.scene)
    p = classes.Parameters(node)
    tag = p.connectGui(ui)
    # Widgets show the node, with its limits and hints.
    assert (ui.share.minimum, ui.share.maximum, ui.share.decimals, ui.share.singleStep) == (0, 1, 3, 0.005)
    assert (ui.pose__turn.value, ui.pose__turn.minimum, ui.count.minimum) == (10.0, -180, 0)
    assert [ui.effort.itemText(n) for n in range(ui.effort.count)] == ["Fast", "Thorough"]
    assert (ui.effort.currentIndex, ui.speed.currentText, ui.flag.checked) == (1, "quick", True)
    assert ui.volume.nodeTypes == ("vtkMRMLScalarVolumeNode",)
    assert ui.color.color == p.color
    # From widgets to node.
    ct = volume(app, "CT")
    ui.flag.click()
    ui.count.value = 7
    ui.share.value = 0.5
    ui.text.text = "xyz"
    ui.path.setCurrentPath("/tmp/case.json")
    ui.effort.currentIndex = 0
    ui.speed.setCurrentIndex(0)
    ui.color.setColor(qt.QColor(9, 8, 7))
    ui.volume.setCurrentNode(ct)
    ui.pose__turn.value = 45
    ui.pose__tilt.value = -3.5
    assert (p.flag, p.count, p.share, p.text, p.path) == (False, 7, 0.5, "xyz", Path("/tmp/case.json"))
    assert (p.effort, p.speed, p.color.red(), p.volume) == (Effort.fast, "slow", 9, ct)
    assert (p.pose.turn, p.pose.tilt) == (45.0, -3.5)
    # From node to widgets.
    p.share, p.effort, p.volume, p.pose.turn = 0.75, Effort.thorough, None, -90.0
    assert (ui.share.value, ui.effort.currentIndex, ui.volume.currentNode(), ui.pose__turn.value) == (
        0.75,
        1,
        None,
        -90,
    )
    # And no more after that.
    p.disconnectGui(tag)
    ui.flag.click()
    p.share = 0.1
    assert (p.flag, ui.share.value) == (False, 0.75)


def test_changes_of_widgets_are_one_modified_event_each(app, classes, node):
    import ctk
    import vtk

    ui = widgets(share=ctk.ctkSliderWidget(), pose__turn=ctk.ctkSliderWidget())
    p = classes.Parameters(node)
    p.connectGui(ui)
    heard: list[str] = []
    p.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda caller, event: heard.append(event))
    ui.share.value = 0.5
    assert len(heard) == 1
    before = p.StartModify()
    p.share, p.flag, p.pose.turn = 0.1, False, 3.0
    assert len(heard) == 1
    p.EndModify(before)
    assert len(heard) == 2


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("text", "QCheckBox"),
        ("flag", "QLineEdit"),
        ("text", "QComboBox"),
        ("pose__tilt", "ctkSliderWidget"),
        ("effort", "QSpinBox"),
        ("color", "QPushButton"),
    ],
)
def test_a_widget_that_cannot_show_a_parameter_is_refused(app, classes, node, name, make):
    import ctk
    import qt

    ui = widgets(**{name: getattr(ctk if make.startswith("ctk") else qt, make)()})
    # What fits no connector at all, is asked in a way that only fits some, or is not bounded.
    with pytest.raises((RuntimeError, TypeError)):
        classes.Parameters(node).connectGui(ui)


def test_an_unknown_name_on_a_widget_is_refused(app, classes, node):
    import qt

    with pytest.raises(ValueError):
        classes.Parameters(node).connectGui(widgets(lost=qt.QLineEdit()))


def test_parameters_survive_saving(app, classes, tmp_path):
    from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

    class PhantomLogic(ScriptedLoadableModuleLogic):
        pass

    app.scene.Clear(0)
    p = classes.Parameters(PhantomLogic().getParameterNode())
    p.share, p.names, p.volume, p.pose.turn = 0.75, ["a", "b"], volume(app, "CT"), 33.0
    app.save_scene(tmp_path / "scene.mrb")
    app.scene.Clear(0)
    app.load_scene(tmp_path / "scene.mrb")
    again = classes.Parameters(PhantomLogic().getParameterNode())
    assert (again.share, list(again.names), again.volume.GetName(), again.pose.turn) == (0.75, ["a", "b"], "CT", 33.0)
