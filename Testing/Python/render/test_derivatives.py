"""Jacobians, vector-Jacobian products and adjoints of every engine, against differences and against each other."""

from __future__ import annotations

import pytest
import torch
from closed_forms import along_index_axis, blob_map, blobs_around, camera, looking, oblique_grid, plain_grid
from render_checks import ENGINES, GEOMETRIES, column_errors, noise_map, relative
from torch import Tensor

from xrayreg.geometry import VoxelGrid, retract, twist_tangents
from xrayreg.render import render, render_with_jacobian
from xrayreg.scene import Attenuation

VIEW = camera(9, 7, 20.0)
DOUBLE = torch.float64


def small_oblique_grid() -> VoxelGrid:
    return oblique_grid((17, 19, 21), (1.1, 0.9, 1.3))


def three_poses(grid: VoxelGrid) -> Tensor:
    return torch.cat([looking(grid), along_index_axis(grid, 1, -1), looking(grid, (-0.9, 0.3, 2.0), 250.0)])


def central_differences(projector, poses: Tensor, pivot: Tensor, step: Tensor) -> Tensor:
    """Jacobian (B, 6, H, W) with respect to the twist by central differences of `step` (6,)."""
    columns = []
    for direction in torch.eye(6, dtype=DOUBLE) * step[:, None]:
        images = [
            render(projector, VIEW, retract(poses, sign * direction.expand(len(poses), 6), pivot)).double()
            for sign in (1, -1)
        ]
        columns.append((images[0] - images[1]) / (2 * direction.sum()))
    return torch.stack(columns, dim=1)


@pytest.mark.parametrize("name", ["reference", "torch"])
def test_the_jacobian_is_the_derivative_of_the_very_image_even_on_noise(name):
    # The image is piecewise smooth: between two kinks of the interpolation differences in double precision are exact
    # to rounding, and a step of 1e-7 meets a kink on about one ray in a thousand; those few are left out.
    grid = small_oblique_grid()
    projector = ENGINES[name](Attenuation(noise_map(grid).mu.double(), grid))
    poses, pivot = three_poses(grid), torch.as_tensor(grid.centre) + torch.tensor([3.0, -8.0, 5.0])
    _, jacobian = render_with_jacobian(projector, VIEW, poses, twist_tangents(poses, pivot))
    expected = central_differences(projector, poses, pivot, torch.full((6,), 1e-7, dtype=DOUBLE))
    apart = (jacobian - expected).abs() / expected.abs().amax((0, 2, 3), keepdim=True)
    assert (apart > 1e-4).double().mean() < 5e-3
    assert jacobian.abs().amax((0, 2, 3)).min() > 0.1


@pytest.mark.parametrize("name", GEOMETRIES)
def test_the_compiled_jacobian_is_the_derivative_of_the_compiled_image(name):
    grid, pose = GEOMETRIES[name]()
    projector = ENGINES["numba"](blob_map(grid, blobs_around(grid, 13.0)))
    pivot = torch.as_tensor(grid.centre) + torch.tensor([30.0, -40.0, 20.0])
    _, jacobian = render_with_jacobian(projector, VIEW, pose, twist_tangents(pose, pivot))
    # Steps of a tenth of a voxel: the float32 image, good to 1e-6, gives differences good to 1e-5 / 0.6 * 13 = 2e-4 of
    # the slope; over such a step the slope of the interpolant jumps on every tenth plane by h / sigma = 8 %, half of it
    # to be seen, on each plane with its own sign.
    step = torch.tensor([2e-3, 2e-3, 2e-3, 0.1, 0.1, 0.1], dtype=DOUBLE)
    assert column_errors(jacobian, central_differences(projector, pose, pivot, step)).max() < 1e-2


