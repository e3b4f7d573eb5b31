"""What is drawn of the patient on a detector: its DRR, and the DRR's edges, as pixels of the view's nodes."""

from dataclasses import dataclass, replace

import numpy as np
import slicer

from ..parameters import Comparison
from ..scene import detector
from ..scene.segments import labelsOf

# The DRR's black; white is 255 above. Between a pixel of the DRR and a 0 beside it Slicer interpolates, and what comes
# out below black is not shown: so the DRR ends sharply, without a dark rim. Single precision still tells these apart.
BLACK, WHITE = 4_000_000, 4_000_255
# Longer side of the grid on which edges are drawn [pixels]: about as fine as a view on the screen.
GRID_PX = 1024
# Longer side of the DRR [pixels] once the C-arm has come to rest.
_FINE_PX = 512
# Longer side of images that hold nothing [pixels].
_EMPTY_PX = 32
# Tiles of the checkerboard along the longer side.
_TILES = 8


@dataclass(frozen=True)
class Wanted:
    """What is to be drawn, and how.

    drr, edges: whether they are seen at all. matched: the DRR in the tones of the X-ray, to be seen in its place.
    tiled: every second tile of it only. widthPx: of the edges on the screen. shownPx: longer side of the whole image on
    the screen.
    """

    drr: bool
    matched: bool
    tiled: bool
    edges: bool
    widthPx: float
    shownPx: float


def wantedOf(parameters, shownPx=None):
    """What the module's parameters want drawn in a view, on so many pixels of the screen (None for none known)."""
    blended = parameters.comparison is Comparison.blend
    return Wanted(
        drr=not blended or parameters.drrOpacity > 0,
        matched=not blended,
        tiled=parameters.comparison is Comparison.checkerboard,
        edges=bool(parameters.showEdges),
        widthPx=float(parameters.edgeWidth),
        shownPx=shownPx or float(GRID_PX),
    )


def structuresOf(parameters):
    """Labels of the segments that are registered, in the CT's label map; none for everything."""
    if parameters.segmentation is None:
        return ()
    labels = labelsOf(parameters.segmentation)
    return tuple(sorted(labels[name] for name in parameters.structures if name in labels))


@dataclass(frozen=True, eq=False)
class Patient:
    """A CT that is ready to be drawn.

    volume, structures: what it was made of (xrayreg.scene.Volume, labels). live: xrayreg.overlay.LiveDrr. anatomy:
    xrayreg.overlay.Anatomy with all labels.
    """

    volume: object
    structures: tuple
    live: object
    anatomy: object

    def isOf(self, volume, structures):
        return self.volume is volume and self.structures == structures


def patientSteps(volume, structures):
    """Make a CT (xrayreg.scene.Volume) ready, in short steps that yield None; returns Patient."""
    from xrayreg.overlay import Anatomy, prepare_labels, prepare_live

    live = yield from prepare_live.pieces(volume, structures)
    labels = yield from prepare_labels.pieces(volume)
    return Patient(volume, structures, live, Anatomy(live.whole, live.bone, labels, volume.label_names))


def draw(view, patient, cameraFromVolume, wanted, isDenseDark):
    """Draw DRR and edges of a view at a pose (4, 4) [mm], at the pace of a hand.

    isDenseDark: whether bone is dark in the X-ray, which the DRR follows.
    """
    for _step in _drawSteps(view, patient.live, cameraFromVolume, wanted, isDenseDark):
        pass


def drawFinelySteps(view, patient, cameraFromVolume, wanted, isDenseDark):
    """Draw DRR and edges of a view with more pixels, in short steps that yield None."""
    fine = replace(patient.live, longest_px=_FINE_PX)
    yield from _drawSteps(view, fine, cameraFromVolume, wanted, isDenseDark)


def clear(view):
    """Show neither DRR nor edges."""
    camera = detector.resizedCamera(view.camera, _EMPTY_PX)
    detector.fillImage(view.drr, np.zeros((camera.height, camera.width), np.int32), camera)
    detector.fillImage(view.edges, np.zeros((camera.height, camera.width), np.uint8), camera)


def _drawSteps(view, live, cameraFromVolume, wanted, isDenseDark):
    camera, grey, lines = view.camera, None, None
    if wanted.drr and wanted.matched:
        drr = yield from live.image.pieces(camera, cameraFromVolume)
        yield
        grey = _matched(view, drr, isDenseDark)
    elif wanted.drr and wanted.edges:
        grey, lines = yield from live.grey_and_lines.pieces(camera, cameraFromVolume)
    elif wanted.drr:
        grey = yield from live.grey.pieces(camera, cameraFromVolume)
    yield
    if wanted.edges and lines is None:
        lines = yield from live.lines.pieces(camera, cameraFromVolume)
        yield
    own = live.camera(camera)
    if grey is not None:
        if not wanted.matched:
            # Dense is bright in a DRR.
            numbers = grey.astype(np.int32)
            grey = np.where(grey > 0, WHITE - numbers if isDenseDark else BLACK + numbers, 0)
        detector.fillImage(view.drr, _everySecondTile(grey) if wanted.tiled else grey, own)
    if lines is not None:
        from xrayreg.overlay import stroke

        factor = max(1, round(GRID_PX / live.longest_px))
        grid = camera.scaled(factor * own.width, factor * own.height)
        # In a small view fewer pixels are shown than are drawn, and thinner lines would get gaps.
        widthPx = wanted.widthPx * max(1.0, max(grid.width, grid.height) / wanted.shownPx)
        covered = stroke(lines.enlarged(factor), (grid.height, grid.width), widthPx)
        detector.fillImage(view.edges, np.rint(255 * covered).astype(np.uint8), grid)


def _matched(view, drr, isDenseDark):
    """A DRR (height, width) of line integrals in the tones of the X-ray around, in the numbers of its node."""
    from xrayreg.overlay import matched_tones

    picture = slicer.util.arrayFromVolume(view.picture)[0]
    nearest = (
        np.floor((np.arange(n) + 0.5) * full / n).astype(int) for n, full in zip(drr.shape, picture.shape, strict=True)
    )
    grey = picture[np.ix_(*nearest)].astype(np.float32) / 255
    matched = matched_tones(drr, grey, drr > 0, isDenseDark)
    return np.where(drr > 0, BLACK + np.rint(255 * matched), 0).astype(np.int32)


def _everySecondTile(image):
    """Tiles of an image (height, width) and 0 in turn: laid over the X-ray, the two alternate."""
    side = max(image.shape) / _TILES
    rows, columns = (np.floor((np.arange(length) + 0.5) / side).astype(int) for length in image.shape)
    return np.where((rows[:, None] + columns) % 2 == 1, image, 0).astype(image.dtype)
