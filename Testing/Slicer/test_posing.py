"""Where the C-arm stands: textbook and DICOM poses about the middle of the CT, the six numbers, and who chose them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from nodes import RAS_FROM_INDEX, SHAPE, add_ct, add_xray, bend, reopen, some_pose, transform

from xrayreg.checks import InputError
from xrayreg.geometry import Camera, Placement, Projection

KNOWN = Projection.of_camera(Camera.from_sid(1000.0, 0.3, 120, 90), "test")
MIDDLE = (RAS_FROM_INDEX @ (*(np.array(SHAPE[::-1]) - 1) / 2, 1.0))[:3]


@pytest.fixture
def posing(app: Any) -> Any:
    from XRayRegistrationLib.mrml import posing

    app.scene.Clear(0)
    return posing


def rig_of(*given: Projection) -> Any:
    from XRayRegistrationLib.mrml import rig

    made = rig.createRig()
    for projection in given or (KNOWN,):
        made = rig.addView(made, add_xray(), projection)
    return made


def pose_of(shown: Any, number: int = 0) -> np.ndarray:
    """camera_from_volume by the node's own matrix."""
    import slicer

    world = np.linalg.inv(slicer.util.arrayFromTransformMatrix(shown.pose))
    return shown.views[number].camera.camera_from_world @ world


def test_the_isocentre_is_the_cts_middle_wherever_it_was_moved(posing):
    node = add_ct()
    np.testing.assert_allclose(posing.isocentre(node), MIDDLE, atol=1e-10)
    transform(some_pose(), node)
    np.testing.assert_allclose(posing.isocentre(node), (some_pose() @ (*MIDDLE, 1))[:3], atol=1e-9)


def test_a_ct_without_a_middle_is_refused(posing):
    import slicer

    for node in (None, slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")):
        with pytest.raises(InputError, match="expected an image"):
            posing.isocentre(node)
    node = add_ct()
    bend(node)
    with pytest.raises(InputError, match="bends it"):
        posing.isocentre(node)


@pytest.mark.parametrize(
    ("name", "ray", "right"),
    [
        # Where the central ray runs, and what lies on the right of the image, in RAS.
        ("ap", (0, -1, 0), (-1, 0, 0)),
        ("pa", (0, 1, 0), (1, 0, 0)),
        ("left_lateral", (-1, 0, 0), (0, 1, 0)),
        ("right_lateral", (1, 0, 0), (0, -1, 0)),
    ],
)
def test_textbook_views_look_the_right_way_with_the_head_up(posing, name, ray, right):
    shown, volume = rig_of(), add_ct()
    posing.toNominal(shown, shown.views[0], volume, name)
    pose = pose_of(shown)
    np.testing.assert_allclose(pose[:3, :3], [right, (0, 0, -1), ray], atol=1e-12)
    # The isocentre lies on the central ray, at the usual share of the SID.
    np.testing.assert_allclose((pose @ (*MIDDLE, 1))[:3], (0, 0, 700), atol=1e-9)
    assert posing.isPosed(shown)


def test_a_textbook_view_of_the_second_xray_moves_the_whole_rig(posing):
    place = np.eye(4)
    place[:3, :3] = [[0, 0, -1], [0, 1, 0], [1, 0, 0]]
    place[:3, 3] = 700, 0, 700
    shown = rig_of(KNOWN, replace(KNOWN, camera_from_world=tuple(map(tuple, place.tolist()))))
    posing.toNominal(shown, shown.views[1], add_ct(), "ap")
    np.testing.assert_allclose(pose_of(shown, 1)[2, :3], (0, -1, 0), atol=1e-12)
    np.testing.assert_allclose(pose_of(shown, 1) @ np.linalg.inv(pose_of(shown, 0)), place, atol=1e-9)


def test_dicom_angles_turn_the_beam_and_put_the_isocentre_on_it(posing):
    told = replace(KNOWN, primary_deg=-30.0, secondary_deg=20.0, sod_mm=640.0)
    shown, volume = rig_of(told), add_ct()
    posing.toDicomAngles(shown, shown.views[0], volume)
    a, b = np.radians([-30.0, 20.0])
    # DICOM PS3.3 C.8.7.5.1.2, in RAS: LAO moves the detector to the patient's left, CRAN to the head.
    ray = (-np.sin(a) * np.cos(b), np.cos(a) * np.cos(b), np.sin(b))
    np.testing.assert_allclose(pose_of(shown)[2, :3], ray, atol=1e-12)
    np.testing.assert_allclose((pose_of(shown) @ (*MIDDLE, 1))[:3], (0, 0, 640), atol=1e-9)
    assert posing.isPosed(shown) and posing.hasAngles(shown.views[0])


def test_without_angles_there_is_a_sentence(posing):
    shown = rig_of()
    with pytest.raises(InputError, match=r"C-arm angles of X-ray.*enter them in the geometry table"):
        posing.toDicomAngles(shown, shown.views[0], add_ct())
    assert not posing.hasAngles(shown.views[0])


def test_the_six_numbers_come_back_and_make_the_pose(posing):
    shown, volume = rig_of(KNOWN, KNOWN), add_ct()
    transform(some_pose(), volume)
    wanted = Placement(-25.0, 10.0, 7.0, 12.0, -8.0, 650.0)
    for view in shown.views:
        posing.setPlacement(shown, view, volume, wanted)
        found = posing.placement(shown, view, volume)
        for name, value in vars(wanted).items():
            assert getattr(found, name) == pytest.approx(value, abs=1e-9)
    seen = (pose_of(shown, 1) @ (*posing.isocentre(volume), 1))[:3]
    np.testing.assert_allclose(seen, (12.0, 8.0, 650.0), atol=1e-9)


def test_a_pose_that_is_none_has_no_six_numbers(posing):
    import slicer

    shown, volume = rig_of(), add_ct()
    posing.toNominal(shown, shown.views[0], volume, "ap")
    slicer.util.updateTransformMatrixFromArray(shown.pose, np.diag([2.0, 1, 1, 1]))
    with pytest.raises(InputError, match="camera_from_volume"):
        posing.placement(shown, shown.views[0], volume)


def test_a_first_place_does_not_count_as_chosen_until_it_is_moved(posing):
    from XRayRegistrationLib.mrml import rig

    shown, volume = rig_of(), add_ct()
    assert not posing.isPosed(shown)
    posing.placeAtFirst(shown, volume)
    np.testing.assert_allclose(pose_of(shown)[2, :3], (0, -1, 0), atol=1e-12)
    assert not posing.isPosed(shown)
    moved = rig.worldFromVolume(shown)
    moved[0, 3] += 0.5
    rig.setWorldFromVolume(shown, moved)
    assert posing.isPosed(shown), "somebody dragged the transform"


def test_a_first_place_by_dicom_angles_counts_as_chosen(posing):
    shown = rig_of(replace(KNOWN, primary_deg=5.0, secondary_deg=0.0))
    posing.placeAtFirst(shown, add_ct())
    assert posing.isPosed(shown)


@pytest.mark.parametrize("posed", [True, False])
def test_a_saved_scene_remembers_whether_a_pose_was_chosen(posing, app, tmp_path, posed):
    import slicer

    from XRayRegistrationLib.mrml import rig

    shown, volume = rig_of(), add_ct()
    posing.placeAtFirst(shown, volume)
    if posed:
        posing.setPlacement(shown, shown.views[0], volume, Placement(1.0, 2.0, 3.0, 4.0, 5.0, 600.0))
    reopen(app, tmp_path)
    assert posing.isPosed(rig.rigOf(slicer.util.getNode("C-arm pose"))) == posed
