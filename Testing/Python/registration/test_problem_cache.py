"""What a registration compares: crops, supports, mirrored images, and what is kept between problems."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pelvis_scenes
import pytest
import torch
from closed_forms import Blob, blob_image, blob_map
from torch import Tensor

from xrayreg.geometry import Camera, VoxelGrid, retract
from xrayreg.registration.problem_cache import SUPPORT_MARGIN_PX, ProblemCache, problem_cache_for
from xrayreg.registration.verdict import mirrored_pose
from xrayreg.scene import Radiograph, Scene, Volume, attenuation_of
from xrayreg.scene.attenuation import MU_WATER
from xrayreg.settings import LevelSettings, Term, patch_gradient, registration_settings

SETTINGS = registration_settings()
SIZE = pelvis_scenes.SIZE_PX
# One level at full resolution, so that crops are whole numbers of the X-ray's own pixels.
FULL = LevelSettings(SIZE, 1)
HIP, L4 = (1,), (9,)


def problems(
    structures: tuple[int, ...] = (), views: tuple[str, ...] = ("frontal",), engine: str = "auto"
) -> ProblemCache:
    given = pelvis_scenes.scene(views, structures=structures)
    return problem_cache_for(given, replace(SETTINGS, engine=engine))  # type: ignore[arg-type]


def posed(*twist: float) -> Tensor:
    """One pose (1, 4, 4): the truth turned [degrees] and shifted [mm]."""
    return torch.as_tensor(pelvis_scenes.moved(pelvis_scenes.truth(), twist[:3], twist[3:]))[None]


TRUE = (0.0,) * 6


def window(part: Camera, whole: Camera) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of a crop within the whole image [pixels]."""
    left, top = np.rint(whole.matrix[:2, 2] - part.matrix[:2, 2]).astype(int)
    return left, top, left + part.width, top + part.height


def test_the_whole_body_is_compared_on_the_whole_image():
    made = problems()
    assert not made.partial and not made.is_small(posed(*TRUE)[0])
    view = made.problem(FULL, posed(*TRUE), 20.0).views[0]
    assert (view.camera.width, view.camera.height) == (SIZE, SIZE)
    assert view.support is None


@pytest.mark.parametrize("structures", [HIP, L4], ids=["hip", "vertebra"])
@pytest.mark.parametrize("margin_mm", [0.0, 20.0])
@pytest.mark.parametrize("twist", [TRUE, (10, -20, 30, 25, -30, 60), (0, 0, 0, 70, 0, 0), (0, 0, 0, 0, 70, -100)])
def test_a_crop_holds_the_anatomy_and_its_margin_and_no_more_than_the_image(twist, margin_mm, structures):
    made, pose = problems(structures), posed(*twist)
    whole = pelvis_scenes.camera()
    view = made.problem(FULL, pose, margin_mm).views[0]
    left, top, right, bottom = window(view.camera, whole)
    assert 0 <= left < right <= SIZE and 0 <= top < bottom <= SIZE
    corners = made.attenuation.grid.corners() @ pose[0, :3, :3].numpy().T + pose[0, :3, 3].numpy()
    pixels = whole.project(corners)
    margin_px = margin_mm * whole.focal_px / corners[:, 2].mean()
    low, high = pixels.min(0) - margin_px, pixels.max(0) + margin_px
    assert left <= max(low[0], 0) and top <= max(low[1], 0)
    assert right >= min(high[0], SIZE) and bottom >= min(high[1], SIZE)
    # A crop exists only where it saves at least two fifths of the pixels.
    share = view.camera.width * view.camera.height / SIZE**2
    assert share == 1 or share <= 0.6
    assert view.target.image.shape == (view.camera.height, view.camera.width)


def test_a_vertebra_alone_is_small_and_its_crop_shows_the_same_pixels():
    made = problems(L4)
    assert made.is_small(posed(*TRUE)[0])
    view = made.problem(FULL, posed(*TRUE), 0.0).views[0]
    left, top, right, bottom = window(view.camera, pelvis_scenes.camera())
    assert (right - left) * (bottom - top) < 0.6 * SIZE**2
    cut = pelvis_scenes.radiograph().attenuation[top:bottom, left:right]
    np.testing.assert_array_equal(view.target.image.numpy(), cut)


