"""Which objects of a folder are the CT, what is said of the others, and how one chooses."""

from __future__ import annotations

import numpy as np
import pytest
from dicom_series import having, hounsfield, raw, write_frames, write_slices
from pydicom import uid

from xrayreg.checks import InputError
from xrayreg.cli.info import found_in
from xrayreg.io import CaseFile, holds_volume, list_series, parse_case, read_volume, write_case

VALUES, LONGER = hounsfield(3), hounsfield(8)
_STRANGERS = {
    "RTDOSE": uid.RTDoseStorage,
    "SEG": uid.SegmentationStorage,
    "XA": uid.XRayAngiographicImageStorage,
    "PT": uid.PositronEmissionTomographyImageStorage,
    "MR": uid.MRImageStorage,
    "OT": uid.MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    "RTSTRUCT": uid.RTStructureSetStorage,
}


@pytest.mark.parametrize("modality", _STRANGERS)
def test_nothing_but_a_ct_is_taken_for_the_ct_however_large_it_is(tmp_path, modality):
    storage = _STRANGERS[modality]
    write_frames(tmp_path / "a.dcm", LONGER, storage=storage, Modality=modality)
    write_slices(tmp_path, LONGER, storage=storage, Modality=modality, prefix="z")
    with pytest.raises(InputError, match=rf"expected a CT series in .*, found no CT but {modality}.*, 8 images"):
        read_volume(tmp_path)
    write_slices(tmp_path, VALUES)
    volume = read_volume(tmp_path)
    np.testing.assert_array_equal(np.sort(volume.values, axis=0), np.sort(VALUES, axis=0))
    assert volume.notes == ()
    assert sorted(series.is_ct for series in list_series(tmp_path)) == [False, False, True]
    assert "series 3" in found_in(tmp_path)[f"series of {tmp_path.name}"]


def test_a_screen_shot_in_the_series_of_the_ct_is_no_slice(tmp_path):
    write_slices(tmp_path, VALUES, SeriesInstanceUID="1.2.3")
    write_slices(tmp_path, LONGER, storage=uid.SecondaryCaptureImageStorage, SeriesInstanceUID="1.2.3", prefix="shot")
    for volume in (read_volume(tmp_path), read_volume(tmp_path, "1.2.3")):
        assert len(volume.values) == 3
        [note] = volume.notes
        assert note.startswith("shot000.dcm, shot001.dcm, shot002.dcm, ... were left out: in the same series but no CT")


@pytest.fixture
def several(tmp_path):
    """Two CTs of one length and a longer one, an MR and a dose."""
    for prefix, values, series, number in (
        ("thin", LONGER, "1.2.30", 4),
        ("soft", VALUES, "1.2.20", 5),
        ("bone", VALUES, "1.2.10", 6),
    ):
        write_slices(
            tmp_path,
            values,
            prefix=prefix,
            SeriesInstanceUID=series,
            SeriesNumber=number,
            SeriesDescription="soft" if prefix == "bone" else prefix,
        )
    write_slices(
        tmp_path,
        VALUES,
        storage=uid.MRImageStorage,
        Modality="MR",
        prefix="mr",
        SeriesInstanceUID="1.2.40",
        SeriesDescription="t1",
    )
    write_frames(
        tmp_path / "dose.dcm",
        VALUES,
        storage=uid.RTDoseStorage,
        Modality="RTDOSE",
        SeriesInstanceUID="1.2.50",
        SeriesDescription="dose",
    )
    return tmp_path


def test_of_several_cts_the_longest_is_read_and_the_others_are_named(several):
    volume = read_volume(several)
    assert len(volume.values) == len(LONGER)
    [note] = volume.notes
    for words in ("3 CT series; reading thin (8 slices)", 'CT "soft", 3 images, series 5', "series 6", '"series" in'):
        assert words in note
    for file in several.glob("thin*"):
        file.unlink()
    assert "2 CT series; reading soft (3 slices), the first of the longest" in read_volume(several).notes[0]
    assert list_series(several)[0].uid == "1.2.10"


@pytest.mark.parametrize("asked", ["1.2.30", "thin", "THIN ", "4"])
def test_a_series_is_chosen_by_identifier_description_or_number(several, asked):
    volume = read_volume(several, asked)
    assert len(volume.values) == len(LONGER)
    assert volume.notes == ()


def test_another_volume_than_a_ct_is_read_when_it_is_asked_for(several):
    assert read_volume(several, "t1").notes == ("The volume is no CT but MR: its values are no Hounsfield units.",)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("soft", r'series "soft": expected one series of that name, found CT "soft", 3 images.*1.2.[12]0; give its'),
        ("thick", 'series "thick": .* found CT "thin", 8 images, series 4; .*MR "t1", 3 images; .*name one of these'),
        ("dose", r'found RTDOSE \(RT Dose\) "dose", 3 images, which is no CT; name one of the CT series'),
        ("\x1b[2J", r'series "\\x1b\[2J"'),
    ],
)
def test_a_name_that_fits_none_or_several_is_refused_with_the_list(several, asked, words):
    with pytest.raises(InputError, match=words) as caught:
        read_volume(several, asked)
    assert str(caught.value).isprintable()


