"""Line integrals follow from counts by Beer and Lambert's law, whichever way round they were recorded."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from xrayreg.checks import InputError
from xrayreg.scene import find_field, line_integrals, zero_of_counts

SIZE = 128
ROWS, COLUMNS = np.mgrid[:SIZE, :SIZE].astype(float)
ALL = np.ones((SIZE, SIZE), dtype=bool)
# A body of thickness up to 3 with a bone in it, and open air along both sides.
BODY = 3 * np.sqrt(np.maximum(0, 1 - ((COLUMNS - 63) / 50) ** 2))
BODY += np.sqrt(np.maximum(0, 1 - ((COLUMNS - 70) ** 2 + (ROWS - 60) ** 2) / 20**2))


def counts(photons: float, gain: float = 1.0, seed: int = 0) -> np.ndarray:
    return (gain * np.random.default_rng(seed).poisson(photons * np.exp(-BODY))).astype(np.float32)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 6e4])
def test_transmission_gives_back_the_line_integrals(scale) -> None:
    found, notes = line_integrals((scale * np.exp(-BODY)).astype(np.float32), ALL, "transmission")
    assert found.dtype == np.float32
    assert len(notes) == 1 and "brightest value" in notes[0]  # the air of this image has no noise
    # float32 holds the logarithm to 1e-6; I0 is exact because the air is flat, the floor lies below exp(-4).
    np.testing.assert_allclose(found, BODY, atol=1e-5)


def test_scaling_the_counts_changes_nothing() -> None:
    image = counts(2000)
    one, _ = line_integrals(image, ALL, "transmission")
    other, _ = line_integrals(37 * image, ALL, "transmission")
    np.testing.assert_allclose(one, other, atol=1e-5)  # rounding of float32


def test_noisy_air_sets_the_unattenuated_level() -> None:
    found, _ = line_integrals(counts(2000), ALL, "transmission")
    # The maximum of the smoothed noise lies some four of its standard deviations (0.4 %) above the level itself.
    assert abs(float(np.median((found - BODY)[BODY == 0]))) < 0.03


def test_pixels_without_photons_do_not_become_outliers() -> None:
    image = counts(300)
    image[60, 60] = image[20, 64] = 0
    found, _ = line_integrals(image, ALL, "transmission")
    assert found.max() < BODY.max() + 2.5  # 0.5 % quantile of Poisson(5.5) is one or none; half of one is log 11 below


def test_hot_pixel_does_not_set_the_unattenuated_level() -> None:
    image = np.exp(-BODY).astype(np.float32)
    image[64, 64] = 5.0
    found, _ = line_integrals(image, ALL, "transmission")
    # Smoothing with variance 2 leaves 1 / (4 pi) of a single pixel.
    assert abs(float(np.median(found[BODY == 0]))) < 5 / (4 * np.pi)


def test_pixels_outside_the_field_have_no_say() -> None:
    image = np.exp(-BODY).astype(np.float32)
    valid = ALL.copy()
    valid[:, :6] = False
    image[:, :6] = 60.0
    found, _ = line_integrals(image, valid, "transmission")
    np.testing.assert_allclose(found[valid], BODY[valid], atol=1e-5)
    assert np.isfinite(found).all()


def test_starved_speckle_is_filled_from_its_neighbours() -> None:
    image = np.exp(-BODY).astype(np.float32)
    sown = (np.random.default_rng(0).random(image.shape) < 0.03) & (BODY > 2)
    image[sown] *= 0.01
    found, notes = line_integrals(image, ALL, "transmission")
    # Where two or three lie together the median of eight still holds; the body changes by 0.2 from pixel to pixel.
    assert np.abs(found - BODY)[sown].max() < 0.5
    assert "median of their neighbours" in notes[0]


def test_metal_is_not_taken_for_speckle() -> None:
    body = BODY.copy()
    body[40:80, 50:54] += 2
    found, _ = line_integrals(np.exp(-body).astype(np.float32), ALL, "transmission")
    np.testing.assert_allclose(found, body, atol=1e-4)


def test_attenuation_passes_through_with_its_zero_shifted() -> None:
    found, _ = line_integrals((BODY - 0.7).astype(np.float32), ALL, "attenuation")
    np.testing.assert_allclose(found, BODY, atol=1e-6)
    assert found.dtype == np.float32


@pytest.mark.parametrize("curve", [lambda i: i, np.sqrt, lambda i: np.log(i + 1) + 1], ids=["linear", "root", "log"])
def test_polarity_is_told_from_where_the_air_lies(curve) -> None:
    image = curve(counts(5000))
    assert "transmission" in line_integrals(image, ALL)[1][0]
    assert "attenuation" in line_integrals(image.max() - image, ALL)[1][0]


@pytest.mark.parametrize("end", ["dark", "bright"])
def test_a_saturated_end_of_the_grey_scale_does_not_turn_the_polarity(end) -> None:
    low, high = np.quantile(counts(2000), (0.3, 0.7))
    image = np.maximum(counts(2000), low) if end == "dark" else np.minimum(counts(2000), high)
    _, notes = line_integrals(image, ALL)
    assert "Read as transmission" in notes[0]


def test_negative_values_cannot_be_counts() -> None:
    found, notes = line_integrals((BODY - 0.1).astype(np.float32), ALL)
    assert "negative" in notes[0]
    assert np.corrcoef(found.ravel(), BODY.ravel())[0, 1] > 0.999  # shifted, else the same


def test_undecided_polarity_is_admitted() -> None:
    image = np.random.default_rng(0).uniform(1, 2, size=(SIZE, SIZE)).astype(np.float32)
    _, notes = line_integrals(image, ALL)
    assert "by custom" in notes[0]


def almost_constant(share: float, level: float) -> np.ndarray:
    image = np.exp(-BODY).astype(np.float32)
    image.flat[: int(share * image.size)] = level
    return image


@pytest.mark.parametrize(
    ("image", "valid", "words"),
    [
        (np.full((SIZE, SIZE), np.nan), ALL, "found NaN or infinity"),
        (np.ones((SIZE, SIZE)), ALL, "found the constant 1"),
        (np.ones((SIZE, SIZE)), ~ALL, "pixels that hold image, found none"),
        (np.ones((SIZE, SIZE)), ALL[1:], r"found shapes \(128, 128\) and \(127, 128\)"),
        (almost_constant(0.95, 7.0), ALL, "saturated at its bright end"),
        (almost_constant(0.95, 0.0), ALL, "saturated at its dark end"),
    ],
    ids=["nan", "constant", "empty", "shapes", "burnt out", "black"],
)
@pytest.mark.parametrize("kind", ["auto", "transmission", "attenuation"])
def test_unusable_images_are_refused(image, valid, words, kind) -> None:
    with pytest.raises(InputError, match=words):
        line_integrals(image.astype(np.float32), valid, kind)


def test_saturation_is_told() -> None:
    image = np.minimum(np.exp(-BODY), 0.5).astype(np.float32)
    assert "brightest value of all" in line_integrals(image, ALL, "transmission")[1][-1]


NAMES = ["simulated/" + name for name in ("chen_000", "chen_001", "chen_002", "local_000", "hard_chen_000")]
NAMES += ["simulated/hard_chen_001", "simulated/hard_chen_002", "wrist/cam01", "wrist/cam02"]


@pytest.mark.parametrize("name", NAMES)
def test_polarity_of_recorded_x_rays_is_told_both_ways(shared_data, name) -> None:
    image = sitk.GetArrayFromImage(sitk.ReadImage(str(shared_data(f"{name}.tif")))).astype(np.float32)
    valid, _ = find_field(image)
    integrals, notes = line_integrals(image, valid)
    assert notes[0].startswith("Read as transmission")
    assert line_integrals(integrals, valid)[1][0].startswith("Read as attenuation")


@pytest.mark.parametrize("image", [-BODY - 1, BODY - 2, 0 * BODY - 5 - np.exp(-BODY)], ids=["none", "some", "counts"])
def test_what_is_negative_is_not_taken_for_counts(image) -> None:
    with pytest.raises(InputError, match=r"expected counts, which are not negative.*undo the offset"):
        line_integrals(image.astype(np.float32), ALL, "transmission")


def test_the_noise_of_a_subtracted_dark_image_is_no_offset() -> None:
    image = counts(5000) - 100 + np.random.default_rng(1).normal(0, 10, BODY.shape).astype(np.float32)
    assert image.min() < 0
    found, notes = line_integrals(image, ALL)
    assert "transmission" in notes[0]
    assert np.corrcoef(found.ravel(), BODY.ravel())[0, 1] > 0.9


@pytest.mark.parametrize("level", [1.0, 1000.0])
@pytest.mark.parametrize("kind", ["transmission", "attenuation", "auto"])
def test_attenuation_that_is_the_same_everywhere_is_refused(kind, level) -> None:
    # A few steps of single precision.
    image = (level * (1 + 2e-7 * (ROWS % 2) + 1e-7 * (COLUMNS % 3 == 0))).astype(np.float32)
    assert image.min() < image.max()
    with pytest.raises(InputError, match=r"the same everywhere in the field"):
        line_integrals(image, ALL, kind)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("share", [0.3, 1.0])
def test_the_zero_of_signed_counts_is_the_end_of_their_scale(bits, share) -> None:
    half = 1 << bits - 1
    stored = np.linspace(-half * share, half * share - 1, 1000).astype(np.int32)
    assert zero_of_counts(stored) == -half or share < 1
    # Whatever the scale, no count is negative.
    assert zero_of_counts(stored) <= stored.min()


@pytest.mark.parametrize(
    "stored",
    [np.array([0, 70000]), np.array([-3, 60000]), np.array([0, 9], np.uint8), np.array([-5.0, 7.0])],
    ids=["counts", "noise", "unsigned", "floating-point"],
)
def test_other_numbers_are_counted_from_0(stored) -> None:
    assert zero_of_counts(stored) == 0


@pytest.mark.parametrize("custom", ["transmission", "attenuation"])
def test_custom_decides_only_where_the_image_does_not(custom) -> None:
    noise = np.random.default_rng(0).uniform(1, 2, size=(SIZE, SIZE)).astype(np.float32)
    assert f"Read as {custom}, as I say" in line_integrals(noise, ALL, "auto", (custom, "I say"))[1][0]
    assert "Read as transmission" in line_integrals(counts(5000), ALL, "auto", (custom, "I say"))[1][0]
