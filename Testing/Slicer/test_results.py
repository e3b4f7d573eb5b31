"""What leaves the module: transforms in either direction, copies in the scene, pictures and report in a folder."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from xrayreg.checks import InputError
from xrayreg.io import read_pose

# Transform files and MRML matrices hold fifteen digits of hundreds of millimetres.
CLOSE_MM = 1e-9


@pytest.fixture(scope="session")
def biplane(app, tmp_path_factory) -> Path:
    """A case with two views."""
    from xrayreg.simulation.phantom_case import write_phantom_case

    return write_phantom_case(tmp_path_factory.mktemp("biplane"), lateral=True)


@pytest.fixture
def logic(app, biplane) -> Any:
    """The module's logic over a scene with that case."""
    from XRayRegistrationLib.logic import Logic

    app.scene.Clear(0)
    # Slicer takes the name of the parameter node from the class.
    made = type("XRayRegistrationLogic", (Logic,), {})()
    made.importCase(biplane)
    return made


@pytest.fixture
def outcome(logic):
    """Keeps an outcome with the rig as a registration would, of the pose that is shown."""
    from XRayRegistrationLib.mrml import outcome, rig

    def keep(accepted: bool = True, assumed: tuple = ()) -> Any:
        pose = rig.worldFromVolume(logic.rig())
        views = [{"name": view.name, "similarity": 0.5} for view in logic.rig().views]
        content = {
            "world_from_volume": pose.tolist(),
            "started_from": pose.tolist(),
            "views": views,
            "accepted": accepted,
            "reason": "It was found so.",
            "quality": {"expected_error_mm": 0.5},
            "uncertainty": {},
            "seconds": {"total": 1.0},
        }
        found = outcome.Outcome(content, pose, assumed)
        outcome.store(logic.rig(), found, logic.getParameterNode().volume, True)
        return found

    return keep


def standing(logic) -> Any:
    from XRayRegistrationLib.mrml import results

    return results.standingOf(logic.rig(), logic.getParameterNode().volume)


def directions(logic) -> dict[str, Any]:
    from XRayRegistrationLib.mrml import results

    return {direction.title: direction for direction in results.directionsOf(logic.rig())}


def moved(logic, millimetres: float = 3.0) -> None:
    """Move the C-arm as somebody would by hand."""
    import slicer

    pose = logic.getParameterNode().pose
    matrix = slicer.util.arrayFromTransformMatrix(pose)
    matrix[0, 3] += millimetres
    slicer.util.updateTransformMatrixFromArray(pose, matrix)


def through(node, points):
    """Points (N, 3) as a transform node moves what stands under it."""
    import slicer

    matrix = slicer.util.arrayFromTransformMatrix(node, toWorld=True)
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def report(logic, folder) -> list[str]:
    """Save pictures and report; returns the messages."""
    from XRayRegistrationLib.jobs import saving

    return [step.message for step in saving.reportSteps(logic.inputs, logic.getParameterNode(), folder)]


@pytest.fixture
def quick(monkeypatch):
    """Sheets that take no time, where nobody looks at them."""
    from xrayreg.report import folder

    def sheet(*_):
        return np.zeros((8, 8, 3), dtype=np.uint8)

    monkeypatch.setattr(folder, "view_sheet", sheet)


# The pose as a transform


def test_every_direction_is_offered_once_and_named_by_both_ends(logic):
    assert list(directions(logic)) == [
        "C-arm to patient",
        "Patient to C-arm",
        "Patient to camera of xray",
        "Patient to camera of xray_lateral",
    ]


def test_exported_transforms_take_things_where_they_say(logic, app):
    from XRayRegistrationLib.mrml import results

    source, lateral = np.zeros((1, 3)), logic.rig().views[1]
    made = {
        title: results.createTransform(direction, standing(logic), "hip")
        for title, direction in directions(logic).items()
    }
    # The source of the first view is the origin of the C-arm's frame; the beam starts there.
    points = np.array(logic.rig().views[0].beam.GetPolyData().GetPoint(0))[None]
    np.testing.assert_allclose(points, source, atol=1e-6)
    in_patient = through(made["C-arm to patient"], source)
    pose = logic.getParameterNode().pose
    np.testing.assert_allclose(in_patient, through(pose, source), atol=CLOSE_MM)
    np.testing.assert_allclose(through(made["Patient to C-arm"], in_patient), source, atol=1e-8)
    # The lateral view's source, where its beam starts, is the origin of its camera's frame.
    beam = through(pose, np.array(lateral.beam.GetPolyData().GetPoint(0))[None])
    np.testing.assert_allclose(through(made["Patient to camera of xray_lateral"], beam), source, atol=1e-4)


