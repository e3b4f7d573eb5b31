"""How a case is shown: the X-ray in a view of its own, as the source sees it, beside the patient in 3D."""

import numpy as np
import slicer
import vtk

VIEW_NAME = "XRay"
# Any large number that no other module uses.
_LAYOUT_ID = 21756
_LAYOUT = """
<layout type="horizontal" split="true">
 <item splitSize="500"><view class="vtkMRMLSliceNode" singletontag="XRay">
  <property name="orientation" action="default">Axial</property>
  <property name="viewlabel" action="default">X</property>
  <property name="viewcolor" action="default">#9CC3E6</property>
  <property name="viewgroup" action="default">217</property>
 </view></item>
 <item splitSize="500"><view class="vtkMRMLViewNode" singletontag="1">
  <property name="viewlabel" action="default">1</property>
 </view></item>
</layout>
"""


def showCase(nodes):
    """Switch to the X-ray beside the 3D view. Does nothing where Slicer has no window."""
    layoutManager = slicer.app.layoutManager()
    if layoutManager is None:
        return
    layouts = layoutManager.layoutLogic().GetLayoutNode()
    if not layouts.IsLayoutDescription(_LAYOUT_ID):
        layouts.AddLayoutDescription(_LAYOUT_ID, _LAYOUT)
    layoutManager.setLayout(_LAYOUT_ID)
    logic = _sliceLogic()
    composite = logic.GetSliceCompositeNode()
    composite.SetLinkedControl(False)
    composite.SetDoPropagateVolumeSelection(False)
    composite.SetBackgroundVolumeID(nodes.views[0].xray.GetID())
    composite.SetForegroundVolumeID(nodes.views[0].edges.GetID())
    logic.GetSliceNode().SetSliceVisible(True)
    followPose(nodes)
    logic.FitSliceToBackground()
    _showBones(nodes.volume)
    _lookFromTheSide(layoutManager.threeDWidget(0).mrmlViewNode(), nodes.views[0])


def followPose(nodes):
    """Put the X-ray's view where the detector is now."""
    logic = _sliceLogic()
    if logic is None or logic.GetSliceCompositeNode().GetBackgroundVolumeID() != nodes.views[0].xray.GetID():
        return
    sliceNode = logic.GetSliceNode()
    wasModifying = sliceNode.StartModify()
    sliceNode.GetSliceToRAS().DeepCopy(slicer.util.vtkMatrixFromArray(sliceMatrix(nodes.views[0].xray)))
    sliceNode.UpdateMatrices()
    sliceNode.EndModify(wasModifying)


def sliceMatrix(xray):
    """RAS from slice (4, 4) [mm]: the image's columns to the right, its rows downwards, seen from the source."""
    rasFromIndex, rasFromWorld = vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
    xray.GetIJKToRASMatrix(rasFromIndex)
    if xray.GetParentTransformNode():
        xray.GetParentTransformNode().GetMatrixTransformToWorld(rasFromWorld)
    matrix = slicer.util.arrayFromVTKMatrix(rasFromWorld) @ slicer.util.arrayFromVTKMatrix(rasFromIndex)
    columns, rows, _slices = xray.GetImageData().GetDimensions()
    x, y = (matrix[:3, axis] / np.linalg.norm(matrix[:3, axis]) for axis in (0, 1))
    placed = np.eye(4)
    placed[:3, 0], placed[:3, 1], placed[:3, 2] = x, -y, np.cross(x, -y)
    placed[:3, 3] = (matrix @ ((columns - 1) / 2, (rows - 1) / 2, 0, 1))[:3]
    return placed


def showEdges(nodes, visible):
    """Show or hide the edges in the X-ray's view."""
    logic = _sliceLogic()
    if logic and logic.GetSliceCompositeNode().GetForegroundVolumeID() == nodes.views[0].edges.GetID():
        logic.GetSliceCompositeNode().SetForegroundOpacity(1.0 if visible else 0.0)


def _sliceLogic():
    layoutManager = slicer.app.layoutManager()
    sliceWidget = layoutManager.sliceWidget(VIEW_NAME) if layoutManager else None
    return sliceWidget.sliceLogic() if sliceWidget else None


def _lookFromTheSide(viewNode, view):
    """Turn the 3D view so that source, patient and detector stand side by side."""
    bounds = np.zeros(6)
    view.beam.GetRASBounds(bounds)
    low, high = bounds[::2], bounds[1::2]
    detector = sliceMatrix(view.xray)
    # From the image's right, somewhat from above and from behind the source.
    direction = detector[:3, :3] @ (0.8, 0.3, 0.5)
    camera = slicer.modules.cameras.logic().GetViewActiveCameraNode(viewNode)
    if camera is None:
        return
    centre, reach = (low + high) / 2, 1.7 * np.linalg.norm(high - low)
    camera.SetFocalPoint(*centre)
    camera.SetPosition(*(centre + reach * direction / np.linalg.norm(direction)))
    camera.SetViewUp(*detector[:3, 1])
    camera.ResetClippingRange()


def _showBones(volume):
    """Bones of a CT in the 3D view, unless somebody has chosen a rendering already."""
    logic = slicer.modules.volumerendering.logic()
    if logic.GetFirstVolumeRenderingDisplayNode(volume):
        return
    display = logic.CreateDefaultVolumeRenderingNodes(volume)
    opacity, color = vtk.vtkPiecewiseFunction(), vtk.vtkColorTransferFunction()
    for hounsfield, value in ((-1000, 0.0), (180, 0.0), (400, 0.3), (1500, 0.8)):
        opacity.AddPoint(hounsfield, value)
    for hounsfield, tone in ((180, (0.75, 0.5, 0.35)), (600, (1.0, 0.95, 0.85)), (1500, (1.0, 1.0, 1.0))):
        color.AddRGBPoint(hounsfield, *tone)
    property_ = display.GetVolumePropertyNode()
    property_.SetScalarOpacity(opacity)
    property_.SetColor(color)
    property_.GetVolumeProperty().ShadeOn()
    display.SetVisibility(True)
