"""Draws the pictures of Documentation/tutorial.md and of the README: the module driven as the tutorial tells.

    PYTHONPATH=XRayRegistration python Testing/Slicer/draw_screenshots.py [--only NAME ...]

They come from the tests' headless window (slicer_harness), not from a real Slicer, and are made small for the
repository: few colours are enough for grey images with lines on them.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import demo
import numpy as np
from PIL import Image

FOLDER = demo.ROOT / "Resources" / "Screenshots"
COLOURS = (256, 128, 64)
LARGEST_BYTES = 290_000
SHEET_PX = 1000
# Where the landmarks lie on the phantom [mm, RAS], near enough to what one would click.
LANDMARKS = {
    "hip right": (88.0, 0.0, 0.0),
    "hip left": (-90.0, 1.0, 1.0),
    "symphysis": (0.0, 45.0, -25.0),
    "L5": (0.5, -19.0, 123.0),
    "spine right": (98.0, 30.0, 36.0),
    "spine left": (-101.0, 31.0, 38.0),
}
# How far clicks are off, one standard deviation [pixels].
CLICK_PX = 1.5
# How long the network in the picture is trained.
MINUTES = 5


def shrunk(picture: Path, name: str, width: int | None = None) -> None:
    """Keep a picture with as many colours as its size allows, `width` pixels wide where one is given.

    A sheet has more colours than a window, whose greys would be banded by the method that suits a sheet.
    """
    method = Image.Quantize.MAXCOVERAGE if width else Image.Quantize.MEDIANCUT
    with Image.open(picture) as opened:
        image = opened.convert("RGB")
    if width:
        image = image.resize((width, round(image.height * width / image.width)), Image.Resampling.LANCZOS)
    path = FOLDER / f"{name}.png"
    for colours in COLOURS:
        image.quantize(colours, method, kmeans=3, dither=Image.Dither.NONE).save(path, optimize=True)
        if path.stat().st_size <= LARGEST_BYTES:
            break
    sys.stdout.write(f"{path.relative_to(demo.ROOT)} {path.stat().st_size // 1000} kB\n")


class Camera:
    """Takes pictures of the window under the names of the tutorial."""

    def __init__(self, window: demo.Window) -> None:
        self.window = window

    def take(self, name: str, *sections: str) -> None:
        self.window.unfold(*sections)
        self.window.settle()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "window.png")
            self.window.app.picture(self.window.widget, path, demo.WINDOW_PX)
            shrunk(path, name)


def one_view(window: demo.Window) -> None:
    """From the first opening to the report, with one X-ray."""
    ui, camera = window.ui, Camera(window)
    camera.take("start", "inputs", "pose", "register")
    ui.sampleButton.click()
    camera.take("loaded", "inputs", "geometry")
    ui.drrOpacitySlider.setValue(0.5)
    ui.primarySlider.setValue(8.0)
    ui.rightSlider.setValue(ui.rightSlider.value - 15.0)
    camera.take("pose", "pose")
    ui.drrOpacitySlider.setValue(0.0)
    ui.registerButton.click()
    camera.take("registered", "register", "review")
    ui.segmentFillSlider.setValue(0.35)
    ui.comparisonSelector.setCurrentIndex(1)
    ui.showXrayEyeCheckBox.click()
    camera.take("review", "review", "results")
    ui.comparisonSelector.setCurrentIndex(0)
    with tempfile.TemporaryDirectory() as folder:
        window.panel.results.ui.folderButton.setProperty("directory", folder)
        window.panel.results.ui.saveReportButton.click()
        window.settle()
        (sheet,) = Path(folder).glob("*/sheet_PA.png")
        shrunk(sheet, "sheet", SHEET_PX)
    ui.showXrayEyeCheckBox.click()
    ui.segmentFillSlider.setValue(0.15)


def two_views(window: demo.Window) -> None:
    """Two X-rays at once, and a point in one of them with its line in the other."""
    window.panel.inputs.loadSample(lateral=True)
    window.settle()
    window.ui.registerButton.click()
    window.settle()
    window.ui.epipolarButton.click()
    shown = window.app.layouts.slices["XRay1"]
    shown.click(0.60 * shown.size[0], 0.55 * shown.size[1])
    Camera(window).take("two_views", "register", "review")
    window.ui.epipolarButton.click()


def landmarks(window: demo.Window) -> None:
    """The C-arm placed by landmarks that were clicked on the CT and on the X-ray."""
    import slicer

    from XRayRegistrationLib.mrml import backend
    from XRayRegistrationLib.mrml import landmarks as marks

    window.panel.inputs.loadSample(lateral=False)
    window.settle()
    parameters, rig = window.widget.logic.getParameterNode(), window.widget.logic.rig()
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "Landmarks")
    node.CreateDefaultDisplayNodes()
    parameters.landmarks = node
    true, _targets = backend.referenceOf(rig, parameters.volume)
    view, noise = rig.views[0], np.random.default_rng(4)
    for name, place in LANDMARKS.items():
        node.AddControlPoint(*place, name)
        pose = view.camera.camera_from_world @ true
        pixel = view.camera.project((pose[:3, :3] @ place + pose[:3, 3])[None])[0] + noise.normal(0, CLICK_PX, 2)
        marks.addLandmark(rig, view, name, *pixel)
    window.ui.apButton.click()
    window.settle()
    window.ui.solveButton.click()
    window.settle()
    window.ui.landmarksCollapsibleButton.setProperty("collapsed", False)
    Camera(window).take("landmarks", "pose")


def network(window: demo.Window) -> None:
    """A network trained for the phantom, and the pose that it sees."""
    from XRayRegistrationLib.jobs import training

    window.panel.inputs.loadSample(lateral=False)
    window.settle()
    section = window.panel.train
    model = training.modelOf(window.widget.logic.getParameterNode())
    shutil.rmtree(training.folderOf(model), ignore_errors=True)
    model.unlink(missing_ok=True)
    window.panel.refresh()
    section.ui.anatomySelector.setCurrentIndex(section.ui.anatomySelector.findData("pelvis"))
    section.ui.minutesSpinBox.setValue(MINUTES)
    window.ui.leftLateralButton.click()
    section.ui.trainButton.click()
    window.settle()
    window.app.wait_until(lambda: training.running() is None, 60.0 * (MINUTES + 3))
    window.wait(lambda: window.panel.survey.settled and window.panel.pose.network.ui.fromNetworkButton.enabled)
    window.panel.pose.network.ui.fromNetworkButton.click()
    Camera(window).take("network", "train", "pose")


STORIES: dict[str, Callable[[demo.Window], None]] = {
    "one_view": one_view,
    "two_views": two_views,
    "landmarks": landmarks,
    "network": network,
}


def main(arguments: list[str]) -> int:
    """Draw the pictures; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=STORIES, default=list(STORIES))
    window = demo.Window(FOLDER)
    for name in parser.parse_args(arguments).only:
        window.app.scene.Clear(0)
        STORIES[name](window)
    failures = window.failures()
    sys.stdout.write("\n".join([*failures, ""]))
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
