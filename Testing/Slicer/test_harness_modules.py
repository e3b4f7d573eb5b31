"""Laws of a scripted module's life in Slicer that the headless Slicer keeps, tried on a module of a few lines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

NAME = "HarnessSpecimen"
MODULE = """
import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import *
from slicer.util import VTKObservationMixin

VERSION = 1
LIFE = []


class HarnessSpecimen(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Specimen")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Testing")]
        slicer.app.connect("startupCompleted()", registerSampleData)


def registerSampleData():
    import SampleData

    LIFE.append("started")
    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="Specimen", sampleName="SpecimenVolume", uris=[], fileNames=[], customDownloader=download,
    )


def download(source):
    return slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", source.sampleName)


class HarnessSpecimenWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        LIFE.append(("setup", self.parent.isEntered))
        import qt

        self.label = qt.QLabel(f"version {VERSION}")
        self.layout.addWidget(self.label)
        self.logic = HarnessSpecimenLogic()
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onClosed)

    def onClosed(self, caller, event):
        LIFE.append("closed")

    def enter(self):
        LIFE.append(("enter", self.parent.isEntered))

    def exit(self):
        LIFE.append(("exit", self.parent.isEntered))

    def cleanup(self):
        LIFE.append("cleanup")
        self.removeObservers()


class HarnessSpecimenLogic(ScriptedLoadableModuleLogic):
    pass


class HarnessSpecimenTest(ScriptedLoadableModuleTest):
    def setUp(self):
        slicer.mrmlScene.Clear()

    def test_two(self):
        self.delayDisplay("two")
        LIFE.append("test_two")

    def test_one(self):
        LIFE.append("test_one")
"""


@pytest.fixture(scope="module")
def source(app: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The module's file."""
    path = tmp_path_factory.mktemp("specimen") / f"{NAME}.py"
    path.write_text(MODULE)
    return path


@pytest.fixture
def widget(app: Any, source: Path) -> Iterator[Any]:
    """The module's panel, in an empty scene."""
    app.scene.Clear(0)
    opened = app.openModule(source)
    yield opened
    app.closeModule(opened)


def life() -> list[Any]:
    """What the module was told since this was last asked."""
    import sys

    told = list(sys.modules[NAME].LIFE)
    sys.modules[NAME].LIFE.clear()
    return told


def test_a_panel_is_set_up_before_it_is_entered_and_its_samples_are_registered_once(app, widget):
    import slicer

    assert life() == ["started", ("setup", False), ("enter", True)]
    module = slicer.util.getModule(NAME)
    assert (module.title, module.categories, module.name) == ("Specimen", ["Testing"], NAME)
    assert slicer.modules.harnessspecimen is module
    assert slicer.modules.HarnessSpecimenWidget is widget is slicer.util.getModuleWidget(NAME)
    assert slicer.util.modulePath(NAME) == widget.resourcePath("")[: -len("Resources/")] + f"{NAME}.py"
    with pytest.raises(AttributeError):
        module.author = "nobody"


def test_a_module_is_unloaded_without_being_left_and_its_widgets_are_deleted(app, widget):
    life()
    app.scene.Clear(0)
    app.closeModule(widget)
    app.scene.Clear(0)
    # Its observers are gone with it.
    assert life() == ["closed", "cleanup"]
    assert not widget.parent
    # Nor does another unloading reach it.
    app.modules.moduleAboutToBeUnloaded.emit(NAME)
    assert life() == []


def test_selecting_another_module_leaves_this_one(app, widget):
    import slicer

    life()
    slicer.util.selectModule("Data")
    assert slicer.util.selectedModule() == "Data"
    slicer.util.selectModule(NAME)
    slicer.util.selectModule(NAME)
    assert life() == [("exit", False), ("enter", True)]
    assert slicer.util.mainWindow().moduleSelector().selectedModule == NAME


def test_leaving_and_coming_back(app, widget):
    life()
    app.exit(widget)
    assert not widget.parent.isEntered
    app.enter(widget)
    assert life() == [("exit", False), ("enter", True)]


def test_reloading_runs_the_source_anew(app, widget, source):
    import slicer

    life()
    # Of another length: kept bytecode is taken for current where size and second of the source are the same.
    source.write_text(MODULE.replace("VERSION = 1", "VERSION = 2  # edited"))
    old_label = widget.label
    new = app.reload_module(widget)
    source.write_text(MODULE)
    assert new is not widget and new is slicer.modules.HarnessSpecimenWidget
    assert new.label.text == "version 2"
    assert new.parent is widget.parent and not old_label.visible
    # The new file has a list of its own; it is set up, but not entered a second time.
    assert life() == [("setup", True)]


