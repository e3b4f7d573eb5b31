"""RTK's Joseph projector (itk-rtk) rendering our views, its conventions matched to ours.

RTK describes a view by the source, by the point of the detector where its two coordinates are zero (here: where the
central ray meets it) and by the directions of these two. They make a right-handed frame with the normal that points to
the source, so its second coordinate runs up where our rows run down. Any right-handed world will do; ours is RAS.
"""

from __future__ import annotations

import itk
import numpy as np
from itk import RTK as rtk
from numpy.typing import NDArray

from xrayreg.geometry import Camera
from xrayreg.scene import Attenuation

# Rays end at the detector, so it stands far behind the patient, with pixels to match.
SID_MM = 3000.0
_IMAGE = itk.Image[itk.F, 3]


class RtkJoseph:
    """A map made ready for `rtk::JosephForwardProjectionImageFilter`."""

    def __init__(self, attenuation: Attenuation) -> None:
        grid = attenuation.grid
        # Copied, because itk would otherwise read memory that Python may free.
        self._volume = itk.image_from_array(attenuation.mu.numpy().astype(np.float32).copy())
        self._volume.SetSpacing(grid.spacing_mm.tolist())
        self._volume.SetOrigin(grid.volume_from_index[:3, 3].tolist())
        self._volume.SetDirection(
            itk.matrix_from_array(np.ascontiguousarray(grid.volume_from_index[:3, :3] / grid.spacing_mm))
        )

    def image(self, camera: Camera, camera_from_volume: NDArray[np.float64]) -> NDArray[np.float32]:
        """The DRR (H, W) of one pose (4, 4), for a camera without skew."""
        projector = rtk.JosephForwardProjectionImageFilter[_IMAGE, _IMAGE].New()
        projector.SetInput(0, _empty_detector(camera))
        projector.SetInput(1, self._volume)
        projector.SetGeometry(_geometry(camera_from_volume))
        projector.Update()
        return itk.array_from_image(projector.GetOutput())[0, ::-1].copy()


def _geometry(camera_from_volume: NDArray[np.float64]) -> rtk.ThreeDCircularProjectionGeometry:
    right, down, ahead = camera_from_volume[:3, :3]
    source = -camera_from_volume[:3, :3].T @ camera_from_volume[:3, 3]
    geometry = rtk.ThreeDCircularProjectionGeometry.New()
    taken = geometry.AddProjection(
        itk.Point[itk.D, 3](source.tolist()),
        itk.Point[itk.D, 3]((source + SID_MM * ahead).tolist()),
        itk.Vector[itk.D, 3](right.tolist()),
        itk.Vector[itk.D, 3]((-down).tolist()),
    )
    assert taken
    return geometry


def _empty_detector(camera: Camera) -> itk.Image:
    pitch = SID_MM / np.diag(camera.matrix)[:2]
    last_row = camera.height - 1
    first = [-camera.matrix[0, 2] * pitch[0], -(last_row - camera.matrix[1, 2]) * pitch[1], 0.0]
    detector = rtk.ConstantImageSource[_IMAGE].New()
    detector.SetOrigin([float(place) for place in first])
    detector.SetSpacing([float(pitch[0]), float(pitch[1]), 1.0])
    detector.SetSize([camera.width, camera.height, 1])
    detector.SetConstant(0.0)
    detector.Update()
    return detector.GetOutput()
