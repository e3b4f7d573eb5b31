"""What stored numbers mean: whatever offset, sign, bit, table or photometric interpretation, dense comes out bright."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset

from xrayreg.checks import InputError
from xrayreg.geometry import Camera
from xrayreg.io import read_radiograph
from xrayreg.io.dicom_frames import decode_frames

# The field is another file's business.
pytestmark = pytest.mark.usefixtures("whole_field")

SIZE = 64
CAMERA = Camera.from_sid(1000.0, 0.5, SIZE, SIZE)
ROWS, COLUMNS = np.mgrid[:SIZE, :SIZE]
BODY = 1.6 * np.exp(-((COLUMNS - 28) ** 2 + (ROWS - 35) ** 2) / 350)
LIGHT = np.exp(-BODY) * (1 + 0.003 * np.random.default_rng(0).standard_normal(BODY.shape))
COUNTS = LIGHT * 60000


def similarity(view) -> float:
    """Correlation of the attenuation with the true line integrals, where the tissue is dense."""
    dense = np.quantile(BODY, 0.8) < BODY
    whole = np.corrcoef(view.attenuation.ravel(), BODY.ravel())[0, 1]
    return float(min(whole, np.corrcoef(view.attenuation[dense], BODY[dense])[0, 1]))


def table(entries, first: int, bits: int, kind: str = "US") -> Dataset:
    item = Dataset()
    item.LUTDescriptor, item.ModalityLUTType = [len(entries) % 65536, first, bits], "US"
    item["LUTDescriptor"].VR = "US"
    if kind == "OW":
        item.LUTData = np.asarray(entries, "<u2").tobytes()
    elif kind == "packed OW":
        item.LUTData = np.asarray(entries, np.uint8).tobytes() + b"\0" * (len(entries) % 2)
    elif kind == "packed US":
        data = np.asarray(entries, np.uint8).tobytes() + b"\0" * (len(entries) % 2)
        item.LUTData = [int(word) for word in np.frombuffer(data, "<u2")]
    else:
        item.LUTData = [int(entry) for entry in entries]
    item["LUTData"].VR = kind.split()[-1]
    return item


@pytest.fixture
def write_signed(write_xray):
    """Writes an X-ray of any whole-number type, with attributes."""

    def write(pixels: np.ndarray, **attributes) -> Path:
        path = write_xray(np.zeros(pixels.shape), **attributes)
        dataset = pydicom.dcmread(path)
        dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
        dataset.BitsAllocated = 8 * pixels.dtype.itemsize
        for keyword, usual in (("BitsStored", dataset.BitsAllocated), ("HighBit", None)):
            setattr(dataset, keyword, attributes.get(keyword, usual if usual else dataset.BitsStored - 1))
        dataset.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
        dataset["PixelData"].VR = "OW"
        dataset.save_as(path)
        return path

    return write


SIGNED = {
    "counts": (COUNTS.astype(np.uint16), {}),
    "signed": ((COUNTS - 32768).astype(np.int16), {}),
    "signed, 12 bits": ((LIGHT * 4000 - 2048).astype(np.int16), {"BitsStored": 12}),
    "signed, 12 of 16 bits": ((LIGHT * 4000 - 2048).astype(np.int16), {}),
    "signed, all negative": ((LIGHT * 20000 - 32768).astype(np.int16), {}),
    "signed, dark subtracted": ((LIGHT * 20000 - 300).astype(np.int16), {}),
    "intercept": (COUNTS.astype(np.uint16), {"RescaleSlope": 1, "RescaleIntercept": -30000}),
    "intercept, all negative": (COUNTS.astype(np.uint16), {"RescaleSlope": 1, "RescaleIntercept": -65000}),
    "intercept above 0": (COUNTS.astype(np.uint16), {"RescaleSlope": 0.5, "RescaleIntercept": 30000}),
    "signed and intercept": ((COUNTS - 32768).astype(np.int16), {"RescaleSlope": 2, "RescaleIntercept": 7}),
    "falling": (COUNTS.astype(np.uint16), {"RescaleSlope": -1, "RescaleIntercept": 0}),
    "falling from the top": (COUNTS.astype(np.uint16), {"RescaleSlope": -1, "RescaleIntercept": 65535}),
    "left-aligned": ((LIGHT * 4000).astype(np.uint16) << 4, {"BitsStored": 12, "HighBit": 15}),
    "called left-aligned": ((LIGHT * 4000).astype(np.uint16), {"BitsStored": 12, "HighBit": 15}),
    "overlay above": (
        (LIGHT * 4000).astype(np.uint16) | np.where((ROWS + 3 * COLUMNS) % 7, 0, 0x8000).astype(np.uint16),
        {"BitsStored": 12},
    ),
    "8 bits": ((LIGHT * 240).astype(np.uint8), {}),
    "32 bits": ((LIGHT * 1e8).astype(np.uint32), {}),
}


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("name", SIGNED)
def test_an_image_that_is_linear_gives_line_integrals_whatever_its_offset(write_signed, name, photometric) -> None:
    pixels, attributes = SIGNED[name]
    path = write_signed(pixels, PixelIntensityRelationship="LIN", PhotometricInterpretation=photometric, **attributes)
    view = read_radiograph(path, camera=CAMERA)
    assert similarity(view) > 0.95
    # Not only in order: the zero of the counts is right, so the densest tissue has its attenuation (noise is 0.003).
    if name not in ("8 bits", "signed, dark subtracted"):
        assert np.ptp(view.attenuation) == pytest.approx(1.6, abs=0.05)
    assert any("Pixel values: LIN" in note for note in view.notes)


@pytest.mark.parametrize("name", SIGNED)
def test_an_image_that_says_nothing_is_read_by_its_histogram_but_not_by_its_sign(write_signed, name) -> None:
    pixels, attributes = SIGNED[name]
    view = read_radiograph(write_signed(pixels, **attributes), camera=CAMERA)
    assert similarity(view) > 0.9
    assert not any("for sure" in note for note in view.notes)


@pytest.mark.parametrize("name", ["signed", "intercept", "intercept, all negative"])
def test_an_offset_is_undone_for_an_intensity_that_the_case_gives(write_signed, name) -> None:
    pixels, attributes = SIGNED[name]
    view = read_radiograph(write_signed(pixels, **attributes), camera=CAMERA, intensity="transmission")
    assert np.ptp(view.attenuation) == pytest.approx(1.6, abs=0.05)


@pytest.mark.parametrize("used", [1.0, 0.3])
def test_counts_that_are_stored_upside_down_are_turned_round(write_signed, used) -> None:
    # At full scale the zero is known; below, the darkest value is taken for as many counts as the brightest lacks.
    pixels = (65535 - COUNTS).astype(np.uint16) if used == 1 else (used * (60000 - COUNTS * 0.9)).astype(np.uint16)
    path = write_signed(pixels, PixelIntensityRelationship="LIN", PixelIntensityRelationshipSign=-1)
    assert similarity(read_radiograph(path, camera=CAMERA)) > 0.95


LOGARITHM = np.rint(4000 * np.log(np.arange(1, 1025)) / np.log(1024)).astype(np.uint16)
BACK = np.rint(np.exp(np.arange(4096) / 4000 * np.log(1024))).astype(np.uint16)


@pytest.mark.parametrize("kind", ["US", "OW"])
@pytest.mark.parametrize("compressed", [False, True])
def test_a_logarithm_with_a_table_back_is_intensity_by_both_decoders(write_xray, tmp_path, kind, compressed) -> None:
    stored = LOGARITHM[(LIGHT * 1000).astype(int)]
    path = write_xray(stored)
    if compressed:
        path = as_jpeg(path, tmp_path)
    dataset = pydicom.dcmread(path)
    dataset.PixelIntensityRelationship = "LOG"
    dataset.ModalityLUTSequence = [table(BACK, 0, 16, kind)]
    dataset.save_as(path)
    view = read_radiograph(path, camera=CAMERA)
    assert similarity(view) > 0.95 and np.ptp(view.attenuation) == pytest.approx(1.6, abs=0.05)
    assert any("read as intensity" in note for note in view.notes)


def test_a_logarithm_with_a_straight_table_stays_one(write_xray) -> None:
    stored = LOGARITHM[(LIGHT * 1000).astype(int)]
    item = table(np.arange(4096), 0, 16)
    view = read_radiograph(
        write_xray(stored, PixelIntensityRelationship="LOG", ModalityLUTSequence=[item]), camera=CAMERA
    )
    assert similarity(view) > 0.95
    assert any("LOG, higher means more X-rays" in note for note in view.notes)


def test_a_table_does_not_bend_what_is_linear(write_xray) -> None:
    item = table(np.rint(np.sqrt(np.arange(65536)) * 255), 0, 16)
    path = write_xray(COUNTS, PixelIntensityRelationship="LIN", ModalityLUTSequence=[item])
    assert np.ptp(read_radiograph(path, camera=CAMERA).attenuation) == pytest.approx(1.6, abs=0.05)


@pytest.mark.parametrize("kind", ["US", "OW", "packed OW", "packed US"])
@pytest.mark.parametrize("count", [256, 255, 241])
def test_tables_of_8_bits_are_read_packed_and_unpacked(write_xray, kind, count) -> None:
    stored = (LIGHT * 240).astype(np.uint16)
    entries = (np.arange(count) * 7 + 3) % 256
    path = write_xray(stored, BitsStored=8, HighBit=7, ModalityLUTSequence=[table(entries, 0, 8, kind)])
    view = read_radiograph(path, camera=CAMERA)
    np.testing.assert_array_equal(view.recorded, entries[np.clip(stored, 0, count - 1)])


@pytest.mark.parametrize("first", [-5, 0, 100])
def test_values_beyond_the_ends_of_a_table_take_its_ends(write_signed, first) -> None:
    stored = (LIGHT * 240).astype(np.int16) - 20
    item = table(np.arange(150) + 1000, first % 65536, 16)
    view = read_radiograph(write_signed(stored, ModalityLUTSequence=[item]), camera=CAMERA)
    np.testing.assert_array_equal(view.recorded, 1000 + np.clip(stored - first, 0, 149))


def test_values_that_do_not_fit_their_bits_are_refused(write_signed) -> None:
    with pytest.raises(InputError, match=r"BitsStored \(0028,0101\).*12, and values up to"):
        read_radiograph(write_signed((LIGHT * 9000).astype(np.uint16), BitsStored=12), camera=CAMERA)


@pytest.mark.parametrize(("modality", "decides"), [("CR", True), ("DX", True), ("XA", False)])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_where_the_histogram_cannot_a_radiographs_photometric_interpretation_decides(
    write_xray, modality, decides, photometric
) -> None:
    # No air, and nothing that lies in the middle: stripes.
    stripes = 1000 + 500 * np.sin(COLUMNS / 2) + np.random.default_rng(1).integers(0, 50, (SIZE, SIZE))
    view = read_radiograph(write_xray(stripes, Modality=modality, PhotometricInterpretation=photometric), camera=CAMERA)
    assert any(f"a radiograph in {photometric}" in note for note in view.notes) == decides
    dense_is_bright = decides and photometric == "MONOCHROME2"
    assert (np.corrcoef(view.attenuation.ravel(), stripes.ravel())[0, 1] > 0) == dense_is_bright


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_radiographs_sign_counts_before_its_photometric_interpretation(write_xray, photometric, sign) -> None:
    stored = 1000 + 400 * (BODY if sign < 0 else 2 - BODY)
    attributes = {"PixelIntensityRelationship": "LOG", "PixelIntensityRelationshipSign": sign}
    path = write_xray(stored, Modality="DX", PhotometricInterpretation=photometric, **attributes)
    assert similarity(read_radiograph(path, camera=CAMERA)) > 0.99


def as_jpeg(path: Path, folder: Path) -> Path:
    """The same image, JPEG lossless."""
    writer = sitk.ImageFileWriter()
    writer.SetImageIO("GDCMImageIO")
    writer.UseCompressionOn()
    writer.SetCompressor("JPEG")
    writer.SetFileName(str(folder / "jpeg.dcm"))
    writer.Execute(sitk.ReadImage(str(path)))
    return folder / "jpeg.dcm"


def test_frames_are_decoded_as_they_were_stored(write_xray, tmp_path) -> None:
    run = np.stack([COUNTS, COUNTS.T, COUNTS[::-1]]).astype(np.uint16)
    path = write_xray(run, PhotometricInterpretation="MONOCHROME1", RescaleSlope=3, RescaleIntercept=5)
    np.testing.assert_array_equal(decode_frames(path, [2, 0]), run[[2, 0]])
    jpeg = as_jpeg(write_xray(run, name="plain.dcm"), tmp_path)
    dataset = pydicom.dcmread(jpeg)
    assert dataset.file_meta.TransferSyntaxUID.is_compressed
    dataset.PhotometricInterpretation, dataset.RescaleSlope, dataset.RescaleIntercept = "MONOCHROME1", 3, 5
    dataset.save_as(jpeg)
    np.testing.assert_array_equal(decode_frames(jpeg, [2, 0]), run[[2, 0]])
    with pytest.raises(InputError, match="a number from 0 to 2, found 3"):
        decode_frames(path, [3])


@pytest.mark.parametrize("says", [None, 1, 2])
def test_a_run_whose_frames_are_not_counted_is_one_sentence(write_xray, says) -> None:
    path = write_xray(np.stack([COUNTS] * 3))
    dataset = pydicom.dcmread(path)
    del dataset.NumberOfFrames
    if says:
        dataset.NumberOfFrames = says
    dataset.save_as(path)
    with pytest.raises(InputError, match=r"NumberOfFrames \(0028,0008\).*the 3 frames that the pixel data"):
        read_radiograph(path, camera=CAMERA, frame=0)


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"])
def test_every_way_to_store_without_loss_in_time_gives_the_same(write_xray, syntax) -> None:
    dataset = pydicom.dcmread(write_xray(COUNTS))
    pixels = COUNTS.astype(np.uint16)
    uid = pydicom.uid.UID(syntax)
    dataset.file_meta.TransferSyntaxUID = uid
    dataset.PixelData = pixels.astype("<u2" if uid.is_little_endian else ">u2").tobytes()
    path = Path(dataset.filename)
    pydicom.dcmwrite(
        path, dataset, implicit_vr=uid.is_implicit_VR, little_endian=uid.is_little_endian, enforce_file_format=True
    )
    np.testing.assert_array_equal(read_radiograph(path, camera=CAMERA).recorded, pixels)


def test_colours_by_palette_are_refused(write_xray) -> None:
    with pytest.raises(InputError, match=r"PhotometricInterpretation \(0028,0004\).*PALETTE COLOR"):
        read_radiograph(write_xray(COUNTS, PhotometricInterpretation="PALETTE COLOR"), camera=CAMERA)


@pytest.mark.parametrize("planar", [0, 1])
def test_equal_colours_are_grey_however_they_lie(write_signed, planar) -> None:
    grey = (LIGHT * 240).astype(np.uint8)
    path = write_signed(np.stack([grey] * 3, 0 if planar else -1), SamplesPerPixel=3, PlanarConfiguration=planar)
    dataset = pydicom.dcmread(path)
    dataset.Rows, dataset.Columns, dataset.PhotometricInterpretation = SIZE, SIZE, "RGB"
    del dataset.NumberOfFrames
    dataset.save_as(path)
    np.testing.assert_array_equal(read_radiograph(path, camera=CAMERA).recorded, grey)


def test_floating_point_pixels_are_read(write_xray) -> None:
    dataset = pydicom.dcmread(write_xray(COUNTS))
    del dataset.PixelData, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation
    dataset.BitsAllocated, dataset.FloatPixelData = 32, COUNTS.astype("<f4").tobytes()
    dataset.save_as(dataset.filename)
    view = read_radiograph(dataset.filename, camera=CAMERA)
    np.testing.assert_array_equal(view.recorded, COUNTS.astype(np.float32))
