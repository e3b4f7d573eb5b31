"""Training a network in the background: the CT is written for a process of its own, which Slicer may outlive or not."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import qt
import slicer
from slicer.i18n import tr as _

from xrayreg.checks import InputError

from .. import dependencies, networks
from ..mrml import backend, rig
from ..worker import python
from ..worker.client import WorkerEnded, WorkerError
from .runFolder import Run, folderOf

if TYPE_CHECKING:
    from ..mrml.backend import Inputs, SentLabels, SentVolume
    from ..parameters import Parameters

SUFFIX = ".pt"
_LATEST = "XRayRegistration/training"
# As xrayreg.networks.training.status has it.
_LAST = "last.pt"
# Trainings by file. Those started by this Slicer hold their process, as only its parent receives the exit code.
_runs: dict[str, Run] = {}
# Room for the network and what goes with it [bytes].
_SPARE = 200 << 20
_LABELS = "labels.nii"
# So long the worker may take to clean up a file that it was writing [s].
_SETTLE_S = 0.5
# Of a CT's name, in letters, in the names of files; and what file systems take of the name of a file or folder, with
# room for what the training's own folder has more.
_LONGEST_NAME, _LONGEST_PART = 50, 230


@dataclass(frozen=True)
class Wish:
    """Options of the command line: see `python -m xrayreg train --help`.

    structures: labels in `labels`, none for all of the CT. camera: (SID, edge of the detector) [mm], or None for the
    usual ones. similarity: the architecture of one to be trained, empty for a network that finds poses. more: further
    options.
    """

    model: Path
    volume: Path
    labels: Path | None = None
    structures: tuple = ()
    distribution: str = "any_side"
    minutes: float = 5.0
    device: str = "auto"
    camera: tuple[float, ...] | None = None
    resume: bool = False
    similarity: str = ""
    more: tuple = ()

    def arguments(self) -> list[str]:
        """The options, as texts."""
        options = ["--volume", self.volume, "--out", self.model]
        if self.similarity:
            options += ["--kind", "similarity", "--architecture", self.similarity]
        if self.structures:
            options += ["--labels", self.labels, "--structures", ",".join(map(str, self.structures))]
        options += ["--distribution", self.distribution, "--minutes", f"{self.minutes:g}", "--device", self.device]
        if self.camera:
            options += ["--sid", f"{self.camera[0]:.1f}", "--field", f"{self.camera[1]:.1f}"]
        if self.resume:
            options.append("--resume")
        return [str(option) for option in (*options, "--quiet", *self.more)]


def command(wish: Wish) -> list[str]:
    """The process's command line."""
    return [python.interpreter(), "-m", "xrayreg", "train", *wish.arguments()]


def suggestedModel(volumeNode: slicer.vtkMRMLScalarVolumeNode, similarity: str = "") -> Path:
    """Default file of a network for a CT: beside the scene, or in Slicer's temporary folder.

    similarity: architecture of a learned similarity, else empty; each has a file of its own.
    """
    scene = slicer.mrmlScene.GetURL()
    folder = Path(scene).parent if scene and os.access(Path(scene).parent, os.W_OK) else None
    folder = folder or Path(slicer.app.temporaryPath) / "XRayRegistration" / "networks"
    kind = f"-{similarity}" if similarity else ""
    return folder / f"{_fileName(volumeNode)}{kind}{SUFFIX}"


def modelOf(parameters: Parameters) -> Path | None:
    """The file in which the network of these parameters is kept; None without a CT."""
    ofThisCt = parameters.trainOutputVolume in (None, parameters.volume)
    if parameters.trainOutput and ofThisCt and parameters.trainOutputSimilarity == parameters.trainSimilarity:
        return Path(parameters.trainOutput)
    return None if parameters.volume is None else suggestedModel(parameters.volume, parameters.trainSimilarity)


def keepAs(parameters: Parameters, path: Path | str) -> None:
    """Let the network that these parameters ask for be kept in a file; empty for the suggested one."""
    parameters.trainOutput = str(withSuffix(path)) if str(path).strip() else ""
    # The wrapper takes None for no node.
    parameters.trainOutputVolume = parameters.volume if parameters.trainOutput else None  # type: ignore[assignment]
    parameters.trainOutputSimilarity = parameters.trainSimilarity if parameters.trainOutput else ""


def runOf(model: Path | str) -> Run:
    """The training of a network's file (Run), whether there is any or not; the same one each time."""
    return _runs.setdefault(str(model), Run(model))


def running() -> Run | None:
    """The training that a Slicer on this computer has started and that still runs (Run), or None."""
    path = slicer.util.settingsValue(_LATEST, "")
    run = runOf(path) if path else None
    return run if run is not None and run.exists() and run.moment().running else None


def canResume(model: Path) -> bool:
    """Whether there is a training of a file to go on with."""
    return (folderOf(model) / _LAST).is_file()


def withSuffix(path: Path | str) -> Path:
    """A network's file, under a name that says what it is; raises InputError for one that no disk takes."""
    path = Path(str(path).strip()).expanduser()
    path = path if path.suffix == SUFFIX else path.with_name(path.name + SUFFIX)
    if any(len(part.encode()) > _LONGEST_PART for part in path.parts):
        raise InputError(
            _("file of the network"),
            expected=_("names of at most {count} bytes").format(count=_LONGEST_PART),
            found=_("a longer one"),
            remedy=_("choose a shorter one"),
        )
    return path


