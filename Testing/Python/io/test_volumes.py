"""Volumes come out of files at the right place, and what cannot be used is refused in words."""

from __future__ import annotations

import gzip
import os
import struct
import subprocess
import sys
import textwrap
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

import xrayreg
from xrayreg.checks import InputError
from xrayreg.io import list_series, read_volume, write_nifti

# An oblique right-handed RAS affine with three spacings: no axis, sign or order can be swapped unnoticed.
_TURN = np.array([[0.36, 0.48, -0.8], [-0.8, 0.6, 0.0], [0.48, 0.64, 0.6]])
AFFINE = np.eye(4)
AFFINE[:3, :3] = _TURN * [0.5, 0.8, 2.0]
AFFINE[:3, 3] = [-100.0, 55.5, 700.0]
VALUES = np.random.default_rng(1).integers(-1000, 2000, (6, 5, 4)).astype(np.int16)  # [k, j, i]
# NIfTI holds its affine in float32: about 1e-7 of 700 mm.
PLACE_MM = 2e-4


def itk_image(values: np.ndarray = VALUES) -> sitk.Image:
    image = sitk.GetImageFromArray(values)
    image.SetSpacing([0.5, 0.8, 2.0])
    image.SetDirection((np.diag([-1.0, -1.0, 1.0]) @ _TURN).ravel())
    image.SetOrigin([100.0, -55.5, 700.0])
    return image


@pytest.mark.parametrize("name", ["ct.nii", "ct.nii.gz", "ct.nrrd", "ct.mha", "ct.mhd"])
def test_every_format_gives_the_same_values_at_the_same_place(tmp_path, name):
    if "nii" in name:  # another writer than the reader under test
        nibabel.save(nibabel.Nifti1Image(VALUES.transpose(2, 1, 0), AFFINE), tmp_path / name)
    else:
        sitk.WriteImage(itk_image(), str(tmp_path / name))
    volume = read_volume(tmp_path / name)
    assert volume.values.dtype == np.int16
    np.testing.assert_array_equal(volume.values, VALUES)
    assert volume.grid.shape == (4, 5, 6)
    np.testing.assert_allclose(volume.grid.volume_from_index, AFFINE, atol=PLACE_MM)


@pytest.mark.parametrize(
    ("stored", "kept"), [("uint8", "uint8"), ("int32", "int16"), ("float32", "float32"), ("float64", "float32")]
)
def test_values_take_no_more_memory_than_they_need(tmp_path, stored, kept):
    sitk.WriteImage(itk_image(np.abs(VALUES % 200).astype(stored)), str(tmp_path / "ct.nrrd"))
    assert read_volume(tmp_path / "ct.nrrd").values.dtype == kept


def test_large_integers_become_float_without_loss(tmp_path):
    large = np.abs(VALUES.astype(np.int32)) * 50
    sitk.WriteImage(itk_image(large), str(tmp_path / "ct.nrrd"))
    np.testing.assert_array_equal(read_volume(tmp_path / "ct.nrrd").values, large.astype(np.float32))


def test_a_dicom_series_is_sorted_along_its_normal_and_rescaled(write_series):
    origin = np.array([-80.0, 40.0, 300.0])
    positions = origin + np.outer(np.arange(6), [0.0, 0.0, 2.5])
    volume = read_volume(write_series(VALUES, positions))
    np.testing.assert_array_equal(volume.values, VALUES)
    assert volume.values.dtype == np.int16
    # Pixel spacing is (between rows, between columns) = (0.5, 0.8); LPS to RAS turns the first two axes.
    expected = np.diag([-0.8, -0.5, 2.5, 1.0])
    expected[:3, 3] = [80.0, -40.0, 300.0]
    np.testing.assert_allclose(volume.grid.volume_from_index, expected, atol=1e-9)


def test_a_tilted_gantry_keeps_every_voxel_in_its_place(write_series):
    step = np.array([0.0, 0.4, 2.5])
    volume = read_volume(write_series(VALUES, np.outer(np.arange(6), step)))
    np.testing.assert_allclose(volume.grid.volume_from_index[:3, 2], [0.0, -0.4, 2.5], atol=1e-9)


def test_slice_positions_rounded_to_a_tenth_are_even(write_series):
    positions = np.outer(np.round(np.arange(6) * 0.625, 1), [0.0, 0.0, 1.0])
    # Six slices span 3.1 of 3.125 mm after rounding.
    assert read_volume(write_series(VALUES, positions)).grid.spacing_mm[2] == pytest.approx(0.625, abs=0.01)


def test_of_several_series_the_largest_is_read_and_the_choice_is_told(write_series, caplog):
    write_series(VALUES[:2] + 1, np.outer(np.arange(2), [0, 0, 1.0]), prefix="scout")
    folder = write_series(VALUES, np.outer(np.arange(6), [0, 0, 1.0]), prefix="thin")
    with caplog.at_level("INFO"):
        volume = read_volume(folder)
    np.testing.assert_array_equal(volume.values, VALUES)
    assert "2 CT series; reading thin (6 slices)" in caplog.text
    assert 'Others: CT "scout", 2 images' in volume.notes[0]
    assert [series.slices for series in list_series(folder)] == [6, 2]


