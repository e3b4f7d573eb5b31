"""A case file becomes a scene, or one line that says what to correct."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import SimpleITK as sitk

from xrayreg.checks import InputError
from xrayreg.geometry import Camera
from xrayreg.geometry.carm import camera_from_carm
from xrayreg.io import CaseFile, CaseView, parse_case, read_case, write_case

# The field and the tone curve are other files' business; here every pixel is image and its own integral.
pytestmark = pytest.mark.usefixtures("plain_intensities")

POSE = [[0.0, -1.0, 0.0, 5.0], [1.0, 0.0, 0.0, -3.0], [0.0, 0.0, 1.0, 900.0], [0.0, 0.0, 0.0, 1.0]]
CAMERA = {
    "matrix": [[2000.0, 0.0, 29.5], [0.0, 2000.0, 19.5], [0.0, 0.0, 1.0]],
    "size": [60, 40],
    "camera_from_world": np.eye(4).tolist(),
}
CASE = {
    "volume": "scans/ct.nrrd",
    "labels": "scans/labels.nrrd",
    "structures": [2, 1],
    "views": [
        {"image": "cam.tif", "intensity": "transmission", "camera": CAMERA},
        {"image": "other/cam.tif", "camera": {**CAMERA, "pixel_mm": 0.5}, "mirrored": True},
    ],
    "initial": {"world_from_volume": POSE},
    "reference": {"world_from_volume": POSE, "targets": [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]},
    "comment": "keys that begin like this are free",
}
RAMP = np.arange(2400, dtype=np.uint16).reshape(40, 60)


@pytest.fixture
def folder(tmp_path):
    """A folder with all the files of CASE but the case itself."""
    (tmp_path / "scans").mkdir()
    (tmp_path / "other").mkdir()
    values = np.arange(-500, 500, dtype=np.int16).reshape(10, 10, 10)
    sitk.WriteImage(sitk.GetImageFromArray(values), str(tmp_path / "scans/ct.nrrd"))
    sitk.WriteImage(sitk.GetImageFromArray((values > 0).astype(np.uint8) + 1), str(tmp_path / "scans/labels.nrrd"))
    (tmp_path / "scans/labels.json").write_text('{"1": "hip", "2": "sacrum"}')
    for name in ("cam.tif", "other/cam.tif"):
        sitk.WriteImage(sitk.GetImageFromArray(RAMP), str(tmp_path / name))
    return tmp_path


def written(folder, case=CASE):
    (folder / "case.json").write_text(case if isinstance(case, str) else json.dumps(case))
    return folder / "case.json"


def test_a_full_case_becomes_a_scene(folder):
    scene = read_case(written(folder))
    assert scene.volume.values.shape == scene.volume.labels.shape == (10, 10, 10)
    assert scene.volume.label_names == {1: "hip", 2: "sacrum"}
    assert scene.structures == (2, 1)
    assert [view.name for view in scene.views] == ["cam", "cam_2"]
    assert [view.reflected for view in scene.views] == [False, True]
    np.testing.assert_array_equal(scene.views[1].recorded, RAMP[:, ::-1])
    assert "used as transmission" in scene.views[0].notes and "used as auto" in scene.views[1].notes
    assert (scene.views[0].camera.pixel_mm, scene.views[1].camera.pixel_mm) == (None, 0.5)
    np.testing.assert_array_equal(scene.initial, POSE)
    np.testing.assert_array_equal(scene.reference, POSE)
    np.testing.assert_array_equal(scene.target_points(), [[1, 2, 3], [4, 5, 6]])


def test_the_least_case_is_a_volume_and_a_view(folder):
    scene = read_case(written(folder, {"volume": "scans/ct.nrrd", "views": [CASE["views"][0]]}))
    assert (scene.initial, scene.reference, scene.structures, scene.volume.labels) == (None, None, (), None)


def test_what_was_written_is_read_back(folder):
    case = parse_case(written(folder))
    write_case(folder / "other" / "again.json", case)
    text = json.loads((folder / "other" / "again.json").read_text())
    assert text["volume"] == "../scans/ct.nrrd" and text["views"][1]["image"] == "cam.tif"
    again = read_case(folder / "other" / "again.json")
    first = read_case(folder / "case.json")
    assert again.structures == first.structures
    np.testing.assert_array_equal(again.initial, first.initial)
    np.testing.assert_array_equal(again.targets, first.targets)
    for one, other in zip(again.views, first.views, strict=True):
        np.testing.assert_array_equal(one.recorded, other.recorded)
        np.testing.assert_array_equal(one.camera.matrix, other.camera.matrix)
        assert (one.camera.pixel_mm, one.reflected) == (other.camera.pixel_mm, other.reflected)


def test_a_small_case_is_written_without_empty_keys(tmp_path):
    view = CaseView(tmp_path / "a.tif", Camera.from_sid(1000, 0.5, 60, 40), "attenuation", frame=3)
    write_case(tmp_path / "case.json", CaseFile(tmp_path / "ct", (view,)))
    text = json.loads((tmp_path / "case.json").read_text())
    assert set(text) == {"volume", "views"} and set(text["views"][0]) == {"image", "intensity", "frame", "camera"}
    assert parse_case(tmp_path / "case.json").views[0].frame == 3


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (["a/x.tif", "b/x.tif", "c/X.nii.gz"], ["x", "x_2", "X_3"]),
        (["x.tif", "x_2.tif", "b/x.tif"], ["x", "x_2", "x_3"]),
        (["run.v1.dcm"], ["run.v1"]),
    ],
)
def test_view_names_are_stems_made_unique(tmp_path, files, names):
    from xrayreg.io.cases import unique_names

    assert list(unique_names([tmp_path / file for file in files])) == names


def test_a_calibration_file_stands_for_a_camera(folder):
    (folder / "rig.txt").write_text(
        "image size\n60,40\n\ncamera matrix\n2000,0,29.5\n0,2000,19.5\n0,0,1\n\n"
        "rotation\n0,-1,0\n1,0,0\n0,0,1\n\ntranslation\n5\n-3\n900\n"
    )
    scene = read_case(
        written(folder, {"volume": "scans/ct.nrrd", "views": [{"image": "cam.tif", "calibration": "rig.txt"}]})
    )
    np.testing.assert_allclose(scene.views[0].camera.camera_from_world, POSE)


def changed(path, value):
    """CASE with the entry at `path` set, or removed where `value` is None."""
    case = copy.deepcopy(CASE)
    *parents, last = path
    place = case
    for key in parents:
        place = place[key]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return case


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ('{"volume": "a",\n "views": [}', "found Expecting value in line 2, column 12; correct that line"),
        ("[1]", r"expected an object \{ ... \}, found \[1\]"),
        (changed(["volume"], None), 'expected the key "volume"'),
        (changed(["views"], None), 'expected the key "views"'),
        (changed(["views"], []), "views: expected at least one X-ray"),
        (changed(["views"], {}), "views: expected a list"),
        (changed(["volume"], 7), "volume: expected the name of a file or folder, found 7"),
        (changed(["volume"], "absent.nii"), "volume: expected an existing file, found nothing at .*absent.nii"),
        (changed(["labels"], "absent.nii"), "label map: expected an existing file"),
        (changed(["labels"], None), "structures: expected a label map"),
        (changed(["structures"], "2"), "structures: expected a list"),
        (changed(["structures"], [1.5]), "structures: expected whole numbers, found 1.5"),
        (changed(["structures"], [0]), "structures: expected labels above 0"),
        (changed(["views", 0], "cam.tif"), r"views\[0\]: expected an object"),
        (changed(["views", 1, "image"], None), r'views\[1\]: expected the key "image"'),
        (changed(["views", 1, "image"], "absent.tif"), "X-ray: expected an existing file"),
        (changed(["views", 0, "intensity"], "bright"), r"views\[0\].intensity: expected auto"),
        (changed(["views", 0, "frame"], "1"), r"views\[0\].frame: expected whole numbers"),
        (changed(["views", 0, "mirrored"], 1), r"views\[0\].mirrored: expected true or false"),
        (changed(["views", 0, "camera"], None), "camera of cam: expected a camera for an image that is not DICOM"),
        (changed(["views", 0, "camera", "matrix"], None), r'views\[0\].camera: expected the key "matrix"'),
        (changed(["views", 0, "camera", "matrix"], [[1, 2], [3, 4]]), r"views\[0\].camera.matrix: .* found 2 x 2"),
        (changed(["views", 0, "camera", "matrix"], "K"), r"views\[0\].camera.matrix: expected 3 x 3 numbers"),
        (changed(["views", 0, "camera", "size"], [60]), r"views\[0\].camera.size: expected \[width, height\]"),
        (changed(["views", 0, "camera", "size"], [60, "40"]), r"views\[0\].camera.size: expected whole numbers"),
        (changed(["views", 0, "camera", "size"], [61, 40]), "the camera's size 61 x 40, found 60 x 40 pixels"),
        (changed(["views", 0, "camera", "pixel_mm"], "1"), r"views\[0\].camera.pixel_mm: expected a number"),
        (
            changed(["views", 0, "camera", "camera_from_world"], (2 * np.eye(4)).tolist()),
            r"views\[0\].camera.camera_from_world: expected last row",
        ),
        (changed(["views", 0, "calibration"], "rig.txt"), 'either "camera" or "calibration"'),
        (changed(["initial"], {}), 'initial: expected the key "world_from_volume", found nothing'),
        (changed(["initial"], POSE), "initial: expected an object"),
        (
            changed(["reference", "world_from_volume"], np.diag([1.0, 1, -1, 1]).tolist()),
            r"reference.world_from_volume: expected a rotation, found a reflection",
        ),
        (changed(["reference", "targets"], [[1, 2]]), "reference.targets: expected 1 x 3 numbers, found 1 x 2"),
        (changed(["reference", "targets"], []), "reference.targets"),
    ],
)
def test_a_wrong_case_is_one_line_that_names_the_place(folder, case, words):
    with pytest.raises(InputError, match=words) as caught:
        read_case(written(folder, case))
    assert "\n" not in str(caught.value)


def test_nan_in_a_case_is_refused(folder):
    with pytest.raises(InputError, match=r"initial.world_from_volume: expected finite numbers, found NaN"):
        read_case(written(folder, json.dumps(CASE).replace("[0.0, -1.0, 0.0, 5.0]", "[0.0, -1.0, 0.0, NaN]")))


def test_a_case_that_is_no_text_or_not_there_is_refused(folder):
    (folder / "case.json").write_bytes(b"\xff\xfe\x00binary")
    with pytest.raises(InputError, match=r"expected a JSON text file"):
        read_case(folder / "case.json")
    with pytest.raises(InputError, match=r"expected an existing file"):
        read_case(folder / "absent.json")


def test_dicom_views_without_cameras_share_the_first_ones_frame(folder, write_xray):
    angles = [(10.0, -5.0), (95.0, 12.0)]
    for n, (primary, secondary) in enumerate(angles):
        write_xray(RAMP, f"{n}.dcm", PositionerPrimaryAngle=primary, PositionerSecondaryAngle=secondary)
    case = {"volume": "scans/ct.nrrd", "views": [{"image": "0.dcm"}, {"image": "1.dcm"}]}
    scene = read_case(written(folder, case))
    first, second = (camera_from_carm(*pair, 700.0, [3.0, 4.0, 5.0]) for pair in angles)
    # 1e-9 mm: roundings of numbers near 1000.
    np.testing.assert_allclose(scene.views[0].camera.camera_from_world, np.eye(4), atol=1e-9)
    np.testing.assert_allclose(scene.views[1].camera.camera_from_world @ first, second, atol=1e-9)
    # Nobody measured that the angles are exact and the isocentre is one: such a pose is not accepted.
    assert [len(view.assumed) for view in scene.views] == [0, 1]
    (sentence,) = (text for text in scene.assumed if "nominal angles about one isocentre" in text)
    assert sentence.startswith("1: ") and '"camera"' in sentence
    single = read_case(written(folder, {"volume": "scans/ct.nrrd", "views": [{"image": "1.dcm"}]}))
    assert single.assumed == ()
    np.testing.assert_array_equal(single.views[0].camera.camera_from_world, np.eye(4))
    mixed = {"volume": "scans/ct.nrrd", "views": [{"image": "0.dcm"}, CASE["views"][0]]}
    with pytest.raises(InputError, match=r"a camera in each view, or in none"):
        read_case(written(folder, mixed))


def test_a_folder_of_dicom_slices_is_a_volume(folder, write_series):
    values = np.arange(-500, 500).reshape(10, 10, 10)
    write_series(values, np.outer(np.arange(10), [0, 0, 2.0]), folder="series")
    scene = read_case(written(folder, {"volume": "series", "views": [CASE["views"][0]]}))
    np.testing.assert_array_equal(scene.volume.values, values)


@pytest.mark.parametrize("case", ["wrist/case.json", "simulated/local_000.json"])
def test_the_example_cases_are_read(shared_data, case):
    scene = read_case(shared_data(*case.split("/")))
    assert all(view.valid.any() for view in scene.views)
    assert scene.reference is not None and scene.initial is not None
    assert scene.volume.grid.spacing_mm.min() > 0.3
