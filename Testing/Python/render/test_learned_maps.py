"""Maps that a network makes: image and Jacobian as the torch engine has them, and the adjoint of both."""

from __future__ import annotations

import numba
import pytest
import torch
from closed_forms import camera, looking, oblique_grid, plain_grid
from render_checks import GEOMETRIES, column_errors, noise_map, relative

from xrayreg.geometry import VoxelGrid, retract, twist_tangents
from xrayreg.render import numba_learned_kernels, render, render_with_jacobian, warm_up
from xrayreg.render.learned_maps import render_maps_with_jacobian
from xrayreg.render.torch_engine import TorchProjector
from xrayreg.scene import Attenuation

VIEW = camera(13, 9, 9.0)
DOUBLE = torch.float64


def noise(grid: VoxelGrid, channels: int) -> torch.Tensor:
    """Maps (C, nk, nj, ni) of both signs and different size."""
    return torch.stack([(noise_map(grid, n).mu - 0.4 * n) * (1, 0.05, 7)[n % 3] for n in range(channels)])


def rendered(maps, grid, poses, view=VIEW):
    tangents = twist_tangents(poses, torch.as_tensor(grid.centre))
    return render_maps_with_jacobian(maps, grid, view, poses, tangents)


@pytest.mark.parametrize("name", GEOMETRIES)
def test_images_and_jacobians_are_those_of_the_torch_engine(name):
    grid, pose = GEOMETRIES[name]()
    maps = noise(grid, 3)
    image, jacobian = rendered(maps, grid, pose)
    assert image.shape == (1, 3, 9, 13) and jacobian.shape == (1, 3, 6, 9, 13)
    tangents = twist_tangents(pose, torch.as_tensor(grid.centre))
    for channel, mu in enumerate(maps):
        projector = TorchProjector(Attenuation(mu.double(), grid))
        expected_image, expected = render_with_jacobian(projector, VIEW, pose, tangents)
        # float32 results of float64 sums over the same voxels.
        assert relative(image[:, channel], expected_image) < 1e-6
        assert column_errors(jacobian[:, channel], expected).max() < 1e-6


def test_what_was_warmed_up_is_all_that_is_compiled():
    warm_up("numba", learned_maps=True)
    kernels = (numba_learned_kernels.project_learned, numba_learned_kernels.pull_back_learned)
    before = [len(kernel.overloads) for kernel in kernels]
    grid, pose = GEOMETRIES[next(iter(GEOMETRIES))]()
    image, jacobian = rendered(noise(grid, 3).requires_grad_(), grid, pose)
    (image.sum() + jacobian.sum()).backward()
    # Without derivatives too, as scores are computed.
    render_maps_with_jacobian(noise(grid, 3), grid, VIEW, pose, pose.new_zeros(1, 0, 4, 4))
    assert [len(kernel.overloads) for kernel in kernels] == before


@pytest.mark.parametrize("name", GEOMETRIES)
def test_the_backward_pass_is_the_adjoint_of_image_and_jacobian(name):
    grid, pose = GEOMETRIES[name]()
    generator = torch.Generator().manual_seed(0)
    maps, other = noise(grid, 2).requires_grad_(), noise(grid, 2).flip(0)
    image, jacobian = rendered(maps, grid, pose)
    above = [torch.randn(part.shape, generator=generator) for part in (image, jacobian)]
    (pulled,) = torch.autograd.grad([image, jacobian], maps, above)
    pushed = rendered(other, grid, pose)
    forward = sum(float((a.double() * b.double()).sum()) for a, b in zip(above, pushed, strict=True))
    backward = float((pulled.double() * other.double()).sum())
    size = sum(float((a.double() * b.double()).square().sum().sqrt()) for a, b in zip(above, pushed, strict=True))
    # <A x, y> = <x, A* y>, up to additions of both signs in float32.
    assert abs(forward - backward) < 1e-4 * size


@pytest.mark.parametrize("mirrored", [False, True])
def test_the_gradient_of_every_voxel_is_that_of_torchs_double_backward(mirrored):
    grid = oblique_grid((9, 8, 10), (6.0, 7.0, 5.0), mirrored)
    poses = torch.cat([looking(grid), looking(grid, (1.1, 0.3, -0.4))])
    maps = noise(grid, 2).requires_grad_()
    image, jacobian = rendered(maps, grid, poses)
    generator = torch.Generator().manual_seed(1)
    above = [torch.randn(part.shape, generator=generator, dtype=DOUBLE) for part in (image, jacobian)]
    (found,) = torch.autograd.grad([image, jacobian], maps, [part.float() for part in above])

    leaves = maps.detach().double().requires_grad_()
    loss = torch.zeros((), dtype=DOUBLE)
    for channel in range(2):
        projector = TorchProjector(Attenuation(leaves[channel], grid))
        for column in [None, *range(6)]:
            amount = torch.zeros(2, 6, dtype=DOUBLE, requires_grad=True)
            moving = render(projector, VIEW, retract(poses, amount, torch.as_tensor(grid.centre)))
            if column is None:
                loss = loss + (moving * above[0][:, channel]).sum()
            else:
                # The derivative along one twist number, of the image weighted by a constant.
                weighted = (moving * above[1][:, channel, column]).sum()
                loss = loss + torch.autograd.grad(weighted, amount, create_graph=True)[0][:, column].sum()
    (expected,) = torch.autograd.grad(loss, leaves)
    assert relative(found, expected) < 1e-5


def test_rays_that_miss_and_a_source_inside_are_as_everywhere():
    grid = plain_grid((31, 33, 35))
    maps, aside = noise(grid, 2).requires_grad_(), looking(grid)
    aside[0, 0, 3] += 500
    image, jacobian = rendered(maps, grid, aside)
    assert not image.any() and not jacobian.any()
    (gradient,) = torch.autograd.grad(image.sum() + jacobian.sum(), maps)
    assert not gradient.any()
    inside = looking(grid, distance_mm=9.7)
    expected, _ = render_with_jacobian(
        TorchProjector(Attenuation(maps[0].detach().double(), grid)),
        VIEW,
        inside,
        twist_tangents(inside, torch.as_tensor(grid.centre)),
    )
    assert relative(rendered(maps, grid, inside)[0][:, 0], expected) < 1e-6


def test_bits_do_not_depend_on_the_number_of_threads():
    grid = oblique_grid((17, 19, 21), (1.1, 0.9, 1.3))
    maps = noise(grid, 3).requires_grad_()
    before, results = numba.get_num_threads(), []
    try:
        for threads in (1, numba.config.NUMBA_NUM_THREADS):
            numba.set_num_threads(threads)
            image, jacobian = rendered(maps, grid, looking(grid))
            (gradient,) = torch.autograd.grad(image.square().sum() + jacobian.square().sum(), maps)
            results.append((image.detach(), jacobian.detach(), gradient))
    finally:
        numba.set_num_threads(before)
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


def test_a_second_derivative_and_maps_of_another_grid_are_refused():
    grid = plain_grid((5, 6, 7))
    maps = noise(grid, 1).requires_grad_()
    image, _ = rendered(maps, grid, looking(grid))
    (gradient,) = torch.autograd.grad(image.square().sum(), maps, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice"):
        gradient.sum().backward()
    with pytest.raises(ValueError, match="expected shape"):
        rendered(maps[:, 1:], grid, looking(grid))
