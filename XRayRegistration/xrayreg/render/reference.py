"""The reference implementation: every ray separately, in any dtype, twice differentiable.

Deliberately simple, slow and memory-intensive; the fast engines are tested against it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..geometry import VoxelGrid
from ..scene import Attenuation
from ..settings import PixelName
from .rays import ParallelRays, Rays, RayTangents
from .siddon import integrate_boxes, stretch_in_box

# Samples per voxel along the axis a ray crosses fastest: finer changes the integral by less than 1e-4.
SAMPLES_PER_VOXEL = 4


class ReferenceProjector:
    """One ray at a time; see `projector.Projector` for the contract.

    pixel: trilinear (line integrals through the trilinear interpolant, by the midpoint rule), siddon (exact ones
        through uniform voxels, see `siddon`) or mip (the largest attenuation [1/mm] that a ray meets in the trilinear
        interpolant, instead of an integral; its derivatives are those at the sample where it is met).
    """

    name = "reference"

    def __init__(
        self,
        attenuation: Attenuation,
        device: str = "cpu",
        dtype: torch.dtype | None = None,
        pixel: PixelName = "trilinear",
    ) -> None:
        """dtype: float64 unless another is given; float32 on MPS, which has no other."""
        self.grid: VoxelGrid = attenuation.grid
        best = torch.float32 if torch.device(device).type == "mps" else torch.float64
        self.mu = attenuation.mu.to(device=device, dtype=dtype or best)
        self.renders = 0
        self._pixel = pixel

    def project(self, rays: Rays | ParallelRays) -> Tensor:
        """Line integrals, or largest attenuations, (B, H, W)."""
        along = _ALONG[self._pixel]
        images = []
        for pose in range(rays.image_shape[0]):
            rows = zip(*rays.lines(pose), strict=True)
            images.append(
                torch.stack([along(self.mu, starts.to(self.mu), towards.to(self.mu)) for starts, towards in rows])
            )
        image = torch.stack(images) if images else self.mu.new_zeros(rays.image_shape)
        return image if self._pixel == "mip" else image * rays.length_mm.to(self.mu)

    def project_with_jacobian(self, rays: Rays, tangents: RayTangents) -> tuple[Tensor, Tensor]:
        """The image (B, H, W) and its derivatives (B, P, H, W), one automatic derivative per parameter."""
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


def _samples(mu: Tensor, starts: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
    """Trilinear values (N, S) at the middles of S equal steps, and the steps (N,) in t.

    The steps share the stretch of each ray inside the map and one voxel around, where the interpolant fades to zero.
    """
    sizes = mu.new_tensor(mu.shape[::-1])
    enter, leave = stretch_in_box(torch.full_like(sizes, -1), sizes, starts, directions)
    count = SAMPLES_PER_VOXEL * (max(mu.shape) + 1)
    fractions = (torch.arange(count, dtype=mu.dtype, device=mu.device) + 0.5) / count
    t = enter[:, None] + fractions * (leave - enter)[:, None]
    positions = starts[:, None, :] + t[..., None] * directions[:, None, :]
    sampling = (2 * positions + 1) / sizes - 1
    values = torch.nn.functional.grid_sample(
        mu[None, None], sampling[None, None], padding_mode="zeros", align_corners=False
    )[0, 0, 0]
    return values, (leave - enter) / count


def _integral(mu: Tensor, starts: Tensor, directions: Tensor) -> Tensor:
    values, step = _samples(mu, starts, directions)
    return values.sum(-1) * step


def _largest(mu: Tensor, starts: Tensor, directions: Tensor) -> Tensor:
    return _samples(mu, starts, directions)[0].amax(-1).clamp(min=0)


# From a map [k, j, i], starts and directions (N, 3) in voxel coordinates to what each ray meets (N,).
_ALONG: dict[PixelName, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "trilinear": _integral,
    "siddon": integrate_boxes,
    "mip": _largest,
}
