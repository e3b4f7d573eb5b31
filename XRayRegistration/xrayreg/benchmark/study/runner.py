"""Running a study from its order to its tables: cases are made once, methods run on them; all of it is resumable."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import __version__
from ...checks import InputError, require_file
from ...io import read_labelled_volume
from ...networks.model.fingerprint import fingerprint
from ...scene import Volume
from ...settings import DeviceName, EngineName
from ...settings.plain import as_plain
from ..datasets import open_dataset
from ..methods import Method, method_named
from ..statistics import StudyRow, cube_corners, surface_points
from .case_making import CASE, StudySubject
from .case_poses import PosedCase, nominal_of, posed_cases, write_pose_list
from .executors import InProcess, Pause, ProcessDied, ProcessPool
from .protocol import Arm, arm_named
from .resampling import VOXEL_MM, bones_of, resampled_grid, resampled_patient
from .study_folder import POSES, StudyFolder, append, room_for_results
from .tasks import Job, Making, Running, followed

# The resampled patient, while cases are made.
_FIELD = ".patient.npy"
# Fraction of the field of view at the isocentre that the CT must fill in each direction of the nominal view.
_LEAST_FILL = 1 / 3


@dataclass(frozen=True)
class StudyOrder:
    """Settings of a study.

    methods: names. arm: name, or None with a dataset. volume, labels, structures: the CT of an arm, its label map, and
    the labels that methods render (empty for all). limit: number of cases, from the first. seed: None takes the arm's.
    workers: processes; 1 works in this one. options: of each method by name (see `MethodContext`).
    """

    out: Path
    methods: tuple[str, ...]
    arm: str | None = None
    volume: Path | None = None
    labels: Path | None = None
    structures: tuple[int, ...] = ()
    dataset: Path | None = None
    limit: int | None = None
    seed: int | None = None
    workers: int = 1
    engine: EngineName = "auto"
    device: DeviceName = "auto"
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class StudyStep:
    """Progress of a study.

    stage: prepare, make or run. done, total: cases made or runs finished in this stage; total 0 if unknown.
    row: a new result. note: a message that should be kept.
    """

    stage: str
    message: str
    done: int = 0
    total: int = 0
    row: StudyRow | None = None
    note: str = ""


OnStudyStep = Callable[[StudyStep], object]


def conduct(
    order: StudyOrder,
    find: Callable[[str], Method] = method_named,
    on_step: OnStudyStep = lambda step: None,
    pause: Pause = lambda: None,
) -> Path:
    """Run a study; returns its folder, whose results are then complete.

    Existing results in the folder are not computed again. find: the methods by name; importable, as it is sent to other
    processes. on_step: called with progress and results. pause: called frequently as well. An exception from either
    stops all processes and is passed on to the caller; all results so far are kept.
    Raises InputError for an order that cannot be carried out, the folder of another study or one that another
    process is writing to, and a full disk.
    """

    def told(step: StudyStep) -> None:
        on_step(step)
        pause()

    _require_order(order)
    for name in order.methods:
        _require_needs(order, find(name))
    folder = StudyFolder(order.out)
    folder.require_usable()
    told(StudyStep("prepare", "reading the CT" if order.dataset is None else "looking at the dataset"))
    job, cases, identity = _planned_arm(order) if order.arm is not None else _planned_dataset(order)
    job = replace(job, find=find)
    with room_for_results(order.out), folder.alone():
        folder.open(identity)
        if job.arm is not None and job.subject is not None:
            variants = [variant.name for variant in job.arm.variants]
            write_pose_list(order.out / POSES, cases, variants, job.subject.isocentre)
        opening = job.opening()
        workers = InProcess(opening, pause) if order.workers == 1 else ProcessPool(order.workers, opening, pause)
        try:
            if job.arm is not None:
                _make(folder, job, cases, workers, told)
            _run(folder, job, order.methods, cases, workers, told)
        finally:
            workers.close()
    return order.out


def _require_order(order: StudyOrder) -> None:
    if (order.arm is None) == (order.dataset is None):
        found = "neither" if order.arm is None else "both"
        raise InputError("study", expected="--arm with --volume, or --dataset", found=found, remedy="name one of them")
    if order.arm is not None:
        _require_volume(order, arm_named(order.arm))
    if order.structures and order.labels is None:
        raise InputError("--structures", expected="--labels to take them from", found="none", remedy="name a label map")
    if not order.methods:
        raise InputError("--methods", expected="at least one method", found="none", remedy="see evaluate --list")
    for what, number in (("--limit", order.limit), ("--workers", order.workers)):
        if number is not None and number < 1:
            raise InputError(what, expected="at least 1", found=str(number), remedy="give another number")


def _require_volume(order: StudyOrder, arm: Arm) -> None:
    """Raise InputError if there is no CT for an arm, or no structures for an arm of bones alone."""
    if order.volume is None:
        raise InputError("study", expected="--volume for an arm", found="none", remedy="name a CT")
    require_file(order.volume, "volume")
    if arm.bones_alone and not order.structures:
        raise InputError(
            f"arm {arm.name}", expected="--labels and --structures", found="none", remedy="name the bones to show"
        )


def _require_needs(order: StudyOrder, method: Method) -> None:
    """Raise InputError for inputs that a method needs and that no case contains."""
    for kind, remedy in (
        ("network", "train one: xrayreg train"),
        ("similarity", "train one: xrayreg train --kind similarity"),
    ):
        file = order.options.get(method.name, {}).get(kind)
        if kind in method.needs and file is None:
            raise InputError(f"method {method.name}", expected=f"--{kind}", found="none", remedy=remedy)
        if file is not None:
            require_file(Path(str(file)), kind)
    if "structures" in method.needs and order.arm is not None and not order.structures:
        raise InputError(
            f"method {method.name}", expected="--structures", found="none", remedy="name the bones to register"
        )


def _planned_arm(order: StudyOrder) -> tuple[Job, tuple[PosedCase, ...], dict[str, Any]]:
    assert order.arm is not None and order.volume is not None
    arm = arm_named(order.arm)
    seed = arm.seed if order.seed is None else order.seed
    volume = read_labelled_volume(order.volume, order.labels)
    _require_large_enough(arm, volume)
    targets = _targets(arm, volume, order.structures)
    surface = surface_points(volume, order.structures, seed=seed)
    subject = StudySubject(order.volume, order.labels, order.structures, volume.grid.centre, targets, surface)
    mark = fingerprint(volume)
    cases = posed_cases(arm, subject.isocentre, seed, order.limit)
    grid, _ = resampled_grid(volume.grid, VOXEL_MM)
    job = Job(
        folder=order.out,
        name=arm.name,
        seed=seed,
        engine=order.engine,
        device=order.device,
        options=order.options,
        arm=arm,
        subject=subject,
        field_file=order.out / _FIELD,
        grid=grid,
        axis=nominal_of(arm, subject.isocentre)[2, :3],
    )
    identity = {
        "name": arm.name,
        "title": arm.title,
        "description": arm.description,
        "cases": len(cases),
        "seed": seed,
        "metric": arm.metric,
        "arm": as_plain(arm),
        "volume": {
            "path": str(order.volume.resolve()),
            "fingerprint": mark,
            "isocentre": [round(float(value), 3) for value in subject.isocentre],
            "labels": None if order.labels is None else str(order.labels.resolve()),
            "structures": list(order.structures),
        },
        "simulation": f"CT resampled to {VOXEL_MM:g} mm by cubic splines, voxels off the CT's; dense sampling of rays",
        "version": __version__,
    }
    return job, cases, identity


def _planned_dataset(order: StudyOrder) -> tuple[Job, tuple[PosedCase, ...], dict[str, Any]]:
    assert order.dataset is not None
    dataset = open_dataset(order.dataset)
    seed = 0 if order.seed is None else order.seed
    names = dataset.cases[: order.limit]
    nowhere = np.eye(4)
    cases = tuple(PosedCase(name, 0, number, 0, 0, nowhere, nowhere) for number, name in enumerate(names))
    job = Job(order.out, dataset.name, seed, order.engine, order.device, order.options, dataset=order.dataset)
    identity = {
        "name": dataset.name,
        "title": f"Dataset {dataset.name}",
        "description": f"{len(names)} of {len(dataset.cases)} cases of a dataset, as they are. Methods that need an "
        "initial pose, where a case has none, are given a frontal view at a nominal distance.",
        "cases": len(cases),
        "seed": seed,
        "dataset": str(order.dataset.resolve()),
        "left_out": list(dataset.left_out),
        "version": __version__,
    }
    return job, cases, identity


def _targets(arm: Arm, volume: Volume, structures: tuple[int, ...]) -> NDArray[np.float64]:
    """Corners of the box around the named bones, else of the arm's cube, as large as the CT allows."""
    if not structures:
        extents = np.asarray(volume.grid.shape) * volume.grid.spacing_mm
        return cube_corners(volume.grid.centre, min(arm.target_edge_mm, float(extents.min())))
    mask = volume.structure_mask(structures)
    box = np.array([[hit.min(), hit.max()] for hit in np.nonzero(mask)])
    return volume.grid.box_corners(box[::-1, 0], box[::-1, 1])


