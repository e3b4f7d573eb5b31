"""Pictures of the module's own views, as they are on the screen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from vtk.util.numpy_support import vtk_to_numpy

from . import layout

if TYPE_CHECKING:
    from ..mrml.rig import Rig


@dataclass(frozen=True, eq=False)
class Screenshot:
    """A picture of a view: caption, stem of a file name, and pixels, uint8 RGB (height, width, 3)."""

    caption: str
    stem: str
    pixels: np.ndarray


def screenshots(rig: Rig) -> tuple[Screenshot, ...]:
    """The current pictures of the X-ray views and the module's 3D views, a tuple of Screenshot.

    Empty where Slicer has no window, or none of these views is on the screen.
    """
    layoutManager = slicer.app.layoutManager()
    if layoutManager is None:
        return ()
    shown = [
        (_("{view}: its view in Slicer").format(view=view.name), view.name, logic.GetSliceNode())
        for _index, view, logic in layout.sliceLogicsOf(rig)
    ]
    for name, caption in (
        (layout.THREED_VIEW, _("C-arm and patient in 3D")),
        (layout.EYE_VIEW, _("The patient as the X-ray source sees it")),
    ):
        shown.append((caption, name, layout.viewNodeOf(name)))
    return tuple(
        Screenshot(caption, f"view_{name}", _picture(layoutManager.viewWidget(node)))
        for caption, name, node in shown
        if node is not None and node.IsMappedInLayout()
    )


def _picture(widget: Any) -> np.ndarray:
    """What a view's window shows, uint8 RGB (height, width, 3)."""
    view = widget.viewWidget()
    # Changes since the last picture are drawn first; Slicer draws when it has time.
    view.forceRender()
    grabbed = vtk.vtkWindowToImageFilter()
    grabbed.SetInput(view.renderWindow())
    grabbed.ReadFrontBufferOff()
    grabbed.ShouldRerenderOff()
    grabbed.Update()
    image = grabbed.GetOutput()
    columns, rows, _slices = image.GetDimensions()
    pixels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(rows, columns, -1)
    return pixels[::-1, :, :3].copy()
