"""The registration of one case as Slicer runs it: read, show, register step by step, judge."""

import time
from dataclasses import dataclass
from pathlib import Path

from slicer.i18n import tr as _

from . import bridge, dependencies, display

# Share of the progress bar for what comes before the registration.
_LOADING = 0.1
# Drawing edges takes longer than many a step; while the registration runs they follow at this pace [s] at most, and
# take at most this share of the time.
_EDGES_EVERY_S, _EDGES_SHARE = 0.5, 0.2
# Width of the edges in pixels of their own grid (bridge.EDGES_PX).
_EDGE_WIDTH_PX = 3.0


@dataclass(frozen=True)
class Progress:
    """One moment: fraction done (0 to 1) and what is being done.

    On the last one: the verdict as a sentence, whether it is positive, and where the case brings a reference the mean
    target registration error [mm].
    """

    fraction: float
    message: str
    verdict: str = ""
    accepted: bool = False
    errorMm: float | None = None


def registrationSteps(parameters):
    """Yield Progress while the case of `parameters` is registered, and keep the scene up to date.

    Raises InputError for a case that cannot be registered, MissingPackages and NodesRemoved.
    """
    path = Path(parameters.casePath)
    effort, start = parameters.effort.name, parameters.start.name
    yield Progress(0.0, _("Looking for the Python packages"))
    dependencies.ensure()
    yield Progress(0.01, _("Reading {name}").format(name=path.name))
    from xrayreg.io import read_case
    from xrayreg.pipeline import register, world_pose
    from xrayreg.settings import registration_settings

    began = time.perf_counter()
    scene = read_case(path)
    loadSeconds = time.perf_counter() - began
    yield Progress(0.05, _("Loading the images into the scene"))
    nodes = bridge.loadCase(scene, path, parameters.pose)
    bridge.setPose(nodes, _startingPose(scene))
    parameters.pose = nodes.pose
    color = parameters.edgeColor
    bridge.setEdgeColor(nodes, color.redF(), color.greenF(), color.blueF())
    display.showCase(nodes)
    display.showEdges(nodes, parameters.showEdges)
    yield Progress(0.07, _("Preparing the edges"))
    edges = _EdgeDrawing(scene, nodes)
    edges.draw()
    for step in register(scene, registration_settings(effort, init=start), loadSeconds):
        nodes.requireAll()
        if step.camera_from_volume is not None:
            bridge.setPose(nodes, world_pose(scene, step.camera_from_volume))
            display.followPose(nodes)
            edges.drawSometimes()
        if step.result is None:
            yield Progress(_LOADING + (1 - _LOADING) * step.fraction, step.message)
        else:
            bridge.setPose(nodes, step.result.world_from_volume)
            display.followPose(nodes)
            edges.draw()
            yield _judged(scene, step.result)


def _startingPose(scene):
    """The case's initial pose, or a textbook view to show the X-ray at until a better one is found."""
    if scene.initial is not None:
        return scene.initial
    from xrayreg.initial import NOMINAL_VIEWS, nominal_pose, nominal_sod_mm
    from xrayreg.pipeline import world_pose

    camera = scene.views[0].camera
    return world_pose(scene, nominal_pose(NOMINAL_VIEWS[0], scene.volume.grid.centre, nominal_sod_mm(camera)))


def _judged(scene, result):
    errorMm = None
    reason = result.verdict.reason
    verdict = _("Accepted: {reason}") if result.verdict.accepted else _("Not trusted: {reason}")
    verdict = verdict.format(reason=reason[:1].lower() + reason[1:])
    if scene.reference is not None:
        from xrayreg.evaluation import pose_error

        camera = scene.views[0].camera
        found, true = (camera.camera_from_world @ pose for pose in (result.world_from_volume, scene.reference))
        errorMm = pose_error(camera, found, true, scene.target_points()).mtre_mm
        verdict += " " + _("Against the case's reference the error is {error:.2f} mm (mTRE).").format(error=errorMm)
    message = _("Done in {seconds:.1f} s").format(seconds=result.seconds["total"])
    return Progress(1.0, message, verdict, result.verdict.accepted, errorMm)


class _EdgeDrawing:
    """Draws the DRR's edges at the pose that the scene holds."""

    def __init__(self, scene, nodes):
        from xrayreg.overlay import prepare_anatomy

        self._nodes = nodes
        self._anatomy = prepare_anatomy(scene.volume, scene.structures)
        self._cameras = [bridge.edgeCamera(view) for view in scene.views]
        self._due = 0.0

    def drawSometimes(self):
        if time.monotonic() >= self._due:
            self.draw()

    def draw(self):
        from xrayreg.overlay import pose_edges, stroke

        began = time.monotonic()
        worldFromVolume = bridge.worldFromVolume(self._nodes)
        for camera, view in zip(self._cameras, self._nodes.views, strict=True):
            lines = pose_edges(self._anatomy, camera, camera.camera_from_world @ worldFromVolume)
            bridge.setEdges(view, stroke(lines, (camera.height, camera.width), _EDGE_WIDTH_PX))
        ended = time.monotonic()
        self._due = ended + max(_EDGES_EVERY_S, (ended - began) * (1 / _EDGES_SHARE - 1))
