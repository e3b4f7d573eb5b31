"""A NIfTI volume lies where ITK, and so Slicer, puts it, or is refused; its values are those that ITK reads."""

from __future__ import annotations

import gzip
import itertools
import struct

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import example, given, settings
from hypothesis import strategies as st

from xrayreg.checks import InputError
from xrayreg.io.nifti import read_nifti

SPACING = np.array([2.0, 1.5, 3.0])
VALUES = np.random.default_rng(1).integers(-1000, 2000, (4, 5, 6)).astype(np.int16)  # [i, j, k]
# Single precision of a header leaves 1e-7 of some 100 mm.
PLACE_MM = 1e-3


def turned(angles, offset, mirrored=False):
    (ca, cb, cc), (sa, sb, sc) = np.cos(angles), np.sin(angles)
    rotation = (
        np.array([[ca, -sa, 0], [sa, ca, 0], [0, 0, 1]])
        @ np.array([[cb, 0, sb], [0, 1, 0], [-sb, 0, cb]])
        @ np.array([[1, 0, 0], [0, cc, -sc], [0, sc, cc]])
    )
    matrix = np.eye(4)
    matrix[:3, :3] = rotation * SPACING * [1, 1, -1 if mirrored else 1]
    matrix[:3, 3] = offset
    return matrix


SCANNER = turned([0.1, -0.2, 0.3], [10.0, 20.0, 30.0])
OTHER = turned([0.3, -0.2, 0.3], [35.0, 10.0, 70.0])


def save(path, qform, sform, qcode, scode, kind=nibabel.Nifti1Image, patch=None):
    image = kind(VALUES, None)
    image.header.set_zooms(SPACING)
    image.set_qform(qform, max(qcode, 1), update_affine=False)
    image.set_sform(sform, max(scode, 1), update_affine=False)
    image.header["qform_code"], image.header["sform_code"] = qcode, scode
    if patch is not None:
        patch(image.header)
    nibabel.save(image, path)
    return path


def of_itk(path):
    """ras_from_index as SimpleITK reads it; None where it refuses."""
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError:
        return None
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    matrix[:3, 3] = image.GetOrigin()
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ matrix


@pytest.mark.parametrize("name", ["ct.nii", "ct.nii.gz", "ct.img"])
def test_every_pair_of_codes_is_read_as_itk_reads_it(tmp_path, name):
    kind = nibabel.Nifti1Pair if name.endswith(".img") else nibabel.Nifti1Image
    taken = set()
    for qcode, scode in itertools.product(range(6), repeat=2):
        path = save(tmp_path / name, SCANNER, OTHER, qcode, scode, kind)
        read = read_nifti(path, "volume")
        np.testing.assert_allclose(read.ras_from_index, of_itk(path), atol=PLACE_MM)
        np.testing.assert_array_equal(read.values, VALUES.T)
        assert len(read.notes) == ((qcode > 0 and scode > 0) or qcode == scode == 0)
        taken |= {frame for frame, matrix in (("q", SCANNER), ("s", OTHER)) if np.allclose(read.ras_from_index, matrix)}
    assert taken == {"q", "s"}


def test_the_note_names_both_frames_and_how_far_they_are_apart(tmp_path):
    moved = SCANNER.copy()
    moved[0, 3] += 12.5
    (note,) = read_nifti(save(tmp_path / "ct.nii", SCANNER, moved, 1, 2), "label map").notes
    assert (
        "qform (scanner) was taken" in note and "sform (aligned)" in note and "12.5 mm" in note and "label map" in note
    )
    (note,) = read_nifti(save(tmp_path / "ct.nii", SCANNER, moved, 2, 1), "volume").notes
    assert "sform (scanner) was taken" in note and "qform (aligned)" in note


def test_frames_less_than_half_a_voxel_apart_are_the_same(tmp_path):
    moved = SCANNER.copy()
    moved[0, 3] += 0.7
    assert read_nifti(save(tmp_path / "ct.nii", SCANNER, moved, 1, 2), "volume").notes == ()


