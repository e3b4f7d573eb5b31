"""DeepFluoro's HDF5, written as its documentation has it, becomes scenes in which every landmark is in its place."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from dataset_phantom import DARKNESS, NAMES, intensities, phantom, require_landmarks_in_place, rigid, through

from xrayreg.benchmark.datasets import open_dataset
from xrayreg.checks import InputError
from xrayreg.registration.initial import pose_from_landmarks

SIDE, PITCH = 276, 1.1
# z points towards the source: negative focal lengths, and a central ray off the middle in both directions.
INTRINSIC = np.array([[-1020 / PITCH, 0.0, 143.0], [0.0, -1020 / PITCH, 131.0], [0.0, 0.0, 1.0]])
EXTRINSIC = rigid((20.0, -35.0, 60.0), (30.0, -40.0, 25.0))
LPS_CAMERA = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
LABELS = {1: "left-hemipelvis", 2: "right-hemipelvis", 5: "left-femur"}
UPRIGHT, TURNED = "000", "001"


def projected(camera_from_volume: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The dataset's projection: pixels (column, row) of points in its camera frame, which are seen at negative z."""
    in_camera = through(camera_from_volume, points)
    assert (in_camera[:, 2] < 0).all()
    homogeneous = in_camera @ INTRINSIC.T
    return homogeneous[:, :2] / homogeneous[:, 2:]


def camera_from_volume(tilt: tuple[float, float, float], upside_down: bool) -> np.ndarray:
    """A view whose centre of the volume lies 650 mm in front of the source, at negative z."""
    given = phantom()
    about_centre = np.eye(4)
    about_centre[:3, 3] = -given.middle
    turned = rigid((0.0, 0.0, 180.0 if upside_down else 0.0), (5.0, -8.0, -650.0))
    return turned @ rigid(tilt, (0.0, 0.0, 0.0)) @ LPS_CAMERA @ about_centre


VIEWS = {
    UPRIGHT: camera_from_volume((8.0, -12.0, 5.0), False),
    TURNED: camera_from_volume((-6.0, 9.0, -4.0), True),
    "003": camera_from_volume((3.0, 2.0, 1.0), False),
}
FEMUR = rigid((3.0, 0.0, -2.0), (4.0, 1.0, 0.0))


def write_image(group: h5py.Group, values: np.ndarray) -> None:
    given = phantom()
    spacing = np.linalg.norm(given.frame_from_index[:3, :3], axis=0)
    # Buffers are stored row by row: the last index runs along x.
    group["pixels"] = values.T
    group["spacing"] = spacing[:, None]
    group["origin"] = given.frame_from_index[:3, 3:]
    group["dir-mat"] = given.frame_from_index[:3, :3] / spacing


def write_full(path: Path) -> Path:
    given = phantom()
    with h5py.File(path, "w") as file:
        params = file.create_group("proj-params")
        params["intrinsic"], params["extrinsic"] = INTRINSIC, EXTRINSIC
        params["num-cols"] = params["num-rows"] = SIDE
        params["pixel-col-spacing"] = params["pixel-row-spacing"] = PITCH
        for specimen in ("17-1882", "18-1109"):
            group = file.create_group(specimen)
            write_image(group.create_group("vol"), given.values)
            write_image(group.create_group("vol-seg/image"), given.labels)
            for label, name in LABELS.items():
                group[f"vol-seg/labels-def/{label}"] = name
            for name, point in zip(NAMES, given.points, strict=True):
                group[f"vol-landmarks/{name}"] = point[:, None]
            for number, view in VIEWS.items():
                pixels = projected(view, given.points)
                frame = group.create_group(f"projections/{number}")
                frame["image/pixels"] = intensities(pixels, SIDE, SIDE).astype(np.float32)
                # The file holds volume from camera world, and extrinsic is the camera's own frame from that world.
                volume_from_world = np.linalg.inv(view) @ EXTRINSIC
                frame["gt-poses/cam-to-pelvis-vol"] = volume_from_world
                frame["gt-poses/cam-to-left-femur-vol"] = FEMUR @ volume_from_world
                frame["gt-poses/cam-to-right-femur-vol"] = volume_from_world
                frame["gt-poses/left-femur-good-fov"], frame["gt-poses/right-femur-good-fov"] = 1, 0
                for name, pixel in zip(NAMES, pixels, strict=True):
                    frame[f"gt-landmarks/{name}"] = pixel[:, None]
                frame["rot-180-for-up"] = int(number == TURNED)
    return path


