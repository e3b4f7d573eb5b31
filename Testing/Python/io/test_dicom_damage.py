"""Whatever stands in an attribute or is missing of a file: an image or one sentence, never another error."""

from __future__ import annotations

import functools
import re
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from xrayreg.checks import InputError
from xrayreg.geometry import Camera
from xrayreg.io import dicom_parsing, dicom_tags, geometry_of, read_dataset, read_radiograph
from xrayreg.io.dicom_tags import TagReader
from xrayreg.printing import printable

# The field and the tone curve are other files' business.
pytestmark = pytest.mark.usefixtures("plain_intensities")

ROWS, COLUMNS = 24, 32
PIXELS = np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS) * 50
CAMERA = Camera.from_sid(1000.0, 0.5, COLUMNS, ROWS)
LONG = ("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV")
_SHORT = "AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US ZZ D["
KINDS = (*LONG, *(_SHORT.split()))
SOURCES = sorted(Path(dicom_tags.__file__).parent.glob("dicom*.py"))
WORDS = {word for file in SOURCES for word in re.findall(r'"([A-Z][A-Za-z]+)"', file.read_text(encoding="utf-8"))}
# Those that the sources put together from a kind of blade and a word.
BLADES = {
    f"{start}{kind}{end}"
    for kind in ("Shutter", "Collimator")
    for start, end in (
        ("", "Shape"),
        ("", "LeftVerticalEdge"),
        ("", "UpperHorizontalEdge"),
        ("CenterOfCircular", ""),
        ("RadiusOfCircular", ""),
        ("VerticesOfThePolygonal", ""),
    )
}
KEYWORDS = sorted(word for word in WORDS | BLADES if tag_for_keyword(word) is not None)
# Text, numbers in both byte orders, sequences with an item of nothing, with a cut one, and what has no meaning.
VALUES = st.one_of(
    st.binary(max_size=24),
    st.text("0123456789.\\-+eE nNaifFxYESOLDPR", max_size=20).map(str.encode),
    st.lists(st.floats(width=32), max_size=4).map(lambda numbers: np.array(numbers, "<f4").tobytes()),
    st.lists(st.integers(0, 65535), max_size=4).map(lambda numbers: np.array(numbers, "<u2").tobytes()),
    st.sampled_from([b"\xfe\xff\x00\xe0\0\0\0\0", b"\xfe\xff\x00\xe0\xff\xff\xff\xff", b"\xfe\xff\x00\xe0\x08\0\0\0"]),
)


def element(keyword: str, kind: str, value: bytes, length: int | None = None) -> bytes:
    """An element in explicit little endian, of any kind and announced length."""
    tag = tag_for_keyword(keyword) or 0
    length = len(value) if length is None else length
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + kind.encode()
    return head + (b"\0\0" + struct.pack("<I", length) if kind in LONG else struct.pack("<H", length)) + value


