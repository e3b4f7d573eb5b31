"""What every engine does at the edges of its contract: batches, missing rays, empty blocks, repeats, refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from closed_forms import along_index_axis, camera, looking, oblique_grid, plain_grid
from numpy.typing import NDArray
from render_checks import ENGINES, noise_map, relative

from xrayreg import slabs
from xrayreg.geometry import VoxelGrid, twist_tangents
from xrayreg.geometry.cameras import MOST_PX
from xrayreg.render import Projector, numba_maps, render, render_with_jacobian
from xrayreg.scene import Attenuation

VIEW = camera(13, 10, 9.0)
DOUBLE = torch.float64
GRID = oblique_grid((31, 30, 33), (1.1, 0.9, 1.3))
PIVOT = torch.as_tensor(GRID.centre)


def with_jacobian(projector: Projector, poses: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return render_with_jacobian(projector, VIEW, poses, twist_tangents(poses, PIVOT))


def test_a_batch_is_its_poses_one_by_one(engine):
    projector = engine(noise_map(GRID))
    poses = torch.cat([looking(GRID), along_index_axis(GRID, 0), looking(GRID, (2.0, 0.1, -1.0), 400.0)])
    images, jacobians = with_jacobian(projector, poses)
    assert images.shape == (3, 10, 13) and jacobians.shape == (3, 6, 10, 13)
    for n in range(3):
        image, jacobian = with_jacobian(projector, poses[n : n + 1])
        # Nothing is shared between poses but the map; only matrix products may round differently.
        assert relative(images[n : n + 1], image) < 1e-6
        assert relative(jacobians[n : n + 1], jacobian) < 1e-5


def test_a_batch_of_none_is_an_empty_image(engine):
    projector = engine(noise_map(GRID))
    none = torch.zeros(0, 4, 4, dtype=DOUBLE)
    assert render(projector, VIEW, none).shape == (0, 10, 13)
    image, jacobian = with_jacobian(projector, none)
    assert image.shape == (0, 10, 13) and jacobian.shape == (0, 6, 10, 13)


def test_renders_are_counted(engine):
    projector = engine(noise_map(GRID))
    poses = looking(GRID).expand(3, 4, 4)
    render(projector, VIEW, poses)
    with_jacobian(projector, poses[:2])
    assert projector.renders == 5


def test_rays_that_miss_the_map_are_exactly_zero_and_so_are_their_derivatives(engine):
    projector, pose = engine(noise_map(GRID)), looking(GRID)
    pose[0, 0, 3] += 500
    image, jacobian = with_jacobian(projector, pose)
    assert not image.any() and not jacobian.any()
    pose[0, 0, 3] -= 475
    image, jacobian = with_jacobian(projector, pose)
    seen = image[0] > 0
    assert seen.any() and not seen.all()
    assert not jacobian[0][:, ~seen].any()


def test_attenuation_outside_the_map_is_zero_however_the_map_is_cropped(engine):
    tissue = noise_map(GRID).mu
    framed = torch.zeros(60, 55, 58)
    framed[13:46, 9:39, 20:51] = tissue
    matrix = GRID.volume_from_index.copy()
    matrix[:3, 3] -= matrix[:3, :3] @ (20.0, 9.0, 13.0)
    frame = VoxelGrid((58, 55, 60), matrix)
    assert frame.cropped((20, 9, 13), GRID.shape).same_as(GRID)
    for pose in (looking(GRID), along_index_axis(GRID, 2, -1), looking(GRID, distance_mm=5.0)):
        cropped = render(engine(Attenuation(tissue, GRID)), VIEW, pose)
        whole = render(engine(Attenuation(framed, frame)), VIEW, pose)
        # The reference places its four samples per voxel elsewhere on the ray, which noise shows.
        assert relative(whole, cropped) < (0.03 if engine is ENGINES["reference"] else 2e-6)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 30, 30), (30, 1, 30), (30, 30, 1), (2, 1, 25)])
def test_maps_of_one_voxel_thickness_hold_their_mass(engine, shape):
    # Across a thin layer a voxel's tent integrates to its spacing, whatever the engine.
    grid = VoxelGrid.from_spacing(shape, (1.5, 2.0, 2.5))
    axis = int(np.argmin(shape))
    projector, pose = engine(Attenuation(torch.ones(shape[::-1]), grid)), along_index_axis(grid, axis, tilt=0.0)
    pose[0, :2, 3] = 0
    straight = type(VIEW)(np.array([[1e5, 0, 0], [0, 1e5, 0], [0, 0, 1]]), 1, 1, np.eye(4))
    expected = shape[axis] * grid.spacing_mm[axis]
    # The reference's midpoint rule sees the kink of the tent a sample off at most.
    assert render(projector, straight, pose).item() == pytest.approx(expected, rel=5e-3)


def holed_map() -> Attenuation:
    """Tissue in the corners, on the faces between blocks and alone in the middle; everything else is empty."""
    mu = torch.zeros(70, 65, 81)
    generator = np.random.default_rng(3)
    for k, j, i in [(0, 0, 0), (69, 64, 80), (0, 64, 0), (15, 16, 14), (31, 32, 47), (40, 20, 60), (46, 47, 15)]:
        mu[k : k + 6, j : j + 6, i : i + 6] = torch.from_numpy(
            generator.random(mu[k : k + 6, j : j + 6, i : i + 6].shape)
        )
    return Attenuation(mu.float(), VoxelGrid.from_spacing((81, 65, 70), (1, 1, 1)))


def all_blocks(packed: NDArray, air: int, bits: int) -> NDArray:
    return np.ones([-(-size // 16) for size in packed.shape], dtype=bool)


@pytest.mark.parametrize("axis", [0, 1, 2, None])
def test_skipping_empty_blocks_changes_nothing(axis, monkeypatch):
    attenuation, view = holed_map(), camera(160, 150, 1.4)
    pose = looking(attenuation.grid) if axis is None else along_index_axis(attenuation.grid, axis, -1)
    tangents = twist_tangents(pose, torch.zeros(3, dtype=DOUBLE))
    skipping = render_with_jacobian(ENGINES["numba"](attenuation), view, pose, tangents)
    monkeypatch.setattr(numba_maps, "_occupied_blocks", all_blocks)
    reading_all = render_with_jacobian(ENGINES["numba"](attenuation), view, pose, tangents)
    assert (reading_all[0] > 0).sum() > 200
    # Starting elsewhere on the ray rounds places differently, by 1e-6 voxels, and may meet a kink of the derivative.
    assert relative(skipping[0], reading_all[0]) < 1e-5
    apart = (skipping[1] - reading_all[1]).abs() / reading_all[1].abs().amax((-2, -1), keepdim=True)
    assert (apart > 1e-4).double().mean() < 1e-4


@pytest.mark.parametrize("voxels", [1, 65 * 81 * 20])
def test_packing_a_map_slice_by_slice_gives_the_same_map(voxels, monkeypatch):
    mu = holed_map().mu - 0.2
    at_once = numba_maps.rimmed_map(mu)
    monkeypatch.setattr(slabs, "_VOXELS", voxels)
    for whole, made in zip(at_once.arguments, numba_maps.rimmed_map(mu).arguments, strict=True):
        np.testing.assert_array_equal(made, whole)


def test_an_empty_map_renders_to_nothing(engine):
    projector = engine(Attenuation(torch.zeros(9, 8, 7), oblique_grid((7, 8, 9))))
    image, jacobian = with_jacobian(projector, looking(oblique_grid((7, 8, 9))))
    assert not image.any() and not jacobian.any()


@pytest.mark.parametrize(("left", "top", "width", "height"), [(0, 3, 9, 1), (4, 0, 1, 7), (8, 6, 1, 1)])
def test_a_row_a_column_or_a_pixel_alone_is_that_part_of_the_image(engine, left, top, width, height):
    projector, pose, whole = engine(noise_map(GRID)), looking(GRID), camera(9, 7, 6.0)
    matrix = whole.matrix.copy()
    matrix[:2, 2] -= (left, top)
    part = type(whole)(matrix, width, height, np.eye(4))
    tangents = twist_tangents(pose, PIVOT)
    for found, expected in zip(
        render_with_jacobian(projector, part, pose, tangents),
        render_with_jacobian(projector, whole, pose, tangents),
        strict=True,
    ):
        cut = expected[..., top : top + height, left : left + width]
        assert cut.any() and found.shape == cut.shape
        # The same rays, their directions rounded otherwise in double precision; results may be float32.
        assert relative(found, cut) < 1e-5


def everything(projector: Projector, mu: torch.Tensor) -> list[torch.Tensor]:
    """Image, Jacobian and all gradients."""
    poses = torch.cat([looking(GRID), along_index_axis(GRID, 1)]).requires_grad_()
    image = render(projector, VIEW, poses)
    gradients = torch.autograd.grad(image.square().sum(), (poses, mu))
    return [image.detach(), *with_jacobian(projector, poses.detach()), *gradients]


def test_repeats_are_bitwise_equal(engine):
    mu = noise_map(GRID).mu.requires_grad_()
    projector = engine(Attenuation(mu, GRID))
    first = everything(projector, mu)
    for _ in range(3):
        assert all(torch.equal(a, b) for a, b in zip(first, everything(projector, mu), strict=True))


def test_compiled_results_do_not_depend_on_the_number_of_threads():
    numba = pytest.importorskip("numba")
    mu = noise_map(GRID).mu.requires_grad_()
    projector = ENGINES["numba"](Attenuation(mu, GRID))
    before = numba.get_num_threads()
    results = []
    try:
        for threads in range(1, numba.config.NUMBA_NUM_THREADS + 1):
            numba.set_num_threads(threads)
            results.append(everything(projector, mu))
    finally:
        numba.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_are_refused(engine, value):
    projector, pose = engine(noise_map(GRID)), looking(GRID)
    matrix = torch.as_tensor(VIEW.matrix).clone()
    matrix[0, 2] = value
    with pytest.raises(ValueError, match=r"camera_matrix.*found NaN or infinity"):
        render(projector, VIEW, pose, matrix)
    pose[0, 1, 3] = value
    with pytest.raises(ValueError, match=r"camera_from_volume.*found NaN or infinity"):
        render(projector, VIEW, pose)
    with pytest.raises(ValueError, match=r"camera_from_volume.*found NaN or infinity"):
        with_jacobian(projector, pose)


@pytest.mark.parametrize("distance_mm", [1e6, 1e9, 1e15, 1e25])
def test_a_source_absurdly_far_away_does_no_harm(engine, distance_mm):
    # An optimiser that runs away must meet numbers, not memory that belongs to somebody else.
    projector, pose = engine(noise_map(GRID)), looking(GRID, distance_mm=distance_mm)
    # As far as a camera's focal length goes, rays are spread over the grid as they are near it.
    focal_px = min(distance_mm, MOST_PX)
    parallel = type(VIEW)(np.array([[focal_px, 0, 6], [0, focal_px, 5], [0, 0, 1]]), 13, 10, np.eye(4))
    image = render(projector, parallel, pose)
    jacobian = render_with_jacobian(projector, parallel, pose, twist_tangents(pose, PIVOT))[1]
    assert torch.isfinite(image).all() and torch.isfinite(jacobian).all()
    # No ray passes through more than the box's diagonal of values below 1.
    assert image.min() >= 0 and image.max() < 80


def test_single_precision_poses_give_single_precision_gradients(engine):
    pose = looking(plain_grid()).float().requires_grad_()
    image = render(engine(noise_map(plain_grid())), VIEW, pose)
    (gradient,) = torch.autograd.grad(image.sum(), pose)
    assert gradient.dtype == torch.float32 and gradient.abs().max() > 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_the_torch_engine_gives_the_same_on_a_gpu():
    poses = torch.cat([looking(GRID), along_index_axis(GRID, 1)])
    here, there = (with_jacobian(ENGINES["torch"](noise_map(GRID), place), poses) for place in ("cpu", "cuda"))
    assert there[0].device.type == "cuda"
    # float32 sums in another order.
    assert relative(there[0].cpu(), here[0]) < 1e-5
    apart = (there[1].cpu() - here[1]).abs() / here[1].abs().amax((-2, -1), keepdim=True)
    assert (apart > 1e-4).double().mean() < 5e-3
