"""A result's folder: everything or nothing, whatever the views are called and however far the pose is trusted."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pelvis_scenes as pelvis
import pytest
from PIL import Image

from xrayreg.checks import InputError
from xrayreg.io import read_pose
from xrayreg.report import Screenshot, folder, scored, write_results
from xrayreg.scene import Scene

SHOT = Screenshot("As it looked", "view_1", np.full((20, 30, 3), 99, dtype=np.uint8))


def scene(*names: str) -> Scene:
    """The pelvis with one view for each name: frontal, lateral, frontal ..."""
    given = [pelvis.radiograph(("frontal", "lateral")[n % 2]) for n in range(len(names))]
    views = [pelvis.read(view.recorded, view.camera, name) for view, name in zip(given, names, strict=True)]
    # Outlines of labels take most of the time, and other tests look at them.
    return Scene(replace(pelvis.pelvis(), labels=None), tuple(views), reference=pelvis.truth())


def content(given: Scene, **changes: Any) -> dict[str, Any]:
    """A pose that somebody set by hand, a little off the truth."""
    pose = pelvis.moved(pelvis.truth(), shift_mm=(2, 0, 0))
    views = [{"name": view.name, "camera_from_volume": pose.tolist(), "similarity": None} for view in given.views]
    told = {"world_from_volume": pose.tolist(), "views": views, "accepted": False, "reason": "Set by hand."}
    return {**told, "unjudged": True, **changes}


@pytest.fixture
def quick(monkeypatch):
    """Sheets that take no time, where nobody looks at them."""

    def sheet(*_):
        return np.zeros((8, 8, 3), dtype=np.uint8)

    monkeypatch.setattr(folder, "view_sheet", sheet)


def names_in(where) -> set[str]:
    return {path.name for path in where.iterdir()}


def page(where) -> str:
    return (where / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Folder, scene and returned content of a pose that nobody judged, in two views, with a screenshot."""
    out, given = tmp_path_factory.mktemp("written") / "new", scene("front", "side")
    return out, given, write_results(out, given, content(given), "Pelvis", screenshots=(SHOT,))


def test_what_is_written_is_what_is_listed(written):
    out, _, told = written
    kinds = ("sheet_{}.png", "overlay_{}.png", "drr_{}.tif")
    pictures = {kind.format(view) for kind in kinds for view in ("front", "side")}
    assert names_in(out) == set(told["files"]) == {"result.json", "pose.tfm", "report.html", "view_1.png", *pictures}
    assert json.loads((out / "result.json").read_text(encoding="utf-8")) == told
    np.testing.assert_allclose(read_pose(out / "pose.tfm"), told["world_from_volume"], atol=1e-9)


def test_a_reference_gives_a_score(written):
    _, given, told = written
    # Shifted by 2 mm along the detector, every target point is off by that.
    assert told["score"]["mtre_mm"] == pytest.approx(2.0, abs=1e-6)
    assert scored(Scene(given.volume, given.views), np.eye(4)) == {}


def test_a_pose_that_nobody_judged_is_shown_as_such(written):
    out, _, told = written
    assert told["accepted"] is False
    assert "Not judged" in page(out)
    assert "Set by hand." in page(out)
    assert "Rejected" not in page(out)


def test_screenshots_are_in_folder_and_page(written):
    out, *_ = written
    assert (np.asarray(Image.open(out / "view_1.png")) == 99).all()
    assert "As it looked" in page(out)
    # A sheet and an overlay for each of two views, and the screenshot.
    assert page(out).count("<img") == 5


@pytest.mark.parametrize(("accepted", "said"), [(True, "Accepted"), (False, "Rejected")])
def test_a_verdict_is_shown(quick, tmp_path, accepted, said):
    given = scene("front")
    write_results(tmp_path, given, content(given, unjudged=False, accepted=accepted), "Pelvis")
    assert said in page(tmp_path)


@pytest.mark.parametrize("accepted", [True, False])
def test_an_expected_error_is_written_only_with_trust(quick, tmp_path, accepted):
    given = scene("front")
    numbers = {"quality": {"similarity": 0.5, "expected_error_mm": 0.71}, "uncertainty": {"target_mm": 0.71}}
    told = write_results(tmp_path, given, content(given, unjudged=False, accepted=accepted, **numbers), "Pelvis")
    assert told["quality"]["similarity"] == 0.5
    assert told["quality"]["expected_error_mm"] == told["uncertainty"]["target_mm"] == (0.71 if accepted else None)
    assert ("0.71" in page(tmp_path)) is accepted


def test_views_with_awkward_names_get_files_of_their_own(quick, tmp_path):
    given = scene("a/b: 1", "A\\B: 1", "..")
    told = write_results(tmp_path / "out", given, content(given), "Pelvis")
    overlays = {name for name in told["files"] if name.startswith("overlay_")}
    assert overlays == {"overlay_a_b_ 1.png", "overlay_A_B_ 1_2.png", "overlay__.png"}
    assert names_in(tmp_path) == {"out"}
    assert names_in(tmp_path / "out") == set(told["files"])


def test_news_come_before_each_picture_and_never_go_back(quick, tmp_path):
    given = scene("front", "side")
    steps = []
    write_results(tmp_path, given, content(given), "Pelvis", on_step=steps.append)
    assert [step.fraction for step in steps] == sorted(step.fraction for step in steps)
    assert {"front: drawing the overlay", "side: drawing the overlay"} <= {step.message for step in steps}


@pytest.mark.parametrize("existed", [False, True])
def test_giving_up_half_way_leaves_nothing(quick, tmp_path, existed):
    out, given = tmp_path / "out", scene("front")
    if existed:
        out.mkdir()
        (out / "mine.txt").write_text("keep")

    def on_step(step):
        assert out.exists()
        if "overlay" in step.message:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_results(out, given, content(given), "Pelvis", on_step=on_step)
    assert names_in(tmp_path) == ({"out"} if existed else set())
    assert not existed or names_in(out) == {"mine.txt"}


def test_an_earlier_result_goes_but_not_what_else_lies_there(quick, tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    for name in ("front", "other"):
        given = scene(name)
        told = write_results(tmp_path, given, content(given), "Pelvis")
    assert names_in(tmp_path) == {"mine.txt", *told["files"]}
    assert not any("front" in name for name in names_in(tmp_path))


def test_without_pictures_only_numbers_are_written(tmp_path):
    given = scene("front")
    write_results(tmp_path, given, content(given), "Pelvis", pictures=False, screenshots=(SHOT,))
    assert names_in(tmp_path) == {"result.json", "pose.tfm"}


@pytest.mark.skipif(os.name == "nt", reason="Windows has other rights")
def test_a_folder_that_takes_nothing_is_told(tmp_path):
    (tmp_path / "file").write_text("in the way")
    given = scene("front")
    with pytest.raises(InputError, match=r"output folder: expected a folder that can be written to") as told:
        write_results(tmp_path / "file" / "out", given, content(given), "Pelvis")
    assert not re.search("\n", str(told.value))
    assert (tmp_path / "file").read_text() == "in the way"
