"""Several maps in one pass on the CPU: images and gradients are those that the single-map kernels make."""

from __future__ import annotations

import numba
import numpy as np
import pytest
import torch
from closed_forms import along_index_axis, camera, looking, oblique_grid, plain_grid
from render_checks import GEOMETRIES, noise_map, relative

from xrayreg.geometry import VoxelGrid, retract
from xrayreg.render import numba_reads, prepare, render, render_channels
from xrayreg.render.channels import StackedProjector
from xrayreg.render.numba_channels import NumbaChannelProjector
from xrayreg.scene import Attenuation

# A width that no vector and no block divides.
VIEW = camera(13, 9, 9.0)
DOUBLE = torch.float64


def maps_of(grid: VoxelGrid, count: int) -> list[Attenuation]:
    """Noise of different size and sign, empty in different places; levels of zero differ between channels."""
    maps = []
    for number in range(count):
        mu = (noise_map(grid, number).mu - (0, 0.3, 0.9)[number % 3]) * (1, 0.05, 7)[number % 3]
        mu[: number * grid.shape[2] // 4] = 0
        maps.append(Attenuation(mu, grid))
    return maps


def one_by_one(maps: list[Attenuation]) -> StackedProjector:
    return StackedProjector([prepare(one, "numba") for one in maps])


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("name", GEOMETRIES)
def test_each_channel_is_the_image_of_its_map(name, count):
    grid, pose = GEOMETRIES[name]()
    maps = maps_of(grid, count)
    images = render_channels(NumbaChannelProjector(maps), VIEW, pose)
    expected = render_channels(one_by_one(maps), VIEW, pose)
    assert images.shape == (1, count, 9, 13)
    for n in range(count):
        # The same levels, planes and places; only empty blocks may be skipped elsewhere.
        assert relative(images[:, n], expected[:, n]) < 1e-5


@pytest.mark.parametrize("shape", [(31, 30, 33), (1, 20, 21), (22, 1, 19), (18, 23, 1), (1, 1, 1), (2, 3, 40)])
def test_channels_of_any_size_add_up_to_the_image_of_the_sum(shape):
    grid = oblique_grid(shape, (1.1, 0.9, 1.3))
    maps = [noise_map(grid, seed) for seed in range(3)]
    whole = Attenuation(maps[0].mu + maps[1].mu + maps[2].mu, grid)
    pose, view = looking(grid, distance_mm=300.0), camera(33, 25, 3.0)
    images = render_channels(NumbaChannelProjector(maps), view, pose)
    # Half a level of 16 bits of each map, most of which cancels.
    assert relative(images.sum(1), render(prepare(whole, "numba"), view, pose)) < 1e-4
    assert images.amax((0, 2, 3)).min() > 0


def gradients_of(projector, poses: torch.Tensor, upstream: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Gradients of sum(upstream * image) with respect to the twist of each pose and to the camera matrix."""
    twist = torch.zeros(len(poses), 6, dtype=DOUBLE, requires_grad=True)
    matrix = torch.as_tensor(VIEW.matrix).clone().requires_grad_()
    image = render_channels(projector, VIEW, retract(poses, twist, torch.as_tensor(projector.grid.centre)), matrix)
    return torch.autograd.grad((image * upstream).sum(), (twist, matrix))


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("name", GEOMETRIES)
def test_the_gradient_is_the_sum_of_the_gradients_of_each_channel(name, count):
    grid, pose = GEOMETRIES[name]()
    maps, poses = maps_of(grid, count), torch.cat([pose, looking(grid, (0.4, -0.2, 0.1))])
    upstream = torch.randn(2, count, 9, 13, generator=torch.Generator().manual_seed(1))
    found = gradients_of(NumbaChannelProjector(maps), poses, upstream)
    expected = gradients_of(one_by_one(maps), poses, upstream)
    for mine, theirs in zip(found, expected, strict=True):
        # Terms of both signs in float32, over some hundred planes.
        assert relative(mine, theirs) < 1e-4


def test_the_gradients_of_the_maps_are_those_of_each_map_alone():
    grid = oblique_grid((17, 19, 21), (1.1, 0.9, 1.3))
    maps, poses = maps_of(grid, 3), torch.cat([looking(grid), along_index_axis(grid, 1, -1)])
    upstream = torch.randn(2, 3, 9, 13, generator=torch.Generator().manual_seed(2))
    mus = [one.mu.clone().requires_grad_() for one in maps]
    learned = [Attenuation(mu, grid) for mu in mus]
    found = torch.autograd.grad((render_channels(NumbaChannelProjector(learned), VIEW, poses) * upstream).sum(), mus)
    expected = torch.autograd.grad((render_channels(one_by_one(learned), VIEW, poses) * upstream).sum(), mus)
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(found, expected, strict=True))


def test_an_empty_channel_is_exactly_nothing_and_changes_no_other():
    grid = plain_grid((31, 33, 35))
    some, none = noise_map(grid), Attenuation(torch.zeros(35, 33, 31), grid)
    pose = looking(grid)
    images = render_channels(NumbaChannelProjector([none, some, none]), VIEW, pose)
    assert not images[:, 0].any() and not images[:, 2].any()
    assert relative(images[:, 1], render(prepare(some, "numba"), VIEW, pose)) < 1e-6
    assert not render_channels(NumbaChannelProjector([none, none]), VIEW, pose).any()


def test_rays_that_miss_are_exactly_zero_and_a_source_inside_sees_what_lies_ahead():
    grid = plain_grid((31, 33, 35))
    maps = maps_of(grid, 2)
    projector, aside = NumbaChannelProjector(maps), looking(grid)
    aside[0, 0, 3] += 500
    upstream = torch.ones(1, 2, 9, 13)
    assert not render_channels(projector, VIEW, aside).any()
    assert not any(gradient.any() for gradient in gradients_of(projector, aside, upstream))
    for distance_mm in (-20.0, 0.0, 9.7):
        inside = looking(grid, distance_mm=distance_mm)
        expected = render_channels(one_by_one(maps), VIEW, inside)
        assert relative(render_channels(projector, VIEW, inside), expected) < 1e-5
    assert render_channels(projector, VIEW, torch.zeros(0, 4, 4, dtype=DOUBLE)).shape == (0, 2, 9, 13)


def test_bits_do_not_depend_on_the_number_of_threads_nor_on_the_repeat():
    grid = oblique_grid((17, 19, 21), (1.1, 0.9, 1.3))
    poses = torch.cat([looking(grid), along_index_axis(grid, 1), looking(grid, (2.0, 0.1, -1.0))])
    upstream = torch.randn(3, 3, 9, 13, generator=torch.Generator().manual_seed(3))
    mus = [one.mu.requires_grad_() for one in maps_of(grid, 3)]
    before, results = numba.get_num_threads(), []
    try:
        for threads in (1, numba.config.NUMBA_NUM_THREADS, numba.config.NUMBA_NUM_THREADS):
            numba.set_num_threads(threads)
            projector = NumbaChannelProjector([Attenuation(mu, grid) for mu in mus])
            given = poses.clone().requires_grad_()
            image = render_channels(projector, VIEW, given)
            results.append([image.detach(), *torch.autograd.grad((image * upstream).sum(), (given, *mus))])
    finally:
        numba.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))
    assert all(result.any() for result in results[0])


def test_a_second_derivative_is_refused():
    grid = plain_grid((17, 19, 21))
    twist = torch.zeros(1, 6, dtype=DOUBLE, requires_grad=True)
    pose = retract(looking(grid), twist, torch.zeros(3, dtype=DOUBLE))
    image = render_channels(NumbaChannelProjector(maps_of(grid, 2)), VIEW, pose)
    (gradient,) = torch.autograd.grad(image.sum(), twist, create_graph=True)
    with pytest.raises(RuntimeError, match="render with the torch engine"):
        gradient.sum().backward()


@numba.njit
def _read_pairs(words, places, start, near, far, axis, step_u, step_w, count):
    # Only compiled code can call what kernels are made of.
    numba_reads.read_pairs(words, places, start, near, far, axis, step_u, step_w, count)


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 190])
def test_lists_of_planes_are_filled_up_with_nothing(count):
    words = np.arange(1, 500, dtype=np.uint32)
    places = np.arange(300, dtype=np.int32)
    near, far = np.full(300, 7, np.uint64), np.full(300, 7, np.uint64)
    _read_pairs(words, places, 0, near, far, 1, np.int32(1), np.int32(100), count)
    end = -(-count // numba_reads.LANES) * numba_reads.LANES
    for cells, first in ((near, 1), (far, 101)):
        low = np.arange(first, first + count, dtype=np.uint64)
        np.testing.assert_array_equal(cells[:count], low | (low + np.uint64(1)) << np.uint64(32))
        assert not cells[count:end].any() and (cells[end:] == 7).all()
