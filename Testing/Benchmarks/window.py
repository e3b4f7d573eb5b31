"""How long Slicer's window stands still, from the empty module to the verdict, in a fresh process.

    python Testing/Benchmarks/window.py phantom CASE
    python Testing/Benchmarks/window.py large

Prints a line of JSON: for each part of the work its longest stall [ms] and how long it took [s], and the peak memory
[MB] of the window and of the worker. A process for each run, so that every one pays for its imports.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from tables import Table

# A stall that nobody feels.
TARGET_MS = 50
ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "XRayRegistration" / "XRayRegistration.py"
LARGE = (512, 512, 800)


def window_stalls(repeats: int) -> Table:
    """The longest stall of the window in each part of the work, each run in a process of its own, and peak memory."""
    # Not at file scope: what this file measures is a window that has loaded none of it.
    from tables import Table

    from xrayreg.render import warm_up
    from xrayreg.simulation.phantom_case import write_phantom_case

    warm_up("auto", "auto")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        case = write_phantom_case(Path(folder), 2.0, 256)
        for arguments in (["phantom", str(case)], ["large"]):
            runs = [_run(arguments) for _ in range(min(repeats, 3))]
            memory = [max(run[name] for run in runs) for name in ("window_mb", "worker_mb")]
            for part in runs[0]["stalls_ms"]:
                stalls = [run["stalls_ms"][part] for run in runs]
                rows.append([f"{arguments[0]}: {part}", statistics.median(stalls), max(stalls), *memory])
    return Table(
        "How long the window stands still",
        ("part", "longest stall [ms], median", "largest", "window [MB]", "worker [MB]"),
        rows,
        (
            f"Compiled code kept; each run in a fresh process, without a graphics card. The goal is {TARGET_MS} ms.",
            f"large: a CT of {' x '.join(map(str, LARGE))} voxels.",
        ),
    )


def _run(arguments: list[str]) -> dict[str, Any]:
    done = subprocess.run([sys.executable, __file__, *arguments], capture_output=True, check=True, text=True)
    run: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return run


class Window:
    """The module's panel on the headless Slicer, and how long its event loop is kept at a time."""

    def __init__(self) -> None:
        from slicer_harness.application import start

        self.app = start()
        self.stalls: dict[str, float] = {}
        self.seconds: dict[str, float] = {}
        self.widget = self._timed("open the module", lambda: self.app.openModule(MODULE))

    def do(self, part: str, begin: Callable[[], object], finished: Callable[[], bool]) -> None:
        """Begin a part of the work and live until it is finished and nothing more follows."""
        began = time.perf_counter()
        self._timed(part, begin)
        quiet = 0
        while quiet < 20:
            self._timed(part, self.app.processEvents)
            quiet = quiet + 1 if finished() and self.widget.panel.live.settled else 0
            time.sleep(0.001)
        self.seconds[part] = time.perf_counter() - began

    def _timed(self, part: str, act: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        done = act()
        self.stalls[part] = max(self.stalls.get(part, 0.0), 1000 * (time.perf_counter() - began))
        return done


def phantom(window: Window, case: Path) -> str:
    """A case is imported, shown and registered, and the C-arm is placed by landmarks; returns the verdict."""
    panel = window.widget.panel

    def idle() -> bool:
        return not panel.running

    window.do("import a case", lambda: panel.inputs.importCase(str(case)), idle)
    window.do("register", lambda: window.widget.ui.registerButton.click(), idle)
    verdict: str = window.widget.ui.verdictTitleLabel.text
    mark_landmarks(window)
    window.do("place by landmarks", lambda: window.widget.ui.solveButton.click(), idle)
    return verdict


def mark_landmarks(window: Window) -> None:
    """Mark points of the CT and where they appear in the first X-ray, then move the C-arm away."""
    import slicer

    from XRayRegistrationLib.mrml import landmarks, posing, rig

    parameters, shown = window.widget.logic.getParameterNode(), window.widget.logic.rig()
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "Landmarks")
    view, pose = shown.views[0], rig.cameraFromVolume(shown, shown.views[0])
    places = posing.isocentre(parameters.volume) + np.random.default_rng(0).uniform(-40, 40, (6, 3))
    for number, place in enumerate(places):
        node.AddControlPoint(*place, f"L-{number}")
        pixel = view.camera.project(pose[:3, :3] @ place + pose[:3, 3])
        landmarks.addLandmark(shown, view, f"L-{number}", *pixel)
    parameters.landmarks = node
    window.widget.logic.setPlacement(roll_deg=window.widget.logic.placement().roll_deg + 20.0)


def large(window: Window) -> None:
    """A large CT and an X-ray are shown."""
    import slicer

    ni, nj, nk = LARGE
    values = np.full((nk, nj, ni), -1000, dtype=np.int16)
    block = np.random.default_rng(0).integers(-50, 900, (390, 430)).astype(np.int16)
    values[:, 60:450, 40:470] = block
    node = slicer.util.addVolumeFromArray(values, np.diag([0.7, 0.7, 1.0, 1.0]), "CT")
    del values
    pixels = np.random.default_rng(1).integers(0, 4000, (1, 512, 512)).astype(np.uint16)
    xray = slicer.util.addVolumeFromArray(pixels, np.diag([-1.0, -1.0, 1.0, 1.0]), "X-ray")
    panel, ui = window.widget.panel, window.widget.ui

    def shown() -> bool:
        return not panel.running and bool(panel.live.ready or panel.live.obstacle)

    def choose() -> None:
        ui.volumeSelector.setCurrentNode(node)
        ui.xraySelector.setCurrentNode(xray)

    window.do("show a CT of 512 x 512 x 800", choose, shown)


def main() -> None:
    sys.path.insert(0, str(ROOT / "XRayRegistration"))
    sys.path.insert(0, str(ROOT / "Testing" / "Slicer"))
    window = Window()
    verdict = ""
    if sys.argv[1] == "phantom":
        verdict = phantom(window, Path(sys.argv[2]))
    else:
        large(window)
    # Only what has ended is counted.
    window.app.closeModule(window.widget)
    own, others = (resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    loaded = [name for name in ("torch", "numba") if name in sys.modules]
    figures = {"stalls_ms": window.stalls, "seconds": window.seconds, "window_mb": own, "worker_mb": others}
    print(json.dumps({**figures, "loaded": loaded, "verdict": verdict}))


if __name__ == "__main__":
    main()
