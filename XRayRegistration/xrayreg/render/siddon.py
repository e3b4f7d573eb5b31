"""Siddon's method: exact integrals along rays through voxels that are uniform boxes.

The faces of the voxels cut a ray into pieces, each inside one voxel (Siddon, Med Phys 1985; methods.md A2).
"""

from __future__ import annotations

import torch
from torch import Tensor

# The corners of a tetrahedron: any two axes take all four combinations of signs.
_SIDES = ((1.0, 1.0, 1.0), (1.0, -1.0, -1.0), (-1.0, 1.0, -1.0), (-1.0, -1.0, 1.0))


def stretch_in_box(low: Tensor, high: Tensor, starts: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
    """Where rays (N, 3) enter and leave the box `low` to `high` (3,), as t >= 0 (N,); both alike where they miss it."""
    directions = steady(directions)
    at_low, at_high = (low - starts) / directions, (high - starts) / directions
    enter = torch.minimum(at_low, at_high).amax(-1).clamp(min=0)
    return enter, torch.maximum(torch.maximum(at_low, at_high).amin(-1), enter)


def steady(directions: Tensor) -> Tensor:
    """Directions that can be divided by: a component of zero never crosses a plane, and a tiny one does not either."""
    return torch.where(directions.abs() < 1e-12, torch.full_like(directions, 1e-12), directions)


def integrate_boxes(mu: Tensor, starts: Tensor, directions: Tensor) -> Tensor:
    """Integrals (N,) over t > 0 of a map [k, j, i] of uniform voxels along rays (N, 3) in voxel coordinates.

    A ray that runs inside a face, or along an edge, gets the mean of the voxels that meet there (beyond the map: 0), so
    the image does not depend on which way the grid counts. Differentiable as often as wanted: the derivative by the map
    is the length of the ray in each voxel; that by the ray is the exact one of lengths between faces, continuous but
    for jumps where a ray passes through an edge. Voxels have no slope, so it says how the lengths change and nothing
    about changes of tissue: it is piecewise and much rougher than a trilinear map's.
    """
    t = _crossings(mu, starts, directions)
    lengths = t.diff(dim=-1)
    with torch.no_grad():
        middles = (t[:, 1:] + t[:, :-1])[..., None] / 2
        places = starts[:, None] + middles * directions[:, None]
        step = torch.finfo(mu.dtype).eps ** 0.5
        # Where the place is on a face to rounding, and for longer than a point.
        on_face = ((places - places.round()).abs() - 0.5).abs() < step
        ties = bool((on_face.any(-1) & (lengths > 1e3 * torch.finfo(mu.dtype).eps * t[:, 1:])).any())
    if not ties:
        return (_voxels(mu, places) * lengths).sum(-1)
    sides = [_voxels(mu, places + step * mu.new_tensor(side)) for side in _SIDES]
    return (torch.stack(sides).mean(0) * lengths).sum(-1)


def _crossings(mu: Tensor, starts: Tensor, directions: Tensor) -> Tensor:
    """Where rays (N, 3) cross the faces of any voxel, as ascending t (N, M) within the map and a voxel around."""
    sizes = mu.shape[::-1]
    enter, leave = stretch_in_box(mu.new_tensor([-1.0] * 3), mu.new_tensor(sizes), starts, directions)
    divisors = steady(directions)
    faces = [torch.arange(size + 1, dtype=mu.dtype, device=mu.device) - 0.5 for size in sizes]
    t = torch.cat(
        [(faces[axis] - starts[:, axis : axis + 1]) / divisors[:, axis : axis + 1] for axis in range(3)], dim=-1
    )
    # Air begins within the voxel around the map, so nothing depends on where exactly the stretch ends.
    t = t.clamp(min=enter.detach()[:, None], max=leave.detach()[:, None])
    return t.sort(dim=-1).values


def _voxels(mu: Tensor, places: Tensor) -> Tensor:
    """Values of the voxels that hold places (..., 3), voxel coordinates; zero outside the map."""
    sizes = places.new_tensor(mu.shape[::-1])
    cells = (places + 0.5).floor()
    inside = ((cells >= 0) & (cells < sizes)).all(-1)
    i, j, k = cells.clamp(min=0).minimum(sizes - 1).long().unbind(-1)
    return mu[k, j, i] * inside
