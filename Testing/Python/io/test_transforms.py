"""Poses survive a round trip through files, in the direction that ITK and Slicer expect."""

from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from xrayreg.checks import InputError
from xrayreg.io import read_pose, write_pose

POSE = np.eye(4)
POSE[:3, :3] = Rotation.from_rotvec([0.4, -1.1, 2.0]).as_matrix()
POSE[:3, 3] = [12.5, -340.0, 871.25]
HALF_TURN = np.diag([-1.0, 1.0, -1.0, 1.0])


@pytest.mark.parametrize("suffix", [".tfm", ".txt", ".h5", ".json"])
@pytest.mark.parametrize("pose", [POSE, HALF_TURN, np.eye(4)], ids=["general", "half turn", "identity"])
def test_a_pose_survives_its_file(tmp_path, suffix, pose):
    write_pose(tmp_path / f"pose{suffix}", pose)
    # 1e-9: ITK inverts and prints 17 digits of numbers near 1000.
    np.testing.assert_allclose(read_pose(tmp_path / f"pose{suffix}"), pose, atol=1e-9)


def test_the_itk_file_takes_points_of_the_parent_to_the_child_in_lps(tmp_path):
    write_pose(tmp_path / "pose.tfm", POSE)
    transform = sitk.ReadTransform(str(tmp_path / "pose.tfm"))
    child_ras = np.array([7.0, -11.0, 13.0])
    parent_ras = POSE[:3, :3] @ child_ras + POSE[:3, 3]
    child_lps = transform.TransformPoint((parent_ras * [-1, -1, 1]).tolist())
    np.testing.assert_allclose(child_lps, child_ras * [-1, -1, 1], atol=1e-9)


def test_the_itk_file_resamples_the_child_into_the_parent(tmp_path):
    image = sitk.GetImageFromArray(np.zeros((9, 9, 9), np.float32))
    image[2, 3, 5] = 1.0  # LPS (2, 3, 5), RAS (-2, -3, 5)
    pose = np.eye(4)
    pose[:3, 3] = [-1.0, 2.0, 3.0]  # moves it to RAS (-3, -1, 8), LPS (3, 1, 8)
    write_pose(tmp_path / "pose.tfm", pose)
    moved = sitk.GetArrayFromImage(sitk.Resample(image, image, sitk.ReadTransform(str(tmp_path / "pose.tfm"))))
    assert np.argwhere(moved > 0.5).tolist() == [[8, 1, 3]]


def test_rigid_transforms_of_other_classes_are_read(tmp_path):
    euler = sitk.Euler3DTransform((10.0, 20.0, 30.0), 0.3, -0.2, 0.9, (4.0, 5.0, 6.0))
    composite = sitk.CompositeTransform([euler, sitk.TranslationTransform(3, (1.0, 2.0, 3.0))])
    sitk.WriteTransform(composite, str(tmp_path / "pose.h5"))
    pose = read_pose(tmp_path / "pose.h5")
    point = np.array([7.0, -11.0, 13.0])
    child = np.array(composite.TransformPoint((point * [-1, -1, 1]).tolist())) * [-1, -1, 1]
    np.testing.assert_allclose(pose[:3, :3] @ child + pose[:3, 3], point, atol=1e-9)


def test_the_pose_of_a_result_file_is_read(tmp_path):
    (tmp_path / "result.json").write_text(json.dumps({"accepted": True, "world_from_volume": POSE.tolist()}))
    np.testing.assert_allclose(read_pose(tmp_path / "result.json"), POSE, atol=1e-12)


def test_what_is_no_rigid_pose_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"pose: expected a rotation"):
        write_pose(tmp_path / "pose.tfm", np.diag([2.0, 1.0, 1.0, 1.0]))
    with pytest.raises(InputError, match=r"expected a name that ends in .json, .tfm"):
        write_pose(tmp_path / "pose.mat", POSE)
    assert list(tmp_path.iterdir()) == []
    scale = sitk.ScaleTransform(3, (2.0, 2.0, 2.0))
    sitk.WriteTransform(scale, str(tmp_path / "scale.tfm"))
    with pytest.raises(InputError, match=r"scale.tfm: expected a rotation \(orthonormal axes\)"):
        read_pose(tmp_path / "scale.tfm")
    field = sitk.DisplacementFieldTransform(sitk.Image([4, 4, 4], sitk.sitkVectorFloat64))
    sitk.WriteTransform(field, str(tmp_path / "field.h5"))
    with pytest.raises(InputError, match=r"expected a rigid transform of space, found a DisplacementField"):
        read_pose(tmp_path / "field.h5")
    sitk.WriteTransform(sitk.Euler2DTransform(), str(tmp_path / "flat.tfm"))
    with pytest.raises(InputError, match=r"expected a rigid transform of space"):
        read_pose(tmp_path / "flat.tfm")


@pytest.mark.parametrize("name", ["pose.tfm", "pose.h5", "pose.json"])
def test_a_damaged_or_missing_file_is_one_clear_line(tmp_path, capfd, name):
    with pytest.raises(InputError, match=r"pose: expected an existing file"):
        read_pose(tmp_path / name)
    (tmp_path / name).write_bytes(b"neither ITK nor JSON\n")
    with pytest.raises(InputError, match=f"^pose .*{name}: ") as caught:
        read_pose(tmp_path / name)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("text", ["[1]", '{"other": 1}', '{"world_from_volume": "x"}'])
def test_json_without_a_pose_is_refused(tmp_path, text):
    (tmp_path / "pose.json").write_text(text)
    with pytest.raises(InputError, match=r"pose .*pose.json: expected"):
        read_pose(tmp_path / "pose.json")
