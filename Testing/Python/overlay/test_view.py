"""Anatomy drawn on a view lies where geometry puts it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import xrayreg.overlay.anatomy
from xrayreg import slabs
from xrayreg.geometry import Camera, VoxelGrid
from xrayreg.overlay import (
    Caption,
    outline,
    overlay_view,
    pose_edges,
    pose_silhouettes,
    prepare_anatomy,
    prepare_labels,
    rendered,
    resampled,
    view_sheet,
)
from xrayreg.scene import Radiograph, Volume

RADIUS = 30.0
CENTRE = np.array([8.0, -5.0, 3.0])
DEPTH = 500.0


def pose(x: float = 0.0, y: float = 0.0, z: float = DEPTH) -> np.ndarray:
    """The volume's x to the right and z up in the image, seen along its y."""
    result = np.eye(4)
    result[:3, :3] = [[1, 0, 0], [0, 0, -1], [0, 1, 0]]
    result[:3, 3] = (x, y, z)
    return result


@pytest.fixture(scope="module")
def volume() -> Volume:
    """A ball of bone, labelled 2, in soft tissue; a speck of label 5."""
    grid = VoxelGrid.from_spacing((64, 64, 64), (2.0, 2.0, 2.0))
    index = np.indices((64, 64, 64))[::-1].reshape(3, -1).T
    points = index @ grid.volume_from_index[:3, :3].T + grid.volume_from_index[:3, 3]
    distance = np.linalg.norm(points - CENTRE, axis=1).reshape(64, 64, 64)
    values = np.clip(1000 - 1000 * (distance - RADIUS + 1) / 2, 0, 1000)  # a border one voxel wide
    labels = (2 * (distance < RADIUS)).astype(np.uint8)
    labels[60:62, 60:62, 60:62] = 5
    return Volume(np.where(distance < 60, values, -1000).astype(np.int16), grid, labels, {2: "ball_of_bone"})


@pytest.fixture(scope="module")
def anatomy(volume):
    return prepare_anatomy(volume, engine="torch", device="cpu")


@pytest.fixture
def view() -> Radiograph:
    camera = Camera.from_sid(800.0, 1.0, 200, 160)
    dense = np.random.default_rng(0).random((160, 200)).astype(np.float32)
    return Radiograph(np.exp(-dense), dense, np.ones((160, 200), dtype=bool), camera, "front")


def ball_outline(camera: Camera, camera_from_volume: np.ndarray) -> np.ndarray:
    """Pixels (N, 2) where rays touch the ball: the circle of contact, seen from the source."""
    middle = camera_from_volume[:3, :3] @ CENTRE + camera_from_volume[:3, 3]
    distance = np.linalg.norm(middle)
    axis = middle / distance
    across = np.cross(axis, [1.0, 0, 0])
    across /= np.linalg.norm(across)
    angle = np.linspace(0, 2 * np.pi, 4000)[:, None]
    ring = np.cos(angle) * across + np.sin(angle) * np.cross(axis, across)
    contact = middle * (1 - RADIUS**2 / distance**2) + ring * RADIUS * np.sqrt(1 - RADIUS**2 / distance**2)
    return camera.project(contact)


def furthest(points: np.ndarray, curve: np.ndarray) -> float:
    return float(np.linalg.norm(points[:, None] - curve, axis=-1).min(axis=1).max())


@pytest.mark.parametrize("shift", [(0.0, 0.0), (25.0, -12.0)])
def test_edges_and_silhouettes_lie_on_the_ball_s_outline(anatomy, view, shift):
    here = pose(*shift)
    curve = ball_outline(view.camera, here)
    edges = pose_edges(anatomy, view.camera, here)
    # A voxel is 3.2 pixels wide; a ball of voxels has flat faces, which lie up to a quarter of one inside.
    assert furthest(edges.points, curve) < 0.8
    away = edges.points - curve.mean(axis=0)
    assert abs(np.linalg.norm(away, axis=1).mean() - np.linalg.norm(curve - curve.mean(axis=0), axis=1).mean()) < 0.3
    seen = ((curve >= 1) & (curve <= [198, 158])).all(axis=1)
    assert furthest(curve[seen], edges.points) < 1.5  # one piece per pixel: no gap along the outline
    shape = pose_silhouettes(anatomy, view.camera, here)[2]
    lines = outline(shape.path_mm, shape.threshold_mm, shape.smoothing_px)
    assert furthest(lines.points, curve) < 0.75 * 3.2  # the labels' voxels are all or nothing
    # The longest chord is the ball's diameter, stair-stepped by voxels.
    assert shape.path_mm.max() == pytest.approx(2 * RADIUS, abs=2.0)


def test_labels_are_all_outlined_unless_structures_are_named(volume, anatomy):
    assert set(anatomy.labels) == {2, 5}
    chosen = prepare_anatomy(volume, (2,), engine="torch", device="cpu")
    assert set(chosen.labels) == {2}
    assert float(chosen.whole.mu.sum()) < 0.5 * float(anatomy.whole.mu.sum())