def test_nifti_2_follows_the_same_rule(tmp_path):
    path = save(tmp_path / "ct.nii", SCANNER, OTHER, 1, 2, nibabel.Nifti2Image)
    np.testing.assert_allclose(read_nifti(path, "volume").ras_from_index, SCANNER, atol=PLACE_MM)


@pytest.mark.parametrize("signs", [signs for signs in itertools.product([1, -1], repeat=3) if min(signs) < 0])
def test_axes_that_point_both_ways_are_refused_where_itk_takes_either(tmp_path, signs):
    rng = np.random.default_rng(3)
    taken = set()
    for angles in rng.uniform(-3, 3, (20, 3)):
        qform = turned(angles, [10.0, 20.0, 30.0])
        sform = qform @ np.diag([*signs, 1.0])
        path = save(tmp_path / "ct.nii", qform, sform, 1, 2)
        taken.add("s" if np.allclose(of_itk(path), sform, atol=PLACE_MM) else "q")
        with pytest.raises(InputError, match=r"point other ways.*set the code of the wrong frame to 0"):
            read_nifti(path, "volume")
        # A scanner sform is no question, nor are frames from two origins.
        path = save(tmp_path / "ct.nii", qform, sform, 2, 1)
        np.testing.assert_allclose(read_nifti(path, "volume").ras_from_index, sform, atol=PLACE_MM)
        sform[0, 3] += 1
        path = save(tmp_path / "ct.nii", qform, sform, 1, 2)
        np.testing.assert_allclose(read_nifti(path, "volume").ras_from_index, of_itk(path), atol=PLACE_MM)
    assert taken == {"q", "s"}


ANGLES = st.tuples(*[st.floats(-3.1, 3.1)] * 3)
OFFSETS = st.tuples(*[st.floats(-500, 500)] * 3)


@settings(max_examples=60)
@given(
    ANGLES, OFFSETS, ANGLES, OFFSETS, st.booleans(), st.booleans(), st.integers(0, 5), st.integers(0, 5),
    st.sampled_from([0.0, 0.0, 1e-6, 1e-2, 0.3]),
)  # fmt: skip
def test_any_frame_is_read_as_itk_reads_it_or_refused(tmp_path, a, b, c, d, left, right, qcode, scode, shear):
    sform = turned(c, d, right)
    sform[:3, 2] += shear * sform[:3, 1] * SPACING[2] / SPACING[1]
    path = save(tmp_path / "ct.nii", turned(a, b, left), sform, qcode, scode)
    expected = of_itk(path)
    try:
        read = read_nifti(path, "volume")
    except InputError:
        # Half a voxel of stretch, or a scanner frame that is sheared, or axes turned round.
        assert shear > 1e-3 or (c == a and d == b) or not (np.any(a) or np.any(c))
        return
    if expected is None:
        assert qcode == 0 and "right angles" in read.notes[0]
        np.testing.assert_allclose(read.ras_from_index, sform, atol=PLACE_MM)
    else:
        np.testing.assert_allclose(read.ras_from_index, expected, atol=PLACE_MM)


@settings(max_examples=150)
@given(st.lists(st.tuples(st.integers(0, 347), st.integers(0, 255)), min_size=1, max_size=4))
@example([(70, 3)])  # a datatype that there is not
def test_a_damaged_header_is_read_or_refused_in_words(tmp_path, damage):
    path = save(tmp_path / "ct.nii", SCANNER, OTHER, 1, 2)
    content = bytearray(path.read_bytes())
    for place, value in damage:
        content[place] = value
    path.write_bytes(content)
    try:
        read = read_nifti(path, "volume")
    except InputError as error:
        assert "\n" not in str(error)
        return
    assert np.isfinite(read.ras_from_index).all()


