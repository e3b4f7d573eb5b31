"""What a training step of a learned similarity costs by the exact pose gradient and by torch's double backward.

    PYTHONPATH=XRayRegistration:Testing/Python python Testing/Benchmarks/double_backward.py [--seconds 60] [--voxel 3]

Both routes make the same loss and the same derivatives (see `xrayreg.networks.training.pose_gradient`). They take turns
in one process, so that whatever else the computer does slows both. Not part of `make bench`: double backward takes
minutes.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence

import torch
from rich.console import Console
from tables import Cell, Table

from xrayreg.geometry import Camera, camera_from_carm, retract
from xrayreg.networks.model.learned_similarity import LearnedSimilarity, SimilarityDescription
from xrayreg.networks.model.similarity_table import build
from xrayreg.networks.training.pose_gradient import (
    PoseLesson,
    Route,
    double_backward_gradient,
    exact_gradient,
    gradient_loss,
)
from xrayreg.networks.training.uncertainty_weights import UncertaintyWeights, total_loss
from xrayreg.render import prepare, warm_up
from xrayreg.scene import attenuation_of
from xrayreg.settings import SIMILARITY_NAMES
from xrayreg.simulation import pelvis_phantom

SOD_MM, SCALE_MM = 700.0, 128.0
FIELD_MM, SID_MM = 374.0, 1020.0


def lesson_of(image_px: int, voxel_mm: float, batch: int) -> PoseLesson:
    """Poses of the generated pelvis, N(0, 20 degrees) and N(0, 30 mm) about the frontal one, and images of noise."""
    generator = torch.Generator().manual_seed(0)
    projector = prepare(attenuation_of(pelvis_phantom(voxel_mm)), "numba")
    pivot = torch.as_tensor(projector.grid.centre)
    frontal = torch.as_tensor(camera_from_carm(0.0, 0.0, SOD_MM, pivot.numpy())).expand(batch, 4, 4)
    spread = torch.tensor([0.35] * 3 + [30.0] * 3, dtype=torch.float64)
    twists = torch.randn(2, batch, 6, generator=generator, dtype=torch.float64) * spread
    return PoseLesson(
        projector=projector,
        camera=Camera.from_sid(SID_MM, FIELD_MM / image_px, image_px, image_px),
        fixed=torch.rand(batch, 1, image_px, image_px, generator=generator),
        camera_from_volume=retract(frontal, twists[0], pivot),
        true_camera_from_volume=retract(frontal, twists[1], pivot),
        pivot=pivot,
        scale_mm=SCALE_MM,
    )


def seconds_of_a_step(route: Route, network: LearnedSimilarity, lesson: PoseLesson) -> float:
    """One step of training without the optimiser's own: loss and derivatives by all weights."""
    weights = UncertaintyWeights()
    network.zero_grad()
    started = time.perf_counter()
    found = route(network, lesson)
    total_loss(gradient_loss(found, lesson, "geodesic"), found.comparison, weights).backward()
    return time.perf_counter() - started


def compared(description: SimilarityDescription, lesson: PoseLesson, seconds: float) -> Sequence[Cell]:
    """Median seconds of a step by either route, taking turns for `seconds`, and how many times the one is faster."""
    torch.manual_seed(0)
    network = build(description)
    for route in (exact_gradient, double_backward_gradient):
        seconds_of_a_step(route, network, lesson)
    fast, slow, until = [], [], time.perf_counter() + seconds
    while len(slow) < 2 or time.perf_counter() < until:
        slow.append(seconds_of_a_step(double_backward_gradient, network, lesson))
        fast += [seconds_of_a_step(exact_gradient, network, lesson) for _ in range(3)]
    one, other = statistics.median(fast), statistics.median(slow)
    kind = "3D network" if description.volume_network else "CT as it is"
    return [description.name, kind, description.width, 1 / one, 1 / other, other / one]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pixels", type=int, default=128)
    parser.add_argument("--voxel", type=float, default=4.0, help="edge of the CT's voxels [mm]")
    parser.add_argument("--batch", type=int, default=2, help="poses of a step; they share the work of the 3D network")
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--seconds", type=float, default=20.0, help="for each architecture, at least")
    parser.add_argument("--only", nargs="*", choices=SIMILARITY_NAMES, default=SIMILARITY_NAMES)
    chosen = parser.parse_args()
    lesson = lesson_of(chosen.pixels, chosen.voxel, chosen.batch)
    warm_up("numba")
    rows = [
        compared(SimilarityDescription(name, chosen.pixels, chosen.width, volume_network), lesson, chosen.seconds)
        for volume_network in (False, True)
        for name in chosen.only
    ]
    table = Table(
        f"Training steps at {chosen.pixels} pixels, {chosen.batch} poses, CT of {lesson.projector.grid.shape} voxels",
        ("similarity", "volume", "width", "exact [1/s]", "double backward [1/s]", "times faster (target 5)"),
        rows,
        (f"Medians of steps that took turns, on {torch.get_num_threads()} threads.",),
    )
    Console(width=130).print(table.for_terminal())


if __name__ == "__main__":
    main()
