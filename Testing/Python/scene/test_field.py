"""The collimated field is found by its shape, whatever lies beyond it."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from xrayreg.checks import InputError
from xrayreg.scene import find_field

SIZE = 240
ROWS, COLUMNS = np.mgrid[:SIZE, :SIZE].astype(float)


def patient(seed: int) -> np.ndarray:
    """Transmission from 0 to 1 of tissue with bones and texture; the densest part is darker than 0.02."""
    generator = np.random.default_rng(seed)
    thickness = 1.5 + 1.5 * np.exp(-((COLUMNS - 130) ** 2 + (ROWS - 100) ** 2) / (2 * 70**2))
    for _ in range(6):
        (column, row), radius = generator.uniform(30, SIZE - 30, 2), generator.uniform(8, 35)
        thickness += 0.8 * np.sqrt(np.maximum(0, 1 - ((COLUMNS - column) ** 2 + (ROWS - row) ** 2) / radius**2))
    thickness += 0.1 * ndimage.gaussian_filter(generator.normal(size=(SIZE, SIZE)), 3) * 10
    photons = 30000
    return generator.poisson(photons * np.exp(-thickness)) / photons


def half_planes(*planes: tuple[float, float]) -> np.ndarray:
    """Where all of (outward angle in degrees, distance from the image's middle in pixels) hold."""
    middle = (SIZE - 1) / 2
    mask = np.ones((SIZE, SIZE), dtype=bool)
    for degrees, distance in planes:
        angle = np.radians(degrees)
        mask &= (COLUMNS - middle) * np.cos(angle) + (ROWS - middle) * np.sin(angle) < distance
    return mask


def disc(column: float, row: float, radius: float) -> np.ndarray:
    return np.hypot(COLUMNS - column, ROWS - row) < radius


SHAPES = {
    "circle": disc(118, 123, 105),
    "circle off centre and partly outside": disc(85, 100, 112),
    "rectangle": half_planes((0, 90), (90, 70), (180, 80), (270, 95)),
    "rotated rectangle": half_planes((17, 85), (107, 70), (197, 80), (287, 75)),
    "octagon": half_planes(*((45 * n + 10, 92.0) for n in range(8))),
    "circle cut by two blades": disc(120, 120, 108) & half_planes((90, 70), (270, 75)),
}
TONES = {
    "linear": lambda image: image,
    "logarithmic": lambda image: np.log(image + 1e-3),
    "gamma": lambda image: image**0.4,
    "inverted": lambda image: -np.log(image + 1e-3),
}


def collimated(seed: int, field: np.ndarray, tone: str, level: str) -> np.ndarray:
    """The patient within `field`, edge blurred by one pixel; beyond it one noisy level."""
    image = TONES[tone](patient(seed))
    low, high = np.quantile(image, (0.01, 0.99))
    outside = {"dark": low, "grey": (low + high) / 2, "bright": high}[level]
    noise = 0.005 * (high - low) * np.random.default_rng(seed + 1).normal(size=image.shape)
    inside = ndimage.gaussian_filter(field.astype(float), 0.7)
    return (inside * image + (1 - inside) * (outside + noise)).astype(np.float32)


def overlap(found: np.ndarray, true: np.ndarray) -> float:
    return float((found & true).sum() / (found | true).sum())


@pytest.mark.parametrize(
    ("tone", "level"),
    [
        ("linear", "dark"),
        ("linear", "grey"),
        ("logarithmic", "bright"),
        ("gamma", "grey"),
        ("inverted", "dark"),
        ("inverted", "bright"),
    ],
)
@pytest.mark.parametrize("shape", SHAPES)
def test_field_is_found_whatever_its_shape_tone_and_outside(shape, tone, level) -> None:
    field = SHAPES[shape]
    found, notes = find_field(collimated(len(shape), field, tone, level))
    # Two pixels are left out along the edge on purpose: 2 * perimeter / area is at most 0.06 for these shapes.
    assert overlap(found, field) > 0.92
    assert len(notes) == 1 and "field bounded by" in notes[0]


@pytest.mark.parametrize("shape", SHAPES)
def test_no_pixel_of_the_edge_or_beyond_is_kept(shape) -> None:
    field = SHAPES[shape]
    found, _ = find_field(collimated(3, field, "linear", "grey"))
    # The edge is blurred by 0.7 pixels; a rim of one pixel beyond the drawn one would be most of that blur.
    assert (found & ~field).sum() <= 0.001 * field.sum()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("tone", TONES)
def test_uncollimated_image_stays_whole(tone, seed) -> None:
    found, notes = find_field(TONES[tone](patient(seed)).astype(np.float32))
    assert found.all() and notes == ()


def test_patient_beside_saturated_air_stays_whole() -> None:
    # A body with a smooth convex skin line, and air burnt out beside it: featureless, but image.
    depth = np.maximum(0, 1 - ((COLUMNS - 240) / 190) ** 2 - ((ROWS - 110) / 260) ** 2)
    image = np.where(depth > 0, patient(2) * np.exp(-3 * np.sqrt(depth)), 1.0)
    found, _ = find_field(np.minimum(image, 0.9).astype(np.float32))
    assert found.mean() > 0.98


def test_circle_is_found_at_full_resolution_to_a_pixel() -> None:
    size, column, row, radius = 1200, 580.3, 611.7, 530.4
    rows, columns = np.mgrid[:size, :size].astype(float)
    image = np.where(np.hypot(columns - column, rows - row) < radius, ndimage.zoom(patient(1), 5, order=1), 0.1)
    found, _ = find_field(image.astype(np.float32))
    margin = 0.004 * size  # what is left out along the edge on purpose
    distance = radius - np.hypot(columns - column, rows - row)
    # The search image has pixels of five; half of its pixel would be 2.5 of these.
    assert np.array_equal(found[np.abs(distance - margin) > 1.5], (distance > margin)[np.abs(distance - margin) > 1.5])


def test_constant_border_strips_are_left_out() -> None:
    image = patient(4).astype(np.float32)
    image[:, :3], image[:, -5:], image[:2], image[-4:] = 65535, 0, 0, 65535
    found, notes = find_field(image)
    expected = np.zeros_like(found)
    expected[2:-4, 3:-5] = True
    assert np.array_equal(found, expected)
    assert "3 columns left, 5 right, 2 rows above, 4 below" in notes[0]


def test_circle_within_a_thin_black_frame_is_found() -> None:
    field = SHAPES["circle"]
    image = collimated(5, field, "gamma", "grey")
    image[:, :4] = image[:, -4:] = image[:4] = image[-4:] = 0
    assert overlap(find_field(image)[0], field) > 0.94  # two pixels of rim are 2 * 2 / 105


def test_saturated_regions_are_image() -> None:
    image = np.clip(patient(6), 0.08, 0.2)
    found, _ = find_field(image.astype(np.float32))
    assert (image == 0.08).mean() > 0.02 and (image == 0.2).mean() > 0.02
    assert found.all()


def test_same_image_gives_the_same_field_twice() -> None:
    image = collimated(1, SHAPES["octagon"], "linear", "grey")
    assert np.array_equal(find_field(image)[0], find_field(image)[0])


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (40, 40), (100, 30)])
def test_small_and_flat_images_are_taken_as_they_are(shape) -> None:
    image = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    assert find_field(image)[0].shape == shape
    assert find_field(np.ones(shape, dtype=np.float32))[0].all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_non_finite_image_is_refused(value) -> None:
    with pytest.raises(InputError, match="X-ray: expected finite values, found NaN or infinity"):
        find_field(np.full((20, 20), value, dtype=np.float32))


