"""The overlay that follows the C-arm: DRR and edges immediately, slower drawing when it has come to rest."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from xrayreg.checks import InputError

from ..jobs.compiling import compileSteps
from ..jobs.job import StepJob
from ..mrml import rig as rigs
from ..mrml import segments
from ..mrml.backend import Inputs, SentXray
from ..mrml.rig import Rig, View
from ..observing import Observers
from ..parameters import Comparison, Parameters
from ..timing import Timer
from ..worker.client import WorkerEnded
from . import bones, carm, drawing, layout, overlay, points, silhouettes
from .guarding import requirePackages, sentence, whileThere
from .watching import Reaction, reactions

# Time without movement [ms] after which the slower parts are drawn.
_REST_MS = 200
# During long computations, drawing pauses for this multiple of its own duration.
_LEFT_TO_OTHERS = 4


class LiveOverlay:
    """Keeps what is laid over the X-rays up to date with the scene, for the parameter node it follows.

    inputs: mrml.backend.Inputs. onChanged() is called when `ready` or `obstacle` have changed.
    """

    def __init__(self, inputs: Inputs, onChanged: Callable[..., Any] | None = None) -> None:
        self._inputs, self._onChanged = inputs, onChanged
        self._looking, self._drawing = Timer(self._look), Timer(self._draw)
        self._pointing, self._resting = Timer(self._drawPoints), Timer(self._rest, _REST_MS)
        self._timers = (self._looking, self._drawing, self._pointing, self._resting)
        self._blinker = overlay.Blinker()
        self._observers = Observers()
        self._react = {
            Reaction.look: self._onChange,
            Reaction.draw: self._onMoved,
            Reaction.drawPoints: self._onPoints,
            Reaction.stop: self._onSceneClosed,
        }
        self._parameters: Any = None
        self._patient: drawing.DrawnPatient | None
        self._xrays: dict[str, SentXray]
        self._preparing: StepJob | None
        self._painting: StepJob | None
        self._finishing: StepJob | None
        self._preview: np.ndarray | None
        # What was drawn last, and all that takes longer.
        self._drawn: tuple[Any, ...] | None
        self._finished: tuple[Any, ...] | None
        # Pictures of the views that are still to be drawn, by identifier.
        self._waiting: list[str]
        self._forget()

    @property
    def ready(self) -> bool:
        """Whether a DRR can be drawn."""
        return self._patient is not None and not self._obstacle

    @property
    def obstacle(self) -> str:
        """Why no DRR can be drawn, a sentence; empty if it can."""
        return self._obstacle

    @property
    def settled(self) -> bool:
        """Whether the drawing is up to date with the scene."""
        jobs = (self._preparing, self._painting, self._finishing)
        return not any(timer.isActive() for timer in self._timers) and not any(job and job.running for job in jobs)

    def follow(self, parameters: Parameters | None) -> None:
        """Follow the module's parameters, and what they name, from now on; None stops and forgets."""
        if parameters is None:
            self.stop()
        else:
            self._parameters = parameters
            self._looking.start()

    def refresh(self) -> None:
        """Check everything again and redraw it when Slicer is next idle."""
        self._drawn = None
        self._looking.start()

    def showPose(self, worldFromVolume: np.ndarray | None) -> None:
        """Draw the overlay of another pose (4, 4) [mm] than the C-arm's; None goes back to its own."""
        self._preview = None if worldFromVolume is None else np.array(worldFromVolume)
        self._drawing.start()

    def relax(self, relaxed: bool) -> None:
        """Reduce the share of time for drawing during long computations."""
        self._relaxed = bool(relaxed)
        self._drawing.setInterval(0)

    def stop(self) -> None:
        """Stop following."""
        self._parameters = None
        self._observers.clear()
        for timer in self._timers:
            timer.stop()
        self._blinker.follow(None)
        for job in (self._preparing, self._painting, self._finishing):
            if job:
                job.cancel()
        self._forget()

    def close(self) -> None:
        """Stop following for good."""
        self.stop()
        for timer in (*self._timers, self._blinker):
            timer.close()

    def _forget(self) -> None:
        self._patient, self._xrays = None, {}
        self._preparing = self._painting = self._finishing = None
        self._preview = self._drawn = self._finished = None
        self._waiting, self._behind = [], False
        self._again = self._lost = False
        self.relax(False)
        self._obstacle = ""

    def _rig(self) -> Rig | None:
        """The rig that is followed, or None; None as well while a scene is being read."""
        if self._parameters is None or slicer.mrmlScene.IsBatchProcessing():
            return None
        rig = rigs.rigOf(self._parameters.pose)
        return rig if rig and rig.views else None

    def _look(self) -> None:
        """Determine what to follow now, and prepare what has changed."""
        rig = self._rig()
        if self._parameters is not None:
            self._watch(rig)
        self._blinker.follow(rig if rig and self._parameters.comparison is Comparison.blink else None)
        self._inputs.forgetRemoved()
        if rig is None:
            # While a scene is being read its content is not known yet.
            if not slicer.mrmlScene.IsBatchProcessing():
                self._patient = self._drawn = self._finished = None
                self._xrays, self._waiting = {}, []
            return
        overlay.applyAppearance(self._parameters, rig)
        bones.applyAppearance(rig, self._parameters)
        self._lost = False
        self._again = self._preparing is not None and self._preparing.running
        if not self._again:
            self._preparing = StepJob(
                whileThere(rig, self._prepareSteps(rig)), self._onStep, self._onPrepared, self._onFailed
            )
            self._preparing.start()
        self._drawing.start()
        self._pointing.start()

    def _prepareSteps(self, rig: Rig) -> Generator[Any, None, None]:
        """Show the X-rays and make the CT ready; a step brings what is being done, or None. Returns nothing."""
        parameters = self._parameters
        requirePackages()
        problem = None
        for view in rig.views:
            try:
                yield from self._xraySteps(view)
            except InputError as error:
                # The other X-rays can be shown.
                problem = problem or error
        if parameters.volume is None:
            self._withoutPatient(rig)
            return
        try:
            volume = yield from self._inputs.volumeSteps(parameters.volume, parameters.segmentation)
        except InputError:
            self._withoutPatient(rig)
            raise
        structures = drawing.structuresOf(parameters)
        if self._patient is None or not self._patient.isOf(volume, structures):
            for _fraction, message in compileSteps(self._inputs.worker):
                yield message
            yield _("Preparing the overlay")
            self._patient = yield from drawing.patientSteps(self._inputs.worker, volume, structures)
        if parameters.showCarm and not bones.isCurrent(rig, parameters.volume):
            yield from bones.surfaceSteps(rig, parameters.volume)
            bones.applyAppearance(rig, parameters)
        if problem:
            raise problem

    def _withoutPatient(self, rig: Rig) -> None:
        """Show the X-rays alone."""
        self._patient = self._drawn = self._finished = None
        for view in rig.views:
            drawing.clear(view)
            silhouettes.clear(view)
            points.draw(view, "", None, [], np.eye(4))

    def _xraySteps(self, view: View) -> Generator[Any, None, None]:
        """Show an X-ray, and keep what the DRR is drawn after."""
        xray = yield from self._inputs.pictureSteps(view)
        identifier = view.picture.GetID()
        if self._xrays.get(identifier) is not xray:
            self._xrays[identifier] = xray
            self._drawn = None

    def _onStep(self, message: str | None) -> None:
        if message and self._patient is None:
            self._tell(message)

    def _onPrepared(self) -> None:
        self._tell("")
        self._afterPreparing()

    def _onFailed(self, error: Exception) -> None:
        if isinstance(error, rigs.NodesRemoved):
            # It was removed or replaced; check the current state.
            self._looking.start()
            return
        if isinstance(error, WorkerEnded):
            # Not at once, or what ends it would do so for ever: when the C-arm is moved, or something else changes.
            self._patient, self._lost = None, True
        self._tell(sentence(error))
        self._afterPreparing()

    def _afterPreparing(self) -> None:
        if self._again:
            self._looking.start()
        self._drawing.start()

    def _tell(self, obstacle: str) -> None:
        before, self._obstacle = self._obstacle, obstacle
        if self._onChanged is not None and before != obstacle:
            self._onChanged()

    def _draw(self) -> None:
        """Draw what is seen while the C-arm moves."""
        if self._painting is not None and self._painting.running:
            # Of all the places where the C-arm stands meanwhile only the last one is shown.
            self._behind = True
            return
        self._behind = False
        rig = self._rig()
        if rig is None:
            return
        try:
            self._drawNew(rig)
        except (InputError, ValueError) as error:
            # A transform above the C-arm may be anything.
            self._tell(sentence(error))

    def _drawNew(self, rig: Rig) -> None:
        """Follow the pose, and draw where something that is seen is new."""
        layout.followPose(rig)
        carm.followPose(rig, self._parameters)
        if self._patient is None:
            return
        if not self._patient.live.isThere:
            # Another request ended the worker.
            self._patient = None
            self._looking.start()
            return
        world = self._world(rig)
        # By identifier: what was drawn is remembered for longer than a node may be there.
        wanted = {view.picture.GetID(): self._wanted(n, view) for n, view in enumerate(rig.views) if view.shown}
        shown = {view.picture.GetID(): view for view in rig.views if view.shown}
        drawn = world.tobytes(), self._patient, tuple((each, view.projection) for each, view in shown.items()), wanted
        if drawn != self._drawn:
            self._drawn = drawn
            self._stopFinishing()
            self._drawPoints()
            overlay.showLagging(rig, True)
            # Those left over from a pose before come first, or many views would keep the last ones waiting for ever.
            left = [picture for picture in self._waiting if picture in shown]
            self._waiting = left + [picture for picture in shown if picture not in left]
        while self._waiting:
            picture = self._waiting.pop(0)
            if picture in self._xrays:
                self._paint(rig, self._patient, shown[picture], wanted[picture], self._xrays[picture])
                return
        self._resting.start()

    def _paint(
        self, rig: Rig, patient: drawing.DrawnPatient, view: View, wanted: drawing.PictureRequest, xray: SentXray
    ) -> None:
        """Draw one view, while the window lives."""
        pose = view.camera.camera_from_world @ self._world(rig)
        steps = drawing.drawSteps(self._inputs.worker, view, patient, pose, wanted, xray)
        began = time.perf_counter()
        self._painting = StepJob(
            whileThere(rig, steps), _nothing, lambda: self._onPainted(began), self._onPaintingFailed
        )
        # The worker draws the next picture while Slicer shows the last one.
        self._painting.start(atOnce=True)

    def _onPainted(self, began: float) -> None:
        isNext = self._waiting or self._behind
        if isNext and not self._relaxed:
            self._draw()
            return
        if self._relaxed:
            self._drawing.setInterval(round(1000 * _LEFT_TO_OTHERS * (time.perf_counter() - began)))
        if isNext:
            self._drawing.start()
        elif not self._drawing.isActive():
            self._resting.start()

    def _onPaintingFailed(self, error: Exception) -> None:
        self._drawn = None
        self._onFailed(error)

    def _drawPoints(self) -> None:
        """Draw landmarks and plans."""
        rig = self._rig()
        if rig is None or self._parameters.volume is None:
            return
        landmarks, world = self._parameters.landmarks, self._world(rig)
        plans = points.plans(rig.pose, landmarks) if self._parameters.showLandmarks else []
        for index, view in enumerate(rig.views):
            pose = view.camera.camera_from_world @ world
            points.draw(view, layout.sliceViewID(index), landmarks, plans, pose)

    def _rest(self) -> None:
        """Draw the slower parts if their inputs have changed."""
        rig = self._rig()
        if rig is None or self._patient is None or self._drawing.isActive():
            return
        segmentation = self._parameters.segmentation if self._parameters.showSegments else None
        key = self._drawn, segmentation and segmentation.GetID(), silhouettes.state(segmentation)
        if key == self._finished:
            overlay.showLagging(rig, False)
            return
        self._stopFinishing()
        steps = whileThere(rig, self._finishSteps(rig, self._patient, segmentation, key))
        self._finishing = StepJob(steps, _nothing, _nothing, self._onFailed)
        self._finishing.start()

    def _finishSteps(
        self, rig: Rig, patient: Any, segmentation: slicer.vtkMRMLSegmentationNode | None, key: Any
    ) -> Generator[Any, None, None]:
        world = self._world(rig)
        shown = [(index, view) for index, view in enumerate(rig.views) if view.shown]
        labels = segments.labelsOf(segmentation) if segmentation is not None else {}
        for _index, view in shown:
            pose = view.camera.camera_from_world @ world
            yield from silhouettes.silhouetteSteps(
                self._inputs.worker, view, patient.anatomy, patient.labels, labels, segmentation, pose
            )
        silhouettes.keepPatientOut(rig, self._parameters.segmentation)
        overlay.showLagging(rig, False)
        for index, view in shown:
            pose, wanted = view.camera.camera_from_world @ world, self._wanted(index, view)
            xray = self._xrays.get(view.picture.GetID())
            if xray is not None:
                yield from drawing.drawSteps(self._inputs.worker, view, patient, pose, wanted, xray, finely=True)
        self._finished = key

    def _stopFinishing(self) -> None:
        if self._finishing is not None:
            self._finishing.cancel()

    def _world(self, rig: Rig) -> np.ndarray:
        """The pose world_from_volume (4, 4) [mm] whose overlay is drawn."""
        return rigs.worldFromVolume(rig) if self._preview is None else self._preview

    def _wanted(self, index: int, view: View) -> drawing.PictureRequest:
        """How the rig's view number `index` is drawn (drawing.PictureRequest)."""
        return drawing.wantedOf(self._parameters, layout.shownPx(index, view.camera))

    def _watch(self, rig: Rig | None) -> None:
        """Observe what is followed, and no longer what was."""
        wanted = reactions(self._parameters, rig)
        self._observers.follow({key: self._react[reaction] for key, reaction in wanted.items()})

    def _onChange(self, caller: Any, event: Any) -> None:
        self._looking.start()

    def _onMoved(self, caller: Any, event: Any) -> None:
        if self._lost:
            self._looking.start()
        # Started anew by every movement, a timer that waits would never end.
        if not self._drawing.isActive():
            self._drawing.start()

    def _onPoints(self, caller: Any, event: Any) -> None:
        self._pointing.start()

    def _onSceneClosed(self, caller: Any, event: Any) -> None:
        self.stop()


def _nothing(*_step: Any) -> None:
    """Callback that does nothing."""