def test_a_series_of_something_that_is_no_folder_is_refused(tmp_path):
    (tmp_path / "ct.nii").write_bytes(b"")
    with pytest.raises(InputError, match='leave out "series"'):
        read_volume(tmp_path / "ct.nii", "thin")


@pytest.mark.parametrize(("written", "read"), [('"bone 1.0"', "bone 1.0"), ("4", "4"), ("null", None)])
def test_a_case_names_the_series(tmp_path, written, read):
    path = tmp_path / "case.json"
    path.write_text(f'{{"volume": "ct", "series": {written}, "views": []}}')
    case = parse_case(path)
    assert case.series == read
    write_case(path, case)
    assert parse_case(path).series == read


@pytest.mark.parametrize("written", ["true", "1.5", '""', '" "', "[4]"])
def test_a_case_whose_series_is_no_name_is_refused(tmp_path, written):
    (tmp_path / "case.json").write_text(f'{{"volume": "ct", "series": {written}, "views": []}}')
    with pytest.raises(InputError, match="series: expected the description, number or SeriesInstanceUID"):
        parse_case(tmp_path / "case.json")


def test_a_case_without_a_series_writes_none(tmp_path):
    write_case(tmp_path / "case.json", CaseFile(tmp_path / "ct", ()))
    assert "series" not in (tmp_path / "case.json").read_text()


def test_what_else_lies_in_the_folder_does_not_matter(tmp_path):
    write_slices(tmp_path, VALUES)
    for name, content in {
        "README.txt": b"slices",
        "Thumbs.db": b"\xd0\xcf\x11\xe0" * 40,
        "._s000.dcm": b"\0\5\x16\7" * 40,
        ".hidden": b"\x08\x00",
        "report.pdf": b"%PDF-1.4" + bytes(200),
        "numbers.bin": b"\x08\x00" * 400,
    }.items():
        (tmp_path / name).write_bytes(content)
    write_slices(tmp_path / "older", LONGER)
    write_slices(
        tmp_path / "d", VALUES[:1], storage=uid.MediaStorageDirectoryStorage, edits=having(PixelData=None, Rows=None)
    )
    (tmp_path / "d" / "s000.dcm").rename(tmp_path / "DICOMDIR")
    volume = read_volume(tmp_path)
    assert len(volume.values) == 3
    assert volume.notes == ()


def test_a_damaged_file_is_named_and_explains_the_gap_it_leaves(tmp_path):
    write_slices(tmp_path, LONGER)
    (tmp_path / "s007.dcm").write_bytes(b"")
    volume = read_volume(tmp_path)
    assert len(volume.values) == 7
    assert volume.notes == ("s007.dcm (empty) could not be read as DICOM and was left out.",)
    (tmp_path / "s003.dcm").write_bytes((tmp_path / "s003.dcm").read_bytes()[:140])
    with pytest.raises(InputError, match=r"a gap of 4 mm between s002.dcm and s004.dcm .*; s003.dcm .*could not be"):
        read_volume(tmp_path)


def test_a_folder_above_the_slices_names_the_folders_in_it(tmp_path):
    write_slices(tmp_path / "thin", VALUES)
    with pytest.raises(InputError, match=r"no DICOM file in .* itself \(in it are the folders thin\); name the folder"):
        read_volume(tmp_path)


def test_a_slice_alone_is_no_volume_and_an_x_ray_none_either(tmp_path):
    path = write_slices(tmp_path, VALUES) / "s001.dcm"
    with pytest.raises(InputError, match=r"at least two slices, found one, s001.dcm; name the whole CT"):
        read_volume(path)
    assert holds_volume(path)
    run = write_frames(tmp_path / "run.dcm", VALUES, storage=uid.XRayAngiographicImageStorage, Modality="XA")
    with pytest.raises(InputError, match="expected a CT image, found no CT but XA"):
        read_volume(run)
    assert not holds_volume(run)


def test_two_multi_frame_files_of_a_series_are_one_stack(tmp_path):
    for name, part in (("b", [4, 5, 6, 7]), ("a", [0, 1, 2, 3])):
        write_frames(tmp_path / f"{name}.dcm", LONGER, order=part, SeriesInstanceUID="1.2.3")
    volume = read_volume(tmp_path)
    assert sorted(map(bytes, volume.values)) == sorted(map(bytes, LONGER))


def test_names_from_headers_reach_no_terminal_unescaped(tmp_path):
    write_slices(tmp_path, VALUES, edits=raw("SeriesDescription", b"a\x1b[2Jb"))
    write_slices(tmp_path, VALUES, prefix="t", edits=raw("SeriesDescription", b"\x1b]0;c\x07"))
    [note] = read_volume(tmp_path).notes
    assert note.isprintable() and "x1b" in note