def test_a_sample_is_fetched_by_its_own_function_when_it_is_clicked(app, widget):
    import SampleData
    import slicer

    node = app.click_sample("SpecimenVolume")
    assert node is slicer.util.getNode("SpecimenVolume")
    sources = SampleData.SampleDataLogic.sampleDataSourcesByCategory("Specimen")
    assert [source.sampleName for source in sources] == ["SpecimenVolume"]
    with pytest.raises(LookupError):
        app.click_sample("Lost")


def test_a_sample_needs_a_list_of_uris_even_with_a_function_of_its_own(app):
    import SampleData

    register = SampleData.SampleDataLogic.registerCustomSampleDataSource
    with pytest.raises(TypeError):
        register(category="Specimen", sampleName="none", customDownloader=print)
    with pytest.raises(ValueError):
        register(category="Specimen", sampleName="two", uris=["a", "b"], fileNames=["a"])
    register(category="Specimen", sampleName="text", uris="file:///a.nrrd", fileNames="a.nrrd", nodeNames="A")
    source = SampleData.SampleDataLogic().sourceForSampleName("text")
    assert (source.uris, source.nodeNames, source.checksums) == (["file:///a.nrrd"], ["A"], [None])


def test_the_self_test_button_runs_every_test(app, widget):
    import slicer

    life()
    slicer.selfTests[NAME](msec=1)
    assert [entry for entry in life() if isinstance(entry, str) and entry.startswith("test")] == [
        "test_one",
        "test_two",
    ]


def test_a_logic_has_one_parameter_node(app, widget):
    node = widget.logic.getParameterNode()
    assert widget.logic.getParameterNode() is node
    assert (node.GetAttribute("ModuleName"), node.GetSingletonTag()) == (NAME, NAME)
    assert widget.logic.getAllParameterNodes() == [node]
    app.scene.Clear(0)
    # A singleton outlives the scene, without its attributes.
    assert widget.logic.getParameterNode().GetAttribute("ModuleName") == NAME


def test_translations_that_lose_a_placeholder_are_not_used(app, monkeypatch):
    from slicer.i18n import tr

    monkeypatch.setattr(app, "translate", lambda context, text: text.upper())
    assert tr("found") == "FOUND"
    assert tr("{count} found") == "{count} found"


def test_messages_are_skipped_in_tests(app):
    import slicer

    assert slicer.app.testingEnabled()
    # At once; in 5.12 the answer is no, although its text promises a yes.
    assert slicer.util.confirmYesNoDisplay("Really?") is False
    slicer.util.errorDisplay("Broken.")
    slicer.util.showStatusMessage("Working", 10)
    assert slicer.util.mainWindow().statusBar().currentMessage() == "Working"


def test_settings_are_kept_apart_from_the_users(app):
    import qt
    import slicer

    qt.QSettings().setValue("XRayRegistrationHarness/device", "cpu")
    assert slicer.util.settingsValue("XRayRegistrationHarness/device", "") == "cpu"
    assert slicer.app.userSettings().value("XRayRegistrationHarness/device") == "cpu"
    assert qt.QSettings().fileName().startswith("/tmp")


def test_the_window_shows_the_panel_beside_the_views_of_the_layout(app, widget, tmp_path):
    import matplotlib.image
    import slicer

    app.layouts.setLayout(3)
    bright = slicer.util.addVolumeFromArray(np.full((20, 20, 20), 100.0), np.diag([5.0, 5, 5, 1]), "bright")
    bright.CreateDefaultDisplayNodes()
    bright.GetDisplayNode().AutoWindowLevelOff()
    bright.GetDisplayNode().SetWindowLevelMinMax(0, 100)
    slicer.util.setSliceViewerLayers(background=bright, fit=True)
    sizes = {name: view.size for name, view in app.layouts.slices.items()}
    fields = {name: view.node.GetFieldOfView() for name, view in app.layouts.slices.items()}
    app.picture(widget, tmp_path / "window.png", (1200, 700))
    picture = matplotlib.image.imread(tmp_path / "window.png")[..., :3]
    assert picture.shape == (700, 1200, 3)
    panel, views = picture[:, :490], picture[:, 510:]
    assert panel.mean() > 0.8
    # Four-up: red, 3D, green and yellow with their coloured bars, and three bright slices filling their cells' height.
    half_w, half_h = views.shape[1] // 2, 350
    bars = [views[8, 40], views[half_h + 10, 40], views[half_h + 10, half_w + 40]]
    expected = [(0.95, 0.29, 0.2), (0.43, 0.69, 0.29), (0.93, 0.84, 0.3)]
    np.testing.assert_allclose(bars, expected, atol=0.02)
    for row, column in ((half_h // 2, half_w // 2), (half_h * 3 // 2, half_w // 2), (half_h * 3 // 2, half_w * 3 // 2)):
        assert views[row, column].min() > 0.95
    assert {name: view.size for name, view in app.layouts.slices.items()} == sizes
    assert {name: view.node.GetFieldOfView() for name, view in app.layouts.slices.items()} == fields
