"""The readable truth: dense trilinear sampling along every ray, in any dtype, differentiable twice.

Slow and memory-hungry on purpose; the fast engines are held against it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..geometry import VoxelGrid
from ..scene import Attenuation
from .rays import Rays, RayTangents

# Samples per voxel along the axis a ray crosses fastest: finer changes the integral by less than 1e-4.
SAMPLES_PER_VOXEL = 4


class ReferenceProjector:
    """Dense trilinear integration; see `projector.Projector` for the contract."""

    name = "reference"

    def __init__(self, attenuation: Attenuation, device: str = "cpu", dtype: torch.dtype = torch.float64) -> None:
        self.grid: VoxelGrid = attenuation.grid
        self.mu = attenuation.mu.to(device=device, dtype=dtype)
        self.renders = 0

    def project(self, rays: Rays) -> Tensor:
        """Line integrals (B, H, W): midpoint rule over the stretch of each ray inside the map and one voxel around."""
        poses = range(rays.image_shape[0])
        integrals = [
            torch.stack([self._integrate(rays.source[pose], row) for row in rays.directions(pose)]) for pose in poses
        ]
        images = torch.stack(integrals) if integrals else self.mu.new_zeros(rays.image_shape)
        return images * rays.length_mm.to(self.mu)

    def project_with_jacobian(self, rays: Rays, tangents: RayTangents) -> tuple[Tensor, Tensor]:
        """Line integrals (B, H, W) and their derivatives (B, P, H, W), one automatic derivative per parameter."""
        count = tangents.source.shape[1]

        def project_moved(amounts: Tensor) -> Tensor:
            moved_source = rays.source + torch.einsum("p,bpi->bi", amounts, tangents.source)
            moved_matrix = rays.matrix + torch.einsum("p,bpij->bij", amounts, tangents.matrix)
            return self.project(Rays(moved_source, moved_matrix, rays.length_mm))

        at_zero = torch.zeros(count, dtype=rays.source.dtype, device=rays.source.device)
        columns = [
            torch.autograd.functional.jvp(project_moved, at_zero, direction)[1]
            for direction in torch.eye(count, dtype=at_zero.dtype, device=at_zero.device)
        ]
        return self.project(rays).detach(), torch.stack(columns, dim=1)

    def _integrate(self, source: Tensor, directions: Tensor) -> Tensor:
        """Integrals (N,) of mu over t for rays of directions (N, 3) from one source (3,), voxel coordinates."""
        source, directions = source.to(self.mu), directions.to(self.mu)
        sizes = torch.tensor(self.grid.shape, dtype=source.dtype, device=source.device)
        # A component of exactly zero never enters or leaves; a tiny one says the same without dividing by zero.
        steady = torch.where(directions.abs() < 1e-12, torch.full_like(directions, 1e-12), directions)
        at_low, at_high = (-1 - source) / steady, (sizes - source) / steady
        enter = torch.minimum(at_low, at_high).amax(-1).clamp(min=0)
        leave = torch.maximum(torch.maximum(at_low, at_high).amin(-1), enter)
        steps = SAMPLES_PER_VOXEL * (int(max(self.grid.shape)) + 1)
        fractions = (torch.arange(steps, dtype=source.dtype, device=source.device) + 0.5) / steps
        stretch = leave - enter
        t = enter[:, None] + fractions * stretch[:, None]
        positions = source + t[..., None] * directions[:, None, :]
        sampling = (2 * positions + 1) / sizes - 1
        values = torch.nn.functional.grid_sample(
            self.mu[None, None], sampling[None, None], padding_mode="zeros", align_corners=False
        )[0, 0, 0]
        return values.sum(-1) * stretch / steps
