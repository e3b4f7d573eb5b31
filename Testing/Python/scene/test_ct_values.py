"""What a CT's values are is told by their distribution, never by one voxel; what no CT has is refused."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from xrayreg.checks import InputError
from xrayreg.geometry import VoxelGrid
from xrayreg.scene import Volume
from xrayreg.scene.ct_values import MU_WATER, Scale, in_hounsfield, scale_of


@pytest.fixture(scope="module", name="ct")
def phantom():
    """A body of fat, muscle and bone in air, with a scanner's noise [HU]: no value is exact."""
    k, j, i = np.mgrid[:40, :60, :70]
    across = np.hypot((j - 30) / 24, (i - 35) / 30)
    values = np.select(
        [np.hypot(j - 30, i - 30) < 5, np.hypot(j - 30, i - 30) < 8, across < 0.8, across < 1],
        [250.0, 1100.0, 50.0, -100.0],
        -1000.0,
    )
    return np.rint(values + np.random.default_rng(1).normal(0, 12, k.shape)).astype(np.int16)


def body_of(ct):
    return ct > -500


def test_hounsfield_units_are_left_as_they_are(ct):
    read = in_hounsfield(ct)
    assert read.values is ct and read.scale is Scale.HOUNSFIELD and read.notes == ()


@pytest.mark.parametrize("padding", [-1024, -2000, -3024, -32768])
def test_padding_does_not_change_what_hounsfield_units_are(ct, padding):
    padded = ct.copy()
    padded[:, :10] = padding
    assert in_hounsfield(padded).notes == ()


def test_tight_crops_and_metal_are_ordinary(ct):
    # Fat, muscle and bone without any air.
    assert in_hounsfield(ct[:, 25:35, 9:45]).notes == ()
    metal = ct.copy()
    metal[18:22, 28:32, 28:32] = 30000
    assert in_hounsfield(metal).notes == ()


@pytest.mark.parametrize("odd", [None, -1, -2000, -32768])
@pytest.mark.parametrize("share", ["one voxel", "a side"])
def test_an_offset_is_taken_off_whatever_one_voxel_or_the_padding_says(ct, odd, share):
    stored = np.maximum(ct + 1024, 0).astype(np.int16)
    region = (slice(0, 1),) * 3 if share == "one voxel" else (slice(None), slice(0, 5))
    if odd is not None:
        stored[region] = odd
    read = in_hounsfield(stored)
    assert read.scale is Scale.HOUNSFIELD and "offset of 1024" in read.notes[0]
    np.testing.assert_array_equal(read.values[body_of(ct)], ct[body_of(ct)])
    assert read.values[~body_of(ct)].max() < -800


@pytest.mark.parametrize(("per", "factor"), [("1/mm", 1.0), ("1/cm", 10.0)])
@pytest.mark.parametrize("noise", [0.0, 3e-4])
def test_linear_attenuation_becomes_hounsfield_units(ct, per, factor, noise):
    exact = np.maximum(ct + 1000.0, 0) * MU_WATER / 1000
    stored = ((exact + np.random.default_rng(2).normal(0, noise, ct.shape)) * factor).astype(np.float32)
    read = in_hounsfield(stored)
    assert per in read.notes[0] and read.scale is Scale.HOUNSFIELD
    # Four standard deviations of the mean of some 100 000 voxels.
    assert np.mean(read.values[body_of(ct)] - ct[body_of(ct)]) == pytest.approx(0, abs=0.3)


@pytest.mark.parametrize("how", ["masked", "turned", "clipped"])
def test_a_flat_value_around_the_patient_is_air(ct, how):
    if how == "masked":
        stored = np.where(body_of(ct), ct, 0)
    elif how == "turned":
        stored = ndimage.rotate(ct, 25, axes=(1, 2), order=1, cval=0)
    else:
        stored = np.clip(ct, -160, 240)
    read = in_hounsfield(stored.astype(np.int16))
    assert "read as air" in read.notes[0]
    assert read.values[:, 0, 0].max() == -1000
    # Tissue keeps its values, those that happen to be the flat one among them.
    tissue = stored > 20
    np.testing.assert_array_equal(read.values[tissue], stored[tissue])


def test_a_single_voxel_of_tissue_at_0_is_no_air(ct):
    stored = np.where(body_of(ct), np.where(ct == 0, 1, ct), 0).astype(np.int16)
    stored[20, 30, 50] = 0
    assert in_hounsfield(stored).values[20, 30, 50] == 0


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32])
def test_signed_values_stored_as_unsigned_are_refused(ct, kind):
    with pytest.raises(InputError, match="signed values stored as unsigned"):
        scale_of(ct.view(np.uint16).astype(kind))


def test_unsigned_values_stored_as_signed_are_refused(ct):
    with pytest.raises(InputError, match="unsigned values stored as signed"):
        scale_of(np.clip((ct + 1000.0) * 25, 0, 65535).astype(np.uint16).view(np.int16))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda ct: np.where(ct < -900, 64511, ct.astype(np.int32)), "a padding value"),
        (lambda ct: -ct, "inverted"),
        (lambda ct: np.clip(ct / 1000.0, -1, 1).astype(np.float32), "values from -1 to 1"),
        (lambda ct: ((ct - ct.mean()) / ct.std()).astype(np.float32), "values from"),
    ],
    ids=["shell", "inverted", "stretched to -1 and 1", "standardised"],
)
def test_values_that_no_ct_has_are_refused(ct, change, words):
    with pytest.raises(InputError, match=words):
        in_hounsfield(change(ct))


@pytest.mark.parametrize("odd", [0, -1])
def test_cut_out_bones_have_their_air_at_0_also_with_one_negative_voxel(ct, odd):
    bones = np.where(ct > 700, ct + 1024, 0).astype(np.int16)
    bones[0, 0, 0] = odd
    read = in_hounsfield(bones)
    assert read.scale is Scale.RELATIVE and "0 is read as air" in read.notes[0]
    assert not Volume(bones, VoxelGrid.from_spacing(bones.shape[::-1], (1, 1, 1))).is_hounsfield


def test_what_is_not_finite_is_left_to_the_volume(ct):
    assert in_hounsfield(np.full((4, 4, 4), np.nan, np.float32)).notes == ()
