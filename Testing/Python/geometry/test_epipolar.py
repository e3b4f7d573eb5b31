"""Rays of one view seen in another, and where rays meet: against points carried along by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from xrayreg.checks import InputError
from xrayreg.geometry import Camera, epipolar_segment, triangulate, world_rays

# Pixels that are not square, skew, and a principal point off the middle: nothing may rest on their absence.
MATRIX = np.array([[900.0, 4.0, 170.0], [0.0, 850.0, 110.0], [0.0, 0.0, 1.0]])
WIDTH, HEIGHT = 300, 240
LOW, HIGH = np.array([-0.5, -0.5]), np.array([WIDTH, HEIGHT]) - 0.5
# Rounding of pixels near 1000, or millimetres, in double precision, a few times over.
EXACT = 1e-9


def looking(towards: np.ndarray, source: np.ndarray, roll: float = 0.0) -> Camera:
    """A camera at `source` (3,) whose central ray points to `towards` (3,), turned about it."""
    z = np.subtract(towards, source) / np.linalg.norm(np.subtract(towards, source))
    x = np.cross([0.1, 1.0, 0.2], z)
    x /= np.linalg.norm(x)
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_euler("z", roll, degrees=True).as_matrix() @ np.stack([x, np.cross(z, x), z])
    pose[:3, 3] = -pose[:3, :3] @ source
    return Camera(MATRIX, WIDTH, HEIGHT, pose)


def shown(view: Camera, points: np.ndarray) -> np.ndarray:
    """Pixels (..., 2) of points (..., 3) of the world."""
    return view.project(points @ view.camera_from_world[:3, :3].T + view.camera_from_world[:3, 3])


def pair(seed: int) -> tuple[Camera, np.ndarray, Camera]:
    """Two cameras anywhere about a patient, and a pixel of the first."""
    rng = np.random.default_rng(seed)
    first, second = (looking(*rng.normal(0, [[60.0], [500.0]], (2, 3)), rng.uniform(0, 360)) for _ in range(2))
    return first, rng.uniform(LOW, HIGH), second


def ray(view: Camera, pixel: np.ndarray, count: int = 20001) -> np.ndarray:
    """Points (N, 3) along the ray through a pixel, from just off the source to three kilometres."""
    source, (direction,) = world_rays(view, pixel[None])
    share = np.linspace(0, 1, count)[1:-1, None]
    return source + 300 * share / (1 - share) * direction


def test_rays_leave_the_source_through_their_pixels():
    view, _, _ = pair(0)
    at = np.random.default_rng(1).uniform(-50, 400, (9, 2))
    source, directions = world_rays(view, at)
    np.testing.assert_allclose(view.camera_from_world @ [*source, 1], [0, 0, 0, 1], atol=EXACT)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1, atol=1e-14)
    np.testing.assert_allclose(shown(view, source + 700 * directions), at, atol=EXACT)


def seen_of_ray(seed: int) -> np.ndarray:
    """Pixels (N, 2) in order at which the second view shows the ray of the first."""
    first, pixel, second = pair(seed)
    pixels = shown(second, ray(first, pixel))
    return pixels[((pixels >= LOW) & (pixels <= HIGH)).all(axis=1)]


SEEDS = range(80)
CROSSED = [seed for seed in SEEDS if len(seen_of_ray(seed)) > 1]


def test_the_random_pairs_hold_rays_that_are_seen_and_rays_that_are_not():
    assert 20 < len(CROSSED) < 60


@pytest.mark.parametrize("seed", CROSSED)
def test_the_segment_is_what_the_second_view_shows_of_the_ray(seed):
    segment, seen = epipolar_segment(*pair(seed)), seen_of_ray(seed)
    assert segment is not None
    along = np.diff(segment, axis=0)[0]
    length = np.linalg.norm(along)
    steps = (seen - segment[0]) @ along / length
    across = (seen - segment[0]) @ [-along[1], along[0]] / length
    np.testing.assert_allclose(across, 0, atol=1e-7)
    assert (np.diff(steps) > 0).all()
    assert steps[0] > -1e-7 and steps[-1] < length + 1e-7
    # It goes no further than the next sample would: the ends are where the ray leaves the image or ends itself.
    assert steps[0] < 3 * np.diff(steps[:3]).max() and length - steps[-1] < 3 * np.diff(steps[-3:]).max()


@pytest.mark.parametrize("seed", sorted(set(SEEDS) - set(CROSSED)))
def test_a_ray_that_is_not_seen_has_no_segment(seed):
    segment = epipolar_segment(*pair(seed))
    # A corner may be cut between two samples.
    assert segment is None or np.linalg.norm(np.diff(segment, axis=0)) < 0.5


@pytest.mark.parametrize("seed", CROSSED)
def test_the_segment_lies_in_the_image(seed):
    segment = epipolar_segment(*pair(seed))
    assert (segment >= LOW - EXACT).all() and (segment <= HIGH + EXACT).all()


def test_the_segment_begins_at_the_other_source_where_that_is_seen_and_ends_where_the_ray_vanishes():
    second = looking(np.zeros(3), np.array([0.0, -700.0, 0.0]))
    source = second.camera_from_world[:3, :3].T @ [-40.0, 20.0, 500.0] + [0.0, -700.0, 0.0]
    # Nearly along the second view's own rays, so that the ray vanishes inside the image.
    first = looking(source + second.camera_from_world[2, :3], source)
    pixel = np.array([200.0, 90.0])
    segment = epipolar_segment(first, pixel, second)
    _, (direction,) = world_rays(first, pixel[None])
    vanishing = MATRIX @ second.camera_from_world[:3, :3] @ direction
    np.testing.assert_allclose(segment, [shown(second, source), vanishing[:2] / vanishing[2]], atol=EXACT)


def test_what_runs_behind_the_second_view_is_not_shown():
    second = looking(np.zeros(3), np.array([0.0, -700.0, 0.0]))
    forwards = second.camera_from_world[2, :3]
    start = np.array([30.0, -700.0, 0.0]) - 100 * forwards
    first = looking(start - forwards, start)
    middle = MATRIX[:2, 2]
    # Backwards from behind: its backward extension alone would cross the image, as a mirrored ghost.
    assert epipolar_segment(first, middle, second) is None
    start = np.array([0.0, -700.0, 0.0]) + 300 * forwards + 10 * second.camera_from_world[0, :3]
    first = looking(start - forwards - 0.02 * second.camera_from_world[0, :3], start)
    # Towards the second view from its front: shown from the source on until it leaves the image sideways.
    segment = epipolar_segment(first, middle, second)
    np.testing.assert_allclose(segment[0], shown(second, start), atol=EXACT)
    assert segment[1, 0] == pytest.approx(WIDTH - 0.5) and (segment[1, 1] - segment[0, 1]) < 1


def test_cameras_with_one_source_have_no_epipolar_lines():
    view, pixel, _ = pair(3)
    turned = looking(np.array([0.0, 10.0, 20.0]), world_rays(view, pixel[None])[0])
    assert epipolar_segment(view, pixel, view) is None
    assert epipolar_segment(view, pixel, turned) is None


@pytest.mark.parametrize("beyond", [True, False], ids=["before the first view", "behind the first view"])
def test_the_ray_through_the_other_source_is_a_point_and_no_line(beyond):
    first = looking(np.zeros(3), np.array([0.0, -700.0, 0.0]))
    pixel = np.array([120.0, 70.0])
    source, (direction,) = world_rays(first, pixel[None])
    second = looking(np.zeros(3), source + (400 if beyond else -400) * direction)
    assert epipolar_segment(first, pixel, second) is None


@pytest.mark.parametrize("seed", CROSSED)
def test_points_of_the_segment_and_the_pixel_meet_again(seed):
    first, pixel, second = pair(seed)
    segment = epipolar_segment(first, pixel, second)
    point, gap = triangulate([first, second], [pixel, segment.mean(axis=0)])
    # Millimetres near 1000, amplified by rays that meet at small angles.
    np.testing.assert_allclose(shown(first, point), pixel, atol=1e-6)
    np.testing.assert_allclose(shown(second, point), segment.mean(axis=0), atol=1e-6)
    assert gap < 1e-6


@pytest.mark.parametrize("pixel", [[1.0, np.nan], [1.0], [[1.0, 2.0]]])
def test_what_is_no_pixel_is_refused(pixel):
    with pytest.raises(InputError, match="pixel: expected"):
        epipolar_segment(pair(0)[0], pixel, pair(0)[2])


def rig(count: int = 2) -> list[Camera]:
    """Views of the same patient from the front, the side, and above both."""
    sources = np.array([[0.0, -700.0, 0.0], [650.0, 30.0, 0.0], [400.0, -400.0, 500.0]])
    return [looking(np.zeros(3), source) for source in sources[:count]]


@pytest.mark.parametrize("count", [2, 3])
def test_clicks_on_one_point_meet_there(count):
    cameras, point = rig(count), np.array([20.0, -15.0, 30.0])
    found, gap = triangulate(cameras, [shown(camera, point) for camera in cameras])
    np.testing.assert_allclose(found, point, atol=EXACT)
    assert gap < EXACT


def test_the_gap_is_the_distance_of_two_rays_and_the_point_lies_midway():
    cameras, point = rig(), np.array([20.0, -15.0, 30.0])
    rays = [world_rays(camera, shown(camera, point)[None]) for camera in cameras]
    across = np.cross(rays[0][1][0], rays[1][1][0])
    across /= np.linalg.norm(across)
    # The second click belongs to a point 8 mm along the common perpendicular; its own ray passes there.
    source, _ = rays[1]
    lifted = Camera(MATRIX, WIDTH, HEIGHT, cameras[1].camera_from_world.copy())
    lifted.camera_from_world[:3, 3] -= lifted.camera_from_world[:3, :3] @ (8 * across)
    found, gap = triangulate([cameras[0], lifted], [shown(camera, point) for camera in cameras])
    np.testing.assert_allclose(world_rays(lifted, np.zeros((1, 2)))[0], source + 8 * across, atol=EXACT)
    assert gap == pytest.approx(8.0, abs=EXACT)
    np.testing.assert_allclose(found, point + 4 * across, atol=EXACT)


def test_three_rays_in_a_plane_that_do_not_meet_in_one_point_leave_a_gap():
    directions = [np.array([np.cos(angle), np.sin(angle), 0.0]) for angle in np.radians([90, 210, 330])]
    sides = [np.array([-d[1], d[0], 0.0]) for d in directions]
    cameras = [looking(5 * s + d, 5 * s - 700 * d) for d, s in zip(directions, sides, strict=True)]
    # The sides of a triangle whose inscribed circle has a radius of 5 mm: every two of them meet.
    found, gap = triangulate(cameras, np.tile(MATRIX[:2, 2], (3, 1)))
    np.testing.assert_allclose(found, 0, atol=EXACT)
    assert gap == pytest.approx(10.0, abs=EXACT)


def test_the_point_minimises_the_squared_distances_from_the_rays():
    cameras = rig(3)
    at = [
        shown(camera, np.zeros(3)) + offset for camera, offset in zip(cameras, [(0, 6), (4, -5), (-7, 2)], strict=True)
    ]
    rays = [world_rays(camera, pixel[None]) for camera, pixel in zip(cameras, at, strict=True)]

    def squares(point: np.ndarray) -> float:
        return sum(np.linalg.norm(np.cross(point - source, direction[0])) ** 2 for source, direction in rays)

    found, _ = triangulate(cameras, at)
    for nearby in found + 0.01 * np.vstack([np.eye(3), -np.eye(3)]):
        assert squares(nearby) > squares(found)


def test_parallel_rays_are_refused():
    first = looking(np.zeros(3), np.array([0.0, -700.0, 0.0]))
    second = looking(np.array([80.0, 0.0, 0.0]), np.array([80.0, -700.0, 0.0]))
    with pytest.raises(InputError, match="nearly parallel; mark the point in a view from another direction"):
        triangulate([first, second], [[100.0, 90.0], [100.0, 90.0]])
    opposite = looking(np.zeros(3), np.array([0.0, 700.0, 0.0]))
    with pytest.raises(InputError, match="nearly parallel"):
        triangulate([first, opposite], [MATRIX[:2, 2], MATRIX[:2, 2]])


def test_views_from_one_source_are_refused():
    view = rig()[0]
    with pytest.raises(InputError, match="found cameras with one source"):
        triangulate([view, view], [[20.0, 30.0], [200.0, 180.0]])


def test_rays_that_meet_behind_a_source_are_refused():
    first = looking(np.zeros(3), np.array([0.0, -700.0, 0.0]))
    second = looking(np.array([200.0, 0.0, 0.0]), np.array([80.0, -700.0, 0.0]))
    with pytest.raises(InputError, match=r"pixels: .*behind the source of view 1"):
        triangulate([first, second], [MATRIX[:2, 2], MATRIX[:2, 2]])


@pytest.mark.parametrize(
    ("count", "pixels", "words"),
    [
        (1, [[1.0, 2.0]], "views: expected at least 2, found 1"),
        (2, [[1.0, 2.0]], "pixels: expected 2 x 2 numbers, found 1 x 2"),
        (2, [[1.0, 2.0], [np.nan, 2.0]], "pixels: expected finite numbers"),
    ],
)
def test_clicks_that_are_missing_are_refused(count, pixels, words):
    with pytest.raises(InputError, match=words):
        triangulate(rig(count), pixels)
