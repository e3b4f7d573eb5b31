"""Laws of Slicer's scene, layouts and views that the headless Slicer keeps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

TWO_XRAYS = """<layout type="horizontal" split="true">
 <item splitSize="600"><layout type="vertical">
  <item><view class="vtkMRMLSliceNode" singletontag="Specimen1">
   <property name="orientation" action="default">Coronal</property>
   <property name="viewlabel" action="default">X1</property>
   <property name="viewcolor" action="default">#9CC3E6</property>
   <property name="viewgroup" action="default">217</property></view></item>
  <item><view class="vtkMRMLSliceNode" singletontag="Specimen2"/></item>
 </layout></item>
 <item splitSize="400"><layout type="vertical">
  <item><view class="vtkMRMLViewNode" singletontag="1"/></item>
  <item><view class="vtkMRMLSliceNode" singletontag="Red"/></item>
 </layout></item>
</layout>"""
LAYOUT_ID = 90217
SPACING_MM = 2.0


@pytest.fixture
def empty(app: Any) -> Any:
    """The application with an empty scene in Slicer's initial layout."""
    app.scene.Clear(0)
    app.layouts.setLayout(0)
    return app


@pytest.fixture
def ct(empty: Any) -> Any:
    """A volume of air with a dense box from voxel 10 to 30, shown in all slice views through its middle."""
    import slicer

    values = np.full((40, 40, 40), -1000, np.int16)
    values[10:30, 10:30, 10:30] = 1000
    node = slicer.util.addVolumeFromArray(values, np.diag([SPACING_MM, SPACING_MM, SPACING_MM, 1]), "CT")
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().AutoWindowLevelOff()
    node.GetDisplayNode().SetWindowLevelMinMax(-1000, 1000)
    slicer.util.setSliceViewerLayers(background=node, fit=True)
    for view in empty.layouts.slices.values():
        view.logic.SetSliceOffset(40.0)
    return node


@pytest.fixture
def bones(ct: Any) -> Any:
    """A segmentation of the box, with its surface."""
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Bones")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(ct)
    identifier = node.GetSegmentation().AddEmptySegment("box", "Femur", (1.0, 0.0, 0.0))
    mask = (slicer.util.arrayFromVolume(ct) > 0).astype(np.uint8)
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, identifier, ct)
    node.CreateClosedSurfaceRepresentation()
    return node


def share(picture: NDArray[np.uint8], channel: int) -> float:
    """Share of pixels in which one colour channel is far above the two others."""
    others = np.delete(picture.astype(int), channel, axis=2).max(axis=2)
    return float((picture[..., channel] - others > 60).mean())


def use_two_xrays(app: Any) -> Any:
    """Set a layout with views of a module's own."""
    node = app.layouts.layoutLogic().GetLayoutNode()
    if not node.IsLayoutDescription(LAYOUT_ID):
        node.AddLayoutDescription(LAYOUT_ID, TWO_XRAYS)
    app.layouts.setLayout(LAYOUT_ID)
    return app.layouts


def test_at_the_start_there_are_three_slice_views_and_a_3d_view(empty):
    layouts = empty.layoutManager()
    assert set(layouts.sliceViewNames()) >= {"Red", "Green", "Yellow"}
    assert layouts.threeDViewCount >= 1
    assert layouts.layoutLogic().GetLayoutNode().GetSingletonTag() == "vtkMRMLLayoutNode"
    red = layouts.sliceWidget("Red").mrmlSliceNode()
    assert (red.GetID(), red.GetOrientation(), red.GetLayoutLabel()) == ("vtkMRMLSliceNodeRed", "Axial", "R")
    assert layouts.sliceWidget("Purple") is None and layouts.threeDWidget(99) is None


def test_a_layout_makes_its_views_as_its_text_says(empty):
    told: list[int] = []
    empty.layouts.connect("layoutChanged(int)", told.append)
    layouts = use_two_xrays(empty)
    assert layouts.layout == LAYOUT_ID and told[-1] == LAYOUT_ID
    widget = layouts.sliceWidget("Specimen1")
    node = widget.mrmlSliceNode()
    assert (node.GetID(), node.GetLayoutLabel(), node.GetViewGroup()) == ("vtkMRMLSliceNodeSpecimen1", "X1", 217)
    assert node.GetOrientation() == "Coronal"
    assert widget.sliceLogic().GetSliceCompositeNode().GetLayoutName() == "Specimen1"
    assert widget.sliceLogic() in [layouts.mrmlSliceLogics().GetItemAsObject(n) for n in range(8)]
    assert empty.applicationLogic().GetSliceLogic(node) is widget.sliceLogic()
    mapped = {name for name in layouts.sliceViewNames() if layouts.sliceWidget(name).mrmlSliceNode().IsMappedInLayout()}
    assert mapped == {"Specimen1", "Specimen2", "Red"}
    layouts.layout = 3
    assert layouts.layout == 3 and not node.IsMappedInLayout()


