"""The orthographic beam: the limit of a cone from far away, with the cone's scale at the depth that is asked for."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from closed_forms import along_index_axis, blob_map, blobs_around, camera, looking, oblique_grid, plain_grid
from render_checks import ENGINES, GEOMETRIES, noise_map, relative

from xrayreg.checks import InputError
from xrayreg.geometry import VoxelGrid
from xrayreg.render import cast_parallel_rays, render, render_parallel
from xrayreg.render.reference import ReferenceProjector
from xrayreg.scene import Attenuation

DEPTH_MM = 300.0


@pytest.mark.parametrize("pixel", ["trilinear", "siddon", "mip"])
@pytest.mark.parametrize("name", GEOMETRIES)
def test_it_is_what_a_cone_becomes_from_far_away(name, pixel):
    grid, pose = GEOMETRIES[name]()
    view, away = camera(9, 7, 5.0), 1e7
    projector = ReferenceProjector(blob_map(grid, blobs_around(grid, 13.0)), pixel=pixel)
    far_pose, matrix = pose.clone(), view.matrix.copy()
    far_pose[0, 2, 3] += away
    matrix[:2, :2] *= (DEPTH_MM + away) / DEPTH_MM
    distant = render(projector, dataclasses.replace(view, matrix=matrix), far_pose)
    # Rays 100 mm from the axis still lean by 1e-5; a voxel's step of value is reached or missed by 1e-3 mm.
    assert relative(render_parallel(projector, view, pose, DEPTH_MM), distant) < 1e-4


def test_things_keep_their_place_and_size_at_any_depth():
    grid = oblique_grid((30, 32, 34), (1.0, 1.0, 1.0))
    pose, view = looking(grid, distance_mm=DEPTH_MM), camera(150, 124, 0.4)
    pose_array = pose[0].numpy()
    for index in ((9, 22, 21), (22, 8, 9)):
        mu = torch.zeros(34, 32, 30)
        mu[index[2], index[1], index[0]] = 1
        marker = grid.volume_from_index[:3, :3] @ index + grid.volume_from_index[:3, 3]
        in_camera = pose_array[:3, :3] @ marker + pose_array[:3, 3]
        projector = ReferenceProjector(Attenuation(mu, grid), pixel="siddon")
        image = render_parallel(projector, view, pose, DEPTH_MM)[0].numpy()
        v, u = np.mgrid[: view.height, : view.width]
        found = np.array([(image * u).sum(), (image * v).sum()]) / image.sum()
        # As the cone beam sees what lies at the depth of its scale, wherever it really lies.
        expected = view.project(np.array([*in_camera[:2], DEPTH_MM]))
        assert abs(in_camera[2] - DEPTH_MM) > 3
        np.testing.assert_allclose(found, expected, atol=0.05)
        # Pixels of DEPTH / f: the shadow's integral over the plane is the voxel's mass.
        pixel_mm2 = DEPTH_MM**2 / (view.matrix[0, 0] * view.matrix[1, 1])
        assert image.sum() * pixel_mm2 == pytest.approx(1.0, rel=0.05)


def test_a_box_seen_head_on_shows_one_length_everywhere():
    grid = VoxelGrid.from_spacing((20, 24, 30), (1.5, 2.0, 1.0))
    pose, view = along_index_axis(grid, 2, 1, tilt=0.0), camera(21, 17, 4.0)
    projector = ReferenceProjector(Attenuation(torch.ones(30, 24, 20), grid), pixel="siddon")
    image = render_parallel(projector, view, pose, DEPTH_MM)
    inside = image > 0
    # tilt 0 leaves a turn of 0.2 rad about the beam, none across it.
    assert inside.sum() > 20 and (image[inside] - 30).abs().max() < 1e-9


def test_what_lies_behind_the_plane_of_the_source_is_not_seen():
    grid = VoxelGrid.from_spacing((9, 9, 9), (2.0, 2.0, 2.0))
    pose, view = along_index_axis(grid, 2, 1, tilt=0.0), camera(3, 3, 1.0)
    pose[0, 2, 3] = 3.0
    projector = ReferenceProjector(Attenuation(torch.ones(9, 9, 9), grid), pixel="siddon")
    assert (render_parallel(projector, view, pose, 10.0) - 12.0).abs().max() < 1e-9


@pytest.mark.parametrize("name", ["torch", "numba"])
def test_engines_without_such_a_beam_refuse(name):
    grid = plain_grid()
    with pytest.raises(InputError, match="reference engine"):
        render_parallel(ENGINES[name](noise_map(grid)), camera(3, 2, 5.0), looking(grid), DEPTH_MM)


@pytest.mark.parametrize("depth_mm", [0.0, -5.0, math.nan, math.inf])
def test_depths_that_give_no_scale_are_refused(depth_mm):
    with pytest.raises(ValueError, match="depth_mm"):
        cast_parallel_rays(plain_grid(), camera(), looking(plain_grid()), depth_mm)


def test_poses_that_are_no_numbers_are_refused():
    pose = looking(plain_grid())
    pose[0, 0, 0] = math.nan
    with pytest.raises(ValueError, match="camera_from_volume"):
        cast_parallel_rays(plain_grid(), camera(), pose, DEPTH_MM)


def test_batches_are_poses_one_by_one():
    grid = plain_grid((21, 20, 19), (3.0, 3.0, 3.0))
    poses = torch.cat([looking(grid), along_index_axis(grid, 0)])
    projector, view = ReferenceProjector(noise_map(grid)), camera(5, 4, 5.0)
    together = render_parallel(projector, view, poses, DEPTH_MM)
    assert together.shape == (2, 4, 5) and projector.renders == 2
    for n in range(2):
        assert torch.equal(together[n : n + 1], render_parallel(projector, view, poses[n : n + 1], DEPTH_MM))
