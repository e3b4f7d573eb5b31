"""Several maps on one grid, rendered into the channels of one image: a structure each, or a network's features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from ..checks import InputError
from ..geometry import Camera, VoxelGrid
from ..scene import Attenuation
from ..settings import DeviceName, EngineName
from .dispatch import choose_engine, prepare
from .projector import Projector
from .rays import Rays, cast_rays


class ChannelProjector(Protocol):
    """C maps on one grid prepared for one engine.

    Projection is linear: the sum over the channels is the image of the sum of the maps. `channels` is C; `renders`
    counts the images made by `render_channels`, one for each pose however many channels it has.
    """

    name: str
    grid: VoxelGrid
    channels: int
    renders: int

    def project(self, rays: Rays) -> Tensor:
        """Line integrals (B, C, H, W) of the rays, differentiable as those of the engine's `Projector` are."""


class StackedProjector:
    """A projector per channel, run one after the other: works with any engine."""

    def __init__(self, projectors: Sequence[Projector]) -> None:
        self.name = projectors[0].name
        self.grid = projectors[0].grid
        self.channels = len(projectors)
        self.renders = 0
        self.projectors = tuple(projectors)

    def project(self, rays: Rays) -> Tensor:
        """Line integrals (B, C, H, W)."""
        return torch.stack([projector.project(rays) for projector in self.projectors], dim=1)


def prepare_channels(
    attenuations: Sequence[Attenuation], engine: EngineName = "auto", device: DeviceName = "auto"
) -> ChannelProjector:
    """Maps on one grid, such as `scene.attenuation_by_label` returns, prepared for joint rendering.

    Raises InputError for an empty sequence or maps on different grids, and as `choose_engine` does.
    """
    _require_one_grid(attenuations)
    name, place, _ = choose_engine(engine, device)
    if name == "triton":
        from .triton_engine import TritonChannelProjector

        return TritonChannelProjector(attenuations, place)
    if len(attenuations) > 1 and name == "numba":
        from .numba_channels import NumbaChannelProjector
        from .numba_maps import paired_maps

        return NumbaChannelProjector(attenuations, paired_maps([one.mu for one in attenuations]))
    projectors = []
    for attenuation in attenuations:
        projectors.append(prepare(attenuation, engine, device))
    return StackedProjector(projectors)


def render_channels(
    projector: ChannelProjector, camera: Camera, camera_from_volume: Tensor, camera_matrix: Tensor | None = None
) -> Tensor:
    """DRRs (B, C, H, W): line integrals [dimensionless] of each channel for poses (B, 4, 4).

    Differentiable with respect to the poses, `camera_matrix` (3, 3; replaces the camera's own) and the maps.
    """
    projector.renders += camera_from_volume.shape[0]
    return projector.project(cast_rays(projector.grid, camera, camera_from_volume, camera_matrix))


def _require_one_grid(attenuations: Sequence[Attenuation]) -> None:
    if not attenuations:
        raise InputError("channels", expected="at least one map", found="none", remedy="name the structures to render")
    first = attenuations[0].grid
    for number, attenuation in enumerate(attenuations):
        if not attenuation.grid.same_as(first):
            raise InputError(
                f"channel {number}",
                expected=f"the grid of channel 0, {first.shape}",
                found=f"another, {attenuation.grid.shape}",
                remedy="make the maps with attenuation_by_label, or resample them to one grid",
            )
