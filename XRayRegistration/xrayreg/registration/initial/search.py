"""Global search: rank many hypotheses on small images, refine the best in small steps, keep the distinct ones.

A render at 32 pixels costs a tenth of a millisecond, so a thousand hypotheses are ranked while a large image is
rendered ten times (design.md 6.3). Near hypotheses rank high because correlation in patches of derivatives depends on
the anatomy's outline and not on the exposure of the image. Where none was near enough, the optima found are
intermediate: new hypotheses are drawn around them until none is better.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...geometry import pose_difference, retract
from ...optimize import State, best_first, descend, falling
from ...settings import LevelSettings, PosePrior, SearchSettings, StepSettings
from ..problem import Problem

# Hypotheses rendered at once: enough to keep all cores busy, few enough for frequent progress reports.
_CHUNK = 50
# Least rise of the best similarity that counts as an improvement.
_BETTER = 0.005
# Optima closer than this are the same: an angle, and a distance of the isocentre within the image plane.
_SAME_DEG, _SAME_MM = 2.0, 5.0

ProblemAt = Callable[[LevelSettings, Tensor], Problem]


@dataclass(frozen=True, eq=False)
class Candidates:
    """Poses (B, 4, 4) in descending order of score (B,), the progress of the search, and its current activity."""

    poses: Tensor
    scores: Tensor
    fraction: float
    message: str


OnCandidates = Callable[[Candidates], object]


def draw_poses(centres: Tensor, pivot: Tensor, prior: PosePrior, count: int, seed: int) -> Tensor:
    """The centres (M, 4, 4) followed by `count` poses drawn around each: (M (1 + count), 4, 4).

    Normally distributed twists from a scrambled Sobol sequence, which covers six dimensions more evenly than random
    draws.
    """
    if not count:
        # The Sobol engine cannot draw zero points.
        return centres
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
    problem_at: ProblemAt,
    hypotheses: Tensor,
    pivot: Tensor,
    settings: SearchSettings,
    step: StepSettings,
    seed: int,
    on_candidates: OnCandidates = lambda candidates: None,
) -> Candidates:
    """Rank hypotheses (N, 4, 4) and refine the best.

    problem_at: makes the problem at a level, for poses (B, 4, 4) around which it will be used.
    pivot: (3,) of twists [volume frame, mm]. seed: of the hypotheses drawn around the first optima.
    on_candidates: called with the best so far after every batch and step.
    Returns the distinct optima of the last level.
    """
    first, *finer = settings.levels
    again = settings.resampling
    kept = (*settings.survivors[1:], settings.finalists)
    parts = 2 + again.rounds + len(finer)

    def part(number: int) -> OnCandidates:
        return lambda news: on_candidates(replace(news, fraction=(number + news.fraction) / parts))

    ranked = _ranked(problem_at, hypotheses, first, part(0))
    chosen = ranked.poses[: settings.survivors[0]]
    found = _refined(problem_at, chosen, first, step, kept[0], part(1))
    barren = 0
    for number in range(again.rounds):
        if barren == again.patience:
            break
        places = len(found.poses)
        drawn = draw_poses(found.poses, pivot, again.prior, again.hypotheses // places, seed + number)[places:]
        ranked = _ranked(problem_at, drawn, first, _repeating(found, part(2 + number)))
        chosen = ranked.poses[: again.survivors]
        near = _refined(problem_at, chosen, first, step, kept[0], part(2 + number))
        best = float(found.scores[0])
        found = _joined(found, near, pivot, kept[0])
        barren = 0 if float(found.scores[0]) > best + _BETTER else barren + 1
    for number, (level, most) in enumerate(zip(finer, kept[1:], strict=True), 2 + again.rounds):
        found = _refined(problem_at, found.poses, level, step, most, part(number))
    return found


def _repeating(found: Candidates, on_candidates: OnCandidates) -> OnCandidates:
    """A callback that reports the earlier best, as new hypotheses score lower until they are refined."""
    again = replace(found, fraction=0.0, message="ranking hypotheses around the best")
    return lambda news: on_candidates(again)


def distinct(poses: Tensor, scores: Tensor, pivot: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """The best `most` distinct optima among poses (B, 4, 4), in descending order of scores (B,).

    Depth is left out of the comparison: coarse images hardly determine it, so equal poses can differ in it.
    """
    chosen = distinct_places(poses, pivot, most)
    return poses[chosen], scores[chosen]


def distinct_places(poses: Tensor, pivot: Tensor, most: int) -> list[int]:
    """Indices of the poses that `distinct` keeps of poses (B, 4, 4) in descending order of their scores."""
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


def _ranked(problem_at: ProblemAt, hypotheses: Tensor, level: LevelSettings, on_candidates: OnCandidates) -> Candidates:
    """All hypotheses (N, 4, 4) in descending order of score, unusable ones last; reports only the best."""
    scores = torch.empty(0)
    for chunk in hypotheses.split(_CHUNK):
        problem = problem_at(level, chunk)
        scores = torch.cat([scores, problem.scores(chunk).nan_to_num(-1)])
        best = int(scores.argmax())
        share = len(scores) / len(hypotheses)
        on_candidates(Candidates(hypotheses[best : best + 1], scores[best : best + 1], share, "ranking hypotheses"))
    order = falling(scores)
    return Candidates(hypotheses[order], scores[order], 1.0, "ranking hypotheses")


def _refined(
    problem_at: ProblemAt,
    poses: Tensor,
    level: LevelSettings,
    step: StepSettings,
    most: int,
    on_candidates: OnCandidates,
) -> Candidates:
    """The `most` best distinct optima of poses (B, 4, 4) refined at a level."""
    problem = problem_at(level, poses)

    def on_state(state: State) -> None:
        ordered = best_first(state)
        fraction = min(1.0, state.steps / max(1, level.max_steps))
        message = f"refining the best at {level.image_px} px"
        on_candidates(Candidates(ordered.poses, ordered.agreement.score, fraction, message))

    ordered = best_first(descend(problem, poses, level.max_steps, step, on_state))
    kept, scores = distinct(ordered.poses, ordered.agreement.score, problem.pivot, most)
    found = Candidates(kept, scores, 1.0, f"{len(kept)} distinct candidates")
    on_candidates(found)
    return found


def _joined(one: Candidates, other: Candidates, pivot: Tensor, most: int) -> Candidates:
    """The `most` best distinct optima of two."""
    poses, scores = torch.cat([one.poses, other.poses]), torch.cat([one.scores, other.scores])
    order = falling(scores)
    poses, scores = distinct(poses[order], scores[order], pivot, most)
    return replace(one, poses=poses, scores=scores)