def test_rendering_only_the_visible_part_changes_nothing(anatomy, view):
    from xrayreg.render import render

    for here in (pose(), pose(x=70, y=40), pose(z=40), pose(x=4000)):
        full = render(anatomy.whole, view.camera, torch.as_tensor(here)[None])[0].numpy()
        # Rays are cast from the window's own principal point: float64 rounding.
        np.testing.assert_allclose(rendered(anatomy.whole, view.camera, here), full, atol=1e-5)
    assert full.max() == 0  # the last pose is out of sight


def test_a_large_picture_is_rendered_a_band_at_a_time_and_the_same(anatomy, view, monkeypatch):
    whole = rendered(anatomy.whole, view.camera, pose())
    monkeypatch.setattr("xrayreg.overlay.anatomy._AT_ONCE_PX", 2000)
    bands = []
    render = xrayreg.overlay.anatomy.render
    monkeypatch.setattr("xrayreg.overlay.anatomy.render", lambda *given: bands.append(given) or render(*given))
    # Rays are cast from each band's own principal point: float64 rounding.
    np.testing.assert_allclose(rendered(anatomy.whole, view.camera, pose()), whole, atol=1e-5)
    assert len(bands) > 5


def test_labels_can_be_prepared_alone(volume, anatomy):
    labels = prepare_labels(volume, engine="torch", device="cpu")
    assert set(labels) == set(anatomy.labels)
    for label, projector in labels.items():
        assert torch.equal(projector.mu, anatomy.labels[label].mu)


def test_an_overlay_has_the_x_ray_s_size_and_leaves_it_grey_elsewhere(anatomy, view):
    picture = overlay_view(view, anatomy, pose())
    assert picture.shape == (160, 200, 3) and picture.dtype == np.uint8
    curve = ball_outline(view.camera, pose())
    rows, columns = np.nonzero(picture.max(axis=-1) != picture.min(axis=-1))
    assert rows.size > 100
    inside = np.linalg.norm(np.stack([columns, rows], -1) - curve.mean(axis=0), axis=1)
    far = inside > np.linalg.norm(curve - curve.mean(axis=0), axis=1).max() + 8
    speck = anatomy.labels[5].grid.corners() @ pose()[:3, :3].T + pose()[:3, 3]
    near_speck = np.linalg.norm(np.stack([columns, rows], -1) - view.camera.project(speck).mean(axis=0), axis=1) < 16
    assert not (far & ~near_speck).any()


def test_anatomy_out_of_sight_leaves_the_picture_grey(anatomy, view):
    picture = overlay_view(view, anatomy, pose(x=4000))
    assert (picture.max(axis=-1) == picture.min(axis=-1)).all()


@pytest.mark.parametrize("factor", [0.5, 1.7, 3.0])
def test_a_point_keeps_its_place_when_the_view_is_resampled(view, factor):
    rows, columns = np.indices((160, 200))
    blob = np.exp(-((columns - 120.3) ** 2 + (rows - 61.8) ** 2) / (2 * 6.0**2)).astype(np.float32)
    scaled = resampled(Radiograph(blob, blob, view.valid, view.camera), factor)
    weight = scaled.attenuation / scaled.attenuation.sum()
    rows, columns = np.indices(weight.shape)
    found = np.array([(weight * columns).sum(), (weight * rows).sum()])
    matrix_from_matrix = scaled.camera.matrix @ np.linalg.inv(view.camera.matrix)
    expected = (matrix_from_matrix @ [120.3, 61.8, 1])[:2]
    # Bicubic kernels are symmetric, so the blob's centre of mass stays to a hundredth of a pixel.
    assert np.abs(found - expected).max() < 0.02
    assert abs(scaled.camera.width - 200 * factor) <= 0.5


@pytest.mark.parametrize(("registered", "initial"), [(pose(), None), (pose(), pose(x=15)), (pose(x=4000), pose())])
def test_a_sheet_is_made_with_and_without_an_initial_pose(anatomy, view, registered, initial):
    sheet = view_sheet(view, anatomy, registered, initial, Caption("front", accepted=True), panel_px=240)
    assert sheet.dtype == np.uint8
    assert sheet.shape[0] > 2 * 150 and sheet.shape[1] > 2 * 240


def test_real_x_rays_become_pictures_at_their_own_resolution(shared_data):
    from xrayreg.io import read_case

    scene = read_case(shared_data("wrist", "case.json"))
    drawn = prepare_anatomy(scene.volume, scene.structures)
    here = scene.views[1]
    picture = overlay_view(here, drawn, here.camera.camera_from_world @ scene.reference)
    assert picture.shape == (1760, 1760, 3)
    coloured = np.argwhere(picture.max(axis=-1).astype(int) - picture.min(axis=-1) > 40)
    # The radius lies in the lower left part of this view (seen by eye).
    assert (coloured.min(axis=0) > [1100, 450]).all() and (coloured.max(axis=0) < [1700, 750]).all()


def test_labels_are_found_slice_by_slice_as_they_are_at_once(volume, monkeypatch):
    at_once = prepare_anatomy(volume, engine="torch", device="cpu")
    monkeypatch.setattr(slabs, "_VOXELS", 1)
    made = prepare_anatomy(volume, engine="torch", device="cpu")
    assert list(made.labels) == list(at_once.labels) == [2, 5]
    for label, projector in at_once.labels.items():
        assert made.labels[label].grid.same_as(projector.grid)
        assert made.labels[label].mu.equal(projector.mu)
    assert made.bone.mu.equal(at_once.bone.mu)
