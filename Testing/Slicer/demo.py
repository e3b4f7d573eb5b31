"""The demonstration goes on in Slicer's scene: its data are loaded, moved, registered and saved as a user would.

    python Testing/Slicer/demo.py demo_output

Uses the case that `python -m xrayreg demo` left in the folder, writes pictures of the window and scene.mrb beside it,
and opens the scene again in a fresh process. The window is the tests' headless one (slicer_harness), not Slicer's own.
Where it cannot run, one line says why, and that is no error.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from slicer_harness import probe

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "XRayRegistration" / "XRayRegistration.py"
CASE, SCENE, EXPECTED = Path("data", "case.json"), "scene.mrb", "scene_expected.json"
PICTURE = "slicer_{number}_{name}.png"
# What a user has on a laptop's screen.
WINDOW_PX = (1680, 1000)
# Scene files keep six to fifteen digits.
SAME_MM = 1e-3
MOST_SECONDS = 120.0

SECTIONS = ("inputs", "geometry", "train", "pose", "register", "review", "results")


def main(arguments: list[str]) -> int:
    """Run the demonstration, or with --reopen its last part; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="where `python -m xrayreg demo` has written")
    parser.add_argument("--reopen", action="store_true", help="only open the saved scene and check it")
    options = parser.parse_args(arguments)
    # Slicer's scene resolves relative paths in its own way.
    options.folder = options.folder.absolute()
    # Before numba is first imported.
    os.environ.setdefault("NUMBA_CACHE_DIR", str(ROOT / ".cache" / "numba"))
    obstacle = probe.obstacle()
    if obstacle:
        print(f"No pictures of the module in Slicer's scene: {obstacle}")
        return 0
    if not options.reopen and not (options.folder / CASE).is_file():
        print(f"There is no {options.folder / CASE}: run `python -m xrayreg demo --out {options.folder}` first.")
        return 2
    window = Window(options.folder)
    return reopen(window) if options.reopen else demonstrate(window)


class Window:
    """The headless Slicer with the module's panel open, and the folder for its pictures."""

    def __init__(self, folder: Path) -> None:
        # Without these, Qt and VTK complain about the screen that is not there.
        os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
        from PySide6.QtCore import qInstallMessageHandler

        qInstallMessageHandler(lambda *_: None)
        from slicer_harness import window
        from slicer_harness.application import start

        self.app, self.folder = start(), folder
        self.app.layouts.layoutChanged.connect(lambda *_: window.arrange(self.app, WINDOW_PX))
        self.widget = self.app.openModule(MODULE)
        self.ui, self.panel = self.widget.ui, self.widget.panel
        self._pictures = 0

    def unfold(self, *names: str) -> None:
        """Fold all sections of the panel but these."""
        for name in SECTIONS:
            getattr(self.ui, f"{name}CollapsibleButton").setProperty("collapsed", name not in names)

    def wait(self, happened: Callable[[], bool]) -> None:
        """Let the window live until something has happened."""
        self.app.wait_until(happened, MOST_SECONDS)

    def settle(self) -> None:
        """Let the window live until nothing is running any more and everything is drawn."""
        self.wait(lambda: not self.panel.running and self.panel.live.settled)

    def picture(self, name: str) -> None:
        """Write a picture of panel and views as they are when everything is drawn."""
        self.settle()
        path = self.folder / PICTURE.format(number=self._pictures, name=name)
        self._pictures += 1
        self.app.picture(self.widget, path, WINDOW_PX)

    def failures(self) -> list[str]:
        """What went wrong where Qt only prints it."""
        from slicer_harness import pythonqt

        return [f"in a slot: {error!r}" for error in pythonqt.slot_errors]

    def number_pictures_from(self, number: int) -> None:
        self._pictures = number


def demonstrate(window: Window) -> int:
    """Load, slide, register, review, save; returns the exit code."""
    import slicer

    ui, folder = window.ui, window.folder
    for stale in (*folder.glob("slicer_*.png"), folder / SCENE, folder / EXPECTED):
        stale.unlink(missing_ok=True)
    window.picture("empty")
    with told("Imported the case: CT, bones, X-ray and its geometry"):
        window.panel.inputs.importCase(str(folder / CASE))
        window.unfold("inputs", "geometry")
        window.picture("loaded")
    with told("Moved the C-arm with its sliders, the overlay following"):
        ui.drrOpacitySlider.setValue(0.5)
        for share in (0.25, 0.5, 0.75, 1.0):
            ui.primarySlider.setValue(20.0 * share)
            ui.secondarySlider.setValue(10.0 * share)
            window.settle()
        window.unfold("pose")
        window.picture("sliding")
        ui.drrOpacitySlider.setValue(0.0)
    with told("Registered from there"):
        window.unfold("register", "review")
        ui.registerButton.click()
        window.picture("registered")
    print(f"  {ui.verdictTitleLabel.text.strip('<b>/')}: {ui.verdictLabel.text}")
    with told("Looked at the result: DRR in a checkerboard, filled bones, the patient as the source sees it"):
        ui.comparisonSelector.setCurrentIndex(1)
        ui.segmentFillSlider.setValue(0.35)
        ui.showXrayEyeCheckBox.click()
        window.unfold("review", "results")
        window.picture("review")
        ui.comparisonSelector.setCurrentIndex(0)
    with told("Put DRR, edges and bones into a folder of the scene, and saved the scene"):
        window.panel.results.ui.createCopiesButton.click()
        window.settle()
        (folder / EXPECTED).write_text(json.dumps(described(window)), encoding="utf-8")
        if not slicer.util.saveScene(str(folder / SCENE)):
            print(f"{folder / SCENE} was not written")
            return 1
    failures = window.failures()
    with told("Opened the scene again in a fresh process"):
        done = subprocess.run([sys.executable, __file__, str(folder), "--reopen"], capture_output=True, text=True)
    if done.returncode or failures:
        print("\n".join([*failures, done.stdout, done.stderr]))
        return 1
    print("Pose, verdict, geometry, images, overlay and result folder are as they were saved.")
    (folder / EXPECTED).unlink()
    names = sorted(path.name for path in folder.glob("slicer_*.png"))
    print(f"Wrote {SCENE} ({(folder / SCENE).stat().st_size / 1e6:.0f} MB) and pictures of the module, drawn by a")
    print(f"headless Slicer made for tests and not by Slicer itself: {', '.join(names)}")
    print(folder.absolute())
    return 0