def test_an_exported_transform_stays_when_the_carm_moves(logic):
    from XRayRegistrationLib.mrml import results

    made = results.createTransform(directions(logic)["C-arm to patient"], standing(logic), "hip")
    before = through(made, np.eye(3))
    moved(logic)
    np.testing.assert_array_equal(through(made, np.eye(3)), before)
    assert made.GetParentTransformNode() is None
    assert not made.GetHideFromEditors()


@pytest.mark.parametrize("suffix", [".tfm", ".h5"])
@pytest.mark.parametrize("number", range(4))
def test_a_file_holds_the_direction_it_is_named_after(logic, tmp_path, suffix, number):
    from XRayRegistrationLib.mrml import results

    direction = list(directions(logic).values())[number]
    written = results.writeTransform(direction, tmp_path / f"pose{suffix}")
    assert written == tmp_path / f"pose{suffix}"
    np.testing.assert_allclose(read_pose(written), direction.matrix, atol=CLOSE_MM)
    assert [path.name for path in tmp_path.iterdir()] == [written.name]


def test_slicer_reads_the_file_as_the_node(logic, tmp_path):
    import slicer

    from XRayRegistrationLib.mrml import results

    direction = directions(logic)["C-arm to patient"]
    written = results.writeTransform(direction, tmp_path / "pose.tfm")
    # Slicer's own reader of transform files.
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    storage = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformStorageNode")
    storage.SetFileName(str(written))
    assert storage.ReadData(node)
    np.testing.assert_allclose(slicer.util.arrayFromTransformMatrix(node), direction.matrix, atol=1e-9)


def test_a_name_without_suffix_becomes_a_transform_file(logic, tmp_path):
    from XRayRegistrationLib.mrml import results

    assert results.writeTransform(directions(logic)["Patient to C-arm"], tmp_path / "hip 1.5").name == "hip 1.5.tfm"


def test_a_transform_that_cannot_be_written_is_told(logic, tmp_path):
    from XRayRegistrationLib.mrml import results

    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="a folder that can be written to"):
        results.writeTransform(directions(logic)["Patient to C-arm"], tmp_path / "file" / "pose.tfm")
    (tmp_path / "pose.tfm").mkdir()
    with pytest.raises(InputError, match="a place that can be written to"):
        results.writeTransform(directions(logic)["Patient to C-arm"], tmp_path / "pose.tfm")
    assert {path.name for path in tmp_path.iterdir()} == {"file", "pose.tfm"}


# How far the pose may be trusted


def test_names_say_how_far_a_pose_is_trusted(logic, outcome):
    assert standing(logic).named("hip") == "hip (not judged)"
    assert standing(logic).reason == "The pose was set by hand; nothing has been registered."
    outcome(accepted=True)
    assert standing(logic).named("hip") == "hip"
    outcome(accepted=False)
    assert standing(logic).named("hip") == "hip (not trusted)"
    outcome(accepted=True, assumed=("SID",))
    assert standing(logic).named("hip") == "hip (not trusted)"
    assert "SID" in standing(logic).reason
    outcome(accepted=True)
    moved(logic)
    assert standing(logic).named("hip") == "hip (not judged)"
    assert "moved since the registration" in standing(logic).reason


def test_an_exported_transform_carries_the_reason(logic, outcome):
    from XRayRegistrationLib.mrml import results

    outcome(accepted=False)
    made = results.createTransform(directions(logic)["C-arm to patient"], standing(logic), "hip")
    assert made.GetName() == "C-arm to patient: hip (not trusted)"
    assert made.GetDescription() == "It was found so."


# Pictures and report


