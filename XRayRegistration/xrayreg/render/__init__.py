"""DRRs: line integrals through an attenuation map, with their derivatives, by several engines under one contract."""

from .channels import ChannelProjector, StackedProjector, prepare_channels, render_channels
from .dispatch import (
    available_engines,
    choose_device,
    choose_engine,
    kernels_are_cached,
    prepare,
    require_kernel_cache,
    warm_up,
)
from .pictures import prepare_picture, render_parallel
from .projector import Projector, render, render_with_jacobian
from .rays import ParallelRays, Rays, RayTangents, cast_parallel_rays, cast_rays, ray_tangents
from .second_derivatives import double_backward

__all__ = [
    "ChannelProjector",
    "ParallelRays",
    "Projector",
    "RayTangents",
    "Rays",
    "StackedProjector",
    "available_engines",
    "cast_parallel_rays",
    "cast_rays",
    "choose_device",
    "choose_engine",
    "double_backward",
    "kernels_are_cached",
    "prepare",
    "prepare_channels",
    "prepare_picture",
    "ray_tangents",
    "render",
    "render_channels",
    "render_parallel",
    "render_with_jacobian",
    "require_kernel_cache",
    "warm_up",
]