def test_a_data_type_that_does_not_exist_is_named(tmp_path):
    path = save(tmp_path / "ct.nii", SCANNER, OTHER, 1, 2)
    content = bytearray(path.read_bytes())
    # "datatype" of the NIfTI-1 header: the code 4 (int16) becomes 260.
    content[71] = 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="datatype 260"):
        read_nifti(path, "volume")


def _field(name, value):
    return lambda header: header.__setitem__(name, value)


@pytest.mark.parametrize(
    ("qcode", "scode", "patch"),
    [
        (1, 0, _field("quatern_b", 3.0)),
        (1, 0, _field("quatern_b", np.nan)),
        (1, 0, _field("qoffset_x", np.inf)),
        (0, 1, _field("srow_x", [np.nan] * 4)),
        (0, 1, _field("srow_x", 0.0)),
        (-1, 1, None),
        (1, 1, _field("srow_x", [5.0, 1.0, 4.0, 2.0])),
    ],
    ids=["quaternion of 3", "quaternion", "offset", "affine", "flat", "code", "sheared scanner frame beside another"],
)
def test_a_geometry_that_cannot_be_is_refused(tmp_path, qcode, scode, patch):
    with pytest.raises(InputError):
        read_nifti(save(tmp_path / "ct.nii", SCANNER, SCANNER, qcode, scode, patch=patch), "volume")


@pytest.mark.parametrize("slope", [0.0, 1.0, 2.0, -1.0, np.nan, np.inf])
@pytest.mark.parametrize("intercept", [0.0, -1024.0, np.nan, np.inf])
def test_values_are_scaled_as_itk_scales_them(tmp_path, slope, intercept):
    path = save(tmp_path / "ct.nii", SCANNER, SCANNER, 1, 1)
    content = bytearray(path.read_bytes())
    content[112:120] = struct.pack("<2f", slope, intercept)
    path.write_bytes(content)
    read = read_nifti(path, "volume")
    np.testing.assert_array_equal(read.values, sitk.GetArrayFromImage(sitk.ReadImage(str(path))))
    assert any("intercept" in note for note in read.notes) == (intercept == -1024 and slope not in (1.0, 2.0, -1.0))


def test_a_flipped_bit_anywhere_in_a_compressed_file_is_refused(tmp_path):
    path = save(tmp_path / "ct.nii", SCANNER, SCANNER, 1, 1)
    whole = gzip.compress(path.read_bytes(), mtime=0)
    refused = 0
    # Behind gzip's own header of ten bytes, whose time no checksum covers.
    places = range(10, len(whole), 5)
    for place in places:
        content = bytearray(whole)
        content[place] ^= 4
        path.write_bytes(content)
        try:
            read = read_nifti(path, "volume")
        except InputError:
            refused += 1
        else:
            # A bit that fills up a byte between two blocks.
            np.testing.assert_array_equal(read.values, VALUES.T)
    assert refused >= len(places) - 1
    for end in (1, 4, 8, 20):
        path.write_bytes(whole[:-end])
        with pytest.raises(InputError):
            read_nifti(path, "volume")


@pytest.mark.parametrize("packed", [False, True])
def test_a_header_that_promises_more_than_the_file_can_hold_asks_for_no_memory(tmp_path, packed):
    path = save(tmp_path / "ct.nii", SCANNER, SCANNER, 1, 1)
    content = bytearray(path.read_bytes())
    content[42:48] = struct.pack("<3h", 30000, 30000, 30000)
    path.write_bytes(gzip.compress(bytes(content)) if packed else content)
    with pytest.raises(InputError, match="asks for 54000000000352 bytes"):
        read_nifti(path, "volume")


def test_one_point_in_time_is_a_volume(tmp_path):
    nibabel.save(nibabel.Nifti1Image(VALUES[..., None], SCANNER), tmp_path / "ct.nii")
    assert read_nifti(tmp_path / "ct.nii", "volume").values.shape == VALUES.T.shape