def reopen(window: Window) -> int:
    """Open the saved scene, compare it with what it was, draw it; returns the exit code."""
    expected = json.loads((window.folder / EXPECTED).read_text(encoding="utf-8"))
    window.app.load_scene(window.folder / SCENE, clear=True)
    window.settle()
    window.panel.showXrays()
    window.settle()
    differences = list(compared(expected, described(window)))
    window.number_pictures_from(5)
    window.unfold("register", "results")
    window.picture("reopened")
    for problem in (*(f"not as saved: {difference}" for difference in differences), *window.failures()):
        print(problem)
    return 1 if differences or window.failures() else 0


def described(window: Window) -> dict[str, Any]:
    """What must come back with the scene, as plain values."""
    import slicer

    from XRayRegistrationLib.mrml import outcome, rig

    parameters, shown = window.widget.logic.getParameterNode(), window.widget.logic.rig()
    found = outcome.outcomeOf(shown)
    pictures = {view.name: slicer.util.arrayFromVolume(view.picture) for view in shown.views}
    return {
        "pose": rig.worldFromVolume(shown).tolist(),
        "CT": parameters.volume.GetName(),
        "bones": parameters.segmentation.GetSegmentation().GetNumberOfSegments(),
        "views": {name: [list(pixels.shape), float(pixels.mean())] for name, pixels in pictures.items()},
        "geometry": {view.name: view.projection.as_dict() for view in shown.views},
        "verdict": [found.verdict, found.accepted, outcome.staleness(shown, parameters.volume)],
        "drawn edges": {view.name: int((slicer.util.arrayFromVolume(view.edges) > 0).sum()) for view in shown.views},
        "drawn bones": {view.name: _sizes(view) for view in shown.views},
        "result folder": _folder(parameters.volume.GetName()),
        "edge color": parameters.edgeColor.name(),
        "layout": window.app.layouts.layout,
    }


def _sizes(view: Any) -> dict[str, int]:
    """How many pixels of its grid each reprojected segment of an X-ray covers, by its name."""
    from vtk.util.numpy_support import vtk_to_numpy

    segmentation = view.segments.GetSegmentation()
    sizes = {}
    for segment in map(segmentation.GetSegment, segmentation.GetSegmentIDs()):
        pixels = vtk_to_numpy(segment.GetRepresentation("Binary labelmap").GetPointData().GetScalars())
        sizes[segment.GetName()] = int((pixels == segment.GetLabelValue()).sum())
    return sizes


def _folder(name: str) -> list[str]:
    """Names of the nodes in the result's folder of the subject hierarchy."""
    import slicer
    import vtk

    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    folder = hierarchy.GetItemByName(f"X-ray registration: {name}")
    items = vtk.vtkIdList()
    hierarchy.GetItemChildren(folder, items, True)
    return sorted(hierarchy.GetItemName(items.GetId(n)) for n in range(items.GetNumberOfIds()))


def compared(expected: Any, found: Any, where: str = "scene") -> Iterator[str]:
    """Sentences on what differs between two nested values."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for key in expected.keys() | found.keys():
            yield from compared(expected.get(key), found.get(key), f"{where}, {key}")
    elif isinstance(expected, list) and isinstance(found, list | tuple) and len(expected) == len(found):
        for number, pair in enumerate(zip(expected, found, strict=True)):
            yield from compared(*pair, f"{where} {number}")
    elif isinstance(expected, float) and isinstance(found, int | float):
        if abs(expected - found) > SAME_MM:
            yield f"{where}: {expected} has become {found}"
    elif expected != found:
        yield f"{where}: {expected} has become {found}"


@contextmanager
def told(what: str) -> Iterator[None]:
    """Tell what was done with the seconds it took."""
    began = time.perf_counter()
    yield
    print(f"{what} ({time.perf_counter() - began:.1f} s)", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
