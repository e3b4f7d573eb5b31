"""The geometry of an X-ray: where it is found, and how the views of a rig stand to each other."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from xrayreg.checks import InputError

from . import rig, sources

if TYPE_CHECKING:
    from xrayreg.geometry import Projection

    from ..mrml.rig import Rig, View
    from ..worker.client import Worker

# Resolutions [dots per inch] that programs write into pictures and that tell nothing about a detector.
_PRINTED_DPI = (72, 90, 96, 100, 120, 150, 200, 240, 300, 400, 600, 1200)
# How origins begin that name where a view stands among the others; translated, they could not be read back.
_BY_ANGLES = "C-arm angles"
_ASSUMED = "assumed"


def projectionSteps(worker: Worker, sourceNode: slicer.vtkMRMLVolumeNode) -> Generator[Any, None, Projection]:
    """Pause, and return what is known of the geometry of an X-ray node (xrayreg.geometry.Projection) with its origins.

    It comes from the node's DICOM file where there is one, else from its pixel spacing, else it is assumed. Raises
    InputError for a node that is not one image.
    """
    from xrayreg.geometry import Projection

    size = sources.imageSize(sourceNode)
    found = sources.fileOf(sourceNode)
    if found is None:
        return _bySpacing(sourceNode, Projection.assumed(*size))
    file, frame = found
    try:
        answer = yield from worker.askSteps("geometry", file=str(file), frame=frame)
    except InputError as error:
        return _doubted(Projection.assumed(*size), _("The DICOM file was not used: {reason}").format(reason=error))
    if answer["projection"] is None:
        return _bySpacing(sourceNode, Projection.assumed(*size))
    projection = Projection.from_dict(answer["projection"])
    stored = projection.size[::-1] if projection.quarter_turns % 2 else projection.size
    if stored != size:
        reason = _("it has {width} x {height} pixels").format(width=stored[0], height=stored[1])
        return _doubted(Projection.assumed(*size), _("The DICOM file was not used: {reason}").format(reason=reason))
    return projection


def calibrationSteps(worker: Worker, path: Any, projection: Projection, name: Any) -> Generator[Any, None, Projection]:
    """Pause, and return the geometry that a MayaCam file, or the view `name` of a case.json, gives to an image.

    projection: the image's before. Raises InputError for a file that is neither, or that was made for an image of
    another size.
    """
    from xrayreg.geometry import Projection
    from xrayreg.geometry.projection import RATIO

    answer = yield from worker.askSteps("calibration", path=str(path), name=name)
    calibrated = Projection.from_dict(answer["projection"])
    size = projection.oriented(calibrated.quarter_turns, calibrated.mirrored, "").size
    if calibrated.size != size:
        raise InputError(
            _("calibration {file}").format(file=path),
            expected=_("a camera for {width} x {height} pixels").format(width=size[0], height=size[1]),
            found="{} x {}".format(*calibrated.size),
            remedy=_("choose the calibration of this image"),
        )
    if calibrated.intensity == "auto":
        calibrated = replace(calibrated, intensity=projection.intensity)
    # The previous origins of the numbers no longer apply.
    before = {name: origin for name, origin in projection.origins.items() if name != RATIO}
    kept = ("primary_deg", "secondary_deg", "sod_mm")
    return replace(
        calibrated,
        **{field: getattr(projection, field) for field in kept},
        origins={**before, **calibrated.origins},
    )


def relate(theRig: Rig) -> None:
    """Place the views of a rig among each other by their C-arm angles, unless one of them is calibrated.

    The first view's camera frame is then the rig's world, and all views rotate about one isocentre. Views with unknown
    angles are assumed to be at right angles to each other, which is listed in `assumptions`.
    """
    from xrayreg.geometry import camera_from_carm

    given = [view.projection for view in theRig.views]
    if any(_isCalibrated(projection) for projection in given):
        return
    angles = [(each.primary_deg, each.secondary_deg) for each in given]
    known = all(angle is not None for pair in angles for angle in pair)
    poses = []
    for number, (projection, (primary, secondary)) in enumerate(zip(given, angles, strict=True)):
        if not known or primary is None or secondary is None:
            primary, secondary = 90.0 * number, 0.0
        poses.append(camera_from_carm(primary, secondary, sodMm(projection), np.zeros(3)))
    origin = _BY_ANGLES if known else f"{_ASSUMED}: views at right angles"
    for view, projection, pose in zip(theRig.views, given, poses, strict=True):
        matrix = np.eye(4) if pose is poses[0] else pose @ np.linalg.inv(poses[0])
        placed = replace(projection, camera_from_world=tuple(map(tuple, matrix.tolist())))
        placed = replace(placed, origins={**projection.origins, "place": origin})
        if placed != projection:
            rig.setProjection(view, placed)


def followFrameSteps(worker: Worker, theRig: Rig, view: View) -> Generator[Any, None, None]:
    """Pause, and take over the C-arm's angles of the frame that a sequence shows now, if its DICOM file gave them."""
    isTold = view.projection.origins.get("angles", "").startswith("DICOM")
    if view.source is None or not isTold or not sources.isInRun(view.source):
        return
    found = yield from projectionSteps(worker, view.source)
    told = {name: getattr(found, name) for name in ("primary_deg", "secondary_deg")}
    if None not in told.values() and any(getattr(view.projection, name) != told[name] for name in told):
        rig.setProjection(view, view.projection.changed(found.origins["angles"], **told))
        relate(theRig)