@pytest.fixture(scope="module")
def full(tmp_path_factory) -> Path:
    return write_full(tmp_path_factory.mktemp("deepfluoro") / "ipcai_2020_full_res_data.h5")


@pytest.fixture
def spoilt(full, tmp_path):
    """A copy of the file, to be spoilt by a function that is given it open."""

    def spoil(change) -> Path:
        path = tmp_path / "spoilt.h5"
        path.write_bytes(full.read_bytes())
        with h5py.File(path, "r+") as file:
            change(file)
        return path

    return spoil


@pytest.mark.parametrize("number", VIEWS)
def test_every_landmark_projects_to_its_own_spot(full, number):
    scene = open_dataset(full).scene(f"18-1109/{number}")
    require_landmarks_in_place(scene)
    view = scene.views[0]
    assert (view.camera.width, view.camera.height) == (SIDE - 100, SIDE - 100)
    assert view.camera.sid_mm == pytest.approx(1020)
    assert view.reflected
    assert scene.structures == (1, 2)
    assert scene.volume.label_names[5] == "left-femur"


def test_a_frame_stored_upside_down_is_turned_together_with_its_central_ray(full):
    dataset = open_dataset(full)
    upright, turned = (dataset.scene(f"18-1109/{number}").views[0].camera for number in (UPRIGHT, TURNED))
    # The centre (143, 131) lies at (132, 131) of the mirrored image, at (143, 144) of the turned and mirrored one.
    np.testing.assert_allclose(upright.matrix[:2, 2], [SIDE - 1 - 143 - 50, 131 - 50])
    np.testing.assert_allclose(turned.matrix[:2, 2], [143 - 50, SIDE - 1 - 131 - 50])


@pytest.mark.parametrize("number", VIEWS)
def test_the_image_is_the_patient_seen_the_right_way_round(full, number):
    """Up in the image is towards the head, and a view from the front has the patient's right on its left."""
    scene = open_dataset(full).scene(f"18-1109/{number}")
    centre = scene.volume.grid.centre
    pixels = scene.views[0].camera.project(through(scene.reference, centre + 30 * np.eye(3)))
    middle = scene.views[0].camera.project(through(scene.reference, centre))
    right, anterior, superior = pixels - middle
    assert superior[1] < -20 and abs(superior[0]) < 12
    seen_from_front = scene.reference[2, 1] < 0
    assert (right[0] < 0) == seen_from_front
    assert np.linalg.norm(anterior) < 15


def test_the_landmarks_in_the_image_give_the_reference_pose(full):
    dataset = open_dataset(full)
    for number in (UPRIGHT, TURNED):
        scene, extras = dataset.scene(f"18-1109/{number}"), dataset.extras(f"18-1109/{number}")
        assert extras.landmarks == tuple(sorted(NAMES))
        np.testing.assert_allclose(extras.points, scene.targets, atol=1e-9)
        found = pose_from_landmarks([view.camera for view in scene.views], extras.points, extras.pixels)
        np.testing.assert_allclose(found.world_from_volume, scene.reference, atol=1e-3)
        assert set(extras.others) == {"left_femur"}
        flip = np.diag([-1.0, -1.0, 1.0, 1.0])
        expected = scene.reference @ flip @ np.linalg.inv(FEMUR) @ flip
        np.testing.assert_allclose(extras.others["left_femur"], expected, atol=1e-6)


def test_landmarks_outside_the_image_are_not_marked(spoilt):
    def push_out(file):
        for number in VIEWS:
            file[f"18-1109/projections/{number}/gt-landmarks/FH-l"][...] = [[20.0], [30.0]]

    extras = open_dataset(spoilt(push_out)).extras(f"18-1109/{UPRIGHT}")
    assert np.isnan(extras.pixels[0, extras.landmarks.index("FH-l")]).all()
    assert np.isfinite(extras.pixels[0, extras.landmarks.index("FH-r")]).all()


