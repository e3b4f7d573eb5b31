"""Peak memory of preparing and rendering a large CT, measured in a process of its own.

Run as a program it measures one engine and prints one line of JSON; `peak_memory` starts it for each engine.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tables import Cell, Table

SHAPE = (512, 512, 800)
TARGET = 3.0
ENGINES = ("numba", "torch")


def peak_memory(repeats: int) -> Table:
    """Peak resident memory of a 512 x 512 x 800 float32 map, its preparation, one DRR and one Jacobian, per engine."""
    rows: list[list[Cell]] = []
    for engine in ENGINES:
        child = subprocess.run([sys.executable, __file__, engine], capture_output=True, text=True, check=True)
        measured = json.loads(child.stdout)
        rows.append([engine, measured["volume_mib"], measured["image"], measured["jacobian"]])
    return Table(
        f"Peak memory of a {' x '.join(map(str, SHAPE))} map relative to its own size (target {TARGET:g})",
        ("engine", "map [MiB]", "with an image", "and a Jacobian"),
        rows,
        ("The map itself counts as 1. Measured from /proc in a fresh process; Python and its libraries are left out.",),
    )


def _status_kib(field: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1])
    raise SystemExit(f"/proc/self/status has no {field}: memory is measured on Linux only")


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _measure(engine: str) -> dict[str, float]:
    """Peaks while rendering, in multiples of the map's size."""
    import torch
    from patient import oblique_view

    from xrayreg.geometry import VoxelGrid, twist_tangents
    from xrayreg.render import Projector, prepare, render, render_with_jacobian
    from xrayreg.scene import Attenuation

    def both(attenuation: Attenuation) -> tuple[Projector, Callable[[], object], Callable[[], object]]:
        projector = prepare(attenuation, engine, "cpu")  # type: ignore[arg-type]
        camera, pose = oblique_view(attenuation, 256)
        tangents = twist_tangents(pose, torch.as_tensor(attenuation.grid.centre))
        return (
            projector,
            lambda: render(projector, camera, pose),
            lambda: render_with_jacobian(projector, camera, pose, tangents),
        )

    # Compiled kernels and thread pools are in memory before the measurement starts.
    small = Attenuation(torch.ones(8, 8, 8), VoxelGrid.from_spacing((8, 8, 8), (1, 1, 1)))
    for run in both(small)[1:]:
        run()
    _forget_peak()
    base = _status_kib("VmRSS")
    mu = torch.empty(SHAPE[::-1], dtype=torch.float32)
    mu.fill_(0.02)
    mu[:, :40] = 0
    attenuation = Attenuation(mu, VoxelGrid.from_spacing(SHAPE, (0.7, 0.7, 0.7)))
    kept, image, jacobian = both(attenuation)
    image()
    after_image = _status_kib("VmHWM")
    jacobian()
    after_jacobian = _status_kib("VmHWM")
    kib = mu.numel() * mu.element_size() / 1024
    assert kept.renders == 2
    return {
        "volume_mib": kib / 1024,
        "image": (after_image - base) / kib,
        "jacobian": (after_jacobian - base) / kib,
    }


if __name__ == "__main__":
    os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(__file__).resolve().parents[2] / ".cache" / "numba"))
    sys.stdout.write(json.dumps(_measure(sys.argv[1])) + "\n")
