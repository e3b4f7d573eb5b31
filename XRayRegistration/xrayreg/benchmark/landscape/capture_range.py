"""Capture range of similarities: starts at given distances from the truth, each followed by the same refinement."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path
from typing import TextIO

import numpy as np
import torch
from torch import Tensor

from ...checks import InputError
from ...geometry import retract
from ...io.results import replace_file
from ...scene import Scene
from ..methods import MethodContext, method_named, run_method
from ..statistics.comparison import CAPTURE_BIN_MM, CAPTURE_MM, CAPTURE_SHARE, Interval, bootstrapped, capture_range
from .profiles import error_of, truth_of, units

# A method that fails in this many consecutive bins is not run from larger distances.
_HOPELESS_BINS = 5
# Steps of the bisection for a start's distance: to a thousandth of the first guess.
_HALVINGS = 40


@dataclass(frozen=True)
class CaptureRow:
    """One run from a start. number: of the start among those of a case and bin.

    initial_mm, error_mm: mTRE before and after; infinite where the run failed. renders, seconds: spent.
    """

    method: str
    case: str
    bin: int
    number: int
    initial_mm: float
    error_mm: float
    renders: int
    seconds: float


@dataclass(frozen=True)
class Captured:
    """Capture range of a method.

    range_mm: largest error of a start up to which at least 95 % of the runs succeed, in bins of 2 mm. interval:
    confidence interval, bootstrapped over the runs. runs: their number. beyond: whether the range exceeds all bins run.
    """

    method: str
    range_mm: float
    interval: Interval
    runs: int
    beyond: bool


def start_in_bin(scene: Scene, number: int, seed: Sequence[int]) -> Tensor:
    """A pose (4, 4) in a random direction from the true pose, its mTRE uniform within bin `number` of 2 mm.

    The rotation is about the centre of the target points.
    """
    generator = np.random.default_rng(list(seed))
    direction = torch.from_numpy(generator.normal(size=6)) * units()
    wanted = CAPTURE_BIN_MM * (number + generator.uniform(0.02, 0.98))
    truth, pivot = truth_of(scene), torch.from_numpy(scene.target_points().mean(axis=0))

    def at(length: float) -> Tensor:
        return retract(truth[None], length * direction[None], pivot)[0]

    low, high = 0.0, 1e-3
    while error_of(scene, at(high)) < wanted:
        low, high = high, 2 * high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if error_of(scene, at(middle)) < wanted else (low, middle)
    return at((low + high) / 2)


def capture_runs(
    methods: Mapping[str, MethodContext],
    scenes: Mapping[str, Scene],
    most_mm: float,
    starts: int,
    seed: int,
    success_mm: float,
    file: Path,
    tell: Callable[[int, int, str], None],
) -> list[CaptureRow]:
    """Run methods, given by name with their contexts, from the same starts in every bin up to `most_mm`.

    scenes: by the name of their case, each with a reference. starts: number per case and bin. success_mm: error limit
    of a success; a method that fails in several consecutive bins is not run from larger distances. file: a line is
    appended after each run; runs that it already holds are not repeated. tell: called with the progress in runs.
    """
    done = {(row.method, row.case, row.bin, row.number): row for row in read_runs(file)}
    bins = max(1, round(most_mm / CAPTURE_BIN_MM))
    total = bins * len(methods) * len(scenes) * starts
    # An incomplete line, left by a killed process, would corrupt the next one.
    replace_file(file, lambda temporary: _write(temporary, list(done.values())))
    with file.open("a", encoding="utf-8", newline="") as stream:
        failing = dict.fromkeys(methods, 0)
        for place in range(bins):
            for name, context in methods.items():
                if failing[name] >= _HOPELESS_BINS:
                    continue
                rows = []
                for order, (case, scene) in enumerate(scenes.items()):
                    for number in range(starts):
                        key = name, case, place, number
                        if key not in done:
                            pose = start_in_bin(scene, place, (seed, order, place, number))
                            done[key] = _run(key, scene, pose, context)
                            _append(stream, done[key])
                        rows.append(done[key])
                        earlier = place * len(methods) + list(methods).index(name)
                        so_far = earlier * len(scenes) * starts + len(rows)
                        tell(so_far, total, f"{name} from {CAPTURE_BIN_MM * place:g} mm")
                good = np.mean([row.error_mm < success_mm for row in rows])
                failing[name] = 0 if good >= CAPTURE_SHARE else failing[name] + 1
    return list(done.values())


def captured(rows: Sequence[CaptureRow], success_mm: float = CAPTURE_MM, seed: int = 0) -> list[Captured]:
    """The capture range of each method, in the order of the rows; `success_mm` is the error limit of a success."""
    found = []
    for name in dict.fromkeys(row.method for row in rows):
        own = [row for row in rows if row.method == name]
        initial, errors = np.array([row.initial_mm for row in own]), np.array([row.error_mm for row in own])

        def ranged(which: np.ndarray, initial: np.ndarray = initial, errors: np.ndarray = errors) -> float:
            return capture_range(initial[which], errors[which], success_mm)

        reached = capture_range(initial, errors, success_mm)
        farthest = CAPTURE_BIN_MM * (1 + max(row.bin for row in own))
        found.append(Captured(name, reached, bootstrapped(ranged, len(own), seed), len(own), reached >= farthest))
    return found


def read_runs(file: Path) -> list[CaptureRow]:
    """The runs in a file; an incomplete line is ignored, and there are none without a file."""
    if not file.exists():
        return []
    found = []
    with file.open(encoding="utf-8", newline="") as stream:
        for line in list(csv.reader(stream))[1:]:
            try:
                method, case, place, number, *rest = line
                initial, error, renders, seconds = map(float, rest)
                found.append(CaptureRow(method, case, int(place), int(number), initial, error, int(renders), seconds))
            except ValueError:
                continue
    return found


def _run(key: tuple[str, str, int, int], scene: Scene, pose: Tensor, context: MethodContext) -> CaptureRow:
    name, case, place, number = key
    initial = np.linalg.inv(scene.views[0].camera.camera_from_world) @ pose.numpy()
    before = error_of(scene, pose)
    try:
        found = run_method(method_named(name), replace(scene, initial=initial), context)
    except InputError:
        # A start may place the anatomy where a method cannot work, which counts as a failure.
        return CaptureRow(name, case, place, number, before, math.inf, 0, 0.0)
    error = error_of(scene, torch.as_tensor(found.camera_from_volume))
    return CaptureRow(name, case, place, number, before, error, found.renders, round(found.seconds, 3))


def _append(stream: TextIO, row: CaptureRow) -> None:
    csv.writer(stream).writerow(astuple(row))
    stream.flush()
    os.fsync(stream.fileno())


def _write(path: Path, rows: Sequence[CaptureRow]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow([field.name for field in fields(CaptureRow)])
        table.writerows(astuple(row) for row in rows)