def trainingSteps(
    inputs: Inputs, parameters: Parameters, resume: bool = False, more: tuple[str, ...] = ()
) -> Generator[tuple[float, str] | None, None, Run]:
    """Yield (fraction, message) while the CT is written, start the process, and return its Run.

    inputs: mrml.backend.Inputs. resume: go on with the network that is in the file. more: further options of the
    command line. Raises InputError for a CT or a place for the network that cannot be used, and MissingPackages.
    """
    yield 0.0, _("Looking for the Python packages")
    dependencies.ensure()
    # Before anything is written.
    python.interpreter()
    from xrayreg.io import prepare_output

    volumeNode = backend.requireVolume(parameters)
    # A CT is there, and so is a place for its network.
    model = withSuffix(modelOf(parameters) or suggestedModel(volumeNode, parameters.trainSimilarity))
    run = runOf(model)
    if run.exists() and run.moment().running:
        raise InputError(
            model.name, expected=_("no training of it"), found=_("one that is running"), remedy=_("cancel it first")
        )
    asked = networks.requireSameKindSteps(inputs.worker, model, parameters.trainSimilarity)
    yield from _told(asked, 0.0, _("Loading the libraries"))
    volume, structures = yield from _told(inputs.chosenSteps(parameters), 0.0, _("Reading the CT for the training"))
    prepare_output(model.parent)
    _requireRoom(model.parent, volume)
    path, labels = run.inputs / f"{_fileName(volumeNode)}.nii", run.inputs / _LABELS if structures else None
    before = run.moment().seconds / 60 if resume and run.exists() else 0.0
    try:
        run.prepare(resume, [file.name for file in (path, labels) if file])
        written = inputs.worker.askSteps(
            "training files", volume=volume.handle.number, path=str(path), labels=str(labels) if labels else None
        )
        yield from _told(written, 0.5, _("Writing the CT for the training"))
        wish = Wish(
            model,
            path,
            labels,
            structures,
            parameters.trainViews,
            # The command line counts from the beginning.
            before + parameters.trainMinutes,
            parameters.trainDevice,
            cameraOf(parameters),
            resume,
            parameters.trainSimilarity,
            tuple(more),
        )
        started = _launched(wish, volumeNode.GetName())
    except (GeneratorExit, InputError, WorkerEnded, WorkerError):
        # What it has written so far goes first.
        inputs.worker.settle(_SETTLE_S)
        run.clean()
        raise
    except OSError as error:
        run.clean()
        raise InputError(
            _("folder of the network"),
            expected=_("one that takes files"),
            found=f"{run.folder} ({error.strerror or error})",
            remedy=_("choose another place for the network"),
        ) from error
    _runs[str(model)] = started
    qt.QSettings().setValue(_LATEST, str(model))
    # What is suggested depends on where the scene is saved, which may change while it trains.
    keepAs(parameters, model)
    return started


def _launched(wish: Wish, name: str) -> Run:
    """Start the process, and return its Run; `name` is the CT's."""
    words = command(wish)
    process = python.launch(words, runOf(wish.model).log)
    run = Run(wish.model, process)
    try:
        run.began(process.pid, words, {"started": datetime.now(UTC).isoformat(), "CT": name, "minutes": wish.minutes})
    except OSError:
        # It could not be found again.
        process.kill()
        raise
    return run


def cameraOf(parameters: Parameters) -> tuple[float, float] | None:
    """SID and edge of the detector [mm] that cover the widest X-ray of the rig; None without X-rays."""
    from xrayreg.networks.model.network_camera import network_camera_for

    theRig = rig.rigOf(parameters.pose)
    cameras = [network_camera_for(view.camera, 1) for view in theRig.views] if theRig else []
    if not cameras:
        return None
    widest = max(cameras, key=lambda camera: camera.field_mm / camera.sid_mm)
    return widest.sid_mm, widest.field_mm


def _fileName(node: slicer.vtkMRMLScalarVolumeNode) -> str:
    """A node's name as one for files, on any file system. The panel asks for it, so no library is loaded for it."""
    name = node.GetName()[:_LONGEST_NAME]
    return "".join(each if each.isalnum() or each in " -_.()" else "_" for each in name).strip(" .") or "CT"


def _told(
    steps: Generator[Any, None, Any], fraction: float, message: str
) -> Generator[tuple[float, str] | None, None, Any]:
    """Yield (fraction, message) for each step; returns what they return."""
    while True:
        try:
            next(steps)
        except StopIteration as done:
            return done.value
        yield fraction, message


def _requireRoom(folder: Path, volume: SentLabels | SentVolume) -> None:
    """Raise InputError unless a copy of the CT and a network fit on the disk."""
    needed = volume.bytes + _SPARE
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise InputError(
            _("disk"),
            expected=_("{size} MB to put a copy of the CT into").format(size=needed >> 20),
            found=_("{size} MB free").format(size=free >> 20),
            remedy=_("choose a place for the network on another disk"),
        )
