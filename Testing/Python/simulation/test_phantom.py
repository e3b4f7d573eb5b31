"""The generated patient: its labels, its numbers, its sides."""

from __future__ import annotations

import numpy as np
import pelvis_scenes
import pytest
from scipy.ndimage import label

from xrayreg.checks import InputError
from xrayreg.geometry import Camera
from xrayreg.simulation import LABEL_NAMES, XraySettings, pelvis_phantom, simulate_xray

SPACING = 3.0


@pytest.fixture(scope="module")
def phantom():
    return pelvis_phantom(SPACING)


def centre_of(volume, name: str) -> np.ndarray:
    """Centroid (3,) of a labelled bone in RAS mm."""
    number = {text: key for key, text in LABEL_NAMES.items()}[name]
    index = np.argwhere(volume.labels == number)[:, ::-1].mean(axis=0)
    return volume.grid.volume_from_index[:3, :3] @ index + volume.grid.volume_from_index[:3, 3]


def bone_of(volume, name: str) -> np.ndarray:
    number = {text: key for key, text in LABEL_NAMES.items()}[name]
    return volume.labels == number


def frontal_bone(volume) -> np.ndarray:
    """Parallel projection of bone from front to back."""
    return np.where(volume.labels > 0, np.maximum(volume.values, 0), 0).sum(axis=1, dtype=float)


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def test_it_is_about_as_large_as_a_patients_trunk(phantom):
    extent = np.asarray(phantom.grid.shape) * phantom.grid.spacing_mm
    np.testing.assert_allclose(extent, (400, 280, 410), atol=2 * SPACING)


def test_every_named_bone_is_there_and_in_one_piece(phantom):
    assert set(np.unique(phantom.labels)) == {0, *LABEL_NAMES}
    for number, name in LABEL_NAMES.items():
        pieces, count = label(phantom.labels == number, structure=np.ones((3, 3, 3)))
        sizes = np.bincount(pieces.ravel())[1:]
        assert sizes.max() > 0.99 * sizes.sum(), f"{name} has {count} pieces of {sizes} voxels"


def test_x_grows_to_the_patients_right(phantom):
    for bone in ("hip", "femur"):
        assert centre_of(phantom, f"{bone}_left")[0] < -50
        assert centre_of(phantom, f"{bone}_right")[0] > 50


def test_y_grows_forwards_and_z_upwards(phantom):
    sacrum, hip = centre_of(phantom, "sacrum"), centre_of(phantom, "hip_right")
    assert sacrum[1] < hip[1] - 20
    heights = [centre_of(phantom, f"vertebrae_L{n}")[2] for n in (1, 2, 3, 4, 5)]
    assert (np.diff(heights) < -30).all()
    assert centre_of(phantom, "femur_right")[2] < hip[2] < heights[-1]


def test_bones_have_the_sizes_of_an_adult(phantom):
    voxel_ml = SPACING**3 / 1000
    volumes = {name: bone_of(phantom, name).sum() * voxel_ml for name in LABEL_NAMES.values()}
    # Wide bands around anatomical atlases' whole-bone volumes.
    assert 250 < volumes["hip_right"] < 550
    assert 130 < volumes["sacrum"] < 330
    assert all(45 < volumes[f"vertebrae_L{n}"] < 110 for n in (1, 2, 3, 4, 5))


def test_hounsfield_units_are_those_of_tissue(phantom):
    values = phantom.values
    assert values.dtype == np.int16 and values.min() == -1000 and 1200 < values.max() < 2000
    assert np.median(values[values > -900]) == pytest.approx(0, abs=80)
    for number, name in LABEL_NAMES.items():
        low, middle, high = np.percentile(values[phantom.labels == number], [5, 50, 99])
        assert -150 < low < middle < high, name
        assert 80 < middle < 900 and 400 < high < 1800, name
    # Bowel gas lies inside the body, fat between skin and muscle.
    body = values[:, 30:60, 50:80]
    assert (body < -800).any() and ((body > -130) & (body < -70)).mean() > 0.05


