"""Rays of a beam in voxel coordinates: all the geometry a render engine needs, prepared once.

In a cone beam a pixel's ray starts at the source and has the direction `matrix @ (u, v, 1)` in the voxel coordinates
(i, j, k) of the attenuation map, so twelve numbers describe every ray of a pose and any pose or camera parameter acts
through them. In a parallel beam the two change places: the start is `matrix @ (u, v, 1)` and the direction is shared.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..geometry import Camera, VoxelGrid, inverse


@dataclass(frozen=True, eq=False)
class Rays:
    """The rays of B poses through H x W pixels.

    source: (B, 3) voxel coordinates of the X-ray source.
    matrix: (B, 3, 3); the ray of pixel (column u, row v) is source + t matrix @ (u, v, 1), t > 0.
    length_mm: (H, W) millimetres per unit of t.
    """

    source: Tensor
    matrix: Tensor
    length_mm: Tensor

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Poses, rows and columns of the image that these rays make."""
        return self.source.shape[0], self.length_mm.shape[0], self.length_mm.shape[1]

    def directions(self, pose: int) -> Tensor:
        """Directions (H, W, 3) of one pose's rays in voxel coordinates per unit of t."""
        _, height, width = self.image_shape
        return pixel_coordinates(width, height, self.matrix) @ self.matrix[pose].mT

    def lines(self, pose: int) -> tuple[Tensor, Tensor]:
        """Starts and directions, (H, W, 3) each, of one pose's rays."""
        directions = self.directions(pose)
        return self.source[pose].expand_as(directions), directions


@dataclass(frozen=True, eq=False)
class ParallelRays:
    """The rays of B poses through H x W pixels of a parallel (orthographic) beam.

    matrix: (B, 3, 3); the ray of pixel (column u, row v) starts at matrix @ (u, v, 1), voxel coordinates.
    direction: (B, 3) shared by all rays of a pose, voxel coordinates per unit of t, t > 0.
    length_mm: (H, W) millimetres per unit of t.
    """

    matrix: Tensor
    direction: Tensor
    length_mm: Tensor

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Poses, rows and columns of the image that these rays make."""
        return self.matrix.shape[0], self.length_mm.shape[0], self.length_mm.shape[1]

    def lines(self, pose: int) -> tuple[Tensor, Tensor]:
        """Starts and directions, (H, W, 3) each, of one pose's rays."""
        _, height, width = self.image_shape
        starts = pixel_coordinates(width, height, self.matrix) @ self.matrix[pose].mT
        return starts, self.direction[pose].expand_as(starts)


@dataclass(frozen=True, eq=False)
class RayTangents:
    """Derivatives of Rays with respect to P parameters: source (B, P, 3), matrix (B, P, 3, 3)."""

    source: Tensor
    matrix: Tensor


def pixel_coordinates(width: int, height: int, like: Tensor) -> Tensor:
    """Homogeneous pixel centres (H, W, 3) as (u, v, 1)."""
    v, u = torch.meshgrid(
        torch.arange(height, dtype=like.dtype, device=like.device),
        torch.arange(width, dtype=like.dtype, device=like.device),
        indexing="ij",
    )
    return torch.stack([u, v, torch.ones_like(u)], dim=-1)


def cast_rays(grid: VoxelGrid, camera: Camera, camera_from_volume: Tensor, camera_matrix: Tensor | None = None) -> Rays:
    """Rays of poses (B, 4, 4) through the pixels of `camera`, in the voxel coordinates of `grid`.

    Differentiable with respect to the poses and to `camera_matrix` (3, 3), which replaces the camera's own.
    Raises ValueError for numbers that are not finite: compiled kernels would follow them out of the volume's memory.
    """
    index_from_camera, ray_from_pixel = _frames(grid, camera, camera_from_volume, camera_matrix)
    pixels = pixel_coordinates(camera.width, camera.height, camera_from_volume)
    return Rays(
        source=index_from_camera[:, :3, 3],
        matrix=index_from_camera[:, :3, :3] @ ray_from_pixel,
        length_mm=(pixels @ ray_from_pixel.mT).norm(dim=-1),
    )


def cast_parallel_rays(
    grid: VoxelGrid,
    camera: Camera,
    camera_from_volume: Tensor,
    depth_mm: float,
    camera_matrix: Tensor | None = None,
) -> ParallelRays:
    """Rays of an orthographic beam along the camera's axis, for poses (B, 4, 4).

    depth_mm: how far in front of the source a pixel of this beam is as large as one of the cone beam; there both beams
    project a point to the same pixel, so pixels are depth_mm / f millimetres wide at the object, at any depth.
    Rays start in the source's plane: what lies behind it is not seen. Differentiable and refused as in `cast_rays`;
    raises ValueError for a depth that is not above 0.
    """
    if not 0 < depth_mm < math.inf:
        raise ValueError(f"depth_mm: expected millimetres above 0, found {depth_mm:g}")
    index_from_camera, ray_from_pixel = _frames(grid, camera, camera_from_volume, camera_matrix)
    start_from_pixel = depth_mm * ray_from_pixel[:2]
    matrix = index_from_camera[:, :3, :2] @ start_from_pixel
    # The source position is part of every start: it is in the column that multiplies the 1 of (u, v, 1).
    offset = torch.nn.functional.pad(index_from_camera[:, :3, 3:], (2, 0))
    return ParallelRays(
        matrix=matrix + offset,
        direction=index_from_camera[:, :3, 2],
        length_mm=camera_from_volume.new_ones(camera.height, camera.width),
    )


def _frames(
    grid: VoxelGrid, camera: Camera, camera_from_volume: Tensor, camera_matrix: Tensor | None
) -> tuple[Tensor, Tensor]:
    """index_from_camera (B, 4, 4) and ray_from_pixel (3, 3); raises ValueError for numbers that are not finite."""
    for name, given in (("camera_from_volume", camera_from_volume), ("camera_matrix", camera_matrix)):
        if given is not None and not bool(torch.isfinite(given).all()):
            raise ValueError(f"{name}: expected finite numbers, found NaN or infinity")
    dtype, device = camera_from_volume.dtype, camera_from_volume.device
    index_from_volume = torch.as_tensor(grid.index_from_volume, dtype=dtype, device=device)
    if camera_matrix is None:
        camera_matrix = torch.as_tensor(camera.matrix, dtype=dtype, device=device)
    return index_from_volume @ inverse(camera_from_volume), torch.linalg.inv(camera_matrix)


def ray_tangents(grid: VoxelGrid, camera: Camera, camera_from_volume: Tensor, pose_tangents: Tensor) -> RayTangents:
    """Derivatives of `cast_rays` along pose tangents (B, P, 4, 4), by d(T^-1) = -T^-1 dT T^-1."""
    dtype, device = camera_from_volume.dtype, camera_from_volume.device
    index_from_volume = torch.as_tensor(grid.index_from_volume, dtype=dtype, device=device)
    ray_from_pixel = torch.linalg.inv(torch.as_tensor(camera.matrix, dtype=dtype, device=device))
    volume_from_camera = inverse(camera_from_volume)[:, None]
    tangents = -(index_from_volume @ volume_from_camera @ pose_tangents @ volume_from_camera)
    return RayTangents(source=tangents[..., :3, 3], matrix=tangents[..., :3, :3] @ ray_from_pixel)
