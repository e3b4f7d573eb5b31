"""The module as Slicer sees it. What it does is in XRayRegistrationLib; how it registers, in xrayreg."""

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import *
from slicer.util import VTKObservationMixin

from XRayRegistrationLib import sampleData, selfTest
from XRayRegistrationLib.logic import Logic
from XRayRegistrationLib.panel.panel import Panel


class XRayRegistration(ScriptedLoadableModule):
    """Name, category and help of the module."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("X-ray Registration")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Registration")]
        self.parent.dependencies = []
        self.parent.contributors = ["XRayRegistration contributors"]
        self.parent.helpText = _(
            "Registers X-ray and fluoroscopy images to a CT (2D/3D registration): recovers the pose of the C-arm and "
            "overlays the CT. For research; not for clinical use."
        )
        self.parent.acknowledgementText = ""
        slicer.app.connect("startupCompleted()", sampleData.register)


class XRayRegistrationWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel's life in Slicer: it follows the scene and the module's being entered and left."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = self.ui = self.panel = None
        self._parameters = self._guiTag = None

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/XRayRegistration.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = XRayRegistrationLogic()
        self.panel = Panel(self.ui, self.logic)
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(scene, scene.StartImportEvent, self.onSceneStartImport)
        self.addObserver(scene, scene.EndCloseEvent, self.onSceneReady)
        self.addObserver(scene, scene.EndImportEvent, self.onSceneReady)
        self.initializeParameterNode()

    def cleanup(self):
        # Slicer quits without leaving the panel before, and its widgets may have been deleted already.
        self.removeObservers()
        if self.panel is not None:
            if self.ui.volumeSelector:
                self.setParameterNode(None)
            self.panel.close()

    def enter(self):
        self.initializeParameterNode()

    def exit(self):
        self.setParameterNode(None)

    def onSceneStartClose(self, caller, event):
        self.setParameterNode(None)
        self.panel.forgetScene()

    def onSceneStartImport(self, caller, event):
        # Half-read, the parameters refer to nodes that are not there yet.
        self.setParameterNode(None)

    def onSceneReady(self, caller, event):
        if self.parent.isEntered:
            self.initializeParameterNode()

    def initializeParameterNode(self):
        self.setParameterNode(self.logic.getParameterNode())

    def setParameterNode(self, parameters):
        if self._parameters:
            self._parameters.disconnectGui(self._guiTag)
        self._parameters = parameters
        if self._parameters:
            self._guiTag = self._parameters.connectGui(self.ui)
        self.panel.setParameters(self._parameters)


class XRayRegistrationLogic(Logic):
    """What scripts use: see XRayRegistrationLib.logic."""


class XRayRegistrationTest(ScriptedLoadableModuleTest):
    """Run by Slicer's self-test button and by ctest; needs packages that only its user installs."""

    def setUp(self):
        slicer.mrmlScene.Clear()
        self.logic = XRayRegistrationLogic()

    def runTest(self):
        selfTest.run(self)

    def test_phantomComesWithItsGeometry(self):
        selfTest.phantomComesWithItsGeometry(self, self.logic)

    def test_placementIsTwoWay(self):
        selfTest.placementIsTwoWay(self, self.logic)

    def test_liveDrrMatchesTheXray(self):
        selfTest.liveDrrMatchesTheXray(self, self.logic)

    def test_registrationFindsThePose(self):
        selfTest.registrationFindsThePose(self, self.logic)

    def test_searchFindsThePose(self):
        selfTest.searchFindsThePose(self, self.logic)

    def test_savedSceneComesBack(self):
        selfTest.savedSceneComesBack(self, self.logic)

    def test_badInputGetsASentence(self):
        selfTest.badInputGetsASentence(self, self.logic)
