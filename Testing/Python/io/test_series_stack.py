"""Slices and the frames of multi-frame files become one volume in the same way, or are refused for the same reasons."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from dicom_series import GRID, Edit, having, hounsfield, raw, write_frames, write_slices
from hypothesis import given, settings
from hypothesis import strategies as some
from pydicom.uid import EnhancedMRImageStorage, LegacyConvertedEnhancedCTImageStorage
from scipy.spatial.transform import Rotation

from xrayreg.checks import InputError
from xrayreg.io import read_volume
from xrayreg.scene import Volume

RAS_FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
VALUES = hounsfield()
Write = Callable[..., Path]


def slices(folder: Path, values: np.ndarray, grid: np.ndarray = GRID, **options: object) -> Path:
    """A folder with one file per slice."""
    return write_slices(folder / "slices", values, grid, **options)


def frames(folder: Path, values: np.ndarray, grid: np.ndarray = GRID, **options: object) -> Path:
    """One multi-frame file."""
    return write_frames(folder / "frames" / "ct.dcm", values, grid, **options)


def assert_every_slice_in_its_place(volume: Volume, values: np.ndarray, lps_from_index: np.ndarray) -> None:
    """Each written slice is found where it was written, and the axes are right-handed as far as the slices allow."""
    index_from_volume = np.linalg.inv(volume.grid.volume_from_index)
    found = []
    for k, written in enumerate(values):
        corner, right, below = (RAS_FROM_LPS @ lps_from_index @ [i, j, k, 1] for i, j in ((0, 0), (1, 0), (0, 1)))
        place = index_from_volume @ corner
        number = round(place[2])
        # Directions are written with nine decimals, a hundred millimetres away.
        np.testing.assert_allclose(place[:3], [0, 0, number], atol=1e-5)
        np.testing.assert_allclose((index_from_volume @ right)[:3], [1, 0, number], atol=1e-5)
        np.testing.assert_allclose((index_from_volume @ below)[:3], [0, 1, number], atol=1e-5)
        np.testing.assert_array_equal(volume.values[number], written)
        found.append(number)
    assert sorted(found) == list(range(len(values)))
    assert np.linalg.det(RAS_FROM_LPS @ volume.grid.volume_from_index) > 0


# Every way a patient can lie in the scanner, in both directions of the couch, and anything between.
_TURNS = some.one_of(
    some.sampled_from([Rotation.create_group("O").as_matrix()[n] for n in range(24)]),
    some.integers(0, 1000).map(lambda seed: Rotation.random(random_state=seed).as_matrix()),
)


@given(
    turn=_TURNS,
    spacing=some.tuples(*[some.sampled_from([0.3, 0.977, 2.5])] * 3),
    tilt_deg=some.sampled_from([0.0, 20.0, -20.0]),
    upward=some.booleans(),
    order=some.permutations(range(5)),
)
@settings(max_examples=12)
def test_slices_and_frames_in_any_order_lie_where_they_were_recorded(turn, spacing, tilt_deg, upward, order):
    grid = np.eye(4)
    grid[:3, :3] = turn * spacing
    grid[:3, 2] += grid[:3, 1] / spacing[1] * spacing[2] * np.tan(np.deg2rad(tilt_deg))
    grid[:3, 2] *= 1 if upward else -1
    grid[:3, 3] = [-150.5, 20.25, 1000.0]
    with tempfile.TemporaryDirectory() as folder:
        for write in (slices, frames):
            volume = read_volume(write(Path(folder), VALUES, grid, order=order))
            assert_every_slice_in_its_place(volume, VALUES, grid)
            assert any("gantry tilt" in note for note in volume.notes) == (tilt_deg != 0)


@pytest.mark.parametrize("storage", [LegacyConvertedEnhancedCTImageStorage, EnhancedMRImageStorage])
def test_other_multi_frame_volumes_are_read_alike_when_their_file_is_named(tmp_path, storage):
    volume = read_volume(frames(tmp_path, VALUES, storage=storage, order=[3, 1, 0, 4, 2]))
    assert_every_slice_in_its_place(volume, VALUES, GRID)


def _moved(k: int, millimetres: float, along: int = 2) -> Edit:
    step = GRID[:3, along] / np.linalg.norm(GRID[:3, along]) * millimetres
    return having(ImagePositionPatient=[float(x) for x in (GRID @ [0, 0, k, 1])[:3] + step])


def _turned(degrees: float) -> list[float]:
    turn = Rotation.from_rotvec(np.deg2rad(degrees) * np.array([0.0, 0.0, 1.0])).as_matrix()
    row, column = (turn @ GRID[:3, n] / np.linalg.norm(GRID[:3, n]) for n in (0, 1))
    return [round(float(x), 9) for x in (*row, *column)]


_DEFECTS: dict[str, tuple[dict[str, object], str]] = {
    "a slice missing": ({"order": [0, 1, 3, 4]}, r"a gap of 4 mm between (s001.dcm and s002.dcm|frames 1 and 2 of ct)"),
    "a slice twice": (
        {"edits": {3: _moved(2, 0)}},
        r"one slice at each place, found (s00[23].dcm and s00[23].dcm|frames [23] and [23] of ct.dcm) at the same",
    ),
    "two phases": ({"order": [0, 0, 1, 1, 2, 2]}, "one slice at each place"),
    "uneven slices": ({"edits": {2: _moved(2, 0.5)}}, "evenly spaced slices, found distances from 1.5 to 2.5 mm"),
    "a slice shifted sideways": ({"edits": {2: _moved(2, 5.0, along=0)}}, "shifted sideways"),
    "another spacing": ({"edits": {3: having(PixelSpacing=[0.9, 0.5])}}, "(s003|frame 3 of ct).dcm has 0.9 x 0.5 mm"),
    "half of them across": (
        {"edits": dict.fromkeys((0, 1), having(ImageOrientationPatient=[0, 0, 1, 0, 1, 0]))},
        r"2 of 5 that lie otherwise \((s000|frame 0 of ct).dcm",
    ),
    "one turned a little": ({"edits": {3: having(ImageOrientationPatient=_turned(5.0))}}, "1 of 5 that lie otherwise"),
    "no position": ({"edits": {3: having(ImagePositionPatient=None)}}, "ImagePositionPatient in every slice, found"),
    "two numbers": ({"edits": {3: raw("ImagePositionPatient", b"1\\2")}}, "expected 3 numbers"),
    "text": ({"edits": {3: raw("ImagePositionPatient", b"a\\b\\c")}}, "ImagePositionPatient .* of (s003|frame 3)"),
    "not a number": ({"edits": {3: raw("PixelSpacing", b"nan\\1")}}, "PixelSpacing .* of (s003|frame 3)"),
    "negative spacing": ({"edits": dict.fromkeys(range(5), having(PixelSpacing=[-0.8, 0.5]))}, "PixelSpacing"),
    "spacing in metres": ({"edits": dict.fromkeys(range(5), having(PixelSpacing=[8e-4, 5e-4]))}, "PixelSpacing"),
    "directions of length 2": (
        {"edits": dict.fromkeys(range(5), having(ImageOrientationPatient=[2, 0, 0, 0, 2, 0]))},
        "two perpendicular directions of length 1",
    ),
    "axes that are not perpendicular": (
        {"edits": dict.fromkeys(range(5), having(ImageOrientationPatient=[1, 0, 0, 0.6, 0.8, 0]))},
        "two perpendicular directions",
    ),
    "one position for all": ({"edits": dict.fromkeys(range(5), _moved(0, 0))}, "one slice at each place"),
    "a slope of 0": ({"edits": {3: having(RescaleSlope=0)}}, "RescaleSlope .* of (s003|frame 3)"),
    "an intercept that is text": (
        {"edits": {3: raw("RescaleIntercept", b"many")}},
        "RescaleIntercept .* of (s003|frame 3)",
    ),
    "rescale in some slices": (
        {"edits": {3: having(RescaleSlope=None, RescaleIntercept=None)}},
        r"RescaleSlope \(0028,1053\) of (s003|frame 3 of ct).dcm: .* found none",
    ),
    "other units": ({"edits": dict.fromkeys(range(5), having(RescaleType="Z_EFF"))}, "expected HU .* found Z_EFF"),
    "one slice alone": ({"order": [2]}, "at least two slices"),
}


@pytest.mark.parametrize("write", [slices, frames])
@pytest.mark.parametrize("defect", _DEFECTS)
def test_what_makes_no_even_stack_is_refused_in_one_sentence(tmp_path, write: Write, defect):
    options, words = _DEFECTS[defect]
    with pytest.raises(InputError, match=words) as caught:
        read_volume(write(tmp_path, VALUES, **options))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("write", [slices, frames])
def test_each_slice_and_frame_has_its_own_rescaling(tmp_path, write: Write):
    edits = {k: having(RescaleSlope=2 if k % 2 else 1, RescaleIntercept=-1024 + k) for k in range(5)}
    factor = np.array([2 if k % 2 else 1 for k in range(5)])[:, None, None]
    expected = (VALUES.astype(int) + 1024) * factor - 1024 + np.arange(5)[:, None, None]
    volume = read_volume(write(tmp_path, VALUES, edits=edits))
    np.testing.assert_array_equal(volume.values, expected)
    assert volume.values.dtype == np.int16


@pytest.mark.parametrize("write", [slices, frames])
def test_fractions_are_kept(tmp_path, write: Write):
    edits = dict.fromkeys(range(5), having(RescaleSlope="0.5", RescaleIntercept="-1000.25"))
    expected = (VALUES.astype(np.float32) + 1024) * 0.5 - 1000.25
    np.testing.assert_array_equal(read_volume(write(tmp_path, VALUES, edits=edits)).values, expected)


def _temporal(keyword: str) -> dict[int, Edit]:
    return {k: having(**{keyword: 1 + k % 2}) for k in range(5)}


def test_phases_that_alternate_from_place_to_place_are_refused(tmp_path):
    with pytest.raises(InputError, match="one point in time, found 2 temporal positions"):
        read_volume(slices(tmp_path, VALUES, edits=_temporal("TemporalPositionIdentifier")))
    with pytest.raises(InputError, match="one point in time, found 2 temporal positions"):
        read_volume(frames(tmp_path, VALUES, edits=_temporal("TemporalPositionIndex")))


def test_acquisitions_that_alternate_are_noted_and_those_in_blocks_are_not(tmp_path):
    noted = read_volume(slices(tmp_path / "a", VALUES, edits=_temporal("AcquisitionNumber"))).notes
    assert any("2 acquisitions alternate" in note for note in noted)
    blocks = {k: having(AcquisitionNumber=k // 2) for k in range(5)}
    assert read_volume(slices(tmp_path / "b", VALUES, edits=blocks)).notes == ()


def test_copies_of_a_slice_are_called_copies(tmp_path):
    uid = having(SOPInstanceUID="1.2.3.4")
    with pytest.raises(InputError, match=r"copies of one image\); remove the copies"):
        read_volume(slices(tmp_path, VALUES, order=[0, 1, 1, 2], edits={1: uid}))


@pytest.mark.parametrize("write", [slices, frames])
@pytest.mark.parametrize("scouts", [1, 2])
def test_images_across_the_others_are_left_out_with_a_note(tmp_path, write: Write, scouts):
    values, across = hounsfield(5 + scouts), {}
    for n in range(scouts):
        directions = [[0, 1, 0, 0, 0, 1], [1, 0, 0, 0, 0, -1]][n]
        across[5 + n] = having(ImageOrientationPatient=directions, ImagePositionPatient=[0, 0, 0])
    volume = read_volume(write(tmp_path, values, edits=across))
    assert_every_slice_in_its_place(volume, values[:5], GRID)
    assert sum("left out" in note for note in volume.notes) == scouts


def test_an_image_called_localiser_is_left_out_whatever_it_looks_like(tmp_path):
    marked = having(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"], PixelSpacing=[3.0, 3.0])
    volume = read_volume(slices(tmp_path, VALUES, edits={4: marked}))
    assert_every_slice_in_its_place(volume, VALUES[:4], GRID)
    assert "s004.dcm was left out as localiser (ImageType)." in volume.notes
    marked = having(FrameType=["ORIGINAL", "PRIMARY", "LOCALIZER", "NONE"])
    volume = read_volume(frames(tmp_path, VALUES, edits={0: marked}))
    assert volume.notes == ("frame 0 of ct.dcm was left out as localiser (ImageType).",)


def test_a_slice_of_another_size_is_named_with_both_sizes(tmp_path):
    write_slices(tmp_path, VALUES)
    write_slices(tmp_path, VALUES[:, ::2, ::2], order=[4], prefix="odd", SeriesInstanceUID="1.2")
    for path in tmp_path.glob("*.dcm"):
        _join(path)
    (tmp_path / "s004.dcm").unlink()
    with pytest.raises(InputError, match=r"odd000.dcm has 2 x 3 pixels, the others 4 x 6 pixels"):
        read_volume(tmp_path)


def _join(path: Path) -> None:
    import pydicom

    dataset = pydicom.dcmread(path)
    dataset.SeriesInstanceUID = "1.2.3.4.5"
    dataset.save_as(path)


_COUNTS: dict[str, tuple[Edit, str]] = {
    "too few descriptions": (
        lambda ds: ds.PerFrameFunctionalGroupsSequence.pop(),
        r"PerFrameFunctionalGroupsSequence .* expected 5 frames, found 4",
    ),
    "no count": (having(NumberOfFrames=None), r"NumberOfFrames .* found none, beside 5 descriptions"),
    "0": (raw("NumberOfFrames", b"0 "), r"NumberOfFrames .* expected 1 to 65536, found 0"),
    "text": (raw("NumberOfFrames", b"five"), r"NumberOfFrames \(0028,0008\) of ct.dcm"),
    "a fraction": (raw("NumberOfFrames", b"4.5 "), r"NumberOfFrames \(0028,0008\) of ct.dcm"),
    "negative": (raw("NumberOfFrames", b"-5"), r"NumberOfFrames .* expected 1 to 65536, found -5"),
    "billions": (raw("NumberOfFrames", b"2000000000"), r"NumberOfFrames .* expected 1 to 65536, found 2000000000"),
    "no sequence": (raw("PerFrameFunctionalGroupsSequence", b"abc", "LO"), "PerFrameFunctionalGroupsSequence"),
}


@pytest.mark.parametrize("damage", _COUNTS)
def test_a_count_of_frames_that_does_not_fit_is_refused(tmp_path, damage):
    edit, words = _COUNTS[damage]
    with pytest.raises(InputError, match=words):
        read_volume(frames(tmp_path, VALUES, whole=edit))


def _bare(**attributes: object) -> Edit:
    """A multi-frame file without functional groups, its geometry at the top as in dose grids."""

    def edit(dataset):
        del dataset.PerFrameFunctionalGroupsSequence
        having(
            ImagePositionPatient=[-10.0, 5.0, 30.0],
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
            PixelSpacing=[0.8, 0.5],
            RescaleSlope=1,
            RescaleIntercept=-1024,
            **attributes,
        )(dataset)

    return edit


@pytest.mark.parametrize("offsets", [[0, 2, 4, 6, 8], [30, 32, 34, 36, 38], [0, -2, -4, -6, -8]])
def test_frames_with_one_position_and_offsets_are_stacked_by_these(tmp_path, offsets):
    volume = read_volume(frames(tmp_path, VALUES, whole=_bare(GridFrameOffsetVector=offsets)))
    grid = np.diag([0.5, 0.8, 2.0 if offsets[1] > offsets[0] else -2.0, 1.0])
    grid[:3, 3] = [-10, 5, 30]
    assert_every_slice_in_its_place(volume, VALUES, grid)
    assert volume.assumed == ()


@pytest.mark.parametrize("step", [2.0, -2.0])
def test_frames_with_nothing_but_a_distance_are_stacked_in_order_and_that_is_an_assumption(tmp_path, step):
    volume = read_volume(frames(tmp_path, VALUES, whole=_bare(SpacingBetweenSlices=step)))
    grid = np.diag([0.5, 0.8, step, 1.0])
    grid[:3, 3] = [-10, 5, 30]
    assert_every_slice_in_its_place(volume, VALUES, grid)
    assert "stacked in their order" in volume.assumed[0]


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"SpacingBetweenSlices": 0},
        {"SliceThickness": 2},
        {"GridFrameOffsetVector": [0, 2, 4]},
        {"GridFrameOffsetVector": [0, 2, 4, 7, 8]},
        {"GridFrameOffsetVector": [7, 9, 11, 13, 15]},
    ],
)
def test_frames_without_places_are_refused(tmp_path, attributes):
    with pytest.raises(InputError):
        read_volume(frames(tmp_path, VALUES, whole=_bare(**attributes)))
