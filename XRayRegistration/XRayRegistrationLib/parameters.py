"""What the panel remembers, kept in the scene and saved with it."""

import enum

import qt
from slicer import vtkMRMLLinearTransformNode
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import parameterNodeWrapper


class Effort(enum.Enum):
    """How long to look; named as in xrayreg.settings."""

    fast = "fast"
    standard = "standard"
    thorough = "thorough"

    def label(self):
        return {"fast": _("Fast"), "standard": _("Standard"), "thorough": _("Thorough")}[self.name]


class Start(enum.Enum):
    """Where to start; named as in xrayreg.pipeline."""

    auto = "auto"
    case = "case"
    search = "search"

    def label(self):
        return {
            "auto": _("Automatic: the case's pose, then search"),
            "case": _("The case's initial pose only"),
            "search": _("Search"),
        }[self.name]


@parameterNodeWrapper
class Parameters:
    """Parameters of one registration; `pose` refers to everything that was loaded for it (see bridge.CaseNodes)."""

    # Not a pathlib.Path: no case chosen would be shown as the folder ".".
    casePath: str = ""
    effort: Effort = Effort.standard
    start: Start = Start.auto
    showEdges: bool = True
    edgeColor: qt.QColor = qt.QColor(80, 255, 120)
    pose: vtkMRMLLinearTransformNode
