"""Image and camera stay in step: a point's blob is found where the camera projects the point."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from xrayreg.checks import InputError
from xrayreg.geometry import Camera
from xrayreg.scene import Radiograph

WIDTH, HEIGHT = 96, 80
POINT = np.array([17.0, -9.0, 700.0])
# Skewed, unequal focal lengths and a principal point off centre, so that no symmetry hides a mistake.
CAMERA = Camera(
    np.array([[900.0, 4.0, 41.3], [0.0, 850.0, 52.8], [0.0, 0.0, 1.0]]), WIDTH, HEIGHT, np.eye(4), pixel_mm=0.4
)


def blob_view(camera: Camera = CAMERA, point: np.ndarray = POINT, blur: float = 3.0) -> Radiograph:
    """A view with a Gaussian blob drawn about the projection of `point`."""
    column, row = camera.project(point)
    rows, columns = np.mgrid[: camera.height, : camera.width]
    image = np.exp(-((columns - column) ** 2 + (rows - row) ** 2) / (2 * blur**2)).astype(np.float32)
    return Radiograph(image, image.copy(), np.ones(image.shape, dtype=bool), camera)


def blob(image: np.ndarray) -> np.ndarray:
    """Centre of mass (column, row)."""
    rows, columns = np.indices(image.shape)
    return np.array([(columns * image).sum(), (rows * image).sum()], dtype=np.float64) / image.sum()


def check(view: Radiograph, point: np.ndarray = POINT) -> None:
    # The blob is sampled three sigmas per pixel block at least: its centre of mass is good to a hundredth of a pixel.
    np.testing.assert_allclose(blob(view.recorded), view.camera.project(point), atol=0.01)
    np.testing.assert_allclose(blob(view.attenuation), view.camera.project(point), atol=0.01)


def test_drawn_blob_is_where_it_was_drawn() -> None:
    check(blob_view())


def test_cropping_keeps_the_blob_at_the_projection() -> None:
    view = blob_view().cropped(31, 17, 50, 48)
    assert view.recorded.shape == (48, 50)
    check(view)


@pytest.mark.parametrize("factor", [1, 2, 3, 5])
def test_reducing_keeps_the_blob_at_the_projection(factor) -> None:
    view = blob_view().reduced(factor)
    assert view.recorded.shape == (HEIGHT // factor, WIDTH // factor)
    assert view.recorded.dtype == view.attenuation.dtype == np.float32
    check(view)
    assert view.camera.sid_mm == pytest.approx(CAMERA.sid_mm)


def test_mirroring_shows_the_blob_where_the_mirrored_point_projects() -> None:
    view = blob_view().mirrored()
    assert view.reflected
    check(view, POINT * [-1, 1, 1])


def test_mirroring_twice_is_nothing() -> None:
    view = blob_view()
    twice = view.mirrored().mirrored()
    np.testing.assert_array_equal(twice.recorded, view.recorded)
    np.testing.assert_allclose(twice.camera.matrix, view.camera.matrix, atol=1e-12)
    assert not twice.reflected


def test_operations_compose() -> None:
    check(blob_view().cropped(7, 3, 80, 72).reduced(2).mirrored().cropped(3, 2, 34, 32), POINT * [-1, 1, 1])


def test_images_of_every_view_can_become_tensors() -> None:
    for view in (blob_view().mirrored(), blob_view().cropped(1, 2, 9, 8), blob_view().reduced(2)):
        assert torch.from_numpy(view.attenuation).shape == view.valid.shape


def test_invalid_pixels_do_not_speak_in_the_means() -> None:
    view = blob_view()
    valid = np.ones((HEIGHT, WIDTH), dtype=bool)
    valid[10:13, 20:23] = False
    wrong = view.attenuation.copy()
    wrong[~valid] = 1e6
    found = Radiograph(view.recorded, wrong, valid, CAMERA).reduced(4)
    # Rows 10 to 12 and columns 20 to 22 fill six of the sixteen pixels of one block, three of the block below.
    assert found.valid.all()
    assert found.attenuation.max() <= 1.0
    rest = view.attenuation[8:12, 20:24][valid[8:12, 20:24]]
    assert found.attenuation[2, 5] == pytest.approx(rest.mean(), rel=1e-5)  # float32


def test_block_that_is_mostly_invalid_is_invalid() -> None:
    view = blob_view()
    valid = np.ones((HEIGHT, WIDTH), dtype=bool)
    valid[:4, :2] = False  # half of the first block
    valid[4:8, :3] = False  # three quarters of the next
    valid[8:12, :4] = False  # all of the one below
    found = Radiograph(view.recorded, view.attenuation, valid, CAMERA).reduced(4)
    assert found.valid[:4, 0].tolist() == [True, False, False, True]
    assert np.isfinite(found.attenuation).all()


@pytest.mark.parametrize("window", [(-1, 0, 9, 9), (0, -9, 9, 9), (90, 0, 9, 9), (0, 75, 9, 9)])
def test_window_that_leaves_the_image_is_refused(window) -> None:
    with pytest.raises(ValueError, match="leaves the image of 96 x 80"):
        blob_view().cropped(*window)


@pytest.mark.parametrize("factor", [0, -2, 81])
def test_factor_that_leaves_nothing_is_refused(factor) -> None:
    with pytest.raises(ValueError, match=f"factor {factor} leaves nothing of 96 x 80 pixels"):
        blob_view().reduced(factor)


@pytest.mark.parametrize(
    ("name", "what"), [("recorded", "X-ray"), ("attenuation", "line integrals"), ("valid", "mask")]
)
def test_image_of_another_size_than_the_camera_is_refused(name, what) -> None:
    images = {key: np.zeros((HEIGHT, WIDTH)) for key in ("recorded", "attenuation", "valid")}
    images[name] = images[name][:, 1:]
    with pytest.raises(InputError, match=f"{what} of left: expected the camera's size 96 x 80, found 95 x 80 pixels"):
        Radiograph(**images, camera=CAMERA, name="left")
