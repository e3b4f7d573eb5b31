"""The module's interface for scripts, without widgets: X-rays, placement, registration, undo and export.

    logic = slicer.util.getModuleLogic("XRayRegistration")
    logic.getParameterNode().volume = slicer.util.getNode("CT")
    logic.addXray(slicer.util.getNode("XA"))
    logic.setPlacement(primary_deg=30.0, secondary_deg=-10.0)
    outcome = logic.register()
    print(outcome.verdict)

The ...Steps methods do the same work as iterators of short steps, which a window advances from a timer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import slicer
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

from xrayreg.checks import InputError

from . import dependencies
from .mrml import importing, landmarks, outcome, posing, rig
from .mrml.backend import Inputs
from .parameters import Parameters
from .steps import whole

if TYPE_CHECKING:
    from xrayreg.geometry import Placement

    from .jobs.runFolder import Run
    from .mrml.landmarks import LandmarkFit
    from .mrml.outcome import Outcome
    from .mrml.rig import Rig, View


class Logic(ScriptedLoadableModuleLogic):
    """Works on the module's parameter node; raises InputError (a ValueError) for what cannot be done.

    Everything but `getParameterNode` needs packages that are installed when first needed, after asking; it raises
    dependencies.MissingPackages where they are not.
    """

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self.inputs = Inputs()
        dependencies.quietLibraries()

    def getParameterNode(self) -> Parameters:
        """The scene's parameters (parameters.Parameters)."""
        return Parameters(super().getParameterNode())

    def rig(self) -> Rig | None:
        """The C-arm's pose with its X-rays (mrml.rig.Rig), or None before the first one is added."""
        return rig.rigOf(self.getParameterNode().pose)

    def suggestVolume(self) -> None:
        """Choose the scene's only volume with several slices as the CT, unless one is chosen or there are several."""
        parameters = self.getParameterNode()
        nodes: list[Any] = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") if parameters.volume is None else []
        found = [node for node in nodes if node.GetClassName() == "vtkMRMLScalarVolumeNode" and _mayBeCt(node)]
        if len(found) == 1:
            parameters.volume = found[0]

    def addXray(self, sourceNode: slicer.vtkMRMLVolumeNode, name: str | None = None) -> View:
        """Add an X-ray (a volume node with one slice) and make it the active one; returns its mrml.rig.View.

        Its geometry comes from its DICOM file where there is one. The first one puts the C-arm at a first place.
        """
        return whole(self.addXraySteps(sourceNode, name))

    def addXraySteps(self, sourceNode: slicer.vtkMRMLVolumeNode, name: Any = None) -> Generator[Any, None, View]:
        """`addXray` in short steps."""
        dependencies.ensure()
        parameters = self.getParameterNode()
        known = rig.rigOf(parameters.pose)
        if known and any(view.source is sourceNode for view in known.views):
            raise InputError(
                sourceNode.GetName(),
                expected=_("an X-ray that is not in the list yet"),
                found=_("one that is"),
                remedy=_("choose another one"),
            )
        grown = known or rig.createRig()
        try:
            grown = yield from importing.addXraySteps(self.inputs.worker, grown, sourceNode, name)
        except BaseException:
            # Also where it is given up.
            if known is None:
                rig.removeNode(grown.pose)
            raise
        parameters.pose = grown.pose
        parameters.activeView = len(grown.views) - 1
        self.placeUnposed()
        return grown.views[-1]

    def removeXray(self, view: View) -> None:
        """Take an X-ray out of the list; its image stays in the scene."""
        parameters = self.getParameterNode()
        shown, _view, _volume = self._placed(needsVolume=False)
        left = importing.removeXray(shown, view)
        parameters.activeView = max(0, min(parameters.activeView, len(left.views) - 1))

    def placeUnposed(self) -> None:
        """Give the C-arm its first pose, by DICOM angles or as a standard view, unless the user has chosen a pose."""
        parameters, shown = self.getParameterNode(), self.rig()
        if parameters.volume and shown and shown.views and not posing.isPosed(shown):
            posing.placeAtFirst(shown, parameters.volume)

    def placement(self) -> Placement:
        """The C-arm's pose for the active view (xrayreg.geometry.Placement)."""
        return posing.placement(*self._placed())

    def setPlacement(self, **numbers: Any) -> None:
        """Move the C-arm for the active view: numbers of xrayreg.geometry.Placement by name, the others stay."""
        shown, view, volume = self._placed()
        posing.setPlacement(shown, view, volume, replace(self.placement(), **numbers))

    def importCalibration(self, path: str) -> None:
        """Give the active view the geometry in a calibration file (MayaCam text, or the view in a case.json)."""
        whole(self.importCalibrationSteps(path))

    def importCalibrationSteps(self, path: str) -> Generator[Any, None, None]:
        """`importCalibration` in short steps."""
        dependencies.ensure()
        shown, view, _volume = self._placed(needsVolume=False)
        yield from importing.importCalibrationSteps(self.inputs.worker, shown, view, path)

    def importCase(self, path: Path) -> None:
        """Bring a case.json with all that it names into the scene."""
        _last(self.importCaseSteps(path))

    def importCaseSteps(self, path: Path | str) -> Generator[Any, None, None]:
        """`importCase` in short steps, each with a message."""
        dependencies.ensure()
        yield from importing.importCaseSteps(self.inputs, self.getParameterNode(), path)

    def sampleSteps(self, lateral: bool = False) -> Generator[Any, None, None]:
        """Bring the phantom with one X-ray, or with a lateral one as well, into the scene, in short steps."""
        from . import sampleData

        yield from sampleData.sampleSteps(self.inputs, self.getParameterNode(), lateral)

    def register(self) -> Outcome:
        """Register and return the outcome (mrml.outcome.Outcome); the C-arm is moved to the pose found."""
        return _last(self.registrationSteps()).outcome

    def registrationSteps(self) -> Generator[Any, None, Any]:
        """`register` in short steps (jobs.registration.Progress)."""
        from .jobs import registration

        return registration.registrationSteps(self.inputs, self.getParameterNode())

    def search(self) -> Outcome:
        """Run a full search for the pose, and return the outcome as `register` does."""
        return _last(self.searchSteps()).outcome

    def searchSteps(self) -> Generator[Any, None, Any]:
        """`search` in short steps (jobs.registration.Progress)."""
        from .jobs import registration

        return registration.searchSteps(self.inputs, self.getParameterNode())

    def startTraining(self, resume: bool = False, more: tuple[str, ...] = ()) -> Run:
        """Train a network on the CT in a separate process; returns its jobs.runFolder.Run, which gives its state.

        resume: go on with the network in the file. more: further options of `python -m xrayreg train`.
        """
        return whole(self.trainingSteps(resume, more))

    def trainingSteps(self, resume: bool = False, more: tuple[str, ...] = ()) -> Generator[Any, None, Any]:
        """`startTraining` in short steps, each (fraction, message), returning the Run."""
        from .jobs import training

        return training.trainingSteps(self.inputs, self.getParameterNode(), resume, more)

    def estimate(self) -> None:
        """Move the C-arm to the pose predicted by the network of the parameters, neither refined nor judged."""
        _last(self.estimateSteps())

    def estimateSteps(self) -> Generator[Any, None, Any]:
        """`estimate` in short steps (jobs.registration.Progress)."""
        from .jobs import estimate

        return estimate.estimateSteps(self.inputs, self.getParameterNode())

    def poseFromLandmarks(self) -> LandmarkFit:
        """Move the C-arm to the pose that the landmarks of the parameters give (mrml.landmarks.LandmarkFit)."""
        return whole(self.landmarkSteps())

    def landmarkSteps(self) -> Generator[Any, None, LandmarkFit]:
        """`poseFromLandmarks` in short steps."""
        dependencies.ensure()
        shown, _view, volume = self._placed()
        return (yield from landmarks.poseSteps(self.inputs.worker, shown, volume, self.getParameterNode().landmarks))

    def undo(self) -> bool:
        """Move the C-arm back to its pose before the last registration; returns whether there was one."""
        shown = self.rig()
        return shown is not None and outcome.undo(shown)

    def _placed(self, needsVolume: bool = True) -> tuple[Rig, View, slicer.vtkMRMLScalarVolumeNode]:
        """Rig, active view and CT; raises InputError where one is missing."""
        parameters, shown = self.getParameterNode(), self.rig()
        if not shown or not shown.views:
            raise InputError(_("X-ray"), expected=_("one or more"), found=_("none"), remedy=_("add one"))
        if needsVolume and parameters.volume is None:
            raise InputError("CT", expected=_("a volume"), found=_("none"), remedy=_("choose one"))
        return shown, shown.views[min(parameters.activeView, len(shown.views) - 1)], parameters.volume


def _mayBeCt(node: slicer.vtkMRMLScalarVolumeNode) -> bool:
    image = node.GetImageData()
    return not node.GetHideFromEditors() and image is not None and min(image.GetDimensions()) > 1


def _last(steps: Generator[Any, None, Any]) -> Any:
    """The last value of an iterator, or None where there was none."""
    kept = deque(steps, maxlen=1)
    return kept[0] if kept else None
