"""`register --volume --xray`: it goes the way of a case.json, which is kept beside the result."""

from __future__ import annotations

import json

import numpy as np
import pytest

from xrayreg.cli import main
from xrayreg.io import parse_case

PROJECTION = ["--sid", "1000", "--pixel-mm", "3", "--intensity", "transmission"]
OPTIONS = ["--effort", "fast", "--no-pictures", "--quiet"]


def result_in(folder) -> dict:
    return json.loads((folder / "result.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def done(ward, tmp_path_factory):
    """The folder of a registration of the ward's CT and first X-ray, named by options."""
    out = tmp_path_factory.mktemp("files") / "out"
    files = ["--volume", str(ward.folder / "ct.mha"), "--xray", str(ward.folder / "front.tif")]
    labels = ["--labels", str(ward.folder / "labels.mha")]
    assert main(["register", *files, *labels, *PROJECTION, "--out", str(out), *OPTIONS]) in (0, 3)
    return out


def test_the_case_beside_the_result_is_the_one_that_somebody_would_have_written(done, ward, tmp_path):
    content = ward.case()
    content["views"] = content["views"][:1]
    (tmp_path / "case.json").write_text(json.dumps(content), encoding="utf-8")
    written, by_hand = parse_case(done / "case.json"), parse_case(tmp_path / "case.json")
    assert written.volume.samefile(by_hand.volume) and written.labels.samefile(by_hand.labels)
    (view,), (expected,) = written.views, by_hand.views
    assert view.image.samefile(expected.image)
    assert (view.intensity, view.frame, view.mirrored) == (expected.intensity, expected.frame, expected.mirrored)
    np.testing.assert_allclose(view.camera.matrix, expected.camera.matrix, rtol=1e-15)
    assert (view.camera.width, view.camera.pixel_mm) == (expected.camera.width, expected.camera.pixel_mm)
    np.testing.assert_allclose(view.camera.camera_from_world, expected.camera.camera_from_world, atol=1e-12)


def test_registered_again_the_case_gives_the_same_result_and_stays(done):
    assert result_in(done)["files"] == ["case.json", "pose.tfm", "result.json"]
    text, before = (done / "case.json").read_bytes(), result_in(done)
    assert main(["register", str(done / "case.json"), "--out", str(done), *OPTIONS]) in (0, 3)
    assert (done / "case.json").read_bytes() == text
    after = result_in(done)
    # Threads add up in another order each time.
    np.testing.assert_allclose(after["world_from_volume"], before["world_from_volume"], atol=1e-3)
    for key in ("accepted", "notes", "start", "files"):
        assert after[key] == before[key]


REFUSED = {
    "a case and files": (["case.json", "--volume", "ct.mha", "--xray", "x.dcm"], "--xray, --volume; leave out"),
    "a case and a number": (["case.json", "--sid", "1000"], "found case case.json and --sid;"),
    "neither": ([], "found neither"),
    "no X-ray": (["--volume", "ct.mha"], "--volume without --xray"),
    "no CT": (["--xray", "x.dcm", "--sid", "1000"], "--xray, --sid without --volume"),
    "no CT there": (["--volume", "ct.mha", "--xray", "x.dcm"], "nothing at ct.mha"),
}


@pytest.mark.parametrize(("arguments", "told"), REFUSED.values(), ids=REFUSED)
def test_what_makes_no_case_is_refused_in_one_line(arguments, told, tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["register", *arguments, "--out", "out"]) == 2
    printed = capfd.readouterr()
    assert told.lower() in printed.err.lower() and printed.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_picture_without_numbers_is_refused_by_the_options_that_give_them(ward, tmp_path, capfd):
    files = ["--volume", str(ward.folder / "ct.mha"), "--xray", str(ward.folder / "front.tif")]
    assert main(["register", *files, "--out", str(tmp_path / "out")]) == 2
    assert "give --sid and --pixel-mm" in capfd.readouterr().err
    assert not (tmp_path / "out").exists()
