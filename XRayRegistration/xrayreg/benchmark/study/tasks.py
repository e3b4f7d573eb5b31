"""Tasks of a study's processes (make a case, run a method on cases), and the state kept between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...checks import InputError
from ...geometry import VoxelGrid
from ...io import read_labelled_volume
from ...scene import Scene, Volume
from ...settings import DeviceName, EngineName
from ...simulation import Patient, patient_on
from ..datasets import open_dataset
from ..methods import Method, MethodContext, method_named
from ..statistics import StudyRow
from ..statistics.published import FAR_LEVER_MM
from .case_making import StudySubject, make_case
from .case_poses import Pose, PosedCase
from .executors import Pause, Work
from .protocol import Arm
from .score import options_of, scene_of, scored_run, started
from .study_folder import StudyFolder


@dataclass(frozen=True, eq=False)
class Making:
    """Make a case."""

    posed: PosedCase


@dataclass(frozen=True)
class Made:
    """A case was made."""

    case: str


@dataclass(frozen=True, eq=False)
class Running:
    """Run a method on cases, one after the other.

    variants: of each case, by name. previous: camera_from_volume (4, 4) from which the first is started instead of its
    own initial pose; each further case is started from the pose given by `followed`.
    """

    method: str
    cases: tuple[str, ...]
    variants: tuple[str, ...]
    previous: Pose | None = None

    def after(self, rows: int, previous: Pose | None) -> Running:
        """The remaining task after the first `rows` cases are done."""
        return replace(self, cases=self.cases[rows:], variants=self.variants[rows:], previous=previous)


Task = Making | Running


def followed(row: StudyRow, previous: Pose | None) -> Pose | None:
    """The start of the next case of a sequence: this row's pose, or this row's start if the method rejects its pose."""
    if row.camera_from_volume is None or row.accepted is False:
        return previous
    return np.array(row.camera_from_volume)


@dataclass(frozen=True, eq=False)
class Job:
    """The data shared by all tasks of a study. Picklable.

    arm, subject: of a protocol arm; dataset: of a dataset. field_file, grid: the resampled patient.
    axis: (3,) nominal viewing axis in the volume frame; None takes each case's own. find: the methods by name.
    """

    folder: Path
    name: str
    seed: int
    engine: EngineName
    device: DeviceName
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    arm: Arm | None = None
    subject: StudySubject | None = None
    dataset: Path | None = None
    field_file: Path | None = None
    grid: VoxelGrid | None = None
    axis: NDArray[np.float64] | None = None
    find: Callable[[str], Method] = method_named

    def opening(self) -> Callable[[Pause], Work]:
        """A function that prepares a process for the tasks."""
        return partial(_open, self)


def _open(job: Job, pause: Pause) -> Work:
    return _Workplace(job, pause).work


class _Workplace:
    """Does tasks; data shared by several of them are read once."""

    def __init__(self, job: Job, pause: Pause) -> None:
        self._job, self._pause = job, pause
        self._folder = StudyFolder(job.folder)
        self._volume: Volume | None = None
        # The last case read: all methods are run on a case before the next one.
        self._read: tuple[str, Scene] | None = None
        self._patient: Patient | None = None
        self._dataset = None if job.dataset is None else open_dataset(job.dataset)

    def work(self, task: Task) -> Iterator[Made | StudyRow]:
        """The answers to a task, one after the other."""
        return self._make(task.posed) if isinstance(task, Making) else self._run(task)

    def _make(self, posed: PosedCase) -> Iterator[Made]:
        job = self._job
        assert job.arm is not None and job.subject is not None and job.field_file is not None and job.grid is not None
        if self._patient is None:
            self._patient = patient_on(np.load(job.field_file, mmap_mode="r"), job.grid)
        make_case(self._folder.case(posed.name), job.arm, posed, self._patient, job.subject)
        yield Made(posed.name)

    def _run(self, task: Running) -> Iterator[StudyRow]:
        method, previous = self._job.find(task.method), task.previous
        for case, variant in zip(task.cases, task.variants, strict=True):
            row = self._row(method, case, variant, previous)
            previous = followed(row, previous)
            yield row

    def _row(self, method: Method, case: str, variant: str, previous: Pose | None) -> StudyRow:
        job = self._job
        blank = StudyRow(method.name, job.name, case, variant)
        try:
            scene, known = self._scene(case, method)
        except InputError as error:
            return replace(blank, error=str(error))
        if previous is not None:
            world_from_first = np.linalg.inv(scene.views[0].camera.camera_from_world)
            scene = replace(scene, initial=world_from_first @ previous)
        subject, arm = job.subject, job.arm
        levers = {
            "surface": None if subject is None else subject.surface,
            "axis": job.axis,
            "pivot": scene.volume.grid.centre if subject is None else subject.isocentre,
            "lever_mm": FAR_LEVER_MM if arm is None else arm.lever_mm,
        }
        context = MethodContext(job.seed, job.engine, job.device, {**known, **job.options.get(method.name, {})})
        return scored_run(method, scene, context, blank, levers, lambda step: self._pause())

    def _scene(self, case: str, method: Method) -> tuple[Scene, dict[str, Any]]:
        """The scene of a case, and its additional data that a method needs."""
        if self._dataset is not None:
            extras = self._dataset.extras(case)
            scene = self._dataset.scene(case)
            if "initial" in method.needs:
                scene = started(scene)
            known = {"landmarks": {"points": extras.points, "pixels": extras.pixels, "names": extras.landmarks}}
            return scene, {name: value for name, value in known.items() if name in method.needs and len(extras.points)}
        job = self._job
        assert job.subject is not None
        if self._volume is None:
            self._volume = read_labelled_volume(job.subject.volume, job.subject.labels)
        folder = self._folder.case(case)
        if self._read is None or self._read[0] != case:
            self._read = case, scene_of(folder, self._volume)
        return self._read[1], options_of(folder, method, {})
