"""Moving images of a learned similarity: images rendered from a CT at poses, and their derivatives by the pose.

Images are line integrals through attenuation relative to water, in units of `scale_mm`. A 3D network's maps are
rendered in place of the CT.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...checks import InputError
from ...geometry import Camera
from ...render import Projector, available_engines, render_with_jacobian
from ...scene.attenuation import MU_WATER
from .learned_similarity import LearnedSimilarity


def volume_of(projector: Projector) -> Tensor:
    """The CT (nk, nj, ni) of a projector as networks take it: attenuation relative to water."""
    return projector.mu / MU_WATER


def moving_images(
    network: LearnedSimilarity,
    projector: Projector,
    camera: Camera,
    camera_from_volume: Tensor,
    tangents: Tensor,
    scale_mm: float,
    like: Tensor,
    maps: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Images (B, C, H, W) and their derivatives (B, C, P, H, W) along the tangents.

    camera_from_volume: (B, 4, 4) poses; tangents: (B, P, 4, 4) of them, see `geometry.twist_tangents`; both float64.
    scale_mm: the unit of length of line integrals. like: a tensor with the type and device of the images.
    maps: (C, nk, nj, ni) precomputed by `refine_volume`; gradients then do not reach the 3D network.
    Raises InputError where a 3D network needs the compiled renderer and numba is missing or the CT is not on the CPU.
    """
    if network.volume_network is None:
        return unrefined_images(projector, camera, camera_from_volume, tangents, scale_mm, like)
    _require_compiled(projector)
    # Imports numba, which a machine that renders only with torch may lack.
    from ...render.learned_maps import render_maps_with_jacobian

    projector.renders += len(camera_from_volume)
    refined = network.refine_volume(volume_of(projector)) if maps is None else maps.detach()
    images: tuple[Tensor, Tensor] = render_maps_with_jacobian(
        refined / scale_mm, projector.grid, camera, camera_from_volume, tangents
    )
    return images


@torch.no_grad()
def unrefined_images(
    projector: Projector,
    camera: Camera,
    camera_from_volume: Tensor,
    tangents: Tensor,
    scale_mm: float,
    like: Tensor,
) -> tuple[Tensor, Tensor]:
    """The same for the unrefined CT, with C = 1; see `moving_images`."""
    unit = MU_WATER * scale_mm
    image, jacobian = render_with_jacobian(projector, camera, camera_from_volume, tangents)
    return image[:, None].to(like) / unit, jacobian[:, None].to(like) / unit


def _require_compiled(projector: Projector) -> None:
    """Raise InputError where maps of a 3D network cannot be rendered."""
    missing = available_engines()["numba"]
    place = projector.mu.device.type
    if missing or place != "cpu":
        raise InputError(
            "volume network",
            expected="the compiled renderer, on the CPU",
            found=missing or f"a CT on {place}",
            remedy="use a similarity without a volume network, or the CPU",
        )
