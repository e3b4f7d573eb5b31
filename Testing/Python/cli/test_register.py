"""`register` from end to end: what it writes, prints and returns."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

import xrayreg
from xrayreg import __version__
from xrayreg.cli import main
from xrayreg.io import read_pose

# The files of design.md 5 for the view "front", and ours beside them.
FILES = {"result.json", "pose.tfm", "report.html", "overlay_front.png", "sheet_front.png", "drr_front.tif"}


def names(folder) -> set[str]:
    return {path.name for path in folder.iterdir()}


def result_in(folder) -> dict:
    return json.loads((folder / "result.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def done(ward, tmp_path_factory):
    """The folder of one registration of a single view from a pose 17 mm off."""
    folder = tmp_path_factory.mktemp("done")
    case = ward.case()
    case["views"] = case["views"][:1]
    (folder / "case.json").write_text(json.dumps(case), encoding="utf-8")
    out = folder / "not" / "there" / "yet"
    assert main(["register", str(folder / "case.json"), "--out", str(out), "--init", "case", "--quiet"]) == 0
    return out


def test_the_pose_is_found(done):
    # Voxels are 5 mm, pixels 2 mm at the patient: two millimetres, most of it depth, are a fraction of either.
    assert result_in(done)["score"]["mtre_mm"] < 2.0


def test_exactly_the_promised_files_are_written(done):
    assert names(done) == FILES == set(result_in(done)["files"])


def test_the_result_obeys_the_file_contract(done):
    result = result_in(done)
    assert np.shape(result["world_from_volume"]) == np.shape(result["views"][0]["camera_from_volume"]) == (4, 4)
    assert result["accepted"] is True
    assert result["reason"].endswith(".") and result["reason_code"] == "accepted"
    assert set(result["note_codes"]) <= {"assumed", "volume", "xray"}
    assert -1 <= result["views"][0]["similarity"] <= 1
    assert {"load", "initialise", "refine", "total"} <= result["seconds"].keys()
    assert {"mtre_mm", "rotation_deg", "translation_mm", "mpd_mm"} <= result["score"].keys()
    assert isinstance(result["quality"], dict) and isinstance(result["uncertainty"], dict)
    assert result["renders"] > 0
    assert result["engine"]
    assert result["version"] == __version__


def test_the_pose_of_a_view_is_that_of_the_world_seen_by_its_camera(done):
    # The world is the first view's camera.
    result = result_in(done)
    np.testing.assert_allclose(result["views"][0]["camera_from_volume"], result["world_from_volume"], atol=1e-12)


def test_the_transform_file_holds_the_result(done):
    # Transform files hold some fifteen digits.
    np.testing.assert_allclose(read_pose(done / "pose.tfm"), result_in(done)["world_from_volume"], atol=1e-9)


def test_the_drr_has_the_size_of_the_image_and_shows_the_anatomy_where_the_xray_does(done, ward):
    drr, xray = (
        sitk.GetArrayFromImage(sitk.ReadImage(str(path))).astype(float)
        for path in (done / "drr_front.tif", ward.folder / "front.tif")
    )
    assert drr.shape == xray.shape
    # Beam hardening, scatter and the tone curve keep -log from being the DRR, but only a match correlates like this.
    assert np.corrcoef(drr.ravel(), -np.log(xray.ravel() + 1))[0, 1] > 0.95


def test_a_reference_is_needed_for_a_score(one_view, register, tmp_path):
    del one_view["reference"]
    assert register(one_view, "--init", "case", "--no-pictures") == 0
    assert "score" not in result_in(tmp_path / "out")


def test_json_goes_to_standard_output_alone(one_view, register, tmp_path, capfd):
    assert register(one_view, "--init", "case", "--no-pictures", "--json") == 0
    printed = capfd.readouterr()
    assert json.loads(printed.out) == result_in(tmp_path / "out")
    assert printed.err == ""


def test_quiet_is_silent(one_view, register, capfd):
    assert register(one_view, "--init", "case", "--no-pictures", "--quiet") == 0
    assert capfd.readouterr() == ("", "")


def test_the_table_names_verdict_error_and_folder(one_view, register, tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    assert register(one_view, "--init", "case", "--no-pictures") == 0
    printed = capfd.readouterr().out
    for words in ("Accepted", "mTRE", "Similarity", str(tmp_path / "out")):
        assert words in printed


def test_what_cannot_be_trusted_is_written_flagged_and_returns_three(ward, one_view, register, tmp_path, capfd):
    # Noise has no pose: any that is found must be refused.
    noise = np.random.default_rng(5).integers(1000, 60000, (112, 112)).astype(np.uint16)
    path = tmp_path / "front.tif"
    sitk.WriteImage(sitk.GetImageFromArray(noise), str(path))
    one_view["views"][0]["image"] = str(path)
    assert register(one_view, "--init", "case") == 3
    assert "Rejected" in capfd.readouterr().out
    assert names(tmp_path / "out") == FILES
    result = result_in(tmp_path / "out")
    assert result["accepted"] is False and result["reason_code"] != "accepted"
    assert f'data-reason-code="{result["reason_code"]}"' in (tmp_path / "out" / "report.html").read_text("utf-8")


def test_files_of_an_earlier_run_do_not_mix_with_new_ones(done, one_view, register, tmp_path):
    shutil.copytree(done, tmp_path / "out")
    (tmp_path / "out" / "notes.txt").write_text("mine", encoding="utf-8")
    assert register(one_view, "--init", "case", "--quiet", "--no-pictures") == 0
    assert names(tmp_path / "out") == {"result.json", "pose.tfm", "notes.txt"}


def test_two_views_are_registered_together(ward, register, tmp_path):
    assert register(ward.case(), "--init", "case", "--quiet", "--no-pictures") == 0
    result = result_in(tmp_path / "out")
    assert [view["name"] for view in result["views"]] == ["front", "side"]
    # A second view at right angles fixes the depth, so that half a voxel is not too much to ask.
    assert result["score"]["mtre_mm"] < 1.0


def test_the_wrist_is_found_in_real_xrays(shared_data, tmp_path):
    case = shared_data("wrist", "case.json")
    assert main(["register", str(case), "--out", str(tmp_path), "--quiet", "--no-pictures"]) == 0
    # The reference itself is known to about that: two methods agree on it to a few tenths of a millimetre.
    assert result_in(tmp_path)["score"]["mtre_mm"] <= 0.5


@pytest.mark.parametrize("command", [[], ["register"], ["render"], ["simulate"], ["info"], ["demo"]])
def test_help_is_told_with_examples(command, capfd):
    assert main([*command, "--help"]) == 0
    assert f"examples:\n  xrayreg {' '.join(command)}" in capfd.readouterr().out


def test_help_needs_no_heavy_library():
    # Half a second is promised for --help; torch and numba take twice that alone, numpy and rich most of the rest.
    code = (
        "import sys, xrayreg.cli; xrayreg.cli.main(['register', '--help']); "
        "sys.exit(not {'numpy', 'torch', 'numba', 'scipy', 'SimpleITK', 'rich'}.isdisjoint(sys.modules))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(xrayreg.__file__).parents[1])}
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, check=False)
    assert finished.returncode == 0


def test_a_registration_loads_neither_statistics_nor_pictures_nor_training():
    # Each is a half to several seconds of every start. MONAI is for those whose network is one of its own.
    code = """
import sys, torch
import xrayreg.cli.interrupted, xrayreg.registration.pipeline
from xrayreg.networks.model.backbones import build_network
from xrayreg.networks.model.canonical_frame import CanonicalFrame
from xrayreg.settings import NetworkCamera, NetworkSettings
build_network(NetworkSettings(), NetworkCamera(), CanonicalFrame(torch.eye(3), 700.0))
heavy = ("scipy.stats", "scipy.optimize", "matplotlib", "monai", "torch._dynamo", "xrayreg.networks.training")
print(*(name for name in heavy if name in sys.modules))
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(xrayreg.__file__).parents[1])}
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, check=True, text=True)
    assert told.stdout.split() == []
