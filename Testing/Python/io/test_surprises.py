"""Where readers differ from one another, the program sides with Slicer or refuses (Documentation/surprises.md)."""

from __future__ import annotations

import gzip
import struct

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from xrayreg.checks import InputError
from xrayreg.geometry import Camera
from xrayreg.io import read_radiograph, read_volume

RAS_FROM_LPS = np.diag([-1.0, -1.0, 1.0])


def patient() -> np.ndarray:
    """Hounsfield units [i, j, k] of a body with a bone in air."""
    i, j, k = np.mgrid[:14, :12, :9]
    values = np.where(np.hypot(i - 6, j - 6) < 5, 40, -1000)
    values[(np.hypot(i - 6, j - 5) < 2) & (k > 1)] = 900
    return (values + np.random.default_rng(0).integers(-9, 10, values.shape)).astype(np.int16)


def in_slicer(path) -> np.ndarray:
    """ras_from_index (3, 4) by ITK, which is Slicer's reader."""
    image = sitk.ReadImage(str(path))
    steps = RAS_FROM_LPS @ np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    return np.column_stack([steps, RAS_FROM_LPS @ image.GetOrigin()])


@pytest.mark.parametrize("qform_code", [0, 1, 2])
@pytest.mark.parametrize("sform_code", [0, 1, 2, 3, 4])
def test_a_nifti_with_two_frames_lies_where_slicer_shows_it(tmp_path, sform_code, qform_code):
    sform, qform = np.diag([2.0, 2.0, 3.0, 1.0]), np.diag([-2.0, -2.0, 3.0, 1.0])
    sform[:3, 3], qform[:3, 3] = (10, 0, -7), (0, 20, 4)
    image = nibabel.Nifti1Image(patient(), sform)
    image.header.set_xyzt_units("mm")
    image.set_qform(qform, qform_code)
    image.set_sform(sform, sform_code)
    nibabel.save(image, tmp_path / "ct.nii")
    volume = read_volume(tmp_path / "ct.nii")
    np.testing.assert_allclose(volume.grid.volume_from_index[:3], in_slicer(tmp_path / "ct.nii"), atol=1e-4)
    if sform_code and qform_code:
        # They lie centimetres apart: nobody has to guess that there was a choice.
        assert volume.notes or volume.assumed


def test_an_intercept_beside_a_slope_of_zero_counts_as_it_does_in_slicer(tmp_path):
    nibabel.save(nibabel.Nifti1Image(patient() + np.int16(1024), np.diag([2.0, 2.0, 3.0, 1.0])), tmp_path / "plain.nii")
    plain = (tmp_path / "plain.nii").read_bytes()
    # scl_slope and scl_inter stand at bytes 112 and 116.
    (tmp_path / "ct.nii").write_bytes(plain[:112] + struct.pack("<ff", 0.0, -1024.0) + plain[120:])
    expected = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "ct.nii")))
    np.testing.assert_array_equal(read_volume(tmp_path / "ct.nii").values, expected)


@pytest.mark.parametrize("place", ["voxel", "checksum", "length"])
def test_a_compressed_nifti_whose_checksum_is_wrong_is_refused(tmp_path, place):
    whole = nibabel.Nifti1Image(patient(), np.diag([2.0, 2.0, 3.0, 1.0])).to_bytes()
    # Stored, not compressed, so that one bit of the file is one bit of one voxel.
    packed = bytearray(gzip.compress(whole, compresslevel=0))
    packed[{"voxel": len(packed) // 2, "checksum": -8, "length": -4}[place]] ^= 64
    (tmp_path / "ct.nii.gz").write_bytes(packed)
    with pytest.raises(InputError, match="expected"):
        read_volume(tmp_path / "ct.nii.gz")


@pytest.mark.parametrize(
    "lines",
    [[], ["axis mins: 0 0 0", "axis maxs: 28 24 27", "centerings: cell cell cell"], ["thicknesses: 2 2 3"]],
    ids=["no spacing", "mins and maxs", "thicknesses"],
)
def test_a_spacing_that_the_reader_made_up_is_an_assumption(tmp_path, lines):
    head = ["NRRD0004", "type: short", "dimension: 3", "sizes: 14 12 9", "encoding: raw", "endian: little", *lines]
    data = patient().T.astype("<i2").tobytes()
    (tmp_path / "ct.nrrd").write_bytes("\n".join(head).encode() + b"\n\n" + data)
    try:
        volume = read_volume(tmp_path / "ct.nrrd")
    except InputError:
        return
    assert volume.assumed


@pytest.mark.parametrize("turn", range(1, 9))
def test_a_tiff_that_is_shown_turned_or_mirrored_is_refused(tmp_path, turn):
    stored = np.random.default_rng(3).integers(20000, 40000, (40, 50)).astype(np.uint16)
    Image.fromarray(stored).save(tmp_path / "x.tif", tiffinfo={274: turn})
    camera = Camera.from_sid(1000.0, 0.5, 50, 40)
    if turn == 1:
        np.testing.assert_array_equal(read_radiograph(tmp_path / "x.tif", camera=camera).recorded, stored)
    else:
        with pytest.raises(InputError, match=f"orientation {turn}"):
            read_radiograph(tmp_path / "x.tif", camera=camera)
