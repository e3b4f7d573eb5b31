"""The Ljubljana angiograms' HDF5, written as it is distributed, becomes scenes with every fiducial in its place."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from dataset_phantom import NAMES, phantom, require_landmarks_in_place, rigid, spots, through

from xrayreg.benchmark.datasets import open_dataset
from xrayreg.checks import InputError
from xrayreg.registration.initial import pose_from_landmarks

WIDTH, HEIGHT, PITCH = 190, 170, 1.4
SPACING, ORIGIN = np.array([4.0, 5.0, 6.0]), np.array([35.0, -80.0, 400.0])
BACKGROUND = 0.72


def points() -> np.ndarray:
    """The landmarks in the file's frame: the first index of the stored volume runs against x."""
    i, j, k = phantom().indices.T
    return ORIGIN + SPACING * np.stack([phantom().values.shape[0] - 1 - i, j, k], 1)


def intrinsic(column: float, row: float) -> np.ndarray:
    return np.array([[-1250 / PITCH, 0.0, column], [0.0, -1250 / PITCH, row], [0.0, 0.0, 1.0]])


def view(turn_deg: float) -> np.ndarray:
    """Camera from volume, the volume's middle 800 mm from the source at negative z."""
    about_centre = np.eye(4)
    about_centre[:3, 3] = -points().mean(0)
    frontal = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
    return (
        rigid((4.0, -3.0, 6.0), (6.0, -9.0, -800.0)) @ frontal @ rigid((0.0, 0.0, turn_deg), (0, 0, 0)) @ about_centre
    )


VIEWS = {"ap": (view(0.0), intrinsic(101.0, 80.0)), "lat": (view(85.0), intrinsic(92.0, 90.0))}


def subtraction(pixels: np.ndarray) -> np.ndarray:
    """Contrast agent, dark on an even background, and the brighter trace of something that moved."""
    image = BACKGROUND - 0.2 * spots(pixels, WIDTH, HEIGHT)
    image[5:12, 20:60] += 0.15
    return image + np.random.default_rng(2).normal(0, 0.0005, image.shape)


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("ljubljana") / "ljubljana.h5"
    with h5py.File(path, "w") as file:
        for subject in ("subject01", "subject02"):
            for name, (extrinsic, matrix) in VIEWS.items():
                in_camera = through(extrinsic, points())
                assert (in_camera[:, 2] < 0).all()
                homogeneous = in_camera @ matrix.T
                for suffix in ("", "-max"):
                    group = file.create_group(f"{subject}/proj-{name}{suffix}")
                    group["pixels"] = subtraction(homogeneous[:, :2] / homogeneous[:, 2:]).astype(np.float32)
                    group["intrinsic"], group["extrinsic"] = matrix, extrinsic
                    group["col-spacing"] = group["row-spacing"] = PITCH
            file[f"{subject}/volume/pixels"] = phantom().values
            file[f"{subject}/volume/spacing"], file[f"{subject}/volume/origin"] = SPACING, ORIGIN
            file[f"{subject}/points"] = points()
    return path


@pytest.mark.parametrize("name", VIEWS)
def test_every_fiducial_projects_to_its_own_spot(file, name):
    scene = open_dataset(file.parent).scene(f"subject02/{name}")
    require_landmarks_in_place(scene)
    assert scene.views[0].camera.sid_mm == pytest.approx(1250)
    assert scene.views[0].reflected


def test_both_views_share_a_world(file):
    scene = open_dataset(file).scene("subject01/ap+lat")
    for number in range(2):
        require_landmarks_in_place(scene, number)
    np.testing.assert_allclose(scene.views[0].camera.camera_from_world, np.eye(4), atol=1e-12)
    extras = open_dataset(file).extras("subject01/ap+lat")
    assert extras.pixels.shape == (2, len(NAMES), 2)
    found = pose_from_landmarks([view.camera for view in scene.views], extras.points, extras.pixels)
    np.testing.assert_allclose(found.world_from_volume, scene.reference, atol=1e-4)


def test_the_background_is_nothing_and_what_is_brighter_too(file):
    view = open_dataset(file).scene("subject01/ap").views[0]
    # The file's columns come mirrored.
    assert view.attenuation[7:10, -58:-22].max() == 0
    assert np.median(view.attenuation) < 0.001
    assert view.attenuation.max() == pytest.approx(0.17, rel=0.1)
    assert any("subtraction image" in note for note in view.notes)


def test_only_vessels_are_left_of_the_volume(file):
    values = open_dataset(file).scene("subject01/ap").volume.values
    assert set(np.unique(values)) == {0, *range(1500, 1500 + 100 * len(NAMES), 100)}


def test_each_image_counts_once(file):
    dataset = open_dataset(file)
    assert dataset.cases == ("subject01/ap", "subject01/lat", "subject02/ap", "subject02/lat")
    require_landmarks_in_place(dataset.scene("subject01/ap-max"))
    with pytest.raises(InputError, match="expected one of its 4 cases"):
        dataset.scene("subject01/ap+up")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("volume", 'subject01: expected the group "volume", found points, proj-ap'),
        ("points", 'subject01: expected the dataset "points" of any x 3 numbers'),
        ("proj-ap/extrinsic", 'proj-ap: expected the dataset "extrinsic" of 4 x 4 numbers'),
    ],
)
def test_what_is_missing_is_named(file, tmp_path, name, told):
    spoilt = tmp_path / "ljubljana.h5"
    spoilt.write_bytes(file.read_bytes())
    with h5py.File(spoilt, "r+") as opened:
        del opened[f"subject01/{name}"]
    with pytest.raises(InputError, match=r"ljubljana\.h5") as raised:
        open_dataset(spoilt).scene("subject01/ap")
    assert told in str(raised.value)


def test_a_volume_without_vessels_is_refused(file, tmp_path):
    spoilt = tmp_path / "ljubljana.h5"
    spoilt.write_bytes(file.read_bytes())
    with h5py.File(spoilt, "r+") as opened:
        opened["subject01/volume/pixels"][...] = 3
    with pytest.raises(InputError, match="values from 1000 on, found values up to 3"):
        open_dataset(spoilt).scene("subject01/ap")
