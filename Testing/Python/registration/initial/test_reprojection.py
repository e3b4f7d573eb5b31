"""Every pose that explains the clicks is found, from wherever the C-arm stood: against optima found another way."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from landmark_scenes import ISOCENTRE, LandmarkScene, landmark_scene, moved, projected, turned_about_isocentre
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from xrayreg.geometry import Camera, retract
from xrayreg.registration.initial.clicks import Clicks, point_tangents
from xrayreg.registration.initial.reprojection import jacobian_from, polished, solutions

KINDS = [
    (1, False, 4),
    (1, False, 6),
    (1, False, 12),
    (1, True, 4),
    (1, True, 8),
    (2, False, 3),
    (2, True, 4),
    (3, True, 3),
]


def clicks_of(scene: LandmarkScene) -> Clicks:
    return Clicks.of(scene.cameras, scene.points, scene.pixels)


def twisted(pose: np.ndarray, twist: np.ndarray, pivot: np.ndarray) -> np.ndarray:
    return retract(*(torch.from_numpy(value) for value in (pose, twist, pivot))).numpy()


def least_squares_from_the_truth(scene: LandmarkScene) -> float:
    """The least sum of squared pixel distances near the truth: another parametrisation, and finite differences."""

    def errors(numbers: np.ndarray) -> np.ndarray:
        pose = np.eye(4)
        pose[:3, :3] = Rotation.from_quat(numbers[:4]).as_matrix()
        pose[:3, 3] = numbers[4:] - pose[:3, :3] @ scene.points.mean(axis=0)
        return (projected(scene.cameras, pose, scene.points) - scene.pixels).ravel()

    start = np.append(
        Rotation.from_matrix(scene.world_from_volume[:3, :3]).as_quat(),
        moved(scene.world_from_volume, scene.points).mean(axis=0),
    )
    return 2 * least_squares(errors, start, method="trf", x_scale="jac", xtol=1e-12, ftol=1e-12).cost


@pytest.mark.parametrize(("views", "flat", "count"), KINDS)
@pytest.mark.parametrize("seed", range(8))
def test_the_best_solution_is_at_least_as_good_as_the_optimum_next_to_the_truth(views, flat, count, seed):
    scene = landmark_scene(seed, count, views, flat)
    found = solutions(clicks_of(scene))
    # Six digits: both stop where a step no longer pays.
    assert found[0].squares <= least_squares_from_the_truth(scene) * (1 + 1e-6)
    assert [each.squares for each in found] == sorted(each.squares for each in found)


@pytest.mark.parametrize(("views", "flat", "count"), KINDS)
@pytest.mark.parametrize("seed", range(100, 105))
def test_exact_clicks_give_the_exact_pose(views, flat, count, seed):
    scene = landmark_scene(seed, count, views, flat, noise_px=0.0)
    found = solutions(clicks_of(scene))[0]
    assert scene.error_mm(found.world_from_volume).max() < 1e-4
    assert found.squares < 1e-10


@pytest.mark.parametrize("seed", range(4))
def test_eight_exact_clicks_agree_with_the_direct_linear_transform(seed):
    scene = landmark_scene(seed, 8, noise_px=0.0)
    homogeneous = np.column_stack([scene.points - scene.points.mean(axis=0), np.ones(8)])
    rays = np.column_stack([scene.pixels[0], np.ones(8)]) @ np.linalg.inv(scene.cameras[0].matrix).T
    rows = [np.kron(np.cross(np.eye(3), ray), point[None]) for ray, point in zip(rays, homogeneous, strict=True)]
    matrix = np.linalg.svd(np.vstack(rows))[2][-1].reshape(3, 4)
    matrix /= np.cbrt(np.linalg.det(matrix[:, :3]))
    found = solutions(clicks_of(scene))[0].world_from_volume
    np.testing.assert_allclose(found[:3, :3], matrix[:, :3], atol=1e-7)
    np.testing.assert_allclose(moved(found, scene.points.mean(axis=0)), matrix[:, 3], atol=1e-4)


@pytest.mark.parametrize("roll", [0.0, 130.0])
def test_landmarks_in_a_plane_seen_slantwise_have_two_solutions_and_both_are_found(roll):
    # Small and far away, so that perspective hardly tells the square from its reversal.
    square = 15.0 * np.array([[1, 1, 0], [1, -1, 0], [-1, -1, 0], [-1, 1, 0.0]])
    tilts = []
    for tilt in (40.0, -40.0):
        pose = np.eye(4)
        pose[:3, :3] = Rotation.from_euler("xyz", [tilt, 0, 0], degrees=True).as_matrix()
        pose[:3, :3] = Rotation.from_euler("z", roll, degrees=True).as_matrix() @ pose[:3, :3]
        pose[:3, 3] = ISOCENTRE
        tilts.append(pose)
    cameras = [turned_about_isocentre(np.eye(3))]
    found = solutions(Clicks.of(cameras, square, projected(cameras, tilts[0], square)))
    assert len(found) == 2
    for solution, expected in zip(found, tilts, strict=True):
        between = Rotation.from_matrix(solution.world_from_volume[:3, :3] @ expected[:3, :3].T)
        # The reversal is exact for parallel rays only.
        assert between.magnitude() < np.radians(2.0)
    assert found[0].squares < 1e-10 < found[1].squares


@pytest.mark.parametrize("seed", range(6))
def test_no_solution_puts_a_landmark_behind_the_source(seed):
    scene = landmark_scene(seed, 5, noise_px=30.0)
    for solution in solutions(clicks_of(scene)):
        assert (moved(solution.world_from_volume, scene.points)[:, 2] > 0).all()


def test_a_landmark_marked_in_one_of_two_views_counts_there():
    scene = landmark_scene(5, 6, views=2, noise_px=0.0)
    scene.pixels[0, :3] = np.nan
    scene.pixels[1, 3:] = np.nan
    clicks = clicks_of(scene)
    assert clicks.landmarks.tolist() == [3, 4, 5, 0, 1, 2]
    assert scene.error_mm(solutions(clicks)[0].world_from_volume).max() < 1e-4


def skewed(scene: LandmarkScene) -> LandmarkScene:
    """The same patient and views with a camera matrix that has nothing special."""
    matrix = np.array([[1900.0, 7.0, 310.0], [0.0, 2100.0, 400.0], [0.0, 0.0, 1.0]])
    cameras = [Camera(matrix, 700, 700, camera.camera_from_world) for camera in scene.cameras]
    return LandmarkScene(cameras, scene.points, scene.pixels, scene.world_from_volume)


@pytest.mark.parametrize("views", [1, 3])
@pytest.mark.parametrize("seed", range(3))
def test_derivatives_of_the_errors_are_their_differences(views, seed):
    scene = skewed(landmark_scene(seed, 5, views, noise_px=20.0))
    clicks, pose = clicks_of(scene), scene.world_from_volume
    step = 1e-4  # truncation of order step^2 times a curvature of 10 px, rounding 1e-13 / step
    numeric = [
        (clicks.errors(twisted(pose, d, clicks.pivot)) - clicks.errors(twisted(pose, -d, clicks.pivot))) / (2 * step)
        for d in step * np.eye(6)
    ]
    np.testing.assert_allclose(clicks.jacobian(pose), np.stack(numeric, axis=-1), rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_derivatives_by_a_twist_counted_from_afar_are_differences_too(seed):
    scene = skewed(landmark_scene(seed, 5, noise_px=0.0))
    clicks, pose = clicks_of(scene), scene.world_from_volume
    twist = np.array([0.8, -0.5, 1.1, 20.0, -10.0, 30.0])
    step = 1e-4  # as above
    numeric = [
        (clicks.errors(twisted(pose, twist + d, clicks.pivot)) - clicks.errors(twisted(pose, twist - d, clicks.pivot)))
        / (2 * step)
        for d in step * np.eye(6)
    ]
    np.testing.assert_allclose(jacobian_from(clicks, pose, twist), np.stack(numeric, axis=-1), rtol=1e-6, atol=1e-4)


def test_derivatives_of_moved_points_are_their_differences():
    scene = landmark_scene(1, 5)
    pose, pivot, step = scene.world_from_volume, scene.points[0], 1e-5
    numeric = [
        (moved(twisted(pose, d, pivot), scene.points) - moved(twisted(pose, -d, pivot), scene.points)) / (2 * step)
        for d in step * np.eye(6)
    ]
    np.testing.assert_allclose(point_tangents(pose, scene.points, pivot), np.stack(numeric, axis=-1), atol=1e-6)


def test_polishing_leads_to_a_place_where_the_errors_have_no_slope():
    scene = landmark_scene(2, 7, views=2)
    clicks = clicks_of(scene)
    start = twisted(scene.world_from_volume, np.array([0.3, -0.2, 0.25, 20.0, -30.0, 60.0]), clicks.pivot)
    solution = polished(clicks, start)
    errors, jacobian = clicks.errors(solution.world_from_volume), clicks.jacobian(solution.world_from_volume)
    assert solution.squares == pytest.approx((errors**2).sum())
    slope = np.einsum("mcp,mc->p", jacobian, errors) / np.sqrt((jacobian**2).sum(axis=(0, 1)))
    # Against errors of about a pixel.
    np.testing.assert_allclose(slope, 0, atol=1e-5)
