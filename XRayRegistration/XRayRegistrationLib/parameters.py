"""The panel's parameters, kept in the scene and saved with it. The C-arm's pose itself is a transform node."""

import enum
from typing import TYPE_CHECKING, Annotated

import qt
from slicer import (
    vtkMRMLLinearTransformNode,
    vtkMRMLMarkupsFiducialNode,
    vtkMRMLScalarVolumeNode,
    vtkMRMLSegmentationNode,
)
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper

if TYPE_CHECKING:
    from slicer import vtkMRMLScriptedModuleNode


class Effort(enum.Enum):
    """Extent of the search; named as in xrayreg.settings."""

    fast = "fast"
    standard = "standard"
    thorough = "thorough"

    def label(self) -> str:
        return {"fast": _("Fast"), "standard": _("Standard"), "thorough": _("Thorough")}[self.name]


class Start(enum.Enum):
    """Where a registration starts; named as in xrayreg.registration.starts.

    There "case" means the pose that is shown, and the file of a network stands for itself.
    """

    auto = "auto"
    case = "case"
    search = "search"
    network = "network"

    def label(self) -> str:
        return {
            "auto": _("Pose shown, then a search if needed"),
            "case": _("Pose shown only"),
            "search": _("Search around the pose shown"),
            "network": _("Network, then a search if needed"),
        }[self.name]


class Comparison(enum.Enum):
    """How X-ray and DRR are laid over each other."""

    blend = "blend"
    checkerboard = "checkerboard"
    blink = "blink"

    def label(self) -> str:
        return {"blend": _("Blended"), "checkerboard": _("Checkerboard"), "blink": _("Blinking")}[self.name]


@parameterNodeWrapper
class Parameters:
    """Inputs, choices and appearance; a node that is not chosen is None. `pose` leads to the X-rays (see mrml.rig)."""

    if TYPE_CHECKING:
        # What the wrapper adds.
        parameterNode: "vtkMRMLScriptedModuleNode"

        def __init__(self, node: "vtkMRMLScriptedModuleNode", prefix: str | None = None) -> None: ...

    volume: vtkMRMLScalarVolumeNode
    segmentation: vtkMRMLSegmentationNode
    # Identifiers of the segments to register; none means everything the volume shows.
    structures: list[str]
    pose: vtkMRMLLinearTransformNode
    # The view whose geometry is shown and to which the sliders belong, counted from 0.
    activeView: int = 0
    # Landmarks on the patient; their partners are points of the same name in the X-ray views.
    landmarks: vtkMRMLMarkupsFiducialNode

    effort: Effort = Effort.standard
    start: Start = Start.auto
    # The files of the network to start from, and of the trained similarity that tells where to look first; empty for
    # none.
    network: str = ""
    similarity: str = ""

    # How to train one: the architecture of a similarity (xrayreg.settings.SIMILARITY_NAMES), empty for a network that
    # finds initial poses; views by name (DISTRIBUTIONS); and its file, empty for the suggested one. Another CT than the
    # one that the file is for, where that is known, gets another file, and so does another kind of network.
    trainSimilarity: str = ""
    trainViews: str = "any_side"
    trainMinutes: Annotated[int, WithinRange(1, 1440)] = 5
    trainDevice: str = "auto"
    trainOutput: str = ""
    trainOutputVolume: vtkMRMLScalarVolumeNode
    trainOutputSimilarity: str = ""

    drrOpacity: Annotated[float, WithinRange(0, 1)] = 0.0
    comparison: Comparison = Comparison.blend
    showEdges: bool = True
    edgeColor: qt.QColor = qt.QColor(80, 255, 120)
    edgeWidth: Annotated[float, WithinRange(1, 6)] = 2.0
    showSegments: bool = True
    segmentFill: Annotated[float, WithinRange(0, 1)] = 0.15
    showLandmarks: bool = True
    showCarm: bool = True
    showXrayEye: bool = False
