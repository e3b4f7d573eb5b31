"""How many times a second the overlay follows a slider of the module on the headless Slicer, nodes alone and drawn."""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tables import Cell, Table

from xrayreg.geometry import Projection, camera_from_carm
from xrayreg.overlay import LIVE_PX
from xrayreg.scene import Volume
from xrayreg.simulation import pelvis_phantom

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "Slicer"))

TARGET_PER_SECOND = 15
# The X-ray's view in a large window [pixels].
_VIEW_PX = 900
_XRAY_PX, _SOD_MM = 1024, 700.0
_SLIDING_S = 5.0
_WAYS = {
    "edges": {},
    "DRR and edges": {"drrOpacity": 0.5},
    "checkerboard and edges": {"comparison": "checkerboard"},
}


def sliding(repeats: int) -> Table:
    """Times from a movement of the C-arm to changed nodes, and to the picture in the X-ray's slice view."""
    from slicer_harness import probe

    title = f"The module's overlay at {LIVE_PX} pixels while a slider moves"
    heads = ("shown", "nodes [ms]", "with drawing [ms]", f"drawn per second (target {TARGET_PER_SECOND})")
    if probe.obstacle():
        return Table(title, heads, [], (f"Not measured: {probe.obstacle()}.",))
    volume = pelvis_phantom(1.5)
    with_nodes = _Slider(volume)
    rows: list[list[Cell]] = []
    for name, values in _WAYS.items():
        with_nodes.show(values)
        rows.append([name, *with_nodes.milliseconds(repeats), with_nodes.drawn_per_second()])
    with_nodes.close()
    return Table(
        title,
        heads,
        rows,
        (
            f"Medians of {repeats} movements on {torch.get_num_threads()} threads; generated pelvis, 1.5 mm.",
            f"Drawn without a graphics card in a view of {_VIEW_PX} pixels.",
        ),
    )


class _Slider:
    """The module's overlay over a CT and an X-ray, and a C-arm that turns."""

    def __init__(self, volume: Volume) -> None:
        from nodes import new_parameters

        from slicer_harness.application import start

        self._app = start()
        import slicer

        from XRayRegistrationLib.display import layout
        from XRayRegistrationLib.display.live import LiveOverlay
        from XRayRegistrationLib.mrml import rig
        from XRayRegistrationLib.mrml.backend import Inputs

        self._app.scene.Clear(0)
        self._isocentre, self._angle = volume.grid.centre, 0.0
        ct = slicer.util.addVolumeFromArray(np.ascontiguousarray(volume.values), volume.grid.volume_from_index, "CT")
        picture = np.random.default_rng(0).integers(0, 60000, (1, _XRAY_PX, _XRAY_PX)).astype(np.uint16)
        source = slicer.util.addVolumeFromArray(picture, np.diag([-1.0, -1.0, 1.0, 1.0]), "X-ray")
        self._rig = rig.addView(rig.createRig(), source, Projection.assumed(_XRAY_PX, _XRAY_PX))
        self._move = rig.setCameraFromVolume
        self._turn()
        self._parameters = new_parameters(volume=ct, pose=self._rig.pose)
        self._live = LiveOverlay(Inputs())
        self._live.follow(self._parameters)
        self._settle()
        layout.showLayout(self._rig, self._parameters)
        self._view = self._app.layouts.slices[layout.viewName(0)]
        self._view.resize(_VIEW_PX, _VIEW_PX)

    def show(self, values: dict[str, Any]) -> None:
        """Take on an appearance."""
        from XRayRegistrationLib.parameters import Comparison

        for name, value in values.items():
            setattr(self._parameters, name, Comparison[value] if name == "comparison" else value)
        self._settle()

    def milliseconds(self, repeats: int) -> tuple[float, float]:
        """Medians until the nodes have changed, and until the view has been drawn as well."""
        nodes, drawn = [], []
        for _ in range(repeats + 1):
            start = time.perf_counter()
            self._turn()
            edges = self._rig.views[0].edges
            before = edges.GetImageData().GetMTime()
            self._app.wait_until(lambda edges=edges, before=before: edges.GetImageData().GetMTime() > before)
            nodes.append(time.perf_counter() - start)
            self._view.render()
            drawn.append(time.perf_counter() - start)
        # The first one of an appearance makes images of another size.
        return 1000 * statistics.median(nodes[1:]), 1000 * statistics.median(drawn[1:])

    def drawn_per_second(self) -> float:
        """How often a new picture is drawn while the C-arm never rests."""
        edges = self._rig.views[0].edges
        count, shown, begun = 0, edges.GetImageData().GetMTime(), time.perf_counter()
        while time.perf_counter() - begun < _SLIDING_S:
            self._turn()
            self._app.processEvents()
            if edges.GetImageData().GetMTime() != shown:
                shown = edges.GetImageData().GetMTime()
                self._view.render()
                count += 1
        self._settle()
        return count / (time.perf_counter() - begun)

    def close(self) -> None:
        self._live.stop()
        self._app.scene.Clear(0)

    def _turn(self) -> None:
        self._angle += 0.5
        pose = camera_from_carm(self._angle, 5.0, _SOD_MM, self._isocentre)
        self._move(self._rig, self._rig.views[0], pose)

    def _settle(self) -> None:
        # What one timer did may start another.
        for _ in range(3):
            self._app.processEvents()
            self._app.wait_until(lambda: bool(self._live.settled))