def one_sentence(path: Path, camera: Camera | None) -> InputError | None:
    """The error of reading `path`, None where it could be read; any other error fails the test."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a remark of pydicom's would be a second line in the terminal
        try:
            view = read_radiograph(path, camera=camera, frame=0)
            assert np.isfinite(view.recorded).all() and np.isfinite(view.camera.matrix).all()
        except InputError as error:
            assert printable(error) == str(error)
            return error
    return None


@pytest.fixture
def without(write_xray):
    """The bytes of a sound X-ray without one attribute, which may follow at its end."""

    @functools.cache
    def write(keyword: str) -> bytes:
        dataset = pydicom.dcmread(write_xray(PIXELS, Modality="XA", PixelIntensityRelationship="LIN"))
        if keyword in dataset:
            del dataset[keyword]
        path = Path(dataset.filename)
        dataset.save_as(path)
        return path.read_bytes()

    return write


def test_the_keywords_are_those_that_are_read() -> None:
    assert len(KEYWORDS) > 60
    assert {"Rows", "NumberOfFrames", "RescaleSlope", "ShutterShape", "ModalityLUTSequence"} <= set(KEYWORDS)


@settings(max_examples=250)
@given(keyword=st.sampled_from(KEYWORDS), kind=st.sampled_from(KINDS), value=VALUES, given_camera=st.booleans())
@example("DistanceSourceToDetector", "DS", b"1000\\1200", False)
@example("DistanceSourceToDetector", "D[", b"1000", False)
@example("ImagerPixelSpacing", "DS", b"0.5", False)
@example("ImagerPixelSpacing", "DS", b"0.5\\0.5\\0.5", False)
@example("SharedFunctionalGroupsSequence", "LO", b"text", False)
@example("PixelData", "SQ", b"", True)
@example("Rows", "UL", b"\xff\xff\xff\xff", True)
def test_any_value_of_any_attribute(tmp_path, without, keyword, kind, value, given_camera) -> None:
    path = tmp_path / "damaged.dcm"
    path.write_bytes(without(keyword) + element(keyword, kind, value))
    one_sentence(path, CAMERA if given_camera else None)


@pytest.mark.parametrize("keyword", ["DistanceSourceToDetector", "FieldOfViewRotation", "PatientOrientation"])
def test_geometry_that_nobody_needs_may_be_damaged(tmp_path, without, keyword) -> None:
    path = tmp_path / "damaged.dcm"
    path.write_bytes(without(keyword) + element(keyword, "D[", b"1000"))
    assert one_sentence(path, CAMERA) is None
    error = one_sentence(path, None)
    assert error is not None and keyword in str(error)


@settings(max_examples=100)
@given(share=st.floats(0, 1), flips=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=3))
@example(1.0, [(0.21875, 0)])  # in the name of the transfer syntax
def test_files_that_are_cut_off_or_have_odd_bytes(tmp_path, without, share, flips) -> None:
    whole = bytearray(without("StudyID"))
    # Bits of the header, not of the pixels, which mean nothing.
    header = len(whole) - 2 * PIXELS.size
    for place, value in flips:
        whole[128 + int(place * (header - 128))] = value
    path = tmp_path / "damaged.dcm"
    path.write_bytes(whole if share > 0.7 else whole[: int(share / 0.7 * len(whole))])
    one_sentence(path, None)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_deflated_files_that_are_cut_off(tmp_path, without, share) -> None:
    whole = deflated(without("StudyID"))
    path = tmp_path / "deflated.dcm"
    path.write_bytes(whole)
    assert one_sentence(path, None) is None
    path.write_bytes(whole[: 400 + int(share * (len(whole) - 400))])
    assert one_sentence(path, None) is not None


def test_a_deflated_file_unpacks_to_no_more_than_it_may(tmp_path, without, monkeypatch) -> None:
    path = tmp_path / "deflated.dcm"
    path.write_bytes(deflated(without("StudyID") + element("PixelPaddingValue", "OB", bytes(4 << 20))))
    assert len(path.read_bytes()) < 20_000
    assert one_sentence(path, None) is None
    monkeypatch.setattr(dicom_parsing, "MOST_INFLATED_BYTES", 1 << 20)
    assert "unpacks to at most 1 MiB" in str(one_sentence(path, None))


def deflated(whole: bytes) -> bytes:
    """The same file in the deflated transfer syntax; only the length of its name changes."""
    plain, short = b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99"
    at = whole.index(b"\x02\x00\x10\x00UI")
    head_end = 144 + struct.unpack("<I", whole[140:144])[0]
    assert whole[at + 8 : at + 8 + len(plain)] == plain
    name = whole[at : at + 6] + struct.pack("<H", len(short)) + short
    meta = whole[144:at] + name + whole[at + 8 + len(plain) : head_end]
    packing = zlib.compressobj(9, zlib.DEFLATED, -15)
    return whole[:140] + struct.pack("<I", len(meta)) + meta + packing.compress(whole[head_end:]) + packing.flush()


def test_sequences_in_each_other_without_end_are_one_sentence(tmp_path, without) -> None:
    nested = b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    deep = element("SharedFunctionalGroupsSequence", "SQ", nested, 0xFFFFFFFF) * 2000
    path = tmp_path / "deep.dcm"
    path.write_bytes(without("SharedFunctionalGroupsSequence") + deep)
    assert one_sentence(path, None) is not None


def test_private_attributes_of_an_unknown_kind_are_no_obstacle(tmp_path, without) -> None:
    private = struct.pack("<HH", 0x0019, 0x1001) + b"Q?" + struct.pack("<H", 4) + b"abcd"
    path = tmp_path / "private.dcm"
    path.write_bytes(without("StudyID") + private)
    assert one_sentence(path, None) is None


@pytest.mark.parametrize("value", [b"", b"ISO 9999", b"ISO_IR 999"])
def test_an_unknown_character_set_is_no_obstacle(tmp_path, without, value) -> None:
    path = tmp_path / "letters.dcm"
    path.write_bytes(without("SpecificCharacterSet") + element("SpecificCharacterSet", "CS", value))
    one_sentence(path, None)


def test_special_files_are_no_dicom(tmp_path) -> None:
    for path in (tmp_path, Path("/dev/zero")):
        if path.exists():
            with pytest.raises(InputError, match="expected a file"):
                read_dataset(path)


@pytest.mark.parametrize(
    ("steps", "frames", "angle"),
    [([2.0], 4, 36.0), ([0.0, 1.0, 2.0, 5.0], 4, 35.0), ([0.0, 1.0], 4, None), ([0.0] * 9, 4, None)],
)
def test_steps_that_do_not_fit_the_frames_give_no_angles(write_xray, steps, frames, angle) -> None:
    path = write_xray(
        np.stack([PIXELS] * frames),
        PositionerPrimaryAngle=30.0,
        PositionerSecondaryAngle=0.0,
        PositionerPrimaryAngleIncrement=steps,
    )
    geometry = geometry_of(read_dataset(path), 3)
    assert geometry.primary_deg == angle
    assert (angle is None) == any("Increment has" in warning for warning in geometry.warnings)


def test_a_long_value_of_an_unknown_kind_among_the_macros_is_no_obstacle():
    """pydicom leaves long values in the file; reading this one would raise NotImplementedError."""
    tag = Tag(0x0018, 0x9472)
    group = Dataset()
    group[tag] = RawDataElement(tag, "Sq", 5_000_000, None, 1000, False, True)
    dataset = Dataset()
    dataset.DistanceSourceToDetector = 1020.0
    dataset.SharedFunctionalGroupsSequence = [group]
    found = TagReader(dataset).number("DistanceSourceToDetector")
    assert found is not None and found.value == 1020.0
