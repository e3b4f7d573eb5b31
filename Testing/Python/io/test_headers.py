"""MetaImage and NRRD files: what no header states is flagged, what cannot be is refused, damage is found."""

from __future__ import annotations

import os

import numpy as np
import pytest
import SimpleITK as sitk

from xrayreg.checks import InputError
from xrayreg.io import read_volume

VALUES = np.random.default_rng(1).integers(-1000, 2000, (6, 5, 4)).astype(np.int16)  # [k, j, i]
STORED = VALUES.tobytes()
META = {
    "ObjectType": "Image", "NDims": "3", "BinaryData": "True", "BinaryDataByteOrderMSB": "False",
    "TransformMatrix": "1 0 0 0 1 0 0 0 1", "Offset": "1 2 3", "ElementSpacing": "1 2 3", "DimSize": "4 5 6",
    "ElementType": "MET_SHORT", "ElementDataFile": "LOCAL",
}  # fmt: skip
NRRD = {
    "type": "short", "dimension": "3", "sizes": "4 5 6", "endian": "little", "encoding": "raw",
    "space": "left-posterior-superior", "space directions": "(1,0,0) (0,2,0) (0,0,3)", "space origin": "(1,2,3)",
}  # fmt: skip


def write(path, content=STORED, **changes):
    """A file with the fields as changed, None leaves one out; underscores stand for spaces in names."""
    if path.suffix == ".mha":
        fields = {key: value for key, value in (META | changes).items() if value is not None}
        fields["ElementDataFile"] = fields.pop("ElementDataFile")  # comes last
        text = "".join(f"{key} = {value}\n" for key, value in fields.items())
    else:
        changes = {key.replace("_", " "): value for key, value in changes.items()}
        fields = {key: value for key, value in (NRRD | changes).items() if value is not None}
        text = "NRRD0005\n" + "".join(f"{key}: {value}\n" for key, value in fields.items()) + "\n"
    path.write_bytes(text.encode() + content)
    return path


def of_itk(path):
    image = sitk.ReadImage(str(path))
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    matrix[:3, 3] = image.GetOrigin()
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ matrix


