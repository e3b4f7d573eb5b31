"""Drawing of the patient on a detector: its DRR, and the DRR's edges, as pixels of the view's nodes."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import slicer

from ..mrml import detector
from ..mrml.backend import SentVolume
from ..mrml.segments import labelsOf
from ..parameters import Comparison
from ..worker.client import Handle

if TYPE_CHECKING:
    from xrayreg.geometry import Camera

    from ..mrml.backend import SentLabels, SentXray
    from ..mrml.rig import View
    from ..parameters import Parameters
    from ..worker.client import Worker

# The DRR's black; white is 255 above. Between a pixel of the DRR and a 0 beside it Slicer interpolates, and what comes
# out below black is not shown: so the DRR ends sharply, without a dark rim. Single precision still tells these apart.
BLACK, WHITE = 4_000_000, 4_000_255
# Longer side of the grid on which edges are drawn [pixels]: about as fine as a view on the screen.
GRID_PX = 1024
# Longer side of the DRR [pixels] during interaction, and once the C-arm has come to rest.
LIVE_PX, _FINE_PX = 256, 512
# Longer side of images that hold nothing [pixels].
_EMPTY_PX = 32
# Tiles of the checkerboard along the longer side.
_TILES = 8


@dataclass(frozen=True)
class PictureRequest:
    """Options for drawing.

    drr, edges: whether they are visible. matched: the DRR in the tones of the X-ray, to be shown in its place.
    tiled: every second tile of it only. widthPx: of the edges on the screen. shownPx: longer side of the whole image on
    the screen.
    """

    drr: bool
    matched: bool
    tiled: bool
    edges: bool
    widthPx: float
    shownPx: float


def wantedOf(parameters: Parameters, shownPx: float | None = None) -> PictureRequest:
    """The PictureRequest for a view from the module's parameters; shownPx: its size on the screen, None if unknown."""
    blended = parameters.comparison is Comparison.blend
    return PictureRequest(
        drr=not blended or parameters.drrOpacity > 0,
        matched=not blended,
        tiled=parameters.comparison is Comparison.checkerboard,
        edges=bool(parameters.showEdges),
        widthPx=float(parameters.edgeWidth),
        shownPx=shownPx or float(GRID_PX),
    )


def structuresOf(parameters: Parameters) -> tuple[Any, ...]:
    """Labels of the segments that are registered, in the CT's label map; none for everything."""
    if parameters.segmentation is None:
        return ()
    labels = labelsOf(parameters.segmentation)
    return tuple(sorted(labels[name] for name in parameters.structures if name in labels))


@dataclass(frozen=True, eq=False)
class DrawnPatient:
    """A CT that the worker has ready to be drawn.

    volume, structures: what it was made of. live, anatomy: handles of what requests
    for pictures and silhouettes need. labels: those that silhouettes can be drawn of.
    """

    volume: SentVolume
    structures: tuple[int, ...]
    live: Handle
    anatomy: Handle
    labels: frozenset[int]

    def isOf(self, volume: SentLabels | SentVolume, structures: tuple[Any, ...]) -> bool:
        return self.volume is volume and self.structures == structures and self.live.isThere


def patientSteps(
    worker: Worker, volume: SentLabels | SentVolume, structures: tuple[Any, ...]
) -> Generator[Any, None, DrawnPatient]:
    """Have the worker make a CT (mrml.backend.SentVolume) ready, in short steps that yield None."""
    answer = yield from worker.askSteps("patient", volume=volume.handle.number, structures=list(structures))
    live, anatomy = worker.keep(answer["live"]), worker.keep(answer["anatomy"])
    return DrawnPatient(volume, structures, live, anatomy, frozenset(answer["labels"]))


def drawSteps(
    worker: Worker,
    view: View,
    patient: DrawnPatient,
    cameraFromVolume: np.ndarray,
    wanted: PictureRequest,
    xray: SentXray,
    finely: bool = False,
) -> Generator[Any, None, None]:
    """Draw DRR and edges of a view at a pose (4, 4) [mm], in short steps that yield None.

    xray: mrml.backend.SentXray; where bone is dark in it the DRR follows. finely: with more pixels than at the pace of
    a hand. Nothing is drawn once the view has left the scene.
    """
    answer = yield from worker.askSteps(
        "picture",
        live=patient.live.number,
        projection=view.projection.as_dict(),
        pose=np.asarray(cameraFromVolume).tolist(),
        drr=wanted.drr,
        edges=wanted.edges,
        matched=wanted.matched,
        xray=xray.handle.number,
        dense_is_dark=xray.isDenseDark,
        longest_px=_FINE_PX if finely else LIVE_PX,
        grid_px=GRID_PX,
        width_px=wanted.widthPx,
        shown_px=wanted.shownPx,
    )
    grey, edges = worker.take(answer["grey"]), worker.take(answer["edges"])
    if view.picture is None or view.picture.GetScene() is None:
        return
    if grey is not None:
        # Dense is bright in a DRR of its own tones.
        turned = xray.isDenseDark and not wanted.matched
        numbers = WHITE - grey.astype(np.int32) if turned else BLACK + grey.astype(np.int32)
        drr = np.where(grey > 0, numbers, 0)
        _fill(view.drr, _everySecondTile(drr) if wanted.tiled else drr, view.camera)
    if edges is not None:
        _fill(view.edges, edges, view.camera)


def clear(view: View) -> None:
    """Show neither DRR nor edges."""
    camera = detector.resizedCamera(view.camera, _EMPTY_PX)
    detector.fillImage(view.drr, np.zeros((camera.height, camera.width), np.int32), camera)
    detector.fillImage(view.edges, np.zeros((camera.height, camera.width), np.uint8), camera)


def _fill(node: slicer.vtkMRMLVolumeNode, image: np.ndarray, camera: Camera) -> None:
    detector.fillImage(node, image, camera.scaled(image.shape[1], image.shape[0]))


def _everySecondTile(image: np.ndarray) -> np.ndarray:
    """Tiles of an image (height, width) and 0 in turn: laid over the X-ray, the two alternate."""
    side = max(image.shape) / _TILES
    rows, columns = (np.floor((np.arange(length) + 0.5) / side).astype(int) for length in image.shape)
    return np.where((rows[:, None] + columns) % 2 == 1, image, 0).astype(image.dtype)