def _require_large_enough(arm: Arm, volume: Volume) -> None:
    if not volume.is_hounsfield:
        raise InputError(
            "volume",
            expected="a CT in Hounsfield units, of which X-rays can be simulated",
            found="no negative values",
            remedy="name the CT itself, not a part cut out of it",
        )
    pose = nominal_of(arm, volume.grid.centre)
    corners = volume.grid.corners() @ pose[:3, :3].T + pose[:3, 3]
    extent = np.ptp(corners[:, :2], axis=0)
    field_mm = arm.camera.size_px * arm.camera.pixel_mm * arm.poses.sod_mm / arm.camera.sid_mm
    if extent.min() < _LEAST_FILL * field_mm:
        raise InputError(
            "volume",
            expected=f"at least {_LEAST_FILL * field_mm:.0f} mm each way across the beam of arm {arm.name}",
            found=" x ".join(f"{side:.0f}" for side in extent) + " mm",
            remedy="name a larger CT",
        )


def _make(
    folder: StudyFolder, job: Job, cases: Sequence[PosedCase], workers: InProcess | ProcessPool, on_step: OnStudyStep
) -> None:
    """Make the cases that do not exist yet."""
    missing = [posed for posed in cases if not (folder.case(posed.name) / CASE).exists()]
    assert job.arm is not None and job.subject is not None and job.field_file is not None
    # It may be left from a run that was killed.
    job.field_file.unlink(missing_ok=True)
    if not missing:
        return
    try:
        on_step(StudyStep("make", "resampling the CT"))
        patient = _patient(job.subject, job.arm)
        resampled_patient(patient, job.field_file)
        done, message = 0, "simulating X-rays"
        on_step(StudyStep("make", message, done, len(missing)))
        for answer in workers.answers([Making(posed) for posed in missing]):
            if isinstance(answer, ProcessDied):
                raise InputError(
                    f"case {answer.task.posed.name}",
                    expected="X-rays to be simulated",
                    found=answer.how,
                    remedy="give the same command again: it goes on where it stopped",
                )
            done += 1
            on_step(StudyStep("make", message, done, len(missing)))
    finally:
        job.field_file.unlink(missing_ok=True)


