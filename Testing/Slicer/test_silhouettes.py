"""Reprojected segments lie on the shadows of what they are made of, in their colours, and only in their view."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import stage as stages
from nodes import run


@pytest.fixture
def silhouettes(app: Any) -> Any:
    """The module under test."""
    from XRayRegistrationLib.display import silhouettes

    return silhouettes


class Drawn:
    """The segments of a stage with a worker that has them ready to be drawn."""

    def __init__(self, stage: stages.Stage) -> None:
        from XRayRegistrationLib.display import drawing
        from XRayRegistrationLib.mrml.backend import Inputs

        self.inputs = Inputs()
        volume = run(self.inputs.volumeSteps(stage.parameters.volume, stage.parameters.segmentation))
        self.patient = run(drawing.patientSteps(self.inputs.worker, volume, ()))

    def steps(self, silhouettes: Any, stage: stages.Stage, index: int) -> Any:
        from XRayRegistrationLib.mrml.segments import labelsOf

        node, patient = stage.parameters.segmentation, self.patient
        return silhouettes.silhouetteSteps(
            self.inputs.worker, stage.rig.views[index], patient.anatomy, patient.labels, labelsOf(node), node,
            stage.poses[index],
        )  # fmt: skip


def draw(silhouettes: Any, stage: stages.Stage, drawn: Any = None) -> None:
    drawn = drawn or Drawn(stage)
    for index in range(len(stage.poses)):
        run(drawn.steps(silhouettes, stage, index))


def set_colours(stage: stages.Stage, *colours: tuple[float, float, float]) -> None:
    segmentation = stage.parameters.segmentation.GetSegmentation()
    for number, colour in enumerate(colours):
        segmentation.GetNthSegment(number).SetColor(*colour)


@pytest.mark.parametrize("name", stages.POSES)
def test_a_ball_is_drawn_on_its_shadow_however_the_c_arm_stands(app, silhouettes, name):
    from XRayRegistrationLib.display import layout

    stage = stages.build(app, name, name)
    set_colours(stage, (1, 0, 0), (0, 0, 1))
    # It may lie over the ball.
    stage.parameters.segmentation.GetDisplayNode().SetSegmentVisibility("bone_2", False)
    stage.parameters.segmentFill = 1.0
    layout.showLayout(stage.rig, stage.parameters)
    draw(silhouettes, stage)
    for index, (arm, pose) in enumerate(zip(stage.arms, stage.poses, strict=True)):
        picture = stage.view(index).picture()
        red = picture[..., 0] > 100
        depth = pose[2, :3] @ stage.ball + pose[2, 3]
        zoom = stage.zoom(index)
        radius = stages.BALL_MM * arm.sid_mm / arm.pitch_mm / depth * zoom
        # Voxels of 2 mm make the ball rough: about half of one.
        rough = 1.0 * arm.sid_mm / arm.pitch_mm / depth * zoom
        np.testing.assert_allclose(
            stages.centre_of(red), stage.on_screen(index, stage.ball_pixel(index)), atol=0.4 * rough + 1
        )
        assert np.sqrt(red.sum() / np.pi) == pytest.approx(radius, abs=rough)


def test_outline_and_fill_are_drawn_as_chosen(app, silhouettes):
    from XRayRegistrationLib.display import layout, overlay

    stage = stages.build(app, "frontal")
    set_colours(stage, (1, 0, 0), (0, 0, 1))
    layout.showLayout(stage.rig, stage.parameters)
    stage.parameters.segmentFill = 0.0
    overlay.applyAppearance(stage.parameters, stage.rig)
    empty = stage.view(0).picture()
    draw(silhouettes, stage)
    column, row = np.rint(stage.on_screen(0, stage.ball_pixel(0))).astype(int)

    def seen() -> np.ndarray:
        overlay.applyAppearance(stage.parameters, stage.rig)
        return stage.view(0).picture()

    outlined = seen()
    assert (outlined[row, column] == empty[row, column]).all()
    assert (outlined[..., 0] > 200).sum() > 50
    stage.parameters.segmentFill = 0.5
    # Half red over black.
    assert abs(int(seen()[row, column, 0]) - 128) < 10
    stage.parameters.showSegments = False
    assert (seen() == empty).all()


def test_names_colours_and_visibility_are_the_patients(app, silhouettes):
    stage = stages.build(app, "frontal")
    prepared, node = Drawn(stage), stage.parameters.segmentation
    draw(silhouettes, stage, prepared)
    drawn = stage.rig.views[0].segments.GetSegmentation()
    assert list(drawn.GetSegmentIDs()) == list(node.GetSegmentation().GetSegmentIDs())
    before = silhouettes.state(node)
    node.GetSegmentation().GetSegment("bone_1").SetName("head of femur")
    node.GetDisplayNode().SetSegmentOverrideColor("bone_1", 0.1, 0.9, 0.2)
    node.GetDisplayNode().SetSegmentVisibility("bone_2", False)
    assert silhouettes.state(node) != before
    draw(silhouettes, stage, prepared)
    assert list(drawn.GetSegmentIDs()) == ["bone_1"]
    assert drawn.GetSegment("bone_1").GetName() == "head of femur"
    np.testing.assert_allclose(drawn.GetSegment("bone_1").GetColor(), (0.1, 0.9, 0.2))
    node.GetDisplayNode().SetVisibility(False)
    draw(silhouettes, stage, prepared)
    assert drawn.GetNumberOfSegments() == 0


def test_a_segment_out_of_view_or_without_voxels_is_drawn_nowhere(app, silhouettes):
    from vtk.util.numpy_support import vtk_to_numpy

    stage = stages.build(app, "frontal")
    node = stage.parameters.segmentation
    node.GetSegmentation().AddEmptySegment("nothing")
    away = stages.POSES["frontal"].copy()
    away[0, 3] += 2000
    prepared = Drawn(stage)
    stage.poses = (away,)
    draw(silhouettes, stage, prepared)
    drawn = stage.rig.views[0].segments.GetSegmentation()
    assert "nothing" not in drawn.GetSegmentIDs()
    for name in drawn.GetSegmentIDs():
        image = drawn.GetSegment(name).GetRepresentation("Binary labelmap")
        assert not vtk_to_numpy(image.GetPointData().GetScalars()).any()


def test_twenty_segments_are_drawn_in_short_steps(app, silhouettes):
    from nodes import add_segmentation

    stage = stages.build(app, "oblique")
    boxes = []
    for number in range(20):
        mask = np.zeros(stages.SHAPE, bool)
        mask[3 * number : 3 * number + 4, 20 + number : 40 + number, 20:50] = True
        boxes.append(mask)
    # A voxel has one label: later segments win, and something of each is left.
    stage.parameters.segmentation = add_segmentation(*boxes, matrix=stages.RAS_FROM_INDEX)
    view = stage.rig.views[0]
    steps = list(Drawn(stage).steps(silhouettes, stage, 0))
    assert view.segments.GetSegmentation().GetNumberOfSegments() == 20
    # Each segment is a step of its own, between which the window lives.
    assert len(steps) >= 20


def test_the_patients_segmentation_is_kept_out_of_a_view_whose_detector_stands_in_it(app, silhouettes):
    from XRayRegistrationLib.display import layout

    stage = stages.build(app, "frontal")
    layout.showLayout(stage.rig, stage.parameters)
    display = stage.parameters.segmentation.GetDisplayNode()
    silhouettes.keepPatientOut(stage.rig, stage.parameters.segmentation)
    assert not display.GetNumberOfViewNodeIDs()
    # The patient 100 mm from the source's far side: on the detector.
    inside = stages.standing(0, 0, 0, sod_mm=1000.0)
    stage.turn(inside)
    silhouettes.keepPatientOut(stage.rig, stage.parameters.segmentation)
    assert not display.IsDisplayableInView(layout.sliceViewID(0))
    assert display.IsDisplayableInView("vtkMRMLSliceNodeRed")
    assert display.IsDisplayableInView(layout.threeDViewID())
    stage.turn(stages.POSES["frontal"])
    silhouettes.keepPatientOut(stage.rig, stage.parameters.segmentation)
    assert not display.GetNumberOfViewNodeIDs()


def test_views_that_the_user_chose_for_the_segmentation_stay(app, silhouettes):
    stage = stages.build(app, "frontal")
    display = stage.parameters.segmentation.GetDisplayNode()
    display.SetViewNodeIDs(["vtkMRMLSliceNodeRed"])
    stage.turn(stages.standing(0, 0, 0, sod_mm=1000.0))
    silhouettes.keepPatientOut(stage.rig, stage.parameters.segmentation)
    stage.turn(stages.POSES["frontal"])
    silhouettes.keepPatientOut(stage.rig, stage.parameters.segmentation)
    assert list(display.GetViewNodeIDs()) == ["vtkMRMLSliceNodeRed"]
