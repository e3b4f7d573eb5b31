"""What an optimiser is worth: renders until the pose is right, from the same starts, by the same engine.

    PYTHONPATH=XRayRegistration python Testing/Benchmarks/optimisers.py [--cases N] [--seed N]

Poses as in protocol arm V-A: up to 6 degrees, 15 mm and 30 mm of depth from a frontal start. The X-rays are made by
`simulation` from a finer phantom than the one registered, with scatter, noise and blur. A pose counts once it was
rendered, and an image with derivatives counts as one. `ours-lm-quick` was made on the cases of seed 101. Not part of
`make bench`: it takes some minutes.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from rich.console import Console
from tables import Cell, Table

from xrayreg.benchmark.methods import METHODS, MethodContext
from xrayreg.geometry import Camera, camera_from_carm, retract
from xrayreg.metrics import pose_error
from xrayreg.registration.results import Step
from xrayreg.render import warm_up
from xrayreg.scene import Scene, Volume, radiograph_from_array
from xrayreg.simulation import XraySettings, pelvis_phantom, simulate_xray

ADAM = "xvr"
OTHERS = ("lm-xvr", "lbfgs", "ours-lm", "ours-lm-quick")
SOD_MM = 700.0
GOAL_MM = 1.0
_EDGES = np.array([6.0, 6.0, 6.0, 15.0, 15.0, 30.0])


@dataclass(frozen=True)
class Run:
    """The way of one method: renders and mTRE [mm] of each pose that was the best so far, and its end."""

    renders: tuple[int, ...]
    mtre_mm: tuple[float, ...]
    total: int
    seconds: float

    @property
    def end_mm(self) -> float:
        """The mTRE of what came out."""
        return self.mtre_mm[-1]

    def renders_to(self, mtre_mm: float) -> float:
        """Images made until the error first was this small; infinite where it never was."""
        return next((n for n, e in zip(self.renders, self.mtre_mm, strict=True) if e <= mtre_mm), np.inf)


def scenes(count: int, seed: int) -> list[Scene]:
    """Simulated cases whose truth is known."""
    registered, shown = pelvis_phantom(3.0), pelvis_phantom(2.0)
    # Bones alone are the same in both; what is measured against is not.
    camera = Camera.from_sid(1020.0, 1.55, 256, 256)
    start = camera_from_carm(0.0, 0.0, SOD_MM, registered.grid.centre)
    generator = np.random.default_rng(seed)
    return [_scene(registered, shown, camera, start, generator.uniform(-_EDGES, _EDGES), n) for n in range(count)]


def _scene(
    registered: Volume, shown: Volume, camera: Camera, start: np.ndarray, offset: np.ndarray, seed: int
) -> Scene:
    twist = torch.tensor([[*np.radians(offset[:3]), *offset[3:]]])
    truth = retract(torch.as_tensor(start)[None], twist, torch.as_tensor(registered.grid.centre))[0].numpy()
    image = simulate_xray(shown, camera, truth, XraySettings(rays_per_side=1), seed).transmission
    view = radiograph_from_array(image, camera, intensity="transmission", name=f"case {seed}")
    return Scene(registered, (view,), initial=start, reference=truth)


def run(scene: Scene, name: str) -> Run:
    """One method on one scene, watched render by render."""
    assert scene.reference is not None and scene.initial is not None
    camera, targets = scene.views[0].camera, scene.target_points()

    def error(pose: np.ndarray) -> float:
        return pose_error(camera, pose, scene.reference, targets).mtre_mm

    renders, errors, last = [0], [error(scene.initial)], None

    def on_step(step: Step) -> None:
        nonlocal last
        if step.camera_from_volume is not None and step.camera_from_volume is not last:
            last = step.camera_from_volume
            renders.append(step.renders)
            errors.append(error(last))

    outcome = METHODS[name].run(scene, MethodContext(), on_step)
    return Run(
        (*renders, outcome.renders), (*errors, error(outcome.camera_from_volume)), outcome.renders, outcome.seconds
    )


def compared(count: int, seed: int) -> tuple[Table, Table]:
    """Each case, and the medians over all."""
    warm_up("auto", "auto")
    given = scenes(count, seed)
    names = (ADAM, *OTHERS)
    runs = {name: [run(scene, name) for scene in given] for name in names}
    columns = ("case", "method", "start mm", "end mm", f"to {GOAL_MM:g} mm", "to Adam's end", "in all", "seconds")
    rows: list[tuple[Cell, ...]] = [
        (str(case), name, found.mtre_mm[0], found.mtre_mm[-1], _count(found.renders_to(GOAL_MM)),
         _count(found.renders_to(runs[ADAM][case].end_mm)), found.total, found.seconds)
        for case in range(count)
        for name in names
        for found in (runs[name][case],)
    ]  # fmt: skip
    return (
        Table("Renders of each method", columns, rows, ("renders with derivatives count as one",)),
        _medians(runs),
    )


def _medians(runs: dict[str, list[Run]]) -> Table:
    ends = [found.end_mm for found in runs[ADAM]]
    rows: list[tuple[Cell, ...]] = []
    to_goal, to_end = ([found.renders_to(e) for found, e in zip(runs[ADAM], es, strict=True)] for es in (
        [GOAL_MM] * len(ends), ends))  # fmt: skip
    for name, found in runs.items():
        goal = [one.renders_to(GOAL_MM) for one in found]
        best = [one.renders_to(e) for one, e in zip(found, ends, strict=True)]
        rows.append(
            (name, float(np.median([one.mtre_mm[-1] for one in found])), _count(np.median(goal)),
             _count(np.median(best)), _share(to_goal, goal), _share(to_end, best),
             float(np.median([one.total for one in found])), float(np.median([one.seconds for one in found])))
        )  # fmt: skip
    columns = (
        "method", "end mm", f"to {GOAL_MM:g} mm", "to Adam's end", f"share of Adam's ({GOAL_MM:g} mm)",
        "share of Adam's (end)", "in all", "seconds",
    )  # fmt: skip
    return Table("Medians", columns, rows, ("shares of renders: median and quartiles over the cases",))


def _share(adam: Sequence[float], other: Sequence[float]) -> str:
    """The median of the cases' shares, and the quartiles; where nothing came as near, it is infinite."""
    shares = [b / a for a, b in zip(adam, other, strict=True)]
    low, middle, high = np.percentile(shares, [25, 50, 75], method="nearest")
    return f"{middle:.3f} ({low:.3f} to {high:.3f})"


def _count(renders: float) -> Cell:
    return "never" if not np.isfinite(renders) else round(float(renders))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    console = Console(width=130)
    for table in compared(chosen.cases, chosen.seed):
        console.print(table.for_terminal())


if __name__ == "__main__":
    main()
