"""The layout: which views there are, that X-rays are where they belong and never mirrored, and what is left alone."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import stage as stages
from nodes import reopen

SLICER_FOUR_UP = 3


@pytest.fixture
def layout(app: Any) -> Any:
    """The module under test, with an ordinary layout on the screen."""
    from XRayRegistrationLib.display import layout

    app.layoutManager().setLayout(SLICER_FOUR_UP)
    layout.register()
    return layout


def show_pixels(stage: stages.Stage) -> None:
    """Put each X-ray on its detector, as it was stored."""
    from XRayRegistrationLib.mrml import rig

    for view, arm in zip(stage.rig.views, stage.arms, strict=True):
        rig.showPixels(view, (arm.picture() >> 8).astype(np.uint8))


def dot_in(picture: np.ndarray) -> np.ndarray:
    """Column and row of the dark dot among the X-ray's lighter pixels."""
    return stages.centre_of((picture.max(axis=-1) > 20) & (picture.max(axis=-1) < 60))


def background(view: Any) -> Any:
    """The volume node in the background of a slice view."""
    return view.logic.GetSliceCompositeNode().GetNthLayerVolume(0)


@pytest.mark.parametrize("name", stages.POSES)
def test_an_xray_is_shown_as_it_was_taken_however_the_c_arm_stands(app, layout, name):
    stage = stages.build(app, name, name)
    show_pixels(stage)
    layout.showLayout(stage.rig, stage.parameters)
    for index, arm in enumerate(stage.arms):
        dot = np.array([stages.DOT[0] * arm.width, stages.DOT[1] * arm.height])
        found = dot_in(stage.view(index).picture())
        # Half a pixel of the X-ray for the dot's rim, which is not drawn evenly.
        np.testing.assert_allclose(found, stage.on_screen(index, dot), atol=0.5 * stage.zoom(index))


def test_the_view_follows_the_c_arm(app, layout):
    stage = stages.build(app, "frontal", "lateral")
    show_pixels(stage)
    layout.showLayout(stage.rig, stage.parameters)
    before = [stage.view(index).picture() for index in range(2)]
    stage.turn(stages.POSES["from below"])
    assert stage.view(0).picture().max() == 0
    layout.followPose(stage.rig)
    for index in range(2):
        # Where pixels of X-ray and screen coincide, rounding decides which is taken.
        assert stages.changed(before[index], stage.view(index).picture()).mean() < 0.002


def test_each_shown_view_has_its_own_slice_view_under_its_name(app, layout):
    stage = stages.build(app, "frontal", "lateral")
    layout.showLayout(stage.rig, stage.parameters)
    nodes = [stage.view(index).node for index in range(2)]
    assert [node.GetLayoutLabel() for node in nodes] == ["frontal", "lateral"]
    assert all(node.IsMappedInLayout() for node in nodes)
    assert nodes[0].GetViewGroup() != nodes[1].GetViewGroup()
    assert [background(stage.view(index)).GetName() for index in range(2)] == [
        "frontal on detector",
        "lateral on detector",
    ]
    stage.rig.views[0].setShown(False)
    layout.showLayout(stage.rig, stage.parameters)
    assert [node.IsMappedInLayout() for node in nodes] == [0, 1]
    assert background(stage.view(0)) is None


def test_a_removed_view_leaves_its_slice_view_empty(app, layout):
    from XRayRegistrationLib.mrml import rig

    stage = stages.build(app, "frontal", "lateral")
    layout.showLayout(stage.rig, stage.parameters)
    layout.showLayout(rig.removeView(stage.rig, stage.rig.views[0]), stage.parameters)
    names = [view.name for view in stage.rig.views]
    assert names == ["lateral"]
    assert background(stage.view(0)) is stage.rig.views[0].picture
    assert background(stage.view(1)) is None
    assert stage.view(0).node.GetLayoutLabel() == "lateral"


def test_without_a_shown_view_the_layout_stays(app, layout):
    stage = stages.build(app, "frontal")
    stage.rig.views[0].setShown(False)
    layout.showLayout(stage.rig, stage.parameters)
    assert not layout.isShown()


def test_the_patients_slices_show_the_ct_and_nothing_of_the_detectors(app, layout):
    stage = stages.build(app, "frontal", "oblique")
    stage.parameters.showXrayEye = True
    live = stages.show(stage)
    slices = {name: app.layouts.slices[name] for name in ("Red", "Green", "Yellow")}
    for view in slices.values():
        assert background(view) is stage.parameters.volume
    live.stop()
    pictures = {name: view.picture() for name, view in slices.items()}
    assert all(picture.max() > 100 for picture in pictures.values())
    for view in stage.rig.views:
        for node in (view.picture, view.drr, view.edges, view.segments, view.points, view.beam):
            app.scene.RemoveNode(node)
    for name, view in slices.items():
        assert not stages.changed(pictures[name], view.picture(), 0).any()


