"""The module as Slicer sees it. What it does is in XRayRegistrationLib; how it registers, in xrayreg."""

from pathlib import Path

import slicer
import vtk
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import *
from slicer.util import VTKObservationMixin

from XRayRegistrationLib.panel import Panel
from XRayRegistrationLib.parameters import Parameters


class XRayRegistration(ScriptedLoadableModule):
    """Name, category and help of the module."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("X-ray Registration")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Registration")]
        self.parent.dependencies = []
        self.parent.contributors = ["XRayRegistration contributors"]
        self.parent.helpText = _(
            "Finds how the C-arm stood relative to the patient when an X-ray was taken, from the X-ray and a CT. "
            "For research; not for clinical use."
        )
        self.parent.acknowledgementText = ""


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
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.initializeParameterNode()

    def cleanup(self):
        self.panel.cancel()
        self.setParameterNode(None)
        self.removeObservers()

    def enter(self):
        self.initializeParameterNode()

    def exit(self):
        self.setParameterNode(None)

    def onSceneStartClose(self, caller, event):
        self.panel.cancel()
        self.setParameterNode(None)

    def onSceneEndClose(self, caller, event):
        self.panel.clear()
        if self.parent.isEntered:
            self.initializeParameterNode()

    def initializeParameterNode(self):
        self.setParameterNode(self.logic.getParameterNode())

    def setParameterNode(self, parameters):
        if self._parameters:
            self._parameters.disconnectGui(self._guiTag)
            self.removeObserver(self._parameters, vtk.vtkCommand.ModifiedEvent, self.onParametersModified)
        self._parameters = parameters
        if self._parameters:
            self._guiTag = self._parameters.connectGui(self.ui)
            self.addObserver(self._parameters, vtk.vtkCommand.ModifiedEvent, self.onParametersModified)
        self.panel.setParameters(self._parameters)

    def onParametersModified(self, caller, event):
        self.panel.refresh()


class XRayRegistrationLogic(ScriptedLoadableModuleLogic):
    """What scripts use: `for progress in logic.registration(logic.getParameterNode()): ...`"""

    def getParameterNode(self):
        return Parameters(super().getParameterNode())

    def registration(self, parameters):
        """Register the case named in `parameters`, a step at a time; the last Progress brings the verdict."""
        from XRayRegistrationLib.registration import registrationSteps

        return registrationSteps(parameters)


class XRayRegistrationTest(ScriptedLoadableModuleTest):
    """Run by Slicer's self-test button and by ctest; needs torch, which only its user installs."""

    def setUp(self):
        slicer.mrmlScene.Clear()

    def test_registersAPhantom(self):
        from XRayRegistrationLib import dependencies, parameters, phantomCase

        missing = dependencies.missing()
        if missing:
            self.skipTest("not installed: " + ", ".join(missing))
        logic = XRayRegistrationLogic()
        node = logic.getParameterNode()
        node.casePath = str(phantomCase.write(Path(slicer.util.tempDirectory())))
        node.effort, node.start = parameters.Effort.fast, parameters.Start.case
        *_steps, last = logic.registration(node)
        self.assertLess(last.errorMm, 5.0)
