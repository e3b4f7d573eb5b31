"""Live pictures show the same as full ones, in tones that do not flicker, and nothing where there is nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import xrayreg
from xrayreg.checks import InputError
from xrayreg.geometry import Camera, VoxelGrid, camera_from_carm
from xrayreg.overlay import LIVE_PX, LiveDrr, prepare_anatomy, prepare_live, rendered
from xrayreg.scene import Volume
from xrayreg.scene.attenuation import MU_WATER

RADIUS = 40.0
CENTRE = np.array([6.0, -9.0, 14.0])
# Shadows of the ball lie within it.
CAMERA = Camera.from_sid(1000.0, 1.0, 320, 240)


def pose(primary: float = 0.0, secondary: float = 0.0, sod: float = 700.0) -> np.ndarray:
    return camera_from_carm(primary, secondary, sod, np.zeros(3))


@pytest.fixture(scope="module")
def volume() -> Volume:
    """A ball of bone (label 1) in a cube of water, of which a corner has label 2."""
    grid = VoxelGrid.from_spacing((100, 100, 50), (1.5, 1.5, 3.0))
    k, j, i = np.indices((50, 100, 100))
    points = np.stack([i, j, k], -1) @ grid.volume_from_index[:3, :3].T + grid.volume_from_index[:3, 3]
    distance = np.linalg.norm(points - CENTRE, axis=-1)
    values = np.clip(500 + 1000 * (RADIUS - distance), 0, 1000)
    values[np.abs(points).max(-1) > 70] = -1000
    labels = (distance < RADIUS).astype(np.uint8)
    labels[5:15, 10:20, 10:20] = 2
    return Volume(values.astype(np.int16), grid, labels)


@pytest.fixture(scope="module")
def live(volume) -> LiveDrr:
    return prepare_live(volume)


def test_a_live_picture_is_what_the_full_one_is_on_a_coarser_grid(volume, live):
    full = rendered(prepare_anatomy(volume).whole, CAMERA.fitted(4 * LIVE_PX), pose(25, -10))
    small = full.reshape(LIVE_PX * 3 // 4, 4, LIVE_PX, 4).mean((1, 3))
    image = live.image(CAMERA, pose(25, -10))
    assert image.dtype == np.float32 and image.shape == small.shape == (192, 256)
    # A ray through a pixel's middle and the mean over the pixel differ at the cube's edges alone.
    assert np.abs(image - small).mean() < 0.005 * small.max()


@pytest.mark.parametrize(("width", "height"), [(320, 240), (96, 96), (1536, 1000), (3, 2000), (256, 256)])
def test_the_longer_side_has_as_many_pixels_as_asked_for(live, width, height):
    camera = Camera.from_sid(1000.0, 300.0 / max(width, height), width, height)
    shape = live.image(camera, pose()).shape
    assert max(shape) == LIVE_PX and live.grey(camera, pose()).shape == live.edges(camera, pose()).shape == shape
    # The shorter side is whole pixels, and at least one.
    expected = np.array([height, width]) * LIVE_PX / max(width, height)
    assert np.abs(shape - expected).max() <= 0.5 or min(shape) == 1


def test_a_line_through_the_ball_meets_bone_and_water(live):
    # Straight down the central ray of a camera that looks at the ball's centre from 700 mm.
    through = camera_from_carm(0.0, 0.0, 700.0, CENTRE)
    seen_by = live.camera(CAMERA)
    column, row = np.rint(seen_by.matrix[:2, 2]).astype(int)
    expected = MU_WATER * (2 * RADIUS * 2.0 + (140 - 2 * RADIUS))
    # Voxels are 1.5 mm along this line, and blur both ends of the ball and of the cube.
    assert live.image(CAMERA, through)[row, column] == pytest.approx(expected, abs=MU_WATER * 3)


def test_edges_lie_on_the_ball(live):
    through = camera_from_carm(30.0, 15.0, 700.0, CENTRE)
    seen_by = live.camera(CAMERA)
    rows, columns = np.nonzero(live.edges(CAMERA, through) >= 128)
    # The cone that touches a ball whose centre lies on the axis.
    shadow = seen_by.focal_px * RADIUS / np.sqrt(700.0**2 - RADIUS**2)
    distance = np.hypot(columns - seen_by.matrix[0, 2], rows - seen_by.matrix[1, 2])
    # Voxels are 4 pixels along the patient here; the line itself is 1.5 wide.
    assert np.abs(distance - shadow).max() < 2.0
    assert abs(np.mean(distance) - shadow) < 0.5
    angle = np.degrees(np.arctan2(rows - seen_by.matrix[1, 2], columns - seen_by.matrix[0, 2]))
    assert len(np.unique(angle // 5)) == 72


def test_lines_are_those_of_the_drawn_edges(live):
    lines = live.lines(CAMERA, pose(10, 5))
    drawn = live.edges(CAMERA, pose(10, 5))
    columns, rows = np.rint(lines.points).astype(int).T
    inside = (columns >= 0) & (rows >= 0) & (columns < drawn.shape[1]) & (rows < drawn.shape[0])
    assert inside.sum() > 100 and (drawn[rows[inside], columns[inside]] > 0).all()


def test_pictures_made_together_are_those_made_one_by_one(live):
    grey, edges = live.grey_and_edges(CAMERA, pose(40, 20))
    # Rendered with a border here and without it there: rays differ by rounding.
    assert np.abs(grey.astype(int) - live.grey(CAMERA, pose(40, 20))).max() <= 1
    np.testing.assert_array_equal(edges, live.edges(CAMERA, pose(40, 20)))


def test_dense_is_bright_and_air_is_black(live):
    grey, image = live.grey(CAMERA, pose()), live.image(CAMERA, pose())
    assert grey.dtype == np.uint8
    assert (grey[image == 0] == 0).all() and (image == 0).any()
    in_bone, in_water = grey[image > 0.8 * image.max()], grey[(image > 0) & (image < 0.5 * image.max())]
    assert in_bone.min() > in_water.max() > 0
    # What is shown of a patient from the front or from the side uses the whole range.
    assert in_bone.mean() > 200 and grey.max() <= 255


def test_tones_stay_whatever_else_is_in_the_picture(live):
    square = Camera.from_sid(1000.0, 1.0, 256, 256)
    whole = live.grey(square, pose(5, 5))
    # A strip without the bone: it would be much brighter, were tones spread over what is seen.
    strip = live.grey(square.cropped(0, 0, 60, 256), pose(5, 5))
    assert 0 < int(strip.max()) < int(whole.max()) - 60
    # Rays differ by rounding.
    assert np.abs(whole[:, :60].astype(int) - strip).max() <= 1


def test_a_hand_s_small_movement_changes_no_tone_by_much(live):
    before = live.grey(CAMERA, pose()).astype(int)
    after = live.grey(CAMERA, pose(0.05)).astype(int)
    inside = live.image(CAMERA, pose()) > 0
    assert np.abs(after - before).max() > 0 and np.abs(after - before)[inside].mean() < 0.5


OUT_OF_VIEW = {
    "beside the beam": (700.0, 0.0, 0.0),
    "behind the source": (0.0, 0.0, -1400.0),
    "far behind the detector": (9e5, 0.0, 1e6),
}


@pytest.mark.parametrize("shift", OUT_OF_VIEW.values(), ids=OUT_OF_VIEW)
def test_out_of_view_there_is_an_empty_picture(live, shift):
    away = pose()
    away[:3, 3] += shift
    grey, edges = live.grey_and_edges(CAMERA, away)
    assert grey.shape == edges.shape == (192, 256)
    assert not grey.any() and not edges.any() and not live.image(CAMERA, away).any()


@pytest.mark.parametrize("depth", [-75.0, 0.0, 1.0, 20.0, 90.0])
def test_around_the_source_pictures_are_finite_and_of_their_size(live, depth):
    around = pose()
    around[2, 3] = depth
    grey, edges = live.grey_and_edges(CAMERA, around)
    assert grey.shape == edges.shape == (192, 256)
    assert np.isfinite(live.image(CAMERA, around)).all()


def test_a_pose_that_is_no_pose_is_refused(live):
    for show in (live.grey, live.edges, live.image):
        with pytest.raises(InputError, match="camera_from_volume: expected finite numbers"):
            show(CAMERA, np.full((4, 4), np.nan))


def test_of_structures_nothing_else_is_shown(volume):
    ball = prepare_live(volume, (1,))
    image = ball.image(CAMERA, pose())
    seen_by = ball.camera(CAMERA)
    middle = pose() @ [*CENTRE, 1]
    rows, columns = np.nonzero(image)
    distance = np.hypot(*(np.stack([columns, rows]) - seen_by.project(middle[:3])[:, None]))
    # The ball's shadow and half a voxel of 3 mm around it.
    assert distance.max() < seen_by.focal_px * (RADIUS + 3) / 655
    with pytest.raises(InputError, match="structures"):
        prepare_live(volume, (7,))


def test_cut_out_bone_has_edges_and_tones_too():
    grid = VoxelGrid.from_spacing((40, 40, 40), (1.0, 1.0, 1.0))
    values = np.zeros((40, 40, 40), dtype=np.uint16)
    values[10:30, 12:28, 14:26] = 1800
    cut_out = prepare_live(Volume(values, grid))
    assert cut_out.bone is cut_out.whole
    grey, edges = cut_out.grey_and_edges(CAMERA, pose())
    np.testing.assert_array_equal(grey, cut_out.grey(CAMERA, pose()))
    assert grey.max() > 200 and (edges > 128).sum() > 20


@pytest.mark.parametrize("spacing", [0.4, 1.0, 4.0])
def test_voxels_suit_the_picture(spacing):
    size = round(160 / spacing)
    grid = VoxelGrid.from_spacing((size, size, size), (spacing,) * 3)
    values = np.full((size, size, size), 40, dtype=np.int16)
    values[0, 0, 0] = -1000
    made = prepare_live(Volume(values, grid))
    coarse = made.whole.grid.spacing_mm
    # As coarse as 192 voxels along the side allow, and never finer than the CT.
    assert (coarse <= max(spacing, 160 / 192) + 1e-6).all() and (coarse >= spacing - 1e-6).all()
    assert (2 * coarse > min(max(spacing, 160 / 192), coarse.max())).all()


def test_torch_and_numba_show_the_same(volume, live):
    other = prepare_live(volume, engine="torch", device="cpu")
    difference = np.abs(live.image(CAMERA, pose(20, 30)) - other.image(CAMERA, pose(20, 30)))
    assert difference.max() < 1e-3
    assert isinstance(other.whole.mu, torch.Tensor)


WITHOUT_EXTRAS = """
import sys
class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("matplotlib", "PIL"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Nothing())
import numpy as np
from xrayreg.geometry import Camera, VoxelGrid, camera_from_carm
from xrayreg.overlay import draw_overlay, pose_edges, prepare_anatomy, prepare_live, stroke
from xrayreg.scene import Volume
values = np.full((20, 20, 20), -1000.0); values[5:15, 5:15, 5:15] = 900.0
volume = Volume(values, VoxelGrid.from_spacing((20, 20, 20), (2.0, 2.0, 2.0)))
camera, pose = Camera.from_sid(1000.0, 2.0, 64, 64), camera_from_carm(0.0, 0.0, 700.0, np.zeros(3))
grey, edges = prepare_live(volume, engine="torch").grey_and_edges(camera, pose)
lines = pose_edges(prepare_anatomy(volume, engine="torch"), camera, pose)
print(grey.any() and edges.any() and draw_overlay(np.zeros((64, 64)), lines).any())
"""


def test_edges_and_live_pictures_need_neither_matplotlib_nor_pillow():
    told = subprocess.check_output(
        [sys.executable, "-c", WITHOUT_EXTRAS], text=True, cwd=Path(xrayreg.__file__).parents[1]
    )
    assert told.strip() == "True"
