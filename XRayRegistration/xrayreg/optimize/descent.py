"""One level of refinement: Levenberg-Marquardt run on a problem."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from torch import Tensor

from ..registration.problem import Problem
from ..settings import StepSettings
from ..similarity import Agreement
from .lm_batch import State, ask, start, tell


def descend(
    problem: Problem,
    poses: Tensor,
    max_steps: int,
    settings: StepSettings,
    on_state: Callable[[State], object] = lambda state: None,
) -> State:
    """Refine poses (B, 4, 4) together; returns the last state.

    on_state: called with the state before the first step and after every step. Starts that have stopped are not
    evaluated again.
    """
    state = start(poses, problem.agreement(poses))
    on_state(state)
    for _ in range(max_steps):
        moving = state.active.nonzero()[:, 0]
        if not len(moving):
            return state
        state, candidates = ask(state, problem.pivot, settings)
        found = problem.picked(moving).agreement(candidates[moving])
        state = tell(state, candidates, _with(state.agreement, moving, found), settings)
        on_state(state)
    waiting = "The level's steps were used up while it was still improving."
    return replace(state, reasons=tuple(reason or waiting for reason in state.reasons))


def best_first(state: State) -> State:
    """The state with its starts by descending score; those without a score (NaN) come last."""
    order = falling(state.agreement.score)
    agreement = Agreement(state.agreement.score[order], state.agreement.gradient[order], state.agreement.normal[order])
    return replace(
        state,
        poses=state.poses[order],
        agreement=agreement,
        damping=state.damping[order],
        growth=state.growth[order],
        active=state.active[order],
        step=state.step[order],
        reasons=tuple(state.reasons[n] for n in order.tolist()),
    )


def falling(scores: Tensor) -> Tensor:
    """Indices (B,) that sort scores (B,) in descending order; NaN come last, equal scores keep their order."""
    # Sorting treats NaN as the largest number.
    return scores.nan_to_num(nan=-math.inf).argsort(descending=True, stable=True)


def _with(old: Agreement, where: Tensor, found: Agreement) -> Agreement:
    """`old` with the entries `where` replaced by `found`."""
    return Agreement(
        old.score.index_copy(0, where, found.score.to(old.score)),
        old.gradient.index_copy(0, where, found.gradient.to(old.gradient)),
        old.normal.index_copy(0, where, found.normal.to(old.normal)),
    )
