"""Logs a training run into the folder beside its network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ...settings import TrainingSettings
from ..model.checkpoint import AnyCheckpoint
from .curves import COLUMNS, SIMILARITY_COLUMNS, Curves
from .distributed import Process
from .status import RunFolder, RunState, TrainStep


class RunLogger:
    """Writes status, curves and settings, in the leading process only.

    notes: a sentence when something cannot be written, and one when a terminated run was replaced.
    """

    def __init__(
        self, out: Path, settings: TrainingSettings, process: Process, start: AnyCheckpoint | None, taken_over: str = ""
    ) -> None:
        """taken_over: a sentence on the terminated run that this one replaces."""
        self._last = TrainStep("preparing", taken_over or "starting")
        self._folder: RunFolder | None = None
        self._curves: Curves | None = None
        self.notes: tuple[str, ...] = (taken_over,) if taken_over else ()
        if process.leads:
            state = start.training_state if start is not None else None
            self._folder = RunFolder(out, settings)
            resumed_at = 0 if state is None else int(state["progress"]["iteration"])
            columns = COLUMNS if settings.similarity is None else SIMILARITY_COLUMNS
            self._curves = Curves(self._folder.path, resumed_at, columns)
            self.notes = tuple(note for note in (self._curves.note, taken_over) if note)
            self._folder.write(self._last, at_once=True)

    def asked_to_stop(self) -> bool:
        """Whether the file `stop` exists."""
        return self._folder is not None and self._folder.asked_to_stop()

    def log(self, step: TrainStep) -> None:
        """Log a step."""
        if self._folder is not None and self._curves is not None:
            self._folder.write(step, at_once=step.state != self._last.state)
            if step.iteration:
                self._curves.add(step)
        self._last = step

    def log_end(self, state: RunState, message: str) -> None:
        """Write everything for the last time."""
        if self._folder is not None and self._curves is not None:
            self._curves.close()
            done = 1.0 if state == "done" else self._last.fraction
            step = replace(self._last, state=state, message=message, fraction=done, seconds_left=0.0)
            self._folder.write(step, at_once=True)