def test_an_unknown_layout_falls_back_to_the_conventional_one(empty):
    import slicer

    empty.layouts.setLayout(123456)
    assert empty.layouts.layout == slicer.vtkMRMLLayoutNode.SlicerLayoutConventionalView


def test_views_outlive_the_closing_of_the_scene(empty):
    layouts = use_two_xrays(empty)
    view = layouts.slices["Specimen1"]
    empty.scene.Clear(0)
    assert layouts.slices["Specimen1"] is view
    assert layouts.layout == LAYOUT_ID
    assert view.node.GetDimensions()[:2] == view.size


def test_a_slice_view_shows_the_volume_where_it_is(empty, ct):
    view = empty.layouts.slices["Red"]
    rows, columns = np.nonzero(view.picture()[..., 0] > 200)
    # Voxels are centred on whole indices: the box reaches half a voxel beyond the first and last.
    corners = [view.pixel_of(np.array([x, y, 40.0])) for x, y in ((19.0, 59.0), (59.0, 19.0))]
    low, high = np.min(corners, axis=0), np.max(corners, axis=0)
    # One pixel for rounding and one for the interpolated border.
    np.testing.assert_allclose([columns.min(), rows.min()], low, atol=4.0)
    np.testing.assert_allclose([columns.max(), rows.max()], high, atol=4.0)
    np.testing.assert_allclose(view.ras_of(*view.pixel_of(np.array([30.0, 20.0, 40.0]))), [30, 20, 40], atol=1e-9)


def test_a_resized_view_keeps_in_sight_what_was_seen(empty, ct):
    view = empty.layouts.slices["Red"]
    seen = (view.picture()[..., 0] > 200).sum() * np.prod(view.node.GetFieldOfView()[:2]) / np.prod(view.size)
    before, field = view.size, view.node.GetFieldOfView()
    view.resize(700, 300)
    picture = view.picture()
    assert picture.shape[:2] == (300, 700)
    again = (picture[..., 0] > 200).sum() * np.prod(view.node.GetFieldOfView()[:2]) / np.prod(view.size)
    # The area of the box in mm², whose border is interpolated over a pixel.
    assert again == pytest.approx(seen, rel=0.06)
    view.resize(*before)
    view.node.SetFieldOfView(*field)


def test_segments_are_translucent_over_the_slice_and_solid_in_3d(empty, bones):
    display = bones.GetDisplayNode()
    view = empty.layouts.slices["Red"]
    display.SetOpacity2DOutline(0.0)
    display.SetOpacity2DFill(0.5)
    middle = view.pixel_of(np.array([40.0, 40.0, 40.0])).round().astype(int)
    # White below, half covered by red.
    np.testing.assert_allclose(view.picture()[middle[1], middle[0]], [255, 127, 127], atol=4)
    display.AddViewNodeID("vtkMRMLSliceNodeGreen")
    assert share(view.picture(), 0) == 0
    assert share(empty.layouts.slices["Green"].picture(), 0) > 0.01
    display.RemoveAllViewNodeIDs()
    space = empty.layouts.views[0]
    widget = empty.layoutManager().threeDWidget(0)
    widget.threeDView().resetFocalPoint()
    widget.threeDView().resetCamera()
    assert share(space.picture(), 0) > 0.02
    display.SetVisibility3D(False)
    assert share(space.picture(), 0) == 0


def test_a_slice_is_seen_in_3d_with_its_image(empty, ct):
    space = empty.layouts.views[0]
    node = empty.layouts.slices["Red"].node
    camera = empty.layoutManager().threeDWidget(0).threeDView().cameraNode()
    camera.SetPosition(40, 40, 400)
    camera.SetFocalPoint(40, 40, 40)
    camera.SetViewUp(0, 1, 0)
    camera.ResetClippingRange()
    without = space.picture()
    node.SetSliceVisible(True)
    with_slice = space.picture()
    node.SetSliceVisible(False)
    centre = space.pixel_of(np.array([40.0, 40.0, 40.0])).round().astype(int)
    beside = space.pixel_of(np.array([70.0, 70.0, 40.0])).round().astype(int)
    # The box is white, air is black, and neither was there before.
    assert with_slice[centre[1], centre[0]].min() > 200 > without[centre[1], centre[0]].min()
    assert with_slice[beside[1], beside[0]].max() < 60 < without[beside[1], beside[0]].max()


