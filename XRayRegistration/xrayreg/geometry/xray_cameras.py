"""Plausibility of X-ray cameras: impossible ones are refused, unusual ones are reported.

The ranges are wide: C-arms span 15 to 25 degrees at 900 to 1200 mm; chest stands have 1800 mm, mini C-arms 360 mm,
dental tubes 200 mm, portal imagers 1500 mm, bench micro-CTs 250 to 1500 mm. They are meant to catch wrong units
(metres, centimetres, a focal length in millimetres instead of pixels), not unusual machines.
"""

from __future__ import annotations

from math import atan, degrees, hypot

from ..checks import InputError
from .cameras import Camera

# Limits of the angle that the wider side of the image spans at the source [degrees]. The lower limit allows for a
# crop of 30 pixels from a biplane rig's image.
FIELD_LIMITS_DEG = (0.25, 120.0)
# A panel of 430 mm at 550 mm, closer than in practice, spans 43 degrees; larger angles are doubted.
_USUAL_FIELD_DEG = 45.0
# Source to detector [mm]: refused beyond these, doubted beyond the next.
SID_LIMITS_MM = (100.0, 10_000.0)
_USUAL_SID_MM = (200.0, 5_000.0)
# Angle between the central ray and the ray through the image centre [degrees]. Crops and shifted detectors are off
# the central ray, but within the beam, which opens to about 25 degrees to each side.
_MOST_OBLIQUE_DEG = 60.0
_USUAL_OBLIQUE_DEG = 30.0
# Largest ratio of a pixel's sides, and largest relative skew.
_MOST_STRETCH, _MOST_LEAN = 3.0, 0.1
# Longest side of an image [pixels], that of DICOM; and pixels in all: the largest film scans have 100 million.
_MOST_SIDE_PX, _MOST_PX = 65_535, 2**28


def require_xray_camera(camera: Camera, where: str) -> Camera:
    """Return `camera` if an X-ray machine could have it; raise InputError, named by `where`, otherwise."""
    (fx, lean, _), (_, fy, _) = camera.matrix[:2].tolist()
    if max(camera.width, camera.height) > _MOST_SIDE_PX or camera.width * camera.height > _MOST_PX:
        raise InputError(
            f"{where}: size",
            expected=f"at most {_MOST_SIDE_PX} pixels each way and {_MOST_PX:,} in all",
            found=f"{camera.width} x {camera.height}",
            remedy="give the image's [width, height] in pixels",
        )
    stretch = max(fx, fy) / min(fx, fy)
    if stretch > _MOST_STRETCH or abs(lean) > _MOST_LEAN * fx:
        raise InputError(
            f"{where}: matrix",
            expected="nearly square pixels (fx about fy, hardly any skew)",
            found=f"fx = {fx:g}, fy = {fy:g}, skew {lean:g}",
            remedy="give both focal lengths in pixels: SID divided by the pixel pitch, in millimetres both",
        )
    field = field_deg(camera)
    if not FIELD_LIMITS_DEG[0] <= field <= FIELD_LIMITS_DEG[1]:
        raise InputError(
            f"{where}: matrix",
            expected="a camera that sees {:g} to {:g} degrees".format(*FIELD_LIMITS_DEG),
            found=f"{field:.3g} degrees (focal length {camera.focal_px:.6g} pixels, image {camera.width} x "
            f"{camera.height})",
            remedy="give the focal lengths in pixels: SID divided by the pixel pitch, in millimetres both",
        )
    oblique = _oblique_deg(camera)
    if not oblique <= _MOST_OBLIQUE_DEG:
        raise InputError(
            f"{where}: matrix",
            expected=f"a central ray within {_MOST_OBLIQUE_DEG:g} degrees of the image",
            found=f"{oblique:.0f} degrees (principal point {camera.matrix[0, 2]:.6g}, {camera.matrix[1, 2]:.6g})",
            remedy="give the principal point in pixels, (0, 0) being the top-left one",
        )
    if camera.sid_mm is not None and not SID_LIMITS_MM[0] <= camera.sid_mm <= SID_LIMITS_MM[1]:
        raise InputError(
            f"{where}: pixel_mm",
            expected="a source {:g} to {:g} mm from the detector".format(*SID_LIMITS_MM),
            found=f"{camera.sid_mm:.4g} mm ({camera.pixel_mm:g} mm times the focal length of {camera.matrix[0, 0]:.6g} "
            "pixels)",
            remedy="give the pixel pitch at the detector in millimetres and the focal length in pixels",
        )
    return camera


def camera_doubts(camera: Camera) -> tuple[str, ...]:
    """One sentence on each unusual property of a camera: numbers that may be in another unit than assumed.

    A pose found with them is not accepted.
    """
    doubts = []
    if (field := field_deg(camera)) > _USUAL_FIELD_DEG:
        doubts.append(
            f"The image spans {field:.0f} degrees, more than any X-ray machine sees: the focal length of "
            f"{camera.focal_px:.6g} was assumed to be in pixels, not in millimetres."
        )
    if (oblique := _oblique_deg(camera)) > _USUAL_OBLIQUE_DEG:
        doubts.append(
            f"The central ray was assumed to pass {oblique:.0f} degrees beside the image's middle, as the principal "
            "point says."
        )
    if camera.sid_mm is not None and not _USUAL_SID_MM[0] <= camera.sid_mm <= _USUAL_SID_MM[1]:
        doubts.append(
            f"The detector was assumed to stand {camera.sid_mm:.4g} mm from the source, as focal length and pixel "
            "pitch say: check that the pitch is in millimetres."
        )
    return tuple(doubts)


def field_deg(camera: Camera) -> float:
    """Angle [degrees] that the image spans at the source, along its wider side."""
    spans = []
    for axis, side in ((0, camera.width), (1, camera.height)):
        focal, centre = float(camera.matrix[axis, axis]), float(camera.matrix[axis, 2])
        spans.append(atan((side - 0.5 - centre) / focal) - atan((-0.5 - centre) / focal))
    return degrees(max(spans))


def _oblique_deg(camera: Camera) -> float:
    middle = ((camera.width - 1) / 2, (camera.height - 1) / 2)
    across = [(middle[axis] - float(camera.matrix[axis, 2])) / float(camera.matrix[axis, axis]) for axis in (0, 1)]
    return degrees(atan(hypot(*across)))
