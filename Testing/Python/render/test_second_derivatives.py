"""First and second derivatives of the reference and torch engines by torch's own check, and which engines have them."""

from __future__ import annotations

import pytest
import torch
from closed_forms import camera, looking, oblique_grid
from render_checks import noise_map
from torch import Tensor

from xrayreg.checks import InputError
from xrayreg.geometry import Camera, VoxelGrid, retract, rigid
from xrayreg.render import cast_parallel_rays, double_backward, prepare, render, second_derivatives
from xrayreg.render.reference import ReferenceProjector
from xrayreg.render.torch_engine import TorchProjector
from xrayreg.scene import Attenuation

DOUBLE = torch.float64
PIXELS = ("trilinear", "siddon", "mip")
GRID = oblique_grid((3, 4, 5), (6.0, 5.0, 4.5))


def check(image, *inputs: Tensor) -> None:
    # The step of 1e-6 is far below the distance of any of the rays from a kink, as the passing itself shows.
    assert torch.autograd.gradcheck(image, inputs)
    # Along one random direction each way: element by element takes ten times as long and finds no more.
    assert torch.autograd.gradgradcheck(image, inputs, fast_mode=True)


def inputs_of(view: Camera, grid: VoxelGrid, twist: float = 0.01) -> tuple[Tensor, Tensor, Tensor]:
    """A twist (1, 6), the camera matrix and a map of noise, as leaves."""
    return (
        torch.full((1, 6), twist, dtype=DOUBLE, requires_grad=True),
        torch.as_tensor(view.matrix).requires_grad_(),
        noise_map(grid).mu.double().requires_grad_(),
    )


@pytest.mark.parametrize("pixel", PIXELS)
def test_pose_camera_and_map_have_exact_derivatives_of_both_orders(pixel):
    view, pose, pivot = camera(3, 2, 10.0), looking(GRID), torch.as_tensor(GRID.centre)

    def image(twist: Tensor, matrix: Tensor, mu: Tensor) -> Tensor:
        projector = ReferenceProjector(Attenuation(mu, GRID), pixel=pixel)
        return render(projector, view, retract(pose, twist, pivot), matrix)

    check(image, *inputs_of(view, GRID))


@pytest.mark.parametrize("pixel", PIXELS)
def test_a_parallel_beam_has_them_too(pixel):
    view, pose, pivot = camera(3, 2, 10.0), looking(GRID), torch.as_tensor(GRID.centre)

    def image(twist: Tensor, matrix: Tensor, mu: Tensor) -> Tensor:
        rays = cast_parallel_rays(GRID, view, retract(pose, twist, pivot), 300.0, matrix)
        return ReferenceProjector(Attenuation(mu, GRID), pixel=pixel).project(rays)

    check(image, *inputs_of(view, GRID))


@pytest.mark.parametrize("pixel", PIXELS)
@pytest.mark.parametrize("depth_mm", [150.0, 0.7])
def test_they_hold_at_no_turn_along_an_axis_and_from_inside_the_map(pixel, depth_mm):
    # No turn is where a rotation's angle has no derivative, and the middle ray's direction has zeros along two axes.
    grid = VoxelGrid.from_spacing((3, 4, 5), (6.0, 5.0, 4.5))
    view = Camera(torch.tensor([[90.0, 0, 1], [0, 90, 0], [0, 0, 1]]).double().numpy(), 3, 1, torch.eye(4).numpy())
    pose = rigid(torch.eye(3, dtype=DOUBLE), torch.tensor([1.3, 0.7, depth_mm], dtype=DOUBLE))[None]

    def image(twist: Tensor, matrix: Tensor, mu: Tensor) -> Tensor:
        projector = ReferenceProjector(Attenuation(mu, grid), pixel=pixel)
        return render(projector, view, retract(pose, twist, torch.zeros(3, dtype=DOUBLE)), matrix)

    leaves = inputs_of(view, grid, twist=0.0)
    check(image, *leaves)
    assert (image(*leaves) > 0).all()