def test_doubtful_frames_are_left_out_unless_asked_for(full):
    dataset = open_dataset(full)
    assert dataset.left_out == ("17-1882/003",)
    assert dataset.cases == ("17-1882/000", "17-1882/001", "18-1109/000", "18-1109/001", "18-1109/003")
    assert "17-1882/003" in open_dataset(full, questionable=True).cases


def test_nothing_is_read_before_it_is_asked_for_and_a_ct_once(full, monkeypatch):
    from xrayreg.benchmark.datasets import hdf5

    read: list[str] = []
    real = hdf5.Group.array

    def noted(group, name, shape):
        if name == "pixels":
            read.append(group.node.name)
        return real(group, name, shape)

    monkeypatch.setattr(hdf5.Group, "array", noted)
    dataset = open_dataset(full)
    assert read == []
    first, second = dataset.scene("18-1109/000"), dataset.scene("18-1109/001")
    assert second.volume is first.volume
    dataset.scene("17-1882/000")
    assert read.count("/18-1109/vol") == 1
    # One CT at a time stays in memory.
    assert dataset.scene("18-1109/000").volume is not first.volume


MISSING = {
    "the projection parameters": ("proj-params/intrinsic", 'proj-params: expected the dataset "intrinsic"'),
    "the images": ("18-1109/projections/000/image", '/projections/000: expected the group "image"'),
    "the pose": ("18-1109/projections/000/gt-poses/cam-to-pelvis-vol", 'expected the dataset "cam-to-pelvis-vol"'),
    "the turn": ("18-1109/projections/000/rot-180-for-up", 'expected the dataset "rot-180-for-up"'),
    "the CT": ("18-1109/vol", '/18-1109: expected the group "vol", found projections'),
    "the labels": ("18-1109/vol-seg/image", '/vol-seg: expected the group "image", found labels-def'),
    "the landmarks": ("18-1109/vol-landmarks", 'expected the group "vol-landmarks"'),
}


@pytest.mark.parametrize(("name", "told"), MISSING.values(), ids=MISSING)
def test_what_is_missing_is_named_with_its_group_and_what_is_there(spoilt, name, told):
    path = spoilt(lambda file: file.__delitem__(name))
    with pytest.raises(InputError, match=r"spoilt\.h5.*download the dataset again") as raised:
        open_dataset(path).scene("18-1109/000")
    assert told in str(raised.value)


WRONG = {
    "a focal length of the other sign": ("proj-params/intrinsic", INTRINSIC * [[-1, 1, 1]] * 1.0, "one sign"),
    "a pose that mirrors": (
        "18-1109/projections/000/gt-poses/cam-to-pelvis-vol",
        np.diag([-1.0, 1, 1, 1]),
        "reflection",
    ),
    "an image of another size": ("18-1109/projections/000/image/pixels", np.ones((200, 300)), "276 x 276 pixels"),
    "a pose that is the other way round": (
        "18-1109/projections/000/gt-poses/cam-to-pelvis-vol",
        np.linalg.inv(EXTRINSIC) @ VIEWS[UPRIGHT],
        "frames are not those of its documentation",
    ),
    "text for numbers": ("18-1109/vol/spacing", "one", 'dataset "spacing" of 3 numbers'),
    "another shape": ("18-1109/vol/spacing", np.ones(2), "2 of them"),
    "NaN": ("18-1109/vol/origin", np.full(3, np.nan), "NaN or infinity"),
}


