"""DiffDRR's Siddon and trilinear renderers rendering our views, their conventions matched to ours.

Its poses take points from the camera to the world, its images have x to the left, y up and z to the detector (ours
turned by half a turn about the beam), its pixels lie symmetrically about the image's middle, and its voxels' centres
are where the affine says, as long as it is told a shift of half a voxel.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import torch
from diffdrr.drr import DRR
from diffdrr.pose import RigidTransform
from numpy.typing import NDArray

from xrayreg.geometry import Camera
from xrayreg.scene import Attenuation

# Rays end at the detector, so it stands far behind the patient, with pixels to match.
SID_MM = 3000.0
SAMPLES = 1000
_HALF_TURN = np.diag([-1.0, -1.0, 1.0, 1.0])


class DiffDrr:
    """A map made ready for one of DiffDRR's renderers, siddon or trilinear, in single precision as it recommends."""

    def __init__(self, attenuation: Attenuation, renderer: str) -> None:
        self._renderer = renderer
        # What DiffDRR takes from the torchio subject that it usually reads from a file.
        self._subject = SimpleNamespace(
            volume=SimpleNamespace(affine=attenuation.grid.volume_from_index),
            density=SimpleNamespace(data=attenuation.mu.float().permute(2, 1, 0)[None].contiguous()),
            mask=None,
            reorient=torch.eye(4),
        )

    @torch.no_grad()
    def image(self, camera: Camera, camera_from_volume: NDArray[np.float64]) -> NDArray[np.float32]:
        """The DRR (H, W) of one pose (4, 4), for a camera without skew."""
        pitch = SID_MM / np.diag(camera.matrix)[:2]
        middle = (np.array([camera.width, camera.height]) - 1) / 2
        offset = (camera.matrix[:2, 2] - middle) * pitch
        drr = DRR(
            self._subject,
            SID_MM,
            camera.height,
            float(pitch[0]),
            camera.width,
            float(pitch[1]),
            float(offset[0]),
            float(offset[1]),
            renderer=self._renderer,
        )
        pose = RigidTransform(torch.as_tensor(np.linalg.inv(camera_from_volume) @ _HALF_TURN).float()[None])
        more = {"n_points": SAMPLES} if self._renderer == "trilinear" else {}
        return _by_rows(drr, pose, more)


def _by_rows(drr: DRR, pose: RigidTransform, more: dict[str, int]) -> NDArray[np.float32]:
    """The image a row at a time: all rays at once take gigabytes."""
    source, target = drr.detector(pose, None)
    rows = target.reshape(drr.detector.height, drr.detector.width, 3)
    made = [drr.render(drr.density, source, row[None], **more)[0, 0] for row in rows]
    return torch.stack(made).numpy()
