"""What only a GPU can show: rendering and its gradient captured in a CUDA graph."""

from __future__ import annotations

import pytest
import torch
from closed_forms import along_index_axis, camera, looking, plain_grid
from render_checks import noise_map

pytest.importorskip("triton")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_a_captured_image_and_its_gradient_follow_the_poses():
    from xrayreg.render.casting import ray_caster
    from xrayreg.render.triton_engine import TritonProjector

    grid, view = plain_grid((40, 50, 60)), camera(33, 25, 6.0)
    first = torch.cat([looking(grid), along_index_axis(grid, 0)]).to("cuda")
    second = torch.cat([along_index_axis(grid, 2, -1), looking(grid, (0.1, 0.2, 0.3))]).to("cuda")
    projector, caster = TritonProjector(noise_map(grid), "cuda"), ray_caster(grid, view, first)
    poses = first.clone().requires_grad_()

    def step() -> tuple[torch.Tensor, torch.Tensor]:
        image = projector.project(caster.cast(poses))
        (gradient,) = torch.autograd.grad(image.square().sum(), poses)
        return image.detach(), gradient

    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        step()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = step()
    for wanted in (first, second):
        with torch.no_grad():
            poses.copy_(wanted)
        graph.replay()
        image, gradient = step()
        assert image.max() > 0
        assert torch.equal(captured[0], image) and torch.equal(captured[1], gradient)