@pytest.mark.parametrize(("name", "value", "told"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_refused_in_a_sentence(spoilt, name, value, told):
    def change(file):
        del file[name]
        file[name] = value

    with pytest.raises(InputError, match=told):
        open_dataset(spoilt(change)).scene("18-1109/000")


def test_a_file_that_was_cut_off_is_refused(full, tmp_path):
    path = tmp_path / "cut.h5"
    path.write_bytes(full.read_bytes()[: full.stat().st_size // 2])
    with pytest.raises(InputError, match=r"cut\.h5: expected a whole HDF5 file"):
        open_dataset(path)


def test_an_unknown_case_is_refused_with_the_names_there_are(full):
    with pytest.raises(InputError, match="expected one of its 5 cases, found '18-1109/999'; name one of 17-1882/000"):
        open_dataset(full).scene("18-1109/999")


def write_small(path: Path, factor: int = 2, order: tuple[str, ...] = (UPRIGHT, TURNED)) -> Path:
    """A preprocessed file: cropped by 50 pixels, turned upright, logarithmic, means over blocks."""
    given = phantom()
    images, lands = [], []
    for number in order:
        pixels = projected(VIEWS[number], given.points)
        image = -np.log(intensities(pixels, SIDE, SIDE) / 40000)[50:-50, 50:-50]
        place = pixels - 50
        if number == TURNED:
            image, place = image[::-1, ::-1], SIDE - 101 - place
        side = (SIDE - 100) // factor
        images.append(image.reshape(side, factor, side, factor).mean(axis=(1, 3)))
        lands.append(((place + 0.5) / factor - 0.5).T)
    with h5py.File(path, "w") as file:
        file["land-names/num-lands"] = len(NAMES)
        for number, name in enumerate(NAMES):
            file[f"land-names/land-{number:02d}"] = name
        file["02/projs"], file["02/lands"] = np.array(images, np.float32), np.array(lands)
        file["02/segs"] = np.zeros_like(images, np.uint8)
    return path


def test_a_preprocessed_file_takes_ct_and_poses_from_the_full_one_beside_it(full, tmp_path):
    beside = tmp_path / full.name
    beside.write_bytes(full.read_bytes())
    dataset = open_dataset(write_small(tmp_path / "ds_2x.h5"))
    assert dataset.cases == ("02/000", "02/001")
    for case, number in zip(dataset.cases, (UPRIGHT, TURNED), strict=True):
        scene, extras = dataset.scene(case), dataset.extras(case)
        same = open_dataset(beside).scene(f"18-1109/{number}")
        np.testing.assert_allclose(scene.reference, same.reference)
        # Averaged over blocks of two, the full image is the small one.
        expected = same.views[0].camera.resized(2)
        np.testing.assert_allclose(scene.views[0].camera.matrix, expected.matrix, atol=1e-6)
        found = pose_from_landmarks([scene.views[0].camera], extras.points, extras.pixels)
        np.testing.assert_allclose(found.world_from_volume, scene.reference, atol=1e-3)
        for (column, row), darkness in zip(extras.pixels[0], DARKNESS, strict=True):
            if np.isfinite(column) and 2 < column < 85 and 2 < row < 85:
                near = scene.views[0].attenuation[
                    round(row) - 1 : round(row) + 2, round(column) - 1 : round(column) + 2
                ]
                assert near.max() > 0.6 * darkness


def test_a_preprocessed_file_alone_says_what_it_lacks(tmp_path):
    dataset = open_dataset(write_small(tmp_path / "ds_2x.h5"))
    assert np.isnan(dataset.extras("02/000").points).all()
    with pytest.raises(InputError, match=r"put ipcai_2020_full_res_data\.h5 into the same folder"):
        dataset.scene("02/000")


def test_files_whose_frames_come_in_another_order_are_refused(full, tmp_path):
    (tmp_path / full.name).write_bytes(full.read_bytes())
    dataset = open_dataset(write_small(tmp_path / "ds_2x.h5", order=(TURNED, UPRIGHT)))
    with pytest.raises(InputError, match="same order"):
        dataset.scene("02/000")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda file: file.__delitem__("02/projs"),
            'group /02: expected the dataset "projs" of images x rows x columns',
        ),
        (lambda file: file.__delitem__("02/lands"), 'group /02: expected the dataset "lands" of any x 2 x 10 numbers'),
        (lambda file: file.__delitem__("land-names/land-03"), 'group /land-names: expected the text "land-03"'),
        (lambda file: file.move("02", "07"), "expected specimens 01, 02, 03, 04, 05, 06, found 07, land-names"),
    ],
)
def test_what_a_preprocessed_file_lacks_is_named(full, tmp_path, change, told):
    (tmp_path / full.name).write_bytes(full.read_bytes())
    path = write_small(tmp_path / "ds_2x.h5")
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(InputError) as raised:
        open_dataset(path).scene("02/000")
    assert told in str(raised.value)
