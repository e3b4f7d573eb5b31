"""The folder beside a network in training: what others read about the run, and how they end it.

model.pt                    the best network so far
model_training/status.json  how far the run is, replaced at most once a second
model_training/stop         a file that somebody creates to end the run
model_training/lock         who trains it, as long as somebody does (see io.locks)
model_training/...          settings.json, last.pt (to resume), curve.csv, curve.png, TensorBoard's events
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from ...io import prepare_output, write_json
from ...processes import identity_of
from ...settings import TrainingSettings
from ...settings.plain import as_plain
from ..model.card import MedianAngles, MedianErrors

RunState = Literal["preparing", "training", "validating", "done", "failed", "stopped"]

# Readers poll about once a second; writing more often would only wear the disk.
EVERY_S = 1.0


@dataclass(frozen=True)
class TrainStep:
    """One moment of a training run.

    fraction: how far it is, 0 to 1. seconds: since training began, earlier parts of a resumed run included.
    seconds_left: at this pace. loss: of the last iteration; images: trained on so far. validation: the latest errors by
    kind of image, or angles by what a gradient is of, new where the step is `validated`. message: a sentence about what
    is being done.
    """

    state: RunState
    message: str
    fraction: float = 0.0
    iteration: int = 0
    images: int = 0
    seconds: float = 0.0
    seconds_left: float | None = None
    loss: float | None = None
    parts: Mapping[str, float] = field(default_factory=dict)
    learning_rate: float | None = None
    images_per_second: float | None = None
    validation: Mapping[str, MedianErrors] | Mapping[str, MedianAngles] | None = None
    validated: bool = False


# What a training calls with its steps.
OnTrainStep = Callable[[TrainStep], object]


def run_folder(out: Path) -> Path:
    """The folder of the run that trains the network `out`."""
    return out.with_name(f"{out.stem}_training")


def last_checkpoint(out: Path) -> Path:
    """Where a run keeps its latest state, to be resumed from."""
    return run_folder(out) / "last.pt"


class RunFolder:
    """Writes status.json and settings.json, and looks for the file `stop`."""

    def __init__(self, out: Path, settings: TrainingSettings) -> None:
        """out: the network's file. Makes the folder; raises InputError where that cannot be done."""
        self.path = prepare_output(run_folder(out))
        self._model = out
        self._started, self._written = _now(), -EVERY_S
        # Who ends this run compares all of it first.
        process = identity_of()
        self._process = {"pid": os.getpid()} if process is None else process.as_dict()
        self._stop = self.path / "stop"
        # One left from an earlier run was meant for that one.
        self._stop.unlink(missing_ok=True)
        write_json(self.path / "settings.json", as_plain(settings))

    def asked_to_stop(self) -> bool:
        """Whether somebody created the file `stop`."""
        return self._stop.exists()

    def write(self, step: TrainStep, at_once: bool = False) -> None:
        """Replace status.json, unless that was done a moment ago and the step may wait.

        A status that cannot be written is left out: training matters more than the news about it.
        """
        if not at_once and time.monotonic() - self._written < EVERY_S:
            return
        self._written = time.monotonic()
        try:
            write_json(self.path / "status.json", self._content(step))
        except OSError:
            return

    def _content(self, step: TrainStep) -> dict[str, Any]:
        validation = step.validation
        return {
            "state": step.state,
            "message": step.message,
            "fraction": step.fraction,
            "iteration": step.iteration,
            "images": step.images,
            "seconds": step.seconds,
            "seconds_left": step.seconds_left,
            "loss": step.loss,
            "learning_rate": step.learning_rate,
            "images_per_second": step.images_per_second,
            "validation": validation and {name: asdict(errors) for name, errors in validation.items()},
            "model": str(self._model.absolute()),
            **self._process,
            "started": self._started,
            "updated": _now(),
        }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
