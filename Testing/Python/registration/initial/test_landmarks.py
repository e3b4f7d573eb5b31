"""The pose from landmarks, and whether its word on how far to trust it can be relied upon."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from landmark_scenes import LandmarkScene, landmark_scene, projected

from xrayreg.checks import InputError
from xrayreg.geometry import Placement, camera_from_placement
from xrayreg.registration.initial import LandmarkPose, pose_from_landmarks
from xrayreg.registration.initial.landmarks import MOST_EXPECTED_MM, MOST_RESIDUAL_MM

NAMES = ("ASIS left", "ASIS right", "pubis", "sacrum", "ischium left", "ischium right", "L5", "coccyx")


def solved(scene: LandmarkScene, **more: object) -> LandmarkPose:
    return pose_from_landmarks(scene.cameras, scene.points, scene.pixels, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("primary", [0.0, 180.0, 90.0, -35.0])
@pytest.mark.parametrize("secondary", [0.0, 25.0, -90.0])
@pytest.mark.parametrize("roll", [0.0, 140.0])
def test_landmarks_bring_a_c_arm_from_anywhere_home(primary, secondary, roll):
    scene = landmark_scene(int(primary + secondary + roll) % 360, 6)
    isocentre = scene.points.mean(axis=0)
    truth = camera_from_placement(Placement(primary, secondary, roll, 30.0, -20.0, 680.0), isocentre)
    noise = np.random.default_rng(0).normal(0, 1, (1, 6, 2))
    found = pose_from_landmarks(scene.cameras, scene.points, projected(scene.cameras, truth, scene.points) + noise)
    shown = LandmarkScene(scene.cameras, scene.points, scene.pixels, truth)
    # Clicks a pixel off are 0.35 mm off at the anatomy, and ten times that in depth.
    assert shown.error_mm(found.world_from_volume).max() < 6
    assert found.trusted, found.reason


def test_exact_clicks_are_met_exactly_and_the_sentence_says_so():
    scene = landmark_scene(1, 8, noise_px=0.0)
    found = solved(scene)
    assert scene.error_mm(found.world_from_volume).max() < 1e-4
    assert found.rms_px < 1e-5 and found.rms_mm < 1e-5
    assert found.trusted and found.outlier is None
    assert found.reason.startswith("8 landmarks agree to 0.0 px (0.0 mm); the expected error is ")


def test_residuals_are_told_by_view_and_landmark_in_pixels_and_at_the_landmarks_depth():
    scene = landmark_scene(2, 7, views=2)
    scene.pixels[1, 3] = np.nan
    found = solved(scene)
    off = projected(scene.cameras, found.world_from_volume, scene.points) - scene.pixels
    np.testing.assert_allclose(found.residuals_px, np.linalg.norm(off, axis=-1), atol=1e-9)
    assert np.isnan(found.residuals_px).sum() == 1 and np.isnan(found.residuals_mm[1, 3])
    depth = (scene.cameras[1].camera_from_world @ found.world_from_volume @ [*scene.points[5], 1.0])[2]
    # Half a millimetre per pixel on a detector 1000 mm away.
    assert found.residuals_mm[1, 5] == pytest.approx(found.residuals_px[1, 5] * 0.5 * depth / 1000)
    assert found.rms_px == pytest.approx(np.sqrt(np.nanmean(found.residuals_px**2)))
    assert found.rms_mm == pytest.approx(np.sqrt(np.nanmean(found.residuals_mm**2)))


@pytest.mark.parametrize(("views", "flat", "count"), [(1, False, 6), (1, False, 10), (1, True, 8), (2, False, 3)])
def test_the_expected_error_is_what_repeated_clicking_shows(views, flat, count):
    scene = landmark_scene(11, count, views, flat, noise_px=0.0)
    middle = scene.points.mean(axis=0)
    reach = np.linalg.norm(scene.points - middle, axis=1).max()
    anatomy = replace(scene, points=middle + reach * np.vstack([np.eye(3), -np.eye(3)]))
    rng, off, expected = np.random.default_rng(0), [], []
    for _ in range(40):
        # Three quarters of the milliradian that is assumed of clicks.
        clicked = scene.pixels + rng.normal(0, 1.5, scene.pixels.shape)
        found = pose_from_landmarks(scene.cameras, scene.points, clicked)
        off.append(anatomy.error_mm(found.world_from_volume) ** 2)
        expected.append(found.expected_error_mm)
    observed = np.sqrt(np.mean(off, axis=0).max())
    # Forty trials tell a deviation to a tenth or so, the assumption adds a third; a wrong factor of two would show.
    assert 0.6 < observed / np.sqrt(np.mean(np.square(expected))) < 1.3


def test_clicks_that_scatter_make_the_pose_less_certain():
    careful, careless = (solved(landmark_scene(8, 10, noise_px=noise)).expected_error_mm for noise in (1.0, 8.0))
    # 1 px is below the 2 px assumed, so the ratio of deviations is nearer four than eight.
    assert 2.5 < careless / careful < 8


def test_an_isocentre_far_from_the_landmarks_is_less_certain_than_they_are():
    scene = landmark_scene(4, 6)
    here, there = scene.points.mean(axis=0), scene.points.mean(axis=0) + [0, 0, 800.0]
    alone, near, far = (solved(scene, isocentre=place).expected_error_mm for place in (None, here, there))
    # In their middle the pose is surest, so that the anatomy around it decides.
    assert near == alone
    assert far > 1.5 * alone


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(("count", "flat"), [(4, True), (4, False), (6, True)])
def test_a_pose_is_trusted_only_when_it_is_right(seed, count, flat):
    # Small and slanting targets with careless clicks: the reversed pose often explains them as well.
    scene = landmark_scene(seed, count, flat=flat, noise_px=3.0, reach_mm=40.0)
    found = solved(scene)
    assert not found.trusted or scene.error_mm(found.world_from_volume).max() < 2 * MOST_EXPECTED_MM


def test_a_flat_target_that_may_be_reversed_is_told_with_the_way_out():
    scene = landmark_scene(1, 8, flat=True, noise_px=0.5, reach_mm=12.0)
    found = solved(scene)
    assert not found.trusted
    assert found.other_rms_px is not None and found.other_rms_px < found.rms_px + 1
    assert "Two poses explain the clicks about equally well" in found.reason
    assert found.reason.endswith("add a landmark well out of the plane of the others, or mark another view.")


def test_another_view_settles_which_of_two_poses_is_right():
    single, both = (landmark_scene(1, 8, views, flat=True, noise_px=0.5, reach_mm=30.0) for views in (1, 2))
    alone = pose_from_landmarks(both.cameras[:1], both.points, both.pixels[:1])
    together = solved(both)
    assert single.points.shape == both.points.shape
    assert together.trusted
    assert together.expected_error_mm < alone.expected_error_mm / 2


@pytest.mark.parametrize(("views", "count"), [(1, 4), (1, 5), (2, 3)])
def test_so_few_landmarks_that_a_wrong_click_would_not_show_are_not_trusted(views, count):
    found = solved(landmark_scene(3, count, views, noise_px=0.2))
    assert not found.trusted
    assert found.reason.endswith("a wrong click would hardly show: mark six in one view, or four in two.")
    assert solved(landmark_scene(3, 6 if views == 1 else 4, views, noise_px=0.2)).trusted


@pytest.mark.parametrize(("views", "count"), [(1, 6), (1, 8), (1, 12), (2, 4), (2, 6)])
@pytest.mark.parametrize("seed", range(4))
def test_the_one_landmark_that_does_not_fit_is_named_and_the_pose_does_without_it(views, count, seed):
    scene = landmark_scene(seed, count, views)
    wrong = seed % count
    scene.pixels[-1, wrong] += 70 * np.array([np.cos(seed), np.sin(seed)])
    found = solved(scene, names=[f"P{number}" for number in range(count)])
    assert found.outlier == wrong
    assert not found.trusted
    assert found.reason.startswith(f"Landmark P{wrong} does not fit the others and was left out: it is marked ")
    assert (" in view 2, and they agree" in found.reason) == (views == 2)
    assert found.reason.endswith("Mark it again or remove it.")
    assert scene.error_mm(found.world_from_volume).max() < 20
    # It is shown how far it is off, but the others' agreement is told without it.
    assert np.nanmax(found.residuals_px[:, wrong]) > 40 > 4 > found.rms_px


def test_landmarks_of_which_none_stands_out_all_count():
    found = [solved(landmark_scene(seed, 7, noise_px=2.0)) for seed in range(12)]
    assert [pose.outlier for pose in found] == [None] * 12


@pytest.mark.parametrize("seed", range(6))
def test_a_mirrored_image_is_never_trusted(seed):
    scene = landmark_scene(seed, 8)
    mirrored = scene.pixels * [-1, 1] + [scene.cameras[0].width - 1, 0]
    found = pose_from_landmarks(scene.cameras, scene.points, mirrored)
    assert not found.trusted
    assert found.rms_px > 4


def test_landmarks_whose_sides_were_exchanged_are_told_with_what_to_check():
    scene = landmark_scene(0, 8)
    found = pose_from_landmarks(scene.cameras, scene.points, scene.pixels[:, [1, 0, 3, 2, 5, 4, 6, 7]])
    assert found.rms_mm > MOST_RESIDUAL_MM
    assert not found.trusted
    assert "do not fit their clicks" in found.reason and "no image is mirrored" in found.reason


def test_clicks_that_no_pose_in_front_explains_are_refused_with_a_way_out():
    # A square of which corners next to each other are said to show far apart: every fit falls into the source.
    square = 100.0 * np.array([[1, 1, 0], [1, -1, 0], [-1, -1, 0], [-1, 1, 0.0]])
    camera = landmark_scene(0, 4).cameras[0]
    pixels = [[610.0, 240.0], [360.0, 640.0], [550.0, 200.0], [270.0, 540.0]]
    with pytest.raises(InputError, match="in front of the X-ray source, found none; check that every click"):
        pose_from_landmarks([camera], square, [pixels])


def test_clicks_that_are_all_wrong_are_not_blamed_on_one_landmark():
    scene = landmark_scene(0, 8)
    # Without one of them the others have a pose in front, but they are 190 px off.
    with pytest.raises(InputError, match="in front of the X-ray source, found none"):
        pose_from_landmarks(scene.cameras, scene.points, scene.pixels[:, [4, 0, 6, 2, 7, 1, 3, 5]])


def test_the_result_does_not_depend_on_the_order_of_views_and_landmarks():
    scene = landmark_scene(6, 6, views=2)
    order = np.array([3, 1, 5, 0, 4, 2])
    turned = pose_from_landmarks(scene.cameras[::-1], scene.points[order], scene.pixels[::-1, order])
    found = solved(scene)
    # Two ways of rounding to the same optimum.
    assert scene.error_mm(found.world_from_volume) == pytest.approx(scene.error_mm(turned.world_from_volume), abs=1e-4)
    np.testing.assert_allclose(turned.residuals_px[::-1], found.residuals_px[:, order], atol=1e-4)


LINE = np.array([[x, 2 * x, 5.0] for x in (-80.0, -20.0, 30.0, 60.0, 90.0, 120.0)])


def refused(points: object = None, pixels: object = None, seed: int = 0, count: int = 6, views: int = 1) -> str:
    """The words with which changed points or pixels of a scene are refused."""
    scene = landmark_scene(seed, count, views, noise_px=0.0)
    with pytest.raises(InputError) as caught:
        pose_from_landmarks(
            scene.cameras,
            scene.points if points is None else points,  # type: ignore[arg-type]
            scene.pixels if pixels is None else pixels,  # type: ignore[arg-type]
            names=NAMES[:count],
        )
    return str(caught.value)


@pytest.mark.parametrize(("count", "shown"), [(3, 3), (6, 3), (6, 0), (1, 1)])
def test_three_landmarks_in_one_view_are_refused_with_a_way_out(count, shown):
    pixels = landmark_scene(0, count).pixels
    pixels[:, shown:] = np.nan
    words = refused(pixels=pixels, count=count)
    assert f"expected at least 4 in one view, or 3 with at least 4 clicks in several, found {shown} with" in words
    assert words.endswith("mark more landmarks: fewer fit several poses")


def test_two_landmarks_in_two_views_leave_the_volume_free_to_turn_and_are_refused():
    assert "found 2 with 4 clicks in 2 views" in refused(count=2, views=2)


def test_three_landmarks_marked_once_in_either_view_are_refused():
    pixels = landmark_scene(0, 3, views=2).pixels
    pixels[0, 0] = pixels[1, 1:] = np.nan
    assert "found 3 with 3 clicks in 2 views" in refused(pixels=pixels, count=3, views=2)


def test_landmarks_at_one_place_are_refused_by_name():
    points = landmark_scene(0, 6).points
    points[4] = points[1] + 0.05
    words = refused(points)
    assert words.startswith("landmarks ASIS right and ischium left: expected two places in the volume")


def test_landmarks_on_a_line_are_refused_by_name():
    words = refused(LINE)
    assert words.startswith("landmarks ASIS left, ASIS right, pubis, sacrum, ischium left, ischium right: expected")
    assert words.endswith("add a landmark off that line")


def test_only_landmarks_that_are_marked_have_to_span_a_plane():
    scene = landmark_scene(0, 6, noise_px=0.0)
    scene.pixels[0, 5] = np.nan
    points = LINE.copy()
    points[5] += [0, 0, 90.0]
    assert "all lie on one line" in refused(points, scene.pixels)


def test_landmarks_that_lie_nearly_on_a_line_are_not_trusted():
    scene = landmark_scene(0, 6, noise_px=0.0)
    points = LINE + np.random.default_rng(0).normal(0, 1, LINE.shape)
    pose = camera_from_placement(Placement(20.0, 10.0, 0.0, 0.0, 0.0, 700.0), points.mean(axis=0))
    found = pose_from_landmarks(scene.cameras, points, projected(scene.cameras, pose, points))
    assert not found.trusted
    assert found.expected_error_mm > MOST_EXPECTED_MM


def test_clicks_all_at_one_pixel_are_refused():
    assert "found all at one pixel" in refused(pixels=np.full((1, 6, 2), 300.0))


def with_value(array: np.ndarray, index: tuple[int, ...], value: float) -> np.ndarray:
    changed = array.copy()
    changed[index] = value
    return changed


POINTS, PIXELS = landmark_scene(0, 6).points, landmark_scene(0, 6).pixels


@pytest.mark.parametrize(
    ("points", "pixels", "words"),
    [
        (with_value(POINTS, (2, 1), np.nan), None, "landmark pubis: expected finite numbers"),
        (None, with_value(PIXELS, (0, 3, 1), np.nan), "click on landmark sacrum in view 1: expected finite numbers"),
        (None, with_value(PIXELS, (0, 3, 1), np.inf), "click on landmark sacrum in view 1: expected finite numbers"),
        (POINTS[:5], None, "landmark names: expected 5, as many as landmarks, found 6"),
        (None, PIXELS[:, :5], "clicks in view 1: expected 6, as many as landmarks, found 5"),
        (None, np.concatenate([PIXELS, PIXELS]), "clicks: expected a list for each of 1 views, found 2"),
        (POINTS[:, :2], None, "landmarks: expected a table of 3 columns, found 6 x 2"),
        (None, [[1.0, 2.0]], "clicks in view 1: expected a table of 2 columns, found 2"),
        (None, [[[1.0, 2.0], [1.0]]], "clicks in view 1: expected a table of 2 columns, found none"),
        ([], None, "landmarks: expected a table of 3 columns, found none"),
        ("pubis", None, "landmarks: expected a table of 3 columns, found none"),
    ],
)
def test_what_are_no_landmarks_is_refused_by_name(points, pixels, words):
    assert refused(points, pixels).startswith(words)


def test_no_views_are_refused():
    with pytest.raises(InputError, match=r"marked landmarks: .* found 0 with 0 clicks in 0 views"):
        pose_from_landmarks([], POINTS, [])


def test_an_isocentre_that_is_none_is_refused():
    with pytest.raises(InputError, match="isocentre: expected finite numbers"):
        solved(landmark_scene(0, 6), isocentre=[0.0, np.nan, 0.0])