def _patient(subject: StudySubject, arm: Arm) -> Volume:
    """The volume from which the X-rays of an arm are simulated."""
    if not arm.bones_alone:
        return read_labelled_volume(subject.volume, None)
    return bones_of(read_labelled_volume(subject.volume, subject.labels), subject.structures)


def _run(
    folder: StudyFolder,
    job: Job,
    methods: Sequence[str],
    cases: Sequence[PosedCase],
    workers: InProcess | ProcessPool,
    on_step: OnStudyStep,
) -> None:
    """Run the methods on the cases that have no result yet."""
    rows, passed_over = folder.mended_rows()
    tasks = _tasks(job, methods, cases, rows)
    total = sum(len(task.cases) for task in tasks)
    done = 0
    with folder.appending() as file:
        on_step(StudyStep("run", "running", done, total, note=passed_over))
        while tasks:
            again: list[Running] = []
            for answer in workers.answers(tasks):
                row = answer
                if isinstance(answer, ProcessDied):
                    row = _broken(job, answer)
                    again.append(_left(answer, _last_pose(rows, answer.task, answer.answers)))
                append(file, row)
                rows[row.method, row.case] = row
                done += 1
                on_step(StudyStep("run", f"{row.method}, case {row.case}", done, total, row))
            tasks = [task for task in again if task.cases]


def _tasks(
    job: Job, methods: Sequence[str], cases: Sequence[PosedCase], rows: Mapping[tuple[str, str], StudyRow]
) -> list[Running]:
    """The runs without a result, case by case, so that all methods advance equally."""
    variants = [""] if job.arm is None else [variant.name for variant in job.arm.variants]
    tasks = []
    for chain in dict.fromkeys(posed.chain for posed in cases):
        run = [posed for posed in cases if posed.chain == chain]
        whole = tuple(posed.name for posed in run)
        for method in dict.fromkeys(methods):
            # A sequence is processed in order, so the frames with results are its first ones.
            done = next((n for n, name in enumerate(whole) if (method, name) not in rows), len(whole))
            task = Running(method, whole, tuple(variants[posed.variant] for posed in run))
            if done < len(whole):
                tasks.append(task.after(done, _last_pose(rows, task, done)))
    return tasks


def _last_pose(rows: Mapping[tuple[str, str], StudyRow], task: Running, done: int) -> NDArray[np.float64] | None:
    """The start of the case after the first `done` of a task; None for its own initial pose."""
    previous = task.previous
    for name in task.cases[:done]:
        previous = followed(rows[task.method, name], previous)
    return previous


def _broken(job: Job, died: ProcessDied) -> StudyRow:
    task: Running = died.task
    sentence = f"{died.how[:1].upper()}{died.how[1:]}."
    return StudyRow(task.method, job.name, task.cases[died.answers], task.variants[died.answers], error=sentence)


def _left(died: ProcessDied, previous: NDArray[np.float64] | None) -> Running:
    """The remainder of a task after the case on which its process died."""
    task: Running = died.task
    return task.after(died.answers + 1, previous)