def test_a_choice_in_the_patients_slices_is_kept_while_the_layout_is_shown(app, layout):
    import slicer

    stage = stages.build(app, "frontal")
    layout.showLayout(stage.rig, stage.parameters)
    other = slicer.util.addVolumeFromArray(np.ones((4, 4, 4), np.int16), np.eye(4), "MR")
    red, green = (app.layouts.slices[name] for name in ("Red", "Green"))
    red.logic.GetSliceCompositeNode().SetBackgroundVolumeID(other.GetID())
    layout.showLayout(stage.rig, stage.parameters)
    assert background(red) is other
    assert background(green) is stage.parameters.volume
    stage.parameters.volume = other
    layout.showLayout(stage.rig, stage.parameters)
    assert background(green) is other


def test_zoom_and_pan_stay_until_the_xray_has_another_size(app, layout):
    from XRayRegistrationLib.mrml import rig

    stage = stages.build(app, "frontal")
    layout.showLayout(stage.rig, stage.parameters)
    app.processEvents()
    node = stage.view(0).node
    fitted = node.GetFieldOfView()
    node.SetFieldOfView(fitted[0] / 3, fitted[1] / 3, fitted[2])
    node.SetXYZOrigin(12.0, -7.0, 0.0)
    stage.turn(stages.POSES["lateral"])
    layout.followPose(stage.rig)
    layout.showLayout(stage.rig, stage.parameters)
    app.processEvents()
    assert node.GetFieldOfView() == (fitted[0] / 3, fitted[1] / 3, fitted[2])
    assert node.GetXYZOrigin() == (12.0, -7.0, 0.0)
    view = stage.rig.views[0]
    rig.setProjection(view, view.projection.changed("test", pixel_mm=(3.0, 3.0)))
    layout.followPose(stage.rig)
    # Twice the pitch, twice the width; the slice node rounds nothing of it.
    assert node.GetFieldOfView()[0] == pytest.approx(2 * fitted[0])


def test_the_layout_before_comes_back(app, layout):
    manager = app.layoutManager()
    stage = stages.build(app, "frontal", "lateral")
    layout.showLayout(stage.rig, stage.parameters)
    assert layout.isShown()
    stage.parameters.showXrayEye = True
    layout.showLayout(stage.rig, stage.parameters)
    assert app.scene.GetSingletonNode(layout.EYE_VIEW, "vtkMRMLViewNode").IsMappedInLayout()
    layout.restorePrevious()
    assert manager.layout == SLICER_FOUR_UP
    assert not layout.isShown()
    layout.restorePrevious()
    assert manager.layout == SLICER_FOUR_UP


def test_the_users_own_3d_view_stays_as_it_is(app, layout):
    import slicer

    stage = stages.build(app, "frontal")
    theirs = app.scene.GetSingletonNode("1", "vtkMRMLViewNode")
    camera = slicer.modules.cameras.logic().GetViewActiveCameraNode(theirs)
    before = (theirs.GetBoxVisible(), theirs.GetBackgroundColor(), camera.GetPosition(), camera.GetViewAngle())
    live = stages.show(stage)
    assert before == (theirs.GetBoxVisible(), theirs.GetBackgroundColor(), camera.GetPosition(), camera.GetViewAngle())
    live.stop()


def test_every_choice_of_views_has_a_layout_that_holds_exactly_them(app, layout):
    described = app.layoutManager().layoutLogic().GetLayoutNode()
    numbers = [n for n in range(20000, 30000) if described.IsLayoutDescription(n)]
    assert len(numbers) == 2**5
    contents = set()
    for number in numbers:
        root = ElementTree.fromstring(described.GetLayoutDescription(number))
        names = [view.get("singletontag") for view in root.iter("view")]
        assert len(set(names)) == len(names)
        assert {"XRay3D", "Red", "Green", "Yellow"} <= set(names)
        contents.add(frozenset(names))
    assert len(contents) == len(numbers)


def test_a_saved_scene_opens_as_it_was(app, layout, tmp_path):
    stage = stages.build(app, "oblique", "lateral")
    show_pixels(stage)
    layout.showLayout(stage.rig, stage.parameters)
    before = [stage.view(index).picture() for index in range(2)]
    reopen(app, tmp_path)
    assert layout.isShown()
    for index in range(2):
        # The scene file keeps fewer digits of positions than the nodes.
        assert stages.changed(before[index], stage.view(index).picture()).mean() < 0.005
