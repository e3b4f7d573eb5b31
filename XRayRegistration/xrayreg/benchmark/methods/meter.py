"""Costs and best poses of a running method, reported as steps while it runs and as a trace at the end."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from ...registration.results import Step
from .method import MethodOutcome, TracePoint

# Maximum number of points kept of a trace.
_MOST_POINTS = 48


class Meter:
    """Counts renders and seconds and remembers the best pose of each level.

    renders: returns the number of images rendered so far. after: an earlier outcome whose costs are added.
    """

    def __init__(self, renders: Callable[[], int], after: MethodOutcome | None = None) -> None:
        spent = (0, 0.0) if after is None else (after.renders, after.seconds)
        self._renders, self._before = renders, renders() - spent[0]
        self._since = time.perf_counter() - spent[1]
        self._points: list[TracePoint] = [] if after is None else list(after.trace)
        self._level, self._best = self._points[-1].level if self._points else 0, -math.inf
        self._pose: Tensor | None = None

    @property
    def renders(self) -> int:
        """Images rendered since the meter was started."""
        return self._renders() - self._before

    @property
    def seconds(self) -> float:
        """Wall time since the meter was started."""
        return time.perf_counter() - self._since

    def next_level(self) -> None:
        """Begin a level: later scores are of another similarity."""
        self._level, self._best = self._level + 1, -math.inf

    def saw(self, pose: Tensor, score: float) -> None:
        """Record a pose (4, 4) and its score; of several objects (K, 4, 4), the pose of the first one."""
        if not score > self._best:
            return
        self._best = score
        self._pose = pose if pose.dim() == 2 else pose[0]
        self._points.append(TracePoint(self.seconds, self.renders, score, self._pose.numpy().copy(), self._level))

    def step(self, fraction: float, message: str) -> Step:
        """The current state as a progress step."""
        pose = None if self._pose is None else self._pose.numpy()
        similarity = self._best if math.isfinite(self._best) else None
        return Step("refine", min(1.0, fraction), message, pose, similarity, renders=self.renders)

    def outcome(self, pose: Tensor, score: float, reason: str) -> MethodOutcome:
        """The outcome: a pose (4, 4) of the first camera, at which the trace ends."""
        if self._pose is None or not torch.equal(pose, self._pose):
            self.next_level()
            self.saw(pose, score)
        return MethodOutcome(pose.numpy(), score, self.renders, self.seconds, reason, trace=thinned(self._points))


def thinned(points: list[TracePoint]) -> tuple[TracePoint, ...]:
    """At most a few dozen of the points, among them the first, the last, and the last of every level."""
    if len(points) <= _MOST_POINTS:
        return tuple(points)
    ends = {n for n, (point, after) in enumerate(pairwise(points)) if point.level != after.level}
    even = np.unique(np.linspace(0, len(points) - 1, max(2, _MOST_POINTS - len(ends))).round().astype(int))
    return tuple(points[n] for n in sorted({*even.tolist(), *ends}))


def single(pose: Tensor | np.ndarray) -> Tensor:
    """A pose (4, 4) as a float64 tensor."""
    return torch.as_tensor(pose, dtype=torch.float64)
