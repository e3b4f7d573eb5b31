"""nanodrr rendering the same view of the same map, its conventions matched to ours.

Its pixel centres lie at half integers, its samples are spread over the stretch of each ray inside the map, and it ends
rays at the detector.
"""

from __future__ import annotations

import torch
from nanodrr.data import Subject
from nanodrr.drr import DRR
from torch import Tensor
from torchio import ScalarImage

from xrayreg.geometry import Camera, inverse, retract
from xrayreg.scene import Attenuation

SAMPLES = 500


class Peer:
    """nanodrr's torch backend with its rays computed once, as it recommends."""

    def __init__(self, attenuation: Attenuation, camera: Camera, camera_from_volume: Tensor) -> None:
        image = ScalarImage(
            tensor=attenuation.mu.permute(2, 1, 0)[None].contiguous(), affine=attenuation.grid.volume_from_index
        )
        self._subject = Subject.from_images(image, convert_to_mu=False)
        matrix = torch.as_tensor(camera.matrix).clone()
        matrix[:2, 2] += 0.5
        # The detector only has to lie behind the patient.
        depth = torch.tensor([float(camera.sid_mm or 2000.0)])
        self._drr = DRR(torch.linalg.inv(matrix).float()[None], depth, camera.height, camera.width)
        self._pose = camera_from_volume
        self._pivot = torch.as_tensor(attenuation.grid.centre)

    def image(self) -> Tensor:
        """The DRR (1, H, W)."""
        with torch.no_grad():
            return self._render(inverse(self._pose))

    def gradient(self) -> tuple[Tensor, Tensor]:
        """The DRR (1, H, W) and the derivative (1, 6) of half its squared sum with respect to the pose's twist."""
        twist = torch.zeros(1, 6, dtype=torch.float64, requires_grad=True)
        image = self._render(inverse(retract(self._pose, twist, self._pivot)))
        (0.5 * image.square().sum()).backward()
        assert twist.grad is not None
        return image.detach(), twist.grad

    def _render(self, volume_from_camera: Tensor) -> Tensor:
        return self._drr(self._subject, volume_from_camera.float(), n_samples=SAMPLES, backend="torch")[:, 0]
