"""Global search: rank many hypotheses on small images, refine the best in small steps, keep the distinct ones.

A render at 32 pixels costs a tenth of a millisecond, so a thousand hypotheses are ranked while a large image is
rendered ten times (design.md 6.3). Near hypotheses rank high because correlation in patches of derivatives answers to
the anatomy's outline and not to how the image was exposed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ..geometry import pose_difference, retract
from ..pieces import Pieces, Story, retold
from ..problem import Problem
from ..refine import State, best_first, descend
from ..settings import LevelSettings, PosePrior, SearchSettings, StepSettings

# Hypotheses rendered at once: small enough to stay responsive, large enough to keep all cores busy.
_CHUNK = 50
# Optima closer than this are one: an angle, and a distance of the isocentre within the image plane.
_SAME_DEG, _SAME_MM = 2.0, 5.0


@dataclass(frozen=True, eq=False)
class Candidates:
    """Poses (B, 4, 4) in the order of falling score (B,), how far the search has come, and what it is doing."""

    poses: Tensor
    scores: Tensor
    fraction: float
    message: str


def draw_poses(centres: Tensor, pivot: Tensor, prior: PosePrior, count: int, seed: int) -> Tensor:
    """The centres (M, 4, 4) followed by `count` poses drawn around each: (M (1 + count), 4, 4).

    Normally distributed twists from a scrambled Sobol sequence, which covers six dimensions more evenly than chance.
    """
    uniform = torch.quasirandom.SobolEngine(6, scramble=True, seed=seed).draw(count, dtype=torch.float64)
    # The sequence may hold an exact zero, whose normal quantile is infinite.
    normal = torch.special.ndtri(uniform.clamp(1e-6, 1 - 1e-6))
    deviation = deviations(prior)
    twists = normal * deviation
    around = [retract(centre.expand(count, 4, 4), twists, pivot) for centre in centres]
    return torch.cat([centres, *around])


def deviations(prior: PosePrior) -> Tensor:
    """Standard deviations (6,) of the twist [rad, mm]."""
    angles = [math.radians(angle) for angle in prior.rotation_deg]
    return torch.tensor([*angles, *prior.translation_mm], dtype=torch.float64)


def search(
    problem_at: Callable[[LevelSettings, Tensor], Pieces[Problem]],
    hypotheses: Tensor,
    settings: SearchSettings,
    step: StepSettings,
) -> Story[Candidates, Candidates]:
    """Rank hypotheses (N, 4, 4) and refine the best, telling the candidates after every batch and step.

    problem_at: makes the problem at a level, for poses (B, 4, 4) around which it will be used.
    Returns the distinct optima at the last level.
    """
    first = settings.levels[0]
    share = 1 / (1 + len(settings.levels))
    scores: list[Tensor] = []
    chunks = hypotheses.split(_CHUNK)
    for number, chunk in enumerate(chunks):
        problem = yield from problem_at(first, chunk)
        scores.append((yield from problem.scores.pieces(chunk)))
        done = (number + 1) / len(chunks)
        yield _candidates(torch.cat(chunks[: number + 1]), torch.cat(scores), share * done, "ranking hypotheses")
    poses = hypotheses[torch.cat(scores).nan_to_num(-1).argsort(descending=True)[: settings.survivors[0]]]
    for number, level in enumerate(settings.levels):
        keep = (*settings.survivors[1:], settings.finalists)[number]
        problem = yield from problem_at(level, poses)
        tell = partial(_refined, level=level, before=share * (1 + number), share=share)
        ordered = best_first((yield from retold(descend(problem, poses, level.max_steps, step), tell)))
        poses, kept_scores = distinct(ordered.poses, ordered.agreement.score, problem.pivot, keep)
        found = Candidates(poses, kept_scores, share * (2 + number), f"{len(poses)} distinct candidates")
        yield found
    return found


def distinct(poses: Tensor, scores: Tensor, pivot: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """The best `most` of poses (B, 4, 4), in falling order of scores (B,), that are not the same optimum twice.

    Depth is left out of the comparison: coarse images hardly tell it, so equal poses can differ in it.
    """
    chosen = distinct_places(poses, pivot, most)
    return poses[chosen], scores[chosen]


def distinct_places(poses: Tensor, pivot: Tensor, most: int) -> list[int]:
    """The places of those that `distinct` keeps of poses (B, 4, 4) in falling order of their scores."""
    chosen: list[int] = []
    for n in range(len(poses)):
        if chosen:
            twist = pose_difference(poses[n].expand(len(chosen), 4, 4), poses[chosen], pivot)
            angle, shift = torch.rad2deg(twist[:, :3].norm(dim=-1)), twist[:, 3:5].norm(dim=-1)
            if bool(((angle < _SAME_DEG) & (shift < _SAME_MM)).any()):
                continue
        chosen.append(n)
        if len(chosen) == most:
            break
    return chosen


def _refined(state: State, level: LevelSettings, before: float, share: float) -> Candidates:
    ordered = best_first(state)
    fraction = before + share * min(1.0, state.steps / max(1, level.max_steps))
    return Candidates(ordered.poses, ordered.agreement.score, fraction, f"refining the best at {level.image_px} px")


def _candidates(poses: Tensor, scores: Tensor, fraction: float, message: str) -> Candidates:
    best = int(scores.nan_to_num(-1).argmax())
    return Candidates(poses[best : best + 1], scores[best : best + 1], fraction, message)
