"""The registration of a rig as Slicer runs it: prepare, register step by step, judge, keep the outcome."""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from slicer.i18n import tr as _

from xrayreg.checks import InputError

from .. import dependencies, networks
from ..mrml import backend, outcome, posing, projections, rig
from ..mrml.outcome import Outcome
from .compiling import compileSteps

if TYPE_CHECKING:
    from ..mrml.backend import Inputs, SentScene
    from ..parameters import Parameters

# Where on the progress bar the engine is ready, and where the images are.
_COMPILED, _PREPARED = 0.3, 0.1
# xrayreg's name for the pose to start from; here it need not come from a case.
_CASE_POSE = "the case's initial pose"


@dataclass(frozen=True)
class RegistrationProgress:
    """One moment of a registration.

    fraction: of the whole, 0 to 1, never falling. message: what is being done. stage: packages, compile, prepare,
    search, refine, judge or done. similarity: at the best pose so far, where there is one; comparable within a stage
    only. outcome: on the last one.
    """

    fraction: float
    message: str
    stage: str
    similarity: float | None = None
    outcome: Outcome | None = None

    @property
    def verdict(self) -> str:
        """The verdict as a sentence, empty before the last moment."""
        return "" if self.outcome is None else self.outcome.verdict

    @property
    def accepted(self) -> bool:
        """Whether the pose may be trusted, on the last moment."""
        return self.outcome is not None and self.outcome.accepted

    @property
    def errorMm(self) -> float | None:
        """mTRE [mm] against a reference, on the last moment and where there is one."""
        return None if self.outcome is None else self.outcome.errorMm


def registrationSteps(inputs: Inputs, parameters: Parameters) -> Generator[RegistrationProgress, None, None]:
    """Yield RegistrationProgress while the X-rays of `parameters` are registered to its CT; the C-arm moves as it goes.

    inputs: mrml.backend.Inputs. `parameters.start` selects the start: the pose shown if it was chosen by the user, else
    a full search, or a network's predictions; `parameters.similarity`, if chosen, proposes the first poses to try.
    Closed before its end, it leaves the best pose so far, which `outcome.undo` takes back; after an error the C-arm
    returns to its previous pose. Raises InputError for inputs that cannot be registered, MissingPackages, and
    NodesRemoved as soon as a node that it needs has been removed from the scene.
    """
    return _steps(inputs, parameters, parameters.start.name)


def searchSteps(inputs: Inputs, parameters: Parameters) -> Generator[RegistrationProgress, None, None]:
    """Like `registrationSteps`, but with a search in any case."""
    return _steps(inputs, parameters, "search")


def _steps(inputs: Inputs, parameters: Parameters, start: str) -> Generator[RegistrationProgress, None, None]:
    yield RegistrationProgress(0.0, _("Looking for the Python packages"), "packages")
    dependencies.ensure()
    work = _Work(parameters)
    init = backend.requireNetwork(parameters) if start == "network" else start
    if start == "network":
        yield from _quietly(networks.requireKindSteps(inputs.worker, init, similarity=False))
    similarity = parameters.similarity or None
    if similarity:
        yield from _quietly(networks.requireKindSteps(inputs.worker, similarity, similarity=True))
    done = 0.0
    for fraction, message in compileSteps(inputs.worker, similarity):
        work.requireAll()
        done = max(done, _COMPILED * fraction if fraction < 1 else 0.0)
        yield RegistrationProgress(done, message, "compile")
    began = time.perf_counter()
    # With a network chosen as start, its predictions alone define the initial poses.
    fromShown = start == "case" or (work.wasPosed and start != "network")
    initial = work.before if fromShown else None
    scene, done = yield from _prepared(work, inputs.sceneSteps(parameters, initial), done)
    asked = inputs.worker.askSteps(
        "register",
        scene=scene.content(),
        effort=parameters.effort.name,
        init=str(init),
        similarity=similarity,
        load_seconds=time.perf_counter() - began,
        notes=list(inputs.notes()),
    )
    try:
        answer = yield from _followed(work, asked, done)
    except GeneratorExit:
        work.keepUnjudged()
        raise
    except InputError as error:
        work.restore()
        raise _inWords(error) from error
    except Exception:
        work.restore()
        raise
    work.requireAll()
    found = work.judged(answer["result"], answer["error_mm"])
    message = _("Done in {seconds:.1f} s").format(seconds=answer["result"]["seconds"]["total"])
    yield RegistrationProgress(1.0, message, "done", _finite(answer["similarity"]), found)


def _quietly(steps: Generator[Any, None, Any]) -> Generator[RegistrationProgress, None, None]:
    """RegistrationProgress for steps that report nothing themselves."""
    for _step in steps:
        yield RegistrationProgress(0.0, _("Loading the libraries"), "packages")


