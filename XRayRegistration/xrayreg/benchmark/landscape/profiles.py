"""The landscape of similarities around the truth: values and slopes along each pose axis and along random lines.

ProST, Chen et al. and SOPI claim that a learned similarity is convex where others are not: its cost increases with the
distance from the truth, and its gradient points there (methods.md A1).
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...geometry import retract
from ...io.results import replace_file
from ...metrics import pose_error
from ...networks.inference.similarity_objective import LearnedObjective
from ...networks.training.geodesic_gradients import angle_between_deg, geodesic_gradient
from ...registration.problem import Problem
from ...registration.problem_cache import ProblemCache, problem_cache_for
from ...scene import Scene
from ...settings import DeviceName, EngineName, LevelSettings, Term, registration_settings
from ..methods.similarities import gradient_zncc, zncc

# Classical similarities with which learned ones are compared.
CLASSIC: Mapping[str, tuple[Term, ...]] = {"zncc": zncc(), "gradncc": gradient_zncc(None)}
# Longest side of the classical ones' images [pixels], and the length [mm] equivalent to 1 rad when directions are
# compared: both as for the learned ones.
_IMAGE_PX, _SCALE_MM = 128, 128.0
# Extent of each line to either side: rotations [degrees], translations in the image and along the beam [mm], and
# the mean distance of the target points on random lines [mm].
REACH = {"rx": 40.0, "ry": 40.0, "rz": 40.0, "tx": 80.0, "ty": 80.0, "tz": 160.0}
RANDOM_MM = 100.0
RANDOM = "random"
# Between these distances from the truth [mm] gradients are compared with the geodesic one.
_NEAR_MM, _FAR_MM = 20.0, 100.0


@dataclass(frozen=True)
class LinePoint:
    """A similarity at one pose of a line through the truth.

    measure: its name. case: of the study. line: a pose axis (rx, ry, rz, tx, ty, tz) or random 1, 2, ...
    offset: from the truth [degrees or mm; on random lines about the mean distance of the target points], signed.
    cost: negative score, in the measure's own unit. slope: its derivative with respect to the offset.
    mtre_mm: of the pose. angle_deg: between the cost's gradient and that of the squared geodesic distance, in radians
    and units of 128 mm; 90 at random, NaN at the truth.
    """

    measure: str
    case: str
    line: str
    offset: float
    cost: float
    slope: float
    mtre_mm: float
    angle_deg: float


@dataclass(frozen=True, eq=False)
class ProfileLine:
    """A line of poses through the truth. direction: (6,) twist [rad, mm] for a unit of the offset; offsets: (N,)."""

    name: str
    direction: Tensor
    offsets: NDArray[np.float64]


def classic_problems(scene: Scene, engine: EngineName = "auto", device: DeviceName = "auto") -> dict[str, Problem]:
    """ZNCC and gradient correlation of a scene's whole images, at the resolution of the learned similarities."""
    settings = registration_settings(engine=engine, device=device)
    problems: ProblemCache = replace(problem_cache_for(scene, settings), partial=False)
    around = truth_of(scene)[None]
    return {
        name: problems.problem(LevelSettings(_IMAGE_PX, 0, terms), around, math.inf) for name, terms in CLASSIC.items()
    }


def truth_of(scene: Scene) -> Tensor:
    """The true pose (4, 4) of the first camera of a scene that has a reference."""
    assert scene.reference is not None
    return torch.as_tensor(scene.views[0].camera.camera_from_world @ scene.reference)


def lines_of(scene: Scene, pivot: Tensor, random: int, points: int, seed: int) -> Iterator[ProfileLine]:
    """The six pose axes and `random` random lines through the true pose, with `points` poses on each including it."""
    share = np.linspace(-1, 1, points | 1)
    for number, (name, reach) in enumerate(REACH.items()):
        direction = torch.zeros(6, dtype=torch.float64)
        direction[number] = math.radians(1.0) if number < 3 else 1.0
        yield ProfileLine(name, direction, reach * share)
    generator = np.random.default_rng(seed)
    for number in range(1, random + 1):
        drawn = torch.from_numpy(generator.normal(size=6)) * units()
        yield ProfileLine(f"{RANDOM} {number}", drawn / _per_mm(scene, pivot, drawn), RANDOM_MM * share)


def units() -> Tensor:
    """Equivalent steps of the six twist parameters (6,) [rad, mm]."""
    return torch.tensor([1.0] * 3 + [_SCALE_MM] * 3, dtype=torch.float64)


def measured_line(
    name: str, case: str, measure: Problem | LearnedObjective, scene: Scene, line: ProfileLine
) -> list[LinePoint]:
    """Evaluate a similarity along a line through the true pose."""
    pivot, truth = measure.pivot, truth_of(scene)
    twists = torch.from_numpy(line.offsets)[:, None] * line.direction
    poses = retract(truth.expand(len(twists), 4, 4), twists, pivot)
    found = measure.agreement(poses, normals=False)
    gradients = found.gradient.double()
    true = geodesic_gradient(poses, truth.expand_as(poses), pivot, _SCALE_MM)
    angles = angle_between_deg(gradients * units(), true)
    slopes = gradients @ line.direction
    return [
        LinePoint(
            name,
            case,
            line.name,
            round(float(offset), 6),
            -float(score),
            float(slope),
            round(error_of(scene, pose), 3),
            round(float(angle), 2) if abs(offset) > 1e-9 else math.nan,
        )
        for offset, score, slope, pose, angle in zip(line.offsets, found.score, slopes, poses, angles, strict=True)
    ]


def error_of(scene: Scene, pose: Tensor) -> float:
    """mTRE [mm] of a pose (4, 4) of the first camera at the scene's target points."""
    camera = scene.views[0].camera
    return float(pose_error(camera, pose.numpy(), truth_of(scene).numpy(), scene.target_points()).mtre_mm)


def median_angles(points: Sequence[LinePoint]) -> dict[str, tuple[float, int]]:
    """Each measure's median angle [degrees] on random lines, 20 to 100 mm from the truth, and the number of poses."""
    found = {}
    for name in dict.fromkeys(point.measure for point in points):
        angles = [
            point.angle_deg
            for point in points
            if point.measure == name and point.line.startswith(RANDOM) and _NEAR_MM <= point.mtre_mm <= _FAR_MM
        ]
        found[name] = (float(np.median(angles)) if angles else math.nan, len(angles))
    return found


def write_points(path: Path, points: Sequence[LinePoint]) -> None:
    """Write points as CSV, replacing the file in one step; raises OSError."""

    def write(temporary: Path) -> None:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file)
            table.writerow([field.name for field in fields(LinePoint)])
            table.writerows(astuple(point) for point in points)

    replace_file(path, write)


def _per_mm(scene: Scene, pivot: Tensor, direction: Tensor) -> float:
    """Change of mTRE [mm] per unit step along a twist (6,), from a small step."""
    step = 1e-3 / float(direction.norm())
    truth = truth_of(scene)
    return error_of(scene, retract(truth[None], step * direction[None], pivot)[0]) / step
