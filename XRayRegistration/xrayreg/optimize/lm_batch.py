"""Batched Levenberg-Marquardt on poses with an ask-and-tell interface: it never sees an image.

    state = start(poses, problem.agreement(poses))
    while state.active.any():
        candidates = ask(state, pivot, settings)
        state = tell(state, candidates, problem.agreement(candidates), settings)

Every pose has its own damping and accepts or rejects its own step, so one that has converged does not wait for others.
Damping follows Nielsen (1999): it falls smoothly with the gain ratio and rises faster with each rejection. A rejected
step leaves the pose unchanged, so the state always holds the best pose seen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..geometry import retract
from ..settings import StepSettings
from ..similarity import Agreement

# Damping beyond which steps are too small to matter.
MOST_DAMPING = 1e6
FIRST_DAMPING = 1e-2


@dataclass(frozen=True, eq=False)
class State:
    """The state of B starts.

    poses: (B, 4, 4) the best pose of each start; agreement: at these poses.
    damping, growth: (B,) Nielsen's mu and nu.
    active: (B,) not yet stopped; reasons: why each one stopped, a sentence, empty while it is active.
    step: (B, 6) the twist last requested.
    steps: how often `tell` was called.
    """

    poses: Tensor
    agreement: Agreement
    damping: Tensor
    growth: Tensor
    active: Tensor
    step: Tensor
    reasons: tuple[str, ...]
    steps: int = 0


def start(poses: Tensor, agreement: Agreement) -> State:
    """The state before the first step from poses (B, 4, 4)."""
    batch = poses.shape[0]
    return State(
        poses=poses,
        agreement=agreement,
        damping=poses.new_full((batch,), FIRST_DAMPING),
        growth=poses.new_full((batch,), 2.0),
        active=torch.ones(batch, dtype=torch.bool),
        step=poses.new_zeros(batch, 6),
        reasons=("",) * batch,
    )


def damped_step(gradient: Tensor, normal: Tensor, damping: Tensor) -> Tensor:
    """Steps (B, P) down a cost of gradients (B, P) and normal matrices (B, P, P), each with its own damping (B,)."""
    scale = normal.diagonal(dim1=-2, dim2=-1)
    # A parameter that does not affect the images would make the system singular; with this it stays unchanged.
    scale = scale.clamp(min=1e-12) + 1e-9 * scale.amax(-1, keepdim=True)
    damped = normal + torch.diag_embed(damping[:, None] * scale)
    return -torch.linalg.solve(damped, gradient[..., None])[..., 0]


def predicted_gain(step: Tensor, gradient: Tensor, normal: Tensor) -> Tensor:
    """The decrease (B,) of the quadratic model of a cost for steps (B, P)."""
    curved = torch.einsum("bi,bij,bj->b", step, normal, step)
    return -(step * gradient).sum(-1) - 0.5 * curved


def redamped(damping: Tensor, growth: Tensor, ratio: Tensor, better: Tensor) -> tuple[Tensor, Tensor]:
    """Nielsen's mu and nu (B,) after steps with gain ratios (B,), of which the `better` ones (B,) were accepted."""
    easier = (1 - (2 * ratio.clamp(0, 1) - 1) ** 3).clamp(min=1 / 10)
    return (
        torch.where(better, damping * easier, damping * growth),
        torch.where(better, torch.full_like(growth, 2.0), growth * 2),
    )


def ask(state: State, pivot: Tensor, settings: StepSettings) -> tuple[State, Tensor]:
    """The state with its next step, and the candidate poses (B, 4, 4) to evaluate; poses that stopped are unchanged."""
    gradient, normal = state.agreement.gradient, state.agreement.curvature
    step = damped_step(gradient.to(torch.float64), normal.to(torch.float64), state.damping)
    largest = torch.maximum(
        step[:, :3].norm(dim=-1) / torch.deg2rad(step.new_tensor(settings.most_rotation_deg)),
        step[:, 3:].norm(dim=-1) / settings.most_translation_mm,
    )
    step = step / largest.clamp(min=1)[:, None]
    usable = state.active & torch.isfinite(step).all(-1)
    step = torch.where(usable[:, None], step, torch.zeros_like(step))
    return replace(state, step=step), retract(state.poses, step, pivot)


def tell(state: State, candidates: Tensor, agreement: Agreement, settings: StepSettings) -> State:
    """The state after the candidates' agreement is known: each start moves or increases its damping, and may stop."""
    old = state.agreement
    gained = (agreement.score - old.score).to(torch.float64)
    normal, gradient = old.curvature.to(torch.float64), old.gradient.to(torch.float64)
    predicted = predicted_gain(state.step, gradient, normal)
    better = state.active & (gained > 0) & torch.isfinite(gained)
    damping, growth = redamped(state.damping, state.growth, gained / predicted.clamp(min=1e-15), better)
    small = (state.step[:, :3].norm(dim=-1).rad2deg() < settings.stop_rotation_deg) & (
        state.step[:, 3:].norm(dim=-1) < settings.stop_translation_mm
    )
    flat = torch.where(better, gained, predicted) < settings.stop_gain
    stuck = damping > MOST_DAMPING
    vanished = ~torch.isfinite(agreement.score)
    reasons = tuple(
        reason or _why(bool(small[n]), bool(flat[n]), bool(stuck[n]), bool(vanished[n]))
        for n, reason in enumerate(state.reasons)
    )
    return State(
        poses=torch.where(better[:, None, None], candidates, state.poses),
        agreement=Agreement(
            torch.where(better, agreement.score, old.score),
            torch.where(better[:, None], agreement.gradient, old.gradient),
            torch.where(better[:, None, None], agreement.normal, old.normal),
        ),
        damping=damping.clamp(min=1e-9),
        growth=growth,
        active=state.active & ~small & ~flat & ~stuck & ~vanished,
        step=state.step,
        reasons=reasons,
        steps=state.steps + 1,
    )


def _why(small: bool, flat: bool, stuck: bool, vanished: bool) -> str:
    if vanished:
        return "The similarity could not be computed there: the structure left the image."
    if small:
        return "The last step was too small to matter."
    if flat:
        return "The similarity no longer rises."
    if stuck:
        return "No step in any direction improves the similarity."
    return ""