def test_stack_of_frames_is_refused() -> None:
    with pytest.raises(InputError, match="pick a frame"):
        find_field(np.zeros((2, 20, 20), dtype=np.float32))


def read(path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path))).astype(np.float32)


@pytest.mark.parametrize("name", ["cam01.tif", "cam02.tif"])
def test_image_intensifier_circle_of_real_x_rays_is_found(shared_data, name) -> None:
    image = read(shared_data("wrist", name))
    found, notes = find_field(image)
    assert "a circle was found" in notes[0]
    # Black lies nowhere in the field (the arm and the markers are lighter), and little light lies beyond it.
    assert (image[found] < 20).mean() < 0.001
    assert (image[~found] > 200).mean() < 0.02


@pytest.mark.parametrize("number", range(3))
def test_circle_beyond_which_all_is_grey_is_found(shared_data, number) -> None:
    image = read(shared_data("simulated", f"hard_chen_00{number}.tif"))
    # The simulator fills the outside with one value after its tone curve.
    outside = ndimage.binary_opening(image == image[0, 0], iterations=2)
    found, _ = find_field(image)
    assert not (found & outside).any()
    # Two pixels of rim and the blur of the opening on a circle of 105 to 125 pixels.
    assert overlap(found, ~outside) > 0.94


@pytest.mark.parametrize("name", ["chen_000", "chen_001", "chen_002", "local_000", "local_001"])
def test_uncollimated_x_rays_stay_whole(shared_data, name) -> None:
    found, _ = find_field(read(shared_data("simulated", f"{name}.tif")))
    assert found.all()
