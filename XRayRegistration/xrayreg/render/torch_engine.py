"""Joseph's method in torch operations: runs wherever torch runs (CPU, CUDA, MPS) and is the numba engine's twin.

Each plane is one image of a batch for the two-dimensional `grid_sample`; autograd does the rest. The in-plane
derivatives that the Jacobian needs are what `grid_sample` hands back to its own grid.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ..geometry import VoxelGrid
from ..scene import Attenuation
from .joseph import LEAST_AHEAD, OTHER_AXES, dominant_axis, ray_gradients
from .rays import Rays, RayTangents, pixel_coordinates

# Samples (planes x rays) held at once where no autograd graph keeps them anyway: 64 MiB per float32 quantity.
_CHUNK_SAMPLES = 1 << 24


class TorchProjector:
    """Plane-by-plane projector in plain torch; see `projector.Projector` for the contract."""

    name = "torch"

    def __init__(self, attenuation: Attenuation, device: str = "cpu") -> None:
        self.grid: VoxelGrid = attenuation.grid
        self.mu = attenuation.mu.to(device)
        self.renders = 0
        # Sample positions need more digits than float32 has at a source a metre away; MPS has no float64.
        self._positions = torch.float32 if self.mu.device.type == "mps" else torch.float64

    def project(self, rays: Rays) -> Tensor:
        """Line integrals (B, H, W)."""
        poses, height, width = rays.image_shape
        integrals = []
        for pose in range(poses):
            flat = self.mu.new_zeros(height * width)
            for axis, picked, source, directions in self._by_dominant_axis(rays, pose):
                sampling, _, in_front = self._sampling(axis, source, directions)
                total = (self._read_planes(axis, sampling) * in_front).sum(0)
                flat = flat.index_add(0, picked, total / directions[:, axis].abs().to(total))
            integrals.append(flat.reshape(height, width) * rays.length_mm.to(self.mu))
        return torch.stack(integrals) if integrals else self.mu.new_zeros(rays.image_shape)

    @torch.no_grad()
    def project_with_jacobian(self, rays: Rays, tangents: RayTangents) -> tuple[Tensor, Tensor]:
        """Line integrals (B, H, W) and their derivatives (B, P, H, W)."""
        poses, height, width = rays.image_shape
        columns = tangents.source.shape[1]
        image = self.mu.new_zeros(poses, height * width)
        jacobian = self.mu.new_zeros(poses, columns, height * width)
        pixels = pixel_coordinates(width, height, self._place(rays.matrix)).reshape(-1, 3)
        chunk = max(1, _CHUNK_SAMPLES // max(self.grid.shape))
        for pose in range(poses):
            source_tangents, matrix_tangents = self._place(tangents.source[pose]), self._place(tangents.matrix[pose])
            for axis, picked, source, directions in self._by_dominant_axis(rays, pose):
                for where, some in zip(picked.split(chunk), directions.split(chunk), strict=True):
                    sums = self._five_sums(axis, source, some)
                    by_source, by_direction = ray_gradients(axis, source, some, sums)
                    direction_tangents = torch.einsum("pij,nj->pni", matrix_tangents, pixels[where])
                    change = source_tangents @ by_source.mT + (direction_tangents * by_direction).sum(-1)
                    image[pose, where] = (sums[0] / some[:, axis].abs()).to(image)
                    jacobian[pose][:, where] = change.to(image)
        length = rays.length_mm.to(self.mu)
        shape = (poses, columns, height, width)
        return image.reshape(rays.image_shape) * length, jacobian.reshape(shape) * length

    def _place(self, tensor: Tensor) -> Tensor:
        return tensor.to(device=self.mu.device, dtype=self._positions)

    def _by_dominant_axis(self, rays: Rays, pose: int) -> Iterator[tuple[int, Tensor, Tensor, Tensor]]:
        """For each axis that dominates some ray: axis, flat pixel numbers (N,), source (3,), directions (N, 3)."""
        directions = self._place(rays.directions(pose)).reshape(-1, 3)
        axes = dominant_axis(directions.detach())
        for axis in range(3):
            picked = (axes == axis).nonzero()[:, 0]
            if len(picked):
                yield axis, picked, self._place(rays.source[pose]), directions[picked]

    def _sampling(self, axis: int, source: Tensor, directions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Where N rays cross the K planes of `axis`: `grid_sample` grid (K, 1, N, 2), plane numbers, in-front mask."""
        numbers = torch.arange(self.grid.shape[axis], dtype=source.dtype, device=source.device)[:, None]
        ahead = (numbers - source[axis]) * directions[None, :, axis].sign() > LEAST_AHEAD
        steps = (numbers - source[axis]) / directions[None, :, axis]
        positions = [
            (2 * (source[other] + steps * directions[None, :, other]) + 1) / self.grid.shape[other] - 1
            for other in OTHER_AXES[axis]
        ]
        return torch.stack(positions, dim=-1)[:, None].to(self.mu), numbers, ahead.to(self.mu)

    def _read_planes(self, axis: int, sampling: Tensor) -> Tensor:
        """Bilinear values (K, N) of the planes of `axis`, zero outside."""
        first, second = OTHER_AXES[axis]
        # The map is stored [k, j, i]: bring the planes first, then w (rows), then u (columns).
        planes = self.mu.permute(2 - axis, 2 - second, 2 - first)[:, None]
        values = torch.nn.functional.grid_sample(planes, sampling, padding_mode="zeros", align_corners=False)
        return values[:, 0, 0]

    def _five_sums(
        self, axis: int, source: Tensor, directions: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Sums over the planes of B, dB/du, k dB/du, dB/dw, k dB/dw for rays (N, 3), each (N,)."""
        sampling, numbers, in_front = self._sampling(axis, source.detach(), directions.detach())
        with torch.enable_grad():
            sampling.requires_grad_()
            values = self._read_planes(axis, sampling) * in_front
            (slopes,) = torch.autograd.grad(values.sum(), sampling)
        sizes = [self.grid.shape[other] for other in OTHER_AXES[axis]]
        du, dw = (slopes[:, 0, :, n].to(source) * (2 / size) for n, size in enumerate(sizes))
        total = values.detach().to(source).sum(0)
        return total, du.sum(0), (numbers * du).sum(0), dw.sum(0), (numbers * dw).sum(0)