@pytest.mark.parametrize(
    ("along", "words"),
    [
        ([0, 1, 2, 4, 5, 6], r"a gap of 2 mm between slice\d+.dcm and slice\d+.dcm \(slices missing\)"),
        ([0, 1, 2, 2, 3, 4], "expected one slice at each place"),
        ([0, 1, 2.3, 3, 4, 5], "expected evenly spaced slices, found distances from 0.7 to 1.3 mm"),
    ],
    ids=["missing", "doubled", "uneven"],
)
def test_slices_that_make_no_even_row_are_refused(write_series, along, words):
    with pytest.raises(InputError, match=words):
        read_volume(write_series(VALUES, np.outer(along, [0.0, 0.0, 1.0])))


def test_a_folder_without_dicom_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("no slices here")
    with pytest.raises(InputError, match=r"no DICOM file in .*; name the folder that holds the slices"):
        read_volume(tmp_path)


def _nifti(path: Path, values: np.ndarray, pixdim: tuple[float, float, float] | None = None) -> None:
    """A NIfTI file; `pixdim` is patched into its bytes, since no writer would."""
    nibabel.save(nibabel.Nifti1Image(values, np.diag([0.5, 0.8, 2.0, 1.0])), path)
    if pixdim is not None:
        content = bytearray(path.read_bytes())
        content[80:92] = struct.pack("<3f", *pixdim)  # pixdim[1:4] of the NIfTI-1 header
        path.write_bytes(content)


@pytest.mark.parametrize("bad", [0.0, -0.8, float("nan")])
def test_a_nifti_spacing_that_itk_would_correct_in_silence_is_refused(tmp_path, bad):
    _nifti(tmp_path / "ct.nii", VALUES, (0.5, bad, 2.0))
    with pytest.raises(InputError, match=r"voxel spacing: expected millimetres above 0"):
        read_volume(tmp_path / "ct.nii")
    with gzip.open(tmp_path / "ct.nii.gz", "wb") as file:
        file.write((tmp_path / "ct.nii").read_bytes())
    with pytest.raises(InputError, match=r"voxel spacing"):
        read_volume(tmp_path / "ct.nii.gz")


def test_a_nifti_whose_two_geometries_disagree_is_refused(tmp_path):
    _nifti(tmp_path / "ct.nii", VALUES, (0.5, 0.9, 2.0))
    with pytest.raises(InputError, match=r"pixdim 0.5 x 0.9 x 2 and an affine of 0.5 x 0.8 x 2"):
        read_volume(tmp_path / "ct.nii")


@pytest.mark.parametrize("spacing", [b"0.5 0 2", b"0.5 -0.8 2", b"0.5 nan 2"])
def test_a_metaimage_with_a_spacing_that_is_none_is_refused(tmp_path, spacing):
    path = tmp_path / "ct.mha"
    sitk.WriteImage(itk_image(), str(path))
    content = path.read_bytes()
    assert b"ElementSpacing = 0.5 0.80000000000000004 2" in content
    path.write_bytes(content.replace(b"0.5 0.80000000000000004 2", spacing))
    with pytest.raises(InputError):
        read_volume(path)


def test_a_nrrd_with_a_negative_spacing_is_refused(tmp_path):
    header = b"NRRD0004\ntype: short\ndimension: 3\nsizes: 4 5 6\nspacings: 1 -2 1\nendian: little\nencoding: raw\n\n"
    (tmp_path / "ct.nrrd").write_bytes(header + VALUES.tobytes())
    with pytest.raises(InputError, match=r"voxel spacing: .* found 1 x -2 x 1"):
        read_volume(tmp_path / "ct.nrrd")


def _replaced(value: float) -> np.ndarray:
    values = VALUES.astype(np.float32)
    values[3, 2, 1] = value
    return values


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (_replaced(np.nan), "finite values"),
        (_replaced(np.inf), "finite values"),
        (np.full((6, 5, 4), -1000, np.int16), "only air"),
        (VALUES[:1], "at least two slices"),
        (np.stack([VALUES, VALUES]), "a 3D image, found .*; extract one time point"),
    ],
    ids=["NaN", "infinity", "air", "one slice", "4D"],
)
def test_voxels_that_are_no_ct_are_refused(tmp_path, values, words):
    nibabel.save(nibabel.Nifti1Image(values.T, np.eye(4)), tmp_path / "ct.nii.gz")
    with pytest.raises(InputError, match=words):
        read_volume(tmp_path / "ct.nii.gz")


