"""`render`, `simulate`, `info` and `demo`."""

from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, XRayAngiographicImageStorage, generate_uid

import xrayreg.cli.demo
from xrayreg.cli import main
from xrayreg.io import parse_case


def pixels_of(path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def test_a_case_is_rendered_as_its_xray_shows_it(ward, one_view, write_case, tmp_path):
    case = write_case(one_view)
    assert main(["render", "--case", str(case), "--pose", "reference", "--out", str(tmp_path / "drr.tif")]) == 0
    drr, xray = pixels_of(tmp_path / "drr.tif"), pixels_of(ward.folder / "front.tif")
    assert drr.dtype == np.float32
    # Beam hardening, scatter and the tone curve keep -log from being the DRR, but only a match correlates like this.
    assert np.corrcoef(drr.ravel(), -np.log(xray.ravel() + 1.0))[0, 1] > 0.95


def test_angles_and_pose_file_say_the_same(ward, one_view, write_case, tmp_path):
    # The first view of the case was taken at 12 degrees LAO, 8 CAUD, 700 mm from the source.
    pose = tmp_path / "pose.json"
    pose.write_text(json.dumps(one_view["reference"]), encoding="utf-8")
    case, out = write_case(one_view), str(tmp_path / "drr.png")
    assert main(["render", "--case", str(case), "--pose", str(pose), "--out", out]) == 0
    by_pose = pixels_of(out)
    angles = ["--primary", "12", "--secondary", "-8", "--pixel", "3", "--size", "112", "112"]
    assert main(["render", "--volume", str(ward.folder / "ct.mha"), *angles, "--out", out]) == 0
    # Rounding to 256 tones may fall to either side.
    assert np.abs(by_pose.astype(int) - pixels_of(out)).max() <= 1


def test_only_the_named_structures_are_rendered(ward, tmp_path):
    options = ["--volume", str(ward.folder / "ct.mha"), "--labels", str(ward.folder / "labels.mha")]
    for name, structures in (("all", []), ("hip", ["--structures", "1"])):
        out = str(tmp_path / f"{name}.tif")
        assert main(["render", *options, *structures, "--size", "64", "64", "--pixel", "5", "--out", out]) == 0
    whole, hip = pixels_of(tmp_path / "all.tif"), pixels_of(tmp_path / "hip.tif")
    assert 0 < (hip > 0).sum() < 0.5 * (whole > 0).sum()
    # A part of the map attenuates no more than the whole; float32 sums round differently.
    assert (hip <= whole + 1e-4).all()


def test_each_kind_of_picture_shows_the_same_patient(ward, tmp_path):
    options = ["--volume", str(ward.folder / "ct.mha"), "--size", "48", "48", "--pixel", "10"]
    pictures = {}
    for name in ("joseph", "trilinear", "siddon", "mip"):
        out = str(tmp_path / f"{name}.tif")
        assert main(["render", *options, "--picture", name, "--out", out]) == 0
        pictures[name] = pixels_of(out)
    # Two ways to integrate one interpolant, and one through uniform voxels of 5 mm: speckled, but of the same mass.
    largest = pictures["joseph"].max()
    assert np.abs(pictures["trilinear"] - pictures["joseph"]).mean() < 5e-3 * largest
    assert np.abs(pictures["siddon"] - pictures["joseph"]).mean() < 3e-2 * largest
    assert pictures["siddon"].sum() == pytest.approx(float(pictures["joseph"].sum()), rel=0.01)
    # 1/mm, not a number without a unit: at most what the densest voxel attenuates.
    densest = 0.01929 * (1 + ward.values.max() / 1000)
    assert 0.8 * densest < pictures["mip"].max() <= densest * (1 + 1e-6)


def test_a_parallel_beam_shows_the_middle_as_large_as_a_cone(ward, tmp_path):
    options = ["--volume", str(ward.folder / "ct.mha"), "--size", "64", "64", "--pixel", "9", "--primary", "90"]
    masses = {}
    for beam in ("cone", "parallel"):
        out = str(tmp_path / f"{beam}.tif")
        assert main(["render", *options, "--beam", beam, "--out", out]) == 0
        masses[beam] = pixels_of(out).sum()
    # A patient around the middle: what is nearer looks larger and what is farther smaller, by a few per cent in all.
    assert masses["parallel"] == pytest.approx(masses["cone"], rel=0.1)
    assert masses["parallel"] != masses["cone"]


def test_a_simulated_case_holds_the_pose_that_made_it(ward, tmp_path, capfd):
    out = tmp_path / "case"
    options = ["--primary", "12", "--secondary", "-8", "--size", "112", "112", "--pixel", "3", "--rays-per-side", "1"]
    machine = ["--exposure", "12", "--gamma", "0.6", "--photons", "1e6"]
    ct = str(ward.folder / "ct.mha")
    assert main(["simulate", "--volume", ct, "--out", str(out), *options, *machine, "--offset", *"300000"]) == 0
    assert capfd.readouterr().out.strip() == str(out / "case.json")
    case = parse_case(out / "case.json")
    np.testing.assert_allclose(case.reference, ward.content["reference"]["world_from_volume"], atol=1e-9)
    turn = case.initial[:3, :3] @ case.reference[:3, :3].T
    # The offset is three degrees about the camera's x axis.
    assert np.degrees(np.arccos((np.trace(turn) - 1) / 2)) == pytest.approx(3.0, abs=1e-6)
    made, expected = pixels_of(out / "xray.tif"), pixels_of(ward.folder / "front.tif")
    # The same machine but for the number of energies, which changes tones by a few per cent of full scale.
    assert np.abs(made.astype(float) - expected).mean() < 0.03 * 65535


def write_dicom(path, **attributes) -> str:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = XRayAngiographicImageStorage, ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset = FileDataset(path, {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = XRayAngiographicImageStorage, meta.MediaStorageSOPInstanceUID
    dataset.Modality, dataset.SamplesPerPixel, dataset.PhotometricInterpretation = "XA", 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns, dataset.BitsAllocated, dataset.BitsStored = 40, 60, 16, 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 0
    dataset.PixelData = np.arange(2400, dtype="<u2").tobytes()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    dataset.save_as(path, enforce_file_format=True)
    return str(path)


def test_info_tells_a_dicom_images_geometry_and_where_it_came_from(tmp_path, capfd):
    path = write_dicom(
        tmp_path / "xray.dcm",
        DistanceSourceToDetector=1100.0,
        DistanceSourceToPatient=750.0,
        ImagerPixelSpacing=[0.4, 0.4],
        PositionerPrimaryAngle=30.0,
        PositionerSecondaryAngle=-12.0,
    )
    assert main(["info", path, "--json"]) == 0
    (found,) = json.loads(capfd.readouterr().out).values()
    assert found["SID"]["value"] == "1100.0 mm"
    assert "(0018,1110)" in found["SID"]["origin"]
    assert found["angles"]["value"] == "30 degrees LAO, 12 degrees CAUD"
    assert "(0018,1164)" in found["pixel pitch"]["origin"]
    assert main(["info", path]) == 0
    assert "30 degrees LAO" in capfd.readouterr().out


def test_info_names_the_missing_attribute(tmp_path, capfd):
    assert main(["info", write_dicom(tmp_path / "xray.dcm", ImagerPixelSpacing=[0.4, 0.4])]) == 2
    assert "DistanceSourceToDetector" in capfd.readouterr().err


def test_info_tells_volume_views_and_poses_of_a_case(ward, write_case, capfd):
    assert main(["info", str(write_case(ward.case())), "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert found["volume"]["spacing"]["value"] == "5 x 5 x 5 mm"
    assert found["X-ray side"]["size"]["value"] == "112 x 112 pixels"
    assert found["X-ray side"]["focal length"] == {"value": "333.3 pixels", "origin": "given with the view"}
    assert found["case case.json"]["initial pose"]["value"] == "given"


def test_info_tells_that_a_picture_holds_no_geometry(ward, capfd):
    assert main(["info", str(ward.folder / "front.tif")]) == 0
    printed = " ".join(capfd.readouterr().out.split())
    assert "112 x 112 pixels" in printed
    assert "no geometry" in printed


@pytest.mark.long
def test_the_demo_finds_its_pose_and_ends_with_the_folder(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(xrayreg.cli.demo, "VOXEL_MM", 5.0)
    monkeypatch.setattr(xrayreg.cli.demo, "SIZE_PX", 128)
    monkeypatch.setattr(xrayreg.cli.demo, "PIXEL_MM", 3.0)
    monkeypatch.setattr(xrayreg.cli.demo, "PANEL_PX", 128)
    out = tmp_path / "demo"
    assert main(["demo", "--out", str(out)]) == 0
    printed = capfd.readouterr().out
    assert printed.splitlines()[-1] == str(out)
    for words in ("Generated", "Simulated", "Searched", "Accepted"):
        assert words in printed
    assert {path.name for path in (out / "data").iterdir()} == {
        "ct.nii.gz", "labels.nii.gz", "labels.json", "xray.tif", "case.json",
    }  # fmt: skip
    assert {"overlay_xray.png", "sheet_xray.png", "report.html", "before_after.png"} <= {p.name for p in out.iterdir()}
    # Voxels of 5 mm: the start was some 60 mm off, and a fraction of a voxel is found.
    assert json.loads((out / "result.json").read_text(encoding="utf-8"))["score"]["mtre_mm"] < 2.0
