"""The pinhole camera in which a network sees X-rays: square, its central ray in the middle, at the identity."""

from __future__ import annotations

import numpy as np

from ...checks import InputError
from ...geometry import NOMINAL_SID_MM, Camera
from ...settings import NetworkCamera


def pinhole(camera: NetworkCamera) -> Camera:
    """The network's camera: square, the central ray in the middle, the identity as its pose.

    Raises InputError for lengths that are not positive or an empty image.
    """
    if camera.image_px < 1 or not camera.field_mm > 0:
        raise InputError(
            "camera of the network",
            expected="at least one pixel and a field above 0 mm",
            found=f"{camera.image_px} pixels, {camera.field_mm:g} mm",
            remedy="check image_px and field_mm",
        )
    return Camera.from_sid(camera.sid_mm, camera.field_mm / camera.image_px, camera.image_px, camera.image_px)


def network_camera_for(camera: Camera, image_px: int) -> NetworkCamera:
    """The smallest network camera, `image_px` pixels a side, that covers all rays of an X-ray's camera.

    Its central ray is the X-ray's, so an X-ray off its central ray is covered with an equal margin on the other side.
    Where the X-ray's SID is unknown (no pixel pitch), a nominal one is used: field and SID then have the right ratio,
    on which alone the rays depend.
    """
    edges = [(u, v, 1.0) for u in (-0.5, camera.width - 0.5) for v in (-0.5, camera.height - 0.5)]
    slopes = np.linalg.solve(camera.matrix, np.array(edges).T)[:2]
    sid_mm = camera.sid_mm or NOMINAL_SID_MM
    return NetworkCamera(image_px=image_px, field_mm=float(2 * np.abs(slopes).max() * sid_mm), sid_mm=sid_mm)