def test_the_compiled_jacobian_is_exact_where_the_map_is_linear():
    # A linear ramp has no kinks, so that large steps are exact and only float32 rounding is left.
    grid = VoxelGrid.from_spacing((64, 64, 24), (2, 2, 2))
    k, j, i = torch.meshgrid(torch.arange(24.0), torch.arange(64.0), torch.arange(64.0), indexing="ij")
    # Whole numbers, and a corner that no ray meets to make the step of the engine's 16 bit levels exactly one.
    levels = 200 + 4 * i - 2 * j + 3 * k
    levels[0, 0, 0] = 65534
    projector = ENGINES["numba"](Attenuation(levels, grid))
    pose = along_index_axis(grid, 2, 1)
    pivot = torch.as_tensor(grid.centre) + torch.tensor([10.0, -20.0, 15.0])
    view = camera(9, 7, 8.0)
    _, jacobian = render_with_jacobian(projector, view, pose, twist_tangents(pose, pivot))
    for column, size in enumerate([0.03] * 3 + [3.0] * 3):
        twist = torch.zeros(1, 6, dtype=DOUBLE)
        twist[0, column] = size
        moved = [render(projector, view, retract(pose, sign * twist, pivot)).double() for sign in (2, 1, -1, -2)]
        # Fourth order in the step (Abramowitz and Stegun 25.3.6).
        expected = (-moved[0] + 8 * moved[1] - 8 * moved[2] + moved[3]) / (12 * size)
        # 2e-3: half a unit in the last place of an image of about 14000, in float32, twice.
        assert (jacobian[:, column] - expected).abs().max() < 1e-4 * expected.abs().max() + 2e-3 / size


@pytest.mark.parametrize("engine_name", ENGINES)
def test_the_pose_gradient_is_the_transposed_jacobian(engine_name):
    grid = small_oblique_grid()
    projector, poses = ENGINES[engine_name](noise_map(grid)), three_poses(grid)
    pivot = torch.as_tensor(grid.centre) + torch.tensor([3.0, -8.0, 5.0])
    twist = torch.zeros(3, 6, dtype=DOUBLE, requires_grad=True)
    image = render(projector, VIEW, retract(poses, twist, pivot))
    upstream = torch.randn(image.shape, generator=torch.Generator().manual_seed(1), dtype=image.dtype)
    (gradient,) = torch.autograd.grad((image * upstream).sum(), twist)
    _, jacobian = render_with_jacobian(projector, VIEW, poses, twist_tangents(poses, pivot))
    expected = torch.einsum("bphw,bhw->bp", jacobian.double(), upstream.double())
    scale = torch.einsum("bphw,bhw->bp", jacobian.double().abs(), upstream.double().abs())
    # Two orders of summation, in float32 for the fast engines; the terms have both signs, so their sizes are the scale.
    assert ((gradient - expected).abs() / scale).max() < 1e-5


@pytest.mark.parametrize("engine_name", ENGINES)
def test_the_camera_gradient_is_the_derivative_by_focal_length_skew_and_principal_point(engine_name):
    grid = plain_grid()
    projector, pose = ENGINES[engine_name](blob_map(grid, blobs_around(grid, 13.0))), looking(grid)
    matrix = torch.as_tensor(VIEW.matrix).requires_grad_()
    upstream = torch.rand(1, 7, 9, generator=torch.Generator().manual_seed(2), dtype=DOUBLE)
    (gradient,) = torch.autograd.grad((render(projector, VIEW, pose, matrix).double() * upstream).sum(), matrix)
    for row, column in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2)):
        # A twentieth of a voxel at the isocentre, 12.5 mm away for each pixel.
        step = torch.zeros(3, 3, dtype=DOUBLE)
        step[row, column] = 0.004
        ahead, behind = (render(projector, VIEW, pose, matrix.detach() + sign * step).double() for sign in (1, -1))
        expected = ((ahead - behind) * upstream).sum() / 0.008
        # Kinks within the step and float32 rounding, as for the poses.
        assert float(gradient[row, column]) == pytest.approx(
            float(expected), rel=1e-2, abs=1e-2 * float(gradient.abs().max())
        )


