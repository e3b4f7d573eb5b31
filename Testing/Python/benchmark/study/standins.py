"""A small patient and methods without mathematics, for studies that take a second, and how they are ordered."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pelvis_scenes import phantom

from xrayreg.benchmark.methods import Method, MethodContext, MethodOutcome, TracePoint
from xrayreg.benchmark.statistics import StudyRow
from xrayreg.benchmark.study.runner import StudyOrder, StudyStep, conduct
from xrayreg.benchmark.study.study_folder import StudyFolder
from xrayreg.checks import InputError
from xrayreg.io import write_nifti
from xrayreg.registration.results import OnStep, Step
from xrayreg.scene import Scene

VOXEL_MM = 6.0


def write_patient(folder: Path) -> Path:
    """The CT and label map of a phantom in `folder`; returns the CT."""
    volume = phantom(VOXEL_MM)
    assert volume.labels is not None
    write_nifti(folder / "ct.nii.gz", volume.values, volume.grid.volume_from_index)
    write_nifti(folder / "labels.nii.gz", volume.labels, volume.grid.volume_from_index)
    return folder / "ct.nii.gz"


def method(name: str) -> Method:
    """The stand-ins by name; importable, so that other processes find them too."""
    if name not in _METHODS:
        raise InputError("method", expected=f"one of {', '.join(_METHODS)}", found=name, remedy="choose one")
    return Method(name, f"The method {name}", "nowhere", (), _METHODS[name])


def _at(scene: Scene, share: float) -> np.ndarray:
    """A pose between the true one (0) and the initial one (1), by translation."""
    assert scene.initial is not None and scene.reference is not None
    pose = scene.reference.copy()
    pose[:3, 3] += share * (scene.initial - scene.reference)[:3, 3]
    return pose


def _outcome(scene: Scene, share: float) -> MethodOutcome:
    trace = tuple(
        TracePoint(0.01 * n, n, n / 100, _at(scene, 1 - (1 - share) * n / 100))  # on the way
        for n in range(101)
    )
    return MethodOutcome(_at(scene, share), 0.9, 100, 1.0, "It is there.", share < 0.5, trace)


def _perfect(scene: Scene, context: MethodContext, on_step: OnStep) -> MethodOutcome:
    return _outcome(scene, 0.0)


def _halfway(scene: Scene, context: MethodContext, on_step: OnStep) -> MethodOutcome:
    on_step(Step("refine", 0.5, "half"))
    return _outcome(scene, 0.5)


def _start(scene: Scene, context: MethodContext, on_step: OnStep) -> MethodOutcome:
    assert scene.initial is not None
    return MethodOutcome(scene.initial, float("nan"), 0, 0.0, "As given.")


def _breaks(scene: Scene, context: MethodContext, on_step: OnStep) -> MethodOutcome:
    raise ValueError("a number\nthat is none")


def _lost(scene: Scene, context: MethodContext, on_step: OnStep) -> MethodOutcome:
    return MethodOutcome(np.full((4, 4), np.nan), float("nan"), 3, 0.5, "Lost.")


def _dies(scene: Scene, context: MethodContext, on_step: OnStep) -> MethodOutcome:
    os.kill(os.getpid(), signal.SIGKILL)
    return _outcome(scene, 0.0)


def _sleeps(scene: Scene, context: MethodContext, on_step: OnStep) -> MethodOutcome:
    for _ in range(6000):
        time.sleep(0.01)
        on_step(Step("refine", 0.0, "asleep"))
        return _outcome(scene, 0.0)


def _follows(scene: Scene, context: MethodContext, on_step: OnStep) -> MethodOutcome:
    """Comes 9 tenths of the way from its start, so that its error tells where it started."""
    return _outcome(scene, 0.1)


def _blinks(scene: Scene, context: MethodContext, on_step: OnStep) -> MethodOutcome:
    """As far, and rejects about half of what it finds, whichever case it is."""
    assert scene.reference is not None
    accepts = int(abs(scene.reference[0, 3]) * 1e6) % 2 == 0
    return replace(_outcome(scene, 0.1), accepted=accepts)


_METHODS = {
    "perfect": _perfect,
    "halfway": _halfway,
    "start": _start,
    "breaks": _breaks,
    "lost": _lost,
    "dies": _dies,
    "sleeps": _sleeps,
    "follows": _follows,
    "blinks": _blinks,
}


def order(ct: Path, out: Path, *methods: str, **changes: object) -> StudyOrder:
    fields = {"arm": "C-A", "volume": ct, "limit": 3, "engine": "torch", **changes}
    return StudyOrder(out, methods or ("perfect",), **fields)  # type: ignore[arg-type]


def done(given: StudyOrder) -> list[StudyStep]:
    """Do a study; returns its steps."""
    steps: list[StudyStep] = []
    conduct(given, method, steps.append)
    return steps


class Stopped(Exception):
    """What a step raises to stop a study."""


def stopped(given: StudyOrder, when: Callable[[StudyStep], bool]) -> None:
    """Do a study until a step that meets a condition."""

    def on_step(step: StudyStep) -> None:
        if when(step):
            raise Stopped

    with pytest.raises(Stopped):
        conduct(given, method, on_step)


def rows(out: Path) -> dict[tuple[str, str], StudyRow]:
    return StudyFolder(out).rows()