def _followed(
    work: _Work, asked: Generator[Any, None, Any], done: float
) -> Generator[RegistrationProgress, None, dict[str, Any]]:
    """Yield RegistrationProgress, and move the C-arm, as the worker's news come; returns its answer."""
    last = None
    try:
        while True:
            try:
                news = next(asked)
            except StopIteration as end:
                return end.value
            work.requireAll()
            if news is not None:
                if news["pose"] is not None:
                    work.move(np.array(news["pose"]))
                last = _told(news, done)
            # Until there are others the last news are shown.
            yield last or RegistrationProgress(done, _("Preparing the images"), "prepare")
    finally:
        # At once: an error would keep it, and the worker busy, for as long as somebody looks at it.
        asked.close()


def _prepared(
    work: _Work, steps: Generator[Any, None, Any], done: float
) -> Generator[RegistrationProgress, None, tuple[SentScene, float]]:
    """Yield progress while the inputs are converted; returns what `steps` do, and the fraction that is done."""
    end = max(done, _COMPILED if done else 0.0) + _PREPARED
    while True:
        work.requireAll()
        try:
            message = next(steps)
        except StopIteration as finished:
            return finished.value, end
        # The number of steps is not known.
        done += 0.2 * (end - done)
        yield RegistrationProgress(done, message or _("Preparing the images"), "prepare")


def _told(news: dict[str, Any], done: float) -> RegistrationProgress:
    """News of the worker as RegistrationProgress, of which the fraction `done` was over when it began."""
    message = news["message"].replace(_CASE_POSE, _("the pose shown"))
    fraction = done + (1 - done) * news["fraction"]
    return RegistrationProgress(fraction, message[:1].upper() + message[1:], news["stage"], _finite(news["similarity"]))


def _inWords(error: InputError) -> InputError:
    """The error with its remedy worded for this module, where xrayreg words it for a case file."""
    if error.what != "initial pose":
        return error
    return InputError(
        _("pose shown"),
        expected=error.expected,
        found=error.found,
        remedy=_("move the C-arm, choose a preset, or mark landmarks"),
    )


def _finite(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) else None


class _Work:
    """The nodes of one registration, and what it does to them."""

    def __init__(self, parameters: Parameters) -> None:
        self.rig, self.volume = backend.requireRig(parameters), backend.requireVolume(parameters)
        self._needed = [self.volume, *(view.source for view in self.rig.views)]
        if parameters.segmentation is not None:
            self._needed.append(parameters.segmentation)
        self.before, self.wasPosed = rig.worldFromVolume(self.rig), posing.isPosed(self.rig)
        self._moved = False

    def requireAll(self) -> None:
        """Raise NodesRemoved unless everything is still in the scene."""
        self.rig.requireAll()
        if not self._isComplete():
            raise rig.NodesRemoved(_("The CT, the segmentation or an X-ray was removed from the scene."))

    def move(self, firstCameraFromVolume: np.ndarray) -> None:
        """Show a pose camera_from_volume (4, 4) [mm] of the first view."""
        self._moved = True
        rig.setCameraFromVolume(self.rig, self.rig.views[0], firstCameraFromVolume)

    def judged(self, content: Any, errorMm: float) -> Outcome:
        """The outcome of a result (Registration.as_dict), kept in the scene."""
        rig.setWorldFromVolume(self.rig, np.array(content["world_from_volume"]))
        content["start"] = content["start"].replace(_CASE_POSE, _("the pose shown"))
        return self._keep(content, projections.assumptions(self.rig), errorMm)

    def keepUnjudged(self) -> None:
        """Store the pose reached before the user cancelled, so that it can be undone."""
        if self._moved and self._isComplete() and self._isRigComplete():
            from xrayreg.reasons import ReasonCode

            reason = _("It was cancelled; the pose shown is the best one found before.")
            content = {
                "world_from_volume": rig.worldFromVolume(self.rig).tolist(),
                "accepted": False,
                "reason": reason,
                "reason_code": ReasonCode.INTERRUPTED.value,
            }
            self._keep(content, (), None)

    def restore(self) -> None:
        """Move the C-arm back to its previous pose."""
        if self._moved and self._isRigComplete():
            rig.setWorldFromVolume(self.rig, self.before)

    def _keep(self, content: Any, assumed: tuple[str, ...], errorMm: float | None) -> Outcome:
        found = outcome.Outcome(content, self.before, assumed, errorMm)
        posing.markPosed(self.rig)
        outcome.store(self.rig, found, self.volume, self.wasPosed)
        return found

    def _isComplete(self) -> bool:
        return all(node is not None and node.GetScene() is not None for node in self._needed)

    def _isRigComplete(self) -> bool:
        try:
            self.rig.requireAll()
        except rig.NodesRemoved:
            return False
        return True
