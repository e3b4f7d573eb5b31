"""What the tests of the panel do with it, as a user does, and scenes to do it in."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "XRayRegistration" / "XRayRegistration.py"
# Widgets that a user operates.
_OPERATED = ("QPushButton", "QToolButton", "QComboBox", "QCheckBox", "QListWidget", "QTableWidget", "QSlider")
_OPERATED += ("ctkSliderWidget", "ctkColorPickerButton", "qMRMLNodeComboBox")
_SETTLED_S = 0.05


def shared_data(name: str) -> Path:
    """A file of the external test data; skips where they are not."""
    path = Path(os.environ.get("XRAYREG_DATA", ROOT.parent / "shared" / "data"), name)
    if not path.exists():
        pytest.skip(f"external test data are not here: {path} (set XRAYREG_DATA to their folder)")
    return path


def settle(app: Any, seconds: float = _SETTLED_S) -> None:
    """Let the application live for a moment, so that everything that was put off is done."""
    app.settle(seconds)


def choose_file(app: Any, path: Path) -> None:
    """Type a path into the file dialog that is open, and accept it."""
    import qt

    settle(app)
    (dialog,) = [each for each in app.topLevelWidgets() if each.className() == "QFileDialog" and each.isVisible()]
    dialog.findChild(qt.QLineEdit, "fileNameEdit").setText(str(path))
    dialog.accept()
    settle(app)


def import_case(app: Any, widget: Any, case: Path) -> None:
    """Click "Import case...", choose the file and wait for the end."""
    widget.ui.importCaseButton.click()
    choose_file(app, case)
    finish(app, widget)


def finish(app: Any, widget: Any) -> None:
    """Wait until nothing is running."""
    app.wait_until(lambda: not widget.panel.running)
    settle(app)


def register(app: Any, widget: Any) -> None:
    """Click Register and wait for the end."""
    widget.ui.registerButton.click()
    finish(app, widget)


def until_refining(app: Any, widget: Any) -> None:
    """Click Register and wait until poses are being found."""
    widget.ui.registerButton.click()
    app.wait_until(lambda: bool(widget.panel.register.curve.points))


def add_ct(name: str = "CT", size: tuple[int, int, int] = (30, 26, 22), spacing: float = 5.0) -> Any:
    """A volume node with a dense block in air."""
    import slicer

    values = np.full(size[::-1], -1000, np.int16)
    k, j, i = (length // 4 for length in values.shape)
    values[k:-k, j:-j, i:-i] = 300
    return slicer.util.addVolumeFromArray(values, np.diag([spacing, spacing, spacing, 1.0]), name)


def add_xray(name: str = "X-ray", size: tuple[int, int] = (64, 48), spacing: float = 1.0) -> Any:
    """A volume node with one slice, as a picture that brings no geometry."""
    import slicer

    rows, columns = np.mgrid[: size[1], : size[0]]
    pixels = (40 + 150 * np.hypot(columns / size[0] - 0.5, rows / size[1] - 0.5)).astype(np.uint8)
    return slicer.util.addVolumeFromArray(pixels[None], np.diag([-spacing, -spacing, 1.0, 1.0]), name)


def add_segmentation(count: int, name: str = "Bones") -> Any:
    """A segmentation node with empty segments."""
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    for number in range(count):
        node.GetSegmentation().AddEmptySegment(f"segment{number}", f"Vertebra {number}", [number / count, 0.5, 0.2])
    return node


def choose_xray(app: Any, widget: Any, node: Any) -> None:
    """Choose an X-ray in the selector that adds it."""
    widget.ui.xraySelector.setCurrentNode(node)
    finish(app, widget)


def children(widget: Any) -> list[Any]:
    """All widgets inside a panel."""
    import qt

    return list(widget.parent.findChildren(qt.QWidget))


def without_reason(widget: Any) -> list[str]:
    """Names of the disabled controls of a panel that do not say why; what disables a whole control says it once."""
    silent = []
    for each in children(widget):
        operated = each.objectName and any(each.className() == name for name in _OPERATED)
        if operated and not each.enabled and not each.objectName.startswith("qt_") and not each.toolTip:
            silent.append(str(each.objectName))
    return silent


def content_of(case: Path) -> dict[str, Any]:
    """What a case.json says."""
    content: dict[str, Any] = json.loads(case.read_text())
    return content


def reference_of(case: Path) -> NDArray[np.float64]:
    """The true pose world_from_volume of a case."""
    return np.array(content_of(case)["reference"]["world_from_volume"])


def pose_of(widget: Any) -> NDArray[np.float64]:
    """The pose world_from_volume that the C-arm's transform node holds."""
    import slicer

    node = widget.logic.getParameterNode().pose
    return np.linalg.inv(slicer.util.arrayFromTransformMatrix(node, toWorld=True))


def set_pose(widget: Any, world_from_volume: NDArray[np.float64]) -> None:
    """Move the C-arm's transform node, as the module Transforms or a script does."""
    import slicer

    node = widget.logic.getParameterNode().pose
    slicer.util.updateTransformMatrixFromArray(node, np.linalg.inv(world_from_volume), toWorld=True)


def until(app: Any, happened: Callable[[], bool]) -> None:
    """Let the application live until something has happened."""
    app.wait_until(happened, 60.0)


def press(app: Any, widget: Any, button: Any) -> None:
    """Click, and wait until what it does in the panel is done."""
    button.click()
    finish(app, widget)


def training_said(section: Any) -> str:
    """The status line of the Train section."""
    return str(section.ui.trainStatusLabel.text)


def until_training(app: Any, section: Any) -> None:
    """Wait until a training tells of its iterations."""
    until(app, lambda: "Iteration" in training_said(section))


def until_trained(app: Any, section: Any, seconds: float = 60.0) -> None:
    """Wait until a training has ended, and the panel knows."""
    app.wait_until(lambda: section.ended, seconds)
    settle(app)
