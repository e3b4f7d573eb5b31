"""The training loop; the best network so far is kept on disk."""

from __future__ import annotations

import itertools
import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ...checks import InputError
from ...settings import PRECISIONS
from ..data.batches import prefetch
from ..model.card import ModelCard
from ..model.checkpoint import AnyCheckpoint, read_card, save_checkpoint
from .distributed import Process
from .lesson import Lesson, Validation
from .optimizer_step import Learner, LossOf, StepTaken
from .schedule import fraction_done, learning_rate, require_sound, seconds_left
from .status import OnTrainStep, TrainStep, last_checkpoint

# Why a run ended; the leading process sends the others the index in this list.
Ending = Literal["", "time", "iterations", "patience", "asked", "diverged"]
_ENDINGS: tuple[Ending, ...] = ("", "time", "iterations", "patience", "asked", "diverged")
_SENTENCES: dict[Ending, str] = {
    "": "training",
    "time": "the time is up",
    "iterations": "all iterations are done",
    "patience": "stopped early: validation no longer improves",
    "asked": "stopped as asked",
    "diverged": "stopped: the loss is no longer a finite number; a lower learning rate may help",
}
# Disk space: weights, two moments of the optimiser, the best network beside the latest, each twice while replaced.
_COPIES_ON_DISK, _BYTES_BESIDES = 10, 20_000_000
# Speed is a running mean over about this many iterations.
_SMOOTHED_OVER = 20


@dataclass(frozen=True, eq=False)
class RunInputs:
    """Inputs of a training run besides its lesson.

    card: of the new network, with the settings of the run.
    out: file for the best network; the latest state lies in its run folder (see `status`).
    start: a network to start from. With a training state the run is resumed exactly where it stopped; without, training
        starts from its weights (finetuning).
    """

    card: ModelCard
    out: Path
    start: AnyCheckpoint | None = None


@dataclass(frozen=True, eq=False)
class TrainingResult:
    """Result of a run: the best network's file and card, and why the run ended."""

    path: Path
    card: ModelCard
    ending: Ending
    reason: str


@dataclass
class _Progress:
    """Progress of a run. best: error of the best network so far; stale: validations since then."""

    iteration: int = 0
    images: int = 0
    seconds: float = 0.0
    best: float = math.inf
    stale: int = 0


def train(
    lesson: Lesson, run: RunInputs, process: Process, asked_to_stop: Callable[[], bool], on_step: OnTrainStep
) -> TrainingResult:
    """Train the lesson's network and keep the best one at `run.out`.

    on_step: called after each iteration and validation; an error that it raises ends the run and reaches the caller.

    The run ends at its limit of time or iterations, when `asked_to_stop`, when validation no longer improves, or when
    the loss is no longer finite; the best network so far is kept. Iterations are numbered, and batch and weights of
    each depend on the settings alone, so that a run of a given number of iterations can be repeated and resumed
    exactly (bit for bit on the CPU in float32).
    Raises InputError when there is no room on the disk, no memory for one image, or no usable network to keep.
    """
    return _TrainingLoop(lesson, run, process, asked_to_stop, on_step).result()


