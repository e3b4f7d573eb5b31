"""Pictures that hold an image are read as they are; what is cut off or no grey image is one sentence."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from xrayreg.checks import InputError
from xrayreg.geometry import Camera
from xrayreg.io import read_radiograph

# The field is another file's business.
pytestmark = pytest.mark.usefixtures("whole_field")

SIZE = 96
CAMERA = Camera.from_sid(1000.0, 0.5, SIZE, SIZE)
ROWS, COLUMNS = np.mgrid[:SIZE, :SIZE]
BODY = 1.6 * np.exp(-((COLUMNS - 40) ** 2 + (ROWS - 50) ** 2) / 900)
LIGHT = np.exp(-BODY) * (1 + 0.01 * np.random.default_rng(0).standard_normal(BODY.shape))


def similarity(view) -> float:
    """Correlation of the attenuation with the true line integrals."""
    return float(np.corrcoef(view.attenuation.ravel(), BODY.ravel())[0, 1])


def jpeg(**options) -> bytes:
    file = io.BytesIO()
    Image.fromarray((200 * LIGHT).astype(np.uint8)).save(file, "JPEG", quality=95, **options)
    return file.getvalue()


def png(bits: int, channels: np.ndarray) -> bytes:
    """A PNG with grey and alpha, written by hand."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = b"".join(b"\0" + row.astype(">u2" if bits == 16 else "u1").tobytes() for row in channels)
    head = struct.pack(">IIBBBBB", channels.shape[1], channels.shape[0], bits, 4, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("alpha", [0, 1])
def test_of_grey_with_alpha_the_grey_values_are_read_whole(tmp_path, bits, alpha) -> None:
    grey = (LIGHT * (2**bits * 0.9)).astype(np.uint16)
    opaque = np.full_like(grey, alpha * (2**bits - 1))
    (tmp_path / "x.png").write_bytes(png(bits, np.stack([grey, opaque], -1)))
    view = read_radiograph(tmp_path / "x.png", camera=CAMERA)
    np.testing.assert_array_equal(view.recorded, grey)
    assert "The picture's transparency was left out." in view.notes


@pytest.mark.parametrize("bits", [8, 16])
def test_grey_with_alpha_that_is_cut_off_is_refused(tmp_path, bits) -> None:
    whole = png(bits, np.stack([(LIGHT * 200).astype(np.uint16)] * 2, -1))
    for share in (0.3, 0.6, 0.9):
        (tmp_path / "x.png").write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(InputError, match="X-ray: expected an image that can be read"):
            read_radiograph(tmp_path / "x.png", camera=CAMERA)


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_is_read_only_when_it_is_whole(tmp_path, capfd, progressive) -> None:
    whole = jpeg(progressive=progressive)
    for data in (whole, whole + b"more behind its end"):
        (tmp_path / "x.jpg").write_bytes(data)
        assert similarity(read_radiograph(tmp_path / "x.jpg", camera=CAMERA)) > 0.99
    for share in (0.2, 0.5, 0.9, 0.999):
        (tmp_path / "x.jpg").write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(InputError, match=r"X-ray: expected an image that can be read.*complete"):
            read_radiograph(tmp_path / "x.jpg", camera=CAMERA)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("intensity", ["auto", "transmission"])
@pytest.mark.parametrize(
    ("scale", "offset"), [(60000, -32768), (4000, -2048), (120, -128), (100, -32768)], ids=["16", "12", "8", "all"]
)
@pytest.mark.parametrize("name", ["x.tif", "x.nrrd", "x.nii"])
def test_counts_stored_as_signed_numbers_are_counts(tmp_path, name, scale, offset, intensity) -> None:
    sitk.WriteImage(sitk.GetImageFromArray((LIGHT * scale + offset).astype(np.int16)), str(tmp_path / name))
    view = read_radiograph(tmp_path / name, camera=CAMERA, intensity=intensity)
    # The coarsest has a hundred levels.
    assert similarity(view) > 0.985
    dense = np.quantile(BODY, 0.95) < BODY
    assert np.ptp(view.attenuation[dense]) > 0.05, "dense tissue is not flat"
    assert any(f"{offset} was taken for no X-rays" in note for note in view.notes)


@pytest.mark.parametrize(
    "values", [-LIGHT, LIGHT - 0.5, (LIGHT - LIGHT.mean()) / LIGHT.std()], ids=["negative", "offset", "normalised"]
)
def test_negative_values_of_unknown_offset_are_no_transmission(tmp_path, values) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(values.astype(np.float32)), str(tmp_path / "x.nrrd"))
    with pytest.raises(InputError, match=r"expected counts, which are not negative.*attenuation"):
        read_radiograph(tmp_path / "x.nrrd", camera=CAMERA, intensity="transmission")


@pytest.mark.parametrize("sign", [1, -1])
def test_negative_values_of_unknown_offset_keep_bones_dense(tmp_path, sign) -> None:
    values = sign * (BODY - BODY.mean()) / BODY.std()
    sitk.WriteImage(sitk.GetImageFromArray(values.astype(np.float32)), str(tmp_path / "x.nrrd"))
    assert similarity(read_radiograph(tmp_path / "x.nrrd", camera=CAMERA)) > 0.99


def test_a_folder_or_a_device_is_no_picture(tmp_path) -> None:
    with pytest.raises(InputError, match="expected a file"):
        read_radiograph(tmp_path, camera=CAMERA)
