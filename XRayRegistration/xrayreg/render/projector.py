"""The interface of render engines, and the two public functions: an image, an image with its Jacobian."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from ..geometry import Camera, VoxelGrid
from .rays import Rays, RayTangents, cast_rays, ray_tangents


class Projector(Protocol):
    """One attenuation map prepared for one engine.

    Line integrals run from the source to infinity; outside the map there is air. `mu` is the map as given, [k, j, i];
    `renders` counts the images made, by `render` and `render_with_jacobian`.
    """

    name: str
    grid: VoxelGrid
    mu: Tensor
    renders: int

    def project(self, rays: Rays) -> Tensor:
        """Line integrals (B, H, W) of the rays, differentiable with respect to the rays and `mu`."""

    def project_with_jacobian(self, rays: Rays, tangents: RayTangents) -> tuple[Tensor, Tensor]:
        """Line integrals (B, H, W) and their derivatives (B, P, H, W) along the tangents; not differentiable."""


def render(
    projector: Projector, camera: Camera, camera_from_volume: Tensor, camera_matrix: Tensor | None = None
) -> Tensor:
    """DRRs (B, H, W): line integrals [dimensionless] for poses (B, 4, 4).

    Differentiable with respect to the poses, `camera_matrix` (3, 3; replaces the camera's own) and `projector.mu`.
    """
    projector.renders += camera_from_volume.shape[0]
    return projector.project(cast_rays(projector.grid, camera, camera_from_volume, camera_matrix))


def render_with_jacobian(
    projector: Projector, camera: Camera, camera_from_volume: Tensor, pose_tangents: Tensor
) -> tuple[Tensor, Tensor]:
    """DRRs (B, H, W) of poses (B, 4, 4) and their derivatives (B, P, H, W) along pose tangents (B, P, 4, 4).

    With `geometry.twist_tangents` the columns are the derivatives with respect to the six numbers of a twist; six
    columns cost hardly more than the image (design.md 6.1).
    """
    projector.renders += camera_from_volume.shape[0]
    rays = cast_rays(projector.grid, camera, camera_from_volume)
    return projector.project_with_jacobian(
        rays, ray_tangents(projector.grid, camera, camera_from_volume, pose_tangents)
    )
