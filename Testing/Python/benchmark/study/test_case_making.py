"""Cases on the disk: that the X-ray shows what the case says, and the case says no more than it may."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk

from xrayreg.benchmark.statistics import cube_corners
from xrayreg.benchmark.study.case_making import (
    CASE,
    KNOWN,
    StudySubject,
    cameras_of,
    machine_of,
    make_case,
    told_camera,
)
from xrayreg.benchmark.study.case_poses import posed_cases
from xrayreg.benchmark.study.protocol import Arm, ArmImage, Variant, arm_named
from xrayreg.geometry import Camera, camera_from_carm, placement_of
from xrayreg.io import parse_case, read_case, read_volume
from xrayreg.simulation import patient_on, relative_steps


def small(arm: Arm) -> Arm:
    """The arm on a coarse detector of the same size."""
    edge = arm.camera.size_px * arm.camera.pixel_mm
    variants = tuple(replace(v, image=replace(v.image, rays_per_side=1)) for v in arm.variants)
    return replace(arm, camera=replace(arm.camera, size_px=64, pixel_mm=edge / 64), variants=variants)


@pytest.fixture(scope="module")
def subject(ct) -> StudySubject:
    volume = read_volume(ct)
    centre = volume.grid.centre
    surface = centre + np.random.default_rng(0).uniform(-60, 60, (500, 3))
    return StudySubject(ct, None, (), centre, cube_corners(centre, 148.0), surface)


@pytest.fixture(scope="module")
def patient(ct):
    volume = read_volume(ct)
    return patient_on(relative_steps(volume.values, -900.0), volume.grid)


def made(tmp_path, arm, subject, patient, number=0, seed=1):
    posed = posed_cases(arm, subject.isocentre, seed, number + 1)[number]
    make_case(tmp_path, arm, posed, patient, subject)
    return posed


def pixels(file) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(file))).astype(float)


def test_a_case_reads_back_with_its_poses_and_targets(tmp_path, subject, patient):
    arm = small(arm_named("C-A"))
    posed = made(tmp_path, arm, subject, patient)
    scene = read_case(tmp_path / CASE)
    assert np.allclose(scene.reference, posed.reference) and np.allclose(scene.initial, posed.start)
    assert np.allclose(scene.targets, subject.targets)
    assert (scene.views[0].camera.width, scene.views[0].camera.height) == (64, 64)
    assert scene.views[0].camera.sid_mm == pytest.approx(1011.7)


def test_the_same_case_is_made_again_bit_for_bit(tmp_path, subject, patient):
    arm = small(arm_named("R-A"))
    for number in (1, 2):
        for folder in ("a", "b"):
            made(tmp_path / folder, arm, subject, patient, number)
        assert np.array_equal(pixels(tmp_path / "a/xray.tif"), pixels(tmp_path / "b/xray.tif"))
        assert (tmp_path / "a" / KNOWN).read_bytes() == (tmp_path / "b" / KNOWN).read_bytes()


def test_the_x_ray_shows_the_patient_at_the_reference_and_not_at_the_start(tmp_path, subject, patient):
    from xrayreg.overlay import rendered
    from xrayreg.render import prepare
    from xrayreg.scene import attenuation_of

    arm = small(arm_named("C-A"))
    made(tmp_path, arm, subject, patient)
    scene = read_case(tmp_path / CASE)
    projector = prepare(attenuation_of(scene.volume), "torch", "cpu")
    shown = -np.log(np.maximum(pixels(tmp_path / "xray.tif"), 1) / 65535)
    there, start = (
        np.corrcoef(shown.ravel(), rendered(projector, scene.views[0].camera, pose).ravel())[0, 1]
        for pose in (scene.reference, scene.initial)
    )
    assert there > 0.95 and there > start + 0.1


def test_two_views_are_of_one_pose_a_quarter_turn_apart(tmp_path, subject, patient):
    arm = small(arm_named("M-A"))
    made(tmp_path, arm, subject, patient)
    case = parse_case(tmp_path / CASE)
    first, second = (view.camera.camera_from_world for view in case.views)
    assert np.array_equal(first, np.eye(4))
    # About a patient at the nominal place the second view is that of a C-arm turned by a quarter.
    nominal = camera_from_carm(0.0, 0.0, arm.poses.sod_mm, subject.isocentre)
    placed = placement_of(second @ nominal, subject.isocentre)
    assert abs(placed.primary_deg) == pytest.approx(90) and placed.secondary_deg == pytest.approx(0, abs=1e-9)
    assert placed.sod_mm == pytest.approx(arm.poses.sod_mm)
    assert (tmp_path / "xray2.tif").exists()
    assert not np.array_equal(pixels(tmp_path / "xray.tif"), pixels(tmp_path / "xray2.tif"))


def test_the_views_of_a_rig_meet_in_its_isocentre():
    for name in ("M-A", "M-A-60"):
        arm = arm_named(name)
        centre = np.array([0.0, 0.0, arm.poses.sod_mm])
        for camera in cameras_of(arm):
            assert np.allclose(camera.camera_from_world[:3, :3] @ centre + camera.camera_from_world[:3, 3], centre)


def test_wrong_geometry_is_told_and_the_x_ray_is_made_with_the_right_one(tmp_path, subject, patient):
    arm = small(arm_named("R-A"))
    names = [variant.name for variant in arm.variants]
    true = cameras_of(arm)[0]
    plain = made(tmp_path / "plain", arm, subject, patient, names.index("undisturbed"))
    for name, focal, shift in (("SID +1 %", 1.01, 0.0), ("SID -1 %", 0.99, 0.0), ("principal point", 1.0, 2.0)):
        posed = made(tmp_path / name, arm, subject, patient, names.index(name))
        told = parse_case(tmp_path / name / CASE).views[0].camera
        assert told.matrix[0, 0] == pytest.approx(focal * true.matrix[0, 0])
        off = (told.matrix[:2, 2] - true.matrix[:2, 2]) * true.pixel_mm
        assert np.linalg.norm(off) == pytest.approx(shift)
        assert np.array_equal(posed.reference, plain.reference)
        assert np.array_equal(pixels(tmp_path / name / "xray.tif"), pixels(tmp_path / "plain/xray.tif"))


def test_inverse_polarity_is_stored_and_not_told(tmp_path, subject, patient):
    arm = small(arm_named("R-A"))
    names = [variant.name for variant in arm.variants]
    made(tmp_path / "plain", arm, subject, patient, 0)
    made(tmp_path / "inverse", arm, subject, patient, names.index("inverse polarity"))
    assert np.array_equal(65535 - pixels(tmp_path / "inverse/xray.tif"), pixels(tmp_path / "plain/xray.tif"))
    assert parse_case(tmp_path / "inverse" / CASE).views[0].intensity == "auto"
    assert parse_case(tmp_path / "plain" / CASE).views[0].intensity == "transmission"


def test_disturbances_change_the_image_as_they_say(tmp_path, subject, patient):
    arm = small(arm_named("R-A"))
    names = [variant.name for variant in arm.variants]
    image = {}
    for name in ("undisturbed", "collimation", "metal", "tone curve", "5000 photons"):
        made(tmp_path / name, arm, subject, patient, names.index(name))
        image[name] = pixels(tmp_path / name / "xray.tif")
    plain = image["undisturbed"]
    assert (image["collimation"] < 0.1 * plain).mean() == pytest.approx(0.3, abs=0.04)
    assert (image["metal"] < 0.9 * plain).any()
    assert np.median(image["tone curve"]) > 2 * np.median(plain)
    rough = np.abs(np.diff(np.log1p(image["5000 photons"]), axis=1)).mean()
    assert rough > 1.5 * np.abs(np.diff(np.log1p(plain), axis=1)).mean()


def test_without_physics_there_is_no_chance():
    clean = ArmImage(physics=False)
    machine = machine_of(clean, 64, np.zeros(3), np.random.default_rng(0))
    assert machine.photons is None and machine.scatter_to_primary == 0 and machine.energy_kev == 70.0


def test_what_is_known_besides_is_a_headers_angles_and_a_detectors_landmarks(tmp_path, subject, patient):
    arm = small(arm_named("C-A"))
    posed = made(tmp_path, arm, subject, patient)
    known = json.loads((tmp_path / KNOWN).read_text())
    placed = placement_of(posed.reference, subject.isocentre)
    assert known["angles"][:2] == pytest.approx([placed.primary_deg, placed.secondary_deg], abs=0.051)
    assert known["angles"][2] == arm.poses.sod_mm != pytest.approx(placed.sod_mm)
    points = np.array(known["landmarks"]["points"])
    seen = np.array(known["landmarks"]["pixels"][0], dtype=float)
    camera = Camera.from_sid(1011.7, arm.camera.pixel_mm, 64, 64)
    true = camera.project(points @ posed.reference[:3, :3].T + posed.reference[:3, 3])
    shown = np.isfinite(seen).all(axis=1)
    assert len(points) == 14 and shown.sum() >= 4
    error_mm = np.linalg.norm(seen - true, axis=1)[shown] * arm.camera.pixel_mm
    assert 1 < error_mm.mean() < 15  # a Gaussian of 5 mm each way


def test_a_told_camera_without_errors_is_the_true_one():
    camera = cameras_of(arm_named("V-A"))[0]
    assert np.array_equal(told_camera(camera, Variant()).matrix, camera.matrix)


def test_the_case_file_is_the_last_thing_written(tmp_path, subject, patient, monkeypatch):
    """A case that was interrupted has none, and is made again."""
    import xrayreg.benchmark.study.case_making as making

    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(making, "write_json", fails)
    with pytest.raises(OSError, match="space"):
        made(tmp_path, small(arm_named("C-A")), subject, patient)
    assert (tmp_path / "xray.tif").exists() and not (tmp_path / CASE).exists()
