"""Rays cast for CUDA graphs are the rays that everybody else gets."""

from __future__ import annotations

import pytest
import torch
from closed_forms import along_index_axis, camera, looking, oblique_grid

from xrayreg.render.casting import ray_caster
from xrayreg.render.rays import cast_rays


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rays_and_their_gradients_are_those_of_cast_rays(dtype):
    grid, view = oblique_grid(), camera(7, 5)
    poses = torch.cat([looking(grid), along_index_axis(grid, 2, -1)]).to(dtype)
    weights = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0)).to(dtype)
    results = []
    for cast in (lambda poses: cast_rays(grid, view, poses), ray_caster(grid, view, poses).cast):
        moved = poses.clone().requires_grad_()
        rays = cast(moved)
        mixed = (rays.source[..., None] * weights[..., :1]).sum() + (rays.matrix * weights[..., 1:]).sum()
        mixed.backward()
        results.append((rays.source, rays.matrix, rays.length_mm, moved.grad))
    tolerance = {torch.float32: 1e-5, torch.float64: 1e-13}[dtype]
    for found, expected in zip(*results, strict=True):
        assert found.dtype == dtype
        # Products in another order.
        assert float(((found - expected).abs().max() / expected.abs().max()).detach()) < tolerance