@pytest.mark.parametrize("engine_name", ENGINES)
def test_projection_and_its_map_gradient_are_adjoint(engine_name):
    grid = small_oblique_grid()
    attenuation, poses = noise_map(grid), three_poses(grid)
    mu = attenuation.mu.clone().requires_grad_()
    # The middle is empty, yet it has a gradient: nothing may be skipped on the way back.
    with torch.no_grad():
        mu[4:15, 4:15, 4:15] = 0
    projector = ENGINES[engine_name](Attenuation(mu, grid))
    image = render(projector, VIEW, poses)
    other = torch.rand(image.shape, generator=torch.Generator().manual_seed(3), dtype=image.dtype)
    (back,) = torch.autograd.grad((image * other).sum(), mu)
    # <A x, y> = <x, A^T y> for the map itself and for one that the projection never saw; float32 rounding.
    there, again = (image.detach().double() * other).sum(), (mu.detach().double() * back).sum()
    assert float(there) == pytest.approx(float(again), rel=1e-5)
    unseen = noise_map(grid, seed=9)
    forward = render(ENGINES[engine_name](unseen), VIEW, poses)
    assert float((forward.double() * other).sum()) == pytest.approx(float((unseen.mu.double() * back).sum()), rel=1e-5)


@pytest.mark.parametrize("engine_name", ENGINES)
def test_a_map_that_changes_while_it_is_learned_is_the_one_rendered(engine_name):
    grid = small_oblique_grid()
    mu = noise_map(grid).mu.double().requires_grad_()
    projector, pose = ENGINES[engine_name](Attenuation(mu, grid)), looking(grid)
    before = render(projector, VIEW, pose).detach()
    with torch.no_grad():
        mu.mul_(2)
    tangents = twist_tangents(pose, torch.zeros(3, dtype=DOUBLE))
    assert relative(render(projector, VIEW, pose), 2 * before) < 1e-6
    assert relative(render_with_jacobian(projector, VIEW, pose, tangents)[0], 2 * before) < 1e-6


@pytest.mark.parametrize("engine_name", ENGINES)
def test_image_and_jacobian_carry_no_graph(engine_name):
    grid = small_oblique_grid()
    mu = noise_map(grid).mu.requires_grad_()
    pose = looking(grid).requires_grad_()
    tangents = twist_tangents(pose.detach(), torch.zeros(3, dtype=DOUBLE))
    results = render_with_jacobian(ENGINES[engine_name](Attenuation(mu, grid)), VIEW, pose, tangents)
    assert not any(result.requires_grad for result in results)


@pytest.mark.parametrize("name", ["reference", "torch"])
def test_first_and_second_derivatives_pass_torchs_own_check(name):
    grid = oblique_grid((5, 6, 7), (4.0, 3.5, 3.0))
    mu = noise_map(grid).mu.double().requires_grad_()
    view, pose, pivot = camera(3, 2, 20.0), looking(grid), torch.as_tensor(grid.centre)
    matrix = torch.as_tensor(view.matrix).requires_grad_()
    twist = torch.full((1, 6), 0.01, dtype=DOUBLE, requires_grad=True)

    def image(twist: Tensor, matrix: Tensor, mu: Tensor) -> Tensor:
        return render(ENGINES[name](Attenuation(mu, grid)), view, retract(pose, twist, pivot), matrix)

    # The step of 1e-6 is far below the distance of any of the six rays from a kink, as the passing itself shows.
    assert torch.autograd.gradcheck(image, (twist, matrix, mu))
    assert torch.autograd.gradgradcheck(image, (twist, matrix, mu))


def test_the_compiled_engine_refuses_a_second_derivative_instead_of_inventing_one():
    grid = small_oblique_grid()
    twist = torch.zeros(1, 6, dtype=DOUBLE, requires_grad=True)
    image = render(ENGINES["numba"](noise_map(grid)), VIEW, retract(looking(grid), twist, torch.zeros(3, dtype=DOUBLE)))
    (gradient,) = torch.autograd.grad(image.sum(), twist, create_graph=True)
    with pytest.raises(RuntimeError, match="render with the torch engine"):
        gradient.sum().backward()
