"""The Triton engine against the torch engine in double precision, which takes the very same samples.

Maps are small: in the interpreter each plane of a map takes ten milliseconds.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from closed_forms import along_index_axis, blob_map, blobs_around, camera, looking, oblique_grid, plain_grid
from render_checks import column_errors, noise_map, relative
from torch import Tensor

from xrayreg.checks import InputError
from xrayreg.geometry import VoxelGrid, retract, twist_tangents
from xrayreg.geometry.cameras import MOST_PX
from xrayreg.render import (
    Rays,
    kernels_are_cached,
    prepare,
    prepare_channels,
    render,
    render_with_jacobian,
    warm_up,
)
from xrayreg.render.rays import cast_rays, ray_tangents
from xrayreg.render.reference import ReferenceProjector
from xrayreg.render.torch_engine import TorchProjector
from xrayreg.scene import Attenuation

from .triton_checks import PLACE, runs_here

pytestmark = runs_here
pytest.importorskip("triton")

DOUBLE = torch.float64
VIEW = camera(33, 25, 3.0)
GRID = oblique_grid((17, 16, 18), (2.0, 1.7, 2.4))
SMALL = plain_grid((13, 15, 12), (2.4, 1.9, 2.2))
VIEWS = {
    "towards +i": along_index_axis(SMALL, 0, 1),
    "towards -j": along_index_axis(SMALL, 1, -1),
    "towards +k, head on": along_index_axis(SMALL, 2, 1, tilt=0.0),
    "towards -k": along_index_axis(SMALL, 2, -1),
    "between the axes": looking(SMALL),
    "from within": looking(SMALL, distance_mm=3.0),
}


@pytest.fixture(scope="module")
def engine():
    from xrayreg.render import triton_engine

    return triton_engine


def made(attenuation: Attenuation, **more):
    from xrayreg.render.triton_engine import TritonProjector

    return TritonProjector(attenuation, PLACE, **more)


def exact(attenuation: Attenuation) -> TorchProjector:
    return TorchProjector(Attenuation(attenuation.mu.double(), attenuation.grid))


def with_jacobian(projector, view, poses: Tensor, grid: VoxelGrid) -> tuple[Tensor, Tensor]:
    pivot = torch.as_tensor(grid.centre) + torch.tensor([3.0, -8.0, 5.0])
    image, jacobian = render_with_jacobian(projector, view, poses, twist_tangents(poses, pivot))
    return image.cpu(), jacobian.cpu()


@pytest.mark.parametrize("name", VIEWS)
def test_image_and_jacobian_are_those_of_the_torch_engine_in_double_precision(name):
    attenuation, pose = noise_map(SMALL), VIEWS[name]
    expected, expected_jacobian = with_jacobian(exact(attenuation), VIEW, pose, SMALL)
    image, jacobian = with_jacobian(made(attenuation), VIEW, pose, SMALL)
    assert image.dtype == jacobian.dtype == torch.float32
    assert expected.max() > 0
    # Places are good to 1e-7 voxels, values to 6e-8; thirty planes of noise change by their size over a voxel.
    assert relative(image, expected) < 1e-6
    # A place on a kink may fall on either side of it, but that close to it only the exactly symmetric view does.
    assert column_errors(jacobian, expected_jacobian).max() < 5e-6


@pytest.mark.parametrize("shape", [(31, 30, 33), (1, 20, 21), (22, 1, 19), (18, 23, 1), (2, 3, 40)])
def test_the_image_is_exact_at_any_size(shape):
    grid = oblique_grid(shape, (1.1, 0.9, 1.3))
    attenuation, pose = noise_map(grid), looking(grid)
    expected = render(exact(attenuation), VIEW, pose)
    assert expected.max() > 0
    assert relative(render(made(attenuation), VIEW, pose).cpu(), expected) < 1e-6


def test_a_smooth_map_gives_the_reference_image_and_jacobian():
    grid = plain_grid((48, 45, 47))
    attenuation = blob_map(grid, blobs_around(grid, 6.0))
    view, pose = camera(9, 7, 6.0), looking(grid)
    expected, expected_jacobian = with_jacobian(ReferenceProjector(attenuation), view, pose, grid)
    image, jacobian = with_jacobian(made(attenuation), view, pose, grid)
    # One sample per plane in place of four per voxel: 1e-3 and 1e-2 for blobs of 13 mm (see test_twins.py), times
    # (13 / 6)^2.
    assert relative(image, expected) < 5e-3
    assert column_errors(jacobian, expected_jacobian).max() < 5e-2


@pytest.mark.parametrize("distance_mm", [1e3, 5e4])
def test_a_source_metres_away_costs_the_image_no_digits(distance_mm):
    attenuation = noise_map(SMALL)
    pose = looking(SMALL, distance_mm=distance_mm)
    # No ray through the very centre, which is a kink on some plane.
    view = type(VIEW)(np.array([[distance_mm, 0, 16.3], [0, distance_mm, 12.4], [0, 0, 1]]), 33, 25, np.eye(4))
    expected, expected_jacobian = with_jacobian(exact(attenuation), view, pose, SMALL)
    image, jacobian = with_jacobian(made(attenuation), view, pose, SMALL)
    assert relative(image, expected) < 1e-6
    # Turning the patient turns and shifts the source's rays, which nearly cancel: to some 15 mm of the distance, in
    # float32.
    assert column_errors(jacobian, expected_jacobian).max() < 6e-8 * 4 * distance_mm / 15


@pytest.mark.parametrize("distance_mm", [1e6, 1e15, 1e25])
def test_a_source_absurdly_far_away_does_no_harm(distance_mm):
    focal_px = min(distance_mm, MOST_PX)
    parallel = type(VIEW)(np.array([[focal_px, 0, 6], [0, focal_px, 5], [0, 0, 1]]), 13, 10, np.eye(4))
    image, jacobian = with_jacobian(made(noise_map(SMALL)), parallel, looking(SMALL, distance_mm=distance_mm), SMALL)
    assert torch.isfinite(image).all() and torch.isfinite(jacobian).all()
    assert image.min() >= 0 and image.max() < 60


def test_rays_that_miss_and_maps_that_are_empty_are_exactly_zero():
    pose = looking(SMALL)
    nothing = made(Attenuation(torch.zeros(SMALL.shape[::-1]), SMALL))
    assert not any(found.any() for found in with_jacobian(nothing, VIEW, pose, SMALL))
    projector = made(noise_map(SMALL))
    pose[0, 0, 3] += 500
    assert not any(found.any() for found in with_jacobian(projector, VIEW, pose, SMALL))
    none = torch.zeros(0, 4, 4, dtype=DOUBLE)
    image, jacobian = with_jacobian(projector, VIEW, none, SMALL)
    assert image.shape == (0, 25, 33) and jacobian.shape == (0, 6, 25, 33)


def test_rays_that_are_not_finite_stay_within_the_map_and_never_look_like_an_image():
    projector = made(noise_map(SMALL))
    rays = cast_rays(SMALL, VIEW, torch.cat([VIEWS["towards +i"], VIEWS["between the axes"]]))
    for wrong in (float("nan"), float("inf")):
        matrix = rays.matrix.clone()
        matrix[0, 1, 2] = wrong
        image = projector.project(Rays(rays.source, matrix, rays.length_mm))
        assert not (image[0] > 0).any()
        assert torch.equal(image[1], projector.project(rays)[1])


def holed_map() -> Attenuation:
    """Tissue in corners, across faces between blocks and alone in the middle; everything else is empty."""
    mu = torch.zeros(50, 41, 61)
    generator = np.random.default_rng(3)
    for k, j, i in [(0, 0, 0), (44, 35, 55), (0, 35, 0), (13, 14, 12), (29, 20, 45)]:
        mu[k : k + 6, j : j + 6, i : i + 6] = torch.from_numpy(generator.random((6, 6, 6))).float()
    return Attenuation(mu, VoxelGrid.from_spacing((61, 41, 50), (1, 1, 1)))


@pytest.mark.parametrize("axis", [0, 1, 2, None])
def test_leaving_out_empty_blocks_changes_not_a_bit(axis, engine, monkeypatch):
    attenuation, view = holed_map(), camera(60, 50, 2.0)
    pose = looking(attenuation.grid) if axis is None else along_index_axis(attenuation.grid, axis, -1)
    skipping = with_jacobian(made(attenuation), view, pose, attenuation.grid)
    monkeypatch.setattr(engine, "rimmed_maps", lambda *some: _reading_all(engine, *some))
    reading_all = with_jacobian(made(attenuation), view, pose, attenuation.grid)
    assert (reading_all[0] > 0).sum() > 100
    # Slabs start at the same planes either way, so nothing rounds differently.
    assert all(torch.equal(a, b) for a, b in zip(skipping, reading_all, strict=True))


def _reading_all(engine, mu: Tensor, storage: torch.dtype):
    from xrayreg.render import triton_maps

    maps = triton_maps.rimmed_maps(mu, storage)
    boxes = triton_maps.whole_boxes(maps)
    return triton_maps.RimmedMaps(maps.values, maps.scales, torch.ones_like(maps.occupied), boxes)


@pytest.mark.parametrize("name", ["towards -j", "between the axes", "from within"])
def test_nothing_outside_the_map_is_ever_read(name, engine, monkeypatch):
    from xrayreg.render import triton_maps

    def guarded(*some):
        maps = triton_maps.rimmed_maps(*some)
        count = maps.values.numel()
        room = torch.full((3 * count,), float("nan"), device=maps.values.device)
        values = room[count : 2 * count].view(maps.values.shape)
        values.copy_(maps.values)
        return triton_maps.RimmedMaps(values, maps.scales, maps.occupied, maps.boxes)

    attenuation = noise_map(SMALL)
    attenuation.mu[0, 0, 0] = attenuation.mu[-1, -1, -1] = 1.0
    # Rays along faces and edges, where rounding decides on which side they are; half as many a side in the interpreter.
    side = 64 if PLACE == "cuda" else 32
    matrix = np.array([[side * 2.34375, 0, side / 2], [0, side * 2.34375, side / 2], [0, 0, 1]])
    view = type(VIEW)(matrix, side, side, np.eye(4))
    expected = with_jacobian(made(attenuation), view, VIEWS[name], SMALL)
    monkeypatch.setattr(engine, "rimmed_maps", guarded)
    found = with_jacobian(made(attenuation), view, VIEWS[name], SMALL)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_half_the_memory_costs_the_digits_that_it_must():
    attenuation = noise_map(SMALL)
    pose = looking(SMALL)
    exactly = render(exact(attenuation), VIEW, pose)
    # Half a unit in the last of 11 or 8 binary places in every voxel, and twenty of them average out.
    for storage, unit in ((torch.float16, 2.0**-11), (torch.bfloat16, 2.0**-8)):
        error = relative(render(made(attenuation, storage=storage), VIEW, pose).cpu(), exactly)
        assert 1e-6 < error < unit / 2
    # The unit of the attenuation costs nothing: float16 alone ends at 6e-8 and 65504.
    for factor in (1e-9, 1e6):
        scaled = Attenuation(attenuation.mu * factor, SMALL)
        found = render(made(scaled, storage=torch.float16), VIEW, pose).cpu()
        assert relative(found, exactly * factor) < 2.0**-12
    with pytest.raises(InputError, match="storage of the map: expected float32, float16 or bfloat16, found int8"):
        made(attenuation, storage=torch.int8)


def test_tiles_and_shares_of_planes_change_only_the_order_of_additions(engine):
    attenuation, pose = noise_map(SMALL), VIEWS["between the axes"]
    expected = with_jacobian(made(attenuation), VIEW, pose, SMALL)
    # Four tiles, partly beyond the image, and four shares; one tile and eight shares, most of them without a slab.
    for tuning in (engine.Tuning(32, 512, 4, 2, 2000), engine.Tuning(64, 4096, 4, 16, 1 << 20)):
        found = with_jacobian(made(attenuation, tuning=tuning), VIEW, pose, SMALL)
        assert relative(found[0], expected[0]) < 1e-6
        assert column_errors(found[1], expected[1]).max() < 1e-6


def test_rays_and_maps_learn_as_with_the_torch_engine():
    poses = torch.cat([VIEWS["towards -k"], VIEWS["between the axes"]])
    attenuation = noise_map(SMALL)
    upstream = torch.randn(2, 25, 33, generator=torch.Generator().manual_seed(1), dtype=DOUBLE)
    found, expected = [], []
    for make, gradients in ((exact, expected), (made, found)):
        pose, matrix = poses.clone().requires_grad_(), torch.as_tensor(VIEW.matrix).requires_grad_()
        mu = attenuation.mu.clone().requires_grad_()
        image = render(make(Attenuation(mu, SMALL)), VIEW, pose, matrix)
        gradients += torch.autograd.grad((image.double().cpu() * upstream).sum(), (pose, matrix, mu))
    for there, here in zip(found, expected, strict=True):
        assert there.dtype == here.dtype and there.device == here.device
        # Sums of terms of both signs, from values in single precision.
        assert relative(there, here) < 1e-5


def test_the_pose_gradient_is_the_transposed_jacobian():
    poses = torch.cat([VIEWS["towards +i"], VIEWS["between the axes"]])
    projector, pivot = made(noise_map(SMALL)), torch.as_tensor(SMALL.centre) + torch.tensor([3.0, -8.0, 5.0])
    twist = torch.zeros(2, 6, dtype=DOUBLE, requires_grad=True)
    image = render(projector, VIEW, retract(poses, twist, pivot))
    upstream = torch.randn(image.shape, generator=torch.Generator().manual_seed(1)).to(image)
    (gradient,) = torch.autograd.grad((image * upstream).sum(), twist)
    _, jacobian = render_with_jacobian(projector, VIEW, poses, twist_tangents(poses, pivot))
    terms = (jacobian * upstream[:, None]).double().cpu()
    assert ((gradient - terms.sum((-2, -1))) / terms.abs().sum((-2, -1))).abs().max() < 1e-6


def test_map_gradients_neither_overflow_nor_vanish():
    grid = plain_grid((5, 6, 7), (4.0, 3.5, 3.0))
    attenuation, view = noise_map(grid), camera(9, 8, 6.0)
    results = []
    for size in (1.0, 1e30, 1e-30):
        mu = attenuation.mu.clone().requires_grad_()
        (gradient,) = torch.autograd.grad((render(made(Attenuation(mu, grid)), view, looking(grid)) * size).sum(), mu)
        results.append(gradient / size)
    assert results[0].max() > 0
    assert all(relative(other, results[0]) < 1e-6 for other in results[1:])
    for wrong in (float("nan"), float("inf")):
        mu = attenuation.mu.clone().requires_grad_()
        (gradient,) = torch.autograd.grad((render(made(Attenuation(mu, grid)), view, looking(grid)) * wrong).sum(), mu)
        assert not torch.isfinite(gradient).any()


def everything(projector, mu: Tensor) -> list[Tensor]:
    poses = VIEWS["between the axes"].clone().requires_grad_()
    image = render(projector, VIEW, poses)
    gradients = torch.autograd.grad(image.square().sum(), (poses, mu))
    return [image.detach(), *with_jacobian(projector, VIEW, poses.detach(), SMALL), *gradients]


def test_repeats_are_bitwise_equal():
    mu = noise_map(SMALL).mu.to(PLACE).requires_grad_()
    projector = made(Attenuation(mu, SMALL))
    first = everything(projector, mu)
    for _ in range(2):
        assert all(torch.equal(a, b) for a, b in zip(first, everything(projector, mu), strict=True))


def test_channels_are_the_maps_one_by_one_and_learn_as_they_do(engine):
    maps = [noise_map(SMALL, seed) for seed in range(2)]
    # One full, one with a little: boxes and blocks are each channel's own.
    maps[1].mu.zero_()
    maps[1].mu[4:7, 5:9, 3:8] = 1.0
    poses = torch.cat([VIEWS["towards +i"], VIEWS["between the axes"]])
    rays = cast_rays(SMALL, VIEW, poses)
    tangents = ray_tangents(SMALL, VIEW, poses, twist_tangents(poses, torch.zeros(3, dtype=DOUBLE)))
    projector = engine.TritonChannelProjector(maps, PLACE)
    assert projector.channels == 2
    images = projector.project(rays)
    both, jacobians = projector.project_with_jacobian(rays, tangents)
    assert images.shape == (2, 2, 25, 33) and jacobians.shape == (2, 2, 6, 25, 33)
    for channel, attenuation in enumerate(maps):
        # With and without the sums for the Jacobian are two kernels, which a GPU may round differently.
        assert torch.equal(images[:, channel], made(attenuation).project(rays))
        alone, jacobian = made(attenuation).project_with_jacobian(rays, tangents)
        assert torch.equal(both[:, channel], alone)
        assert torch.equal(jacobians[:, channel], jacobian)
    source = rays.source.clone().requires_grad_()
    image = projector.project(Rays(source, rays.matrix, rays.length_mm))
    (gradient,) = torch.autograd.grad(image.square().sum(), source)
    # By shifts of the source along i, j, k.
    along = type(tangents)(torch.eye(3, dtype=DOUBLE).expand(2, 3, 3), torch.zeros(2, 3, 3, 3, dtype=DOUBLE))
    _, jacobians = projector.project_with_jacobian(rays, along)
    expected = (2 * images[:, :, None] * jacobians).double().sum((1, 3, 4))
    assert relative(gradient, expected.cpu()) < 1e-5


def test_whoever_asks_for_the_engine_by_name_gets_it_and_its_kernels_ahead_of_time(engine):
    attenuation = noise_map(plain_grid((3, 4, 5)))
    assert isinstance(prepare(attenuation, "triton"), engine.TritonProjector)
    assert isinstance(prepare_channels([attenuation, attenuation], "triton"), engine.TritonChannelProjector)
    parts: list[str] = []
    warm_up("triton", on_part=parts.append)
    assert parts[-1] == "gradients of poses"
    assert kernels_are_cached("triton")
    assert warm_up("triton") == 0


def test_a_second_derivative_is_refused_instead_of_invented():
    twist = torch.zeros(1, 6, dtype=DOUBLE, requires_grad=True)
    image = render(made(noise_map(SMALL)), VIEW, retract(looking(SMALL), twist, torch.zeros(3, dtype=DOUBLE)))
    (gradient,) = torch.autograd.grad(image.sum(), twist, create_graph=True)
    with pytest.raises(RuntimeError, match="render with the torch engine"):
        gradient.sum().backward()


def test_rays_that_are_not_contiguous_or_in_single_precision_are_taken_as_they_are():
    attenuation, pose = noise_map(SMALL), VIEWS["between the axes"].float().requires_grad_()
    image = render(made(attenuation), VIEW, pose)
    (gradient,) = torch.autograd.grad(image.sum(), pose)
    assert gradient.dtype == torch.float32 and gradient.abs().max() > 0
    rays = cast_rays(SMALL, VIEW, VIEWS["between the axes"])
    turned = Rays(rays.source, rays.matrix.mT.contiguous().mT, rays.length_mm.mT.contiguous().mT)
    assert not turned.matrix.is_contiguous()
    assert torch.equal(made(attenuation).project(turned), made(attenuation).project(rays))
