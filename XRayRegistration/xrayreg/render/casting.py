"""Casting rays without host synchronisation, for CUDA graphs: everything but the poses is prepared beforehand."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..geometry import Camera, VoxelGrid
from .rays import Rays, pixel_coordinates


@dataclass(frozen=True, eq=False)
class RayCaster:
    """Precomputed quantities shared by all rays of a grid and a camera, on one device.

    index_from_volume: (4, 4); ray_from_pixel: (3, 3); length_mm: (H, W); see `rays.Rays`.
    """

    index_from_volume: Tensor
    ray_from_pixel: Tensor
    length_mm: Tensor

    def cast(self, camera_from_volume: Tensor) -> Rays:
        """Rays of rigid poses (B, 4, 4) on the caster's device, as `rays.cast_rays` gives them; differentiable.

        Nothing is copied from or to the host, and finiteness is not checked: for non-finite poses an engine renders
        an undefined image, though it stays within its memory.
        """
        rotation, translation = camera_from_volume[:, :3, :3].mT, camera_from_volume[:, :3, 3:]
        turned = self.index_from_volume[:3, :3] @ rotation
        return Rays(
            source=(self.index_from_volume[:3, 3:] - turned @ translation)[..., 0],
            matrix=turned @ self.ray_from_pixel,
            length_mm=self.length_mm,
        )


def ray_caster(grid: VoxelGrid, camera: Camera, like: Tensor) -> RayCaster:
    """The caster for poses of the dtype and on the device of `like`."""
    ray_from_pixel = torch.linalg.inv(torch.as_tensor(camera.matrix, dtype=like.dtype))
    pixels = pixel_coordinates(camera.width, camera.height, ray_from_pixel)
    return RayCaster(
        torch.as_tensor(grid.index_from_volume, dtype=like.dtype, device=like.device),
        ray_from_pixel.to(like.device),
        (pixels @ ray_from_pixel.mT).norm(dim=-1).to(like.device),
    )
