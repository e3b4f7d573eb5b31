"""A mark on the detector is followed through crop, turn, flip and pixel data area, as the numbers say of the ray."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from xrayreg.checks import InputError
from xrayreg.io.dicom_readout import central_ray, readout
from xrayreg.io.dicom_tags import TagReader

PITCH = 0.2
DETECTOR = (60, 80)  # rows, columns of elements
KINDS = list(itertools.product((0, 90, 180, 270), ("NO", "YES")))


def enhanced(field, rotation, flip, area, centre) -> Dataset:
    """The attributes of a frame: field (row, column, height, width) of elements, area (row, column) in it."""
    dataset, shared, properties, view = Dataset(), Dataset(), Dataset(), Dataset()
    dataset.DetectorElementSpacing = [PITCH, PITCH]
    dataset.PositionOfIsocenterProjection = [float(x) for x in centre]
    properties.PixelDataAreaOriginRelativeToFOV = [float(x) for x in area]
    properties.PixelDataAreaRotationAngleRelativeToFOV = 0.0
    view.FieldOfViewOrigin = [float(x) for x in field[:2]]
    view.FieldOfViewDimensionsInFloat = [float(x) * PITCH for x in field[2:]]
    view.FieldOfViewRotation, view.FieldOfViewHorizontalFlip = rotation, flip
    shared.FramePixelDataPropertiesSequence, shared.FieldOfViewSequence = [properties], [view]
    dataset.SharedFunctionalGroupsSequence = [shared]
    return dataset


def stored(image, field, rotation, flip, area, size):
    """The chain itself, on pixels."""
    row, column, height, width = field
    shown = np.rot90(image[row : row + height, column : column + width], -(rotation // 90))
    shown = shown[:, ::-1] if flip == "YES" else shown
    return shown[area[0] : area[0] + size[0], area[1] : area[1] + size[1]]


@pytest.mark.parametrize(("rotation", "flip"), KINDS)
@settings(max_examples=25)
@given(data=st.data())
def test_the_central_ray_meets_the_marked_pixel(rotation, flip, data) -> None:
    top, left = data.draw(st.integers(0, 20)), data.draw(st.integers(0, 30))
    height, width = data.draw(st.integers(20, DETECTOR[0] - top)), data.draw(st.integers(20, DETECTOR[1] - left))
    turned = (width, height) if rotation % 180 else (height, width)
    area = (data.draw(st.integers(0, turned[0] - 2)), data.draw(st.integers(0, turned[1] - 2)))
    size = tuple(data.draw(st.integers(1, turned[n] - area[n])) for n in (0, 1))
    mark = (data.draw(st.integers(top, top + height - 1)), data.draw(st.integers(left, left + width - 1)))
    field = (top, left, height, width)
    detector = np.zeros(DETECTOR)
    detector[mark] = 1
    image = stored(detector, field, rotation, flip, area, size)
    tags = TagReader(enhanced(field, rotation, flip, area, mark))
    ray = central_ray(tags, (PITCH, PITCH), *size)
    assert ray.assumed == ()
    column, row = ray.pixel
    inside = -0.5 < row < size[0] - 0.5 and -0.5 < column < size[1] - 0.5
    assert inside == bool(image.any())
    if inside:
        np.testing.assert_allclose((row, column), np.argwhere(image)[0], atol=1e-4)  # fields are stored in float32


@pytest.mark.parametrize("near", [-0.0001, 0.0001, 1e-7])
@pytest.mark.parametrize(("rotation", "flip"), KINDS)
def test_a_rotation_that_was_rounded_is_a_quarter_turn(rotation, flip, near) -> None:
    exact = readout(TagReader(enhanced((0, 0, 60, 80), rotation, flip, (0, 0), (10, 10))))
    assert readout(TagReader(enhanced((0, 0, 60, 80), rotation + near, flip, (0, 0), (10, 10)))) == exact
    assert exact[0] == rotation // 90


@pytest.mark.parametrize("rotation", [1.0, 45.0, 89.5, 91.0])
def test_another_rotation_is_refused(rotation) -> None:
    with pytest.raises(InputError, match="FieldOfViewRotation"):
        readout(TagReader(enhanced((0, 0, 60, 80), rotation, "NO", (0, 0), (10, 10))))


def test_a_pixel_data_area_that_was_turned_is_refused() -> None:
    dataset = enhanced((0, 0, 60, 80), 0, "NO", (5, 6), (10, 10))
    (properties,) = dataset.SharedFunctionalGroupsSequence[0].FramePixelDataPropertiesSequence
    properties.PixelDataAreaRotationAngleRelativeToFOV = 30.0
    with pytest.raises(InputError, match="PixelDataAreaRotationAngleRelativeToFOV"):
        central_ray(TagReader(dataset), (PITCH, PITCH), 20, 20)
    properties.PixelDataAreaRotationAngleRelativeToFOV = 359.9999
    assert central_ray(TagReader(dataset), (PITCH, PITCH), 20, 20).pixel == pytest.approx((4, 5))


def test_a_part_of_a_field_of_unknown_size_is_assumed_once_it_was_turned() -> None:
    dataset = enhanced((0, 0, 60, 80), 180, "NO", (5, 6), (10, 10))
    del dataset.SharedFunctionalGroupsSequence[0].FieldOfViewSequence[0].FieldOfViewDimensionsInFloat
    ray = central_ray(TagReader(dataset), (PITCH, PITCH), 20, 20)
    assert ray.pixel == (9.5, 9.5) and "part of a field of view" in ray.assumed[0]