@pytest.mark.parametrize("twist", [(0, 0, 0, 0, 0, -700), (0, 0, 0, 500, 0, 0), (0, 0, 0, 0, 0, -2000)])
def test_beside_around_or_behind_the_source_there_is_nothing_to_crop_to(twist):
    made = problems(L4)
    view = made.problem(FULL, posed(*twist), 20.0).views[0]
    assert (view.camera.width, view.camera.height) == (SIZE, SIZE)
    assert made.problem(FULL, posed(*twist), 20.0).scores(posed(*twist)).isfinite().all()


def test_only_the_surroundings_of_a_structure_are_compared():
    made = problems(L4)
    poses = torch.cat([posed(*TRUE), posed(0, 0, 0, 15, 0, 0)])
    given = made.problem(LevelSettings(SIZE // 2, 1), poses, 20.0)
    support, images = given.views[0].support, given.images(poses)[0]
    assert support is not None and support.shape == images.shape
    for n in range(2):
        shadow = images[n] > 0.02 * images[n].max()
        assert (support[n][shadow] == 1).all()
        rows, columns = (torch.nonzero(shadow.any(axis))[:, 0] for axis in (1, 0))
        far = torch.ones_like(shadow)
        far[
            max(0, int(rows[0]) - SUPPORT_MARGIN_PX) : int(rows[-1]) + SUPPORT_MARGIN_PX + 1,
            max(0, int(columns[0]) - SUPPORT_MARGIN_PX) : int(columns[-1]) + SUPPORT_MARGIN_PX + 1,
        ] = False
        assert (support[n][far] == 0).all()
    assert not torch.equal(support[0], support[1])


def test_a_cut_out_volume_is_a_part_of_what_the_xray_shows():
    whole = pelvis_scenes.scene()
    # As a bone cut out of its CT is stored: no negative values, air at 0.
    values = np.where(pelvis_scenes.pelvis().labels == L4[0], pelvis_scenes.pelvis().values + 1000, 0).clip(min=0)
    made = problem_cache_for(replace(whole, volume=Volume(values, whole.volume.grid)), SETTINGS)
    assert made.partial and made.is_small(posed(*TRUE)[0])
    assert made.for_search() is made


def test_bones_are_searched_for_with_the_whole_body():
    made = problems((1, 2, 3))
    searching = made.for_search()
    assert searching is made.for_search() and searching is not made
    assert not searching.partial and made.partial
    everything = attenuation_of(pelvis_scenes.pelvis())
    assert searching.attenuation.grid.shape == everything.grid.shape != made.attenuation.grid.shape
    # Poses are handed from the one to the other, so both turn about the same point.
    assert searching.pivot is made.pivot
    whole = problems()
    assert whole.for_search() is whole


def test_every_render_is_counted_wherever_it_was_made():
    made = problems((1, 2, 3))
    assert made.renders == 0
    level, poses = LevelSettings(48, 1), posed(*TRUE).expand(3, 4, 4)
    given = made.problem(level, poses, 20.0)
    focused = made.renders
    assert focused == 3
    given.scores(poses)
    assert made.renders == focused + 3
    made.for_search().problem(level, poses, 20.0).agreement(poses)
    assert made.renders == focused + 6
    mirrored = made.mirrored()
    mirrored.problem(level, mirrored_pose(poses[0], made.pivot)[None], 20.0)
    assert made.renders == mirrored.renders == focused + 7


def test_two_views_are_two_renders():
    made = problems(views=("frontal", "lateral"))
    made.problem(LevelSettings(48, 1), posed(*TRUE), 20.0).scores(posed(*TRUE))
    assert made.renders == 2


def test_what_is_dear_is_made_once():
    made = problems()
    first = made.problem(LevelSettings(24, 1), posed(*TRUE), 20.0)
    again = made.problem(LevelSettings(24, 7), posed(1, 0, 0, 2, 0, 0), 20.0)
    assert again.projector is first.projector and again.views[0].target is first.views[0].target
    finer = made.problem(LevelSettings(SIZE, 1), posed(*TRUE), 20.0)
    other = made.problem(LevelSettings(24, 1, (Term(),)), posed(*TRUE), 20.0)
    assert other.similarity.terms == (Term(),) and other.projector is first.projector
    mirrored = made.mirrored().problem(LevelSettings(24, 1), posed(*TRUE), 20.0)
    assert mirrored.projector is first.projector
    # Their X-rays differ, so the problems themselves must not be shared.
    assert not torch.equal(mirrored.views[0].target.image, first.views[0].target.image)
    assert finer.projector.grid.spacing_mm[0] < first.projector.grid.spacing_mm[0]


@pytest.mark.parametrize("image_px", [32, 64, SIZE])
def test_voxels_are_no_coarser_than_the_pixels_at_the_anatomy(image_px):
    made = problems()
    given = made.problem(LevelSettings(image_px, 1), posed(*TRUE), 20.0)
    footprint = 715 / given.views[0].camera.focal_px
    # Up to rounding of the distance, and never finer than the CT itself.
    assert given.projector.grid.spacing_mm.min() <= max(footprint * 1.01, 4.0)


# A body that is exactly its own mirror image in RAS x, and one that is not to throw the X-rays: the law below must hold
# whatever the X-ray shows.
GRID = VoxelGrid.from_spacing((41, 36, 45), (4.0, 4.0, 4.0))
MIDLINE = (Blob((0.0, 0.0, 0.0), 25.0, 0.008), Blob((0.0, 20.0, -30.0), 10.0, 0.02))
RIGHT = (Blob((35.0, -10.0, 20.0), 11.0, 0.02), Blob((20.0, 15.0, -15.0), 9.0, 0.03))
LEFT = tuple(Blob((-blob.centre[0], *blob.centre[1:]), blob.sigma_mm, blob.peak) for blob in RIGHT)


def symmetric_scene(cameras: tuple[Camera, ...], pose: Tensor) -> Scene:
    mu = blob_map(GRID, MIDLINE + RIGHT + LEFT, torch.float64).mu
    mu = (mu + mu.flip(-1)) / 2
    views = []
    for camera in cameras:
        image = blob_image(camera, (torch.as_tensor(camera.camera_from_world) @ pose)[None], MIDLINE + RIGHT)[0]
        views.append(Radiograph(image.float().numpy(), image.float().numpy(), np.ones(image.shape, bool), camera))
    return Scene(Volume((mu / MU_WATER * 1000 - 1000).numpy(), GRID), tuple(views))


def oblique_pair() -> tuple[Camera, Camera]:
    """Two cameras that look at one point from 70 degrees apart, neither with the principal point in the middle."""
    first = Camera.from_sid(1000.0, 4.0, 64, 64, np.eye(4))
    matrix = first.matrix + [[0, 0, 5.25], [0, 0, -3.5], [0, 0, 0]]
    world = np.eye(4)
    turn = retract(torch.eye(4).double(), torch.tensor([0.2, 1.2, -0.1, 0, 0, 0]).double(), torch.zeros(3).double())
    world[:3, :3] = turn[:3, :3].numpy()
    world[:3, 3] = [4.0, -6.0, 720.0] - world[:3, :3] @ (0.0, 0.0, 700.0)
    return replace(first, matrix=matrix), replace(first, camera_from_world=world)


@pytest.mark.parametrize("engine", ["torch", "numba"])
def test_a_symmetric_body_fits_the_mirrored_xrays_at_the_mirrored_pose_exactly_as_well(engine):
    upright = torch.as_tensor(pelvis_scenes.frontal()).clone()
    upright[:3, 3] = torch.tensor([0.0, 0.0, 700.0])
    pivot = torch.zeros(3, dtype=torch.float64)
    twists = torch.tensor([[0.1, -0.2, 0.15, 6, -9, 20], [0.3, 0.1, -0.1, -15, 3, -30], [0, 0.6, 0, 0, 0, 0]]).double()
    poses = retract(upright.expand(3, 4, 4), twists, pivot)
    made = problem_cache_for(
        symmetric_scene(oblique_pair(), poses[0]),
        replace(SETTINGS, engine=engine),  # type: ignore[arg-type]
    )
    assert abs(made.pivot[0]) < 1e-9
    # (64 - 13) is a multiple of the patches' stride, so patches of the mirrored image are mirrored patches.
    level = LevelSettings(64, 1, (Term(weight=0.5), patch_gradient(13, weight=0.5)))
    scores = made.problem(level, poses, 20.0).scores(poses)
    mirrored = torch.stack([mirrored_pose(pose, made.pivot) for pose in poses])
    reflected = made.mirrored().problem(level, mirrored, 20.0).scores(mirrored)
    # Rounding in float32; the poses themselves differ by tens of percent.
    torch.testing.assert_close(reflected, scores, atol=2e-5, rtol=0)
    assert scores[0] > scores[1] + 0.05
    # Without mirroring the pose along, the same X-rays fit otherwise.
    assert (made.mirrored().problem(level, poses, 20.0).scores(poses) - scores).abs().max() > 0.02


def test_mirroring_twice_gives_back_the_xrays_and_their_cameras():
    made = problems(views=("frontal", "lateral"))
    twice = made.mirrored().mirrored()
    for before, after in zip(made.scene.views, twice.scene.views, strict=True):
        np.testing.assert_array_equal(after.attenuation, before.attenuation)
        np.testing.assert_allclose(after.camera.matrix, before.camera.matrix, atol=1e-9)
        np.testing.assert_allclose(after.camera.camera_from_world, before.camera.camera_from_world, atol=1e-12)


def asked(made: ProblemCache, request: tuple[int, int, bool], structures: tuple[int, ...]) -> Tensor:
    """The similarity of one pose, at one of a few depths, on one of a few levels, of the X-ray or its mirror image."""
    depth, image_px, mirrored = request
    pose = posed(1, 2, -1, 4, 3, depth)
    where = made.for_search() if structures and image_px < 40 else made
    if mirrored:
        where, pose = where.mirrored(), mirrored_pose(pose[0], made.pivot)[None]
    return where.problem(LevelSettings(image_px, 1, (Term(),)), pose, 20.0).scores(pose)


@pytest.mark.parametrize("structures", [(), (1, 2, 3)], ids=["body", "bones"])
@pytest.mark.parametrize("views", [("frontal",), ("frontal", "lateral")], ids=["one view", "two views"])
def test_the_score_of_a_pose_does_not_depend_on_what_was_asked_before(views, structures):
    # From half to one and a half of the true distance: there the map that fits the pixels is of 4, 8 or 12 mm.
    requests = [(depth, px, flip) for depth in (-350, 0, 350) for px in (24, 48) for flip in (False, True)]
    alone = {request: asked(problems(structures, views), request, structures) for request in requests}
    for seed in range(3):
        made = problems(structures, views)
        for number in np.random.default_rng(seed).permutation(len(requests)):
            request = requests[number]
            assert torch.equal(asked(made, request, structures), alone[request])


def test_the_xrays_of_a_mirrored_cache_stay_mirrored_in_its_search():
    made = problems((1, 2, 3))
    plain, mirrored = made.for_search(), made.mirrored().for_search()
    first, other = (part.problem(LevelSettings(24, 1), posed(*TRUE), 20.0) for part in (plain, mirrored))
    assert torch.equal(other.views[0].target.image, first.views[0].target.image.flip(-1))
    assert other.projector is first.projector


# A scene takes nothing farther than ten metres from the source.
@pytest.mark.parametrize("depth_mm", [1e3, 9e3])
def test_however_far_away_a_pose_is_said_to_be_its_map_needs_little_memory(depth_mm):
    far = pelvis_scenes.moved(pelvis_scenes.truth(), (0, 0, 0), (0, 0, depth_mm))
    unknown = replace(pelvis_scenes.radiograph(), camera=replace(pelvis_scenes.camera(), pixel_mm=None))
    given = replace(pelvis_scenes.scene(), views=(unknown,), initial=far)
    made = problem_cache_for(given, SETTINGS)
    for level in SETTINGS.search.levels:
        shape = made.problem(level, torch.as_tensor(far)[None], 20.0).projector.grid.shape
        assert max(shape) >= 4 and min(shape) >= 1
        assert all(few <= many for few, many in zip(shape, made.attenuation.grid.shape, strict=True))


def test_an_impossible_initial_depth_does_not_decide_how_fine_the_map_is():
    usual = problems().problem(LevelSettings(48, 1), posed(*TRUE), 20.0).projector.grid
    behind_the_source = pelvis_scenes.moved(pelvis_scenes.truth(), (0, 0, 0), (0, 0, -1500))
    made = problem_cache_for(pelvis_scenes.scene(initial=behind_the_source), SETTINGS)
    assert made.problem(LevelSettings(48, 1), posed(*TRUE), 20.0).projector.grid.same_as(usual)