def test_the_torch_engine_has_them_at_no_turn_and_from_inside_the_map():
    grid = VoxelGrid.from_spacing((3, 4, 5), (6.0, 5.0, 4.5))
    view = Camera(torch.tensor([[90.0, 0, 1], [0, 90, 0], [0, 0, 1]]).double().numpy(), 3, 1, torch.eye(4).numpy())
    for depth_mm in (150.0, 0.7):
        pose = rigid(torch.eye(3, dtype=DOUBLE), torch.tensor([1.3, 0.7, depth_mm], dtype=DOUBLE))[None]

        def image(twist: Tensor, matrix: Tensor, mu: Tensor, pose: Tensor = pose) -> Tensor:
            projector = TorchProjector(Attenuation(mu, grid))
            return render(projector, view, retract(pose, twist, torch.zeros(3, dtype=DOUBLE)), matrix)

        check(image, *inputs_of(view, grid, twist=0.0))


@pytest.mark.parametrize("engine", ["torch", "reference"])
def test_the_engines_of_torch_operations_say_that_they_can_and_do(engine):
    assert double_backward(engine, "cpu") == ""
    twist = torch.zeros(1, 6, dtype=DOUBLE, requires_grad=True)
    mu = noise_map(GRID).mu.requires_grad_()
    projector = prepare(Attenuation(mu, GRID), engine, "cpu")
    image = render(projector, camera(3, 2, 10.0), retract(looking(GRID), twist, torch.zeros(3, dtype=DOUBLE)))
    (gradient,) = torch.autograd.grad(image.sum(), twist, create_graph=True)
    by_twist, by_map = torch.autograd.grad(gradient.square().sum(), (twist, mu))
    assert by_twist.abs().max() > 0 and by_map.abs().max() > 0


def test_compiled_engines_say_that_they_cannot_and_who_can():
    assert "render with the torch engine" in double_backward("numba")


def test_an_engine_or_device_that_is_none_is_refused():
    with pytest.raises(InputError, match="engine"):
        double_backward("opencl")
    with pytest.raises(InputError, match="device"):
        double_backward("torch", "tpu")


@pytest.fixture
def untried():
    """The trial forgotten before and after, so that a torch that is only pretended is not remembered."""
    second_derivatives._tried.cache_clear()
    yield
    second_derivatives._tried.cache_clear()


class _Sampled(torch.autograd.Function):
    """Interpolation whose derivative cannot be differentiated, as in old versions of torch."""

    @staticmethod
    def forward(ctx, places):
        ctx.save_for_backward(places)
        return places.sum()

    @staticmethod
    def backward(ctx, upstream):
        return _Slope.apply(upstream, *ctx.saved_tensors)


class _Slope(torch.autograd.Function):
    @staticmethod
    def forward(ctx, upstream, places):
        return upstream * torch.ones_like(places)

    @staticmethod
    def backward(ctx, upstream):
        raise RuntimeError("derivative for grid_sampler_2d_backward is not implemented\nsomewhere deep")


def test_a_torch_without_second_derivatives_is_found_out(untried, monkeypatch):
    monkeypatch.setattr(torch.nn.functional, "grid_sample", lambda values, places, **_: _Sampled.apply(places))
    said = double_backward("torch", "cpu")
    reason = "derivative for grid_sampler_2d_backward is not implemented"
    assert said == f"torch {torch.__version__} has no second derivative of grid_sample on cpu: {reason}"


def test_a_torch_with_wrong_second_derivatives_is_found_out(untried, monkeypatch):
    monkeypatch.setattr(torch.nn.functional, "grid_sample", lambda values, places, **_: (places**2).sum())
    assert "wrong" in double_backward("reference", "cpu")


def test_it_is_tried_once(untried, monkeypatch):
    assert double_backward("torch", "cpu") == ""
    monkeypatch.setattr(torch.nn.functional, "grid_sample", None)
    assert double_backward("torch", "cpu") == ""