def test_a_click_places_a_landmark_and_a_drag_moves_it(empty, ct):
    import slicer

    points = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "Landmarks")
    points.CreateDefaultDisplayNodes()
    slicer.modules.markups.logic().SetActiveList(points)
    interaction = slicer.mrmlScene.GetNodeByID("vtkMRMLInteractionNodeSingleton")
    interaction.SetPlaceModePersistence(0)
    interaction.SetCurrentInteractionMode(interaction.Place)
    view = empty.layouts.slices["Red"]
    view.click(300, 200)
    assert points.GetNumberOfDefinedControlPoints() == 1
    assert interaction.GetCurrentInteractionMode() == interaction.ViewTransform
    pixel_mm = view.node.GetFieldOfView()[0] / view.size[0]
    np.testing.assert_allclose(points.GetNthControlPointPositionWorld(0), view.ras_of(300, 200), atol=pixel_mm)
    view.drag((300, 200), (340, 180))
    np.testing.assert_allclose(points.GetNthControlPointPositionWorld(0), view.ras_of(340, 180), atol=2 * pixel_mm)
    points.SetLocked(True)
    view.drag((340, 180), (200, 100))
    np.testing.assert_allclose(points.GetNthControlPointPositionWorld(0), view.ras_of(340, 180), atol=2 * pixel_mm)


def test_landmarks_are_drawn(empty, ct):
    import slicer

    points = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
    points.CreateDefaultDisplayNodes()
    points.GetDisplayNode().SetSelectedColor(0, 1, 0)
    points.AddControlPoint(40.0, 40.0, 40.0, "apex")
    for view in (empty.layouts.slices["Red"], empty.layouts.slices["Green"]):
        view.picture()
        assert share(view.picture(), 1) > 1e-4


def test_slicers_own_click_and_drag_reaches_a_view(empty, ct):
    import slicer

    widget = empty.layoutManager().sliceWidget("Red")
    heard: list[tuple[int, int]] = []
    interactor = widget.sliceView().interactor()
    tag = interactor.AddObserver("LeftButtonPressEvent", lambda caller, event: heard.append(caller.GetEventPosition()))
    slicer.util.clickAndDrag(widget, start=(10, 20), end=(30, 40))
    interactor.RemoveObserver(tag)
    assert heard == [(10, 20)]


def test_a_drag_turns_the_camera_of_a_3d_view(empty):
    view = empty.layouts.views[0]
    camera = empty.layoutManager().threeDWidget(0).threeDView().cameraNode()
    before, focus = np.array(camera.GetPosition()), np.array(camera.GetFocalPoint())
    view.render()
    view.drag((240, 240), (340, 240))
    after = np.array(camera.GetPosition())
    assert np.linalg.norm(after - before) > 10
    assert np.linalg.norm(after - focus) == pytest.approx(np.linalg.norm(before - focus))


def test_linked_views_of_one_group_follow_each_other(empty, ct):
    logics = {name: empty.layouts.slices[name].logic for name in ("Red", "Green", "Yellow")}
    composites = {name: logic.GetSliceCompositeNode() for name, logic in logics.items()}
    for composite in composites.values():
        composite.SetLinkedControl(True)
        composite.SetBackgroundVolumeID(None)
    empty.layouts.slices["Yellow"].node.SetViewGroup(5)
    logics["Red"].StartSliceCompositeNodeInteraction(composites["Red"].BackgroundVolumeFlag)
    composites["Red"].SetBackgroundVolumeID(ct.GetID())
    logics["Red"].EndSliceCompositeNodeInteraction()
    shown = {name: composite.GetBackgroundVolumeID() for name, composite in composites.items()}
    empty.layouts.slices["Yellow"].node.SetViewGroup(0)
    for composite in composites.values():
        composite.SetLinkedControl(False)
    assert shown == {"Red": ct.GetID(), "Green": ct.GetID(), "Yellow": None}


def test_a_corner_annotation_is_drawn(empty):
    import vtk

    front, view = empty.layoutManager().sliceWidget("Red").sliceView(), empty.layouts.slices["Red"]
    front.cornerAnnotation().SetText(vtk.vtkCornerAnnotation.UpperLeft, "mirrored")
    picture = view.picture()
    front.cornerAnnotation().ClearAllTexts()
    assert picture[:80, :240].max() > 200 > picture[240:].max()


def test_every_node_with_data_has_an_item_in_the_subject_hierarchy(empty, ct):
    import slicer

    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(empty.scene)
    item = hierarchy.GetItemByDataNode(ct)
    assert item and hierarchy.GetItemName(item) == "CT"
    assert not hierarchy.GetItemByDataNode(ct.GetDisplayNode())
    empty.scene.RemoveNode(ct)
    assert hierarchy.GetItemDataNode(item) is None


