"""The panel: joins its sections, runs the one job that may run, and keeps the live overlay."""

from __future__ import annotations

from typing import Any

import slicer
import vtk
from slicer.i18n import tr as _

from ..display import layout
from ..display.live import LiveOverlay
from ..jobs.job import StepJob
from ..mrml import landmarks
from ..mrml.rig import rigOf
from ..observing import Observers
from ..parameters import Parameters
from ..timing import Timer
from .controls import Situation, sentence
from .geometry import GeometrySection
from .inputs import InputsSection
from .pose import PoseSection
from .register import RegisterSection
from .results import ResultsSection
from .review import ReviewSection
from .survey import Survey
from .train import TrainSection

_MODIFIED = vtk.vtkCommand.ModifiedEvent
_MOVED = slicer.vtkMRMLTransformableNode.TransformModifiedEvent


class Panel:
    """Connects the widgets of XRayRegistration.ui with a logic; `setParameters` says whose values they show.

    What is shown follows the parameter node at once, and nodes of the scene as soon as Slicer comes to it.
    """

    def __init__(self, ui, logic):
        self.ui = ui
        self.logic = logic
        self.live = LiveOverlay(logic.inputs, self.refreshSoon)
        self.job: StepJob | None = None
        # What is being done, as the beginning of a sentence, and what is called at its end.
        self._work, self._onEnd = "", _ignore
        self._parameters: Parameters | None = None
        self._placedFor: str | None = None
        self._arranged: list[Any] | None = None
        self._observers = Observers()
        self._refreshTimer, self._poseTimer = Timer(self.refresh), Timer(self._followPose)
        self._layoutTimer = Timer(self._leaveEmptyLayout)
        self.survey = Survey(self)
        self.inputs, self.geometry, self.register = InputsSection(self), GeometrySection(self), RegisterSection(self)
        self.pose, self.review, self.results = PoseSection(self), ReviewSection(self), ResultsSection(self)
        self.train = TrainSection(self)
        self._sections = (
            self.inputs, self.geometry, self.survey, self.train, self.pose, self.register, self.review, self.results
        )  # fmt: skip
        layout.register()
        self.forgetScene()

    @property
    def running(self):
        return self.job is not None and self.job.running

    @property
    def now(self):
        """What is to be shown (controls.Situation)."""
        parameters = self._parameters
        # Nothing can be told of an X-ray's geometry without the packages.
        if parameters is None or self.inputs.packages.isMissing():
            return Situation(parameters, None, self._work)
        return Situation(parameters, rigOf(parameters.pose), self._work)

    def setParameters(self, parameters):
        """Show these parameters; None while the panel is left (job and overlay go on) and while there is no scene."""
        if self._parameters is not None:
            # Parameters keep values, and hear of changes by others in the order of their observers: before we do.
            self._observers.drop(self._parameters.parameterNode, _MODIFIED)
        self._parameters = parameters
        if parameters is not None:
            self.logic.suggestVolume()
            self.live.follow(parameters)
            self._layoutTimer.start()
        self.refresh()

    def forgetScene(self):
        """End what is running and forget what was said: the scene is being closed."""
        self._release()
        for section in self._sections:
            section.clear()
        # At once: what shows a node keeps it.
        self._show()

    def _release(self):
        """End what is running, and let go of everything in the scene; touches no widget."""
        if self.job is not None and self.job.running:
            self.job.cancel()
            self.live.relax(False)
        self._work, self._onEnd = "", _ignore
        self.job = None
        self._parameters = self._placedFor = self._arranged = None
        self._observers.clear()
        self.live.follow(None)
        self.logic.inputs.forget()

    def close(self):
        """The module is unloaded: nothing of the panel may be called any more."""
        # A widget that was deleted before counts as none.
        if self.ui.volumeSelector:
            self.forgetScene()
        else:
            self._release()
        self.live.close()
        self.logic.inputs.close()
        for each in (*self._sections, self._refreshTimer, self._poseTimer, self._layoutTimer):
            each.close()

    def refresh(self):
        """Let all sections show how things stand."""
        if slicer.mrmlScene.IsBatchProcessing():
            # The nodes are incomplete until the scene has been read.
            self._refreshTimer.start()
        else:
            self._show()

    def refreshSoon(self):
        """The same, as soon as Slicer comes to it."""
        self._refreshTimer.start()

    def _show(self):
        now = self.now
        volume = now.volume.GetID() if now.volume else None
        if now.rig and volume != self._placedFor and not now.running:
            # The first CT, or another one: an X-ray that nobody has placed yet is shown in front of it.
            self._placedFor = volume
            try:
                self.logic.placeUnposed()
            except Exception as error:
                self.inputs.say(sentence(error))
        self._watch(now)
        self._arrange(now)
        for section in self._sections:
            section.refresh(now)

    def run(self, work, steps, onStep, onEnd):
        """Do something long in short steps; `work` begins the sentence that says why nothing else can be done.

        onStep(step) follows each step, onEnd(problem) the last one: an empty text, or a sentence on what went wrong.
        """
        if self.running:
            return
        self._work, self._onEnd = work, onEnd
        self.job = StepJob(steps, onStep, self._onDone, self._onFailed)
        self.live.relax(True)
        self.job.start()
        self.refresh()

    def cancel(self):
        """End what is running; what it has reached so far stays."""
        if self.job is not None and self.job.running:
            self.job.cancel()
            self._end(_("Cancelled."))

    def showXrays(self):
        """Bring the X-rays of the rig into view."""
        now = self.now
        if now.rig and any(view.shown for view in now.views):
            layout.showLayout(now.rig, now.parameters)

    def _arrange(self, now):
        """Let the layout, where it is shown, follow the choice of views."""
        if not now.rig:
            return
        arrangement = [bool(now.parameters.showXrayEye), *((view.picture.GetID(), view.shown) for view in now.views)]
        if arrangement != self._arranged:
            self._arranged = arrangement
            if layout.isShown():
                self.showXrays()

    def onViewChosen(self, index):
        """Slot of all selectors of the active view."""
        if self._parameters is not None and index >= 0:
            self._parameters.activeView = int(index)

    def _onDone(self):
        self._end("")

    def _onFailed(self, error):
        self._end(sentence(error))

    def _end(self, problem):
        self.live.relax(False)
        onEnd, self._work, self._onEnd = self._onEnd, "", _ignore
        onEnd(problem)
        self.refresh()

    def _followPose(self):
        for section in (self.pose, self.register, self.review):
            section.follow()

    def _leaveEmptyLayout(self):
        """After the scene was closed, when Slicer has its layout in order again: no views that show nothing."""
        if self._parameters is not None and layout.isShown() and not self.now.views:
            layout.restorePrevious()
            self.refresh()

    def _watch(self, now):
        """Observe what is shown, and no longer what was."""
        wanted = {}
        if now.parameters is not None:
            wanted[now.parameters.parameterNode, _MODIFIED] = self._onParametersModified
            for event in (slicer.mrmlScene.NodeAddedEvent, slicer.mrmlScene.NodeRemovedEvent):
                wanted[slicer.mrmlScene, event] = self._onSceneChanged
            wanted.update(self._watchedNodes(now))
        self._observers.follow(wanted)

    def _watchedNodes(self, now):
        wanted = {}
        if now.rig:
            wanted[now.rig.pose, _MOVED] = self._onPoseMoved
            for node in (now.rig.pose, *(view.picture for view in now.views)):
                wanted[node, _MODIFIED] = self._onSceneChanged
            for view in now.views:
                # Another frame of a run is another X-ray.
                if view.source is not None:
                    wanted[view.source, slicer.vtkMRMLVolumeNode.ImageDataModifiedEvent] = self._onPoseMoved
        if now.volume:
            wanted[now.volume, _MOVED] = self._onPoseMoved
        marked = [landmarks.landmarksIn(now.rig, view) for view in now.views]
        markups = slicer.vtkMRMLMarkupsNode
        for node in (now.parameters.landmarks, *marked):
            for event in (markups.PointModifiedEvent, markups.PointRemovedEvent) if node else ():
                wanted[node, event] = self._onSceneChanged
        if now.parameters.segmentation:
            segmentation = now.parameters.segmentation.GetSegmentation()
            for event in (segmentation.SegmentAdded, segmentation.SegmentRemoved, segmentation.SegmentModified):
                wanted[segmentation, event] = self._onSceneChanged
        return wanted

    def _onParametersModified(self, caller, event):
        self.refresh()

    def _onSceneChanged(self, caller, event):
        self._refreshTimer.start()

    def _onPoseMoved(self, caller, event):
        self._poseTimer.start()


def _ignore(_problem):
    """What follows the end of nothing."""
