"""Stored numbers become Hounsfield units, or are refused: never filled up, wrapped or inverted in silence."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_series import Edit, having, hounsfield, raw, stored, together, write_frames, write_slices
from hypothesis import example, given, settings
from hypothesis import strategies as some
from pydicom import uid

from xrayreg.checks import InputError
from xrayreg.io import read_volume
from xrayreg.printing import printable

VALUES = hounsfield(4, 21, 12)
# Outside the circle that scanners reconstruct.
SHELL = np.zeros(VALUES.shape, bool)
SHELL[:, :4], SHELL[:, -4:] = True, True


def read(folder: Path, edit: Callable[[int], Edit]) -> np.ndarray:
    """The values of slices that were edited one by one."""
    return read_volume(write_slices(folder, VALUES, edits={k: edit(k) for k in range(len(VALUES))})).values


def numbers(dtype: str, offset: int = 0, shell: int | None = None) -> Callable[[int], np.ndarray]:
    """The stored numbers of a slice, the shell set to some number."""

    def of(k: int) -> np.ndarray:
        made = (VALUES[k].astype(np.int64) + offset).astype(dtype)
        if shell is not None:
            made[SHELL[k]] = np.array(shell).astype(dtype)
        return made

    return of


_AIR_OUTSIDE = np.where(SHELL, -1000, VALUES)


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"])
@pytest.mark.parametrize("dtype", ["uint16", "int16", "int32", "uint32"])
def test_every_plain_way_to_store_numbers_gives_the_same_values(tmp_path, syntax, dtype):
    edits = {k: stored(numbers(dtype, 1024)(k)) for k in range(len(VALUES))}
    volume = read_volume(write_slices(tmp_path, VALUES, edits=edits, syntax=syntax))
    np.testing.assert_array_equal(volume.values, VALUES)
    assert volume.notes == ()


def test_unused_bits_are_no_values(tmp_path):
    """Old scanners keep overlays above the used bits, and some leave bits free below them."""
    overlay = read(tmp_path / "a", lambda k: stored(numbers("uint16", 1024)(k) | 0x8000, bits=12))
    np.testing.assert_array_equal(overlay, VALUES)
    shifted = read(
        tmp_path / "b",
        lambda k: together(stored(numbers("uint16", 1024)(k) << 4), having(BitsStored=12, HighBit=15)),
    )
    np.testing.assert_array_equal(shifted, VALUES)


@pytest.mark.parametrize("extended", [True, False])
def test_negative_numbers_of_twelve_bits_may_or_may_not_have_their_sign_in_the_upper_four(tmp_path, extended):
    small = np.clip(VALUES, -1000, 2047).astype(np.int16)
    mask = -1 if extended else 0x0FFF
    edits = {
        k: together(stored(small[k] & np.int16(mask), bits=12), having(RescaleIntercept=0)) for k in range(len(small))
    }
    np.testing.assert_array_equal(read_volume(write_slices(tmp_path, VALUES, edits=edits)).values, small)


@pytest.mark.parametrize(
    ("dtype", "offset", "intercept", "bits", "shell", "padding"),
    [
        ("uint16", 1024, -1024, 16, 63536, having(PixelPaddingValue=63536)),
        ("uint16", 1024, -1024, 12, 63536, having(PixelPaddingValue=63536)),
        ("uint16", 1024, -1024, 16, 63536, raw("PixelPaddingValue", (63536).to_bytes(2, "little"), "SS")),
        ("int16", 0, 0, 16, -2000, having(PixelPaddingValue=-2000)),
        ("int16", 0, 0, 16, -2000, raw("PixelPaddingValue", (63536).to_bytes(2, "little"), "US")),
        ("int16", 0, 0, 16, 2000, having(PixelPaddingValue=1500, PixelPaddingRangeLimit=3000)),
        ("uint16", 1024, -1024, 16, 60000, having(PixelPaddingValue=65535, PixelPaddingRangeLimit=50000)),
        ("int16", 1024, -1024, 16, -5, having(PixelPaddingValue=-1, PixelPaddingRangeLimit=-2000)),
        ("uint16", 1024, -1024, 16, 0, having(PixelPaddingValue=0)),
    ],
)
@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1"])
def test_padding_is_air_whatever_its_number_and_sign(tmp_path, dtype, offset, intercept, bits, shell, padding, syntax):
    usual = np.minimum(VALUES, 1400)
    edits = {}
    for k in range(len(VALUES)):
        pixels = (usual[k].astype(np.int64) + offset).astype(dtype)
        pixels[SHELL[k]] = shell
        edits[k] = together(stored(pixels, bits), having(RescaleIntercept=intercept), padding)
    volume = read_volume(write_slices(tmp_path, VALUES, edits=edits, syntax=syntax))
    np.testing.assert_array_equal(volume.values, np.where(SHELL, -1000, usual))
    [note] = volume.notes
    assert note.startswith(f"Padding (PixelPaddingValue), {SHELL.mean():.2%} of the voxels")


def test_a_shell_that_no_attribute_names_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"values of s000.dcm: expected Hounsfield units, found -9\d\d to 62512"):
        read(tmp_path / "a", lambda k: stored(numbers("uint16", 1024, 63536)(k)))
    # The same in twelve bits is 1072 HU.
    with pytest.raises(InputError, match=r"air in the corners of the slices, found 1072 HU"):
        read(tmp_path / "b", lambda k: stored(numbers("uint16", 1024, 63536)(k), bits=12))


def test_a_wrong_sign_is_refused(tmp_path):
    with pytest.raises(InputError, match="signed numbers stored as unsigned"):
        read(tmp_path / "a", lambda k: together(stored(numbers("int16")(k).view("u2")), having(RescaleIntercept=0)))
    with pytest.raises(InputError, match=r"many below air, down to -30.*unsigned numbers called signed"):
        read(
            tmp_path / "b",
            lambda k: together(stored(numbers("uint16", 1024)(k), bits=12), having(PixelRepresentation=1)),
        )


def test_monochrome1_changes_no_values_and_inverted_grey_levels_are_refused(tmp_path):
    volume = read_volume(write_slices(tmp_path / "a", VALUES, PhotometricInterpretation="MONOCHROME1"))
    np.testing.assert_array_equal(volume.values, VALUES)
    assert "MONOCHROME1" in volume.notes[0]
    marked = having(PhotometricInterpretation="MONOCHROME1")
    with pytest.raises(InputError, match="3047 HU there in slices called MONOCHROME1, so their grey levels are inv"):
        read(tmp_path / "b", lambda k: together(stored(4095 - numbers("uint16", 1024, 24)(k)), marked))


def test_values_of_an_unspecified_unit_or_without_rescaling_are_read_with_a_note(tmp_path):
    volume = read_volume(write_slices(tmp_path / "a", VALUES, edits=having(RescaleType="US")))
    assert "unit of the values is unspecified" in volume.notes[0]
    bare = {
        k: together(stored(numbers("int16")(k)), having(RescaleSlope=None, RescaleIntercept=None))
        for k in range(len(VALUES))
    }
    volume = read_volume(write_slices(tmp_path / "b", VALUES, edits=bare))
    np.testing.assert_array_equal(volume.values, VALUES)
    assert volume.notes == (
        "The slices have no RescaleSlope and RescaleIntercept: stored numbers are used as they are.",
    )


_INCOMPLETE: dict[str, tuple[Edit, str]] = {
    "half": (lambda ds: setattr(ds, "PixelData", ds.PixelData[: len(ds.PixelData) // 2]), "found 252"),
    "none": (having(PixelData=None), "found 0"),
    "empty": (having(PixelData=b""), "found 0"),
    "too many": (lambda ds: setattr(ds, "PixelData", ds.PixelData + bytes(24)), "found 528"),
    "more rows than pixels": (having(Rows=22), "has 12 x 22 pixels"),
    "fewer rows than pixels": (having(Rows=20), "has 12 x 20 pixels"),
    "colour": (having(SamplesPerPixel=3), "SamplesPerPixel"),
    "palette": (having(PhotometricInterpretation="PALETTE COLOR"), "PhotometricInterpretation"),
    "no rows": (having(Rows=None), "no rows"),
    "12 bits in a row": (having(BitsAllocated=12, BitsStored=12), "BitsAllocated"),
    "64 bits": (having(BitsAllocated=64), "BitsAllocated"),
    "no bits": (having(BitsStored=0), "BitsStored"),
    "bits above the number": (having(HighBit=16), "HighBit"),
    "no sign told": (having(PixelRepresentation=None), "PixelRepresentation"),
    "no number of bits": (raw("BitsAllocated", b"abc", "LO"), "BitsAllocated"),
    "padding that is text": (raw("PixelPaddingValue", b"none", "LO"), "PixelPaddingValue"),
}


@pytest.mark.parametrize("damage", _INCOMPLETE)
def test_pixels_that_do_not_fit_their_header_are_refused_and_their_file_is_named(tmp_path, damage):
    edit, words = _INCOMPLETE[damage]
    with pytest.raises(InputError, match=words) as caught:
        read_volume(write_slices(tmp_path, VALUES, edits={2: edit}))
    assert "s002.dcm" in str(caught.value)


@pytest.mark.parametrize("kept", [0.3, 0.9, 0.999])
def test_files_that_end_too_early_are_refused(tmp_path, kept):
    for path in (
        write_slices(tmp_path / "slices", VALUES) / "s002.dcm",
        write_frames(tmp_path / "ct.dcm", VALUES),
    ):
        content = path.read_bytes()
        path.write_bytes(content[: int(kept * len(content))])
        with pytest.raises(InputError):
            read_volume(path if path.name == "ct.dcm" else path.parent)


@pytest.mark.parametrize(("rows", "bytes_expected"), [(22, 528), (20, 480), (65535, 1572840)])
def test_a_size_that_no_file_has_pixels_for_is_refused(tmp_path, rows, bytes_expected):
    with pytest.raises(InputError, match=f"pixels of s000.dcm: expected {bytes_expected} bytes of pixels, found 504"):
        read(tmp_path, lambda k: having(Rows=rows))


def _compressed(pixels: np.ndarray, compressor: str, folder: Path) -> tuple[bytes, str]:
    """A slice's pixels as ITK compresses them, and the transfer syntax."""
    path = str(folder / "itk.dcm")
    writer = sitk.ImageFileWriter()
    writer.SetFileName(path)
    writer.UseCompressionOn()
    writer.SetCompressor(compressor)
    writer.Execute(sitk.GetImageFromArray(pixels[None]))
    dataset = pydicom.dcmread(path)
    return dataset.PixelData, dataset.file_meta.TransferSyntaxUID


