"""Rendering of maps from a network with their pose Jacobian, differentiable with respect to every voxel.

Image and Jacobian are linear in the maps, so a loss on both (ProST's compares pose gradients: Gao et al., MICCAI 2020;
methods.md A1) needs no second derivative of the renderer: the adjoint propagates the loss's gradients by image and
Jacobian back to the maps in one pass.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..geometry import Camera, VoxelGrid
from . import numba_learned_kernels as kernels
from .numba_engine import ONE_AT_A_TIME, ray_arrays
from .numba_rays import BLOCK, RIM_AFTER, RIM_BEFORE
from .rays import Rays, RayTangents, cast_rays, ray_tangents

_TISSUE = slice(RIM_BEFORE, -RIM_AFTER)


def render_maps_with_jacobian(
    maps: Tensor, grid: VoxelGrid, camera: Camera, camera_from_volume: Tensor, pose_tangents: Tensor
) -> tuple[Tensor, Tensor]:
    """Line integrals (B, C, H, W) through maps (C, nk, nj, ni) on `grid` and their derivatives (B, C, P, H, W).

    For poses (B, 4, 4) and tangents (B, P, 4, 4), see `geometry.twist_tangents`. Both results have the maps' type and
    are differentiable once, with respect to the maps alone, which are read in float32; the integrals' unit is that of
    the maps times a millimetre. Bitwise reproducible for any number of threads. Runs on the CPU, with numba.

    Raises ValueError for maps of another shape than the grid's, and as `cast_rays` does.
    """
    if maps.ndim != 4 or tuple(maps.shape[1:]) != grid.shape[::-1]:
        raise ValueError(f"maps: expected shape (C, {grid.shape[::-1]}) [c, k, j, i], found {tuple(maps.shape)}")
    rays = cast_rays(grid, camera, camera_from_volume)
    tangents = ray_tangents(grid, camera, camera_from_volume, pose_tangents)
    image, jacobian = _ProjectLearned.apply(maps, rays, tangents)
    return image, jacobian


def ray_arguments(rays: Rays, tangents: RayTangents) -> tuple[NDArray, ...]:
    """Rays and tangents in the form that the kernels take."""
    moves = (tangents.source, tangents.matrix)
    arrays = [np.ascontiguousarray(move.detach().to(torch.float64).numpy()) for move in moves]
    return *ray_arrays(rays.source, rays.matrix, rays.length_mm), *arrays


def maps_arguments(maps: Tensor, rays: tuple[NDArray, ...]) -> tuple[NDArray, ...]:
    """The arguments of `numba_learned_kernels.project_learned` for maps (C, nk, nj, ni) and `ray_arguments`.

    It writes the last two arrays: image (B, C, H, W) and Jacobian (B, C, P, H, W).
    """
    _, _, length_mm, source_tangents, _ = rays
    rimmed, (poses, columns) = _rimmed(maps), source_tangents.shape[:2]
    image = np.empty((poses, len(maps), *length_mm.shape), dtype=np.float32)
    jacobian = np.empty((poses, len(maps), columns, *length_mm.shape), dtype=np.float32)
    return rimmed.reshape(-1), *_layout(rimmed.shape[:3]), *rays, image, jacobian


def adjoint_arguments(
    shape: tuple[int, ...], rays: tuple[NDArray, ...], by_image: Tensor, by_jacobian: Tensor
) -> tuple[NDArray, ...]:
    """The arguments of `numba_learned_kernels.pull_back_learned`, which adds to the first array, of zeros (C, N).

    shape: of a rimmed map [k, j, i], of N voxels. rays: see `ray_arguments`.
    by_image (B, C, H, W), by_jacobian (B, C, P, H, W): derivatives of a scalar.
    """
    gradient = np.zeros((by_image.shape[1], math.prod(shape)), dtype=np.float32)
    above = [np.ascontiguousarray(upstream.to(torch.float32).numpy()) for upstream in (by_image, by_jacobian)]
    return gradient, *_layout(shape), *rays, *above


def rimmed_shape(maps: Tensor) -> tuple[int, ...]:
    """Shape [k, j, i] of maps (C, nk, nj, ni) with their rim."""
    return tuple(size + RIM_BEFORE + RIM_AFTER for size in maps.shape[1:])


def _layout(shape: tuple[int, ...]) -> tuple[NDArray, ...]:
    """Shape, strides [voxels] and blocks of a rimmed map [k, j, i] in which no block counts as empty."""
    nk, nj, ni = shape
    bk, bj, bi = (-(-size // BLOCK) for size in shape)
    occupied = np.ones(bk * bj * bi, dtype=bool)
    return np.array([ni, nj, nk]), np.array([1, ni, ni * nj]), occupied, np.array([1, bi, bi * bj])


def _rimmed(maps: Tensor) -> NDArray[np.float32]:
    """Maps with a rim of zeros, the channels of a voxel side by side: [k, j, i, c]."""
    rimmed = np.zeros([*rimmed_shape(maps), len(maps)], dtype=np.float32)
    rimmed[_TISSUE, _TISSUE, _TISSUE] = maps.detach().permute(1, 2, 3, 0).numpy()
    return rimmed


class _ProjectLearned(torch.autograd.Function):
    """Image and Jacobian of maps, with their adjoint as the derivative by the maps."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, rays: Rays, tangents: RayTangents) -> tuple[Tensor, Tensor]:
        ctx.rays, ctx.shape, ctx.dtype = ray_arguments(rays, tangents), rimmed_shape(maps), maps.dtype
        arguments = maps_arguments(maps, ctx.rays)
        with ONE_AT_A_TIME:
            kernels.project_learned(*arguments)
        image, jacobian = arguments[-2:]
        return torch.from_numpy(image).to(maps.dtype), torch.from_numpy(jacobian).to(maps.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, by_image: Tensor, by_jacobian: Tensor) -> tuple[Tensor | None, ...]:
        arguments = adjoint_arguments(ctx.shape, ctx.rays, by_image, by_jacobian)
        with ONE_AT_A_TIME:
            kernels.pull_back_learned(*arguments)
        gradient = arguments[0].reshape(-1, *ctx.shape)
        return torch.from_numpy(gradient[:, _TISSUE, _TISSUE, _TISSUE]).to(ctx.dtype), None, None
