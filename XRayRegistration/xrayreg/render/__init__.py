"""DRRs: line integrals through an attenuation map, with their derivatives, by several engines under one contract."""

from .dispatch import (
    available_engines,
    choose_device,
    choose_engine,
    kernels_are_cached,
    prepare,
    require_kernel_cache,
    warm_up,
)
from .projector import Projector, render, render_with_jacobian
from .rays import Rays, RayTangents, cast_rays, ray_tangents

__all__ = [
    "Projector",
    "RayTangents",
    "Rays",
    "available_engines",
    "cast_rays",
    "choose_device",
    "choose_engine",
    "kernels_are_cached",
    "prepare",
    "ray_tangents",
    "render",
    "render_with_jacobian",
    "require_kernel_cache",
    "warm_up",
]