def test_everything_comes_back_from_a_bundle(empty, bones, tmp_path):
    import slicer

    scene, find = empty.scene, slicer.util.getFirstNodeByClassByName
    ct = slicer.util.getNode("CT")
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    folder = hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), "X-ray")
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(ct), folder)
    points = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "Landmarks")
    points.AddControlPoint(1.0, 2.0, 3.0, "apex")
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "Cine")
    for frame in range(3):
        sequence.SetDataNodeAtValue(ct, str(frame))
    browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "Browser")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    proxy = browser.GetProxyNode(sequence)
    assert slicer.modules.sequences.logic().GetFirstBrowserNodeForProxyNode(proxy) is browser
    colors = scene.AddNewNodeByClass("vtkMRMLColorTableNode", "EdgeColors")
    colors.SetTypeToUser()
    colors.SetNumberOfColors(2)
    colors.SetColor(1, "edge", 0.0, 1.0, 0.0, 1.0)
    surface = slicer.modules.models.logic().AddModel(bones.GetClosedSurfaceInternalRepresentation("box"))
    surface.SetName("Surface")
    pose = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Pose")
    ct.SetAndObserveTransformNodeID(pose.GetID())
    empty.save_scene(tmp_path / "everything.mrb")
    scene.Clear(0)
    empty.load_scene(tmp_path / "everything.mrb")
    ct = find("vtkMRMLScalarVolumeNode", "CT")
    assert slicer.util.arrayFromVolume(ct).max() == 1000 and ct.GetParentTransformNode().GetName() == "Pose"
    segment = slicer.util.getNode("Bones").GetSegmentation().GetSegment("box")
    assert (segment.GetName(), segment.GetColor()) == ("Femur", (1.0, 0.0, 0.0))
    assert slicer.util.getNode("Landmarks").GetNthControlPointLabel(0) == "apex"
    sequence = find("vtkMRMLSequenceNode", "Cine")
    assert sequence.GetNumberOfDataNodes() == 3
    assert slicer.util.getNode("Browser").GetMasterSequenceNode() is sequence
    assert slicer.util.getNode("EdgeColors").GetColorName(1) == "edge"
    assert slicer.util.getNode("Surface").GetPolyData().GetNumberOfPoints() > 100
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    assert hierarchy.GetItemName(hierarchy.GetItemParent(hierarchy.GetItemByDataNode(ct))) == "X-ray"


def test_files_are_read_and_written_through_slicer_util(empty, bones, tmp_path):
    import slicer

    ct, box = slicer.util.getNode("CT"), bones.GetClosedSurfaceInternalRepresentation("box")
    surface = slicer.modules.models.logic().AddModel(box)
    pose = empty.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Pose")
    matrix = np.array([[0, -1, 0, 5], [1, 0, 0, 6], [0, 0, 1, 7], [0, 0, 0, 1.0]])
    slicer.util.updateTransformMatrixFromArray(pose, matrix)
    nodes = {"ct.nrrd": ct, "bones.seg.nrrd": bones, "surface.vtk": surface, "pose.tfm": pose}
    for name, node in nodes.items():
        assert slicer.util.saveNode(node, str(tmp_path / name), {})
    empty.scene.Clear(0)
    loaded = slicer.util.loadVolume(str(tmp_path / "ct.nrrd"), {})
    assert slicer.util.arrayFromVolume(loaded).shape == (40, 40, 40)
    composite = empty.layouts.sliceWidget("Red").mrmlSliceCompositeNode()
    assert composite.GetBackgroundVolumeID() == loaded.GetID()
    segmentation = slicer.util.loadSegmentation(str(tmp_path / "bones.seg.nrrd"), {})
    assert segmentation.GetSegmentation().GetNthSegment(0).GetName() == "Femur"
    assert slicer.util.loadModel(str(tmp_path / "surface.vtk")).GetPolyData().GetNumberOfPoints() > 100
    transform = slicer.util.loadTransform(str(tmp_path / "pose.tfm"))
    np.testing.assert_allclose(slicer.util.arrayFromTransformMatrix(transform), matrix, atol=1e-9)
    with pytest.raises(RuntimeError):
        slicer.util.loadVolume(str(tmp_path / "lost.nrrd"), {})


def test_a_test_fills_the_dicom_database(empty, tmp_path):
    import slicer

    empty.dicom.files["1.2.3"] = str(tmp_path / "xray.dcm")
    try:
        assert slicer.dicomDatabase.fileForInstance("1.2.3") == str(tmp_path / "xray.dcm")
        assert slicer.dicomDatabase.fileForInstance("9.9") == ""
    finally:
        empty.dicom.files.clear()
