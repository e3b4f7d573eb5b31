"""A pose puts the patient between source and detector, or is refused before anything is computed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xrayreg.checks import InputError
from xrayreg.geometry import Camera, VoxelGrid, camera_from_carm
from xrayreg.scene import Attenuation, Radiograph, Scene, Volume, coarsened

SIDE, VOXEL_MM = 20, 10.0


def volume() -> Volume:
    """A ball of water of 60 mm radius in a box of air of 200 mm, its middle at (30, -20, 50)."""
    matrix = np.diag([VOXEL_MM, VOXEL_MM, VOXEL_MM, 1.0])
    matrix[:3, 3] = np.array([30.0, -20.0, 50.0]) - VOXEL_MM * (SIDE - 1) / 2
    k, j, i = np.indices((SIDE,) * 3) - (SIDE - 1) / 2
    values = np.where(np.sqrt(i**2 + j**2 + k**2) * VOXEL_MM < 60.0, 0, -1000).astype(np.int16)
    return Volume(values, VoxelGrid((SIDE,) * 3, matrix))


VOLUME = volume()


def view(camera_from_world: np.ndarray | None = None, pixel_mm: float | None = 2.0, name: str = "front") -> Radiograph:
    camera = Camera.from_sid(1000.0, 2.0, 32, 32, camera_from_world)
    image = np.zeros((32, 32), np.float32)
    return Radiograph(image, image, image > -1, replace(camera, pixel_mm=pixel_mm), name)


def pose(depth_mm: float, sideways_mm: float = 0.0, turn_deg: float = 20.0) -> np.ndarray:
    """camera_from_volume with the volume's middle at this depth."""
    placed = camera_from_carm(turn_deg, 10.0, 500.0, VOLUME.grid.centre)
    placed[:3, 3] += [sideways_mm, 0.0, depth_mm - 500.0]
    return placed


def scene(at: np.ndarray, **changes) -> Scene:
    return Scene(**{"volume": VOLUME, "views": (view(),), "initial": at, **changes})


@settings(max_examples=40)
@given(depth=st.floats(110.0, 1050.0), turn=st.floats(-180.0, 180.0))
def test_crude_poses_between_source_and_detector_are_taken(depth, turn):
    assert scene(pose(depth, turn_deg=turn)).initial is not None


REFUSED = {
    "nearly a kilometre": (pose(9e5), "9e\\+05 mm from the source"),
    "eleven metres": (pose(11_000.0), "more than 10000 mm"),
    "eleven metres sideways": (pose(500.0, 11_000.0), "more than 10000 mm"),
    "in metres": (pose(0.5), "the X-ray source inside the patient"),
    "around the source": (pose(55.0), "the X-ray source inside the patient"),
    "beyond the detector": (pose(1500.0), "beyond the detector"),
}


@pytest.mark.parametrize(("at", "words"), REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("name", ["initial", "reference"])
def test_where_no_patient_can_be_none_is_put(name, at, words):
    with pytest.raises(InputError, match=f"{name} pose: expected .*{words}"):
        Scene(VOLUME, (view(),), **{name: at})


def test_a_source_in_the_air_of_a_large_scan_is_taken():
    # 80 mm from the middle: inside the box, outside the ball.
    assert scene(pose(80.0)).initial is not None


def test_a_detector_whose_distance_was_assumed_refuses_no_pose():
    assumed = replace(view(), origins={"SID": "assumed: the image does not tell"})
    assert scene(pose(1500.0), views=(assumed,)).initial is not None


def test_where_the_detector_is_is_not_asked_without_a_pixel_pitch():
    far = pose(1500.0)
    scene(far, views=(view(pixel_mm=None),))


def test_every_view_is_asked():
    side = camera_from_carm(110.0, 10.0, 500.0, VOLUME.grid.centre) @ np.linalg.inv(pose(500.0))
    side[2, 3] -= 1500.0
    with pytest.raises(InputError, match="behind the source, in side"):
        scene(pose(500.0), views=(view(), view(side, name="side")))


def test_views_from_different_sides_whose_sources_coincide_are_refused():
    first, second = (camera_from_carm(angle, 0.0, 700.0, [0.0, 0.0, 0.0]) for angle in (0.0, 90.0))
    assert Scene(VOLUME, (view(first), view(second, name="side"))).views
    metres = [matrix * np.array([[1, 1, 1, 1e-3]] * 3 + [[1, 1, 1, 1]]) for matrix in (first, second)]
    with pytest.raises(InputError, match=r"cameras of front and side: .* in millimetres"):
        Scene(VOLUME, tuple(view(matrix, name=name) for matrix, name in zip(metres, ("front", "side"), strict=True)))


def test_two_images_of_one_camera_are_taken():
    assert len(Scene(VOLUME, (view(), view(name="again"))).views) == 2


@pytest.mark.parametrize("voxel_mm", [1e3, 1e6, 1e12])
def test_coarsening_beyond_the_whole_makes_one_voxel_of_it(voxel_mm):
    mu = torch.rand((3, 4, 5), generator=torch.Generator().manual_seed(0))
    coarse = coarsened(Attenuation(mu, VoxelGrid((5, 4, 3), np.diag([1.0, 2.0, 3.0, 1.0]))), voxel_mm)
    assert coarse.mu.shape == (1, 1, 1)
    # Mass is kept: the one voxel has the whole's volume and mean. Single precision.
    assert float(coarse.mu) == pytest.approx(float(mu.mean()), rel=1e-6)
    np.testing.assert_allclose(coarse.grid.spacing_mm, [5.0, 8.0, 9.0])
