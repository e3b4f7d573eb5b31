"""`register --init model.pt`: from the command line to the files."""

from __future__ import annotations

import json

import numpy as np
import pytest
from constant_networks import card_for, saying, written
from learned_scenes import standing_in
from learned_scenes import written as written_similarity

from xrayreg.cli import main
from xrayreg.io import read_pose, read_volume

pytestmark = pytest.mark.usefixtures("unrotated_augmentations")

PICTURES = {"report.html", "overlay_front.png", "sheet_front.png", "drr_front.tif"}


@pytest.fixture(scope="module")
def network(ward, tmp_path_factory) -> str:
    """A network that says the true pose, a few millimetres off."""
    volume = read_volume(ward.folder / "ct.mha")
    pose = np.array(ward.case()["reference"]["world_from_volume"])
    pose[:3, 3] += [2.0, -1.0, 6.0]
    return written(tmp_path_factory.mktemp("network") / "model.pt", saying(card_for(volume, 1), pose[None]))


def result_in(folder) -> dict:
    return json.loads((folder / "result.json").read_text(encoding="utf-8"))


def names(folder) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_case_without_a_pose_starts_from_the_network(one_view, register, network, tmp_path):
    del one_view["initial"]
    assert register(one_view, "--init", network, "--quiet", "--no-pictures") == 0
    result = result_in(tmp_path / "out")
    assert result["start"] == "the network's hypothesis 1 of 1" and result["accepted"] is True
    # As in test_register: voxels are 5 mm.
    assert result["score"]["mtre_mm"] < 2.0
    assert result["seconds"]["network"] > 0


def test_the_pose_alone_is_written_flagged_with_pictures(one_view, register, network, tmp_path, capfd):
    assert register(one_view, "--init", network, "--init-only") == 3
    out = tmp_path / "out"
    result = result_in(out)
    assert names(out) == {"result.json", "pose.tfm", *PICTURES} == set(result["files"])
    assert result["accepted"] is False and result["unjudged"] is True and "estimate only" in result["reason"]
    # What the network was made to say: sqrt(2^2 + 1^2 + 6^2) mm from the truth, every target alike.
    assert result["score"]["mtre_mm"] == pytest.approx(41**0.5, abs=0.01)
    np.testing.assert_allclose(read_pose(out / "pose.tfm"), result["world_from_volume"], atol=1e-9)
    assert {"load", "network", "total"} <= result["seconds"].keys()
    assert "Not judged" in capfd.readouterr().out
    assert "Not judged" in (out / "report.html").read_text(encoding="utf-8")


def test_the_pose_alone_can_do_without_pictures_and_be_printed(one_view, register, network, tmp_path, capfd):
    assert register(one_view, "--init", network, "--init-only", "--no-pictures", "--json", "--quiet") == 3
    assert names(tmp_path / "out") == {"result.json", "pose.tfm"}
    assert json.loads(capfd.readouterr().out) == result_in(tmp_path / "out")


BAD = {
    "a network that is not there": (["--init", "lost.pt"], "init: expected the file of a trained network"),
    "a similarity that would not be used": (
        ["--init", "model.pt", "--init-only", "--similarity", "sim.pt"],
        "--similarity: expected a registration that compares images with it",
    ),
    "no network for its pose alone": (["--init", "search", "--init-only"], "init: expected the file of a trained"),
    "a start that there is not": (["--init", "psychic"], "init: expected one of auto, case, search or the file"),
}


@pytest.mark.parametrize(("options", "words"), BAD.values(), ids=BAD)
def test_what_cannot_be_used_is_told_in_one_line_and_nothing_is_written(
    options, words, one_view, register, tmp_path, capfd
):
    assert register(one_view, *options) == 2
    printed = capfd.readouterr()
    assert printed.out == "" and words in printed.err and printed.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_no_network_is_told_in_one_line(one_view, register, tmp_path, capfd):
    (tmp_path / "model.pt").write_bytes(b"PK not a network")
    for only in ([], ["--init-only"]):
        assert register(one_view, "--init", str(tmp_path / "model.pt"), *only) == 2
        assert "network model.pt: expected" in capfd.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_help_tells_of_the_network(capfd):
    assert main(["register", "--help"]) == 0
    text = capfd.readouterr().out
    assert "model.pt" in text and "--init-only" in text


def test_a_learned_similarity_is_asked_first_and_told_in_the_notes(one_view, register, ward, tmp_path, capfd):
    volume = read_volume(ward.folder / "ct.mha")
    with standing_in():
        file = written_similarity(tmp_path / "sim.pt", volume=volume)
        assert register(one_view, "--similarity", file, "--effort", "fast", "--quiet", "--no-pictures") == 0
    result = result_in(tmp_path / "out")
    assert result["accepted"] is True and result["score"]["mtre_mm"] < 2.0 and result["seconds"]["similarity"] > 0
    assert any("The learned similarity sim.pt (prost)" in note for note in result["notes"])
    assert register(one_view, "--similarity", str(tmp_path / "none.pt"), "--quiet", out=tmp_path / "other") == 2
    assert "similarity" in capfd.readouterr().err and not (tmp_path / "other").exists()