def test_a_vector_image_is_refused(tmp_path):
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((6, 5, 4, 2), np.float32), isVector=True), str(tmp_path / "v.nrrd"))
    with pytest.raises(InputError, match=r"one value per voxel, found 2"):
        read_volume(tmp_path / "v.nrrd")


@pytest.mark.parametrize("content", [b"", b"hello", b"\x1f\x8b damaged"])
@pytest.mark.parametrize("name", ["ct.nii.gz", "ct.nrrd", "ct.mha", "ct.txt"])
def test_a_file_that_is_no_image_is_one_clear_line(tmp_path, capfd, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_volume(tmp_path / name)
    assert "\n" not in str(caught.value) and name in str(caught.value)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", ["ct.nii", "ct.nii.gz", "ct.nrrd", "ct.mha"])
def test_a_truncated_file_is_refused(tmp_path, name):
    path = tmp_path / name
    sitk.WriteImage(itk_image(np.tile(VALUES, (8, 8, 8))), str(path))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"volume: expected an image that can be read"):
        read_volume(path)


def test_a_nifti_without_a_frame_lies_where_slicer_puts_it(tmp_path):
    image = nibabel.Nifti1Image(VALUES.T, None)
    image.header["pixdim"][1:4] = [0.5, 0.8, 2.0]
    assert image.header["sform_code"] == image.header["qform_code"] == 0
    nibabel.save(image, tmp_path / "ct.nii")
    expected = sitk.ReadImage(str(tmp_path / "ct.nii"))
    matrix = read_volume(tmp_path / "ct.nii").grid.volume_from_index
    for index in ((0, 0, 0), (3, 4, 5)):
        lps = expected.TransformIndexToPhysicalPoint(index)
        np.testing.assert_allclose((matrix @ [*index, 1])[:3], [-lps[0], -lps[1], lps[2]], atol=PLACE_MM)


@pytest.mark.parametrize(("unit", "factor"), [("meter", 1e-3), ("micron", 1e3)])
def test_nifti_units_become_millimetres(tmp_path, unit, factor):
    image = nibabel.Nifti1Image(VALUES.T, np.diag([0.5 * factor, 0.8 * factor, 2.0 * factor, 1.0]))
    image.header.set_xyzt_units(unit)
    nibabel.save(image, tmp_path / "ct.nii")
    np.testing.assert_allclose(read_volume(tmp_path / "ct.nii").grid.spacing_mm, [0.5, 0.8, 2.0], rtol=1e-6)


def test_nifti_values_are_rescaled(tmp_path):
    image = nibabel.Nifti1Image(np.abs(VALUES.T), AFFINE)
    image.header.set_slope_inter(2.0, -1024.0)
    nibabel.save(image, tmp_path / "ct.nii")
    stored = nibabel.load(tmp_path / "ct.nii").get_fdata()
    np.testing.assert_array_equal(read_volume(tmp_path / "ct.nii").values, stored.T)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"volume: expected an existing file, found nothing at"):
        read_volume(tmp_path / "absent.nii.gz")


def test_reading_takes_at_most_twice_the_stored_volume(tmp_path):
    """In a process of its own, whose peak can be read: twice 64 MB of int16, where float32 thrice would be 384 MB."""
    shape = (128, 512, 512)
    sitk.WriteImage(
        sitk.GetImageFromArray((np.arange(np.prod(shape)) % 2000 - 1000).astype(np.int16).reshape(shape)),
        str(tmp_path / "x.mha"),
    )
    script = """
        import resource, sys
        from xrayreg.io import read_volume
        def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        before = peak()
        read_volume(sys.argv[1])
        print(peak() - before)
    """
    unit = 1 if sys.platform == "darwin" else 1024
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "x.mha")],
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(Path(xrayreg.__file__).parents[1])},
        text=True,
        check=True,
    )
    # A tenth of slack for the allocator.
    assert int(done.stdout) * unit < 2.1 * np.prod(shape) * 2


@pytest.mark.parametrize("name", ["ct.nii", "ct.nii.gz"])
@pytest.mark.parametrize("kind", ["<i2", ">i2", "<f4", "u1"])
def test_what_is_written_as_nifti_comes_back(tmp_path, name, kind):
    """Several slabs of a view with other strides, on a grid that is turned and sheared as under a gantry tilt."""
    values = np.random.default_rng(1).integers(0, 200, (600, 7, 1050)).astype(kind).transpose(1, 2, 0)
    matrix = np.array([[0.9, 0.2, 0.0, -11.0], [-0.3, 0.8, 0.4, 7.0], [0.0, 0.1, 2.0, 900.5], [0, 0, 0, 1]])
    write_nifti(tmp_path / name, values, matrix)
    volume = read_volume(tmp_path / name)
    np.testing.assert_array_equal(volume.values, values)
    assert volume.values.dtype == values.dtype.newbyteorder("=")
    # NIfTI keeps its matrix in single precision.
    np.testing.assert_allclose(volume.grid.volume_from_index, matrix, rtol=1e-6, atol=1e-6)