@pytest.mark.parametrize(
    ("name", "changes", "notes"),
    [
        ("ct.mha", {}, 0),
        ("ct.mha", {"ElementSpacing": None, "ElementSize": "1 2 3"}, 0),
        ("ct.mha", {"TransformMatrix": "0.36 -0.8 0.48 0.48 0.6 0.64 -0.8 0 0.6"}, 0),
        ("ct.mha", {"TransformMatrix": "-1 0 0 0 1 0 0 0 1"}, 0),
        ("ct.mha", {"TransformMatrix": "1 0 0 0.6 0.8 0 0 0 1"}, 1),
        ("ct.nrrd", {}, 0),
        ("ct.nrrd", {"space": "RAS"}, 0),
        ("ct.nrrd", {"space": "left-anterior-superior"}, 0),
        ("ct.nrrd", {"space": "scanner-xyz"}, 1),
        ("ct.nrrd", {"space_directions": "(2,0,0) (0,2,0) (0,0,2)"}, 0),
        ("ct.nrrd", {"space_directions": "(1,0,0) (0.6,2,0) (0,0,3)"}, 1),
        ("ct.nrrd", {"centerings": "cell cell cell"}, 0),
        ("ct.nrrd", {"space": None, "space_directions": None, "space_origin": None, "spacings": "1 2 3"}, 0),
    ],
)
def test_a_volume_lies_where_itk_puts_it_and_what_is_odd_is_noted(tmp_path, name, changes, notes):
    path = write(tmp_path / name, **changes)
    volume = read_volume(path)
    np.testing.assert_allclose(volume.grid.volume_from_index, of_itk(path), atol=1e-9)
    np.testing.assert_array_equal(volume.values, VALUES)
    assert len(volume.notes) == notes and volume.assumed == ()


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("ct.mha", {"ElementSpacing": None}),
        ("ct.nrrd", {"space_directions": None}),
        ("ct.nrrd", {"space": None, "space_directions": None, "space_origin": None}),
        ("ct.nrrd", {"space_directions": "none (0,2,0) (0,0,3)"}),
    ],
)
def test_spacing_that_no_header_states_is_assumed_in_words(tmp_path, name, changes):
    (assumed,) = read_volume(write(tmp_path / name, **changes)).assumed
    assert "no spacing" in assumed and "assumed" in assumed


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("ct.mha", {"Offset": "nan 2 3"}),
        ("ct.mha", {"Offset": "inf 2 3"}),
        ("ct.mha", {"Offset": "7 8"}),
        ("ct.mha", {"ElementSpacing": "1 -2 3"}),
        ("ct.mha", {"ElementSpacing": "1 0 3"}),
        ("ct.mha", {"ElementSpacing": "1 2"}),
        ("ct.mha", {"ElementSpacing": "1,5 2 3"}),
        ("ct.mha", {"ElementSpacing": "1e-9 1e-9 1e-9"}),
        ("ct.mha", {"ElementSpacing": "0.0005 0.0005 0.001"}),
        ("ct.mha", {"ElementSpacing": "10000 10000 10000"}),
        ("ct.mha", {"TransformMatrix": "2 0 0 0 2 0 0 0 2"}),
        ("ct.mha", {"TransformMatrix": "1 0 0 1 0 0 0 0 1"}),
        ("ct.mha", {"TransformMatrix": "nan 0 0 0 1 0 0 0 1"}),
        ("ct.mha", {"DistanceUnits": "m"}),
        ("ct.mha", {"DimSize": "4 5 -6"}),
        ("ct.mha", {"DimSize": "4 5 0"}),
        ("ct.mha", {"DimSize": "30000 30000 30000"}),
        ("ct.mha", {"ElementDataFile": "absent.raw"}),
        ("ct.nrrd", {"space_directions": "(nan,0,0) (0,2,0) (0,0,3)"}),
        ("ct.nrrd", {"space_directions": "(0,0,0) (0,2,0) (0,0,3)"}),
        ("ct.nrrd", {"space_directions": "(1,0,0) (2,0,0) (0,0,3)"}),
        ("ct.nrrd", {"space_origin": "(nan,nan,nan)"}),
        ("ct.nrrd", {"space_units": '"m" "m" "m"'}),
        ("ct.nrrd", {"space": None, "space_directions": None, "space_origin": None, "spacings": "1 nan 3"}),
        ("ct.nrrd", {"space": None, "space_directions": None, "space_origin": None, "spacings": "1 -2 3"}),
        ("ct.nrrd", {"sizes": "30000 30000 30000"}),
        ("ct.nrrd", {"sizes": "30000 30000 30000", "encoding": "gzip"}),
        ("ct.nrrd", {"data_file": "absent.raw"}),
    ],
)
def test_a_geometry_or_size_that_cannot_be_is_refused_in_one_line(tmp_path, capfd, name, changes):
    with pytest.raises(InputError) as caught:
        read_volume(write(tmp_path / name, **changes))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["ct.mha", "ct.nrrd"])
def test_a_flipped_bit_in_compressed_voxels_is_refused(tmp_path, name):
    path = tmp_path / name
    sitk.WriteImage(sitk.GetImageFromArray(VALUES), str(path), True)
    whole = path.read_bytes()
    np.testing.assert_array_equal(read_volume(path).values, VALUES)
    refused = 0
    # Behind the text and gzip's own header, whose time no checksum covers.
    places = range(len(whole) - 180, len(whole), 3)
    for place in places:
        content = bytearray(whole)
        content[place] ^= 4
        path.write_bytes(content)
        try:
            read = read_volume(path)
        except InputError:
            refused += 1
        else:
            # A bit that fills up a byte between two blocks.
            np.testing.assert_array_equal(read.values, VALUES)
    assert refused >= len(places) - 1


@pytest.mark.parametrize("name", ["ct.tif", "ct.png", "ct.vtk", "ct"])
def test_formats_that_hold_no_geometry_are_refused_by_name(tmp_path, name):
    (tmp_path / name).write_bytes(b"some image")
    with pytest.raises(InputError, match="expected a NIfTI, NRRD or MetaImage file"):
        read_volume(tmp_path / name)


@pytest.mark.parametrize("name", ["ct.nii", "ct.nii.gz", "ct.img", "ct.mha", "ct.nrrd", "ct"])
def test_pipes_and_devices_are_refused_at_once(tmp_path, name):
    (tmp_path / "zero").mkdir()
    os.mkfifo(tmp_path / name)
    (tmp_path / "zero" / name).symlink_to("/dev/zero")
    for path in (tmp_path / name, tmp_path / "zero" / name):
        with pytest.raises(InputError, match="expected a"):
            read_volume(path)


def test_voxels_in_a_pipe_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "ct.raw")
    for path in (
        write(tmp_path / "ct.mha", b"", ElementDataFile="ct.raw"),
        write(tmp_path / "ct.nrrd", b"", data_file="ct.raw"),
    ):
        with pytest.raises(InputError, match="expected a file, found the pipe"):
            read_volume(path)