def sodMm(projection: Projection) -> float:
    """Distance from source to isocentre [mm]: from the C-arm's data, else the usual fraction of the SID."""
    from xrayreg.geometry import nominal_sod_mm

    return projection.sod_mm or nominal_sod_mm(projection.camera())


def assumedPlaces(theRig: Rig) -> dict[Any, Any]:
    """By the identifier of a view's picture: why its place among the views is only assumed, a sentence.

    The others are placed relative to the first view; missing information is listed in `assumptions`.
    """
    sentence = _(
        "Its place among the views was assumed from the C-arm's nominal angles about one isocentre, the patient at "
        "rest; import a calibration of each view to have the pose accepted."
    )
    placed = [view for view in theRig.views[1:] if _place(view.projection) == _BY_ANGLES]
    return {view.picture.GetID(): sentence for view in placed}


def assumptions(theRig: Rig) -> tuple[str, ...]:
    """Unmeasured assumptions of a registration of the rig, as text ("the SID of X"); empty if there are none."""
    names = {"SID": _("the SID of {view}"), "pixel pitch": _("the pixel pitch of {view}")}
    found = [names[name].format(view=view.name) for view in theRig.views for name in view.projection.assumptions]
    places = {_place(view.projection) for view in theRig.views}
    if len(theRig.views) > 1 and (len(places) > 1 or _ASSUMED in places):
        found.append(_("how the views stand to each other"))
    return tuple(found)


def _bySpacing(node: Any, assumed: Projection) -> Projection:
    """With the pitch that a picture's spacing suggests; it may be that at the patient, so it has to be confirmed."""
    spacing = np.array(node.GetSpacing()[:2])
    if np.allclose(spacing, 1.0) or not (spacing > 0).all():
        return assumed
    dpi = 25.4 / spacing
    if np.allclose(dpi, np.rint(dpi), rtol=1e-3) and np.rint(dpi)[0] in _PRINTED_DPI:
        return _doubted(
            assumed, _("The image's {dpi:g} dots per inch are for printing and were not used.").format(dpi=dpi[0])
        )
    origin = f"{_ASSUMED}: the image's spacing, which may be that at the patient"
    return assumed.changed(origin, pixel_mm=tuple(float(side) for side in spacing))


def _doubted(projection: Projection, sentence: str) -> Projection:
    return replace(projection, origins={**projection.origins, "doubts": sentence})


def _isCalibrated(projection: Projection) -> bool:
    return _place(projection) not in ("", _ASSUMED, _BY_ANGLES)


def _place(projection: Projection) -> str:
    """How it is known where a view stands: by its C-arm's angles, assumed, by a calibration, or not yet at all."""
    origin = projection.origins.get("place", "")
    return next((kind for kind in (_BY_ANGLES, _ASSUMED) if origin.startswith(kind)), "calibrated" if origin else "")