def test_the_report_has_what_the_command_line_writes_and_the_pose_shown(logic, outcome, tmp_path):
    from XRayRegistrationLib.mrml import rig

    outcome(accepted=True)
    messages = report(logic, tmp_path)
    folder = tmp_path / "X-ray registration ct"
    assert str(folder) in messages[-1]
    kinds = ("sheet_{}.png", "overlay_{}.png", "drr_{}.tif")
    expected = {kind.format(view) for kind in kinds for view in ("xray", "xray_lateral")}
    assert expected | {"result.json", "pose.tfm", "report.html"} <= {path.name for path in folder.iterdir()}
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    assert result["accepted"] is True
    np.testing.assert_allclose(result["world_from_volume"], rig.worldFromVolume(logic.rig()), atol=1e-6)
    np.testing.assert_allclose(read_pose(folder / "pose.tfm"), rig.worldFromVolume(logic.rig()), atol=1e-6)
    # The case brings a reference, so the result is scored as the command line does.
    assert result["score"]["mtre_mm"] > 1
    assert "Accepted" in (folder / "report.html").read_text(encoding="utf-8")
    # Files have the resolution of the X-ray.
    assert Image.open(folder / "overlay_xray.png").size == (96, 96)


def test_a_pose_moved_since_is_marked_in_name_and_report(quick, logic, outcome, tmp_path):
    outcome(accepted=True)
    moved(logic)
    report(logic, tmp_path)
    folder = tmp_path / "X-ray registration ct (not judged)"
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    assert (result["accepted"], result["unjudged"]) == (False, True)
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "Not judged" in page
    assert "moved since the registration" in page
    assert "Accepted" not in page


def test_assumed_geometry_is_never_reported_as_accepted(quick, logic, outcome, tmp_path):
    outcome(accepted=True, assumed=("SID",))
    report(logic, tmp_path)
    folder = tmp_path / "X-ray registration ct (not trusted)"
    content = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    assert content["accepted"] is False and content["reason_code"] == "assumed"
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "Rejected" in page
    assert "SID" in page


def content_of(logic, folder) -> dict[str, Any]:
    """The result.json that is saved for the pose shown, which obeys the schema."""
    from result_schema import require_valid

    report(logic, folder)
    (made,) = folder.iterdir()
    content = json.loads((made / "result.json").read_text(encoding="utf-8"))
    require_valid(content)
    return content


def test_a_pose_set_by_hand_is_reported_as_unjudged(quick, logic, tmp_path):
    content = content_of(logic, tmp_path)
    assert content["unjudged"] and content["reason_code"] == "unjudged"


def test_the_pose_of_a_cancelled_registration_is_reported_as_such(quick, logic, tmp_path):
    from XRayRegistrationLib.mrml import outcome, rig

    pose = rig.worldFromVolume(logic.rig())
    # What `jobs.registration` keeps of one.
    content = {"world_from_volume": pose.tolist(), "accepted": False, "reason": "It was cancelled."}
    outcome.store(logic.rig(), outcome.Outcome(content, pose), logic.getParameterNode().volume, True)
    told = content_of(logic, tmp_path)
    assert told["unjudged"] and told["reason_code"] == "interrupted" and told["reason"] == "It was cancelled."


@pytest.mark.skipif(os.name == "nt", reason="Windows has other rights")
def test_a_folder_that_takes_nothing_is_told_and_left(logic, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="a file, not a folder") as told:
        report(logic, tmp_path / "file")
    assert len(str(told.value).splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_report_given_up_half_way_leaves_nothing(quick, logic, tmp_path):
    from XRayRegistrationLib.jobs import saving

    steps = saving.reportSteps(logic.inputs, logic.getParameterNode(), tmp_path)
    while "overlay" not in next(steps).message:
        pass
    steps.close()
    logic.inputs.worker.settle(60.0)
    assert not list(tmp_path.iterdir())


def test_the_report_asks_for_its_packages_first(logic, tmp_path, monkeypatch):
    from XRayRegistrationLib import dependencies

    def refuse() -> None:
        raise dependencies.MissingPackages("matplotlib is missing")

    monkeypatch.setattr(dependencies, "ensureForReports", refuse)
    with pytest.raises(dependencies.MissingPackages):
        report(logic, tmp_path)
    assert not list(tmp_path.iterdir())
