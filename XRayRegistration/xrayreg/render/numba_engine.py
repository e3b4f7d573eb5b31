"""The CPU engine: the kernels of `numba_kernels` behind the Projector contract and torch's autograd."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..geometry import VoxelGrid
from ..scene import Attenuation
from . import numba_kernels as kernels
from .numba_maps import RimmedMap, rimmed_map
from .numba_rays import RIM_AFTER, RIM_BEFORE
from .rays import Rays, RayTangents

# One of numba's threading layers (workqueue) ends the process when two threads are in parallel kernels at once.
ONE_AT_A_TIME = threading.Lock()


class NumbaProjector:
    """Parallel compiled CPU projector; see `projector.Projector` for the contract.

    Keeps one packed copy of the map (32 bits a voxel, see `numba_maps`). The copy is refreshed when `mu` takes part
    in autograd, so that a map that is being learned is always the one rendered. Images, Jacobians and all gradients, of
    the map too, have the same bits at every repeat and for any number of threads.
    """

    name = "numba"

    def __init__(self, attenuation: Attenuation, rimmed: RimmedMap | None = None) -> None:
        """rimmed: the packed map, where it was already packed, piece by piece."""
        self.grid: VoxelGrid = attenuation.grid
        self.mu = attenuation.mu
        self.renders = 0
        self._rimmed = rimmed_map(attenuation.mu) if rimmed is None else rimmed

    def project(self, rays: Rays) -> Tensor:
        """Line integrals (B, H, W) in float32."""
        return _Project.apply(rays.source, rays.matrix, rays.length_mm, self.mu, self._current())

    def project_with_jacobian(self, rays: Rays, tangents: RayTangents) -> tuple[Tensor, Tensor]:
        """Line integrals (B, H, W) and their derivatives (B, P, H, W) in float32."""
        arguments = jacobian_arguments(self._current(), rays, tangents)
        with ONE_AT_A_TIME:
            kernels.project_with_jacobian(*arguments)
        image, jacobian = arguments[-2:]
        return torch.from_numpy(image), torch.from_numpy(jacobian)

    def _current(self) -> RimmedMap:
        return rimmed_map(self.mu) if self.mu.requires_grad else self._rimmed


def _float64(tensor: Tensor) -> NDArray[np.float64]:
    return np.ascontiguousarray(tensor.detach().to(torch.float64).numpy())


def ray_arrays(source: Tensor, matrix: Tensor, length_mm: Tensor) -> tuple[NDArray, NDArray, NDArray]:
    """Source in the rimmed map's coordinates, directions, and lengths."""
    return _float64(source) + RIM_BEFORE, _float64(matrix), _float64(length_mm)


def image_arguments(rimmed: RimmedMap, rays: Rays) -> tuple[NDArray, ...]:
    """The arguments of `numba_kernels.project`; the last is the output image (B, H, W)."""
    image = np.empty(rays.image_shape, dtype=np.float32)
    return *rimmed.arguments, *ray_arrays(rays.source, rays.matrix, rays.length_mm), image


def jacobian_arguments(rimmed: RimmedMap, rays: Rays, tangents: RayTangents) -> tuple[NDArray, ...]:
    """The arguments of `numba_kernels.project_with_jacobian`; the last two are its output arrays."""
    poses, height, width = rays.image_shape
    jacobian = np.empty((poses, tangents.source.shape[1], height, width), dtype=np.float32)
    *arguments, image = image_arguments(rimmed, rays)
    return *arguments, _float64(tangents.source), _float64(tangents.matrix), image, jacobian


def pull_back_rays(
    kernel: Any, arguments: tuple[NDArray, ...], rays: tuple[NDArray, ...], above: NDArray, like: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """Gradients of sum(above * image) for source, matrix and length_mm, which are given as `like`.

    kernel: one that takes the map's `arguments` and `rays` and writes gradients by image row and by pixel. Their sums
    have one order, so the bits do not depend on the number of threads.
    """
    source, matrix, length_mm = like
    poses, height, width = above.shape[0], *above.shape[-2:]
    by_row, by_pixel = np.empty((poses, height, 4, 3)), np.empty((poses, height, width))
    with ONE_AT_A_TIME:
        kernel(*arguments, *rays, above, by_row, by_pixel)
    sums = torch.from_numpy(by_row).sum(1)
    by_length = torch.from_numpy(by_pixel).sum(0)
    return sums[:, 0].to(source), sums[:, 1:].mT.to(matrix), by_length.to(length_mm)


def pull_back_map(layout: tuple[NDArray, ...], rays: tuple[NDArray, ...], above: NDArray, mu: Tensor) -> Tensor:
    """Gradient [k, j, i] of sum(above * image) for the map `mu`; above: (B, H, W), the poses added up in order.

    Deterministic: one thread adds, so repeats and any number of threads give the same bits.
    """
    shape, strides, occupied, block_strides = layout
    gradient = np.zeros(shape[::-1], dtype=np.float64)
    # Empty blocks have a gradient too, so nothing may be skipped here.
    with ONE_AT_A_TIME:
        kernels.pull_back_map(gradient.reshape(-1), shape, strides, np.ones_like(occupied), block_strides, *rays, above)
    tissue = slice(RIM_BEFORE, -RIM_AFTER)
    return torch.from_numpy(gradient[tissue, tissue, tissue]).to(mu)


class _Project(torch.autograd.Function):
    """Line integrals with hand-written gradients for the rays, the lengths and the map."""

    @staticmethod
    def forward(ctx: Any, source: Tensor, matrix: Tensor, length_mm: Tensor, mu: Tensor, rimmed: RimmedMap) -> Tensor:
        arguments = image_arguments(rimmed, Rays(source, matrix, length_mm))
        with ONE_AT_A_TIME:
            kernels.project(*arguments)
        ctx.save_for_backward(source, matrix, length_mm, mu)
        ctx.rimmed = rimmed
        return torch.from_numpy(arguments[-1])

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        gradients = _PullBack.apply(upstream, *ctx.saved_tensors, ctx.rimmed, ctx.needs_input_grad)
        return (*gradients, None)


class _PullBack(torch.autograd.Function):
    """The gradients of `_Project`; a separate function, so that a second derivative is refused and never wrong."""

    @staticmethod
    def forward(
        ctx: Any,
        upstream: Tensor,
        source: Tensor,
        matrix: Tensor,
        length_mm: Tensor,
        mu: Tensor,
        rimmed: RimmedMap,
        needed: tuple[bool, ...],
    ) -> tuple[Tensor | None, ...]:
        rays = ray_arrays(source, matrix, length_mm)
        above = np.ascontiguousarray(upstream.to(torch.float32).numpy())
        by_rays: tuple[Tensor | None, ...] = (None, None, None)
        if any(needed[:3]):
            by_rays = pull_back_rays(kernels.pull_back_rays, rimmed.arguments, rays, above, (source, matrix, length_mm))
        by_map = pull_back_map(rimmed.layout, rays, above, mu) if needed[3] else None
        return *by_rays, by_map

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        raise RuntimeError("the numba engine has no second derivatives: render with the torch engine")
