"""Several maps on one grid on the CPU: the kernels of `numba_channel_kernels` behind the ChannelProjector contract."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..geometry import VoxelGrid
from ..scene import Attenuation
from . import numba_channel_kernels as kernels
from .numba_engine import ONE_AT_A_TIME, pull_back_map, pull_back_rays, ray_arrays
from .numba_maps import PairedMaps, paired_maps
from .rays import Rays


class NumbaChannelProjector:
    """Parallel compiled CPU projector of C maps; see `channels.ChannelProjector` for the contract.

    Keeps the maps packed by twos, 16 bits a voxel and map: two maps cost hardly more than one. As the images of
    `NumbaProjector`, images and gradients have the same bits at every repeat and for any number of threads.
    """

    name = "numba"

    def __init__(self, attenuations: Sequence[Attenuation], paired: PairedMaps | None = None) -> None:
        """attenuations: at least one, on one grid; paired: their maps packed, where that was done before."""
        self.grid: VoxelGrid = attenuations[0].grid
        self.mus = tuple(attenuation.mu for attenuation in attenuations)
        self.channels = len(self.mus)
        self.renders = 0
        self._paired = paired_maps(self.mus) if paired is None else paired

    def project(self, rays: Rays) -> Tensor:
        """Line integrals (B, C, H, W) in float32, differentiable once with respect to the rays and every map."""
        paired = paired_maps(self.mus) if any(mu.requires_grad for mu in self.mus) else self._paired
        return _ProjectChannels.apply(rays.source, rays.matrix, rays.length_mm, paired, *self.mus)


def channel_arguments(paired: PairedMaps, rays: Rays) -> tuple[NDArray, ...]:
    """The arguments of `numba_channel_kernels.project_channels`; the last is the output image (B, C, H, W)."""
    poses, height, width = rays.image_shape
    image = np.empty((poses, len(paired.levels), height, width), dtype=np.float32)
    return *paired.arguments, *ray_arrays(rays.source, rays.matrix, rays.length_mm), image


class _ProjectChannels(torch.autograd.Function):
    """Line integrals with hand-written gradients for the rays, the lengths and the maps."""

    @staticmethod
    def forward(
        ctx: Any, source: Tensor, matrix: Tensor, length_mm: Tensor, paired: PairedMaps, *mus: Tensor
    ) -> Tensor:
        arguments = channel_arguments(paired, Rays(source, matrix, length_mm))
        with ONE_AT_A_TIME:
            kernels.project_channels(*arguments)
        ctx.save_for_backward(source, matrix, length_mm, *mus)
        ctx.paired = paired
        return torch.from_numpy(arguments[-1])

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        by_source, by_matrix, by_length, *by_maps = _PullBack.apply(
            upstream, ctx.paired, ctx.needs_input_grad, *ctx.saved_tensors
        )
        return by_source, by_matrix, by_length, None, *by_maps


class _PullBack(torch.autograd.Function):
    """The gradients of `_ProjectChannels`; a function of its own, so that a second derivative is refused."""

    @staticmethod
    def forward(
        ctx: Any, upstream: Tensor, paired: PairedMaps, needed: tuple[bool, ...], *saved: Tensor
    ) -> tuple[Tensor | None, ...]:
        like, mus = (saved[0], saved[1], saved[2]), saved[3:]
        rays = ray_arrays(*like)
        above = np.ascontiguousarray(upstream.to(torch.float32).numpy())
        by_rays: tuple[Tensor | None, ...] = (None, None, None)
        if any(needed[:3]):
            by_rays = pull_back_rays(kernels.pull_back_channel_rays, paired.arguments, rays, above, like)
        by_maps = [
            pull_back_map(paired.layout, rays, np.ascontiguousarray(above[:, channel]), mu) if asked else None
            for channel, (mu, asked) in enumerate(zip(mus, needed[4:], strict=True))
        ]
        return *by_rays, *by_maps

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        raise RuntimeError("the numba engine has no second derivatives: render with the torch engine")