def test_a_femoral_shaft_is_a_tube_of_hard_bone_around_fatty_marrow(phantom):
    for name in ("femur_left", "femur_right"):
        section = bone_of(phantom, name)[5]
        values = np.where(section, phantom.values[5], -1000)
        rows, columns = np.argwhere(section).T
        middle = values[int(rows.mean().round()), int(columns.mean().round())]
        assert middle < 150 and np.quantile(values[section], 0.6) > 1000


def test_the_body_is_cut_at_the_top_and_below_and_stands_free_at_its_sides(phantom):
    air = phantom.values < -900
    assert air[:, :, [0, -1]].all() and air[:, [0, -1], :].all()
    assert (~air[[0, -1]]).any(axis=(1, 2)).all()


def test_the_two_sides_differ_in_bone(phantom):
    image = frontal_bone(phantom)
    band = image[image.shape[0] // 6 : 2 * image.shape[0] // 3]
    mirrored = band[:, ::-1]
    best = max(correlation(band, np.roll(mirrored, shift, axis=1)) for shift in range(-5, 6))
    # Even at its best shift the mirror image is plainly another one.
    assert best < 0.97


def test_the_two_sides_differ_in_soft_tissue(phantom):
    soft = np.where(phantom.labels > 0, 40, phantom.values).sum(axis=1, dtype=float)
    middle = soft[len(soft) // 2 :, 30:-30]
    assert correlation(middle, middle[:, ::-1]) < 0.9


def test_the_hip_joints_are_open_and_the_left_head_lies_in_its_socket(phantom):
    for side, name in ((-1, "left"), (1, "right")):
        femur, hip = bone_of(phantom, f"femur_{name}"), bone_of(phantom, f"hip_{name}")
        assert not (femur & hip).any()
        k, j, i = np.argwhere(femur).T
        points = np.stack([i, j, k], axis=1) * SPACING + phantom.grid.volume_from_index[:3, 3]
        inner = points[points[:, 0] * side < np.quantile(points[:, 0] * side, 0.05)]
        # The innermost part of the femur is its head, about 65 mm off the middle.
        assert abs(inner[:, 0].mean() * side - 70) < 8 and abs(inner[:, 2].mean()) < 12


def test_the_seed_changes_the_texture_but_not_the_bones(phantom):
    other = pelvis_phantom(6.0, seed=1)
    same, again = pelvis_scenes.phantom(6.0), pelvis_phantom(6.0)
    np.testing.assert_array_equal(same.values, again.values)
    np.testing.assert_array_equal(same.labels, other.labels)
    assert (same.values != other.values).mean() > 0.3


@pytest.mark.parametrize("spacing", [0.1, 50.0, float("nan")])
def test_a_spacing_out_of_range_is_refused(spacing):
    with pytest.raises(InputError, match="phantom spacing"):
        pelvis_phantom(spacing)


def test_a_radiograph_from_the_front_shows_the_patients_left_on_the_viewers_right(phantom):
    pose = np.eye(4)
    # Columns run to the patient's left, rows down, the beam from front to back.
    pose[:3, :3] = [[-1, 0, 0], [0, 0, -1], [0, -1, 0]]
    pose[:3, 3] = pose[:3, :3] @ (0, 0, -150) + (0, 0, 700)
    camera = Camera.from_sid(1000, 4.0, 100, 60)
    clear = XraySettings(photons=None, scatter_to_primary=0.0)
    image = simulate_xray(phantom, camera, pose, clear).transmission.astype(float)
    # The gas of the descending colon, on the left, lets more light through than the right flank.
    colon = camera.project(pose[:3, :3] @ (-110, 25, 185) + pose[:3, 3])
    column, row = np.rint(colon).astype(int)
    assert column > 60
    assert image[row, column] > 1.15 * image[row, 99 - column]
