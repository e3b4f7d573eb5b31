"""The pose list of an arm: drawn from its seed, and written as CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ...geometry import camera_from_carm, placement_of, retract
from ...io.results import replace_file
from ...networks.data.pose_sampling import sample_poses
from ...settings import PoseDistribution
from .protocol import Arm

Pose = NDArray[np.float64]

# Periods, in frames, of the sines that make up a cine's path: slower than breathing at fluoroscopic frame rates.
_PERIODS = (25.0, 60.0)


@dataclass(frozen=True, eq=False)
class PosedCase:
    """A case before its image is made: the true pose of the C-arm and the initial pose given to methods.

    name: of the case and its folder. variant: number of the arm's variant. chain, frame: its image sequence
    and position there; single images are sequences of their own. seed: of all random numbers of its image.
    reference, start: camera_from_volume (4, 4) of the first view.
    """

    name: str
    variant: int
    chain: int
    frame: int
    seed: int
    reference: Pose
    start: Pose


def posed_cases(arm: Arm, isocentre: NDArray[np.float64], seed: int, limit: int | None = None) -> tuple[PosedCase, ...]:
    """The cases of an arm about `isocentre` (3,) [RAS mm]; with a `limit`, only the first ones.

    The whole arm is always drawn, so that the first cases do not depend on the limit.
    """
    count = -(-arm.cases // (arm.cine.frames * len(arm.variants)))
    targets = _drawn(arm.poses, isocentre, count, seed, 0)
    nominal = nominal_of(arm, isocentre)
    starts = _drawn(arm.poses, isocentre, count, seed, 1) if arm.start == "drawn" else np.array([nominal] * count)
    digits = max(3, len(str(arm.cases - 1)))
    cases = []
    for number in range(arm.cases if limit is None else min(limit, arm.cases)):
        chain, frame = divmod(number, arm.cine.frames)
        which, variant = divmod(chain, len(arm.variants))
        start, reference = starts[which], targets[which]
        if arm.cine.frames > 1:
            # The random pose gives the initial error of the first frame; the path gives the C-arm's motion.
            path = _path(arm, nominal, isocentre, (seed, which))
            start, reference = reference @ np.linalg.inv(nominal) @ path[0], path[frame]
        image_seed = int(np.random.SeedSequence((seed, 2, which, frame)).generate_state(1)[0])
        cases.append(PosedCase(f"{number:0{digits}}", variant, chain, frame, image_seed, reference, start))
    return tuple(cases)


def nominal_of(arm: Arm, isocentre: NDArray[np.float64]) -> Pose:
    """camera_from_volume (4, 4) of the arm's nominal view."""
    return camera_from_carm(arm.poses.primaries_deg[0], 0.0, arm.poses.sod_mm, isocentre)


def write_pose_list(
    path: Path, cases: Sequence[PosedCase], variants: Sequence[str], isocentre: NDArray[np.float64]
) -> None:
    """Write the pose list as CSV: for each case the C-arm's parameters about the isocentre, for readers, and the first
    three rows of both poses camera_from_volume [mm], exactly."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    people = ("primary_deg", "secondary_deg", "roll_deg", "right_mm", "up_mm", "sod_mm")
    matrix = [f"{row}{column}" for row in range(3) for column in range(4)]
    exact = [f"{kind}_{place}" for kind in ("reference", "start") for place in matrix]
    table.writerow(["case", "variant", "chain", "frame", "seed", *people, *exact])
    for case in cases:
        placed = placement_of(case.reference, isocentre)
        table.writerow(
            [
                *(case.name, variants[case.variant], case.chain, case.frame, case.seed),
                *(f"{getattr(placed, name):.4f}" for name in people),
                *(repr(float(value)) for pose in (case.reference, case.start) for value in pose[:3].ravel()),
            ]
        )
    replace_file(path, lambda temporary: temporary.write_text(text.getvalue(), encoding="utf-8"))


def _drawn(
    poses: PoseDistribution, isocentre: NDArray[np.float64], count: int, seed: int, stream: int
) -> NDArray[np.float64]:
    generator = torch.Generator().manual_seed(int(np.random.SeedSequence((seed, stream)).generate_state(1)[0]))
    return sample_poses(poses, torch.as_tensor(isocentre), count, generator).numpy()


def _path(arm: Arm, nominal: Pose, isocentre: NDArray[np.float64], seed: tuple[int, int]) -> NDArray[np.float64]:
    """Poses (frames, 4, 4) along a smooth path about the nominal view, with the arm's mean step."""
    generator = np.random.default_rng(np.random.SeedSequence((*seed, 3)))
    frames = np.arange(arm.cine.frames)
    turns = frames[:, None] / generator.uniform(*_PERIODS, 6) + generator.uniform(0, 1, 6)
    twists = np.sin(2 * math.pi * turns)
    for part, step in ((slice(0, 3), math.radians(arm.cine.step_deg)), (slice(3, 6), arm.cine.step_mm)):
        twists[:, part] *= step / np.linalg.norm(np.diff(twists[:, part], axis=0), axis=1).mean()
    start = torch.as_tensor(nominal).expand(len(frames), 4, 4)
    return retract(start, torch.as_tensor(twists), torch.as_tensor(isocentre)).numpy()