@pytest.mark.parametrize("dtype", ["int16", "uint16"])
@pytest.mark.parametrize("compressor", ["JPEG", "JPEG2000", "RLE"])
def test_slices_compressed_without_loss_are_decoded_and_cut_off_ones_refused(tmp_path, compressor, dtype):
    def edit(dataset: pydicom.Dataset, k: int) -> None:
        pixels = numbers(dtype, 1024)(k)
        stored(pixels)(dataset)
        if compressor == "RLE":
            dataset.compress(uid.RLELossless)
            return
        dataset.PixelData, dataset.file_meta.TransferSyntaxUID = _compressed(pixels, compressor, tmp_path)
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True

    edits = {k: (lambda dataset, k=k: edit(dataset, k)) for k in range(len(VALUES))}
    folder = write_slices(tmp_path / "ct", VALUES, edits=edits, PhotometricInterpretation="MONOCHROME1")
    volume = read_volume(folder)
    np.testing.assert_array_equal(volume.values, VALUES)
    if compressor != "RLE":
        dataset = pydicom.dcmread(folder / "s001.dcm")
        code = pydicom.encaps.get_frame(dataset.PixelData, 0, number_of_frames=1)
        dataset.PixelData = pydicom.encaps.encapsulate([code[: len(code) // 2]])
        dataset.save_as(folder / "s001.dcm")
        with pytest.raises(
            InputError, match=r"pixels of s001.dcm: expected whole compressed frames, found frame 0 cut"
        ):
            read_volume(folder)


def test_frames_of_a_compressed_file_are_decoded_each_in_its_place(tmp_path):
    path = write_frames(tmp_path / "ct.dcm", VALUES, order=[2, 0, 3, 1], whole=lambda ds: ds.compress(uid.RLELossless))
    np.testing.assert_array_equal(np.sort(read_volume(path).values, axis=0), np.sort(VALUES, axis=0))
    dataset = pydicom.dcmread(path)
    frames = list(pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=4))
    dataset.PixelData = pydicom.encaps.encapsulate(frames[:3])
    dataset.save_as(path)
    with pytest.raises(InputError, match=r"pixels of ct.dcm"):
        read_volume(path)


def test_bytes_of_an_odd_count_are_filled_up_to_an_even_one(tmp_path):
    """As DICOM asks for; files without the filling are taken too."""
    grey = np.arange(45, dtype=np.uint8).reshape(5, 9) * 5
    for name, tail in (("even", b"\0"), ("odd", b"")):
        pixels = together(stored(grey), lambda ds, tail=tail: setattr(ds, "PixelData", grey.tobytes() + tail))
        volume = read_volume(write_slices(tmp_path / name, VALUES[:2], edits={0: pixels, 1: pixels}))
        np.testing.assert_array_equal(volume.values, np.stack([grey, grey]) - 1024.0)


def test_slices_without_preamble_and_file_header_are_read(tmp_path):
    folder = write_slices(tmp_path, VALUES, syntax="1.2.840.10008.1.2")
    for path in folder.iterdir():
        dataset = pydicom.dcmread(path)
        del dataset.file_meta
        dataset.preamble = None
        pydicom.dcmwrite(path, dataset, implicit_vr=True, little_endian=True)
        path.rename(path.with_suffix(""))
    np.testing.assert_array_equal(np.sort(read_volume(folder).values, axis=0), np.sort(VALUES, axis=0))


_READ = [
    *("SOPClassUID", "Modality", "ImageType", "SeriesInstanceUID", "SeriesDescription", "SeriesNumber"),
    *("AcquisitionNumber", "TemporalPositionIdentifier", "ImagePositionPatient", "ImageOrientationPatient"),
    *("PixelSpacing", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelPaddingValue", "RescaleType"),
    *("PixelPaddingRangeLimit", "RescaleSlope", "RescaleIntercept", "SharedFunctionalGroupsSequence"),
    *("PerFrameFunctionalGroupsSequence", "GridFrameOffsetVector", "SpecificCharacterSet"),
]
_KINDS = ["LO", "DS", "IS", "US", "SS", "UI", "CS", "SQ", "OB", "FD", "AT", "UN"]


@given(
    keyword=some.sampled_from(_READ),
    content=some.one_of(
        some.binary(max_size=20),
        some.text("0123456789.-+eE\\ nai", max_size=12).map(str.encode),
        some.sampled_from([b"1e400", b"1e308\\1\\1", b"-0", b"\\\\\\", b"9" * 40, b"\xff" * 8, b"1_0"]),
    ),
    kind=some.one_of(some.none(), some.sampled_from(_KINDS)),
    everywhere=some.booleans(),
    multi_frame=some.booleans(),
)
@example("PhotometricInterpretation", b"\x00\xa0\xad\x01", None, False, False)
@example("Columns", b"\x00*\x00", "AT", False, False)
@settings(max_examples=80)
def test_any_bytes_in_any_attribute_give_the_volume_or_a_sentence(keyword, content, kind, everywhere, multi_frame):
    values = hounsfield(3)
    damage = raw(keyword, content, kind)
    with tempfile.TemporaryDirectory() as folder:
        try:
            if multi_frame:
                path = write_frames(Path(folder, "ct.dcm"), values, whole=damage)
            else:
                path = write_slices(Path(folder), values, edits=damage if everywhere else {1: damage})
        except Exception:
            # pydicom refuses to write it.
            return
        try:
            volume = read_volume(path)
        except InputError as error:
            assert printable(error) == str(error)
            return
        assert all(printable(note) == note for note in (*volume.notes, *volume.assumed))
        if not volume.notes and not keyword.startswith(
            ("Rescale", "ImageP", "ImageO", "PixelS", "PixelP", "Bits", "High")
        ):
            assert sorted(map(bytes, volume.values)) == sorted(map(bytes, values))
