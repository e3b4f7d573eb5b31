"""A network's predictions become poses of the first camera, whatever took the X-rays and wherever the CT lies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pelvis_scenes
import pytest
import torch
from constant_networks import FRONTAL, card_for, checkpoint_for, saying
from pelvis_scenes import SIZE_PX, moved, pelvis, radiograph, scene, truth

from xrayreg.checks import InputError
from xrayreg.geometry import Camera, Placement, VoxelGrid, camera_from_placement
from xrayreg.networks.data.pose_sampling import sample_poses
from xrayreg.networks.data.subjects import DrrSubject
from xrayreg.networks.inference import locate
from xrayreg.networks.inference.calibration import Calibration
from xrayreg.networks.inference.prediction import departure, predict, unfamiliar
from xrayreg.networks.model.canonical_frame import canonical_poses, volume_poses
from xrayreg.networks.model.checkpoint import Checkpoint
from xrayreg.networks.model.template import template_of
from xrayreg.scene import Radiograph, Scene, Volume
from xrayreg.settings import NetworkCamera, PoseDistribution

# Networks answer in float32: a metre to about a ten-thousandth of a millimetre, carried through rotations.
CLOSE = {"atol": 2e-3, "rtol": 0}
HIPS = (1, 2)


def told() -> np.ndarray:
    """Three poses camera_from_volume (3, 4, 4) that nobody could mistake for one another."""
    return np.stack([truth(), moved(truth(), (10, -20, 30), (15, 25, -80)), moved(truth(), (0, 60, 0), (-40, 0, 50))])


def placed(volume: Volume, shift: tuple[float, float, float]) -> Volume:
    """The same CT with its origin elsewhere."""
    matrix = volume.grid.volume_from_index.copy()
    matrix[:3, 3] += shift
    return replace(volume, grid=VoxelGrid(volume.grid.shape, matrix))


def test_the_poses_are_those_the_network_gives():
    prediction = predict(saying(card_for(pelvis(), 3), told()), scene())
    np.testing.assert_allclose(prediction.poses.numpy(), told(), **CLOSE)
    rotations = prediction.poses[:, :3, :3]
    torch.testing.assert_close(rotations @ rotations.mT, torch.eye(3, dtype=torch.float64).expand(3, 3, 3))
    assert prediction.notes == ()


def test_the_most_believed_comes_first_and_says_which_it_is():
    beliefs = [0.2, 0.7, 0.1]
    prediction = predict(saying(card_for(pelvis(), 3), told(), beliefs), scene())
    np.testing.assert_allclose(prediction.poses.numpy(), told()[[1, 0, 2]], **CLOSE)
    np.testing.assert_allclose(prediction.beliefs.numpy(), [0.7, 0.2, 0.1], atol=1e-6)
    assert prediction.names == tuple(f"the network's hypothesis {n} of 3" for n in (1, 2, 3))


def world_turned() -> np.ndarray:
    world = np.eye(4)
    world[:3, :3] = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    world[:3, 3] = [100, -50, 30]
    return world


@pytest.mark.parametrize("world", [np.eye(4), world_turned()], ids=["first camera", "anywhere"])
def test_each_view_tells_its_own_pose_in_the_first_cameras_frame(world):
    given = scene(("frontal", "lateral"))
    views = tuple(
        replace(view, camera=replace(view.camera, camera_from_world=view.camera.camera_from_world @ world))
        for view in given.views
    )
    prediction = predict(saying(card_for(pelvis(), 2), told()[:2]), replace(given, views=views))
    assert len(prediction.poses) == 4 and float(prediction.beliefs.sum()) == pytest.approx(2.0)
    by_name = dict(zip(prediction.names, prediction.poses.numpy(), strict=True))
    first_from_world = views[0].camera.camera_from_world
    for view in views:
        view_from_first = view.camera.camera_from_world @ np.linalg.inv(first_from_world)
        for n in range(2):
            pose = by_name[f"the network's hypothesis {n + 1} of 2 for {view.name}"]
            np.testing.assert_allclose(view_from_first @ pose, told()[n], **CLOSE)


def on_a_larger_detector(view: Radiograph) -> Radiograph:
    """The same X-ray on a detector that reaches further on two sides, where it shows nothing."""
    left, top = 37, 5
    size = (view.camera.height + top, view.camera.width + left)
    matrix = view.camera.matrix.copy()
    matrix[:2, 2] += left, top
    images = []
    for image in (view.recorded, view.attenuation, view.valid):
        larger = np.zeros(size, image.dtype)
        larger[top:, left:] = image
        images.append(larger)
    camera = Camera(matrix, size[1], size[0], view.camera.camera_from_world, view.camera.pixel_mm)
    return replace(view, recorded=images[0], attenuation=images[1], valid=images[2], camera=camera)


CAMERAS = {
    "coarser pixels": lambda view: view.reduced(2),
    "a larger detector, off centre": on_a_larger_detector,
    # Exposure and grey scale are no part of the pose.
    "another exposure": lambda view: replace(view, attenuation=(2.5 * view.attenuation + 7).astype(np.float32)),
}


@pytest.mark.parametrize("other", CAMERAS.values(), ids=CAMERAS)
def test_the_same_rays_give_the_same_poses_whatever_the_xrays_camera(other):
    # 6 pixels of the X-ray make one of the network's, so averages are over the same areas in every case.
    checkpoint = checkpoint_for(card_for(pelvis(), 2, NetworkCamera(SIZE_PX // 6, 400.0, pelvis_scenes.SID_MM)))
    given = scene()
    plain = predict(checkpoint, given)
    same = predict(checkpoint, replace(given, views=(other(given.views[0]),)))
    torch.testing.assert_close(same.poses, plain.poses, **CLOSE)
    # It is no constant: a mirrored image has other poses.
    mirrored = replace(radiograph(), attenuation=radiograph().attenuation[:, ::-1].copy())
    away = predict(checkpoint, replace(given, views=(mirrored,))).poses
    assert float((away - plain.poses).abs().max()) > 1.0


@pytest.mark.parametrize("structures", [(), HIPS], ids=["whole", "hips"])
def test_the_same_ct_elsewhere_has_the_poses_that_follow_it(structures):
    checkpoint = saying(card_for(pelvis(), 3, structures=structures), told())
    shift = (120.0, -45.0, 300.0)
    there = predict(checkpoint, replace(scene(), volume=placed(pelvis(), shift), reference=None))
    back = np.eye(4)
    back[:3, 3] = shift
    np.testing.assert_allclose(there.poses.numpy() @ back, told(), **CLOSE)


def test_without_its_labels_the_structures_stand_where_they_stood_in_training():
    checkpoint = saying(card_for(pelvis(), 3, structures=HIPS), told())
    prediction = predict(checkpoint, replace(scene(), volume=replace(pelvis(), labels=None)))
    np.testing.assert_allclose(prediction.poses.numpy(), told(), **CLOSE)
    assert any("structures 1, 2" in note for note in prediction.notes)


def test_another_patients_ct_is_refused():
    other = replace(pelvis(), values=np.ascontiguousarray(pelvis().values[::-1]))
    with pytest.raises(InputError, match="network: expected the CT it was trained on"):
        predict(saying(card_for(other, 3), told()), scene())


def of_many(poses: np.ndarray) -> Checkpoint:
    """A network that was trained on other patients than this one."""
    other = replace(pelvis(), values=np.ascontiguousarray(pelvis().values[::-1]))
    made = saying(card_for(other, len(poses)), poses)
    return replace(made, card=replace(made.card, kind="agnostic"))


def test_a_network_of_many_patients_is_asked_where_this_one_lies(monkeypatch):
    place = torch.as_tensor(moved(np.eye(4), (20, -10, 5), (30, 40, -50)))

    def found(ask: object, subject: DrrSubject, camera: object, poses: object) -> Calibration:
        np.testing.assert_allclose(subject.isocentre.numpy(), pelvis().grid.centre, atol=10)
        return Calibration(place, 3.0, 7.0, 48)

    monkeypatch.setattr(locate, "calibrate", found)
    checkpoint = of_many(told())
    prediction = predict(checkpoint, scene())
    isocentre = torch.tensor(checkpoint.card.subjects[0].isocentre, dtype=torch.float64)
    # What it says is camera_from_canonical; `told` was camera_from_volume with the centre at the isocentre.
    expected = canonical_poses(torch.as_tensor(told()), isocentre) @ place
    torch.testing.assert_close(prediction.poses, expected, **CLOSE)
    assert any("3 degrees and 7 mm apart" in note for note in prediction.notes)


def test_a_network_of_many_patients_that_does_not_know_this_anatomy_is_refused():
    # It gives the same answer to every DRR, so where it finds the patient differs as much as the DRRs do.
    with pytest.raises(InputError, match="network: expected answers that agree on where the patient lies"):
        predict(of_many(told()), scene())


@pytest.mark.parametrize("kind", ["agnostic", "patient"])
def test_another_ct_is_aligned_with_the_networks_template(kind):
    isocentre = pelvis().grid.centre + [5.0, -10.0, 15.0]
    made = saying(card_for(pelvis(), 3), told())
    made = replace(made, card=replace(made.card, kind=kind), template=template_of(pelvis(), isocentre))
    # The same patient as another scanner has him: lying otherwise, so that the CT is none the network knows.
    patient_from_template = moved(np.eye(4), (6, -4, 9), (30, -20, 40))
    grid = VoxelGrid(pelvis().grid.shape, patient_from_template @ pelvis().grid.volume_from_index)
    given = replace(scene(), volume=replace(pelvis(), grid=grid))
    prediction = predict(made, given)
    known = torch.tensor(made.card.subjects[0].isocentre, dtype=torch.float64)
    camera_from_canonical = canonical_poses(torch.as_tensor(told()), known)
    expected = volume_poses(camera_from_canonical, torch.as_tensor(isocentre)).numpy() @ np.linalg.inv(
        patient_from_template
    )
    # The alignment of two copies on 4 mm voxels: a tenth of a voxel, and as much again at the ends of the body.
    corners = np.c_[grid.corners(), np.ones(8)]
    off = (prediction.poses.numpy() - expected) @ corners.T
    assert np.linalg.norm(off[:, :3], axis=1).max() < 2.0
    assert any("aligned" in note and "turned by 11" in note for note in prediction.notes)


def test_a_template_that_is_unlike_the_patient_is_no_excuse():
    upside_down = replace(pelvis(), values=np.ascontiguousarray(-pelvis().values[::-1, ::-1]))
    made = saying(card_for(upside_down, 3), told())
    made = replace(made, template=template_of(upside_down, upside_down.grid.centre))
    with pytest.raises(InputError, match="alignment of two CTs: expected"):
        predict(made, scene())


def test_an_xray_that_shows_little_of_what_the_network_looks_at_is_noted():
    wide = card_for(pelvis(), 3, NetworkCamera(32, 800.0, pelvis_scenes.SID_MM))
    (note,) = predict(saying(wide, told()), scene()).notes
    assert note.startswith("frontal: the X-ray covers only 25%") and "800 mm" in note
    narrow = card_for(pelvis(), 3, NetworkCamera(32, 200.0, pelvis_scenes.SID_MM))
    (note,) = predict(saying(narrow, told()), scene()).notes
    assert note == "frontal: the network looks at only 25% of the X-ray."


def test_numbers_that_are_none_are_left_out():
    checkpoint = saying(card_for(pelvis(), 2), told()[:2])
    with torch.no_grad():
        # The shift of the first hypothesis: six numbers of the rotation come before it.
        checkpoint.network.head.last.bias[6] = torch.nan
    prediction = predict(checkpoint, scene())
    np.testing.assert_allclose(prediction.poses.numpy(), told()[1:2], **CLOSE)
    assert prediction.names == ("the network's hypothesis 2 of 2",) and "no numbers" in prediction.notes[0]


def test_a_network_of_nothing_but_nan_gives_no_pose():
    checkpoint = saying(card_for(pelvis(), 2), told()[:2])
    with torch.no_grad():
        checkpoint.network.head.last.bias.fill_(torch.nan)
    prediction = predict(checkpoint, scene())
    assert prediction.poses.shape == (0, 4, 4) and prediction.names == ()


ANY_SIDE = PoseDistribution(
    (0.0, 90.0, -90.0, 180.0), 750.0, "uniform", "carm", (20.0, 15.0, 10.0), (30.0, 40.0, 60.0), (5.0, -10.0, 20.0)
)


@pytest.mark.parametrize("coordinates", ["carm", "twist"])
@pytest.mark.parametrize("law", ["uniform", "normal"])
def test_poses_as_drawn_in_training_lie_within_its_edge(law, coordinates):
    given = replace(ANY_SIDE, law=law, coordinates=coordinates)
    poses = sample_poses(given, torch.zeros(3, dtype=torch.float64), 400, torch.Generator().manual_seed(1))
    edges = torch.tensor([departure(given, pose) for pose in poses])
    assert float(edges.max()) <= 1.0 + 1e-9
    # And come near it: the largest of six uniform numbers is above 0.9 in nearly half of all draws.
    assert float(edges.max()) > (0.99 if law == "uniform" else 0.8)


@pytest.mark.parametrize("number", range(6))
def test_a_pose_twice_as_far_as_the_edge_is_told_as_such(number):
    offsets = np.zeros(6)
    offsets[number] = 2 * [*ANY_SIDE.rotation_deg, *ANY_SIDE.translation_mm][number]
    offsets[3:] += ANY_SIDE.centre_offset_mm
    pose = camera_from_placement(
        Placement(90.0 + offsets[0], offsets[1], offsets[2], offsets[3], offsets[4], 750.0 + offsets[5]), np.zeros(3)
    )
    assert departure(ANY_SIDE, torch.as_tensor(pose)) == pytest.approx(2.0, abs=1e-6)


def test_a_pose_unlike_those_of_training_is_noted_for_the_view_that_it_is_unlike_in():
    card = card_for(pelvis(), 3, poses=FRONTAL)
    given = scene(("frontal", "lateral"))
    prediction = predict(saying(card, told()), given)
    (note,) = unfamiliar(card, prediction, given, torch.as_tensor(truth()))
    # A quarter turn less the truth's own 6 degrees is 4.2 standard deviations of 20 degrees; the edge lies at 3.5.
    assert note.startswith("lateral: the pose lies outside those the network was trained on (1.2 times their range)")
    alone = Scene(given.volume, given.views[:1])
    assert unfamiliar(card, prediction, alone, torch.as_tensor(truth())) == ()
