"""An X-ray of any camera becomes the network's, ray by ray."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from closed_forms import Blob, ball_chords, blob_image
from torch import Tensor

from xrayreg.checks import InputError
from xrayreg.geometry import Camera, rigid
from xrayreg.networks.model.input_image import network_input, to_network_camera
from xrayreg.networks.model.network_camera import network_camera_for, pinhole
from xrayreg.scene import Radiograph
from xrayreg.settings import NetworkCamera

NETWORK = NetworkCamera(image_px=64, field_mm=300.0, sid_mm=1000.0)
POSE = rigid(torch.eye(3, dtype=torch.float64), torch.tensor([0.0, 0.0, 700.0], dtype=torch.float64))[None]
# Off centre both ways and unequal, so that no symmetry hides a mistake; four network pixels wide and more.
BLOBS = (Blob((31.0, -17.0, 12.0), 14.0, 0.03), Blob((-40.0, 23.0, -20.0), 14.0, 0.02))

# Each differs from the network's camera in several numbers at once; all cover its field.
CAMERAS = {
    "longer, finer, off centre": Camera(
        np.array([[2600.0, 0.0, 415.3], [0.0, 2600.0, 396.8], [0.0, 0.0, 1.0]]), 826, 806, np.eye(4), 0.5
    ),
    "wider than high pixels, skewed": Camera(
        np.array([[1500.0, 6.0, 241.2], [0.0, 2050.0, 313.7], [0.0, 0.0, 1.0]]), 480, 640, np.eye(4), 0.6
    ),
    "coarser": Camera(np.array([[120.0, 0.0, 23.4], [0.0, 110.0, 18.9], [0.0, 0.0, 1.0]]), 44, 40, np.eye(4), 8.0),
    "the network's own": pinhole(NETWORK),
    "of unknown pitch": Camera(
        np.array([[2400.0, 0.0, 400.0], [0.0, 2410.0, 390.0], [0.0, 0.0, 1.0]]), 800, 790, np.eye(4)
    ),
}


def xray(camera: Camera, image: Tensor, valid: np.ndarray | None = None) -> Radiograph:
    attenuation = image.float().numpy()
    return Radiograph(attenuation, attenuation, np.ones(attenuation.shape, bool) if valid is None else valid, camera)


def blobs(camera: Camera) -> Tensor:
    return blob_image(camera, POSE, BLOBS)[0]


def centroid(image: Tensor) -> np.ndarray:
    """Centre of mass (column, row)."""
    values = image.double().numpy()
    rows, columns = np.indices(values.shape)
    return np.array([(columns * values).sum(), (rows * values).sum()]) / values.sum()


def shift_px(moving: Tensor, fixed: Tensor) -> np.ndarray:
    """The shift (column, row) that explains moving - fixed best, to first order."""
    fixed = fixed.double()
    slopes = torch.stack(torch.gradient(fixed), -1).flip(-1).reshape(-1, 2)
    return torch.linalg.lstsq(slopes, (fixed - moving.double()).reshape(-1, 1)).solution[:, 0].numpy()


@pytest.mark.parametrize("name", CAMERAS)
def test_resampled_xray_is_the_one_the_network_camera_takes(name) -> None:
    found, valid = to_network_camera(xray(CAMERAS[name], blobs(CAMERAS[name])), NETWORK)
    expected = blobs(pinhole(NETWORK))
    assert found.shape == valid.shape == (1, 64, 64)
    assert found.dtype == valid.dtype == torch.float32
    assert bool(valid.all())
    # A hundredth of a pixel is the error of the means' second moments; half a pixel would be an error of convention.
    assert np.abs(shift_px(found[0], expected)).max() < 0.01
    np.testing.assert_allclose(centroid(found[0]), centroid(expected), atol=0.02)
    # Averaging over a pixel, or interpolating over eight millimetres, blurs a peak of three pixels by a few percent.
    assert float((found[0] - expected).abs().max()) < (0.08 if name == "coarser" else 0.02) * float(expected.max())


def test_measure_of_shifts_sees_half_a_pixel() -> None:
    camera = pinhole(NETWORK)
    matrix = camera.matrix.copy()
    matrix[:2, 2] += [0.5, -0.25]
    moved = blobs(Camera(matrix, 64, 64, np.eye(4)))
    np.testing.assert_allclose(shift_px(moved, blobs(camera)), [0.5, -0.25], atol=0.02)


@pytest.mark.parametrize("name", ["longer, finer, off centre", "wider than high pixels, skewed"])
def test_sharp_edge_of_a_ball_lands_where_it_belongs(name) -> None:
    middle, radius = np.array([28.0, -21.0, 10.0]), 30.0
    found, _ = to_network_camera(xray(CAMERAS[name], ball_chords(CAMERAS[name], POSE, middle, radius)), NETWORK)
    # Nine rays through every pixel's area stand for its mean.
    fine = NetworkCamera(64 * 3, NETWORK.field_mm, NETWORK.sid_mm)
    chords = ball_chords(pinhole(fine), POSE, middle, radius).reshape(64, 3, 64, 3).mean((1, 3))
    assert np.abs(shift_px(found[0], chords)).max() < 0.02
    assert float((found[0] - chords).abs().max()) < 0.03 * 2 * radius


def test_smaller_xray_is_valid_only_where_it_has_image() -> None:
    # Covers slopes -0.05..0.1 across and -0.1..0.025 down of the network's -0.15..0.15.
    camera = Camera(np.array([[2000.0, 0.0, 99.5], [0.0, 2000.0, 199.5], [0.0, 0.0, 1.0]]), 300, 250, np.eye(4), 0.5)
    found, valid = to_network_camera(xray(camera, torch.ones(250, 300)), NETWORK)
    slope = (np.arange(64) + 0.5) / 64 * 0.3 - 0.15
    across, down = (slope > -0.05) & (slope < 0.1), (slope > -0.1) & (slope < 0.025)
    np.testing.assert_array_equal(valid[0].numpy() > 0, down[:, None] & across)
    # What little the border's pixels lack is not taken for darkness.
    np.testing.assert_allclose(found[0].numpy(), valid[0].numpy(), atol=1e-6)


def test_invalid_pixels_stay_out_of_the_means_and_out_of_the_mask() -> None:
    camera = CAMERAS["longer, finer, off centre"]
    image, usable = blobs(camera), np.ones((camera.height, camera.width), bool)
    usable[:, 500:] = False
    image[:, 500:] = float("nan")
    found, valid = to_network_camera(xray(camera, image, usable), NETWORK)
    whole, _ = to_network_camera(xray(camera, blobs(camera)), NETWORK)
    edge = (500 - 0.5 - camera.matrix[0, 2]) / camera.matrix[0, 0]
    slope = (np.arange(64) + 0.5) / 64 * 0.3 - 0.15
    np.testing.assert_array_equal(valid[0].numpy() > 0, np.broadcast_to(slope < edge, (64, 64)))
    clear = slope < edge - 0.3 / 64
    np.testing.assert_allclose(found[0][:, clear], whole[0][:, clear], atol=1e-6)
    assert bool((found[valid == 0] == 0).all())


def test_xray_that_the_network_does_not_see_is_nowhere_valid() -> None:
    camera = Camera(np.array([[900.0, 0.0, 900.0], [0.0, 900.0, 40.0], [0.0, 0.0, 1.0]]), 80, 80, np.eye(4))
    found, valid = to_network_camera(xray(camera, torch.ones(80, 80)), NETWORK)
    assert float(valid.sum()) == float(found.abs().sum()) == 0


def test_offset_of_the_xray_costs_no_digits() -> None:
    camera = CAMERAS["wider than high pixels, skewed"]
    plain, _ = to_network_camera(xray(camera, blobs(camera)), NETWORK)
    lifted, _ = to_network_camera(xray(camera, blobs(camera) + 4096), NETWORK)
    # The float32 image itself rounds 4096 to a quarter of a thousandth.
    np.testing.assert_allclose(lifted - 4096, plain, atol=6e-4)


@pytest.mark.parametrize("name", CAMERAS)
def test_camera_made_for_an_xray_covers_it_and_no_more(name) -> None:
    camera = CAMERAS[name]
    made = network_camera_for(camera, 128)
    pixels = np.array([[u, v, 1.0] for u in (-0.5, camera.width - 0.5) for v in (-0.5, camera.height - 0.5)])
    seen = pinhole(made).project(pixels @ np.linalg.inv(camera.matrix).T)
    assert made.image_px == 128
    assert seen.min() > -0.5 - 1e-9
    assert seen.max() < 127.5 + 1e-9
    assert min(seen.min() + 0.5, 127.5 - seen.max()) < 1e-9


def test_camera_of_unknown_pitch_gets_a_nominal_distance_and_the_same_rays() -> None:
    known = CAMERAS["wider than high pixels, skewed"]
    bare = Camera(known.matrix, known.width, known.height, np.eye(4))
    with_pitch, without = network_camera_for(known, 64), network_camera_for(bare, 64)
    assert with_pitch.sid_mm == pytest.approx(known.sid_mm)
    assert without.sid_mm == pytest.approx(1000.0)
    np.testing.assert_allclose(pinhole(without).matrix, pinhole(with_pitch).matrix, rtol=1e-12)
    for one, other in zip(
        to_network_camera(xray(bare, blobs(bare)), without),
        to_network_camera(xray(known, blobs(known)), with_pitch),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_input_is_deaf_to_gain_and_offset_and_to_what_is_not_valid() -> None:
    image = torch.rand(3, 20, 24, generator=torch.Generator().manual_seed(0))
    valid = torch.ones_like(image)
    valid[:, :4] = 0
    plain = network_input(image, valid)
    other = image * torch.tensor([0.2, 3.0, 40.0])[:, None, None] + torch.tensor([5.0, -1.0, 0.0])[:, None, None]
    other[:, :4] = float("nan")
    np.testing.assert_allclose(network_input(other, valid), plain, atol=2e-5)
    inside = plain[:, 0, 4:]
    np.testing.assert_allclose(inside.mean((-2, -1)), 0, atol=1e-5)
    np.testing.assert_allclose(inside.std((-2, -1), correction=0), 1, atol=1e-5)
    assert bool((plain[:, 0, :4] == 0).all())
    np.testing.assert_array_equal(plain[:, 1], valid)


def test_outliers_are_cut_off() -> None:
    image = torch.rand(1, 30, 30, generator=torch.Generator().manual_seed(0))
    image[0, 3, 4] = 1000.0
    assert float(network_input(image, torch.ones_like(image))[:, 0].max()) == 4.0


@pytest.mark.parametrize("value", [0.0, 7.3, -1e6])
def test_flat_image_and_nothing_valid_give_zeros(value) -> None:
    image = torch.full((2, 9, 9), value)
    valid = torch.ones_like(image)
    valid[1] = 0
    made = network_input(image, valid)
    assert bool((made[:, 0] == 0).all()) and bool((made[:, 2] == 0).all())
    np.testing.assert_array_equal(made[:, 1], valid)


def test_local_contrast_hardly_sees_haze_and_tone() -> None:
    """What scatter and tone curves do to the image as a whole is mostly gone from its third channel."""
    image = blobs(pinhole(NETWORK)).float()[None] + 0.2 * torch.rand(
        1, 64, 64, generator=torch.Generator().manual_seed(0)
    )
    slope = torch.linspace(-3, 3, 64).expand(1, 64, 64) * image.std()
    valid = torch.ones_like(image)
    plain, hazy = network_input(image, valid), network_input(image + slope, valid)
    apart = (hazy - plain).square().mean((-2, -1)).sqrt()[0]
    assert float(apart[0]) > 0.5
    assert float(apart[2]) < 0.5 * float(apart[0])


def test_local_contrast_is_zero_where_nothing_is_known_and_bounded_elsewhere() -> None:
    image = torch.rand(1, 32, 32, generator=torch.Generator().manual_seed(1))
    valid = torch.ones_like(image)
    valid[:, :, 20:] = 0
    image[:, :, 20:] = float("nan")
    made = network_input(image, valid)[0, 2]
    assert bool((made[:, 20:] == 0).all()) and bool(made.isfinite().all())
    # A window of five pixels a side: none of n values lies further than sqrt(n) deviations from their mean.
    assert float(made.abs().max()) <= 5.0


@pytest.mark.parametrize(
    "camera",
    [
        NetworkCamera(0),
        NetworkCamera(field_mm=0.0),
        NetworkCamera(sid_mm=float("nan")),
        NetworkCamera(field_mm=float("nan")),
    ],
)
def test_impossible_camera_is_refused(camera) -> None:
    with pytest.raises(InputError):
        pinhole(camera)