class _TrainingLoop:
    def __init__(
        self,
        lesson: Lesson,
        run: RunInputs,
        process: Process,
        asked_to_stop: Callable[[], bool],
        on_step: OnTrainStep,
    ) -> None:
        require_sound(run.card.settings)
        lesson.trained.to(process.device)
        self._lesson, self._run, self._process = lesson, run, process
        self._asked, self._on_step = asked_to_stop, on_step
        self._settings, self._notes = run.card.settings, list(run.card.notes)
        self._progress = _Progress()
        self._validation: Validation | None = None
        self._latest = TrainStep("preparing", "")
        self._validated_at, self._pace = -1, math.nan
        self._unsaved: OSError | None = None
        self._batches: Iterator[LossOf] | None = None
        if process.leads:
            _require_room(run.out, lesson.network)

    def result(self) -> TrainingResult:
        threads = torch.get_num_threads()
        if self._lesson.batch_made_ahead(self._settings):
            # The thread that makes the batches needs cores too; oversubscription is slower.
            torch.set_num_threads(max(1, threads // 2))
        try:
            return self._iterations()
        finally:
            torch.set_num_threads(threads)

    def _iterations(self) -> TrainingResult:
        self._on_step(self._step("preparing", "choosing the number type"))
        fresh = self._begin()
        if fresh:
            self._on_step(self._step("preparing", fresh))
        self._started = time.monotonic() - self._progress.seconds
        next_validation = self._progress.seconds + self._settings.validate_every_s
        try:
            while True:
                ending, fraction = self._ending_and_fraction()
                if ending:
                    break
                self._on_step(self._iteration(fraction))
                if self._progress.seconds >= next_validation:
                    self._validate()
                    next_validation = self._progress.seconds + self._settings.validate_every_s
        finally:
            self._close_batches()
        if self._validated_at != self._progress.iteration and ending != "diverged":
            self._validate()
        return self._result(ending)

    def _begin(self) -> str:
        """Choose number type and optimiser, and restore the state of an earlier part of the run.

        Returns a sentence on weights missing in that state, empty where there are none.
        """
        precision, note = self._lesson.choose_precision(self._settings.precision, self._process.device)
        # All processes use the leader's measurement.
        precision = PRECISIONS[int(self._process.from_leader([float(PRECISIONS.index(precision))])[0])]
        self._settings = replace(self._settings, precision=precision)
        self._note(note)
        self._learner = Learner(self._lesson.trained, self._settings, self._process)
        state = self._run.start.training_state if self._run.start is not None else None
        if state is None:
            return ""
        try:
            self._learner.restore(state["learner"])
            # Weights trained besides the network's, which are in the file already.
            kept = state.get("besides", {})
            self._lesson.trained.load_state_dict(kept, strict=False)
            self._progress = _Progress(**state["progress"])
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise InputError(
                "network to resume", expected="the state of a run", found="another", remedy="train anew"
            ) from error
        fresh = _fresh_weights(self._besides(), kept)
        self._note(fresh)
        return fresh

    def _update_seconds(self) -> None:
        self._progress.seconds = time.monotonic() - self._started

    def _ending_and_fraction(self) -> tuple[Ending, float]:
        """Why to end now, if at all, and the fraction done: the leader's decision in every process."""
        self._update_seconds()
        progress, settings = self._progress, self._settings
        fraction = fraction_done(settings, progress.seconds, progress.iteration)
        ending: Ending = ""
        if self._learner.is_lost:
            ending = "diverged"
        elif settings.iterations and progress.iteration >= settings.iterations:
            ending = "iterations"
        elif fraction >= 1:
            ending = "time"
        elif settings.patience and progress.stale >= settings.patience:
            ending = "patience"
        elif self._asked():
            ending = "asked"
        number, fraction = self._process.from_leader([float(_ENDINGS.index(ending)), fraction])
        return _ENDINGS[int(number)], fraction

    def _iteration(self, fraction: float) -> TrainStep:
        """One step of the optimiser, with smaller batches where memory is short."""
        started = time.monotonic()
        rate, message = learning_rate(self._settings, fraction), "training"
        while True:
            try:
                taken = self._optimizer_step(rate)
                break
            except torch.OutOfMemoryError as error:
                message = self._halve_batch(error)
        self._update_seconds()
        progress, pace = self._progress, time.monotonic() - started
        shown = self._settings.batch * self._settings.accumulate * self._process.count
        progress.iteration += 1
        progress.images += shown
        self._pace = pace if math.isnan(self._pace) else self._pace + (pace - self._pace) / _SMOOTHED_OVER
        if not taken.used:
            message = f"iteration {progress.iteration} left out: its gradient is not finite"
        elif self._unsaved is not None:
            message = f"the network could not be written ({self._unsaved.strerror}); trying again later"
        self._latest = TrainStep(
            "training",
            message,
            loss=taken.loss,
            parts=taken.parts,
            learning_rate=rate,
            images_per_second=shown / self._pace,
        )
        return self._step("training", message)

    def _optimizer_step(self, rate: float) -> StepTaken:
        if self._batches is None:
            settings, process = self._settings, self._process
            first = self._progress.iteration * settings.accumulate

            def make(turn: int) -> LossOf:
                return self._lesson.batch(settings, process.batch_number(turn), process.device)

            ahead = self._lesson.batch_made_ahead(settings)
            self._batches = prefetch(make, first) if ahead else map(make, itertools.count(first))
        return self._learner.step([next(self._batches) for _ in range(self._settings.accumulate)], rate)

    def _halve_batch(self, error: torch.OutOfMemoryError) -> str:
        settings = self._settings
        if settings.batch < 2 or self._process.count > 1:
            raise InputError(
                "memory of the device",
                expected=f"enough for {settings.batch} images at a time",
                found="too little",
                remedy="use a smaller --batch, network or image",
            ) from error
        self._close_batches()
        batch = settings.batch // 2
        self._settings = replace(settings, batch=batch, accumulate=2 * settings.accumulate)
        note = f"out of memory with {settings.batch} images at a time: took {batch}, twice as often"
        self._note(note)
        return note

    def _validate(self) -> None:
        """Validate the network, and keep it if it is the best so far."""
        if not self._process.leads:
            return
        self._on_step(self._step("validating", "validating"))
        progress, lesson = self._progress, self._lesson
        found = self._validation = lesson.validate(self._process.device)
        self._validated_at = progress.iteration
        self._update_seconds()
        better = found.error < progress.best and not found.problem
        progress.best, progress.stale = (found.error, 0) if better else (progress.best, progress.stale + 1)
        self._keep(better)
        comparison = found.problem or (
            "the best so far" if better else f"no better than {progress.best:.1f} {lesson.error_unit}"
        )
        message = f"{lesson.error_name} {found.error:.1f} {lesson.error_unit}, {comparison}"
        self._on_step(replace(self._step("validating", message), validated=True))

    def _keep(self, better: bool) -> None:
        """Write the network if it is better, and the state to resume from; on errors (full disk) retry later."""
        card, figures, out = self._card(), {} if self._validation is None else self._validation.figures, self._run.out
        try:
            if better or (self._unsaved is not None and self._progress.best < math.inf):
                save_checkpoint(out, self._lesson.checkpoint(card, figures))
            state = {"learner": self._learner.state(), "progress": vars(self._progress), "besides": self._besides()}
            save_checkpoint(last_checkpoint(out), self._lesson.checkpoint(card, figures, state))
            self._unsaved = None
        except OSError as error:
            self._unsaved = error

    def _besides(self) -> dict[str, Tensor]:
        """The weights trained besides the network's, by name."""
        kept = {id(value) for value in self._lesson.network.state_dict(keep_vars=True).values()}
        return {
            name: value.detach().cpu()
            for name, value in self._lesson.trained.state_dict(keep_vars=True).items()
            if id(value) not in kept
        }

    def _result(self, ending: Ending) -> TrainingResult:
        out = self._run.out
        if self._unsaved is not None:
            raise InputError(
                f"network {out.name}",
                expected="room on the disk",
                found=f"{self._unsaved.strerror or self._unsaved}; what was written before is whole",
                remedy="free some space and use --resume",
            ) from self._unsaved
        if self._process.leads and self._progress.best == math.inf:
            problem = "" if self._validation is None else self._validation.problem
            raise InputError(
                "training",
                expected="a network that can be used" if problem else "a finite loss",
                found=problem or f"none from iteration {self._progress.iteration} on",
                remedy="lower --learning-rate",
            )
        card = read_card(out) if self._process.leads else self._card()
        return TrainingResult(out, card, ending, _SENTENCES[ending])

    def _card(self) -> ModelCard:
        return replace(
            self._run.card,
            settings=self._settings,
            iteration=self._progress.iteration,
            images=self._progress.images,
            seconds=self._progress.seconds,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            notes=tuple(self._notes),
        )

    def _step(self, state: Literal["preparing", "training", "validating"], message: str) -> TrainStep:
        progress, settings = self._progress, self._settings
        return replace(
            self._latest,
            state=state,
            message=message,
            fraction=fraction_done(settings, progress.seconds, progress.iteration),
            iteration=progress.iteration,
            images=progress.images,
            seconds=progress.seconds,
            seconds_left=seconds_left(settings, progress.seconds, progress.iteration),
            validation=None if self._validation is None else self._validation.figures,
        )

    def _note(self, note: str) -> None:
        if note and note not in self._notes:
            self._notes.append(note)

    def _close_batches(self) -> None:
        close: Any = getattr(self._batches, "close", None)
        if close is not None:
            close()
        self._batches = None


def _fresh_weights(wanted: Mapping[str, Tensor], kept: Mapping[str, Tensor]) -> str:
    """A sentence on weights that are missing by name in a resumed run's state; empty where none is missing."""
    missing = ", ".join(sorted(set(wanted) - set(kept)))
    return f"begun by another version, so that these weights of the training start anew: {missing}" if missing else ""


def _require_room(out: Path, network: nn.Module) -> None:
    """Raise InputError where the disk lacks space for the networks that a run writes."""
    weights = sum(value.numel() * value.element_size() for value in network.state_dict().values())
    needed = _COPIES_ON_DISK * weights + _BYTES_BESIDES
    free = shutil.disk_usage(out.absolute().parent).free
    if free < needed:
        raise InputError(
            f"disk of {out.absolute().parent}",
            expected=f"{needed / 1e6:.0f} MB free",
            found=f"{free / 1e6:.0f} MB",
            remedy="free some space or choose another folder",
        )
