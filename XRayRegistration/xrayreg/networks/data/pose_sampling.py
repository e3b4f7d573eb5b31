"""Training poses: drawn about nominal views of a C-arm, thousands at a time."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from ...checks import InputError
from ...geometry import beam_axes, retract, rigid, rotation_from_vector
from ...settings import PoseDistribution

# The isocentre is never nearer to the source than this share of its nominal distance, for the patient's thickness.
_LEAST_DEPTH = 0.3


def sample_poses(distribution: PoseDistribution, isocentre: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Poses camera_from_volume (count, 4, 4), float64 on the CPU, drawn from a distribution [mm].

    isocentre: (3,) in the volume frame [mm]; always in front of the source. Draws depend on the generator alone.
    Raises InputError for a distribution that describes no poses.
    """
    _require_possible(distribution)
    pivot = isocentre.to("cpu", torch.float64)
    which = torch.randint(len(distribution.primaries_deg), (count,), generator=generator)
    nominal_deg = torch.tensor(distribution.primaries_deg, dtype=torch.float64)[which]
    spread = torch.tensor([*distribution.rotation_deg, *distribution.translation_mm], dtype=torch.float64)
    draws = _standard_draws(distribution.law, count, generator) * spread
    angles_deg, shifts = draws[:, :3], draws[:, 3:] + torch.tensor(distribution.centre_offset_mm, dtype=torch.float64)
    depth = distribution.sod_mm + shifts[:, 2]
    shifts[:, 2] = depth.clamp_min(_LEAST_DEPTH * distribution.sod_mm) - distribution.sod_mm
    if distribution.coordinates == "twist":
        nominal = _about(_carm_rotations(torch.stack([nominal_deg, *torch.zeros(2, count).double()], -1)), pivot)
        nominal[:, 2, 3] += distribution.sod_mm
        return retract(nominal, torch.cat([torch.deg2rad(angles_deg), shifts], -1), pivot)
    angles_deg[:, 0] += nominal_deg
    poses = _about(_carm_rotations(angles_deg), pivot)
    # Right and up in the image; the camera's second axis points down.
    poses[:, :3, 3] += shifts * torch.tensor([1.0, -1.0, 1.0], dtype=torch.float64)
    poses[:, 2, 3] += distribution.sod_mm
    return poses


def nominal_rotation(distribution: PoseDistribution) -> Tensor:
    """Rotation camera_from_volume (3, 3), float64, of the first nominal view; others are measured from it."""
    _require_possible(distribution)
    return torch.from_numpy(beam_axes(distribution.primaries_deg[0], 0.0))


def _standard_draws(law: str, count: int, generator: torch.Generator) -> Tensor:
    """Draws (count, 6) of unit standard deviation, or of unit half width for the uniform law."""
    if law == "normal":
        return torch.randn(count, 6, dtype=torch.float64, generator=generator)
    return 2 * torch.rand(count, 6, dtype=torch.float64, generator=generator) - 1


def _carm_rotations(angles_deg: Tensor) -> Tensor:
    """Rotations camera_from_volume (N, 3, 3) of primary, secondary and roll (N, 3): those of `camera_from_placement`.

    The secondary angle rotates the PA view about the image's columns axis and the primary angle rotates the patient
    about its long axis, so that the result is the product (roll) (secondary) (PA) (primary).
    """
    primary, secondary, roll = torch.deg2rad(angles_deg).unbind(-1)
    zero = torch.zeros_like(primary)
    frontal = torch.from_numpy(beam_axes(0.0, 0.0))
    turned = rotation_from_vector(torch.stack([zero, zero, -primary], -1))
    tilted = rotation_from_vector(torch.stack([-secondary, zero, zero], -1))
    rolled = rotation_from_vector(torch.stack([zero, zero, roll], -1))
    return rolled @ tilted @ frontal @ turned


def _about(rotations: Tensor, pivot: Tensor) -> Tensor:
    """Poses (N, 4, 4) with rotations (N, 3, 3) that map `pivot` (3,) to the camera's origin."""
    return rigid(rotations, -(rotations @ pivot))


def _require_possible(distribution: PoseDistribution) -> None:
    spreads = (*distribution.rotation_deg, *distribution.translation_mm)
    numbers = (*spreads, *distribution.primaries_deg, *distribution.centre_offset_mm, distribution.sod_mm)
    if not all(map(math.isfinite, numbers)) or min(spreads) < 0:
        raise InputError(
            "pose distribution",
            expected="finite angles and distances, and spreads of at least 0",
            found=f"spreads {spreads}",
            remedy="correct them or choose a preset",
        )
    if not distribution.primaries_deg or len(spreads) != 6 or len(distribution.centre_offset_mm) != 3:
        raise InputError(
            "pose distribution",
            expected="at least one nominal view, three rotations and three translations",
            found=f"{len(distribution.primaries_deg)} views and {len(spreads)} spreads",
            remedy="correct them or choose a preset",
        )
    for what, distance in (
        ("source-to-isocentre distance", distribution.sod_mm),
        (
            "mean distance from source to isocentre",
            distribution.sod_mm + float(np.asarray(distribution.centre_offset_mm)[2]),
        ),
    ):
        if not distance > 0:
            raise InputError(what, expected="millimetres above 0", found=f"{distance:g}", remedy="correct it")
